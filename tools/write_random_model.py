"""Writes a model directory with random weights: loading one of any size can be measured without training.

``.venv/bin/python tools/write_random_model.py cobot DIR`` writes 3.9 GB and takes a minute.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from svam_ros.artifacts.model_saving import ModelContents, save_model
from svam_ros.engines.random_model import random_model
from svam_ros.networks.presets import PRESETS


def main() -> None:
    """Write the directory and say what is in it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("preset", choices=PRESETS)
    parser.add_argument("path", type=Path, metavar="DIR")
    parser.add_argument("--seed", type=int, default=0, help="of the weights")
    arguments = parser.parse_args()
    model = random_model(arguments.preset, arguments.seed)
    contents = ModelContents(
        network=model.load_network(torch.float16),
        statistics=model.statistics,
        tokenizer=model.tokenizer,
        preset=arguments.preset,
        image=model.manifest.image,
        provenance=model.manifest.provenance,
    )
    path = save_model(arguments.path, contents).path
    size = sum(file.stat().st_size for file in path.iterdir())
    sys.stdout.write(f"{path}: {size / 1e9:.2f} GB\n")


if __name__ == "__main__":
    main()
