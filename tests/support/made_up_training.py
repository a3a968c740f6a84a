"""A small real objective on made-up data, and a program that trains it: for tests of the training loop.

Run as ``python -m support.made_up_training FOLDER [--resume] [SETTINGS AS JSON]``.
"""

import json
import resource
import sys
import time
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from accelerate import FullyShardedDataParallelPlugin
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from torch import Tensor, nn

from svam_train.recipes.training_settings import TrainingSettings
from svam_train.training.interruption import Interrupted
from svam_train.training.loop import train
from svam_train.training.processes import leave_together
from svam_train.training.run_folder import RunError, RunFolder

SETTINGS = TrainingSettings(
    steps=12,
    batch_size=8,
    learning_rate=0.02,
    warm_up_steps=3,
    average_decay=0.9,
    checkpoint_every_s=1e6,
    log_every=2,
    evaluate_every=4,
    pictures_every=6,
    seed=5,
)


class MadeUpNetwork(nn.Module):
    """Two losses; dropout draws from the global generator; a buffer changes; one parameter is frozen."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(6, 16), nn.LayerNorm(16), nn.GELU(), nn.Dropout(dropout), nn.Linear(16, 2)
        )
        self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)
        self.register_buffer("forwards", torch.zeros((), dtype=torch.int64))

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        if self.training:
            self.forwards += 1
        error = self.body(batch["inputs"] + batch["noise"]) * self.frozen - batch["targets"]
        square, absolute = error.square().mean(), error.abs().mean()
        return {"total": square + 0.1 * absolute, "square": square, "absolute": absolute}


@dataclass
class MadeUpObjective:
    """Learns a fixed function of six numbers."""

    seed: int = 5
    dropout: float = 0.2
    pause_s: float = 0.0
    """Time that each batch takes."""
    poisoned_step: int = -1
    """The batch of this step has a value that is not finite."""
    full_disk_step: int = -1
    """From this step on the system takes small files only: real writes fail, as on a full disk."""

    def __post_init__(self) -> None:
        torch.manual_seed(self.seed)
        self.module: nn.Module = MadeUpNetwork(self.dropout)

    def batch(self, step: int, size: int) -> dict[str, Tensor]:
        time.sleep(self.pause_s)
        if step == self.full_disk_step:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2500, resource.RLIM_INFINITY))
        random = np.random.default_rng([self.seed, step])
        inputs = torch.from_numpy(random.standard_normal((size, 6), dtype=np.float32))
        noise = torch.from_numpy(0.1 * random.standard_normal((size, 6), dtype=np.float32))
        if step == self.poisoned_step:
            noise[0, 0] = float("inf")
        targets = torch.stack([inputs[:, :3].sum(1).sin(), inputs[:, 3:].prod(1)], 1)
        return {"inputs": inputs, "noise": noise, "targets": targets}

    def held_out(self, module: nn.Module) -> dict[str, float]:
        with torch.no_grad():
            return {name: float(loss) for name, loss in module(self.batch(1_000_000, 16)).items()}

    def pictures(self, module: nn.Module) -> dict[str, np.ndarray]:
        weights = module.get_parameter("body.0.weight").detach().float()
        return {"weights": (weights.sigmoid() * 255).byte().unsqueeze(-1).expand(-1, -1, 3).numpy().copy()}

    def network_tensors(self, module: nn.Module) -> dict[str, Tensor]:
        return {f"network.{name}": value for name, value in module.get_submodule("body").state_dict().items()}


def shard_on_cpu() -> None:
    """Let accelerate shard parameters (FSDP 2) over processes without GPUs, where it would only copy them.

    torch itself can do it; so the loop's way with sharded tensors is tested on any machine.
    """
    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        reshard_after_forward=True,
        auto_wrap_policy="size_based_wrap",
        min_num_params=20,
        cpu_ram_efficient_loading=False,
    )
    original = AcceleratorState.__init__

    def sharding(self: AcceleratorState, *arguments, **options) -> None:
        original(self, *arguments, **options)
        self.fsdp_plugin = plugin
        self.distributed_type = DistributedType.FSDP

    AcceleratorState.__init__ = sharding


def main() -> int:
    """Train in the folder that is named first."""
    torch.set_num_threads(1)
    arguments = [argument for argument in sys.argv[1:] if argument != "--resume"]
    values = json.loads(arguments[1]) if len(arguments) > 1 else {}
    own = [field.name for field in fields(MadeUpObjective) if field.name != "seed"]
    objective = MadeUpObjective(**{name: values.pop(name) for name in own if name in values})
    if values.pop("sharded", False):
        shard_on_cpu()
    settings = TrainingSettings(**{**vars(SETTINGS), **values})
    try:
        train(objective, settings, RunFolder(Path(arguments[0]), settings), resume="--resume" in sys.argv)
    except RunError as error:
        print(error, file=sys.stderr)
        return 1
    except Interrupted as stopped:
        leave_together(int(stopped.code or 0))
        raise
    leave_together(0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
