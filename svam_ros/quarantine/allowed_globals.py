"""The names that a pickled checkpoint may use, and what each becomes."""

from __future__ import annotations

import pickle
from collections import OrderedDict, defaultdict
from typing import IO, Any

import torch
from torch import _utils as torch_rebuilding


class ForbiddenGlobal(Exception):
    """The pickle names something that is neither a tensor nor a plain container."""


class Placeholder:
    """Stands for an object that is not wanted: takes whatever it is given and keeps nothing."""

    def __new__(cls, *_values: object, **_named: object) -> Placeholder:
        """Any arguments."""
        return super().__new__(cls)

    def __init__(self, *_values: object, **_named: object) -> None:
        pass

    def __setstate__(self, _state: object) -> None:
        """Forget the state."""

    def __setitem__(self, _key: object, _value: object) -> None:
        """Forget the entry."""

    def append(self, _value: object) -> None:
        """Forget the entry."""

    def extend(self, _values: object) -> None:
        """Forget the entries."""


PLAIN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("collections", "defaultdict"): defaultdict,
    ("builtins", "dict"): dict,
    ("builtins", "list"): list,
    ("builtins", "tuple"): tuple,
    ("builtins", "set"): set,
    ("builtins", "int"): int,
    ("builtins", "float"): float,
    ("builtins", "bool"): bool,
    ("builtins", "str"): str,
    ("builtins", "complex"): complex,
}
"""Containers and numbers."""

TENSORS: dict[tuple[str, str], Any] = {
    ("torch._utils", "_rebuild_tensor_v2"): torch_rebuilding._rebuild_tensor_v2,
    ("torch._utils", "_rebuild_tensor"): torch_rebuilding._rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): torch_rebuilding._rebuild_parameter,
    ("torch", "Size"): torch.Size,
    ("torch", "device"): torch.device,
}
"""What ``torch.save`` writes for a tensor; storages are recognised by torch's own loader."""

DTYPES: dict[tuple[str, str], Any] = {
    ("torch", name): getattr(torch, name)
    for name in (
        "float64",
        "float32",
        "float16",
        "bfloat16",
        "int64",
        "int32",
        "int16",
        "int8",
        "uint8",
        "bool",
    )
}

OLD_MODULE_NAMES = {"__builtin__": "builtins"}
"""torch.save writes protocol 2, which names modules as Python 2 did."""

NUMPY_NUMBERS = frozenset(
    {
        ("numpy._core.multiarray", "scalar"),
        ("numpy.core.multiarray", "scalar"),
        ("numpy", "dtype"),
        ("_codecs", "encode"),
    }
)
"""What a numpy number beside the tensors is written with, such as a best loss: its type, and its bytes as
text. None of it is wanted, so all of it becomes placeholders and numpy is never called."""

SETTINGS = ("omegaconf",)
"""Packages whose classes become placeholders: published trainers store their settings with them."""

SETTINGS_NAMES = frozenset({("typing", "Any")})
"""What the settings objects refer to besides; also placeholders."""

_ALLOWED = PLAIN | TENSORS | DTYPES


class RestrictedUnpickler(pickle.Unpickler):
    """Unpickles tensors and plain containers; anything else is refused by its name."""

    def find_class(self, module: str, name: str) -> Any:
        """The object for a global of the pickle.

        Nothing is ever imported: what is not in the tables does not exist.

        Raises:
            ForbiddenGlobal: the pickle names anything else.
        """
        module = OLD_MODULE_NAMES.get(module, module)
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        if module.partition(".")[0] in SETTINGS or (module, name) in SETTINGS_NAMES | NUMPY_NUMBERS:
            return Placeholder
        raise ForbiddenGlobal(
            f"it asks for '{module}.{name}', which is neither a tensor nor a plain container"
        )


Unpickler = RestrictedUnpickler
"""The name under which ``torch.load(pickle_module=...)`` looks for it."""


def load(file: IO[bytes], **options: Any) -> Any:
    """As ``pickle.load``, restricted; torch reads the head of files from before 2020 with it."""
    return RestrictedUnpickler(file, **options).load()
