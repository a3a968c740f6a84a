"""``svam-train check-data``: a table for a person, and an exit code for a script."""

import dataclasses

import numpy as np
import pytest
from support.lerobot_files import write_lerobot
from support.made_up_demonstrations import made_up_demonstration

from svam_ros.cobot import load_cobot
from svam_train.cli import EXIT_REFUSED, main
from svam_train.episodes.demonstration_files import demonstration_path, save_demonstration

IMAGE = ["--image.size", "64"]


def record(folder, seed, **changes):
    home = load_cobot().home.astype(np.float32)
    made_up = made_up_demonstration(seed=seed, pictures=6, size=64)
    still = dataclasses.replace(made_up, targets=np.tile(home, (12, 1)), joints=np.tile(home, (6, 1)))
    save_demonstration(folder, dataclasses.replace(still, **changes))


def test_good_data_gets_a_table_and_exit_code_0(tmp_path, capsys):
    record(tmp_path, 1)
    record(tmp_path, 2)
    assert main(["check-data", str(tmp_path), *IMAGE]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["lift_pot_000001", "6", "0.48", "good"]
    assert lines[-2] == "   2 x 'lift the pot with both hands'"
    assert "2 good, 0 not to be trained on, 0 left out; 12 pictures" in lines[-1]


def test_every_bad_episode_is_in_the_table_and_the_first_in_the_error(tmp_path, capsys):
    record(tmp_path, 1)
    record(tmp_path, 2, joints=np.full((6, 14), np.nan, np.float32))
    record(tmp_path, 3, instruction="")
    assert main(["check-data", str(tmp_path), *IMAGE]) == EXIT_REFUSED
    output = capsys.readouterr()
    table = {line.split()[0]: line for line in output.out.splitlines() if line.startswith("lift_pot")}
    assert table["lift_pot_000001"].endswith("good")
    assert "'joints' has nan" in table["lift_pot_000002"]
    assert "the instruction is empty" in table["lift_pot_000003"]
    assert "episode 'lift_pot_000002': 'joints' has nan" in output.err


def test_damaged_files_are_in_the_table_when_they_are_passed_over(tmp_path, capsys):
    record(tmp_path, 1)
    demonstration_path(tmp_path, "lift_pot", 2).write_bytes(b"PK")
    assert main(["check-data", str(tmp_path), *IMAGE]) == EXIT_REFUSED
    refused = capsys.readouterr()
    assert "lift_pot_000002.npz: no episode can be read" in refused.err
    table = [line.split() for line in refused.out.splitlines()]
    assert ["lift_pot_000001", "6", "0.48", "good"] in table
    assert ["lift_pot_000002.npz", "refused:"] in [line[:2] for line in table]
    assert "1 good, 1 not to be trained on, 0 left out" in refused.out
    assert main(["check-data", str(tmp_path), *IMAGE, "--skip-corrupt"]) == 0
    output = capsys.readouterr().out
    assert "left out: " in output
    assert "1 good, 0 not to be trained on, 1 left out" in output


@pytest.mark.parametrize("arguments", [[], ["--camera", "observation.images.front"]])
def test_a_lerobot_data_set_is_opened_by_the_same_command(arguments, tmp_path, capsys):
    write_lerobot(tmp_path / "data", lengths=(10,))
    assert main(["check-data", str(tmp_path / "data"), *IMAGE, *arguments]) == 0
    assert "1 x 'sentence 0'" in capsys.readouterr().out
