"""Which episodes are held out: a property of each episode alone, so that new data moves no old episode.

Episodes of one scene are held out together: two tasks of one seed begin with the same picture.
"""

from __future__ import annotations

import hashlib

from svam_train.episodes.episodes import DataError, Episode, Episodes, EpisodeSet


def is_held_out(scene: str, held_out_share: float, seed: int) -> bool:
    """Whether episodes of this scene are kept out of training, by a hash of scene and seed."""
    hashed = hashlib.sha256(f"{seed}\0{scene}".encode()).digest()
    return int.from_bytes(hashed[:8], "big") < held_out_share * 2.0**64


def split(episodes: Episodes, held_out_share: float, seed: int) -> tuple[EpisodeSet, EpisodeSet]:
    """Whole episodes to train on, and whole episodes to look at only.

    The share is kept on average: of few episodes it may be missed, but adding episodes never moves one
    from one side to the other.

    Raises:
        DataError: one of the sides would be empty.
    """
    sides: tuple[list[Episode], list[Episode]] = ([], [])
    for index in range(len(episodes)):
        episode = episodes[index]
        scene = episode.identity if episode.scene is None else episode.scene
        sides[is_held_out(scene, held_out_share, seed)].append(episode)
    if not all(sides):
        raise DataError(
            f"{episodes.name}: of {len(episodes)} episodes {len(sides[0])} are left to train on and "
            f"{len(sides[1])} are held out; both are needed: record more, or choose another "
            f"--recipe.held-out-share than {held_out_share:g}"
        )
    training, held_out = (
        EpisodeSet(f"{episodes.name} {name}", episodes.robot, episodes.preparation, tuple(side))
        for name, side in zip(("training", "held out"), sides, strict=True)
    )
    return training, held_out
