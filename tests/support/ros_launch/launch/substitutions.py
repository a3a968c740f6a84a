from dataclasses import dataclass
from typing import Any


@dataclass
class LaunchConfiguration:
    variable_name: str

    def perform(self, context: Any) -> str:
        return str(context.launch_configurations[self.variable_name])
