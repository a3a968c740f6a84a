"""The table of processes as a launch description, for ``ros2 launch``.

ROS's ``launch`` comes with an apt install and is not on PyPI, so it is imported only here and only when
a launch file is run. The files in ``launch/`` name an options dataclass and a table, nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from svam_ros.bringup.process_table import PACKAGE, ProcessSpec
from svam_ros.bringup.restarts import Restarts
from svam_ros.bringup.ros_environment import ros_environment
from svam_ros.parameters import ParameterDescription, ParameterError, build, describe

Options = TypeVar("Options")


def launch_description(options: type[Options], table: Callable[[Options], tuple[ProcessSpec, ...]]) -> Any:
    """What a launch file's ``generate_launch_description`` returns.

    Args:
        options: dataclass whose fields become launch arguments, with their defaults and docstrings.
        table: from the options to the processes.
    """
    from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
    from launch.substitutions import LaunchConfiguration

    from launch import LaunchDescription

    descriptions = describe(options)
    arguments = [
        DeclareLaunchArgument(
            description.name,
            default_value=str(description.default),
            description=f"{description.text} Allowed: {description.allowed()}.",
        )
        for description in descriptions
    ]

    def start_processes(context: Any) -> list[Any]:
        values = {
            description.name: parse_argument(
                description, LaunchConfiguration(description.name).perform(context)
            )
            for description in descriptions
        }
        return [action for spec in table(build(options, values)) for action in process_actions(spec)]

    environment = [SetEnvironmentVariable(name, value) for name, value in ros_environment(None).items()]
    return LaunchDescription([*arguments, *environment, OpaqueFunction(function=start_processes)])


def process_actions(spec: ProcessSpec) -> list[Any]:
    """The node of one process, and what brings a managed one to life and back to it."""
    from launch.actions import Shutdown
    from launch_ros.actions import Node

    arguments: dict[str, Any] = {
        "package": PACKAGE,
        "executable": spec.executable,
        "name": spec.name,
        "namespace": spec.namespace,
        "parameters": [spec.parameters],
        "remappings": list(spec.remappings),
        "output": "screen",
    }
    if spec.managed:
        return _managed_process(spec.name, arguments, Restarts())
    # The guard, or the arms themselves, are gone: there is nothing left to run for.
    return [Node(**arguments, on_exit=Shutdown(reason=f"{spec.name} ended"))]


def parse_argument(description: ParameterDescription, text: str) -> bool | int | float | str:
    """A launch argument, which is always text, as the type of its field.

    Raises:
        ParameterError: it is not one.
    """
    if description.kind is bool:
        if text.lower() not in ("true", "false"):
            raise ParameterError(f"argument '{description.name}' is '{text}', allowed is true, false")
        return text.lower() == "true"
    if description.kind in (int, float):
        try:
            number: int | float = description.kind(text)
        except ValueError as error:
            allowed = f"{description.kind.__name__} from {description.allowed()}"
            raise ParameterError(
                f"argument '{description.name}' is '{text}', allowed is {allowed}"
            ) from error
        return number
    return text


def _managed_process(name: str, arguments: dict[str, Any], restarts: Restarts) -> list[Any]:
    """A node that may end alone: the guard brakes when chunks stop, and must live to do so."""
    from launch.actions import LogInfo, RegisterEventHandler, UnregisterEventHandler
    from launch_ros.actions import LifecycleNode
    from lifecycle_msgs.msg import Transition

    def after_exit(event: Any, context: Any) -> list[Any]:
        if context.is_shutdown:
            return []
        reason = restarts.stays_down(event.returncode)
        ended = f"{name} ended with exit code {event.returncode}"
        if reason is not None:
            return [LogInfo(msg=f"{ended} and stays down: {reason}")]
        # They would hear of the new process too, under the same name.
        forgotten = [UnregisterEventHandler(handler) for handler in handlers]
        return [
            LogInfo(msg=f"{ended}, and is started anew as it was launched"),
            *forgotten,
            *_managed_process(name, arguments, restarts),
        ]

    node = LifecycleNode(**arguments, on_exit=after_exit)
    handlers = _life_handlers(node, name)
    registered = [RegisterEventHandler(handler) for handler in handlers]
    return [node, *registered, _transition(node, Transition.TRANSITION_CONFIGURE)]


def _life_handlers(node: Any, name: str) -> list[Any]:
    """Activate when it is configured; give up when it cannot be."""
    from launch.actions import Shutdown
    from launch_ros.event_handlers import OnStateTransition
    from lifecycle_msgs.msg import Transition

    configured = OnStateTransition(
        target_lifecycle_node=node,
        start_state="configuring",
        goal_state="inactive",
        entities=[_transition(node, Transition.TRANSITION_ACTIVATE)],
    )
    refused = OnStateTransition(
        target_lifecycle_node=node,
        start_state="configuring",
        goal_state="unconfigured",
        entities=[Shutdown(reason=f"{name} could not be configured, its last message says why")],
    )
    return [configured, refused]


def _transition(node: Any, transition_id: int) -> Any:
    from launch.actions import EmitEvent
    from launch.events import matches_action
    from launch_ros.events.lifecycle import ChangeState

    matcher = matches_action(node)
    return EmitEvent(event=ChangeState(lifecycle_node_matcher=matcher, transition_id=transition_id))
