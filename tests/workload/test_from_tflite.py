"""TensorFlow Lite models written by hand: dims, MACs, widths and flows, and files that are damaged."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
import tflite

from energysim.errors import EnergysimError, ModelReadError
from energysim.workload.graph import LayerGraph
from energysim.workload.layer import Layer
from energysim.workload.read import read_model

Option = tuple[str, dict[str, int]]
SAME, VALID, RELU, RELU6 = 0, 1, 1, 3


class Writer:
    """Puts a TFLite file together, tensor by tensor and operation by operation."""

    def __init__(self) -> None:
        self.builder = flatbuffers.Builder(1024)
        self.tensors: list[int] = []
        self.buffers: list[bytes] = [b""]
        self.operations: list[tuple[int, Sequence[int], Sequence[int], Option | None]] = []

    def tensor(self, name: str, shape: Sequence[int], kind: str = "INT8", data: Any = None) -> int:
        b = self.builder
        place = 0
        if data is not None:
            place = len(self.buffers)
            self.buffers.append(data.tobytes())
        label = b.CreateString(name)
        sizes = b.CreateNumpyVector(np.asarray(shape, np.int32))
        tflite.TensorStart(b)
        tflite.TensorAddName(b, label)
        tflite.TensorAddShape(b, sizes)
        tflite.TensorAddType(b, getattr(tflite.TensorType, kind))
        tflite.TensorAddBuffer(b, place)
        self.tensors.append(tflite.TensorEnd(b))
        return len(self.tensors) - 1

    def operation(self, kind: str, inputs: Sequence[int], outputs: Sequence[int], option: Option | None = None) -> None:
        self.operations.append((getattr(tflite.BuiltinOperator, kind), inputs, outputs, option))

    def _vector(self, offsets: Sequence[int]) -> int:
        self.builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return int(self.builder.EndVector())

    def _numbers(self, values: Sequence[int]) -> int:
        return int(self.builder.CreateNumpyVector(np.asarray(values, np.int32)))

    def _operation(self, code: int, inputs: Sequence[int], outputs: Sequence[int], option: Option | None) -> int:
        b, table = self.builder, 0
        if option is not None:
            getattr(tflite, f"{option[0]}Start")(b)
            for key, value in option[1].items():
                getattr(tflite, f"{option[0]}Add{key}")(b, value)
            table = getattr(tflite, f"{option[0]}End")(b)
        reads, writes = self._numbers(inputs), self._numbers(outputs)
        tflite.OperatorStart(b)
        tflite.OperatorAddOpcodeIndex(b, code)
        tflite.OperatorAddInputs(b, reads)
        tflite.OperatorAddOutputs(b, writes)
        if option is not None:
            tflite.OperatorAddBuiltinOptionsType(b, getattr(tflite.BuiltinOptions, option[0]))
            tflite.OperatorAddBuiltinOptions(b, table)
        return int(tflite.OperatorEnd(b))

    def written(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        b = self.builder
        kinds = sorted({kind for kind, *_ in self.operations})
        made = [self._operation(kinds.index(kind), *rest) for kind, *rest in self.operations]
        operators, tensors = self._vector(made), self._vector(self.tensors)
        reads, writes = self._numbers(inputs), self._numbers(outputs)
        tflite.SubGraphStart(b)
        tflite.SubGraphAddTensors(b, tensors)
        tflite.SubGraphAddInputs(b, reads)
        tflite.SubGraphAddOutputs(b, writes)
        tflite.SubGraphAddOperators(b, operators)
        graphs = self._vector([tflite.SubGraphEnd(b)])
        codes = []
        for kind in kinds:
            tflite.OperatorCodeStart(b)
            tflite.OperatorCodeAddDeprecatedBuiltinCode(b, min(kind, 127))
            tflite.OperatorCodeAddBuiltinCode(b, kind)
            codes.append(tflite.OperatorCodeEnd(b))
        held = []
        for data in self.buffers:
            place = b.CreateByteVector(data)
            tflite.BufferStart(b)
            tflite.BufferAddData(b, place)
            held.append(tflite.BufferEnd(b))
        known, buffers = self._vector(codes), self._vector(held)
        tflite.ModelStart(b)
        tflite.ModelAddVersion(b, 3)
        tflite.ModelAddOperatorCodes(b, known)
        tflite.ModelAddSubgraphs(b, graphs)
        tflite.ModelAddBuffers(b, buffers)
        b.Finish(tflite.ModelEnd(b), file_identifier=b"TFL3")
        return bytes(b.Output())


def small() -> bytes:
    """A convolution, a depthwise one with a shortcut around it, a mean, a linear layer, a softmax."""
    w = Writer()
    x = w.tensor("x", [1, 8, 8, 3])
    k, b, y = w.tensor("k", [4, 3, 3, 3]), w.tensor("b", [4], "INT32"), w.tensor("y", [1, 4, 4, 4])
    window = {"StrideH": 2, "StrideW": 2, "DilationHFactor": 1, "DilationWFactor": 1}
    w.operation("CONV_2D", [x, k, b], [y], ("Conv2DOptions", {**window, "FusedActivationFunction": RELU6}))
    d, e, z = w.tensor("d", [1, 3, 3, 4]), w.tensor("e", [4], "INT32"), w.tensor("z", [1, 4, 4, 4])
    window = {"StrideH": 1, "StrideW": 1, "DepthMultiplier": 1, "DilationHFactor": 1, "DilationWFactor": 1}
    w.operation("DEPTHWISE_CONV_2D", [y, d, e], [z], ("DepthwiseConv2DOptions", window))
    s = w.tensor("s", [1, 4, 4, 4])
    w.operation("ADD", [y, z], [s], ("AddOptions", {"FusedActivationFunction": RELU}))
    axes, m = w.tensor("axes", [2], "INT32", np.array([1, 2], np.int32)), w.tensor("m", [1, 4])
    w.operation("MEAN", [s, axes], [m])
    f, g, o = w.tensor("f", [10, 4]), w.tensor("g", [10], "INT32"), w.tensor("o", [1, 10])
    w.operation("FULLY_CONNECTED", [m, f, g], [o], ("FullyConnectedOptions", {}))
    p = w.tensor("p", [1, 10])
    w.operation("SOFTMAX", [o], [p])
    return w.written([x], [p])


def sizes(layer: Layer) -> dict[str, int]:
    return {dim: size for dim, size in layer.dims.items() if size > 1}


def widths(layer: Layer) -> dict[str, tuple[int, int]]:
    return {tensor.name: (tensor.bits, tensor.partial_bits) for tensor in layer.tensors}


def read(path: Path, data: bytes) -> LayerGraph:
    path.write_bytes(data)
    return read_model(path)


def test_quantised_network(tmp_path: Path) -> None:
    graph = read(tmp_path / "small.tflite", small())
    conv, depthwise, add, pool, linear, softmax = graph.layers
    assert graph.warnings == ()
    assert sizes(conv) == {"M": 4, "C": 3, "P": 4, "Q": 4, "R": 3, "S": 3}
    assert sizes(depthwise) == {"G": 4, "P": 4, "Q": 4, "R": 3, "S": 3}
    assert (add.op, add.ops, pool.op, pool.ops) == ("add", 64, "average_pool", 64)
    assert (sizes(linear), softmax.op) == ({"M": 10, "C": 4}, "softmax")
    assert graph.macs == 16 * 4 * 27 + 16 * 4 * 9 + 40
    assert graph.parameters == 108 + 4 + 36 + 4 + 40 + 10
    for layer in (conv, depthwise, linear):
        assert widths(layer) == {"weight": (8, 0), "input": (8, 0), "output": (8, 32)}, layer.name
    assert widths(add) == {"input": (8, 0), "input_2": (8, 0), "output": (8, 0)}
    flows = {(edge.source, edge.target): edge.elements for edge in graph.edges}
    assert flows[conv.name, depthwise.name] == flows[conv.name, add.name] == flows[depthwise.name, add.name] == 64
    assert flows[add.name, pool.name] == 64


def test_unknown_operation_is_traffic_and_named(tmp_path: Path) -> None:
    w = Writer()
    x, y = w.tensor("x", [2, 5], "FLOAT32"), w.tensor("y", [2, 5], "FLOAT32")
    w.operation("RFFT2D", [x], [y])
    graph = read(tmp_path / "a.tflite", w.written([x], [y]))
    assert "unknown operation 'RFFT2D' of domain 'tensorflow.lite'" in graph.warnings[0]
    assert graph.unknown == (graph.layers[0].name,)


def test_views_and_products(tmp_path: Path) -> None:
    w = Writer()
    a, b = w.tensor("a", [2, 3, 4], "FLOAT32"), w.tensor("b", [2, 5, 4], "FLOAT32")
    r, s = w.tensor("r", [2, 3, 4], "FLOAT32"), w.tensor("s", [2, 5, 4], "FLOAT32")
    w.operation("RELU", [a], [r])
    w.operation("LOGISTIC", [b], [s])
    c, t = w.tensor("c", [2, 3, 5], "FLOAT32"), w.tensor("t", [2, 5, 3], "FLOAT32")
    w.operation("BATCH_MATMUL", [r, s], [c], ("BatchMatMulOptions", {"AdjY": 1}))
    perm = w.tensor("perm", [3], "INT32", np.array([0, 2, 1], np.int32))
    w.operation("TRANSPOSE", [c, perm], [t])
    u = w.tensor("u", [2, 5, 3], "FLOAT32")
    w.operation("TANH", [t], [u])
    graph = read(tmp_path / "a.tflite", w.written([a, b], [u]))
    assert [layer.op for layer in graph.layers] == ["relu", "sigmoid", "matmul"]
    assert graph.macs == 2 * 3 * 5 * 4
    assert len(graph.layers[-1].fused) == 1


def test_damaged_files_are_refused_in_one_line(tmp_path: Path) -> None:
    path, whole = tmp_path / "a.tflite", small()
    for data in (b"", b"TFL3", bytes(4) + b"TFL3", whole[:200], bytes(1000), b"\xff" * 4 + b"TFL3" + bytes(100)):
        with pytest.raises(ModelReadError, match=r"a\.tflite: ") as caught:
            read(path, data)
        assert "\n" not in str(caught.value)
    for seed in range(150):
        draw = np.random.default_rng(seed)
        changed = bytearray(whole)
        for at in draw.integers(0, len(whole), 1 + seed % 4):
            changed[at] ^= 1 << int(draw.integers(8))
        with suppress(EnergysimError):
            read(path, bytes(changed))
