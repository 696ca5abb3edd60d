"""Subgraphs of ONNX graphs: one branch of an If, the body of a Loop or Scan once for each trip."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from energysim.workload.onnx_infer import label
from energysim.workload.onnx_scope import Scope
from energysim.workload.onnx_sequences import MOST_ITEMS
from energysim.workload.onnx_types import Value, attributes_of, checked_shape, nobody

if TYPE_CHECKING:
    import onnx

    from energysim.workload.onnx_graph import GraphReader

MOST_TRIPS = 1 << 31


def run_control(reader: "GraphReader", node: "onnx.NodeProto", inputs: Sequence[Value | None], scope: Scope) -> None:
    """Cost the body of a node and give its results."""
    attributes = attributes_of(node)
    run = {"If": _branch, "Loop": _loop, "Scan": _scan, "SequenceMap": _each}[node.op_type]
    results = run(reader, node, inputs, attributes, scope)
    for i, name in enumerate(node.output):
        value = results[i] if i < len(results) else Value(name)
        scope.give(name, replace_name(value, name))


def replace_name(value: Value, name: str) -> Value:
    """The same value under another name, with uses of its own."""
    return replace(value, name=name, source=None, uses=0)


def _body(
    reader: "GraphReader", graph: "onnx.GraphProto", scope: Scope, given: Sequence[Value], trips: int = 1
) -> list[Value]:
    """Read a subgraph, `trips` times as large; its outputs."""
    inner = Scope(graph, scope)
    reader.inference.hear(graph)
    reader.enter(graph)
    for each, value in zip(graph.input, given, strict=False):
        inner.give(each.name, replace_name(value, each.name))
    before = reader.repeat
    reader.repeat = before * trips
    try:
        reader.graph(inner)
    finally:
        reader.repeat = before
    return [inner.find(each.name) for each in graph.output]


def _branch(
    reader: "GraphReader",
    node: "onnx.NodeProto",
    inputs: Sequence[Value | None],
    attributes: Mapping[str, Any],
    scope: Scope,
) -> list[Value]:
    """The branch that a known condition takes, else the one with more work."""
    branches = [attributes["then_branch"], attributes["else_branch"]]
    condition = inputs[0].data if inputs and inputs[0] is not None else None
    if condition is not None:
        taken = branches[0] if bool(np.reshape(condition, -1)[0]) else branches[1]
        return _body(reader, taken, scope, ())
    before = reader.work
    outcomes = []
    for branch in branches:
        reader.work = before.copy()
        outcomes.append((_body(reader, branch, scope, ()), reader.work))
    results, reader.work = max(outcomes, key=lambda outcome: outcome[1].points)
    if outcomes[0][1].points != outcomes[1][1].points:
        reader.work.warnings.append(f"{label(node)}: its condition is not known; the branch with more work is costed")
        reader.work.assumed += [layer.name for layer in reader.work.layers[len(before.layers) :]]
    return results


def _trips(reader: "GraphReader", node: "onnx.NodeProto", known: int | None) -> tuple[int, bool]:
    """How often a body runs, and whether that is only assumed: as the option says or once, where the graph does not."""
    if known is not None and known < MOST_TRIPS:
        return max(1, known), False
    trips = 1 if reader.trips is None else reader.trips
    once = "once; --trips N says how often" if reader.trips is None else f"{trips} times, as --trips says"
    reader.work.warnings.append(f"{label(node)}: how often it runs is not known; its body is costed {once}")
    return trips, True


def _loop(
    reader: "GraphReader",
    node: "onnx.NodeProto",
    inputs: Sequence[Value | None],
    attributes: Mapping[str, Any],
    scope: Scope,
) -> list[Value]:
    most = inputs[0] if inputs else None
    carried = list(inputs[2:])
    known = None if most is None or most.data is None else int(np.reshape(most.data, -1)[0])
    body = attributes["body"]
    first = len(reader.work.layers)
    trips, assumed = _trips(reader, node, known)
    count = Value("trip", (), 7, None, owner=nobody(()))
    goes_on = Value("condition", (), 9, None, owner=nobody(()))
    outputs = _body(reader, body, scope, (count, goes_on, *(_computed(each) for each in carried)), trips)
    if assumed:
        reader.work.assumed += [layer.name for layer in reader.work.layers[first:]]
    states = outputs[1 : 1 + len(carried)]
    return [*states, *(_stacked(each, trips, 0) for each in outputs[1 + len(carried) :])]


def _computed(value: Value | None) -> Value:
    """A value that changes from trip to trip: nothing of its elements is known."""
    if value is None:
        return Value("")
    owner = value.owner if value.owner is not None or value.shape is None else nobody(value.shape)
    return replace(value, stored=None, data=None, owner=owner, source=None)


def _stacked(value: Value, trips: int, axis: int) -> Value:
    if value.shape is None:
        return value
    at = axis + len(value.shape) + 1 if axis < 0 else axis
    shape = checked_shape([*value.shape[:at], trips, *value.shape[at:]], value.name)
    number = int(value.owner.flat[0]) if value.owner is not None and value.owner.size else 0
    return Value(value.name, shape, value.element_type, None, owner=nobody(shape, number))


def _scan(
    reader: "GraphReader",
    node: "onnx.NodeProto",
    inputs: Sequence[Value | None],
    attributes: Mapping[str, Any],
    scope: Scope,
) -> list[Value]:
    old = reader.inference.opset() < 9  # a batch axis in front, and the lengths of sequences as first input
    given = list(inputs[1:] if old else inputs)
    scanned = int(attributes["num_scan_inputs"])
    states, slices = given[: len(given) - scanned], given[len(given) - scanned :]
    axes = attributes.get("scan_input_axes", [1 if old else 0] * scanned)
    lengths = [each.shape[axis] for each, axis in zip(slices, axes, strict=True) if each is not None and each.shape]
    trips, assumed = _trips(reader, node, lengths[0] if lengths else None)
    batch = given[0].shape[0] if old and given and given[0] is not None and given[0].shape else 1
    first = len(reader.work.layers)
    inner = [_without(each, 0) if old else _computed(each) for each in states]
    inner += [
        _without(_without(each, axis), 0) if old else _without(each, axis)
        for each, axis in zip(slices, axes, strict=True)
    ]
    outputs = _body(reader, attributes["body"], scope, inner, trips * batch)
    if assumed:
        reader.work.assumed += [layer.name for layer in reader.work.layers[first:]]
    places = attributes.get("scan_output_axes", [0] * (len(outputs) - len(states)))
    stacked = [_stacked(each, trips, axis) for each, axis in zip(outputs[len(states) :], places, strict=False)]
    results = [*outputs[: len(states)], *stacked]
    return [_stacked(each, batch, 0) for each in results] if old else results


def _without(value: Value | None, axis: int) -> Value:
    """One slice along an axis."""
    made = _computed(value)
    if value is None or not value.shape:
        return made
    at = axis % len(value.shape)
    shape = (*value.shape[:at], *value.shape[at + 1 :])
    number = int(made.owner.flat[0]) if made.owner is not None and made.owner.size else 0
    return replace(made, shape=shape, owner=nobody(shape, number), type_proto=None)


def _each(
    reader: "GraphReader",
    node: "onnx.NodeProto",
    inputs: Sequence[Value | None],
    attributes: Mapping[str, Any],
    scope: Scope,
) -> list[Value]:
    """The body of a SequenceMap, once for each item; items are taken to be like the first."""
    items = [each.items for each in inputs if each is not None and each.items]
    trips, assumed = _trips(reader, node, len(items[0]) if items else None)
    first = len(reader.work.layers)
    given = [_computed(each.items[0] if each is not None and each.items else each) for each in inputs]
    outputs = _body(reader, attributes["body"], scope, given, trips)
    if assumed:
        reader.work.assumed += [layer.name for layer in reader.work.layers[first:]]
    return [Value(each.name, None, each.element_type, None, items=(each,) * min(trips, MOST_ITEMS)) for each in outputs]
