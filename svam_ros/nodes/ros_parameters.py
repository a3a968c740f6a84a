"""Parameter dataclasses as ROS parameters: described, ranged, validated."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, TypeVar

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from svam_ros.parameters import ParameterDescription, ParameterError, build, describe

T = TypeVar("T")

_EVERY_NODE_HAS = frozenset({"use_sim_time", "start_type_description_service"})

CheckValue = Callable[[str, Any], None]
"""Called with name and value of every proposed change; raises ParameterError or ValueError to refuse it.

It must change nothing: other changes of the same request may still be refused, and then none is made."""


def _accept(_name: str, _value: Any) -> None:
    """No test beyond the description's."""


def declare_parameters(
    node: Node, kind: type, fixed: Callable[[], frozenset[str]], check: CheckValue = _accept
) -> None:
    """Declare every field of ``kind`` on ``node`` and validate all later changes.

    Acting on a change is for ``node.add_post_set_parameters_callback`` (newer than Humble).

    Args:
        node: the node.
        kind: a parameter dataclass of :mod:`svam_ros.parameters`.
        fixed: names that may not change now (asked at every change).
        check: a further test of a new value, without side effects.

    Raises:
        ParameterError: a value given at start is not allowed.
    """
    descriptions = {description.name: description for description in describe(kind)}
    _refuse_unknown(node, list(descriptions))
    for description in descriptions.values():
        _declare(node, description)

    def on_set(changes: list[Parameter]) -> SetParametersResult:
        try:
            for change in changes:
                if change.name not in descriptions:
                    continue
                if change.name in fixed():
                    raise ParameterError(
                        f"parameter '{change.name}' cannot be changed while the node is running"
                    )
                descriptions[change.name].check(change.value)
                check(change.name, change.value)
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    node.add_on_set_parameters_callback(on_set)


def read_parameters(node: Node, kind: type[T]) -> T:
    """The current values as the dataclass.

    Raises:
        ParameterError: a value is outside its range or choices.
    """
    return build(kind, {d.name: node.get_parameter(d.name).value for d in describe(kind)})


def _refuse_unknown(node: Node, known: list[str]) -> None:
    """A misspelt parameter would silently leave the default in force."""
    given = {name for name in node._parameter_overrides if not name.startswith("qos_overrides.")}
    for name in sorted(given - set(known) - _EVERY_NODE_HAS):
        hint = "".join(f", did you mean '{match}'?" for match in get_close_matches(name, known, 1))
        raise ParameterError(f"unknown parameter '{name}'{hint} Known: {', '.join(known)}")


def _declare(node: Node, description: ParameterDescription) -> None:
    descriptor = ParameterDescriptor(
        description=description.text, additional_constraints=f"allowed: {description.allowed()}"
    )
    if description.limits and description.kind is float:
        low, high = description.limits.minimum, description.limits.maximum
        descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high, step=0.0)]
    if description.limits and description.kind is int:
        low, high = int(description.limits.minimum), int(description.limits.maximum)
        descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
    try:
        value = node.declare_parameter(description.name, description.default, descriptor).value
    except InvalidParameterTypeException as error:
        raise ParameterError(f"parameter '{description.name}': {error}") from error
    except InvalidParameterValueException as error:
        raise ParameterError(
            f"parameter '{description.name}': {error}; allowed is {description.allowed()}"
        ) from error
    description.check(value)
