"""The processes of a run, as Hugging Face's accelerate sets them up.

``accelerate launch`` starts them on GPUs, of one machine or several, as copies or sharded
(``--use_fsdp --fsdp_version 2``). Without a GPU it starts only one; there ``python -m torch.distributed.run
--standalone --nproc-per-node 2`` starts several.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType, parse_flag_from_env, set_seed
from torch import Tensor

from svam_train.recipes.training_settings import Precision
from svam_train.training.native_arithmetic import multiplies_bfloat16
from svam_train.training.run_folder import RunError


def make_accelerator(precision: Precision) -> Accelerator:
    """The processes that the launcher started, or this one alone.

    Raises:
        RunError: the device cannot compute with ``precision``, or the launcher asks for what the loop cannot.
    """
    if precision == "auto":
        precision = _fast_precision()
    # The library keeps one state a process, and refuses a second run with another precision.
    AcceleratorState._reset_state()
    try:
        accelerator = Accelerator(mixed_precision=precision)
    except ValueError as error:
        raise RunError(f"precision {precision} cannot be had: {error}") from error
    if precision != "no" and not accelerator.native_amp:
        raise RunError(
            f"precision {precision} cannot be had on {accelerator.device.type}, accelerate would compute in "
            f"float32; use bf16 or no"
        )
    kind = accelerator.distributed_type
    if kind != DistributedType.FSDP and os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true":
        raise RunError(f"FSDP was asked for, but is for several GPUs; accelerate made it {kind.value}")
    if kind == DistributedType.FSDP and not accelerator.is_fsdp2:
        raise RunError("FSDP's first version is not supported; launch with --fsdp_version 2")
    plain = (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU, DistributedType.FSDP)
    if kind not in plain:
        raise RunError(f"{kind} is not supported; launch with one process, with several, or with FSDP")
    return accelerator


def this_process() -> PartialState:
    """Which of the processes this is: for what is done before and behind the loop.

    Whoever asks accelerate first decides for the whole process what it is one of; it looks at the launcher's
    wish for a CPU only where it is told to.
    """
    return PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU"))


def leave_together(exit_code: int) -> None:
    """End one of several processes, all of which ended well, with everything written: the last thing done.

    Does nothing in a process that is alone. The interpreter's own way out aborts such a process now and then
    ("terminate called without an active exception" from a thread of torch's that has no Python frame: 6 of
    102 runs of two sharded processes on two busy cores, after the last step as well as after the groups were
    destroyed), and the launcher then calls a finished run failed. So it is left without that way.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_code)


def _fast_precision() -> Precision:
    on_gpu = torch.cuda.is_available()
    native = torch.cuda.is_bf16_supported(including_emulation=False) if on_gpu else multiplies_bfloat16()
    return "bf16" if native else "no"


def is_sharded(accelerator: Accelerator) -> bool:
    """Whether each process holds only its part of the parameters."""
    return bool(accelerator.distributed_type == DistributedType.FSDP)


def seed_step(seed: int, step: int, process: int) -> None:
    """Let all global generators start from here, so that a step's draws are a function of the step."""
    set_seed(int(np.random.SeedSequence([seed, step, process]).generate_state(1)[0]))


def mean_over_processes(accelerator: Accelerator, numbers: Mapping[str, Tensor | float]) -> dict[str, float]:
    """Mean of every number over the processes, which all have the same names."""
    values = [torch.as_tensor(value, device=accelerator.device).double() for value in numbers.values()]
    means = accelerator.reduce(torch.stack(values), reduction="mean")
    return dict(zip(numbers, means.tolist(), strict=True))


def machine_facts(accelerator: Accelerator) -> dict[str, Any]:
    """On what a run was computed."""
    device = accelerator.device
    cuda = device.type == "cuda"
    return {
        "processes": accelerator.num_processes,
        "arrangement": str(accelerator.distributed_type.value),
        "device": torch.cuda.get_device_name(device) if cuda else platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "precision": accelerator.mixed_precision,
        "torch": torch.__version__,
    }
