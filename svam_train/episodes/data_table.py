"""``svam-train check-data``: what is in a folder of episodes, and whether it can be trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from svam_ros.translation.preprocessing import ImagePreparation
from svam_train.episodes.checks import Verdict, verdicts
from svam_train.episodes.episodes import EpisodeSet, LeftOut, RobotFacts


def data_table(episodes: EpisodeSet, robot: RobotFacts, preparation: ImagePreparation) -> Iterator[str]:
    """The lines of the table: every episode and what was left out, every sentence, and the sum of it."""
    rows = list(verdicts(episodes, robot, preparation))
    yield from _table(rows, episodes.left_out)
    yield ""
    for instruction, count in sorted(Counter(episode.instruction for episode in episodes).items()):
        yield f"{count:4} x '{instruction}'"
    yield _sum(episodes, rows)


def _table(rows: Sequence[Verdict], left_out: Sequence[LeftOut]) -> Iterator[str]:
    width = max(len(name) for name in ("episode", *(r.identity for r in rows), *(o.name for o in left_out)))
    yield f"{'episode':{width}}  {'pictures':>8}  {'seconds':>7}  verdict"
    for row in rows:
        yield f"{row.identity:{width}}  {row.pictures:8}  {row.seconds:7.2f}  {row.problem or 'good'}"
    for out in left_out:
        verdict = "refused" if out.refused else "left out"
        yield f"{out.name:{width}}  {'':8}  {'':7}  {verdict}: {out.reason}"


def _sum(episodes: EpisodeSet, rows: Sequence[Verdict]) -> str:
    good = [row for row in rows if row.problem is None]
    refused = sum(out.refused for out in episodes.left_out)
    return (
        f"{episodes.name}: {len(good)} good, {len(rows) - len(good) + refused} not to be trained on, "
        f"{len(episodes.left_out) - refused} left out; {sum(row.pictures for row in good)} pictures, "
        f"{sum(row.seconds for row in good):.0f} s; fingerprint {episodes.fingerprint[:16]}"
    )
