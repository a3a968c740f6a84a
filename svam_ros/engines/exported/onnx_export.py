"""Stages of the network as ONNX files: fixed shapes, constants folded, the network's own precision."""

from __future__ import annotations

import ast
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from svam_ros.engines.exported.stage_graphs import StageGraph
from svam_ros.whole_files import write_through

if TYPE_CHECKING:
    import onnx

OPSET = 21
"""The first with a GroupNormalization of its own, whose sums stay in single precision, and the last that
ONNX Runtime, OpenVINO, TensorRT 10, 11 and TensorRT-RTX all read."""

EXTERNAL_SUFFIX = ".data"
"""Of the file with the weights beside a graph: one ONNX file holds 2 GB at most."""


_NETWORK = "network."
SCOPE_END = "/"
"""In a node's name behind the module that it computes: ``video_backbone.conv_in/node_conv2d``."""

EXPORT_LIBRARIES = ("torch", "onnx", "onnxscript")
"""Another version of one of them may write another graph."""


class ExportError(RuntimeError):
    """A stage could not be written as a graph; the text says which and why."""


def check_export_libraries() -> None:
    """Look whether graphs can be written.

    Raises:
        ImportError: a library is not installed; the text says how to install it.
    """
    for name in ("onnx", "onnxscript"):
        if find_spec(name) is None:
            raise ImportError(f"graphs are written with {name}: pip install 'svam_ros[openvino]'")


def export_stage(graph: StageGraph, example: tuple[Tensor, ...], path: Path) -> None:
    """Write one stage; nothing lies at ``path`` before all of it does.

    Args:
        graph: the stage, of a prepared network.
        example: its inputs; the graph takes these shapes and no others.
        path: the ONNX file. The weights lie beside it, see :data:`EXTERNAL_SUFFIX`.

    Raises:
        ExportError: torch cannot write the stage as a graph.
        ImportError: ``onnx`` or ``onnxscript`` are not installed.
    """
    partial = path.with_name(f"partial_{path.name}")
    data, partial_data = (Path(f"{name}{EXTERNAL_SUFFIX}") for name in (path, partial))
    try:
        with _without_chatter(), torch.no_grad():
            program = torch.onnx.export(
                graph.eval(),
                example,
                dynamo=True,
                opset_version=OPSET,
                input_names=list(graph.shape.inputs),
                output_names=list(graph.shape.outputs),
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise ExportError(f"stage '{graph.shape.name}' cannot be written as ONNX: {error}") from error
    assert program is not None
    program.save(str(partial), external_data=True)
    partial.write_bytes(_finished(partial, partial_data.name, data.name))
    for written in (partial, partial_data):
        write_through(written)
    os.replace(partial_data, data)
    os.replace(partial, path)


def _finished(path: Path, old: str, new: str) -> bytes:
    """The graph in ``path``, its weights in another file, and without a word about where it was made.

    The exporter writes every node's Python stack into the file: the maker's paths, and most of its bytes. Of
    all that the node's name keeps the module, by which profilers and the choice of layers go.
    """
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    for tensor in model.graph.initializer:
        del tensor.metadata_props[:]
        for entry in tensor.external_data:
            if entry.key == "location" and entry.value == old:
                entry.value = new
    for node in model.graph.node:
        node.name = f"{_module(node)}{SCOPE_END}{node.name}"
    values = (*model.graph.input, *model.graph.value_info, *model.graph.output)
    for described in (model, model.graph, *model.graph.node, *model.functions, *values):
        del described.metadata_props[:]
        described.doc_string = ""
    serialized: bytes = model.SerializeToString()
    return serialized


def _module(node: onnx.NodeProto) -> str:
    """The network's module that a node computes a part of, as the weights name it; empty for none."""
    scopes = (entry.value for entry in node.metadata_props if entry.key == "pkg.torch.onnx.name_scopes")
    modules = [scope for scope in ast.literal_eval(next(scopes, "[]")) if scope.startswith(_NETWORK)]
    return modules[-1].removeprefix(_NETWORK) if modules else ""


@contextmanager
def _without_chatter() -> Iterator[None]:
    """The exporter tells of missing packages and of foldings that it skips; nobody can act on it."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.__trace", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
