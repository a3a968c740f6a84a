"""``svam-train check-data``: what is in a folder of episodes, and whether it can be trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from svam_ros.translation.preprocessing import ImagePreparation
from svam_train.episodes.checks import verdicts
from svam_train.episodes.episodes import EpisodeSet, RobotFacts


def data_table(episodes: EpisodeSet, robot: RobotFacts, preparation: ImagePreparation) -> Iterator[str]:
    """The lines of the table: every episode and what was left out, every sentence, and the sum of it."""
    rows = list(verdicts(episodes, robot, preparation))
    names = [row.identity for row in rows] + [out.name for out in episodes.left_out]
    width = max(len("episode"), *(len(name) for name in names))
    yield f"{'episode':{width}}  {'pictures':>8}  {'seconds':>7}  verdict"
    for row in rows:
        yield f"{row.identity:{width}}  {row.pictures:8}  {row.seconds:7.2f}  {row.problem or 'good'}"
    for out in episodes.left_out:
        yield f"{out.name:{width}}  {'':8}  {'':7}  {'refused' if out.refused else 'left out'}: {out.reason}"
    refused = sum(out.refused for out in episodes.left_out)
    good = [row for row in rows if row.problem is None]
    yield ""
    for instruction, count in sorted(Counter(episode.instruction for episode in episodes).items()):
        yield f"{count:4} x '{instruction}'"
    yield (
        f"{episodes.name}: {len(good)} good, {len(rows) - len(good) + refused} not to be trained on, "
        f"{len(episodes.left_out) - refused} left out; {sum(row.pictures for row in good)} pictures, "
        f"{sum(row.seconds for row in good):.0f} s; fingerprint {episodes.fingerprint[:16]}"
    )
