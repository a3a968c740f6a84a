from __future__ import annotations

import importlib.util

import pytest

from svam_ros import graph
from svam_ros.bringup.process_table import (
    RobotOptions,
    SimulationOptions,
    parse_topic_map,
    robot_processes,
    simulation_processes,
)
from svam_ros.parameters import ParameterError
from svam_ros.simulation.tasks import TASKS


def test_the_robot_has_a_guard_and_a_managed_policy_and_the_simulation_one_process_more():
    robot = {p.name: p for p in robot_processes(RobotOptions(instruction="lift"))}
    simulation = {p.name: p for p in simulation_processes(SimulationOptions(task="place_to_pot", seed=7))}
    assert set(robot) == {graph.GUARD_NODE, graph.POLICY_NODE}
    assert set(simulation) == {*robot, graph.SIMULATION_NODE}
    assert [p.managed for p in robot.values()] == [False, True]
    assert robot[graph.POLICY_NODE].parameters["instruction"] == "lift"
    assert simulation[graph.SIMULATION_NODE].parameters["task"] == "place_to_pot"
    assert simulation[graph.SIMULATION_NODE].parameters["seed"] == 7


def test_what_the_pages_tell_users_to_set_reaches_its_node():
    options = RobotOptions(command_rate_hz=50.0, image_transport="compressed", image_decoder="cv_bridge")
    robot = {p.name: p.parameters for p in robot_processes(options)}
    assert robot[graph.GUARD_NODE]["command_rate_hz"] == 50.0
    assert robot[graph.POLICY_NODE]["image_transport"] == "compressed"
    assert robot[graph.POLICY_NODE]["image_decoder"] == "cv_bridge"


@pytest.mark.parametrize("task", TASKS)
def test_the_simulated_policy_is_told_its_task_unless_told_something_else(task):
    def instruction(options: SimulationOptions) -> object:
        table = {p.name: p for p in simulation_processes(options)}
        return table[graph.POLICY_NODE].parameters["instruction"]

    assert instruction(SimulationOptions(task=task)) == TASKS[task].instruction
    assert instruction(SimulationOptions(task=task, instruction="wave")) == "wave"


def test_the_real_robot_s_policy_waits_for_its_instruction():
    robot = {p.name: p for p in robot_processes(RobotOptions())}
    assert robot[graph.POLICY_NODE].parameters["instruction"] == ""


def test_every_process_speaks_the_same_dialect_in_the_same_namespace_and_exists():
    options = SimulationOptions(profile="piper_dual", namespace="cobot", topic_map="/a:=/b")
    for process in simulation_processes(options):
        assert process.parameters["profile"] == "piper_dual"
        assert process.namespace == "cobot"
        assert process.remappings == (("/a", "/b"),)
        assert importlib.util.find_spec(process.module) is not None


def test_a_topic_map_is_pairs_and_anything_else_is_refused():
    assert parse_topic_map("") == ()
    assert parse_topic_map("/a:=/b  c:=d") == (("/a", "/b"), ("c", "d"))
    for wrong in ("/a", "/a:=", ":=/b", "/a=/b"):
        with pytest.raises(ParameterError, match="from:=to"):
            parse_topic_map(wrong)


def test_options_that_are_not_allowed_are_refused():
    with pytest.raises(ParameterError, match="Did you mean 'lift_pot'"):
        simulation_processes(SimulationOptions(task="lift_pots"))  # type: ignore[arg-type]


def test_quirks_pictures_limits_modes_and_black_boxes_reach_their_processes():
    options = SimulationOptions(
        driver_quirks=True,
        publish_compressed=True,
        limits="slow.yaml",
        mode="append",
        older_weight=0.5,
        black_box="boxes",
        fifo_priority=40,
    )
    table = {p.name: p.parameters for p in simulation_processes(options)}
    assert table[graph.SIMULATION_NODE]["driver_quirks"] is True
    assert table[graph.SIMULATION_NODE]["publish_compressed"] is True
    assert (table[graph.GUARD_NODE]["limits"], table[graph.GUARD_NODE]["black_box"]) == ("slow.yaml", "boxes")
    guard = table[graph.GUARD_NODE]
    assert (guard["lock_memory"], guard["fifo_priority"], guard["cpu_core"]) == (False, 40, -1)
    assert (table[graph.POLICY_NODE]["mode"], table[graph.POLICY_NODE]["older_weight"]) == ("append", 0.5)
    assert table[graph.POLICY_NODE]["image_transport"] == "raw"


def test_a_policy_that_wants_compressed_pictures_gets_them_from_the_simulation():
    table = {p.name: p for p in simulation_processes(SimulationOptions(image_transport="compressed"))}
    assert table[graph.POLICY_NODE].parameters["image_transport"] == "compressed"
    assert table[graph.SIMULATION_NODE].parameters["publish_compressed"] is True
