"""Own set-points are known by their stamps; all others are somebody else's."""

from __future__ import annotations

from support.guard_rig import GuardRig, feed, steady

from svam_ros.control.commander_watch import RECENT_MS, REMEMBERED_SET_POINTS, CommanderWatch
from svam_ros.control.faults import Fault
from svam_ros.control.guard import GuardState

MS = 1_000_000


def test_own_set_points_come_back_for_ten_seconds_and_foreign_ones_are_found():
    watch = CommanderWatch()
    for stamp in range(3 * REMEMBERED_SET_POINTS):
        watch.sent(stamp)
        assert watch.heard("left", max(0, stamp - REMEMBERED_SET_POINTS + 1), stamp) is None
    assert len(watch._own) == REMEMBERED_SET_POINTS
    assert watch.obstacles_to_engage(0) == []
    finding = watch.heard("right", -5, 1000 * MS)
    assert finding.fault is Fault.SECOND_COMMANDER
    assert len(watch.obstacles_to_engage(1000 * MS + round(RECENT_MS * MS))) == 1
    assert watch.obstacles_to_engage(1001 * MS + round(RECENT_MS * MS)) == []


def test_a_foreign_set_point_stops_the_guard_and_forbids_an_engage_for_a_second():
    rig = GuardRig()
    assert rig.engage() == []
    rig.run(200, feed(rig, steady(rig)))
    rig.guard.sent(77)
    rig.guard.observe_command("left", 77, rig.clock.now_ns())
    assert rig.state is GuardState.FOLLOWING
    rig.guard.observe_command("left", 78, rig.clock.now_ns())
    assert rig.status_text().startswith(
        "stopped: somebody else commands the arms too: a set-point for the left"
    )
    rig.run(500)
    assert [finding.fault for finding in rig.engage()] == [Fault.ENGAGE_BESIDE_ANOTHER_COMMANDER]
    rig.run(600)
    assert rig.engage() == []


def test_who_commands_arms_that_nobody_has_engaged_stops_nothing():
    rig = GuardRig()
    rig.guard.observe_command("left", 78, rig.clock.now_ns())
    assert rig.state is GuardState.IDLE
    assert [finding.fault for finding in rig.engage()] == [Fault.ENGAGE_BESIDE_ANOTHER_COMMANDER]
