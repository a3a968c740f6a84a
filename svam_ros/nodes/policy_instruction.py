"""The parameter that holds the policy's instruction, and what it may be set to."""

from __future__ import annotations

from typing import Any

from svam_ros.parameters import ParameterError
from svam_ros.translation.instructions import check_instruction
from svam_ros.translation.rejection import RejectedMessage

INSTRUCTION_PARAMETER = "instruction"


def check_parameter(name: str, value: Any) -> None:
    """Whether a parameter of the policy may be set to ``value``.

    Raises:
        ParameterError: it is the instruction, and cannot be one.
    """
    if name == INSTRUCTION_PARAMETER:
        try:
            check_instruction(value)
        except RejectedMessage as error:
            raise ParameterError(f"parameter '{name}' is {value[:80]!r}: {error}") from error
