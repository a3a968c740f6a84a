"""What two training runs are compared by."""

import json
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor


def metric_lines(run: Path) -> list[dict]:
    """The lines of metrics, without the time that steps took."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{name: value for name, value in line.items() if name != "trained_s"} for line in lines]


def everything_of(run: Path) -> dict:
    """All that a run computed, to the bit; files of tensors as bytes."""
    last = max((run / "checkpoints").glob("step_??????"))
    facts = json.loads((last / "state.json").read_text(encoding="utf-8"))["facts"]
    facts.pop("trained_s")
    return {
        "step": last.name,
        "tensors": {path.name: path.read_bytes() for path in sorted(last.glob("*.safetensors"))},
        "facts": facts,
        "handed on": (run / "weights.safetensors").read_bytes(),
        "metrics": metric_lines(run),
        "pictures": {
            str(path.relative_to(run)): path.read_bytes()
            for path in sorted((run / "pictures").rglob("*.png"))
        },
    }


def last_tensors(run: Path) -> dict[str, Tensor]:
    """Weights, averages and the optimizer's state of the newest checkpoint, but for counts of forwards."""
    last = max((run / "checkpoints").glob("step_??????"))
    return {
        f"{path.stem}/{name}": value
        for path in last.glob("*.safetensors")
        for name, value in load_file(path).items()
        if name != "forwards"
    }
