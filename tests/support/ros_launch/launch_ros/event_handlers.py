from dataclasses import dataclass
from typing import Any


@dataclass(kw_only=True)
class OnStateTransition:
    target_lifecycle_node: Any
    start_state: str
    goal_state: str
    entities: list[Any]
