"""A campaign over the fault table keeps what it ran, and goes on with it."""

import json

import pytest

from faults import campaign
from faults.row import NotHere, Row


class Trials:
    """A row's trial that counts, and ends the campaign where it is told to."""

    def __init__(self, ended_at: int | None = None) -> None:
        self.made, self.ended_at = 0, ended_at

    def __call__(self, _rig: object) -> dict[str, float]:
        if self.made == self.ended_at:
            self.ended_at = None
            raise KeyboardInterrupt
        self.made += 1
        return {"named_ms": 100.0 + self.made}


@pytest.fixture
def trials(monkeypatch):
    """Of two rows: one that passes, one that is too slow at its second trial."""
    made = {"quick": Trials(), "slow": Trials(ended_at=2)}
    rows = (
        Row(1, "quick", made["quick"], {"named_ms": 200.0}),
        Row(2, "slow", made["slow"], {"named_ms": 101.5}),
    )
    monkeypatch.setattr(campaign, "TABLE", rows)
    monkeypatch.setattr(campaign, "ReplacedRig", lambda folder: Rig())
    monkeypatch.setenv("ROS_LOG_DIR", "")
    return made


class Rig:
    def trial(self, run):
        return run(self)

    def close(self):
        pass


def run(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["faults", *map(str, arguments)])
    return campaign.main()


def test_what_was_run_is_kept_and_gone_on_with(trials, tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, "--trials", 3, "--report", tmp_path) == 1
    assert "ended early; --resume goes on" in capsys.readouterr().out
    assert [made.made for made in trials.values()] == [3, 2]
    assert run(monkeypatch, "--trials", 3, "--report", tmp_path, "--resume") == 1
    assert [made.made for made in trials.values()] == [3, 3]
    assert "1 of 2 rows passed, 0 not tried here" in capsys.readouterr().out
    quick, slow = json.loads((tmp_path / "faults.json").read_text())
    assert (quick["trials"], quick["passed"]) == (3, True)
    assert (slow["trials"], slow["passed"]) == (3, False)
    assert slow["figures"]["named_ms"] == {
        "p50": 102.0,
        "worst": 103.0,
        "limit": 101.5,
        "all": [101.0, 102.0, 103.0],
    }
    assert "| 1 | quick | 3/3 | named 102 / 103 (≤ 200) ms |" in (tmp_path / "faults.md").read_text()
    assert (tmp_path / "faults.svg").read_text().startswith("<svg")


def test_what_went_wrong_is_told_with_its_line(tmp_path, monkeypatch):
    def break_down(rig):
        assert rig is None

    monkeypatch.setattr(campaign, "TABLE", (Row(20, "broken", break_down, {}),))
    monkeypatch.setattr(campaign, "ReplacedRig", lambda folder: Rig())
    monkeypatch.setenv("ROS_LOG_DIR", "")
    assert run(monkeypatch, "--trials", 1, "--report", tmp_path) == 1
    (result,) = json.loads((tmp_path / "faults.json").read_text())
    assert "test_campaign.py" in result["failures"][0]
    assert "assert rig is None" in result["failures"][0]


def test_results_are_never_written_over_unasked(trials, tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, "--trials", 1, "--report", tmp_path, "--rows", 1) == 0
    assert run(monkeypatch, "--trials", 1, "--report", tmp_path, "--rows", 1) == 2
    assert "go on with --resume, or name another --report" in capsys.readouterr().err
    assert trials["quick"].made == 1


def test_a_file_of_something_else_is_named(trials, tmp_path, monkeypatch, capsys):
    (tmp_path / "faults.json").write_text('[{"row": 1}]')
    assert run(monkeypatch, "--report", tmp_path, "--resume") == 2
    assert "faults.json: holds no trials of fault rows" in capsys.readouterr().err


def test_a_row_that_cannot_be_tried_here_is_said_once_and_fails_nothing(tmp_path, monkeypatch, capsys):
    def refuse(_rig):
        raise NotHere("needs root")

    monkeypatch.setattr(campaign, "TABLE", (Row(29, "cut", refuse, {"named_ms": 200.0}),))
    monkeypatch.setattr(campaign, "ReplacedRig", lambda folder: Rig())
    monkeypatch.setenv("ROS_LOG_DIR", "")
    assert run(monkeypatch, "--report", tmp_path) == 0
    assert "0 of 1 rows passed, 1 not tried here" in capsys.readouterr().out
    assert "| 29 | cut | needs root | — |" in (tmp_path / "faults.md").read_text()
