"""YAML files into frozen dataclasses; every mistake is named with its file, its key and what is allowed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import yaml
from dacite import Config, DaciteError, from_dict

T = TypeVar("T")


class CalibrationError(ValueError):
    """A calibration file says something that cannot be; the text names the file and the key."""


def read_yaml(path: Path) -> dict[str, Any]:
    """The file's keys and values.

    Raises:
        CalibrationError: it cannot be read, or is no mapping.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CalibrationError(f"{path}: cannot be read: {error}") from error
    if not isinstance(raw, dict):
        raise CalibrationError(f"{path}: expected keys and values, got {type(raw).__name__}")
    return raw


def checked(kind: type[T], raw: dict[str, Any], path: Path) -> T:
    """``raw`` as a ``kind``, a dataclass.

    Raises:
        CalibrationError: a key is missing, unknown or of the wrong type.
    """
    _refuse_unknown_keys(kind, raw, path)
    config = Config(strict=True, type_hooks={float: _number}, cast=[tuple])
    try:
        return from_dict(kind, raw, config)
    except (DaciteError, TypeError, ValueError) as error:
        raise CalibrationError(f"{path}: {error}") from error


def _number(value: Any) -> Any:
    """Whole numbers are numbers too; anything else is left for dacite to refuse, with its key."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _refuse_unknown_keys(kind: type, raw: dict[Any, Any], path: Path, where: str = "") -> None:
    """Done here, because dacite names neither the place of an unknown key nor what is allowed there."""
    fields = get_type_hints(kind)
    for key, value in raw.items():
        if key not in fields:
            allowed = ", ".join(name for name in fields if where or name != "name")
            raise CalibrationError(f"{path}: unknown key '{where}{key}', allowed is {allowed}")
        for place, nested_kind, nested in _nested(fields[key], value, f"{where}{key}"):
            _refuse_unknown_keys(nested_kind, nested, path, f"{place}.")


def _nested(hint: Any, value: Any, where: str) -> Iterator[tuple[str, type, dict[Any, Any]]]:
    """The parts of ``value`` that are dataclasses of their own: itself, or the items of a mapping or list."""
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        yield where, hint, value  # type: ignore[misc]  # a class: it came from type hints
        return
    item_hint = (get_args(hint) or (None,))[-1]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        if dataclasses.is_dataclass(item_hint) and isinstance(item, dict):
            yield f"{where}.{key}", item_hint, item  # type: ignore[misc]  # as above
