"""The launch files declare the options of the table and start its processes, alive and in order."""

import importlib.util
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lifecycle_msgs.msg import Transition

from svam_ros.bringup.process_table import RobotOptions, SimulationOptions, simulation_processes
from svam_ros.bringup.ros_environment import SHARED_MEMORY_PROFILE
from svam_ros.parameters import ParameterError, describe
from svam_ros.shipped_files import shipped_directory

STAND_IN = Path(__file__).parents[2] / "support" / "ros_launch"
LAUNCH_FILES = {"svam": RobotOptions, "simulation": SimulationOptions}


@pytest.fixture(autouse=True)
def launch_modules(monkeypatch):
    """ROS's own launch where there is one cannot be looked into as easily, so the stand-in is used."""
    for name in [name for name in sys.modules if name.split(".")[0] in ("launch", "launch_ros")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(STAND_IN))
    monkeypatch.delenv("FASTDDS_DEFAULT_PROFILES_FILE", raising=False)
    yield
    for name in [name for name in sys.modules if name.split(".")[0] in ("launch", "launch_ros")]:
        del sys.modules[name]


def description_of(name: str) -> list[Any]:
    path = shipped_directory("launch") / f"{name}.launch.py"
    spec = importlib.util.spec_from_file_location(f"{name}_launch", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generate_launch_description().entities


def of_kind(entities: list[Any], kind: str) -> list[Any]:
    return [entity for entity in entities if type(entity).__name__ == kind]


def started(name: str, **arguments: str) -> list[Any]:
    """The actions that the launch file comes to with these arguments on the command line."""
    from launch import LaunchContext

    entities = description_of(name)
    defaults = {entity.name: entity.default_value for entity in of_kind(entities, "DeclareLaunchArgument")}
    (function,) = of_kind(entities, "OpaqueFunction")
    return function.function(LaunchContext({**defaults, **arguments}))


@pytest.mark.parametrize("name", LAUNCH_FILES)
def test_every_option_of_the_table_is_an_argument_with_its_text(name):
    declared = of_kind(description_of(name), "DeclareLaunchArgument")
    assert [argument.name for argument in declared] == [d.name for d in describe(LAUNCH_FILES[name])]
    assert all(argument.description.partition(" Allowed: ")[0] for argument in declared)


@pytest.mark.parametrize("name", LAUNCH_FILES)
def test_the_shared_memory_profile_is_set_before_any_process(name):
    entities = description_of(name)
    variables = {entity.name: entity.value for entity in of_kind(entities, "SetEnvironmentVariable")}
    assert variables["FASTDDS_DEFAULT_PROFILES_FILE"] == str(SHARED_MEMORY_PROFILE)
    assert type(entities[-1]).__name__ == "OpaqueFunction"


def test_the_same_processes_with_the_same_parameters_as_the_demo():
    actions = started("simulation", task="place_to_pot", seed="7", namespace="cell")
    nodes = [action for action in actions if type(action).__name__ in ("Node", "LifecycleNode")]
    table = simulation_processes(SimulationOptions(task="place_to_pot", seed=7, namespace="cell"))
    assert [(n.executable, n.name, n.namespace, n.parameters) for n in nodes] == [
        (spec.executable, spec.name, spec.namespace, [spec.parameters]) for spec in table
    ]


def test_the_simulated_drivers_can_be_told_to_behave_badly_and_to_send_jpeg():
    actions = started("simulation", driver_quirks="true", publish_compressed="true")
    parameters = {action.name: action.parameters[0] for action in actions if hasattr(action, "executable")}
    assert parameters["cobot_sim_node"]["driver_quirks"] is True
    assert parameters["cobot_sim_node"]["publish_compressed"] is True


def test_the_real_robot_gets_no_simulation():
    names = [action.name for action in started("svam") if hasattr(action, "executable")]
    assert sorted(names) == ["guard_node", "policy_node"]


def test_topic_map_becomes_remappings():
    actions = started("svam", topic_map="/camera_f/color/image_raw:=/front/image_raw")
    for node in of_kind(actions, "Node") + of_kind(actions, "LifecycleNode"):
        assert node.remappings == [("/camera_f/color/image_raw", "/front/image_raw")]


def test_the_policy_is_configured_then_activated_and_a_refusal_ends_everything():
    actions = started("svam")
    (policy,) = of_kind(actions, "LifecycleNode")
    (configure,) = of_kind(actions, "EmitEvent")
    assert configure.event.transition_id == Transition.TRANSITION_CONFIGURE
    assert configure.event.lifecycle_node_matcher(policy)
    handlers = [action.event_handler for action in of_kind(actions, "RegisterEventHandler")]
    outcomes = {handler.goal_state: handler.entities[0] for handler in handlers}
    assert all(handler.target_lifecycle_node is policy for handler in handlers)
    assert outcomes["inactive"].event.transition_id == Transition.TRANSITION_ACTIVATE
    assert "could not be configured" in outcomes["unconfigured"].reason


def test_the_guard_s_end_stops_all():
    (guard,) = of_kind(started("svam"), "Node")
    assert guard.on_exit.reason == "guard_node ended"


def after_exit(policy: Any, exit_code: int, is_shutdown: bool = False) -> list[Any]:
    """The actions that the end of the policy's process leads to."""
    from launch import LaunchContext

    return policy.on_exit(SimpleNamespace(returncode=exit_code), LaunchContext({}, is_shutdown))


def test_a_policy_that_died_is_started_anew_and_led_as_the_first_one_was():
    actions = started("svam")
    (policy,) = of_kind(actions, "LifecycleNode")
    handlers = [action.event_handler for action in of_kind(actions, "RegisterEventHandler")]
    again = after_exit(policy, -signal.SIGKILL)
    assert [action.msg for action in of_kind(again, "LogInfo")] == [
        "policy_node ended with exit code -9, and is started anew as it was launched"
    ]
    assert [action.event_handler for action in of_kind(again, "UnregisterEventHandler")] == handlers
    (another,) = of_kind(again, "LifecycleNode")
    assert another is not policy
    assert (another.name, another.parameters) == (policy.name, policy.parameters)
    (configure,) = of_kind(again, "EmitEvent")
    assert configure.event.lifecycle_node_matcher(another)
    assert not configure.event.lifecycle_node_matcher(policy)
    led = [action.event_handler.target_lifecycle_node for action in of_kind(again, "RegisterEventHandler")]
    assert all(node is another for node in led)


def test_a_policy_that_goes_on_dying_stays_down_and_the_guard_stays_up():
    (policy,) = of_kind(started("svam"), "LifecycleNode")
    for _ in range(3):
        (policy,) = of_kind(after_exit(policy, 4), "LifecycleNode")
    (told,) = after_exit(policy, 4)
    assert (
        told.msg
        == "policy_node ended with exit code 4 and stays down: it was started anew 3 times within 60 s"
    )


def test_a_policy_without_device_memory_stays_down():
    (policy,) = of_kind(started("svam"), "LifecycleNode")
    (told,) = after_exit(policy, 3)
    assert told.msg.endswith("stays down: the device's memory has to be freed first")


def test_while_everything_is_being_ended_nothing_is_started_anew():
    (policy,) = of_kind(started("svam"), "LifecycleNode")
    assert after_exit(policy, -signal.SIGKILL, is_shutdown=True) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"seed": "three"}, "argument 'seed' is 'three', allowed is int from 0"),
        ({"task": "dance"}, "'task' is 'dance', allowed is lift_pot, place_to_pot"),
        ({"topic_map": "/camera"}, "topic_map has '/camera', allowed is from:=to"),
    ],
)
def test_a_wrong_argument_is_refused_with_what_is_allowed(arguments, words):
    with pytest.raises(ParameterError, match=words):
        started("simulation", **arguments)
