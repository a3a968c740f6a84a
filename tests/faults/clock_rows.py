"""Row 23: ROS time jumps, as when NTP steps a clock or a simulation is set back."""

from __future__ import annotations

from faults.rig import PARTS, FaultRig
from faults.row import FORGET_S, NAMED_MS, Figures, Suffered, assert_resumes, row
from faults.simulated_clock import SimulatedClock
from svam_ros import graph
from svam_ros.control.faults import Fault

POLICY, GUARD = "policy_node", "guard_node"


def _use_clock_topic(rig: FaultRig, used: bool) -> None:
    for part in PARTS:
        rig.parts[part].tell(clock="topic" if used else "system")
    for node in (graph.GUARD_NODE, graph.POLICY_NODE):
        rig.operator.set_parameters(node, {"use_sim_time": used})


def _jump(rig: FaultRig, by_s: float) -> Figures:
    rig.prepare()
    with SimulatedClock(rig.operator.node) as clock:
        _use_clock_topic(rig, True)
        try:
            rig.begin()
            rig.follow()
            # Changing clocks is a jump too, named late by a busy node, and nothing is named twice a second.
            rig.pause(FORGET_S + 1.0)
            since_ns = clock.jump(by_s)
            for node in (GUARD, POLICY):
                rig.wait_named(Fault.CLOCK_JUMPED, node)
            rig.wait_state("following", 10.0)
            rig.pause(1.0)
            record = rig.record().rejoined()
            violations = record.violations(rig.cobot)
            assert not violations, "; ".join(violations)
            suffered = Suffered(record, since_ns)
            figures = {
                "guard_named_ms": suffered.named_ms(Fault.CLOCK_JUMPED, GUARD),
                "policy_named_ms": suffered.named_ms(Fault.CLOCK_JUMPED, POLICY),
            }
            rig.stop()
            clock.jump(-by_s)
            rig.pause(0.5)
        finally:
            _use_clock_topic(rig, False)
    rig.follow()
    rig.begin()
    assert_resumes(rig)
    return figures


@row(23, "ROS time jumps back by 10 s", guard_named_ms=NAMED_MS, policy_named_ms=NAMED_MS)
def back(rig: FaultRig) -> Figures:
    """The arms hold, and go on with what is observed after it."""
    return _jump(rig, -10.0)


@row(23, "ROS time jumps ahead by 40 s", guard_named_ms=NAMED_MS, policy_named_ms=NAMED_MS)
def ahead(rig: FaultRig) -> Figures:
    """The same the other way."""
    return _jump(rig, 40.0)
