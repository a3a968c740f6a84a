"""Graphs in eight bits: which layers, in which ranges, and what keeps a layer out of them."""

import dataclasses
import shutil

import numpy as np
import onnx
import pytest
import torch
from support.networks import (
    CONFIG,
    SENTENCES,
    as_on_the_cobot,
    observation,
    save_random_model,
    with_expert,
    with_larger_pictures,
)

from svam_ros.artifacts.network_loading import empty_network, give_weights, weight_shapes
from svam_ros.engines import create_engine
from svam_ros.engines.accuracy import AT_SMALL_WIDTHS
from svam_ros.engines.exported import eight_bits, quantization_search
from svam_ros.engines.exported.calibration import calibration_inputs
from svam_ros.engines.exported.eight_bits import (
    FEWEST_OBSERVATIONS,
    MARGIN,
    EightBitWork,
    calibration_digest,
    judged_and_ranging,
    refuse_too_few,
)
from svam_ros.engines.exported.engine_kinds import BuildRefused
from svam_ros.engines.exported.onnx_export import export_stage
from svam_ros.engines.exported.onnxruntime_backend import OnnxRuntimeBackend, OnnxRuntimeStage
from svam_ros.engines.exported.quantization import (
    activation_ranges,
    heavy_layers,
    layer_group,
    write_quantized,
)
from svam_ros.engines.exported.reference_case import REFERENCE_FILE, load_reference_case, measure_deviations
from svam_ros.engines.exported.stage_graphs import cast_to, pass_shape, run_graphs, stage_graphs
from svam_ros.engines.policy_engine import PredictionRefused
from svam_ros.engines.random_model import seeded_weights
from svam_ros.profiling.stage_timer import StageTimer

pytestmark = pytest.mark.slow

SEEN = [observation(SENTENCES[seed % 2], seed=seed) for seed in range(12)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    config = with_larger_pictures(as_on_the_cobot(with_expert(CONFIG, longest_prefix=2)))
    network = give_weights(empty_network(config), seeded_weights(weight_shapes(config), seed=0))
    return save_random_model(tmp_path_factory.mktemp("models") / "small", network=network)


@pytest.fixture(scope="module")
def graphs(model, tmp_path_factory):
    """The stages in single precision."""
    folder = tmp_path_factory.mktemp("graphs")
    network = model.load_network(torch.float32).prepare_for_inference()
    stages = stage_graphs(network)
    given = {name: torch.from_numpy(array) for name, array in calibration_inputs(model, SEEN[:1])[0].items()}
    values = run_graphs(stages, cast_to(given, torch.float32))
    for graph in stages:
        example = tuple(values[name] for name in graph.shape.inputs)
        export_stage(graph, example, folder / f"{graph.shape.name}.onnx")
    return folder, pass_shape(network)


@pytest.fixture(scope="module")
def eight(model, graphs, tmp_path_factory):
    """The search's work, its outcome, and what it reported."""
    folder, shape = graphs
    told: list[str] = []
    work = EightBitWork(
        model, folder, tmp_path_factory.mktemp("eight"), calibration_inputs(model, SEEN), 2, told.append
    )
    return work, work.run(shape), told


@pytest.mark.parametrize(
    ("node", "group"),
    [
        ("video_backbone.down_blocks.1.attentions.0.proj_in/node_MatMul_8", "video_backbone.down_blocks.1"),
        ("semantic_decoupler.adapter/node_MatMul_1", "semantic_decoupler.adapter"),
        ("image_encoder.encoder.conv_in/node_conv2d", "image_encoder.encoder"),
        ("video_backbone/node_MatMul", "video_backbone"),
    ],
)
def test_a_group_is_a_block_of_the_network(node, group):
    assert layer_group(node) == group


def test_nodes_are_named_after_their_modules(graphs):
    folder, _ = graphs
    layers = heavy_layers(folder / "decouplers.onnx")
    assert {layer.group for layer in layers} == {
        f"{which}_decoupler.{part}"
        for which in ("semantic", "geometric")
        for part in ("adapter", "input_projection", "blocks.0", "blocks.1")
    }


def test_inputs_are_those_of_the_observations_some_of_them_behind_a_prefix(model):
    inputs = calibration_inputs(model, SEEN[:4])
    assert [int(one["prefix_given"].sum()) for one in inputs] == [1, 0, 0, 1]
    assert not np.array_equal(inputs[0]["latent_noise"], inputs[2]["latent_noise"])
    assert np.array_equal(inputs[0]["token_ids"], inputs[2]["token_ids"])
    assert not np.array_equal(inputs[0]["token_ids"], inputs[1]["token_ids"])
    config = model.manifest.config
    assert calibration_digest(inputs, config) != calibration_digest(inputs[::-1], config)
    with pytest.raises(PredictionRefused, match="instruction"):
        calibration_inputs(model, [dataclasses.replace(SEEN[0], instruction="")])


def test_ranges_and_judgement_are_of_passes_with_and_without_a_prefix(model):
    inputs = calibration_inputs(model, SEEN[:FEWEST_OBSERVATIONS])
    judged, ranging = judged_and_ranging(inputs)
    assert len(judged) + len(ranging) == len(inputs)
    for kind in (judged, ranging):
        assert {int(one["prefix_given"].sum()) for one in kind} == {0, 1}
    assert judged[0]["prefix_given"].any(), "the case that engines are compared with when they are loaded"


def test_a_range_is_the_largest_magnitude_of_all_passes(graphs, model):
    folder, shape = graphs
    stage = next(stage for stage in shape.frame if stage.name == "decouplers")
    backend, passes = OnnxRuntimeBackend(folder, shape), []
    for one in calibration_inputs(model, SEEN[:3]):
        load = dict(one)
        backend.run_instruction(load.pop("token_ids"), load.pop("attention_mask"))
        backend.run_frame(load, StageTimer())
        passes.append(backend.values())
    graph = folder / "decouplers.onnx"
    layers = heavy_layers(graph)
    ranges = activation_ranges(graph, layers, passes, threads=1)
    assert ranges.keys() == {layer.activation for layer in layers}
    taken = ranges.keys() & set(stage.inputs)
    assert taken
    for name in taken:
        assert ranges[name] == max(float(np.abs(one[name]).max()) for one in passes)
    assert min(ranges.values()) > 0
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith("ranges_")) == []


