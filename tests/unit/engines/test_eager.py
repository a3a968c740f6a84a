from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from support.networks import (
    CONFIG,
    SENTENCES,
    as_on_the_cobot,
    observation,
    random_network,
    save_random_model,
)

from svam_ros.artifacts.model_directory import MANIFEST_FILE, ModelDirectoryError
from svam_ros.engines import create_engine
from svam_ros.engines.eager import EagerEngine
from svam_ros.engines.policy_engine import DeviceFailed, DeviceMemoryExhausted, PredictionRefused
from svam_ros.translation.preprocessing import prepare_observation
from svam_ros.types import CameraFrame, Horizon


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_random_model(tmp_path_factory.mktemp("models") / "small")


def test_an_engine_created_by_name_says_what_it_runs(model):
    engine = create_engine("eager", model.path, seed=3)
    assert (engine.name, engine.model_name) == ("eager", "small")
    assert (engine.horizon, engine.step_s) == (Horizon(6, 4), 0.04)
    engine.close()


def test_fixed_noise_gives_equal_actions_from_equal_observations_whatever_came_before(model):
    first, second = EagerEngine(model, seed=3), EagerEngine(model, seed=3)
    second.warm_up()
    second.infer(observation(SENTENCES[1], seed=9))
    expected = first.infer(observation()).actions
    assert np.array_equal(second.infer(observation()).actions, expected)
    assert np.array_equal(second.infer(observation()).actions, expected)
    assert not np.array_equal(EagerEngine(model, seed=4).infer(observation()).actions, expected)


def test_fresh_noise_differs_from_pass_to_pass_and_repeats_with_the_seed(model):
    def two_passes() -> list[np.ndarray]:
        engine = EagerEngine(model, seed=3, noise="fresh")
        return [engine.infer(observation()).actions for _ in range(2)]

    first, second = two_passes(), two_passes()
    assert not np.array_equal(first[0], first[1])
    assert np.array_equal(first, second)


def test_the_prediction_is_the_networks_in_radians_and_metres(model):
    engine = EagerEngine(model, seed=3)
    seen = observation()
    prediction = engine.infer(seen)
    model_input = prepare_observation(seen, model.manifest.image)
    assert prediction.actions.shape == (6, 14)
    assert prediction.actions.dtype == np.float64
    assert prediction.input_digest == model_input.digest()

    network, generator = model.load_network(), torch.Generator().manual_seed(3)
    noises = [
        torch.randn(1, *shape, generator=generator)
        for shape in (network.config.latent_noise_shape, network.config.action_noise_shape)
    ]
    tokens = model.tokenizer.encode(seen.instruction)
    condition = network.encode_instruction(
        torch.from_numpy(tokens.token_ids), torch.from_numpy(tokens.attention_mask)
    )
    joints = model.statistics.normalise_joints(model_input.joints.astype(np.float64)).astype(np.float32)
    with torch.no_grad():
        image = torch.from_numpy(model_input.image)[None]
        normalised = network(image, condition, torch.from_numpy(joints)[None], *noises)
    expected = model.statistics.denormalise_actions(normalised[0].double().numpy(), seen.arms.positions)
    np.testing.assert_allclose(prediction.actions, expected, atol=1e-4)


def test_every_network_stage_is_timed_for_this_pass_alone(model):
    engine = EagerEngine(model)
    for _ in range(2):
        stages = engine.infer(observation()).stages_ms
    network_stages = ["backbone", "references", "decouplers", "uni_perceiver", "action_expert"]
    assert list(stages) == ["preprocess", *network_stages]
    assert all(0 < duration < 5000 for duration in stages.values())
    assert stages["backbone"] > stages["preprocess"] / 100


def test_an_observation_is_acted_on_under_its_own_instruction(model):
    engine = EagerEngine(model)
    engine.set_instruction(SENTENCES[0])
    lift = engine.infer(observation(SENTENCES[0])).actions
    place = engine.infer(observation(SENTENCES[1])).actions
    assert not np.array_equal(lift, place)
    assert np.array_equal(engine.infer(observation(SENTENCES[0])).actions, lift)


