"""Rows of an array inside an uncompressed ``.npz``, read when they are asked for.

No file stays open between two reads: thousands of episodes need neither memory nor file descriptors,
and worker processes may be forked or spawned at will. What was read before is in the system's page cache.
"""

from __future__ import annotations

import math
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from svam_train.episodes.episodes import CorruptShard

_LOCAL_HEADER_BYTES = 30
_LENGTHS_AT = 26
"""Where a member's local header says how long its name and its extra field are (APPNOTE.TXT, 4.3.7)."""


@dataclass(frozen=True)
class StoredRows:
    """An array of a file; see :class:`svam_train.episodes.episodes.Rows`."""

    path: Path
    offset: int
    """Of the array's first byte in the file."""
    shape: tuple[int, ...]
    stored: np.dtype[Any]
    """As it is in the file."""
    given: np.dtype[Any]
    """As it is handed out."""
    divisor: float = 1.0
    """Applied after the conversion; 1 hands out what is stored."""

    def __getitem__(self, rows: NDArray[np.int64], /) -> NDArray[Any]:
        """``(...,)`` row numbers -> ``(..., *shape[1:])``.

        Raises:
            CorruptShard: the file is gone, or shorter than it was.
            IndexError: there is no such row.
        """
        wanted = np.asarray(rows, np.int64)
        if wanted.size and not 0 <= wanted.min() <= wanted.max() < self.shape[0]:
            raise IndexError(f"{self.path}: rows {wanted.min()} to {wanted.max()} of {self.shape[0]}")
        values = self._read(wanted.ravel()).reshape(*wanted.shape, *self.shape[1:]).astype(self.given)
        if self.divisor != 1.0:
            values /= values.dtype.type(self.divisor)
        return values

    def _read(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Row by row: a batch takes one or two of an episode; a memory map costs ten times as much then."""
        row_bytes = self.stored.itemsize * math.prod(self.shape[1:])
        data = bytearray(len(rows) * row_bytes)
        try:
            with self.path.open("rb", buffering=0) as file:
                for place, row in enumerate(rows.tolist()):
                    file.seek(self.offset + row * row_bytes)
                    if file.readinto(memoryview(data)[place * row_bytes :][:row_bytes]) != row_bytes:
                        raise CorruptShard(f"{self.path}: changed while it was in use: it has become shorter")
        except OSError as error:
            raise CorruptShard(f"{self.path}: changed while it was in use: {error}") from error
        return np.frombuffer(data, self.stored).reshape(len(rows), *self.shape[1:])


def stored_rows(path: Path, name: str, given: np.dtype[Any], divisor: float = 1.0) -> StoredRows:
    """The array ``name`` of the ``.npz`` at ``path``.

    Raises:
        CorruptShard: the array is compressed, or the file is no ``.npz``.
        KeyError: no array of that name.
    """
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        member = archive.getinfo(f"{name}.npy")
        if member.compress_type != zipfile.ZIP_STORED:
            raise CorruptShard(f"{path}: '{name}' is compressed; save it with numpy.savez, uncompressed")
        file.seek(member.header_offset + _LENGTHS_AT)
        name_bytes, extra_bytes = struct.unpack("<HH", file.read(4))
        file.seek(member.header_offset + _LOCAL_HEADER_BYTES + name_bytes + extra_bytes)
        shape, dtype = _array_header(file, path, name)
        return StoredRows(path, file.tell(), shape, dtype, given, divisor)


def _array_header(file: IO[bytes], path: Path, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
    else:
        shape, fortran_order, dtype = np.lib.format.read_array_header_2_0(file)
    if fortran_order and len(shape) > 1:
        raise CorruptShard(f"{path}: '{name}' is stored column by column; save a C-contiguous array")
    return shape, dtype
