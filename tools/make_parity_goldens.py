"""Writes golden sets: the published form in fp64, stored in fp32.

Run it from the checkout. Without arguments it writes the small sets of tests/parity/goldens, as is needed
when the sizes below change. ``--published-size DIR`` writes sets of the published network's size, large
values sampled, for ``pytest tests/parity --goldens DIR``: minutes, and 9 GB of memory for each.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.golden_sets.golden_manifest import end_to_end_manifest, modules_manifest  # noqa: E402
from benchmarks.golden_sets.golden_set import GoldenSet, write_golden_set  # noqa: E402
from benchmarks.golden_sets.golden_values import published_values  # noqa: E402
from svam_ros.networks.config import (  # noqa: E402
    ActionExpertConfig,
    BackboneConfig,
    DecouplerConfig,
    GeometricReferenceConfig,
    ImageEncoderConfig,
    ReferenceConfig,
    SemanticReferenceConfig,
    SvamConfig,
    TextConfig,
    UniPerceiverConfig,
)
from svam_ros.networks.presets import CALVIN  # noqa: E402
from svam_ros.networks.published_form.groups import PublishedSizes  # noqa: E402
from svam_ros.profiling.memory import resident_peak_bytes  # noqa: E402

OUT = ROOT / "tests" / "parity" / "goldens"
MODULES_SEED = 4711
END_TO_END_SEED = 90210
NOISE_LEVEL_ENTRIES = ("denoised_sigma_0.002", "denoised_sigma_2.5", "denoised_sigma_80.0", "loss_sigma_0.37")

END_MARK, PADDING = 41, 43
SENTENCE_IDS = (42, 7, 3, 30, END_MARK)
TEXT_LENGTH = 9

PUBLISHED_SEED = 2603
PUBLISHED_SENTENCE_IDS = (CALVIN.text.bos_id, 1255, 518, 736, 2866, CALVIN.text.eos_id)
"""Any words do: the weights mean nothing."""
KINDS = ("end_to_end", "modules")


def network_sizes() -> SvamConfig:
    """Widths differ from one another where they can, so that none can stand in for another.

    A smaller image would leave one pixel at the UNet's coarsest level: group norms over two or three values
    magnify rounding until fp32 says little.
    """
    return SvamConfig(
        image_encoder=ImageEncoderConfig(128, (32, 32, 64, 96), 1, 4, 32, 0.18215),
        text=TextConfig(44, 24, 40, 2, 3, 20, 42, END_MARK, PADDING, TEXT_LENGTH, 11, add_positions=False),
        backbone=BackboneConfig(
            (32, 64, 96, 64), (2, 4, 3, 2), (True, False, True, False), 1, 3, 12, 4.0, 127.0, 0.0
        ),
        references=ReferenceConfig(
            112,
            14,
            "bilinear",
            "minus_one_to_one",
            SemanticReferenceConfig(width=20, layers=2, heads=2, registers=4),
            GeometricReferenceConfig(24, 6, 3, alternate_from=4, qk_norm_from=3, rotary_from=2),
        ),
        semantic_decoupler=DecouplerConfig(36, 2, 4, 0.1),
        geometric_decoupler=DecouplerConfig(28, 1, 4, 0.1),
        uni_perceiver=UniPerceiverConfig(40, 56, 2, 8, head_width=6, latents_per_frame=5),
        action_expert=ActionExpertConfig(5, 7, 48, 60, 3, 2, 8, False, 0.5, 1.0, 80.0, 10, 0.3, 0.1, 0.05),
        exec_horizon=7,
    )


def write(folder: Path, manifest: dict[str, Any], *, sampled: bool = False) -> None:
    """Compute one set and store it."""
    names = list(NOISE_LEVEL_ENTRIES) if manifest["kind"] == "modules" else []
    started = time.monotonic()
    values = published_values(GoldenSet(folder, manifest), names, torch.float64)
    write_golden_set(folder, manifest, values, sampled=sampled)
    size = sum(file.stat().st_size for file in folder.iterdir())
    peak = resident_peak_bytes() or 0
    sys.stdout.write(
        f"{folder}: {len(values)} entries, {size / 1e3:.0f} kB, {time.monotonic() - started:.0f} s, "
        f"memory at most {peak / 1e9:.1f} GB\n"
    )


def write_small_sets() -> None:
    """Both sets that the tests run by default."""
    network = network_sizes()
    sizes = PublishedSizes(
        network, geometric_depth=8, semantic_position_grid=21, geometric_position_grid=21, state_width=6
    )
    write(OUT / "modules", modules_manifest(sizes, seed=MODULES_SEED, batch=2))
    padding = (PADDING,) * (TEXT_LENGTH - len(SENTENCE_IDS))
    manifest = end_to_end_manifest(
        sizes,
        seed=END_TO_END_SEED,
        text="(three words)",
        padded_ids=(*SENTENCE_IDS, *padding),
        unpadded_ids=SENTENCE_IDS,
    )
    write(OUT / "end_to_end", manifest)


def write_published_size(folder: Path, kinds: list[str]) -> None:
    """Sets of the ``calvin`` preset's size, with all that the published files hold."""
    sizes, text = PublishedSizes(CALVIN), CALVIN.text
    padding = (text.pad_id,) * (text.length - len(PUBLISHED_SENTENCE_IDS))
    for kind in kinds:
        if kind == "modules":
            manifest = modules_manifest(sizes, seed=PUBLISHED_SEED, batch=1)
        else:
            manifest = end_to_end_manifest(
                sizes,
                seed=PUBLISHED_SEED,
                text="(four words)",
                padded_ids=(*PUBLISHED_SENTENCE_IDS, *padding),
                unpadded_ids=PUBLISHED_SENTENCE_IDS,
            )
        write(folder / kind, manifest, sampled=True)


def main() -> None:
    """Write what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--published-size", type=Path, metavar="DIR", help="write full-size sets into DIR")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="of those: which")
    arguments = parser.parse_args()
    if arguments.published_size is None:
        write_small_sets()
    else:
        write_published_size(arguments.published_size, arguments.kinds)


if __name__ == "__main__":
    main()
