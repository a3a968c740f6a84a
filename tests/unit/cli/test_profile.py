"""`svam profile` times real passes and writes what it measured, on which machine, with which versions."""

import json
import re
from itertools import pairwise

import numpy as np
import pytest

from svam_ros.cli.main import main
from svam_ros.cli.profile_measurement import measure_in_turn, synthetic_observation
from svam_ros.cobot import load_cobot
from svam_ros.engines import create_engine
from svam_ros.engines.policy_engine import Prediction


def test_the_file_holds_stages_versions_and_machine(tmp_path, capsys):
    path = tmp_path / "figures.json"
    assert main(["profile", "--engine", "scripted", "--repeats", "7", "--json", str(path)]) == 0
    figures = json.loads(path.read_text())
    assert figures["stages_ms"]["total"]["n"] == 7
    assert figures["engine"] == "scripted"
    assert figures["machine"]["cores"] >= 1
    assert figures["versions"]["numpy"]
    assert "total" in capsys.readouterr().out


def test_the_defaults_time_the_model_that_ships(capsys):
    assert main(["profile", "--repeats", "1"]) == 0
    shown = capsys.readouterr()
    assert "tiny · eager · float32" in shown.out
    assert "peak memory" in shown.out
    assert "takes up to" in shown.err


@pytest.mark.slow
def test_random_weights_need_no_model_and_every_figure_is_in_the_file(tmp_path, capsys):
    path = tmp_path / "figures.json"
    arguments = ["--model", "tiny", "--random-weights", "--dtype", "bfloat16", "--repeats", "2"]
    assert main(["profile", *arguments, "--json", str(path)]) == 0
    figures = json.loads(path.read_text())
    assert figures["model"] == "tiny with random weights"
    assert (figures["dtype"], figures["device"], figures["threads"]) == ("bfloat16", "cpu", 1)
    assert figures["weights_bytes"] == 2 * figures["weights"]
    peak, weights = figures["peak_memory_bytes"], figures["weights_bytes"]
    assert figures["peak_memory_per_weight_byte"] == peak / weights > 1
    network_stages = figures["stages_ms"].keys() - {"preprocess"}
    assert network_stages == figures["gflop"].keys() - {"instruction"} == figures["gflop_per_s"].keys()
    assert "backbone" in network_stages
    total = figures["gflop"]["total"] / figures["stages_ms"]["total"]["p50"] * 1e3
    assert figures["gflop_per_s"]["total"] == pytest.approx(total)
    shown = capsys.readouterr().out
    assert f"{figures['gflop']['backbone']:.2f}" in shown
    launches = figures["launches"]
    assert launches["total"] == sum(launches[stage] for stage in network_stages - {"total"}) > 1000
    assert str(launches["backbone"]) in shown.split("what the device could do")[1]
    assert f"{peak / weights:.3g} x the weights' {weights / 1e9:.2f} GB" in shown


def test_a_preset_with_fewer_joints_than_the_robot_gets_the_first_of_them():
    seen = synthetic_observation("cobot_magic", "do it", joints=7)
    assert np.array_equal(seen.arms.positions, load_cobot().home[:7])


def test_the_total_is_the_whole_call():
    engine = create_engine("scripted", "fault=slow slow_ms=30")
    [measured] = measure_in_turn([engine], synthetic_observation("cobot_magic", ""), repeats=3)
    total = measured.stages_ms["total"]
    assert total.p50 is not None
    assert 30 <= total.p50 < 300


@pytest.mark.slow
def test_two_engines_take_turns_and_their_medians_are_compared(tmp_path, capsys):
    path = tmp_path / "figures.json"
    assert main(["profile", "--against", "eager", "--repeats", "2", "--json", str(path)]) == 0
    figures = json.loads(path.read_text())
    assert figures["against"]["engine"] == "eager"
    ours, other = (it["stages_ms"]["total"] for it in (figures, figures["against"]))
    assert (ours["n"], other["n"]) == (2, 2)
    shown = capsys.readouterr().out
    assert "eager against eager, in turn" in shown
    assert f"{other['p50'] / ours['p50']:.2f}" in shown


