"""The text of a ROS message type with all types it is made of, as MCAP wants it beside the bytes.

Every ROS install carries its definitions under ``<prefix>/share/<package>/msg/<Type>.msg``: an apt
install under the prefixes of ``AMENT_PREFIX_PATH``, the PyPI wheels under the prefix of the Python
environment. So an episode file explains itself, without ROS, on any machine and years later.

Format: https://mcap.dev/spec/registry#ros2msg
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

SEPARATOR = "=" * 80
"""Between two definitions in one schema text."""

_PRIMITIVES = frozenset({
    "bool", "byte", "char", "string", "wstring", "float32", "float64",
    "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
})  # fmt: skip
_FIELD_TYPE = re.compile(r"^\s*([A-Za-z][\w/]*)")


class SchemaNotFoundError(LookupError):
    """A message definition is on no search path; the text says which and where it was looked for."""


def schema_search_path() -> list[Path]:
    """The ``share`` folders of this machine's ROS: those of ``AMENT_PREFIX_PATH`` first, then Python's."""
    prefixes = [entry for entry in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if entry]
    return [Path(prefix) / "share" for prefix in [*prefixes, sys.prefix]]


def message_schema(type_name: str, search_path: Sequence[Path] | None = None) -> str:
    """Definition of ``type_name`` followed by those of all types inside it.

    Args:
        type_name: as ROS prints it, ``sensor_msgs/msg/Image`` (``sensor_msgs/Image`` will do).
        search_path: ``share`` folders; default :func:`schema_search_path`.

    Raises:
        SchemaNotFoundError: the type, or one inside it, is nowhere on the search path.
        ValueError: ``type_name`` is not ``package/msg/Type``.
    """
    folders = list(search_path) if search_path is not None else schema_search_path()
    package, name = _split(type_name)
    main = _definition(package, name, folders, type_name)
    sections = [main]
    seen = {(package, name)}
    waiting = _dependencies(main, package)
    while waiting:
        dependency = waiting.pop(0)
        if dependency in seen:
            continue
        seen.add(dependency)
        text = _definition(*dependency, folders, type_name)
        sections.append(f"{SEPARATOR}\nMSG: {'/'.join(dependency)}\n{text}")
        waiting += _dependencies(text, dependency[0])
    return "\n".join(section.rstrip("\n") for section in sections) + "\n"


def _split(type_name: str) -> tuple[str, str]:
    parts = type_name.split("/")
    if len(parts) == 3 and parts[1] == "msg":
        parts = [parts[0], parts[2]]
    if len(parts) != 2 or not all(re.fullmatch(r"[A-Za-z]\w*", part) for part in parts):
        raise ValueError(f"'{type_name}' is not a message type: expected 'package/msg/Type'")
    return parts[0], parts[1]


def _definition(package: str, name: str, folders: list[Path], asked_for: str) -> str:
    for folder in folders:
        path = folder / package / "msg" / f"{name}.msg"
        if path.is_file():
            return path.read_text(encoding="utf-8")
    part = "" if asked_for.endswith(f"/{name}") else f" (part of {asked_for})"
    looked = ", ".join(str(folder) for folder in folders)
    raise SchemaNotFoundError(
        f"no definition {package}/msg/{name}.msg{part} under {looked}: install the package of its "
        f"messages (pip: ros-{package.replace('_', '-')}), or source the ROS setup file that brings it"
    )


def _dependencies(text: str, package: str) -> list[tuple[str, str]]:
    """The non-primitive field types of a definition, in order of appearance."""
    found = []
    for line in text.splitlines():
        match = _FIELD_TYPE.match(line.split("#", 1)[0])
        if match and match[1] not in _PRIMITIVES:
            kind = match[1]
            if kind == "Header":
                kind = "std_msgs/Header"
            found.append(_split(kind if "/" in kind else f"{package}/{kind}"))
    return found
