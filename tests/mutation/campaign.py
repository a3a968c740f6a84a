"""Removes every statement of the guard in turn: ``python -m mutation.campaign`` (``make mutants``).

For each, the tests of ``tests/unit/control`` and ``tests/property`` run until one fails. Examples::

    make mutants                              # all, about twenty minutes on two cores
    make mutants ARGS="--modules motion_limiter"
    make mutants ARGS="--write"               # and keep the list in tests/mutation/mutants.txt
    make mutants ARGS="--write --missing"     # after a change: only what the list lacks, or nobody noticed

Ctrl-C ends it; what was found until then is printed, and kept.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mutation.one_mutant import SURVIVED, first_failure
from mutation.statements import GUARDING, Statement, statements

LIST = Path(__file__).with_name("mutants.txt")
EQUIVALENT = Path(__file__).with_name("equivalent.txt")
"""Statements without which the guard does the same, each with its reason behind a ``#``."""


NOT_TRIED = "not tried yet"


def equivalents() -> dict[str, str]:
    """Reasons by title."""
    lines = EQUIVALENT.read_text(encoding="utf-8").splitlines() if EQUIVALENT.exists() else []
    entries = (line.partition("  # ") for line in lines if line.strip())
    return {title.strip(): reason.strip() for title, _, reason in entries}


def run(mutants: Sequence[Statement], workers: int, most_s: float) -> Iterator[tuple[Statement, str]]:
    """Each with the test that noticed, or :data:`SURVIVED`, in the order given."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(workers) as pool:
        results = [pool.submit(first_failure, mutant, Path(folder), most_s) for mutant in mutants]
        try:
            for mutant, result in zip(mutants, results, strict=True):
                yield mutant, result.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="mutants", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--modules", nargs="*", choices=GUARDING, default=list(GUARDING))
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--most-s", type=float, default=120.0, help="a mutant that runs longer was noticed")
    parser.add_argument("--missing", action="store_true", help="only what the list lacks, or nobody noticed")
    parser.add_argument("--write", action="store_true", help="keep the list in the repository")
    return parser.parse_args()


def main() -> int:
    """Print survivors; 0 where there are none but equivalent ones."""
    arguments = _arguments()
    mutants = [statement for module in arguments.modules for statement in statements(module)]
    if arguments.missing:
        kept = listed()
        mutants = [m for m in mutants if kept.get(m.title, NOT_TRIED) in (NOT_TRIED, SURVIVED)]
    known = equivalents()
    noticed: dict[str, str] = {}
    survivors: list[str] = []
    interrupted = False
    try:
        for number, (mutant, test) in enumerate(run(mutants, arguments.workers, arguments.most_s), 1):
            noticed[mutant.title] = test
            if test == SURVIVED and mutant.title not in known:
                survivors.append(mutant.title)
                print(f"\rSURVIVED {mutant.title}")
            print(f"\r{number} of {len(mutants)}, {len(survivors)} survived ", end="", flush=True)
    except KeyboardInterrupt:
        interrupted = True
        print("\nended early")
    equal = sum(test == SURVIVED for test in noticed.values()) - len(survivors)
    print(f"\n{len(noticed)} statements: {len(survivors)} can be removed unnoticed, {equal} are equivalent")
    if arguments.write:
        _write(listed() | noticed)
    return 130 if interrupted else int(bool(survivors))


def _write(kept: dict[str, str]) -> None:
    everything = [statement.title for module in GUARDING for statement in statements(module)]
    lines = [f"{title}  # {kept.get(title, NOT_TRIED)}" for title in everything]
    LIST.write_text("\n".join(lines) + "\n", encoding="utf-8")


def listed() -> dict[str, str]:
    """The test that noticed, by statement, as the list in the repository says."""
    if not LIST.exists():
        return {}
    entries = (line.partition("  # ") for line in LIST.read_text(encoding="utf-8").splitlines())
    return {title: test for title, _, test in entries}


if __name__ == "__main__":
    sys.exit(main())
