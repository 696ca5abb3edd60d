"""TensorFlow Lite files: each operation becomes the ONNX operations that it equals, with its own shapes and widths.

What the file says of shapes and types is taken from it; images lie channels last there, so views (which are free) turn
them around a convolution or pooling. Weights are never read; small constants (axes, paddings) are.
"""

import struct
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from energysim.errors import EnergysimError, InputError, ModelReadError
from energysim.workload.from_onnx import read_parsed
from energysim.workload.graph import LayerGraph, clean_name
from energysim.workload.onnx_file import first_line, import_onnx, mapped
from energysim.workload.tflite_operations import OPTIONS, STEPS, Shape, Step

if TYPE_CHECKING:
    import onnx

IDENTIFIER = b"TFL3"
MOST_TENSORS = 100_000
KNOWN_ELEMENTS = 1 << 12
FAULTS = (struct.error, IndexError, ValueError, TypeError, OverflowError, AttributeError, KeyError, AssertionError)
"""What reading a damaged flatbuffer raises."""
FLOAT, INT64 = 1, 7
WIDTHS = MappingProxyType({"INT4": 4, "INT8": 8, "UINT8": 8, "INT16": 16, "UINT16": 16})
"""Bits of the types that quantised tensors have."""
READ_AS = MappingProxyType({"INT32": "<i4", "INT64": "<i8", "FLOAT32": "<f4", "BOOL": "u1"})


def from_tflite(path: str | Path, *, fold_batchnorm: bool = True, fuse_activations: bool = True) -> LayerGraph:
    """The layer graph of a TensorFlow Lite model; needs the packages `tflite` and `onnx`.

    Bits are those of its quantised types. Operations that are not translated are costed as traffic, with a warning.
    Raises InputError and ModelReadError.
    """
    path = Path(path)
    where = clean_name(str(path))
    try:
        import tflite
    except ImportError:
        raise InputError("reading TFLite models needs two packages: pip install 'energysim[tflite]'") from None
    with mapped(path) as data:
        if len(data) < 8 or data[4:8] != IDENTIFIER:
            raise ModelReadError(f"{where}: not a TensorFlow Lite model, or cut off")
        try:
            model, widths = _translated(tflite, data)
            return read_parsed(model, path, widths=widths, folds=fold_batchnorm, fuses=fuse_activations).graph
        except FAULTS as error:
            raise ModelReadError(f"{where}: not a TensorFlow Lite model, or damaged: {first_line(error)}") from error
        except EnergysimError as error:
            raise error if str(error).startswith(where) else ModelReadError(f"{where}: {error}") from error


def _names(enumeration: Any) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def _translated(tflite: Any, data: Any) -> tuple["onnx.ModelProto", dict[str, int]]:
    """An ONNX model of the same operations, and the bits of its values where they are quantised."""
    onnx = import_onnx()
    model = tflite.Model.GetRootAs(data, 0)
    graph = model.Subgraphs(0)
    types, kinds = _names(tflite.TensorType), _names(tflite.BuiltinOperator)
    count = graph.TensorsLength()
    if count > MOST_TENSORS or graph.OperatorsLength() > MOST_TENSORS:
        raise ModelReadError(f"declares more than {MOST_TENSORS:,} tensors or operations")
    tensors = [graph.Tensors(i) for i in range(count)]
    names = [f"{i}:{(tensor.Name() or b'').decode('utf-8', 'replace')}" for i, tensor in enumerate(tensors)]
    shapes = {name: _shape(tensor) for name, tensor in zip(names, tensors, strict=True)}
    values, widths = {}, {}
    for name, tensor in zip(names, tensors, strict=True):
        kind = types.get(tensor.Type(), "")
        if kind in WIDTHS:
            widths[name] = WIDTHS[kind]
        value = _value(model, tensor, kind, shapes[name])
        if value is not None:
            values[name] = value
    made = {
        names[graph.Operators(i).Outputs(j)]
        for i in range(graph.OperatorsLength())
        for j in range(graph.Operators(i).OutputsLength())
    }
    inputs = [names[graph.Inputs(i)] for i in range(graph.InputsLength())]
    weights = {name: shapes[name] for name in names if name not in made and name not in inputs}
    nodes, constants = [], []
    for i in range(graph.OperatorsLength()):
        step = _step(tflite, model, graph.Operators(i), i, names, shapes, values, kinds)
        translate = STEPS.get(step.kind)
        try:
            if translate is None:
                raise KeyError(step.kind)
            translate(step)
        except KeyError:  # an operation that is not translated, or whose constants are computed
            step.nodes.clear()
            domain = "tensorflow.lite"
            step.nodes.append(onnx.helper.make_node(step.kind, step.inputs, step.outputs, step.label, domain=domain))
        nodes += step.nodes
        constants += step.constants
    declared = [onnx.helper.make_tensor_value_info(name, FLOAT, list(shapes[name])) for name in names if name in made]
    given = [onnx.helper.make_tensor_value_info(name, FLOAT, list(shapes[name])) for name in inputs]
    results = [onnx.ValueInfoProto(name=names[graph.Outputs(i)]) for i in range(graph.OutputsLength())]
    stored = [_declared(onnx, name, shape) for name, shape in weights.items()]
    whole = onnx.helper.make_graph(nodes, "tflite", given, results, [*stored, *constants], value_info=declared)
    return onnx.helper.make_model(whole, opset_imports=[onnx.helper.make_opsetid("", 20)]), widths


def _declared(onnx: Any, name: str, shape: Shape) -> Any:
    """A stored tensor without its elements."""
    return onnx.TensorProto(name=name, data_type=FLOAT, dims=shape)


def _shape(tensor: Any) -> Shape:
    shape = tuple(int(tensor.Shape(i)) for i in range(min(tensor.ShapeLength(), 64)))
    if any(size < 0 for size in shape):
        raise ModelReadError(f"tensor '{clean_name(str(tensor.Name()))}' has a size below 0")
    return shape


def _value(model: Any, tensor: Any, kind: str, shape: Shape) -> Any:
    """The elements of a small constant; None of anything else."""
    import numpy as np

    if kind not in READ_AS or prod(shape) > KNOWN_ELEMENTS or not 0 < tensor.Buffer() < model.BuffersLength():
        return None
    buffer = model.Buffers(tensor.Buffer())
    size = prod(shape) * np.dtype(READ_AS[kind]).itemsize
    if not size or buffer.DataLength() != size:
        return None
    return np.frombuffer(buffer.DataAsNumpy().tobytes(), READ_AS[kind]).reshape(shape)


def _step(
    tflite: Any,
    model: Any,
    operator: Any,
    index: int,
    names: Sequence[str],
    shapes: dict[str, Shape],
    values: Mapping[str, Any],
    kinds: Mapping[int, str],
) -> Step:
    code = model.OperatorCodes(operator.OpcodeIndex())
    kind = kinds.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), "UNKNOWN")
    if kind == "CUSTOM":
        kind = clean_name((code.CustomCode() or b"CUSTOM").decode("utf-8", "replace"))
    table = operator.BuiltinOptions()

    def option(name: str, default: Any) -> Any:
        options = OPTIONS.get(kind)
        if table is None or options is None:
            return default
        holder = getattr(tflite, options)()
        holder.Init(table.Bytes, table.Pos)
        return getattr(holder, name)()

    inputs = [names[i] if (i := operator.Inputs(j)) >= 0 else "" for j in range(operator.InputsLength())]
    outputs = [names[operator.Outputs(j)] for j in range(operator.OutputsLength())]
    label = f"{kind.lower()}_{index}"
    return Step(kind, label, inputs, outputs, shapes, values, option)
