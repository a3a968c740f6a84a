"""``python -I -m svam_ros.quarantine SOURCE OUTPUT``: a pickled checkpoint to a safetensors file.

Written is the state dict: what stands under ``model`` or ``state_dict``, or else the whole file.
Optimiser states, counters and settings stay unread where the format allows it, and are dropped.
Standard output carries one JSON object a line: ``{"bytes": n}`` before writing, at the end
``{"dropped": [...]}`` or ``{"refused": "why"}``. Exit code 0 or 3.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from svam_ros.quarantine import allowed_globals
from svam_ros.quarantine.confinement import ForbiddenEvent, confine

STATE_DICT_KEYS = ("model", "state_dict")
EXIT_REFUSED = 3


class NoCheckpoint(Exception):
    """The file holds no state dict."""


def read_state_dict(source: Path) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Tensors by name, each contiguous and by itself, and the keys of the file that were dropped."""
    content = torch.load(
        source,
        map_location="cpu",
        pickle_module=allowed_globals,
        weights_only=False,  # torch's own list does not know the settings objects of published files
        mmap=_is_zip(source),  # so that optimiser states are never read
    )
    state, dropped = _state_dict(content)
    tensors: dict[str, torch.Tensor] = {}
    storages: set[int] = set()
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise NoCheckpoint(f"entry {name!r} of the state dict is a {type(value).__name__}, not a tensor")
        tensor = value.detach().contiguous()
        storage = tensor.untyped_storage().data_ptr()
        tensors[name] = tensor.clone() if storage in storages else tensor
        storages.add(storage)
    return tensors, dropped


def _state_dict(content: Any) -> tuple[Mapping[Any, Any], list[str]]:
    if not isinstance(content, Mapping):
        raise NoCheckpoint(f"it holds a {type(content).__name__}, not a state dict")
    for key in STATE_DICT_KEYS:
        if isinstance(content.get(key), Mapping):
            return content[key], sorted(str(other) for other in content if other != key)
    return content, []


def _is_zip(source: Path) -> bool:
    with source.open("rb") as stream:
        return stream.read(4) == b"PK\x03\x04"


def _load_what_torch_loads_late() -> None:
    """Go through reading and writing once, with a tensor of our own, before imports are forbidden."""
    for zipped in (True, False):
        buffer = io.BytesIO()
        torch.save({"x": torch.zeros(1)}, buffer, _use_new_zipfile_serialization=zipped)
        buffer.seek(0)
        torch.load(buffer, map_location="cpu", pickle_module=allowed_globals, weights_only=False)
    safetensors.torch.save({"x": torch.zeros(1)})


def _tell(**what: object) -> None:
    print(json.dumps(what), flush=True)


def main(source: Path, output: Path) -> int:
    """Confine this process, read, write; returns the exit code."""
    _load_what_torch_loads_late()
    confine(source, output)
    try:
        tensors, dropped = read_state_dict(source)
        _tell(bytes=sum(tensor.nbytes for tensor in tensors.values()))
        safetensors.torch.save_file(tensors, output)
    except (Exception, ForbiddenEvent) as error:
        ours = isinstance(error, (allowed_globals.ForbiddenGlobal, ForbiddenEvent, NoCheckpoint))
        text = str(error) if ours else f"it cannot be read ({type(error).__name__}: {error})"
        _tell(refused=text.strip().splitlines()[0] if text.strip() else type(error).__name__)
        return EXIT_REFUSED
    _tell(dropped=dropped)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), Path(sys.argv[2])))