def test_after_an_instruction_that_is_not_understood_the_old_one_is_not_acted_on(model):
    engine = EagerEngine(model)
    engine.set_instruction(SENTENCES[0])
    with pytest.raises(PredictionRefused, match="does not know 'banana'"):
        engine.set_instruction("lift the banana")
    with pytest.raises(PredictionRefused, match="does not know 'banana'"):
        engine.infer(observation("lift the banana"))
    assert engine.infer(observation(SENTENCES[0])).actions.shape == (6, 14)


def test_actions_that_are_not_finite_are_refused(model, monkeypatch):
    engine = EagerEngine(model)
    with monkeypatch.context() as patch:
        patch.setattr(type(model.statistics), "denormalise_actions", lambda *_: np.full((6, 14), np.nan))
        with pytest.raises(PredictionRefused, match="model 'small' gave actions that are not finite"):
            engine.infer(observation())
    assert np.all(np.isfinite(engine.infer(observation()).actions))


FRAME = observation().frame.rgb


@pytest.mark.parametrize(
    ("rgb", "words"),
    [
        (FRAME.astype(np.float32), r"the frame is float32 \(480, 640, 3\), expected is uint8"),
        (np.full(FRAME.shape, np.nan), r"the frame is float64 .*, expected is uint8"),
        (FRAME[..., 0], r"the frame is uint8 \(480, 640\), expected is uint8 \(height, width, 3\)"),
        (np.zeros((480, 640, 4), np.uint8), r"the frame is uint8 \(480, 640, 4\)"),
        (FRAME[None], r"the frame is uint8 \(1, 480, 640, 3\)"),
        (FRAME[:0], "the frame has no pixels: 640x0"),
        (None, "the frame is NoneType"),
    ],
)
def test_what_is_no_picture_is_refused_with_what_was_expected(model, rgb, words):
    engine = EagerEngine(model)
    broken = dataclasses.replace(observation(), frame=CameraFrame(rgb, 10**9))
    with pytest.raises(PredictionRefused, match=words):
        engine.infer(broken)


@pytest.mark.parametrize(
    ("positions", "words"),
    [
        (np.where(np.arange(14) == 3, np.nan, 0.0), "measured position of joint 3 .* is not finite"),
        (np.full(14, np.inf), "is not finite"),
        (np.zeros(7), r"the joints have shape \(7,\), the model moves 14"),
    ],
)
def test_joints_that_nothing_can_start_from_are_refused(model, positions, words):
    engine = EagerEngine(model)
    seen = observation()
    broken = dataclasses.replace(seen, arms=dataclasses.replace(seen.arms, positions=positions))
    with pytest.raises(PredictionRefused, match=words):
        engine.infer(broken)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has 0 tokens, allowed are 1 to 18"),
        ("   ", "has 0 tokens, allowed are 1 to 18"),
        ("a" * 10_000, "has 10000 characters, allowed are 1 to 256"),
        ("lift " * 50, "has 50 tokens, allowed are 1 to 18"),
    ],
)
def test_an_absurd_instruction_is_refused_with_what_is_allowed(model, text, words):
    engine = EagerEngine(model)
    with pytest.raises(PredictionRefused, match=words):
        engine.set_instruction(text)
    with pytest.raises(PredictionRefused, match=words):
        engine.infer(observation(text))


@pytest.mark.parametrize("shape", [(1, 1, 3), (37, 900, 3), (1080, 1920, 3)])
def test_a_picture_of_another_size_is_brought_to_the_networks(model, shape):
    picture = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    seen = dataclasses.replace(observation(), frame=CameraFrame(picture, 10**9))
    assert np.all(np.isfinite(EagerEngine(model).infer(seen).actions))


