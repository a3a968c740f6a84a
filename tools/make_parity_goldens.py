"""Writes the golden sets of tests/parity/goldens: the published form in fp64, stored in fp32.

Run it from the checkout when the sizes below change: ``.venv/bin/python tools/make_parity_goldens.py``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.published_form.golden_manifest import end_to_end_manifest, modules_manifest  # noqa: E402
from benchmarks.published_form.golden_set import GoldenSet, write_golden_set  # noqa: E402
from benchmarks.published_form.golden_values import published_values  # noqa: E402
from benchmarks.published_form.groups import PublishedSizes  # noqa: E402
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

OUT = ROOT / "tests" / "parity" / "goldens"
MODULES_SEED = 4711
END_TO_END_SEED = 90210
NOISE_LEVEL_ENTRIES = ("denoised_sigma_0.002", "denoised_sigma_2.5", "denoised_sigma_80.0", "loss_sigma_0.37")

END_MARK, PADDING = 41, 43
SENTENCE_IDS = (42, 7, 3, 30, END_MARK)
TEXT_LENGTH = 9


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


def write(folder: Path, manifest: dict[str, Any], names: tuple[str, ...] = ()) -> None:
    """Compute one set and store it."""
    values = published_values(GoldenSet(folder, manifest), list(names), torch.float64)
    write_golden_set(folder, manifest, values)
    size = sum(file.stat().st_size for file in folder.iterdir())
    sys.stdout.write(f"{folder.relative_to(ROOT)}: {len(values)} entries, {size / 1e3:.0f} kB\n")


def main() -> None:
    """Write both sets."""
    network = network_sizes()
    sizes = PublishedSizes(
        network, geometric_depth=8, semantic_position_grid=21, geometric_position_grid=21, state_width=6
    )
    write(OUT / "modules", modules_manifest(sizes, seed=MODULES_SEED, batch=2), NOISE_LEVEL_ENTRIES)
    padding = (PADDING,) * (TEXT_LENGTH - len(SENTENCE_IDS))
    manifest = end_to_end_manifest(
        sizes,
        seed=END_TO_END_SEED,
        text="(three words)",
        padded_ids=(*SENTENCE_IDS, *padding),
        unpadded_ids=SENTENCE_IDS,
    )
    write(OUT / "end_to_end", manifest)


if __name__ == "__main__":
    main()
