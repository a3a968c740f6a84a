"""How far float16 and bfloat16 are from float32: whole networks with random weights, output by output.

    python -m benchmarks.precision --preset cobot --page docs/accuracy.md

One network after the other is built with the same weights and run on the same inputs, so that memory never
holds more than one. Every output is measured end to end, and by itself: its stage given what float32 hands
it. The table that engines are held to is ``svam_ros/engines/accuracy.py``.
"""

from __future__ import annotations

import dataclasses
import json
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from torch import Tensor

from svam_ros.engines.accuracy import (
    OUTPUTS,
    allowed_deviation,
    compared_dtypes,
    exceeded,
    relative_rms,
)
from svam_ros.engines.random_model import RandomModel, random_model
from svam_ros.engines.run_plan import plan_run
from svam_ros.engines.stages import StageInputs, StageOutputs, run_stages
from svam_ros.networks.presets import PRESETS
from svam_ros.networks.svam import Foresight, Svam
from svam_ros.parameters import DeviceName
from svam_ros.profiling.environment import read_machine, read_versions
from svam_ros.whole_files import write_whole_text

DRAW_SEED = 1
"""Of the picture and the noise."""

PARITY_HEADING = "## Parity with the published form"


@dataclass(frozen=True)
class Options:
    """What is compared, and where it is written."""

    preset: str = "cobot"
    """Sizes of the network."""
    device: DeviceName = "cpu"
    """Where it runs."""
    threads: int = 0
    """CPU threads; 0: all cores for a large network."""
    seed: int = 0
    """Of the weights."""
    json: Path | None = None
    """Write the figures, the machine and the versions to this file."""
    page: Path | None = None
    """Write the same as a page of documentation; what it says on parity, measured otherwise, stays."""


@dataclass(frozen=True)
class Comparison:
    """One format against float32."""

    end_to_end: dict[str, float]
    """Relative rms deviation of each output, the whole network in the format."""
    by_itself: dict[str, float]
    """The same with every stage given what float32 hands it, rounded."""
    pass_s: float
    """How long the end-to-end pass took, without warm-up: for orientation only."""


def main(options: Options) -> dict[str, Comparison]:
    """Run, print, write.

    Raises:
        SystemExit: a deviation is outside the table.
    """
    comparisons = compare(options)
    limits = allowed_deviation(PRESETS[options.preset])
    text = markdown(options, comparisons)
    print(text)
    if options.page is not None:
        write_page(options.page, text)
    if options.json is not None:
        figures = {
            "preset": options.preset,
            "device": options.device,
            "deviations": {name: dataclasses.asdict(item) for name, item in comparisons.items()},
            "allowed": limits,
            "machine": dataclasses.asdict(read_machine()),
            "versions": read_versions(),
        }
        write_whole_text(options.json, json.dumps(figures, indent=2) + "\n")
    faults = [
        fault for name, item in comparisons.items() for fault in exceeded(limits, name, item.end_to_end)
    ]
    if faults:
        raise SystemExit("\n".join(faults))
    return comparisons


@torch.inference_mode()
def compare(options: Options) -> dict[str, Comparison]:
    """Deviations of every format of the table, by its name."""
    model = random_model(options.preset, options.seed)
    plan = plan_run(model.manifest, options.device, "float32", options.threads)
    torch.set_num_threads(plan.threads)
    network = load(model, torch.float32, plan.device)
    exact_inputs = draw_inputs(network, torch.float32, plan.device)
    exact = run_stages(network, exact_inputs, nullcontext)
    reference = named_outputs(network, exact)
    del network
    comparisons = {}
    for name, dtype in compared_dtypes().items():
        network = load(model, dtype, plan.device)
        inputs = draw_inputs(network, dtype, plan.device)
        started = time.perf_counter()
        outputs = named_outputs(network, run_stages(network, inputs, nullcontext))
        pass_s = time.perf_counter() - started
        alone = named_outputs(network, run_stages_alone(network, inputs, exact))
        comparisons[name] = Comparison(
            {output: relative_rms(outputs[output], reference[output]) for output in OUTPUTS},
            {output: relative_rms(alone[output], reference[output]) for output in OUTPUTS},
            pass_s,
        )
        del network
    return comparisons


