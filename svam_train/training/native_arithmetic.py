"""Which arithmetic the processor has instructions for: what it lacks, torch emulates ten times as slowly."""

from __future__ import annotations

import torch


def multiplies_bfloat16() -> bool:
    """Whether this processor multiplies in bfloat16 (AMX or AVX-512 BF16)."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