def test_chosen_layers_and_no_others_compute_in_eight_bits(graphs, tmp_path):
    folder, _ = graphs
    source, target = folder / "uni_perceiver.onnx", tmp_path / "uni_perceiver.onnx"
    layers = heavy_layers(source)
    chosen = [layer for layer in layers if layer.group == "uni_perceiver.layers.0"]
    assert 0 < len(chosen) < len(layers)
    write_quantized(source, target, chosen, dict.fromkeys([layer.activation for layer in layers], 4.0))
    graph = onnx.load(str(target)).graph
    made_by = {name: node for node in graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for layer in layers:
        node = next(node for node in graph.node if node.name == layer.node)
        sources = [made_by[name].op_type if name in made_by else "constant" for name in node.input[:2]]
        assert (sources == ["DequantizeLinear"] * 2) == (layer in chosen)
        assert layer in chosen or "DequantizeLinear" not in sources
        if layer in chosen:
            weight, scale, _ = made_by[node.input[1]].input
            assert constants[weight].data_type == onnx.TensorProto.INT8
            assert len(onnx.numpy_helper.to_array(constants[scale])) > 1, "one scale for every channel"
    behind = {node.name for node in graph.node for name in node.input if _dequantized(made_by.get(name))}
    assert behind == {layer.node for layer in chosen}, "what reads the same tensor keeps its precision"
    OnnxRuntimeStage(target, 1)


def _dequantized(node):
    return node is not None and node.op_type == "DequantizeLinear"


def test_as_many_groups_as_the_table_leaves_room_for(eight, model):
    work, quantized, told = eight
    shape = pass_shape(empty_network(model.manifest.config))
    assert 0 < quantized.layers <= quantized.all_layers
    graphs = [work.graphs / f"{stage.name}.onnx" for stage in shape.frame]
    assert set(quantized.kept) < {layer.group for graph in graphs for layer in heavy_layers(graph)}
    backend = OnnxRuntimeBackend(work.target, shape)
    for one in calibration_inputs(model, SEEN)[::4]:
        network = model.load_network(torch.float32).prepare_for_inference()
        deviations = measure_deviations(backend, eight_bits.compute_case(network, one), model.statistics)
        for output, limit in AT_SMALL_WIDTHS["int8"].items():
            assert deviations[output] <= MARGIN * limit
    assert deviations["backbone_features"] > 1e-4, "nothing computes in eight bits"
    assert sum(step.startswith("compare with") for step in told) >= 1


def test_a_tighter_table_keeps_more_and_an_impossible_one_is_refused(eight, graphs, tmp_path, monkeypatch):
    work, quantized, _ = eight
    _, shape = graphs
    monkeypatch.setitem(AT_SMALL_WIDTHS, "int8", {k: v / 4 for k, v in AT_SMALL_WIDTHS["int8"].items()})
    tighter = dataclasses.replace(work, target=tmp_path / "tighter").run(shape)
    assert len(tighter.kept) > len(quantized.kept)
    assert tighter.layers < quantized.layers
    monkeypatch.setitem(AT_SMALL_WIDTHS, "int8", dict.fromkeys(AT_SMALL_WIDTHS["int8"], 0.0))
    with pytest.raises(BuildRefused, match="no layer of this network"):
        dataclasses.replace(work, target=tmp_path / "impossible").run(shape)


def test_finished_work_is_not_done_again(eight, graphs):
    work, quantized, _ = eight
    told: list[str] = []
    again = dataclasses.replace(work, report=told.append)
    assert again.run(graphs[1]) == quantized
    assert told == []
    case = load_reference_case(work.target / REFERENCE_FILE)
    np.testing.assert_array_equal(case.inputs["image"], work.inputs[0]["image"])


def test_what_was_cut_off_after_the_search_is_gone_on_with(eight, graphs, tmp_path):
    work, quantized, _ = eight
    shutil.copytree(work.target, tmp_path / "again")
    (tmp_path / "again" / REFERENCE_FILE).unlink()
    told: list[str] = []
    again = dataclasses.replace(work, target=tmp_path / "again", report=told.append)
    assert again.run(graphs[1]) == quantized
    assert not any(step.startswith("try ") for step in told)
    case = load_reference_case(tmp_path / "again" / REFERENCE_FILE)
    np.testing.assert_array_equal(case.inputs["image"], work.inputs[0]["image"])


def test_more_observations_than_fit_into_memory_are_refused(eight, graphs, tmp_path, monkeypatch):
    monkeypatch.setattr(quantization_search, "available_bytes", lambda: 1e6)
    with pytest.raises(BuildRefused, match=r"0\.0 GB are free: calibrate on fewer"):
        dataclasses.replace(eight[0], target=tmp_path).run(graphs[1])


def test_a_search_that_was_killed_goes_on_with_the_groups_that_were_not_tried(eight, graphs, tmp_path):
    work, quantized, told = eight
    tries = [step for step in told if step.startswith("try ")]
    assert len(tries) > 1

    def killed(step):
        if step == tries[-1]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dataclasses.replace(work, target=tmp_path, report=killed).run(graphs[1])
    later: list[str] = []
    assert dataclasses.replace(work, target=tmp_path, report=later.append).run(graphs[1]) == quantized
    assert [step for step in later if step.startswith("try ")] == tries[-1:]


def test_too_few_observations_and_engines_without_eight_bits_are_refused(model):
    with pytest.raises(BuildRefused, match="at least 8 observations are needed, 3 are there"):
        refuse_too_few(calibration_inputs(model, SEEN[:3]))
    with pytest.raises(ValueError, match="engine 'eager' does not run in int8"):
        create_engine("eager", model, dtype="int8")
    with pytest.raises(BuildRefused, match="'openvino' is built in float32, bfloat16, not in 'int8'"):
        create_engine("openvino", model, dtype="int8")
