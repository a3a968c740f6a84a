"""One arm through AgileX's genuine SDK, against a small firmware on python-can's virtual bus."""

from __future__ import annotations

import builtins
import itertools
import re
import time

import numpy as np
import pytest
from support.fake_cobot import wait_for
from support.piper_firmware import PiperFirmware, switch_bus

from svam_ros.drivers import piper_arm, piper_interface
from svam_ros.drivers.piper_arm import ArmReport, PiperArm
from svam_ros.drivers.piper_interface import PiperError, interface_problem
from svam_ros.drivers.piper_units import from_wire, to_wire

POSE = (1000, 20000, -30000, 500, 5000, -70, 30000)
CHANNELS = (f"arm{number}" for number in itertools.count())
PERCENT = 70


@pytest.fixture
def firmware():
    arm = PiperFirmware(next(CHANNELS), POSE)
    yield arm
    switch_bus(arm.channel, on=True)
    arm.close()


def opened(firmware: PiperFirmware) -> PiperArm:
    return PiperArm("left", firmware.channel, "virtual", PERCENT, 1.5)


@pytest.fixture
def arm(firmware):
    driver = opened(firmware)
    yield driver
    firmware.is_deaf = False
    driver.close()


class Caller:
    """Asks the arm a hundred times a second, as the guard does."""

    def __init__(self, arm: PiperArm) -> None:
        self.arm, self.set_point = arm, from_wire(POSE)
        self.reports: list[ArmReport] = []
        self.slowest_s = 0.0

    def cycle(self) -> ArmReport:
        began = time.monotonic()
        self.reports.append(self.arm.poll(time.monotonic_ns()))
        self.arm.submit(self.set_point)
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        time.sleep(0.01)
        return self.reports[-1]

    def until(self, condition, timeout_s: float = 6.0) -> ArmReport:
        deadline = time.monotonic() + timeout_s
        while not condition(report := self.cycle()):
            assert time.monotonic() < deadline, report
        return report

    def enable(self) -> None:
        self.arm.begin()
        self.until(lambda report: not report.enabling)
        assert self.reports[-1].faulty == ""


def test_nothing_moves_and_nothing_has_power_before_the_arm_is_asked_to(firmware, arm):
    caller = Caller(arm)
    for _ in range(30):
        caller.cycle()
    assert not firmware.received
    assert set(firmware.frames) <= {0x4AF}, "only the question for its version"
    assert arm.firmware == "S-V1.6-3"
    assert not firmware.is_powered


def test_feedback_comes_in_rad_and_metres_with_the_time_of_its_arrival(firmware, arm):
    reading = arm.poll(time.monotonic_ns()).reading
    assert reading is not None
    assert to_wire(reading.positions) == POSE
    assert arm.poll(reading.stamp_ns).reading is None or firmware.is_powered is False
    wait_for(lambda: arm.poll(time.monotonic_ns()).reading is not None, 2.0, "the next feedback")
    firmware.silent = True
    time.sleep(0.3)
    last = arm.poll(time.monotonic_ns()).reading
    assert last is None or time.monotonic_ns() - last.stamp_ns > 0.2e9
    assert arm.poll(time.monotonic_ns()).reading is None


@pytest.mark.parametrize("frame", [0x2A5, 0x2A6, 0x2A8])
def test_joints_are_as_old_as_the_oldest_frame_among_them(firmware, arm, frame):
    firmware.missing_frames = {frame}
    time.sleep(0.2)
    arm.poll(time.monotonic_ns())
    time.sleep(0.1)
    assert arm.poll(time.monotonic_ns()).reading is None


def test_motors_come_on_at_the_measured_pose_although_the_firmware_remembers_another_target(firmware, arm):
    caller = Caller(arm)
    firmware.control_mode = 1  # as left behind by whoever moved it before
    assert firmware._target == [0.0] * 7
    caller.enable()
    assert firmware.is_powered
    assert {received.wire for received in firmware.received} == {POSE}
    assert firmware.position == POSE


