"""A black box of a guard on a fake clock."""

from __future__ import annotations

from support.guard_rig import GuardRig, steady
from svam_ros.control.black_box import BlackBox
from svam_ros.types import BlackBoxExcerpt


class BoxedRig(GuardRig):
    """A guard whose ticks go into a box; ``taken`` are the excerpts that it gave out."""

    def __init__(self) -> None:
        super().__init__()
        self.box = BlackBox(self.settings.tick_rate_hz)
        self.taken: list[BlackBoxExcerpt] = []

    def tick(self):
        command = super().tick()
        now_ns = self.clock.now_ns()
        excerpt = self.box.add(command, self.guard.measured, self.guard.status(now_ns), now_ns)
        if excerpt is not None:
            self.taken.append(excerpt)
        return command


def stopped_in_motion() -> BoxedRig:
    """Engaged, in motion, stopped by an operator, and the box given out."""
    rig = BoxedRig()
    assert rig.engage() == []
    for number in range(5):
        finding = rig.submit(rig.chunk(steady(rig, offset=0.8 * (number > 0)), number))
        rig.box.note(rig.clock.now_ns(), "chunk" if finding is None else "rejected", f"chunk run/{number}")
        rig.run(100)
    rig.guard.stop("an operator asked to stop")
    rig.box.note(rig.clock.now_ns(), "operator", "stop asked for")
    rig.run(1000)
    return rig
