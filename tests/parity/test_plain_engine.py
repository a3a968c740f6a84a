"""The engine that runs the published form: with the same weights it gives what ours gives, stage by stage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.golden_sets.golden_config import published_sizes as sizes_of
from benchmarks.golden_sets.golden_set import GoldenSet
from svam_ros.artifacts.network_loading import empty_network
from svam_ros.artifacts.published.conversion import convert_group
from svam_ros.cli.main import main
from svam_ros.cli.profile_measurement import synthetic_observation
from svam_ros.engines import ENGINE_NAMES, create_engine, run_plan
from svam_ros.engines.eager import EagerEngine
from svam_ros.engines.plain import NoPublishedForm, PlainEngine, published_sizes
from svam_ros.engines.random_model import SENTENCE, random_model
from svam_ros.engines.run_plan import DeviceError
from svam_ros.networks.presets import CALVIN, COBOT, PRESETS, TINY

SMALL = sizes_of(GoldenSet.open(Path(__file__).parent / "goldens" / "end_to_end")).network


@pytest.fixture
def model(monkeypatch):
    monkeypatch.setitem(PRESETS, "small", SMALL)
    return random_model("small")


@dataclass(frozen=True)
class SameWeights:
    """Our network, with the weights of a plain engine."""

    plain: PlainEngine
    model: object

    def __getattr__(self, name):
        return getattr(self.model, name)

    def load_network(self, dtype=torch.float32, device="cpu"):
        network = empty_network(SMALL)
        for group, module in self.plain._modules.items():
            network.load_state_dict(
                convert_group(group, module.state_dict(), SMALL), strict=False, assign=True
            )
        assert not any(parameter.is_meta for parameter in network.parameters())
        return network.to(device=device, dtype=dtype).eval()


def test_it_gives_what_ours_gives(model):
    plain = PlainEngine(model)
    ours = EagerEngine(SameWeights(plain, model))
    observation = synthetic_observation("cobot_magic", SENTENCE, SMALL.action_expert.action_dim)
    expected, given = (engine.infer(observation) for engine in (ours, plain))
    assert np.ptp(expected.actions) > 0.01
    assert np.allclose(given.actions, expected.actions, atol=1e-4)
    assert given.stages_ms.keys() == expected.stages_ms.keys()


def test_nothing_is_remembered_of_an_instruction(model):
    plain, called = PlainEngine(model), []
    plain._modules["text_encoder"].register_forward_hook(lambda *_: called.append(1))
    plain.set_instruction(SENTENCE)
    assert not called
    observation = synthetic_observation("cobot_magic", SENTENCE, SMALL.action_expert.action_dim)
    for _ in range(2):
        plain.infer(observation)
    assert len(called) == 4, "padded for the UNet and unpadded for the policy, in every prediction"


def test_no_robot_can_be_given_it():
    assert "plain" not in ENGINE_NAMES
    with pytest.raises(ValueError, match="unknown engine 'plain'"):
        create_engine("plain", "tiny")


def test_published_widths_are_in_the_published_form_as_a_whole():
    sizes = published_sizes(COBOT)
    assert (sizes.geometric_depth, sizes.semantic_position_grid) == (24, 37)
    assert sizes.network.references.resize == "bilinear"
    assert sizes.network.backbone == COBOT.backbone
    assert published_sizes(CALVIN).network == CALVIN


def test_a_network_that_has_no_published_form_is_refused(capsys):
    with pytest.raises(NoPublishedForm, match="normalises in 32 groups, this network in 8"):
        published_sizes(TINY)
    assert main(["profile", "--against", "plain", "--repeats", "1"]) == 2
    assert "svam profile --model cobot --random-weights --against plain" in capsys.readouterr().err


def test_too_little_memory_is_said_before_a_weight_is_made(model, monkeypatch):
    monkeypatch.setattr(run_plan, "available_bytes", lambda: 50_000_000)
    with pytest.raises(DeviceError, match=r"published form takes up to .* GB of memory, cpu has 0.1 GB free"):
        PlainEngine(model)


@pytest.mark.slow
def test_profile_times_it_in_turn_with_ours(model, capsys):
    arguments = ["--model", "small", "--random-weights", "--against", "plain", "--repeats", "2"]
    assert main(["profile", *arguments]) == 0
    assert "eager against plain, in turn" in capsys.readouterr().out
