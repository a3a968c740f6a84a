"""Clocks and power from files and a program such as Linux and NVIDIA's driver have; or nothing, no error."""

from __future__ import annotations

import stat

import pytest

from svam_ros.profiling.device_state import CpuState, GpuState, read_device_state

ASKED = (
    "--query-gpu=clocks.current.sm,clocks.max.sm,clocks.current.memory,power.draw,power.limit,pstate,"
    "temperature.gpu --format=csv,noheader,nounits"
)


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """A program of that name which answers what it is told to, if it was asked rightly."""

    def install(answer: str, code: int = 0) -> None:
        program = tmp_path / "nvidia-smi"
        program.write_text(f'#!/bin/sh\ntest "$*" = "{ASKED}" || exit 9\nprintf "{answer}"\nexit {code}\n')
        program.chmod(program.stat().st_mode | stat.S_IEXEC)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return install


def test_a_gpu_tells_its_clocks_and_its_power(nvidia_smi):
    nvidia_smi("1695, 2100, 9751, 341.20, 350.00, P2, 71\\n210, 2100, 405, 20, 350, P8, 30\\n")
    state = read_device_state("cuda")
    assert state == GpuState(1695.0, 2100.0, 9751.0, 341.2, 350.0, "P2", 71.0)
    assert "1695 of 2100 MHz, memory 9751 MHz, 341 of 350 W, power state P2, 71 °C" in state.describe()


def test_what_a_gpu_does_not_tell_stays_open(nvidia_smi):
    nvidia_smi("1695, 2100, [N/A], [Not Supported], [N/A], [N/A], 71\\n")
    state = read_device_state("cuda")
    assert state == GpuState(1695.0, 2100.0, None, None, None, None, 71.0)
    assert "? of ? W, power state ?" in state.describe()


@pytest.mark.parametrize(("answer", "code"), [("", 0), ("No devices were found\\n", 6), ("1, 2\\n", 0)])
def test_without_an_answer_there_is_no_state(nvidia_smi, answer, code):
    nvidia_smi(answer, code)
    assert read_device_state("cuda") is None


def test_without_the_program_there_is_no_state(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_device_state("cuda") is None


def core(cpus, number: int, khz: int) -> None:
    folder = cpus / f"cpu{number}" / "cpufreq"
    folder.mkdir(parents=True)
    for name, text in (
        ("scaling_cur_freq", f"{khz}\n"),
        ("cpuinfo_max_freq", "3600000\n"),
        ("scaling_governor", "powersave\n"),
    ):
        (folder / name).write_text(text)


def test_a_cpu_tells_its_clock_and_its_governor(tmp_path):
    core(tmp_path, 0, 1_200_000)
    core(tmp_path, 1, 3_000_000)
    state = read_device_state("cpu", tmp_path)
    assert state == CpuState(2100.0, 3600.0, "powersave")
    assert "2100 of 3600 MHz, governor powersave" in state.describe()


def test_a_virtual_machine_tells_nothing(tmp_path):
    assert read_device_state("cpu", tmp_path) is None
    core(tmp_path, 0, 1_200_000)
    (tmp_path / "cpu0" / "cpufreq" / "scaling_cur_freq").write_text("<unknown>\n")
    assert read_device_state("cpu", tmp_path) is None
