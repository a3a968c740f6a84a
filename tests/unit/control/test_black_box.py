"""The black box: what is in it, when it is given out, and that it stays small."""

from __future__ import annotations

import numpy as np
from support.black_boxes import BoxedRig, stopped_in_motion
from support.guard_rig import feed, steady

from svam_ros.control.black_box import AFTERMATH_MS, KEPT_S


def test_a_stop_is_given_out_once_with_all_that_led_to_it_and_the_way_to_rest():
    rig = stopped_in_motion()
    (excerpt,) = rig.taken
    assert excerpt.cause == "stopped: an operator asked to stop"
    sent = {command.due_ns: command.positions for command in rig.commands}
    assert all(
        np.array_equal(sent[due_ns], row)
        for due_ns, row in zip(excerpt.due_ns.tolist(), excerpt.commanded, strict=True)
    )
    assert excerpt.due_ns[0] == rig.commands[0].due_ns
    # A second after a stop nothing is sent any more.
    assert 500e6 < excerpt.due_ns[-1] - excerpt.cause_ns <= AFTERMATH_MS * 1e6
    assert np.abs(excerpt.velocities[excerpt.due_ns < excerpt.cause_ns][-1]).max() > 0.5
    assert not excerpt.velocities[-1].any()
    assert [event.text for event in excerpt.events if event.kind == "state"] == [
        "holding: waiting for a chunk", "following", "stopped: an operator asked to stop",
    ]  # fmt: skip
    assert [event.kind for event in excerpt.events].count("chunk") == 5
    assert rig.box.take() is None


def test_a_hold_without_chunks_is_given_out_and_waiting_for_the_first_is_not():
    rig = BoxedRig()
    assert rig.engage() == []
    rig.run(1500)
    assert rig.taken == []
    rig.run(300, feed(rig, steady(rig, offset=0.3)))
    rig.run(2000)
    (excerpt,) = rig.taken
    assert excerpt.cause.startswith("holding: no fresh chunk")


def test_a_stop_after_a_hold_belongs_to_the_same_story():
    rig = BoxedRig()
    assert rig.engage() == []
    rig.run(300, feed(rig, steady(rig, offset=0.3)))
    rig.guard.hold()
    rig.run(100)
    rig.guard.stop("an operator asked to stop")
    rig.run(2000)
    (excerpt,) = rig.taken
    assert excerpt.cause == "holding: an operator asked to hold"
    assert excerpt.events[-1].text == "stopped: an operator asked to stop"


def test_what_waits_for_its_aftermath_can_be_taken_at_the_end_of_the_process():
    rig = BoxedRig()
    assert rig.engage() == []
    rig.run(300, feed(rig, steady(rig, offset=0.3)))
    rig.guard.stop("the guard was told to end")
    rig.run(50)
    assert rig.taken == []
    assert rig.box.take().cause == "stopped: the guard was told to end"
    assert rig.box.take() is None


def test_it_holds_ten_seconds_and_no_more():
    rig = BoxedRig()
    assert rig.engage() == []
    rig.run(15_000, feed(rig, steady(rig, offset=0.3)))
    rig.guard.stop("an operator asked to stop")
    rig.run(1000)
    (excerpt,) = rig.taken
    assert len(excerpt.due_ns) == KEPT_S * rig.settings.tick_rate_hz
    assert all(event.at_ns >= excerpt.due_ns[0] - 1e9 for event in excerpt.events)


def test_never_engaged_there_is_nothing_to_keep():
    rig = BoxedRig()
    rig.guard.stop("an operator asked to stop")
    rig.run(2000)
    assert rig.taken == []
    assert rig.box.take() is None
