"""At what clocks and power a device ran while it was timed: one that is throttled compares with no other."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_QUERY = (
    "clocks.current.sm",
    "clocks.max.sm",
    "clocks.current.memory",
    "power.draw",
    "power.limit",
    "pstate",
    "temperature.gpu",
)
_CPUS = Path("/sys/devices/system/cpu")


@dataclass(frozen=True)
class GpuState:
    """What ``nvidia-smi`` says of the first GPU. ``None``: this GPU or driver does not tell."""

    clock_mhz: float | None
    highest_clock_mhz: float | None
    memory_clock_mhz: float | None
    power_w: float | None
    power_limit_w: float | None
    power_state: str | None
    """P0 is the fastest, P12 the most sparing."""
    temperature_c: float | None

    def describe(self) -> str:
        """One line."""
        return (
            f"GPU right after the passes: {_told(self.clock_mhz)} of {_told(self.highest_clock_mhz)} MHz, "
            f"memory {_told(self.memory_clock_mhz)} MHz, "
            f"{_told(self.power_w)} of {_told(self.power_limit_w)} W, "
            f"power state {self.power_state or '?'}, {_told(self.temperature_c)} °C"
        )


@dataclass(frozen=True)
class CpuState:
    """What Linux says of the cores' frequencies (``cpufreq``)."""

    clock_mhz: float
    """Mean over all cores."""
    highest_clock_mhz: float
    governor: str
    """``performance`` holds the highest clock."""

    def describe(self) -> str:
        """One line."""
        return (
            f"CPU right after the passes: {self.clock_mhz:.0f} of {self.highest_clock_mhz:.0f} MHz, "
            f"governor {self.governor}"
        )


def read_device_state(device: str, cpus: Path = _CPUS) -> GpuState | CpuState | None:
    """State of ``cuda`` or ``cpu``; ``None`` where nothing can be read, as in most virtual machines."""
    return _read_gpu() if device == "cuda" else _read_cpu(cpus)


def _read_gpu() -> GpuState | None:
    command = ["nvidia-smi", f"--query-gpu={','.join(_QUERY)}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    fields = [field.strip() for field in answer.stdout.partition("\n")[0].split(",")]
    if len(fields) != len(_QUERY):
        return None
    clock, highest, memory, power, limit, state, temperature = fields
    return GpuState(
        _number(clock),
        _number(highest),
        _number(memory),
        _number(power),
        _number(limit),
        state if state.startswith("P") else None,
        _number(temperature),
    )


def _read_cpu(cpus: Path) -> CpuState | None:
    try:
        current = [int(path.read_text()) for path in cpus.glob("cpu[0-9]*/cpufreq/scaling_cur_freq")]
        first = cpus / "cpu0" / "cpufreq"
        highest = int((first / "cpuinfo_max_freq").read_text())
        governor = (first / "scaling_governor").read_text().strip()
    except (OSError, ValueError):
        return None
    if not current:
        return None
    return CpuState(sum(current) / len(current) / 1e3, highest / 1e3, governor)


def _number(field: str) -> float | None:
    """``[N/A]`` and ``[Not Supported]`` are no numbers."""
    try:
        return float(field)
    except ValueError:
        return None


def _told(value: float | None) -> str:
    return "?" if value is None else f"{value:.0f}"
