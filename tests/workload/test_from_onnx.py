"""ONNX graphs put together by hand: dims, MACs, widths, edges and warnings worked out on paper."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from energysim.errors import ModelReadError
from energysim.workload.from_onnx import from_onnx
from energysim.workload.graph import LayerGraph
from energysim.workload.layer import Layer
from tests.workload.onnx_build import model, node, saved, stored, typed, zeros


@pytest.fixture
def read(tmp_path: Path) -> Any:
    def read(made: onnx.ModelProto, **options: Any) -> LayerGraph:
        return from_onnx(saved(tmp_path / "small.onnx", made), **options)

    return read


def sizes(layer: Layer) -> dict[str, int]:
    return {dim: size for dim, size in layer.dims.items() if size > 1}


def elements(layer: Layer) -> dict[str, int]:
    return {tensor.name: tensor.elements(layer.dims) for tensor in layer.tensors}


def widths(layer: Layer) -> dict[str, tuple[int, int]]:
    return {tensor.name: (tensor.bits, tensor.partial_bits) for tensor in layer.tensors}


def flows(graph: LayerGraph) -> dict[tuple[str, str], int]:
    return {(edge.source, edge.target): edge.elements for edge in graph.edges}


def test_grouped_strided_convolution_with_bias_and_activation(read: Any) -> None:
    graph = read(
        model(
            [
                node("Conv", "x conv.weight conv.bias", "a", strides=[2, 2], pads=[1, 1, 1, 1], group=2),
                node("Relu", "a"),
            ],
            [typed("x", [1, 4, 8, 8])],
            [zeros("conv.weight", 6, 2, 3, 3), zeros("conv.bias", 6)],
        )
    )
    (layer,) = graph.layers
    assert (layer.name, layer.op) == ("conv", "convolution")
    # out = (8 + 2 - 3) // 2 + 1 = 4
    assert sizes(layer) == {"G": 2, "M": 3, "C": 2, "P": 4, "Q": 4, "R": 3, "S": 3}
    assert layer.macs == 6 * 2 * 9 * 16
    assert layer.parameters == 6 * 2 * 9 + 6
    assert len(layer.fused) == 1


def test_product_with_stored_matrix_is_linear_and_its_addend_a_bias(read: Any) -> None:
    graph = read(
        model(
            [node("MatMul", "x fc.weight", "a"), node("Add", "a fc.bias", "b"), node("Relu", "b")],
            [typed("x", [2, 5, 7])],
            [zeros("fc.weight", 7, 3), zeros("fc.bias", 3)],
        )
    )
    (layer,) = graph.layers
    assert (layer.op, sizes(layer), layer.parameters) == ("linear", {"N": 10, "M": 3, "C": 7}, 21 + 3)
    assert len(layer.fused) == 1  # the Relu; the bias is part of the product


def test_batch_norm_is_folded_or_kept(read: Any) -> None:
    made = model(
        [node("Conv", "x w", "a"), node("BatchNormalization", "a s b m v", "c"), node("Relu", "c")],
        [typed("x", [1, 2, 5, 5])],
        [zeros("w", 4, 2, 1, 1), *(zeros(name, 4) for name in "sbmv")],
    )
    (layer,) = read(made).layers
    assert layer.parameters == 8 + 4 + 4  # means and variances are not trained
    kept = read(made, fold_batchnorm=False)
    assert [each.op for each in kept.layers] == ["convolution", "batch_norm"]
    apart = read(made, fuse_activations=False)
    assert [each.op for each in apart.layers] == ["convolution", "relu"]


def test_gelu_written_out_runs_inside_the_product(read: Any) -> None:
    nodes = [
        node("MatMul", "x w", "a"),
        node("Div", "a root", "b"),
        node("Erf", "b", "c"),
        node("Add", "c one", "d"),
        node("Mul", "a d", "e"),
        node("Mul", "e half"),
    ]
    constants = [stored("root", 2**0.5), stored("one", 1.0), stored("half", 0.5)]
    (layer,) = read(model(nodes, [typed("x", [4, 8])], [zeros("w", 8, 6), *constants])).layers
    assert (layer.op, len(layer.fused), layer.parameters) == ("linear", 5, 48)


def test_value_that_others_need_is_not_swallowed(read: Any) -> None:
    nodes = [node("MatMul", "x w", "a"), node("Sigmoid", "a", "b"), node("Mul", "a b", "c"), node("Add", "a c")]
    graph = read(model(nodes, [typed("x", [4, 8])], [zeros("w", 8, 6)]))
    assert len(graph.layers) == 1  # a + a * sigmoid(a) is a function of a alone
    nodes = [*nodes[:3], node("MatMul", "a v", "d"), node("Add", "c d")]
    graph = read(model(nodes, [typed("x", [4, 8])], [zeros("w", 8, 6), zeros("v", 6, 6)]))
    assert sorted(each.op for each in graph.layers) == ["add", "linear", "linear", "mul", "sigmoid"]


def test_layer_norm_written_out_is_one_layer(read: Any) -> None:
    nodes = [
        node("ReduceMean", "x", "m", axes=[-1]),
        node("Sub", "x m", "d"),
        node("Pow", "d two", "p"),
        node("ReduceMean", "p", "v", axes=[-1]),
        node("Add", "v e", "a"),
        node("Sqrt", "a", "s"),
        node("Div", "d s", "n"),
        node("Mul", "n norm.weight", "w"),
        node("Add", "w norm.bias"),
    ]
    weights = [zeros("norm.weight", 8), zeros("norm.bias", 8), stored("two", 2.0), stored("e", 1e-5)]
    (layer,) = read(model(nodes, [typed("x", [3, 8])], weights, opset=13)).layers
    whole = node("LayerNormalization", "x norm.weight norm.bias")
    (same,) = read(model([whole], [typed("x", [3, 8])], weights[:2])).layers
    assert (layer.op, layer.dims, layer.tensors, layer.parameters) == (same.op, same.dims, same.tensors, 16)


@pytest.mark.parametrize("divides", [False, True])
def test_root_mean_square_norm_written_out_is_one_layer(read: Any, divides: bool) -> None:
    end = [node("Div", "x s", "n")] if divides else [node("Reciprocal", "s", "r"), node("Mul", "x r", "n")]
    nodes = [
        node("Pow", "x two", "p"),
        node("ReduceMean", "p", "v", axes=[-1]),
        node("Add", "v e", "a"),
        node("Sqrt", "a", "s"),
        *end,
        node("Mul", "n norm.weight"),
    ]
    weights = [zeros("norm.weight", 8), stored("two", 2.0), stored("e", 1e-5)]
    (layer,) = read(model(nodes, [typed("x", [3, 8])], weights)).layers
    assert (layer.name, layer.op, layer.ops, layer.parameters) == ("norm", "rms_norm", 4 * 24, 8)


def test_rotary_embedding_written_out_is_one_layer(read: Any) -> None:
    nodes = [
        node("Mul", "x cos", "a"),
        node("Slice", "x zero four axis", "first"),
        node("Slice", "x four eight axis", "second"),
        node("Neg", "second", "n"),
        node("Concat", "n first", "turned", axis=-1),
        node("Mul", "turned sin", "b"),
        node("Add", "a b"),
    ]
    places = [stored(name, [value], np.int64) for name, value in (("zero", 0), ("four", 4), ("eight", 8), ("axis", 1))]
    caches = [zeros("cos", 3, 8), zeros("sin", 3, 8)]
    (layer,) = read(model(nodes, [typed("x", [3, 8])], [*places, *caches])).layers
    assert (layer.op, layer.ops) == ("rotary", 3 * 24)


def test_module_paths_of_the_newer_exporter_are_names(read: Any) -> None:
    nodes = [node("MatMul", "x val_3", "a", name="node_linear"), node("MatMul", "a val_4", name="node_linear_1")]
    for each, scope in zip(nodes, ("layers.0.q_proj", "layers.0.k_proj"), strict=True):
        each.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=f"['', 'layers.0', '{scope}', 'linear']")
    graph = read(model(nodes, [typed("x", [2, 8])], [zeros("val_3", 8, 8), zeros("val_4", 8, 8)]))
    assert [layer.name for layer in graph.layers] == ["layers.0.q_proj", "layers.0.k_proj"]


def test_edges_are_exact_behind_views(read: Any) -> None:
    nodes = [
        node("Relu", "x", "a"),
        node("Sigmoid", "z", "b"),
        node("Concat", "a b", "c", axis=1),
        node("Transpose", "c", "d", perm=[0, 2, 1]),
        node("Slice", "d start end axes", "e"),
        node("Softmax", "e"),
    ]
    bounds = [stored("start", [3], np.int64), stored("end", [6], np.int64), stored("axes", [2], np.int64)]
    graph = read(model(nodes, [typed("x", [1, 4, 5]), typed("z", [1, 6, 5])], bounds))
    first, second, last = (layer.name for layer in graph.layers)
    # columns 3, 4, 5 of 4 + 6: one of the first, two of the second, 5 rows each
    assert flows(graph) == {(first, last): 5, (second, last): 10}


def test_shape_arithmetic_is_folded(read: Any) -> None:
    nodes = [
        node("Shape", "x", "s"),
        node("Gather", "s zero", "batch"),
        node("Unsqueeze", "batch axes", "b"),
        node("Concat", "b rest", "target", axis=0),
        node("Relu", "x", "r"),
        node("Reshape", "r target", "flat"),
        node("MatMul", "flat w"),
    ]
    constants = [stored("zero", 0, np.int64), stored("axes", [0], np.int64), stored("rest", [-1], np.int64)]
    graph = read(model(nodes, [typed("x", ["batch", 4, 3])], [zeros("w", 12, 2), *constants]), dims={"batch": 5})
    assert sizes(graph.layers[-1]) == {"N": 5, "M": 2, "C": 12}
    assert graph.warnings == ()


def test_unbound_dim_names_the_option(read: Any) -> None:
    made = model([node("Relu", "x")], [typed("x", ["batch", None, 3])])
    with pytest.raises(ModelReadError, match=r"axis 0 of input 'x' .*--dim batch=1"):
        read(made)
    with pytest.raises(ModelReadError, match=r"axis 1 of input 'x' .*--dim x\.1=1"):
        read(made, dims={"batch": 2})
    assert sizes(read(made, dims={"batch": 2, "x.1": 4}).layers[0]) == {"N": 2, "M": 4, "Q": 3}


def test_quantised_and_dequantised_graph_has_its_widths(read: Any) -> None:
    scales = [stored("s", 0.1), stored("z", 0, np.int8), stored("ws", 0.1), stored("wz", 0, np.int8)]
    nodes = [
        node("QuantizeLinear", "x s z", "xq"),
        node("DequantizeLinear", "xq s z", "xd"),
        node("DequantizeLinear", "w ws wz", "wd"),
        node("DequantizeLinear", "b ws", "bd"),
        node("Conv", "xd wd bd", "a"),
        node("Relu", "a", "r"),
        node("QuantizeLinear", "r s z", "rq"),
        node("DequantizeLinear", "rq s z", "rd"),
        node("GlobalAveragePool", "rd"),
    ]
    weights = [zeros("w", 4, 3, 1, 1, kind=np.int8), zeros("b", 4, kind=np.int32)]
    graph = read(model(nodes, [typed("x", [1, 3, 5, 5])], [*weights, *scales]))
    quantise, layer, pool = graph.layers
    assert widths(layer) == {"weight": (8, 0), "input": (8, 0), "output": (8, 32)}
    assert layer.parameters == 12 + 4
    assert (quantise.op, widths(quantise)["output"][0]) == ("quantize", 8)
    assert widths(pool) == {"input": (8, 0), "output": (16, 0)}


def test_quantised_operators_have_their_widths(read: Any) -> None:
    nodes = [
        node("QLinearConv", "x s z w ws wz s z b", "a"),
        node("ConvInteger", "a v", "y"),
    ]
    constants = [
        stored("s", 0.1),
        stored("z", 0, np.uint8),
        stored("ws", 0.1),
        stored("wz", 0, np.int8),
        zeros("w", 4, 3, 3, 3, kind=np.int8),
        zeros("b", 4, kind=np.int32),
        zeros("v", 2, 4, 1, 1, kind=np.int8),
    ]
    graph = read(model(nodes, [typed("x", [1, 3, 5, 5], TensorProto.UINT8)], constants))
    first, second = graph.layers
    assert widths(first) == {"weight": (8, 0), "input": (8, 0), "output": (8, 32)}
    assert (first.macs, first.parameters) == (9 * 4 * 27, 4 * 27 + 4)
    assert widths(second) == {"weight": (8, 0), "input": (8, 0), "output": (32, 0)}


def test_four_bit_weights(read: Any) -> None:
    weight = helper.make_tensor("w", TensorProto.INT4, [8, 4], [1] * 32)
    nodes = [node("DequantizeLinear", "w s", "wd"), node("MatMul", "x wd")]
    (layer,) = read(model(nodes, [typed("x", [2, 8])], [weight, stored("s", 0.5)], opset=21)).layers
    assert (widths(layer)["weight"], layer.parameters) == ((4, 0), 32)


def branch(name: str, *nodes: onnx.NodeProto, inputs: Any = (), outputs: Any = (), more: Any = ()) -> onnx.GraphProto:
    return helper.make_graph(list(nodes), name, list(inputs), list(outputs), list(more))


def test_if_costs_the_branch_with_more_work(read: Any) -> None:
    out = [onnx.ValueInfoProto(name="r")]
    small = branch("small", node("Relu", "x", "r"), outputs=out)
    large = branch("large", node("MatMul", "x w", "r"), outputs=out)
    made = node("If", "c", "y", then_branch=small, else_branch=large)
    inputs = [typed("x", [4, 4]), typed("c", [], TensorProto.BOOL)]
    graph = read(model([made], inputs, [zeros("w", 4, 4)]))
    assert [layer.op for layer in graph.layers] == ["linear"]
    assert "the branch with more work is costed" in graph.warnings[0]
    known = read(model([made], inputs[:1], [zeros("w", 4, 4), stored("c", True, np.bool_)]))
    assert [layer.op for layer in known.layers] == ["relu"]
    assert known.warnings == ()


def test_loop_costs_its_body_for_each_trip(read: Any) -> None:
    body = branch(
        "body",
        node("MatMul", "state w", "next"),
        node("Identity", "go", "on"),
        inputs=[typed("i", [], TensorProto.INT64), typed("go", [], TensorProto.BOOL), typed("state", [4, 4])],
        outputs=[onnx.ValueInfoProto(name="on"), onnx.ValueInfoProto(name="next")],
    )
    loop, inputs, weight = node("Loop", "n _ x", "y", body=body), [typed("x", [4, 4])], zeros("w", 4, 4)
    known = read(model([loop], inputs, [weight, stored("n", 5, np.int64)]))
    assert (known.macs, known.warnings) == (5 * 64, ())
    open_ended = model([loop], [*inputs, typed("n", [], TensorProto.INT64)], [weight])
    graph = read(open_ended)
    assert graph.macs == 64
    assert "--trips N says how often" in graph.warnings[0]
    assert read(open_ended, trips=7).macs == 7 * 64


def test_scan_runs_along_its_axis(read: Any) -> None:
    body = branch(
        "body",
        node("MatMul", "slice w", "row"),
        inputs=[typed("slice", [1, 4])],
        outputs=[onnx.ValueInfoProto(name="row")],
    )
    scan = node("Scan", "x", "y", body=body, num_scan_inputs=1)
    (layer,) = read(model([scan], [typed("x", [6, 1, 4])], [zeros("w", 4, 3)])).layers
    assert sizes(layer) == {"N": 6, "M": 3, "C": 4}


def test_unknown_operation_is_costed_as_traffic_and_listed(read: Any) -> None:
    custom = helper.make_node("Fancy", ["x", "w"], ["a"], domain="com.example")
    graph = read(model([custom, node("Relu", "a")], [typed("x", [2, 3])], [zeros("w", 3)], domains=["com.example"]))
    assert graph.layers[0].op == "fancy"
    assert "unknown operation 'Fancy' of domain 'com.example'" in graph.warnings[0]


def test_function_of_the_model_is_written_out(read: Any) -> None:
    function = helper.make_function(
        "local",
        "Twice",
        ["a"],
        ["b"],
        [node("Relu", "a", "t"), node("Sigmoid", "t", "b")],
        [helper.make_opsetid("", 17)],
    )
    call = helper.make_node("Twice", ["x"], ["y"], domain="local")
    made = model([call], [typed("x", [2, 3])], domains=["local"])
    made.functions.append(function)
    (layer,) = read(made).layers
    assert (layer.op, len(layer.fused)) == ("relu", 1)


def test_attention_is_its_products(read: Any) -> None:
    inputs = [typed(name, [2, 4, 6, 8]) for name in "qkv"]
    graph = read(model([node("Attention", "q k v")], inputs, opset=23))
    # for each of 2 x 4 heads: 6 x 6 scores of 8, then 6 x 8 results of 6
    assert [layer.macs for layer in graph.layers] == [8 * 36 * 8, 0, 8 * 48 * 6]
    assert graph.layers[1].op == "softmax"


def test_lstm_is_the_products_of_its_gates(read: Any) -> None:
    weights = [zeros("w", 1, 4 * 5, 3), zeros("r", 1, 4 * 5, 5)]
    graph = read(model([node("LSTM", "x w r", "y", hidden_size=5)], [typed("x", [7, 2, 3])], weights))
    # 7 steps of 2 sequences: 4 gates of 5 states, from 3 inputs and 5 states
    assert graph.macs == 14 * 20 * (3 + 5)
    assert graph.parameters == 20 * 3 + 20 * 5


def test_embedding_reads_rows_and_the_same_table_counts_once(read: Any) -> None:
    inputs = [typed("x", [1, 6], TensorProto.INT64)]
    graph = read(model([node("Gather", "embed.weight x")], inputs, [zeros("embed.weight", 100, 8)]))
    (layer,) = graph.layers
    assert (layer.op, elements(layer)["weight"], layer.parameters) == ("embedding", 48, 800)


@pytest.mark.parametrize("opset", [7, 9, 11, 13, 15, 18, 21, 23])
def test_every_opset_reads_the_same_network(read: Any, opset: int) -> None:
    inline = opset < 13
    axes = {"axes": [1]} if inline else {}
    nodes = [
        node("Conv", "x w", "a"),
        node("Relu", "a", "b"),
        node("MaxPool", "b", "c", kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", "c", "d"),
        node("Unsqueeze", "d" if inline else "d axis", "e", **axes),
        node("Squeeze", "e" if inline else "e axis", "f", **axes),
        node("Gemm", "f v z", transB=1),
    ]
    constants = [zeros("w", 2, 1, 3, 3), zeros("v", 5, 8), zeros("z", 5)]
    constants += [] if inline else [stored("axis", [1], np.int64)]
    graph = read(model(nodes, [typed("x", [1, 1, 6, 6])], constants, opset=opset))
    assert [layer.op for layer in graph.layers] == ["convolution", "max_pool", "linear"]
    assert (graph.macs, graph.parameters) == (16 * 2 * 9 + 40, 18 + 40 + 5)


def test_weights_are_read_only_when_asked_for(read: Any) -> None:
    weight = np.arange(32, dtype=np.float32).reshape(8, 4) % 4
    made = model([node("MatMul", "x w")], [typed("x", [2, 8])], [stored("w", weight)])
    assert read(made).layers[0].tensor("weight").density == 1.0
    assert read(made, read_weights=True).layers[0].tensor("weight").density == 0.75
