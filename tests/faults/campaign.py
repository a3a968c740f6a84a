"""Every row many times, with a table of times: ``python -m faults.campaign`` (``make faults``).

Examples::

    make faults
    make faults ARGS="--resume"
    make faults ARGS="--trials 3 --rows 1 2 18 --report reports/faults"

What was run is kept after every trial: after Ctrl-C, or any other end, the same command goes on with
``--resume``. A row passes when every trial showed the required behaviour and no figure was above its limit.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from faults.picture import picture
from faults.replaced_rig import ReplacedRig
from faults.row import NotHere, Row, what_went_wrong
from faults.table import TABLE
from faults.tally import Tally
from svam_ros.bringup.shared_memory import remove_abandoned_segments, segments
from svam_ros.whole_files import write_whole_text

RESULTS, TABLE_FILE, PICTURE = "faults.json", "faults.md", "faults.svg"


def run(rows: Sequence[Row], trials: int, folder: Path, tallies: dict[str, Tally], report: Path) -> None:
    """Run the trials that ``tallies`` lack, row by row; they and ``report`` hold what was run at any time."""
    rig = ReplacedRig(folder)
    try:
        for row in rows:
            tally = tallies.setdefault(row.title, Tally(row))
            while tally.trials < trials:
                began = time.monotonic()
                _try(rig, row, tally)
                save(tallies, report)
                took_s = time.monotonic() - began
                print(f"\r{row.title[:50]:50} {tally.trials}/{trials}  {took_s:4.1f} s", end="")
                if tally.missing:
                    break
            print(f"\r{tally.line()}", flush=True)
    finally:
        rig.close()


def save(tallies: Mapping[str, Tally], report: Path) -> None:
    """For programs, for docs/safety.md, and to look at."""
    ordered = [tallies[row.title] for row in TABLE if row.title in tallies]
    results = [tally.result() for tally in ordered]
    write_whole_text(report / RESULTS, json.dumps(results, indent=1))
    lines = ["| row | what breaks | as required | figures |", "| --- | --- | --- | --- |"]
    lines += [tally.markdown_line() for tally in ordered]
    write_whole_text(report / TABLE_FILE, "\n".join(lines) + "\n")
    write_whole_text(report / PICTURE, picture(ordered))


def load(report: Path) -> dict[str, Tally]:
    """What an earlier run left there, by the title of the row; rows that are no more are left out.

    Raises:
        ValueError: it is no such file.
    """
    path = report / RESULTS
    rows = {(row.number, row.name): row for row in TABLE}
    try:
        results = [(rows.get((it["row"], it["name"])), it) for it in json.loads(path.read_text("utf-8"))]
        return {row.title: Tally.of(row, result) for row, result in results if row is not None}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: holds no trials of fault rows: {error!r}") from error


def _try(rig: ReplacedRig, row: Row, tally: Tally) -> None:
    """One trial."""
    try:
        tally.add(rig.trial(row.trial))
    except NotHere as needed:
        tally.missing = str(needed)
    except Exception as error:  # whatever it was, the other rows are still to be tried
        tally.fail(what_went_wrong(error))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=20, help="of each row")
    parser.add_argument("--rows", type=int, nargs="*", help="numbers in the fault table; default all")
    parser.add_argument("--resume", action="store_true", help="go on with what the report's folder holds")
    parser.add_argument("--report", type=Path, default=Path("reports/faults"), help="folder of the results")
    return parser.parse_args()


def main() -> int:
    """Run, print the table, keep it as JSON and as a picture."""
    arguments = _arguments()
    rows = [row for row in TABLE if not arguments.rows or row.number in arguments.rows]
    unknown = sorted(set(arguments.rows or ()) - {row.number for row in TABLE})
    if unknown or arguments.trials < 1:
        known = ", ".join(str(n) for n in sorted({row.number for row in TABLE}))
        print(f"faults: no row {unknown}; there are {known}; trials must be at least 1", file=sys.stderr)
        return 2
    arguments.report.mkdir(parents=True, exist_ok=True)
    try:
        tallies = _begin(arguments.report, arguments.resume)
    except ValueError as error:
        print(f"faults: {error}", file=sys.stderr)
        return 2
    of_others = frozenset(segments())
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ROS_LOG_DIR"] = folder
        try:
            run(rows, arguments.trials, Path(folder), tallies, arguments.report)
        except KeyboardInterrupt:
            print("\nended early; --resume goes on")
        finally:
            remove_abandoned_segments(keep=of_others, left_the_graph=True)
    asked = [tallies[row.title] for row in rows if row.title in tallies]
    passed = sum(tally.passed and tally.trials >= arguments.trials for tally in asked)
    not_tried = sum(bool(tally.missing) for tally in asked)
    print(
        f"{passed} of {len(rows)} rows passed, {not_tried} not tried here; "
        f"{arguments.report}/{RESULTS}, {TABLE_FILE}, {PICTURE}"
    )
    return 0 if passed + not_tried == len(rows) else 1


def _begin(report: Path, resume: bool) -> dict[str, Tally]:
    """What is known already.

    Raises:
        ValueError: there are results, and nobody said what is to become of them.
    """
    if not (report / RESULTS).exists():
        return {}
    if not resume:
        raise ValueError(f"{report / RESULTS} is there: go on with --resume, or name another --report")
    return load(report)


if __name__ == "__main__":
    raise SystemExit(main())
