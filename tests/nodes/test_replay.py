"""Train/serve skew is impossible: a recording gives, bit for bit, the tensors that the live node had."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from support.networks import CONFIG, model_contents, random_network

from svam_ros import graph
from svam_ros.artifacts.model_directory import open_model
from svam_ros.artifacts.model_saving import save_model
from svam_ros.artifacts.tokenizer import build_word_tokenizer
from svam_ros.cobot import load_cobot
from svam_ros.nodes.message_conversion import status_values
from svam_ros.recording.episode_reader import read_episode
from svam_ros.recording.replay import replay_chunks
from svam_ros.simulation.tasks import TASKS
from svam_ros.translation.preprocessing import prepare_observation


@pytest.mark.slow
def test_replaying_the_recorded_episode_gives_the_tensors_that_the_node_had(tmp_path):
    contents = model_contents(random_network())
    tokenizer = build_word_tokenizer([task.instruction for task in TASKS.values()], CONFIG.text)
    model = save_model(tmp_path / "model", dataclasses.replace(contents, tokenizer=tokenizer)).path
    report = tmp_path / "report"
    command = [sys.executable, "-m", "svam_ros.cli", "demo", "--headless", "--report", str(report)]
    command += ["--model", str(model), "--episodes", "1", "--seconds", "4"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)

    episode = report / "episode_0000.mcap"
    live = {}
    for message in read_episode(episode, [f"/{graph.TIMING_TOPIC}"]):
        values = status_values(message.message, graph.TIMING_STATUS)
        live[values["run_id"], int(values["sequence"])] = values["input_digest"]
    preparation = open_model(model).manifest.image
    replayed = {}
    for entry in replay_chunks(episode, load_cobot()):
        identity = entry.chunk.run_id, entry.chunk.sequence
        replayed[identity] = prepare_observation(entry.observation, preparation).digest()
        assert np.all(np.isfinite(entry.observation.arms.positions))
    common = set(live) & set(replayed)
    assert len(common) >= 5
    assert len(common) >= len(live) - 2, "a frame that the node used is missing in the recording"
    assert {identity: replayed[identity] for identity in common} == {i: live[i] for i in common}
    assert json.loads((report / "report.json").read_text())["stages_ms"]["backbone"]["n"] >= 5
