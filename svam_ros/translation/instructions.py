"""Instructions are text from outside: checked before they reach the tokenizer or a log."""

from __future__ import annotations

from svam_ros.translation.rejection import RejectedMessage

MAX_INSTRUCTION_CHARACTERS = 256
"""Far above the text encoder's 20 tokens; longer text is a mistake."""


def check_instruction(text: str) -> str:
    """The instruction without surrounding blanks.

    Raises:
        RejectedMessage: empty, longer than 256 characters, or with control characters.
    """
    text = text.strip()
    if not text:
        raise RejectedMessage(
            "the instruction is empty; allowed is a sentence such as 'lift the pot', "
            f"of 1 to {MAX_INSTRUCTION_CHARACTERS} printable characters"
        )
    if len(text) > MAX_INSTRUCTION_CHARACTERS:
        raise RejectedMessage(
            f"the instruction has {len(text)} characters, allowed are 1 to {MAX_INSTRUCTION_CHARACTERS}"
        )
    if not text.isprintable():
        raise RejectedMessage(
            "the instruction has control characters or line breaks; allowed is one line of printable text"
        )
    return text
