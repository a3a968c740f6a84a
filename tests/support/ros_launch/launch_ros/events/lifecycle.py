from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(kw_only=True)
class ChangeState:
    lifecycle_node_matcher: Callable[[Any], bool]
    transition_id: int
