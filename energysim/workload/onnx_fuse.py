"""What runs inside the layer before it: activations, BatchNorm, biases, and the quantisation that sets a width."""

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from energysim.workload.layer import Layer
from energysim.workload.onnx_infer import DOMAINS, Typed
from energysim.workload.onnx_scope import Absorbed, Scope
from energysim.workload.onnx_table import FUSABLE
from energysim.workload.onnx_types import SUM_BITS, WIDTHS, Value, nobody, uniform

if TYPE_CHECKING:
    import onnx

    from energysim.workload.onnx_graph import GraphReader

FOLDS_BATCH_NORM = ("convolution", "transposed_convolution", "linear")
FOLDS_BIAS = FOLDS_BATCH_NORM
REGION_NODES = 24
"""Most operations that an activation written out in the graph may have."""


def maker(reader: "GraphReader", value: Value, shared: bool = False) -> int | None:
    """Number of the layer whose whole result a value is, if nothing else uses that result.

    `shared`: the value itself may have many uses.
    """
    here, allowed = value, shared
    while here.source is not None and (here.uses == 1 or allowed):
        here, allowed = here.source, False
    if here.source is not None or not (here.uses == 1 or allowed) or here.owner is None:
        return None
    number = uniform(value.owner) if value.owner is not None and value.elements else None
    if not number or value.elements * reader.repeat != reader.work.written[number - 1]:
        return None
    return number


def fused(
    reader: "GraphReader",
    node: "onnx.NodeProto",
    index: int,
    sources: Sequence[Value],
    typed: Sequence[Typed],
    scope: Scope,
) -> bool:
    """Let an activation or a BatchNorm run inside the layer that made its input, if nobody else needs that."""
    op, source = node.op_type, sources[0]
    folds = op == "BatchNormalization" and reader.fold_batchnorm
    if len(sources) != 1 or not (folds or (op in FUSABLE and reader.fuse_activations)):
        return False
    shape = typed[0][1]
    if shape is None or prod(shape) != source.elements:
        return False
    number = maker(reader, source)
    if number is None:
        return op in FUSABLE and _region(reader, index, source, scope)
    layer = reader.work.layers[number - 1]
    if folds and (layer.op not in FOLDS_BATCH_NORM or layer.fused):
        return False
    inputs = [scope.find(name) if name else None for name in node.input]
    trained = reader.trained(op, inputs[:3] if folds else inputs)
    bias = op == "Add" and layer.op in FOLDS_BIAS and not layer.fused and _is_bias(inputs, layer)
    _absorb(reader, number, trained, () if bias else (_label(reader, node, trained),), node.output[0])
    for place, name in enumerate(node.output):
        element_type, size = typed[place]
        owner = nobody(size or (), number)
        bits = WIDTHS.get(element_type, 0)
        scope.give(name, Value(name, size, element_type, None, owner=owner, bits=bits, source=source))
    return True


def _is_bias(inputs: Sequence[Value | None], layer: Layer) -> bool:
    outputs = layer.dims["G"] * layer.dims["M"]
    return any(each is not None and each.stored is not None and each.elements in (outputs, 1) for each in inputs)


def _label(reader: "GraphReader", node: "onnx.NodeProto", trained: frozenset[str]) -> str:
    return reader.names.name(node.name, node.output[0], node.op_type, trained)


def _absorb(reader: "GraphReader", number: int, trained: frozenset[str], labels: tuple[str, ...], result: str) -> None:
    reader.results[number] = result
    layer = reader.work.layers[number - 1]
    more = reader.count(trained)
    reader.work.layers[number - 1] = replace(layer, parameters=layer.parameters + more, fused=(*layer.fused, *labels))


def _region(reader: "GraphReader", index: int, source: Value, scope: Scope) -> bool:
    """An activation written out as several operations (GELU, SiLU, ...), all of one value: they run inside together."""
    number = maker(reader, source, shared=True)
    if number is None or source.uses < 2 or scope.values.get(source.name) is not source:
        return False
    left = {source.name: source.uses}
    taken: list[int] = []
    trained: set[str] = set()
    candidates = sorted(scope.consumers.get(source.name, ()))
    while candidates and len(taken) < REGION_NODES:
        here = candidates.pop(0)
        each = scope.nodes[here]
        stored = [scope.known(name) for name in each.input if name and name not in left]
        others = [y for y in stored if y is not None and y.stored is not None and y.shape is not None]
        usable = each.op_type in FUSABLE | {"Identity", "Cast"} and each.domain in DOMAINS and len(each.output) == 1
        if not usable or len(others) != len(stored) or here in scope.absorbed or not _keeps_shape(source, others):
            return False
        taken.append(here)
        trained |= reader.trained(each.op_type, others)
        for name in {name for name in each.input if name in left}:
            left[name] -= 1
        result = each.output[0]
        left[result] = scope.uses.get(result, 0)
        live = [name for name, uses in left.items() if uses]
        if live in ([result], []):
            return _taken(reader, number, taken, frozenset(trained), source, scope)
        candidates = sorted({*candidates, *scope.consumers.get(result, ())} - set(taken))
    return False


def _keeps_shape(source: Value, others: Sequence[Value]) -> bool:
    try:
        shape = np.broadcast_shapes(source.shape or (), *(each.shape or () for each in others))
    except ValueError:
        return False
    return prod(shape) == source.elements


def _taken(
    reader: "GraphReader", number: int, taken: Sequence[int], trained: frozenset[str], source: Value, scope: Scope
) -> bool:
    labels = tuple(_label(reader, scope.nodes[here], frozenset()) for here in taken)
    _absorb(reader, number, trained, labels, scope.nodes[taken[-1]].output[0])
    scope.absorbed |= dict.fromkeys(taken, Absorbed(number)) | {taken[-1]: Absorbed(number, source)}
    source.uses = 1
    return True


def quantised(
    reader: "GraphReader", node: "onnx.NodeProto", inputs: Sequence[Value | None], typed: Sequence[Typed], scope: Scope
) -> bool:
    """Quantising a layer's whole result sets its width; taking narrow numbers as floats again costs nothing."""
    first = inputs[0] if inputs else None
    if node.domain not in DOMAINS or first is None or first.shape is None:
        return False
    element_type, shape = typed[0]
    name = node.output[0]
    if node.op_type == "DequantizeLinear" and first.element_type in WIDTHS:
        value = Value(name, shape, element_type, None, owner=first.owner, bits=WIDTHS[first.element_type], source=first)
        scope.give(name, value)
        reader.work.free += 1
        return True
    if node.op_type != "QuantizeLinear" or element_type not in WIDTHS or not reader.fuse_activations:
        return False
    number = maker(reader, first)
    if number is None:
        return False
    layer = reader.work.layers[number - 1]
    bits = WIDTHS[element_type]
    partial = SUM_BITS if layer.unit == "mac" else 0
    tensors = tuple(replace(y, bits=bits, partial_bits=partial) if y.role == "output" else y for y in layer.tensors)
    reader.work.layers[number - 1] = replace(layer, tensors=tensors)
    _absorb(reader, number, frozenset(), (_label(reader, node, frozenset()),), name)
    scope.give(name, Value(name, shape, element_type, None, owner=first.owner, bits=bits, source=first))
    return True