def load(model: RandomModel, dtype: torch.dtype, device: torch.device) -> Svam:
    """The network of the model as it runs on the robot."""
    return model.load_network(dtype, device).prepare_for_inference()


def draw_inputs(network: Svam, dtype: torch.dtype, device: torch.device) -> StageInputs:
    """A picture of noise, the model's one sentence and noise: the same numbers for every format."""
    config, expert = network.config, network.config.action_expert
    generator = torch.Generator().manual_seed(DRAW_SEED)

    def normal(*shape: int) -> Tensor:
        return torch.randn(1, *shape, generator=generator).to(device, dtype)

    text = config.text
    token_ids = torch.full((1, text.length), text.eos_id, device=device)
    token_ids[0, :3] = torch.tensor([text.bos_id, 3, 4], device=device)
    mask = (torch.arange(text.length, device=device) < 4).long()[None]
    size = config.image_encoder.image_size
    return StageInputs(
        normal(3, size, size).clamp(-1, 1),
        network.encode_instruction(token_ids, mask),
        normal(expert.action_dim) if expert.proprioception else None,
        normal(*config.latent_noise_shape),
        normal(*config.action_noise_shape),
    )


def run_stages_alone(network: Svam, inputs: StageInputs, exact: StageOutputs) -> StageOutputs:
    """Every stage given the rounded output of the exact stages before it."""

    def rounded(tensor: Tensor) -> Tensor:
        return tensor.to(inputs.image.dtype)

    features = rounded(exact.features)
    foresight = Foresight(rounded(exact.foresight.semantic), rounded(exact.foresight.geometric))
    return StageOutputs(
        network.backbone(network.encode_image(inputs.image), inputs.condition, inputs.latent_noise),
        network.decouple(features, network.references(inputs.image)),
        network.perceive(features, foresight),
        network.act(rounded(exact.context), inputs.condition, inputs.joints, inputs.action_noise),
    )


def named_outputs(network: Svam, outputs: StageOutputs) -> dict[str, Tensor]:
    """What the accuracy table names, in single precision on the CPU."""
    tokens = network.foresight_tokens(outputs.foresight)
    values = (outputs.features, tokens.semantic, tokens.geometric, outputs.context, outputs.actions)
    return {name: value.float().cpu() for name, value in zip(OUTPUTS, values, strict=True)}


def write_page(page: Path, text: str) -> None:
    """Replace the page but for its section :data:`PARITY_HEADING`, if it has one."""
    before = page.read_text(encoding="utf-8") if page.exists() else ""
    _, heading, parity = before.partition(f"\n{PARITY_HEADING}\n")
    write_whole_text(page, text + heading + parity)


def markdown(options: Options, comparisons: dict[str, Comparison]) -> str:
    """The page: what was measured, against what is allowed, where and with which command."""
    machine, versions = read_machine(), read_versions()
    limits = allowed_deviation(PRESETS[options.preset])
    place = machine.gpu if options.device == "cuda" else machine.cpu
    lines = [
        "# Accuracy",
        "",
        "Relative rms deviation from float32 of whole networks in a shorter format, with random weights, a",
        "picture of noise and the same diffusion noise. *By itself*: the stage given what float32 hands it.",
        "Engines are held to *allowed* ([the table](../svam_ros/engines/accuracy.py); networks",
        "narrower than the published ones have limits of their own: few channels average little out).",
        "",
        f"Measured on {place}, {machine.cores} cores, torch {versions['torch']}, preset `{options.preset}`:",
        f"`python -m benchmarks.precision --preset {options.preset} --device {options.device}`.",
    ]
    for name, item in comparisons.items():
        head = ["| output | end to end | by itself | allowed |", "| --- | --- | --- | --- |"]
        lines += ["", f"## {name}", "", *head]
        lines += [
            f"| {output.replace('_', ' ')} | {item.end_to_end[output]:.1e} | {item.by_itself[output]:.1e} "
            f"| {limits[name][output]:.0e} |"
            for output in OUTPUTS
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