@pytest.mark.parametrize(
    ("part", "name", "value", "words"),
    [
        (None, "exec_horizon", 7, "exec_horizon is 7, allowed is 1 to pred_horizon 6"),
        ("backbone", "frames", 0, "backbone.frames must be at least 1, got 0"),
    ],
)
def test_no_engine_is_made_for_more_steps_than_were_trained_or_no_frames(
    model, tmp_path, part, name, value, words
):
    changed = shutil.copytree(model.path, tmp_path / "small")
    manifest = json.loads((changed / MANIFEST_FILE).read_text())
    settings = manifest["config"] if part is None else manifest["config"][part]
    assert settings[name] != value
    settings[name] = value
    (changed / MANIFEST_FILE).write_text(json.dumps(manifest))
    with pytest.raises(ModelDirectoryError, match=words):
        create_engine("eager", changed)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_every_precision_sees_the_same_noise_and_gives_doubles(model, dtype):
    exact = EagerEngine(model, seed=3).infer(observation()).actions
    rounded = EagerEngine(model, seed=3, dtype=dtype).infer(observation()).actions
    assert rounded.dtype == np.float64
    assert not np.array_equal(rounded, exact)
    moved = exact - observation().arms.positions
    # Other noise moves the actions by about as much as they are large.
    assert np.linalg.norm(rounded - exact) < 0.1 * np.linalg.norm(moved)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_settings_of_the_cobot_run_in_every_precision(tmp_path, dtype):
    network = random_network(as_on_the_cobot(CONFIG))
    model = save_random_model(tmp_path / "cobot", network=network)
    assert np.all(np.isfinite(EagerEngine(model, dtype=dtype).infer(observation()).actions))


def test_warming_up_ends_early_where_a_pass_takes_seconds(model, monkeypatch):
    engine = EagerEngine(model)
    passes = []

    def run(*_: object) -> torch.Tensor:
        passes.append(1)
        return torch.zeros(1)

    monkeypatch.setattr(engine, "_run", run)
    engine.warm_up()
    assert len(passes) == 3
    monkeypatch.setattr("svam_ros.engines.network_engine.WARM_UP_S", 0.0)
    engine.warm_up()
    assert len(passes) == 4


def test_weights_that_are_not_finite_never_reach_an_engine(tmp_path):
    network = random_network()
    with torch.no_grad():
        network.action_expert.action_prediction.bias[0] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        save_random_model(tmp_path / "broken", network=network)


def test_a_device_that_fails_is_lost_and_not_asked_again(model, monkeypatch):
    engine = create_engine("eager", model.path)
    asked = []

    def run(*arguments):
        asked.append(arguments)
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nCompile with...")

    monkeypatch.setattr(engine, "_run_stages", run)
    with pytest.raises(DeviceFailed, match=r"^CUDA error: an illegal memory access was encountered$"):
        engine.infer(observation())
    assert len(asked) == 1


POISON = """
import torch
from support.networks import observation
from svam_ros.engines import create_engine
from svam_ros.engines.policy_engine import DeviceFailed

engine = create_engine("eager", MODEL, device="cuda")
sound = engine._run_stages
engine._run_stages = lambda inputs: sound(inputs)[torch.full((1,), 10**6, device="cuda")]
try:
    engine.infer(observation())
except DeviceFailed as error:
    print("lost:", error)
"""


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_an_access_that_a_gpu_refuses_loses_the_device(model):
    """In a process of its own, which is poisoned by it."""
    program = POISON.replace("MODEL", repr(str(model.path)))
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("lost: CUDA error"), done.stderr


@pytest.mark.parametrize("failures", [1, 2])
def test_a_device_without_memory_is_asked_once_more_and_no_further(model, monkeypatch, failures):
    engine = create_engine("eager", model.path)
    expected = engine.infer(observation()).actions
    sound, asked = engine._run_stages, []

    def run(*arguments):
        asked.append(arguments)
        if len(asked) <= failures:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB")
        return sound(*arguments)

    monkeypatch.setattr(engine, "_run_stages", run)
    if failures == 1:
        assert np.array_equal(engine.infer(observation()).actions, expected)
    else:
        with pytest.raises(
            DeviceMemoryExhausted, match=r"cpu: CUDA out of memory\. Tried to allocate 2.00 MiB"
        ):
            engine.infer(observation())
    assert len(asked) == 2