def test_set_points_arrive_as_move_j_at_the_profile_s_speed_and_the_arm_follows(firmware, arm):
    caller = Caller(arm)
    caller.enable()
    firmware.received.clear()
    for step in range(80):
        caller.set_point = from_wire(POSE) + np.array([0.005 * step, 0, 0, 0, 0, 0, -0.0001 * step])
        caller.cycle()
    wait_for(lambda: firmware.position == to_wire(caller.set_point), 3.0, "the arm")
    assert len(firmware.received) > 60
    assert {received.mode for received in firmware.received} == {(1, 1, PERCENT, 0)}
    angles = [received.wire[0] for received in firmware.received]
    assert angles == sorted(angles)
    # None of what was written is the SDK's to take for somebody else's command.
    assert not any(report.is_commanded_by_others for report in caller.reports)
    speeds = [report.reading.velocities[0] for report in caller.reports if report.reading]
    assert 0.2 < max(speeds) < 2.11, "no faster than 70 % of 3 rad/s"


def test_an_arm_that_does_not_get_power_is_named_with_what_is_missing(firmware, arm, monkeypatch):
    monkeypatch.setattr(piper_arm, "ENABLING_S", 0.4)
    firmware.unpowerable = {2, 6}
    caller = Caller(arm)
    arm.begin()
    report = caller.until(lambda report: bool(report.faulty))
    assert "not enabled within 0.4 s: no power at joint 3, the gripper" in report.faulty
    seen = len(firmware.received)
    time.sleep(0.3)
    assert len(firmware.received) - seen <= 1, "it has given up"


def test_an_arm_that_sags_while_it_is_enabled_is_handed_no_set_points(firmware, arm):
    firmware.sag_wire = -9000
    caller = Caller(arm)
    arm.begin()
    report = caller.until(lambda report: bool(report.faulty))
    assert re.search(r"has moved by 0\.\d\d rad while it was being enabled: engage again", report.faulty)
    seen = len(firmware.received)
    for _ in range(20):
        caller.cycle()
    assert len(firmware.received) == seen


@pytest.mark.parametrize(
    ("mishap", "words"),
    [
        (lambda f: f.stop_at_once(), "is in emergency stop"),
        (lambda f: setattr(f, "arm_status", 7), "has hit something"),
        (lambda f: setattr(f, "error_bits", 1 << 4), "does not hear joint 5"),
        (lambda f: f.codes.__setitem__(1, 0x42), "of joint 2: motor overheated"),
        (lambda f: f.codes.__setitem__(6, 0x60), "of the gripper: driver error"),
        (lambda f: f.cut_power(), "does not take set-points any more: no power at"),
        (lambda f: setattr(f, "is_leader", True), "reports as a leader"),
    ],
)
def test_what_goes_wrong_in_motion_is_reported_at_once(firmware, arm, mishap, words):
    caller = Caller(arm)
    caller.enable()
    mishap(firmware)
    began = time.monotonic()
    report = caller.until(lambda report: bool(report.faulty), 3.0)
    assert words in report.faulty
    assert time.monotonic() - began < 1.0


def test_power_that_comes_back_finds_no_set_points_waiting(firmware, arm):
    caller = Caller(arm)
    caller.enable()
    firmware.cut_power()
    caller.until(lambda report: bool(report.faulty))
    seen = len(firmware.received)
    firmware.codes = [0x40] * 7
    for _ in range(30):
        caller.cycle()
    assert len(firmware.received) - seen <= 1


def test_a_caller_that_was_away_goes_on_where_it_was_if_the_arm_has_kept_its_power(firmware, arm):
    caller = Caller(arm)
    caller.enable()
    time.sleep(0.8)
    seen = len(firmware.received)
    for _ in range(20):
        assert caller.cycle().faulty == ""
    assert len(firmware.received) - seen > 10
    time.sleep(0.3)
    firmware.cut_power()
    time.sleep(0.6)
    caller.until(lambda report: "engage again" in report.faulty)
    seen = len(firmware.received)
    for _ in range(20):
        assert caller.cycle().faulty
    assert len(firmware.received) == seen


def test_set_points_without_an_engage_go_nowhere_and_it_is_said(firmware, arm):
    caller = Caller(arm)
    assert caller.cycle().faulty == ""
    assert "it was not enabled for them; engage again" in caller.cycle().faulty
    time.sleep(0.7)
    assert arm.poll(time.monotonic_ns()).faulty == "", "nobody asks any more"
    assert not firmware.received


