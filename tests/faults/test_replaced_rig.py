"""A trial that failed takes the rig with it; a trial that this machine cannot make does not."""

import os

import pytest

from faults import replaced_rig
from faults.replaced_rig import ReplacedRig
from faults.row import NotHere
from svam_ros.bringup.ros_environment import ros_environment


class Rig:
    made = 0

    def __init__(self, folder, environment):
        assert folder.is_dir()
        self.domain = environment["ROS_DOMAIN_ID"]
        assert os.environ["ROS_DOMAIN_ID"] == self.domain
        Rig.made += 1
        self.number, self.is_open = Rig.made, True

    def close(self):
        self.is_open = False


@pytest.fixture
def rig(monkeypatch, tmp_path):
    monkeypatch.setattr(replaced_rig, "FaultRig", Rig)
    monkeypatch.setattr(Rig, "made", 0)
    for name in ros_environment(0):
        monkeypatch.setenv(name, "")
    rig = ReplacedRig(tmp_path)
    yield rig
    rig.close()


def test_one_rig_serves_all_trials_that_pass(rig):
    assert [rig.trial(lambda it: (it.number, it.is_open)) for _ in range(3)] == [(1, True)] * 3


@pytest.mark.parametrize("error", [AssertionError("no"), KeyError("x")])
def test_after_a_failed_trial_everything_is_new(rig, error):
    first = rig.trial(lambda it: it)

    def fail(_rig):
        raise error

    with pytest.raises(type(error)):
        rig.trial(fail)
    assert not first.is_open
    number, domain = rig.trial(lambda it: (it.number, it.domain))
    assert number == 2
    assert domain != first.domain


def test_what_cannot_be_tried_here_has_done_no_harm(rig):
    def refuse(_rig):
        raise NotHere("needs root")

    first = rig.trial(lambda it: it)
    with pytest.raises(NotHere):
        rig.trial(refuse)
    assert first.is_open
    assert rig.trial(lambda it: it.number) == 1


def test_closing_ends_it(rig):
    first = rig.trial(lambda it: it)
    rig.close()
    rig.close()
    assert not first.is_open
