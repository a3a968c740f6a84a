"""Processes of the table with some parameters changed."""

from __future__ import annotations

from svam_ros.bringup.process_table import (
    ProcessSpec,
    SimulationOptions,
    robot_processes,
    simulation_processes,
)


def spec(name: str, options: SimulationOptions | None = None, **parameters: object) -> ProcessSpec:
    """One process of the table, with some parameters changed.

    The policy is the real robot's: it waits for an instruction.
    """
    options = options or SimulationOptions(engine="scripted")
    table = {p.name: p for p in (*simulation_processes(options), *robot_processes(options))}
    table[name].parameters.update(parameters)
    return table[name]
