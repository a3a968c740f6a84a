"""What TensorRT for RTX compiles when it loads an engine, kept for the next start.

Its engines are portable: kernels for the GPU that is here are compiled on it, half a minute at the first
start (https://docs.nvidia.com/deeplearning/tensorrt-rtx/latest/inference-library/work-with-runtime-cache.html).
TensorRT itself compiles everything when it builds, and has no such cache.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from svam_ros.whole_files import whole_file

_LOG = logging.getLogger(__name__)


class RuntimeCache:
    """The kernels of one stage.

    Args:
        trt: the library.
        path: where they are kept. They are code: only this user may write in its folder.
    """

    def __init__(self, trt: Any, path: Path) -> None:
        self._path = path
        self._exists = hasattr(trt, "IRuntimeCache")
        self._cache: Any = None
        self._known = b""

    def configured(self, engine: Any, allocation: Any) -> Any:
        """Configuration of an execution context of the engine with this cache; ``None`` without one.

        What is kept is taken in. The library compares it with the GPU, its driver and its own version, and
        compiles anew whatever it cannot use.
        """
        if not self._exists:
            return None
        config = engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(allocation)
        self._cache = config.create_runtime_cache()
        self._known = self._path.read_bytes() if self._path.is_file() else b""
        if self._known and not self._cache.deserialize(self._known):
            _LOG.info("%s is of another GPU, driver or library: compiling anew", self._path)
        config.set_runtime_cache(self._cache)
        return config

    def keep(self) -> None:
        """Write what was compiled since; without room for it the next start compiles again."""
        if self._cache is None:
            return
        compiled = bytes(self._cache.serialize())
        if compiled == self._known:
            return
        try:
            with whole_file(self._path) as part:
                part.write_bytes(compiled)
        except OSError as error:
            _LOG.warning("compiled kernels are not kept, the next start compiles them again: %s", error)
