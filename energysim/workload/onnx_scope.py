"""A graph or subgraph with its values by name, in an order in which nothing is read before it is there."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING

from energysim.errors import ModelReadError
from energysim.workload.graph import clean_name
from energysim.workload.onnx_infer import label
from energysim.workload.onnx_types import WIDTHS, Value, array_of, checked_shape

if TYPE_CHECKING:
    import onnx


NO_WIDTHS: Mapping[str, int] = MappingProxyType({})
SHAPE_ONLY = ("Shape", "Size")
"""Operations that read no element of their input."""


@dataclass(frozen=True, slots=True)
class Absorbed:
    """What a node is part of: the number of a layer, and the value that its result renames if it is the last node."""

    number: int
    source: Value | None = None


class Scope:
    """The values of one graph; those of the graphs around it are found too."""

    def __init__(
        self, graph: "onnx.GraphProto", outer: "Scope | None" = None, widths: Mapping[str, int] = NO_WIDTHS
    ) -> None:
        """Initialisers become values at once; inputs are for the caller to give. Raises ModelReadError for a circle.

        `widths` are bits of values by name, where their types do not say.
        """
        self.widths = widths
        check_texts(graph)
        self.proto = graph
        self.outer = outer
        self.values: dict[str, Value] = {}
        self.absorbed: dict[int, Absorbed] = {}
        for tensor in graph.initializer:
            shape = checked_shape(list(tensor.dims), tensor.name)
            value = Value(tensor.name, shape, tensor.data_type, frozenset({tensor.name}), array_of(tensor))
            value.bits = widths.get(tensor.name, 0) or WIDTHS.get(tensor.data_type, 0)
            self.values[tensor.name] = value
        for sparse in graph.sparse_initializer:
            name = sparse.values.name
            shape = checked_shape(list(sparse.dims), name)
            self.values[name] = Value(name, shape, sparse.values.data_type, frozenset({name}))
        self.nodes = _ordered(graph, set(self.values) | {each.name for each in graph.input})
        self.uses = _uses(graph)
        self.consumers: dict[str, list[int]] = {}
        for index, node in enumerate(self.nodes):
            for name in reads_of(node) if node.op_type not in SHAPE_ONLY else ():
                self.consumers.setdefault(name, []).append(index)

    def find(self, name: str, node: "onnx.NodeProto | None" = None) -> Value:
        """The value of a name, here or further out; raises ModelReadError when nothing gives it."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            scope = scope.outer
        where = f"node {label(node)} reads" if node is not None else "the graph gives"
        raise ModelReadError(f"{where} '{clean_name(name)}', which no node, input or initialiser gives")

    def known(self, name: str) -> Value | None:
        """The value of a name if it is there already."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            scope = scope.outer
        return None

    def give(self, name: str, value: Value) -> None:
        """A value that a node computes; one that nobody asked a name for is dropped."""
        if not name:
            return
        value.uses = self.uses.get(name, 0)
        value.bits = self.widths.get(name, value.bits)
        self.values[name] = value


def constant_tensors(graph: "onnx.GraphProto") -> "Iterator[tuple[str, onnx.TensorProto]]":
    """Tensors that stand in nodes, by the name of the value they give: some exporters keep weights there."""
    for node in graph.node:
        if node.op_type == "Constant" and len(node.output) == 1:
            for each in node.attribute:
                if each.name == "value" and each.HasField("t"):
                    yield node.output[0], each.t


def check_texts(graph: "onnx.GraphProto | onnx.FunctionProto") -> None:
    """Raise ModelReadError where a name is no text: protobuf hands such a one over as bytes."""
    values = [*graph.input, *graph.output]
    if hasattr(graph, "initializer"):
        values += [*graph.initializer, *graph.value_info, *(each.values for each in graph.sparse_initializer)]
    names = [each if isinstance(each, str | bytes) else each.name for each in values]
    for each in values:
        shape = each.type.tensor_type.shape if hasattr(each, "type") else None
        names += [dim.dim_param for dim in shape.dim] if shape is not None else []
    for node in graph.node:
        names += [node.name, node.op_type, node.domain, *node.input, *node.output]
        for each in node.attribute:
            names += [each.name, each.ref_attr_name]
    wrong = next((each for each in names if not isinstance(each, str)), None)
    if wrong is not None:
        raise ModelReadError(f"damaged: a name in it is no text: {wrong[:40]!r}")


def inner_graphs(node: "onnx.NodeProto") -> list["onnx.GraphProto"]:
    """The subgraphs of a node."""
    return [
        g for each in node.attribute for g in ([each.g] if each.type == 5 else each.graphs if each.type == 10 else ())
    ]


def reads_of(node: "onnx.NodeProto") -> set[str]:
    """Names that a node and its subgraphs read."""
    return {name for name in node.input if name}.union(*(_free(graph) for graph in inner_graphs(node)))


def _free(graph: "onnx.GraphProto") -> set[str]:
    """Names that a graph reads from the graphs around it."""
    own = {each.name for each in (*graph.input, *graph.initializer)}
    own.update(each.values.name for each in graph.sparse_initializer)
    read: set[str] = {each.name for each in graph.output}
    for node in graph.node:
        own.update(node.output)
        read |= reads_of(node)
    return read - own


def _uses(graph: "onnx.GraphProto") -> Counter[str]:
    """By name, how many nodes (and outputs of the graph) read a value."""
    uses: Counter[str] = Counter(each.name for each in graph.output)
    for node in graph.node:
        if node.op_type not in SHAPE_ONLY:
            uses.update(reads_of(node))
    return uses


def _ordered(graph: "onnx.GraphProto", there: set[str]) -> "Sequence[onnx.NodeProto]":
    """Nodes so that each comes after those it reads from: as they stand, in a sound file."""
    nodes = list(graph.node)
    makers: dict[str, int] = {}
    for index, node in enumerate(nodes):
        for name in node.output:
            if name and (name in makers or name in there):
                raise ModelReadError(f"two nodes, inputs or initialisers give '{clean_name(name)}'")
            if name:
                makers[name] = index
    waits = [{makers[name] for name in reads_of(node) if name in makers} for node in nodes]
    if all(earlier < index for index, needed in enumerate(waits) for earlier in needed):
        return nodes
    return [nodes[index] for index in _sorted(waits, nodes)]


def _sorted(waits: "Sequence[set[int]]", nodes: "Sequence[onnx.NodeProto]") -> list[int]:
    followers: dict[int, list[int]] = {}
    for index, needed in enumerate(waits):
        for earlier in needed:
            followers.setdefault(earlier, []).append(index)
    left = [len(needed) for needed in waits]
    ready = [index for index, count in enumerate(left) if not count]
    order: list[int] = []
    while ready:
        index = ready.pop()
        order.append(index)
        for follower in followers.get(index, ()):
            left[follower] -= 1
            if not left[follower]:
                ready.append(follower)
    if len(order) < len(nodes):
        stuck = next(index for index, count in enumerate(left) if count)
        raise ModelReadError(f"the graph runs in a circle through node {label(nodes[stuck])}")
    return order


def sizes_of(graph: "onnx.GraphProto", kinds: Mapping[int, object]) -> dict[str, int]:
    """Elements of the initialisers of the given types, by name."""
    return {each.name: prod(each.dims) for each in graph.initializer if each.data_type in kinds}
