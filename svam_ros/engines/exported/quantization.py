"""Stages in eight bits: weights per channel, activations in the range that real pictures gave them.

Written as explicit QuantizeLinear and DequantizeLinear, which is what strongly typed TensorRT networks take
their precision from. Only products with constant weights are quantised, the heavy ones by far: attention,
norms and sums stay in the graph's own precision, also where they read what a quantised product reads. Layers
are switched in groups, a block of the network each.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from svam_ros.engines.exported.graph_backend import Array
from svam_ros.engines.exported.onnx_export import EXTERNAL_SUFFIX, SCOPE_END
from svam_ros.engines.exported.onnxruntime_backend import OnnxRuntimeStage

if TYPE_CHECKING:
    import onnx

_HEAVY = ("Conv", "Gemm", "MatMul")
_COPY = "_in_eight_bits"
"""Behind a tensor's name: its copy, which the quantised layers alone read."""

Ranges = dict[str, float]
"""Tensor -> the largest magnitude that it is given room for."""


@dataclass(frozen=True)
class HeavyLayer:
    """One product with constant weights."""

    node: str
    activation: str
    """The tensor that it multiplies."""
    group: str
    """The block that it belongs to, such as ``semantic_decoupler.blocks.0``."""


def check_quantization_library() -> None:
    """Look whether graphs can be quantised.

    Raises:
        ImportError: the library is not installed; the text says how to install it.
    """
    if find_spec("onnxruntime") is None:
        raise ImportError("graphs are quantised with ONNX Runtime: pip install 'svam_ros[tensorrt]'")


def heavy_layers(graph: Path) -> tuple[HeavyLayer, ...]:
    """Those of a stage's graph, in the order in which they run."""
    import onnx

    model = onnx.load(str(graph), load_external_data=False).graph
    constant = {tensor.name for tensor in model.initializer}
    return tuple(
        HeavyLayer(node.name, node.input[0], layer_group(node.name))
        for node in model.node
        if node.op_type in _HEAVY and node.input[1] in constant and node.input[0] not in constant
    )


def layer_group(node: str) -> str:
    """The block of the network that a node belongs to: its modules' path up to the first number in it."""
    parts = node.rpartition(SCOPE_END)[0].split(".")
    for place, part in enumerate(parts):
        if part.isdecimal():
            return ".".join(parts[: place + 1])
    return ".".join(parts[:2])


def activation_ranges(
    graph: Path, layers: Iterable[HeavyLayer], passes: Iterable[Mapping[str, Array]], threads: int
) -> Ranges:
    """What the layers of a stage multiply, at most.

    Args:
        graph: the stage, not quantised.
        layers: of this stage.
        passes: all tensors that the stage takes, by name, once for every picture.
        threads: CPU threads.
    """
    import onnx

    names = sorted({layer.activation for layer in layers})
    model = onnx.load(str(graph), load_external_data=False)
    inputs = {entry.name for entry in model.graph.input}
    shown = [name for name in names if name not in inputs]
    types = _element_types(model)
    known = {entry.name for entry in model.graph.output}
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, types[name], None) for name in shown if name not in known
    )
    looking = graph.with_name(f"ranges_{graph.name}")
    looking.write_bytes(model.SerializeToString())
    try:
        stage = OnnxRuntimeStage(looking, threads)
        ranges = dict.fromkeys(names, 0.0)
        for given in passes:
            seen = dict(zip(shown, stage.run(given, shown), strict=True)) | dict(given)
            for name in names:
                ranges[name] = max(ranges[name], float(np.abs(seen[name]).max()))
    finally:
        looking.unlink()
    return ranges


def write_quantized(graph: Path, target: Path, layers: Iterable[HeavyLayer], ranges: Ranges) -> None:
    """Write a stage with these layers in eight bits, its weights beside it.

    Args:
        graph: the stage, not quantised.
        target: the file to write.
        layers: those to quantise; none copies the graph.
        ranges: of every activation among them.
    """
    import onnx

    model = onnx.load(str(graph))
    chosen = tuple(layers)
    if chosen:
        model = _quantized(model, chosen, ranges)
    target.parent.mkdir(exist_ok=True)
    data = target.with_name(f"{target.name}{EXTERNAL_SUFFIX}")
    data.unlink(missing_ok=True)  # onnx appends to what is there
    onnx.save(model, str(target), save_as_external_data=True, location=data.name, size_threshold=1024)
    data.touch()  # a graph of small constants alone has none


def _quantized(model: onnx.ModelProto, layers: tuple[HeavyLayer, ...], ranges: Ranges) -> onnx.ModelProto:
    from onnxruntime.quantization import CalibrationMethod, QDQQuantizer, QuantType
    from onnxruntime.quantization.calibrate import TensorData, TensorsData

    limits = {
        f"{name}{_COPY}": TensorData(
            lowest=np.array(-ranges[name], number), highest=np.array(ranges[name], number)
        )
        for name, number in _number_types(model, ranges).items()
    }
    _copy_activations(model, {layer.node for layer in layers})
    with _quietly():
        quantizer = QDQQuantizer(
            model,
            per_channel=True,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QInt8,
            tensors_range=TensorsData(CalibrationMethod.MinMax, limits),
            nodes_to_quantize=[layer.node for layer in layers],
            nodes_to_exclude=[],
            op_types_to_quantize=list(_HEAVY),
            extra_options={
                "ActivationSymmetric": True,
                "WeightSymmetric": True,
                "QuantizeBias": False,  # TensorRT takes biases as they are
                "OpTypesToExcludeOutputQuantization": list(_HEAVY),
            },
        )
        quantizer.quantize_model()
    return quantizer.model.model


def _copy_activations(model: onnx.ModelProto, chosen: set[str]) -> None:
    """Let the chosen layers read copies: the library gives all readers of a tensor what it quantised."""
    import onnx

    types, copied, nodes = _element_types(model), set[str](), []
    for node in model.graph.node:
        if node.name in chosen:
            name, copy = node.input[0], f"{node.input[0]}{_COPY}"
            if name not in copied:
                copied.add(name)
                nodes.append(onnx.helper.make_node("Identity", [name], [copy], name=copy))
                model.graph.value_info.append(onnx.helper.make_tensor_value_info(copy, types[name], None))
            node.input[0] = copy
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _number_types(model: onnx.ModelProto, tensors: Iterable[str]) -> dict[str, Any]:
    """A tensor's scale has its own precision, which is not the same all over a graph of half precision."""
    import onnx

    types = _element_types(model)
    return {name: onnx.helper.tensor_dtype_to_np_dtype(types[name]).type for name in tensors}


def _element_types(model: onnx.ModelProto) -> dict[str, int]:
    """Of every tensor, by its name, as the exporter wrote it down."""
    entries = (*model.graph.input, *model.graph.value_info, *model.graph.output)
    return {entry.name: int(entry.type.tensor_type.elem_type) for entry in entries}


@contextmanager
def _quietly() -> Iterator[None]:
    """The library advises to preprocess graphs that need none."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
