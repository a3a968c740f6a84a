"""Processes of the table with some parameters changed."""

from __future__ import annotations

from svam_ros.bringup.process_table import ProcessSpec, SimulationOptions, simulation_processes


def spec(name: str, options: SimulationOptions | None = None, **parameters: object) -> ProcessSpec:
    """One process of the table, with some parameters changed."""
    table = {p.name: p for p in simulation_processes(options or SimulationOptions(engine="scripted"))}
    table[name].parameters.update(parameters)
    return table[name]
