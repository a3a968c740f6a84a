"""The README of an imported model: what it was made of, and what follows from that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from svam_ros.artifacts.published.trained_settings import switches
from svam_ros.networks.config import SvamConfig


def model_card(
    name: str, preset: str, config: SvamConfig, sources: Mapping[str, str], warnings: Sequence[str]
) -> str:
    """The card as Markdown."""
    settings = "\n".join(f"| `{option}` | {value} |" for option, value in switches(config).items())
    rows = "\n".join(f"| `{source}` | `{digest}` |" for source, digest in sources.items())
    noted = "".join(f"- Noted on import: {warning}.\n" for warning in warnings)
    robot = (
        "Its actions are CALVIN's end-effector steps: it is no model for the Cobot and is refused there."
        if preset == "calvin"
        else "Its actions are joint targets of the Cobot."
    )
    return f"""# {name}

Published S-VAM weights, imported with `svam import-published --preset {preset}`. Nothing was trained or
changed; only names and layout are ours, and position tables stand at the resolution in use. {robot}

- The licences of the source files hold for this folder too, the strictest of them for the whole. Depth
  Anything 3 Large allows no commercial use; read those of the others.
{noted}
It predicts {config.action_expert.pred_horizon} actions at once, of which {config.exec_horizon} are executed,
and is run with

| switch | set to |
| --- | --- |
{settings}

These are part of the model: with others its references are pictures that the action expert never saw. It was
made of

| source | sha256 |
| --- | --- |
{rows}
"""