def test_a_leader_on_the_same_bus_is_heard_and_our_own_frames_are_not_taken_for_one(firmware, arm):
    caller = Caller(arm)
    caller.enable()
    for _ in range(20):
        assert not caller.cycle().is_commanded_by_others
    firmware.be_led()
    caller.until(lambda report: report.is_commanded_by_others, 1.0)
    for _ in range(20):
        assert not caller.cycle().is_commanded_by_others


def test_a_bus_that_refuses_frames_takes_nobody_s_time_and_is_named_until_it_is_well(firmware, arm):
    caller = Caller(arm)
    caller.enable()
    caller.slowest_s = 0.0
    switch_bus(firmware.channel, on=False)
    report = caller.until(lambda report: bool(report.unreachable), 2.0)
    assert "frame 0x151 was not sent" in report.unreachable
    for _ in range(30):
        assert caller.cycle().unreachable
    switch_bus(firmware.channel, on=True)
    caller.until(lambda report: not report.unreachable, 3.0)
    assert caller.slowest_s < 0.5


def test_a_bus_that_blocks_takes_nobody_s_time_and_is_named(firmware, arm):
    caller = Caller(arm)
    caller.enable()
    caller.slowest_s = 0.0
    firmware.is_deaf = True  # its queue fills up, and then sending waits for ever
    report = caller.until(lambda report: bool(report.unreachable), 5.0)
    assert "has not taken a frame for" in report.unreachable
    for _ in range(30):
        caller.cycle()
    assert caller.slowest_s < 0.5


def test_the_end_sends_nothing_and_the_arm_holds(firmware):
    arm = opened(firmware)
    caller = Caller(arm)
    caller.enable()
    time.sleep(0.05)
    before = sum(firmware.frames.values())
    arm.close()
    time.sleep(0.2)
    assert sum(firmware.frames.values()) == before
    assert 0x150 not in firmware.frames
    assert firmware.is_powered
    # And it can be opened anew, with nothing left over.
    again = opened(firmware)
    assert again.poll(time.monotonic_ns()).reading is not None
    again.close()


def test_an_arm_with_power_is_taken_over_without_being_told_its_measured_pose(firmware):
    first = opened(firmware)
    Caller(first).enable()
    first.close()
    firmware.received.clear()
    second = opened(firmware)
    caller = Caller(second)
    caller.set_point = from_wire(POSE) + np.array([0.01, 0, 0, 0, 0, 0, 0])
    caller.enable()
    for _ in range(5):
        caller.cycle()
    assert {received.wire for received in firmware.received} == {to_wire(caller.set_point)}
    second.close()


@pytest.mark.parametrize(("leads", "words"), [(False, "sends no feedback"), (True, "reports as a leader")])
def test_an_arm_that_does_not_report_is_not_opened(firmware, leads, words):
    firmware.silent, firmware.is_leader = not leads, leads
    with pytest.raises(PiperError, match=words):
        opened(firmware)


def test_old_firmware_is_reported_as_a_fault():
    old = PiperFirmware(next(CHANNELS), POSE, version="S-V1.5-2")
    arm = opened(old)
    assert "has firmware S-V1.5-2" in arm.poll(time.monotonic_ns()).faulty
    arm.close()
    old.close()


def test_an_interface_that_is_missing_or_down_is_named_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(piper_interface, "NETWORK_INTERFACES", tmp_path)
    assert "there is no CAN interface 'can_left'" in interface_problem("can_left", "socketcan")
    (tmp_path / "can_left").mkdir()
    (tmp_path / "can_left" / "operstate").write_text("down\n")
    assert "sudo ip link set can_left up type can" in interface_problem("can_left", "socketcan")
    (tmp_path / "can_left" / "operstate").write_text("up\n")
    assert interface_problem("can_left", "socketcan") == ""
    with pytest.raises(PiperError, match="there is no CAN interface 'can_x'"):
        PiperArm("left", "can_x", "socketcan", PERCENT, 1.0)


def test_without_the_sdk_it_is_said_how_to_get_it(monkeypatch):
    real_import = builtins.__import__

    def without_the_sdk(name, *rest):
        if name.startswith(("piper_sdk", "svam_ros.drivers.piper_bus")):
            raise ImportError(f"No module named '{name}'")
        return real_import(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_the_sdk)
    with pytest.raises(PiperError, match=r"pip install \"svam_ros\[piper\]\""):
        PiperArm("left", "nobody", "virtual", PERCENT, 1.0)
