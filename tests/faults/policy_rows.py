"""Rows 9, 14 to 20: the policy is late, wrong, hung or dead."""

from __future__ import annotations

import signal
import time

from support.lost_port import delete_port

from faults.rig import SWING, FaultRig
from faults.row import (
    BRAKE_MS,
    HORIZON_MS,
    NAMED_MS,
    Figures,
    Suffered,
    assert_resumes,
    assert_sound,
    row,
    suffer,
)
from svam_ros.control.faults import Fault

POLICY, GUARD = "policy_node", "guard_node"
HANG_MS = 5000.0
"""A pass that takes longer hangs: LONGEST_PASS_S of inference_loop."""


def _on_order(fault: str) -> str:
    """A swing whose fault begins with the instruction ``break``."""
    return f"{SWING} fault_on=break {fault}"


def _breaking(rig: FaultRig, model: str, fault: Fault, by: str, state: str | None = "holding") -> Suffered:
    rig.prepare(model=model)
    rig.instruct_policy("swing")
    return suffer(rig, lambda: rig.instruct_policy("break"), fault, by, state)


@row(9, "unusable instructions in mid-motion", named_ms=NAMED_MS)
def instructions(rig: FaultRig) -> Figures:
    """Each is refused with its reason, and the one in force stays."""
    rig.prepare()

    def break_it() -> int:
        for text in ("", "lift\x07", "x" * 10_000):
            rig.operator.instruct(text)
        return time.monotonic_ns()

    suffered = suffer(rig, break_it, Fault.INSTRUCTION_UNUSABLE, POLICY, None)
    assert rig.operator.motion["state"] == "following"
    return {"named_ms": suffered.named_ms(Fault.INSTRUCTION_UNUSABLE, POLICY)}


@row(10, "the network predicts NaN", named_ms=NAMED_MS + 160.0, rest_ms=HORIZON_MS + BRAKE_MS)
def nan(rig: FaultRig) -> Figures:
    """No such chunk is ever sent; the plan ends and the arms hold, until it predicts numbers again."""
    suffered = _breaking(rig, _on_order("fault=nan"), Fault.PREDICTION_NOT_FINITE, POLICY)
    rig.instruct_policy("swing")
    assert_resumes(rig)
    return suffered.figures(Fault.PREDICTION_NOT_FINITE, POLICY)


def _slow(rig: FaultRig, slow_ms: int) -> None:
    """The motion goes on as far as the plan reaches; what was predicted too late is not executed."""
    rig.prepare(model=_on_order(f"fault=slow slow_ms={slow_ms}"))
    rig.instruct_policy("swing")
    rig.begin()
    rig.follow()
    rig.instruct_policy("break")
    rig.pause(3.0)
    assert_sound(rig, rig.record())
    rig.instruct_policy("swing")
    assert_resumes(rig)


@row(14, "forward passes take 350 ms")
def slow_350(rig: FaultRig) -> Figures:
    """Half the horizon: the motion stalls or goes on, within the limits."""
    _slow(rig, 350)
    return {}


@row(14, "forward passes take 500 ms")
def slow_500(rig: FaultRig) -> Figures:
    """Most of the horizon."""
    _slow(rig, 500)
    return {}


@row(14, "forward passes take 1000 ms", rest_ms=HORIZON_MS + BRAKE_MS)
def slow_1000(rig: FaultRig) -> Figures:
    """Longer than the horizon: everything predicted is past, nothing of it is executed."""
    model = _on_order("fault=slow slow_ms=1000")
    suffered = _breaking(rig, model, Fault.PREDICTION_LATE, POLICY)
    rig.instruct_policy("swing")
    assert_resumes(rig)
    return {"rest_ms": suffered.rest_ms()}


@row(15, "a forward pass never ends", named_ms=HANG_MS + NAMED_MS, rest_ms=HORIZON_MS + BRAKE_MS)
def hung(rig: FaultRig) -> Figures:
    """The guard holds at the end of the plan; the policy names it and ends, for whoever starts it anew."""
    model = _on_order("fault=slow slow_ms=600000")
    rig.prepare(model=model)
    rig.instruct_policy("swing")
    rig.begin()
    rig.follow()
    since_ns = rig.instruct_policy("break")
    rig.wait_state("holding")
    rig.wait_named(Fault.INFERENCE_HUNG, POLICY, 10.0)
    assert rig.wait_exit(POLICY, 15.0) == 1
    record = rig.record()
    assert_sound(rig, record)
    suffered = Suffered(record, since_ns)
    return suffered.figures(Fault.INFERENCE_HUNG, POLICY)


