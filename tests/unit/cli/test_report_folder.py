"""A report folder belongs to one demo at a time, and loses only what a demo wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from svam_ros.cli.report_folder import LOCK_NAME, ReportFolderError, claim_report_folder

LEFT_BY_A_DEMO = (
    "report.json",
    "report.html",
    "report.json.0123abcd.part",
    "report.html.part",
    "trace.json",
    "trace.json.0123abcd.part",
    "episode_0000.mcap",
    "episode_0012.mcap.part",
    "logs/guard_node.log",
    "logs/policy_node.parameters.yaml",
)


def test_what_an_earlier_demo_left_is_deleted(tmp_path):
    (tmp_path / "logs").mkdir()
    for name in LEFT_BY_A_DEMO:
        (tmp_path / name).write_text("old")
    with claim_report_folder(tmp_path, movable=False) as folder:
        assert folder == tmp_path
        assert [path.name for path in folder.rglob("*") if path.is_file()] == [LOCK_NAME]


def test_a_folder_in_use_is_refused_or_passed_by_and_free_again_afterwards(tmp_path):
    wanted = tmp_path / "reports" / "demo"
    with claim_report_folder(wanted, movable=True) as first:
        (first / "report.json").write_text("being written")
        others = [claim_report_folder(wanted, movable=True) for _ in range(2)]
        with others[0] as second, others[1] as third:
            assert [first.name, second.name, third.name] == ["demo", "demo-2", "demo-3"]
        with pytest.raises(ReportFolderError, match="another demo is writing"):
            claim_report_folder(wanted, movable=False).__enter__()
        assert (first / "report.json").exists()
    with claim_report_folder(wanted, movable=False) as again:
        assert again == wanted


def test_a_link_to_somebody_s_logs_is_not_followed(tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "guard_node.log").write_text("keep me")
    report = tmp_path / "report"
    report.mkdir()
    (report / "logs").symlink_to(theirs)
    with pytest.raises(ReportFolderError, match="logs"):
        claim_report_folder(report, movable=False).__enter__()
    assert (theirs / "guard_node.log").exists()


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "report").write_text("keep me")
    with pytest.raises(ReportFolderError, match="is a file"):
        claim_report_folder(tmp_path / "report", movable=True).__enter__()


@pytest.mark.parametrize(
    ("folder", "words"),
    [("file/report", "not a directory"), ("file", "is a file"), ("/proc/report", "no such file")],
)
def test_a_folder_that_cannot_be_is_refused_without_the_system_s_number(tmp_path, folder, words):
    (tmp_path / "file").touch()
    with (
        pytest.raises(ReportFolderError, match=words) as refusal,
        claim_report_folder(tmp_path / folder, False),
    ):
        pass
    assert "Errno" not in str(refusal.value)


@pytest.mark.parametrize("folder", ["", "."])
def test_no_folder_at_all_is_refused_and_the_current_one_is_left_alone(tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    with (
        pytest.raises(ReportFolderError, match="a folder of its own"),
        claim_report_folder(Path(folder), False),
    ):
        pass
    assert list(tmp_path.iterdir()) == []
