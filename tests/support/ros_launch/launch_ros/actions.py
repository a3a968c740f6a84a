from dataclasses import dataclass
from typing import Any


@dataclass(kw_only=True)
class Node:
    package: str
    executable: str
    name: str
    namespace: str
    parameters: list[dict[str, Any]]
    remappings: list[tuple[str, str]]
    output: str
    on_exit: Any = None


@dataclass(kw_only=True)
class LifecycleNode(Node):
    pass
