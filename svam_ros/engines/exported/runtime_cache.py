"""What TensorRT for RTX compiles when it loads an engine, kept for the next start.

Its engines are portable: kernels for the GPU that is here are compiled on it, half a minute at the first
start (https://docs.nvidia.com/deeplearning/tensorrt-rtx/latest/inference-library/work-with-runtime-cache.html).
TensorRT itself compiles everything when it builds, and has no such cache.
"""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path
from typing import Any

from svam_ros.user_cache import user_cache
from svam_ros.whole_files import whole_file

KEPT_STAGES = 64
"""Of all engines that were ever loaded, some eight: those that were not used for longest go first."""

_LOG = logging.getLogger(__name__)


class RuntimeCache:
    """The kernels of one stage; they live as long as this does, and contexts want them to outlive themselves.

    Args:
        trt: the library.
        serialized: the stage's engine, which the kernels are kept by.
    """

    def __init__(self, trt: Any, serialized: bytes) -> None:
        self._exists = hasattr(trt, "IRuntimeCache")
        self._path = _kept_in(serialized) if self._exists else None
        self._config: Any = None
        self._cache: Any = None
        self._known = b""

    def configured(self, engine: Any, allocation: Any) -> Any:
        """What to make an execution context of the engine with: its configuration, or without a cache the
        allocation itself.

        What is kept is taken in. The library compares it with the GPU, its driver and its own version, and
        compiles anew whatever it cannot use.
        """
        if not self._exists:
            return allocation
        self._config = engine.create_runtime_config()
        self._config.set_execution_context_allocation_strategy(allocation)
        self._cache = self._config.create_runtime_cache()
        self._known = self._read()
        if self._known and not self._cache.deserialize(self._known):
            _LOG.info("%s is of another GPU, driver or library: compiling anew", self._path)
        if not self._config.set_runtime_cache(self._cache):
            _LOG.warning("TensorRT takes no runtime cache: every start compiles its kernels")
        return self._config

    def keep(self) -> None:
        """Write what was compiled since; without a place for it the next start compiles again."""
        if self._cache is None or self._path is None:
            return
        serialized = self._cache.serialize()
        compiled = b"" if serialized is None else bytes(serialized)
        if compiled in (b"", self._known):
            return
        try:
            with whole_file(self._path) as part:
                part.write_bytes(compiled)
            _forget_the_oldest(self._path.parent)
        except OSError as error:
            _say_not_kept(error)

    def _read(self) -> bytes:
        try:
            if self._path is None:
                return b""
            kept = self._path.read_bytes()
            os.utime(self._path)
            return kept
        except OSError:  # it is not there yet, and if it cannot be read, it is made again
            return b""


def _kept_in(serialized: bytes) -> Path | None:
    """They are code, and lie where this user alone may write."""
    try:
        return user_cache("kernels") / f"{hashlib.sha256(serialized).hexdigest()}.kernels"
    except (OSError, RuntimeError) as error:  # RuntimeError: the user has no home
        _say_not_kept(error)
        return None


def _forget_the_oldest(folder: Path) -> None:
    """Every engine that is built anew has kernels of its own."""
    files = sorted(folder.glob("*.kernels"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in files[KEPT_STAGES:]:
        path.unlink(missing_ok=True)


def _say_not_kept(error: Exception) -> None:
    _LOG.warning("compiled kernels are not kept, the next start compiles them again: %s", error)