def test_an_engine_that_was_not_built_is_named_with_the_command_that_builds_it(capsys):
    assert main(["profile", "--engine", "openvino"]) == 2
    words = "has no engine 'openvino'; build it: svam build-engine --model"
    assert words in capsys.readouterr().err


@pytest.mark.slow
def test_the_page_stands_alone_and_shows_both_engines_beside_the_paper(tmp_path):
    path = tmp_path / "profile.html"
    assert main(["profile", "--against", "eager", "--repeats", "2", "--html", str(path)]) == 0
    text = path.read_text()
    for words in (
        "tiny · eager · float32",
        "Its passes took turns with those of eager",
        "S-VAM paper",
        "307.6",
    ):
        assert words in text
    assert text.count('class="stages"') == 3
    assert "GFLOP/s in a large product" in text
    assert not re.search(r"https?://|@import|url\(|<script", text)


def test_a_page_without_a_network_has_no_floor(tmp_path):
    path = tmp_path / "profile.html"
    assert main(["profile", "--engine", "scripted", "--repeats", "2", "--html", str(path)]) == 0
    assert "What the device could do" not in path.read_text()


def test_the_passes_of_several_engines_alternate():
    order = []

    class Engine:
        def __init__(self, name):
            self.name = name

        def set_instruction(self, text):
            order.append(f"{self.name} {text}")

        def infer(self, _observation):
            order.append(self.name)
            return Prediction(np.zeros((1, 14)), {}, "")

    measure_in_turn([Engine("a"), Engine("b")], synthetic_observation("cobot_magic", "go"), repeats=2)
    assert order == ["a go", "b go", "a", "b", "a", "b"]


def test_the_frame_has_the_camera_s_size_and_is_always_the_same():
    first, second = (synthetic_observation("cobot_magic", "do it") for _ in range(2))
    assert first.frame.rgb.shape == (480, 640, 3)
    assert (first.frame.rgb == second.frame.rgb).all()


def test_an_engine_without_eight_bits_is_not_timed_as_if_it_had_some(capsys):
    assert main(["profile", "--engine", "eager", "--dtype", "int8"]) == 2
    assert "engine 'eager' does not run in int8; 'tensorrt' does" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "no_such_model"], "'no_such_model' is neither a folder nor a model"),
        (["--model", "cobbot", "--random-weights"], "'cobbot' is no preset, did you mean 'cobot'"),
        (["--engine", "scripted", "--against", "eager"], "'scripted' has no network"),
        (["--threads", "65"], "'threads' is 65, allowed is 0 to 64"),
        (["--engine", "scripted", "--json", "no/such/folder/figures.json"], "there is no folder"),
        (["--engine", "scripted", "--repeats", "0"], "'repeats' is 0, allowed is 1 to 100000"),
        (["--engine", "scripted", "--profile", "cobot_magik"], "did you mean 'cobot_magic'"),
    ],
)
def test_what_cannot_be_is_one_sentence(capsys, arguments, words):
    assert main(["profile", *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_the_trace_has_every_pass_and_no_arms(tmp_path):
    path = tmp_path / "trace.json"
    assert main(["profile", "--engine", "scripted", "--repeats", "3", "--trace", str(path)]) == 0
    trace = json.loads(path.read_text())
    passes = [e for e in trace["traceEvents"] if e["name"].startswith("chunk ") and e["ph"] == "X"]
    assert [event["name"] for event in passes] == ["chunk 1", "chunk 2", "chunk 3"]
    assert all(before["ts"] + before["dur"] <= after["ts"] for before, after in pairwise(passes))
    names = {e["args"]["name"] for e in trace["traceEvents"] if e["name"] == "thread_name"}
    assert names == {"front camera", "policy_node"}
    assert trace["otherData"]["engine"] == "scripted"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--ros", "--model", "mine", "--threads", "2"], "--model, --threads cannot be given with --ros"),
        (["--ros", "--against", "eager"], "--against cannot be given with --ros"),
        (["--namespace", "robot_2"], "add --ros"),
    ],
)
def test_what_contradicts_running_nodes_is_refused(options, words, capsys):
    assert main(["profile", *options]) == 2
    assert words in capsys.readouterr().err
