"""One mutant: the tests in a process in which one module lacks a statement.

``python -m mutation.one_mutant MODULE NUMBER`` runs them; the number is that of the statement in the module.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType

import pytest

from mutation.statements import Statement, statements, without

SURVIVED = "nobody notices"
ROOT = Path(__file__).resolve().parents[2]
_FIRST = {"guard": ("test_guard.py", "test_guard_distrust.py", "test_guard_ramp.py")}
_OF_THE_LIST = "test_mutants.py"
"""It reads the list that is being made."""
_LAST = ("tests/property/test_guard_invariants.py",)


def first_failure(mutant: Statement, folder: Path, most_s: float) -> str:
    """The first test that fails without the statement, or :data:`SURVIVED`.

    Args:
        mutant: the statement.
        folder: for the tests' files.
        most_s: a guard that hangs is noticed too.
    """
    number = statements(mutant.module).index(mutant)
    command = [sys.executable, "-m", "mutation.one_mutant", mutant.module, str(number)]
    environment = {"PYTHONPATH": str(ROOT / "tests"), "PATH": "", "HOME": str(folder), "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=most_s, check=False
        )
    except subprocess.TimeoutExpired:
        return "it does not end"
    if done.returncode == 0:
        return SURVIVED
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    if not failed:
        last = (done.stdout + done.stderr).strip().splitlines()[-1:]
        return f"it cannot be imported: {last[0] if last else 'no word'}"
    return failed[0].split(" - ")[0].removeprefix("FAILED ").removeprefix("ERROR ")


class _Mutator(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Loads one module from changed code."""

    def __init__(self, name: str, code: CodeType) -> None:
        self._name, self._code = name, code

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        """Only that module's."""
        del path, target
        return importlib.util.spec_from_loader(fullname, self) if fullname == self._name else None

    def get_code(self, fullname: str) -> CodeType:
        """The changed code."""
        del fullname
        return self._code

    def get_source(self, fullname: str) -> None:
        """There is none that would be true."""
        del fullname


def _test_files(module: str) -> list[str]:
    """Those that know the module best first."""
    folder = ROOT / "tests" / "unit" / "control"
    own = [*_FIRST.get(module, (f"test_{module}.py",)), "test_guard.py", "test_guard_distrust.py"]
    first = [str(folder / name) for name in dict.fromkeys(own) if (folder / name).exists()]
    others = [str(path) for path in sorted(folder.glob("test_*.py")) if path.name != _OF_THE_LIST]
    rest = [path for path in others if path not in first]
    return [*first, *rest, *(str(ROOT / name) for name in _LAST)]


def main(module: str, number: int) -> int:
    """Exit code of pytest."""
    mutant = statements(module)[number]
    code = compile(without(mutant), f"{module} without a statement", "exec")
    sys.meta_path.insert(0, _Mutator(f"svam_ros.control.{module}", code))
    return int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--no-header", *_test_files(module)]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