@row(16, "no memory for a forward pass", named_ms=NAMED_MS + 160.0, rest_ms=HORIZON_MS + BRAKE_MS)
def out_of_memory(rig: FaultRig) -> Figures:
    """The process ends with an exit code of its own; nothing goes on more slowly elsewhere by itself."""
    return _failed(rig, "fault=out_of_memory", Fault.DEVICE_MEMORY_EXHAUSTED, 3)


@row(17, "a forward pass fails for good", named_ms=NAMED_MS + 160.0, rest_ms=HORIZON_MS + BRAKE_MS)
def failed(rig: FaultRig) -> Figures:
    """Never tried again in the same process: it ends at once, and a new one takes up the motion."""
    return _failed(rig, "fault=error", Fault.INFERENCE_FAILED, 1)


@row(17, "the device fails in a forward pass", named_ms=NAMED_MS + 160.0, rest_ms=HORIZON_MS + BRAKE_MS)
def device_failed(rig: FaultRig) -> Figures:
    """An illegal access poisons a process for good: an exit code of its own says that a new one may do."""
    return _failed(rig, "fault=device", Fault.DEVICE_FAILED, 4)


def _failed(rig: FaultRig, how: str, fault: Fault, exit_code: int) -> Figures:
    rig.prepare(model=_on_order(how))
    rig.instruct_policy("swing")
    rig.begin()
    rig.follow()
    since_ns = rig.instruct_policy("break")
    assert rig.wait_exit(POLICY) == exit_code
    rig.wait_state("holding")
    rig.pause(0.8)
    record = rig.record()
    assert_sound(rig, record)
    suffered = Suffered(record, since_ns)
    rig.start_policy({"model": SWING, "instruction": "swing", "mode": "aligned"})
    assert_resumes(rig)
    return suffered.figures(fault, POLICY)


@row(18, "kill -9 of the policy", named_ms=NAMED_MS, rest_ms=HORIZON_MS + BRAKE_MS)
def killed(rig: FaultRig) -> Figures:
    """It gives no sign of life any more; the known plan is finished, then the arms hold."""
    rig.prepare()
    suffered = suffer(rig, lambda: rig.kill(POLICY), Fault.POLICY_SILENT, GUARD)
    return suffered.figures(Fault.POLICY_SILENT, GUARD)


@row(19, "the policy sleeps for 2 s", named_ms=NAMED_MS, rest_ms=HORIZON_MS + BRAKE_MS)
def asleep(rig: FaultRig) -> Figures:
    """What it saw before is too old when it wakes: no step of it is executed."""
    rig.prepare()

    def put_to_sleep() -> int:
        return rig.kill(POLICY, signal.SIGSTOP)

    suffered = suffer(rig, put_to_sleep, Fault.POLICY_SILENT, GUARD)
    rig.pause(0.7)
    woken_ns = rig.kill(POLICY, signal.SIGCONT)
    assert_resumes(rig)
    woken = [chunk for chunk in rig.record().chunks if chunk["heard_ns"] > woken_ns]
    assert woken
    offset_ns = time.time_ns() - time.monotonic_ns()
    ages_ms = [(chunk["heard_ns"] + offset_ns - chunk["stamp_ns"]) / 1e6 for chunk in woken]
    assert max(ages_ms) < HORIZON_MS, f"a chunk was made of what was seen {max(ages_ms):.0f} ms before"
    return suffered.figures(Fault.POLICY_SILENT, GUARD)


@row(20, "the policy hears nobody any more", named_ms=NAMED_MS, rest_ms=HORIZON_MS + BRAKE_MS)
def deaf(rig: FaultRig) -> Figures:
    """It says so and ends, the guard holds; started anew, as by ``ros2 launch``, it goes on."""
    rig.prepare()

    def take_its_port() -> int:
        delete_port(rig.supervisor.pid(POLICY))
        return time.monotonic_ns()

    suffered = suffer(rig, take_its_port, Fault.HEARS_NOBODY)
    assert_resumes(rig)
    return suffered.figures(Fault.HEARS_NOBODY, POLICY)


def _runs(rig: FaultRig) -> set[str]:
    return {chunk["identity"].split("/")[0] for chunk in rig.record().chunks}


@row(20, "the policy is started anew")
def restarted(rig: FaultRig) -> Figures:
    """A new run id: its first chunk is taken, the motion resumes by a ramp."""
    rig.prepare()
    suffer(rig, lambda: rig.kill(POLICY), Fault.POLICY_SILENT, GUARD)
    rig.start_policy({"model": SWING, "instruction": "swing", "mode": "aligned"})
    assert_resumes(rig)
    # The guard may have found the new policy before the referee has.
    rig.operator.wait_until("chunks of two runs at the referee", lambda: len(_runs(rig)) > 1, 5.0)
    rig.pause(0.3)
    assert len(_runs(rig)) == 2, f"chunks of {sorted(_runs(rig))}"
    return {}
