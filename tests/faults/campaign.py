"""Every row many times, with a table of times: ``python -m faults.campaign`` (``make faults``).

Examples::

    make faults
    make faults ARGS="--trials 3 --rows 1 2 18 --report reports/faults"

Ctrl-C ends it with a table of what was run. A row passes when every trial showed the required behaviour and
no figure was above its limit.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from faults.picture import picture
from faults.replaced_rig import ReplacedRig
from faults.row import NotHere, Row
from faults.table import TABLE
from faults.tally import Tally
from svam_ros.bringup.shared_memory import remove_abandoned_segments, segments


def run(rows: Sequence[Row], trials: int, folder: Path, tallies: dict[str, Tally]) -> None:
    """Run the trials, row by row; what was run stands in ``tallies`` at any time."""
    rig = ReplacedRig(folder)
    try:
        for row in rows:
            tally = tallies[row.title] = Tally(row)
            for number in range(trials):
                began = time.monotonic()
                _try(rig, row, tally)
                print(
                    f"\r{row.title[:50]:50} {number + 1}/{trials}  {time.monotonic() - began:4.1f} s", end=""
                )
            print(f"\r{tally.line()}", flush=True)
    finally:
        rig.close()


def _try(rig: ReplacedRig, row: Row, tally: Tally) -> None:
    """One trial."""
    try:
        tally.add(rig.trial(row.trial))
    except NotHere as needed:
        tally.missing = str(needed)
    except Exception as error:  # whatever it was, the other rows are still to be tried
        tally.fail(f"{type(error).__name__}: {error}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=20, help="of each row")
    parser.add_argument("--rows", type=int, nargs="*", help="numbers in the fault table; default all")
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
    tallies: dict[str, Tally] = {}
    of_others = frozenset(segments())
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ROS_LOG_DIR"] = folder
        try:
            run(rows, arguments.trials, Path(folder), tallies)
        except KeyboardInterrupt:
            print("\nended early")
        finally:
            remove_abandoned_segments(keep=of_others, left_the_graph=True)
    results = [tally.result() for tally in tallies.values()]
    (arguments.report / "faults.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    (arguments.report / "faults.svg").write_text(picture(list(tallies.values())), encoding="utf-8")
    passed = sum(tally.passed for tally in tallies.values())
    not_tried = sum(bool(tally.missing) for tally in tallies.values())
    print(
        f"{passed} of {len(tallies)} rows passed, {not_tried} not tried here; "
        f"{arguments.report}/faults.json, faults.svg"
    )
    return 0 if passed + not_tried == len(rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
