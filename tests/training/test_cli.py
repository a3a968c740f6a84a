"""What a user sees when something is missing: one sentence and exit code 2."""

import pytest

from svam_train.cli import EXIT_REFUSED, main


def test_help_has_examples(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    assert "svam-train evaluate --model" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["tiny", "--threads", "1"], "svam-train demonstrations"),
        (["publish", "--output", "model"], "no checkpoint"),
        (["evaluate", "--model", "nowhere"], "'nowhere' is neither a folder nor a model"),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == EXIT_REFUSED
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error
