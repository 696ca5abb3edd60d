"""A walk over an ONNX graph that collects layers, the edges between them, and warnings."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import TYPE_CHECKING, Any

from energysim.errors import EnergysimError
from energysim.workload import onnx_fuse
from energysim.workload.graph import clean_name
from energysim.workload.layer import Layer
from energysim.workload.onnx_control import run_control
from energysim.workload.onnx_infer import DOMAINS, Inference, Typed, contradiction, label
from energysim.workload.onnx_names import NameGiver, module_path
from energysim.workload.onnx_operations import OnnxCall, house_name
from energysim.workload.onnx_patterns import written_out
from energysim.workload.onnx_scope import SHAPE_ONLY, Absorbed, Scope, constant_tensors
from energysim.workload.onnx_sequences import SEQUENCES, sequence_results
from energysim.workload.onnx_table import CONTROL, VIEWS
from energysim.workload.onnx_types import (
    FLOATS,
    FOLLOWED_ELEMENTS,
    KNOWN_ELEMENTS,
    NUMPY,
    SUM_BITS,
    WIDTHS,
    Value,
    attributes_of,
    flow,
    nobody,
    uniform,
)
from energysim.workload.onnx_values import MOVES, Applied, evaluated
from energysim.workload.onnx_work import (
    READ_PLACES,
    Work,
    constant,
    formatted,
    labelled,
    operation_of,
    stored_names,
    with_result_bits,
)
from energysim.workload.operations import traffic
from energysim.workload.several import Part

if TYPE_CHECKING:
    import onnx

STATES: Mapping[str, tuple[int, ...]] = {"LSTM": (5, 6), "GRU": (5,), "RNN": (5,)}
"""Inputs that are first states, which nobody trains."""
FAULTS = (ValueError, KeyError, IndexError, TypeError, ZeroDivisionError, OverflowError, AttributeError, MemoryError)
"""What arithmetic raises on attributes and shapes that contradict each other."""


@dataclass(slots=True)
class GraphReader:
    """One walk over a graph and its subgraphs; `trips` is for loops of unknown length, `repeat` counts the one here."""

    inference: Inference
    fold_batchnorm: bool
    fuse_activations: bool
    trips: int | None
    work: Work = field(default_factory=Work)
    names: NameGiver = field(default_factory=NameGiver)
    repeat: int = 1
    read: set[str] = field(default_factory=set)
    weights: dict[str, dict[str, frozenset[str]]] = field(default_factory=dict)
    operands: dict[str, dict[str, str]] = field(default_factory=dict)
    results: dict[int, str] = field(default_factory=dict)
    constants: set[str] = field(default_factory=set)

    def enter(self, graph: "onnx.GraphProto") -> None:
        """Take note of the trained numbers of a graph: floats and narrow integers, and int32 where they are biases."""
        self.names.hear((node.name, node.op_type) for node in graph.node)
        biases = {node.input[0] for node in graph.node if node.op_type == "DequantizeLinear" and node.input}
        biases |= {node.input[8] for node in graph.node if node.op_type == "QLinearConv" and len(node.input) > 8}
        scalars = {node.input[1] for node in graph.node if node.op_type == "PRelu" and len(node.input) > 1}
        for name, tensor in constant_tensors(graph):
            if tensor.data_type in FLOATS or tensor.data_type in WIDTHS:
                elements = prod(tensor.dims)
                if elements > 1:
                    self.work.uncounted[name] = elements
                    self.constants.add(name)
        for each in graph.initializer:
            counts = each.data_type in FLOATS or each.data_type in WIDTHS or each.name in biases
            elements = prod(each.dims)
            if counts and (elements > 1 or each.name in scalars | biases):
                self.work.uncounted[each.name] = elements

    def graph(self, scope: Scope) -> None:
        """Walk all nodes in order; raises ModelReadError for a node whose inputs or attributes make no sense."""
        first = [index for index, node in enumerate(scope.nodes) if not any(node.input) and node.op_type not in CONTROL]
        for index in (*first, *sorted(set(range(len(scope.nodes))) - set(first))):
            node = scope.nodes[index]
            try:
                if index in scope.absorbed or written_out(self, index, scope):
                    self._absorbed(node, scope.absorbed[index], scope)
                else:
                    self._node(node, index, scope)
            except FAULTS as error:
                raise contradiction(node, error) from error

    def settle_widths(self, scope: Scope) -> None:
        """Give layers the widths of their results that are known by name."""
        for name, bits in scope.widths.items():
            value = scope.values.get(name)
            number = uniform(value.owner) if value is not None and value.owner is not None and value.elements else None
            if value is not None and number and value.elements == self.work.written[number - 1]:
                layer = self.work.layers[number - 1]
                self.work.layers[number - 1] = with_result_bits(layer, bits)

    def unreached(self) -> tuple[str, ...]:
        """Modules, or initialisers, of which some trained numbers were never used."""
        return tuple(dict.fromkeys(module_path(name) or clean_name(name) for name in self.work.uncounted))

    def _node(self, node: "onnx.NodeProto", index: int, scope: Scope) -> None:
        inputs = [scope.find(name, node) if name else None for name in node.input]
        if node.op_type in CONTROL and node.domain in DOMAINS:
            run_control(self, node, inputs, scope)
            return
        attributes = attributes_of(node)
        if node.op_type in SEQUENCES and node.domain in DOMAINS:
            for name, value in sequence_results(node.op_type, node.output, inputs, attributes):
                scope.give(name, value)
            self.work.free += 1
            return
        sources = list({id(y): y for y in inputs if y is not None and y.stored is None}.values())
        worked_on = READ_PLACES.get(node.op_type)
        for place, each in enumerate(inputs):
            if each is not None and each.stored and worked_on is not None and place not in worked_on:
                for name in each.stored:  # it says how to work, and is no trained number
                    self.work.uncounted.pop(name, None)
        typed, assumed = self.inference.results(node, inputs)
        if not sources or node.op_type in SHAPE_ONLY:
            self._stored(node, inputs, attributes, typed, scope)
            return
        moved = node.domain in DOMAINS and self._moved(node, inputs, attributes, typed, scope)
        if moved or onnx_fuse.quantised(self, node, inputs, typed, scope):
            return
        if node.domain in DOMAINS and onnx_fuse.fused(self, node, index, sources, typed, scope):
            if index in scope.absorbed:
                self._absorbed(node, scope.absorbed[index], scope)
            return
        self._layer(node, inputs, attributes, typed, assumed, scope)

    def _absorbed(self, node: "onnx.NodeProto", part: Absorbed, scope: Scope) -> None:
        """The results of a node that is part of a layer."""
        inputs = [scope.find(name, node) if name else None for name in node.input]
        if node.op_type in CONTROL:  # an exporter's question whether an axis is 1
            run_control(self, node, inputs, scope)
            typed: Sequence[Typed] = [(y.element_type, y.shape) for y in map(scope.find, node.output)]
        else:
            typed, _ = self.inference.results(node, inputs)
        self._give(node, typed, part.number, scope)
        if part.source is not None:
            scope.values[node.output[0]].source = part.source

    def _stored(
        self,
        node: "onnx.NodeProto",
        inputs: Sequence[Value | None],
        attributes: Mapping[str, Any],
        typed: Sequence[Typed],
        scope: Scope,
    ) -> None:
        """Values computed from stored numbers alone: once, when the model is loaded. Small ones are known."""
        shapes_only = node.op_type in SHAPE_ONLY
        places = READ_PLACES.get(node.op_type, range(len(inputs)))
        reads = () if shapes_only else [each for i, each in enumerate(inputs) if i in places]
        known = self.trained(node.op_type, reads) | self.constants.intersection(node.output)
        values = self._values(node, inputs, attributes, typed)
        for place, name in enumerate(node.output):
            element_type, shape = typed[place]
            data = values[place] if values is not None and place < len(values) else None
            if data is not None:
                shape = tuple(data.shape)
            bits = max((each.bits for each in inputs[:1] if each is not None), default=0) or WIDTHS.get(element_type, 0)
            if shape is None and not shapes_only and not any(each is not None for each in inputs):
                shape = ()
            scope.give(name, Value(name, shape, element_type, known, data, bits=bits))

    def _values(
        self,
        node: "onnx.NodeProto",
        inputs: Sequence[Value | None],
        attributes: Mapping[str, Any],
        typed: Sequence[Typed],
    ) -> list[Any] | None:
        if node.op_type == "Constant":
            return constant(attributes)
        sizes = [prod(shape) if shape is not None else KNOWN_ELEMENTS + 1 for _, shape in typed]
        if node.op_type == "NonZero" and inputs and inputs[0] is not None:
            sizes = [inputs[0].elements * max(1, len(inputs[0].shape or ()))]
        if max(sizes, default=0) > KNOWN_ELEMENTS or node.domain not in DOMAINS:
            return None
        shapes_only = node.op_type in SHAPE_ONLY
        arrays = [self._array(each, shapes_only) for each in inputs]
        if any(each is not None and array is None for each, array in zip(inputs, arrays, strict=True)):
            return None
        kinds = [NUMPY.get(element_type) for element_type, _ in typed]
        call = Applied(node.op_type, attributes, arrays, len(node.output), self.inference.opset())
        try:
            return evaluated(call, kinds)
        except FAULTS:
            return None

    def _array(self, value: Value | None, shape_only: bool) -> Any:
        if value is None or value.shape is None:
            return None
        return nobody(value.shape) if shape_only else value.data

    def _moved(
        self,
        node: "onnx.NodeProto",
        inputs: Sequence[Value | None],
        attributes: Mapping[str, Any],
        typed: Sequence[Typed],
        scope: Scope,
    ) -> bool:
        """Views, and moves by known indices, are free: they are carried out on the numbers of the owners."""
        op = node.op_type
        if op not in MOVES or any(shape is None for _, shape in typed[:1]):
            return False
        moving = [each for each in (inputs if op == "Concat" else inputs[:1]) if each is not None]
        if any(each.shape is None for each in moving):
            return False
        if all(each.stored is not None for each in moving):
            return op in VIEWS and self._laid_out(node, moving, typed, scope)
        if op not in VIEWS and any(each is not None and each.data is None for each in inputs[1:]):
            return False
        owners = self._owners(op, inputs, moving, attributes, typed, len(node.output))
        if owners is None:
            return False
        sources = [each for each in moving if each.stored is None]
        bits = 0 if op in ("Cast", "CastLike") else max(each.bits for each in moving)
        for place, name in enumerate(node.output):
            element_type, shape = typed[place]
            owner = owners[place] if place < len(owners) else nobody(shape or ())
            value = Value(name, shape, element_type, None, owner=owner, bits=bits or WIDTHS.get(element_type, 0))
            if len(sources) == 1 and place == 0:
                value.source = sources[0]
            if op == "Dropout" and place:
                value.owner, value.source = nobody(shape or ()), None
            scope.give(name, value)
        self.work.free += 1
        return True

    def _laid_out(self, node: "onnx.NodeProto", moving: Sequence[Value], typed: Sequence[Typed], scope: Scope) -> bool:
        """A view of stored numbers of which only the place is computed: they stay stored."""
        names = self.trained(node.op_type, moving)
        for name, (element_type, shape) in zip(node.output, typed, strict=True):
            scope.give(name, Value(name, shape, element_type, names))
        return True

    def _owners(
        self,
        op: str,
        inputs: Sequence[Value | None],
        moving: Sequence[Value],
        attributes: Mapping[str, Any],
        typed: Sequence[Typed],
        results: int,
    ) -> list[Any] | None:
        one = {uniform(each.owner) if each.owner is not None else 0 for each in moving}
        shapes = [shape for _, shape in typed]
        same = len(one) == 1 and None not in one and op not in ("Pad", "Trilu", "CenterCropPad")
        if same or not any(each.elements for each in moving):
            number = next(iter(one)) or 0
            return [nobody(shape or (), number) for shape in shapes]
        if max(prod(shape or ()) for shape in shapes) > FOLLOWED_ELEMENTS:
            return None
        owned = {id(each): each.owner if each.owner is not None else nobody(each.shape or ()) for each in moving}
        arrays = [None if each is None else owned.get(id(each), each.data) for each in inputs]
        if op == "Pad":
            arrays[2:3] = [None] if len(arrays) > 2 else []
        try:
            made = MOVES[op](Applied(op, attributes, arrays, results, self.inference.opset()))
        except FAULTS:
            return None
        fits = all(shape is None or array.shape == shape for array, shape in zip(made, shapes, strict=False))
        return made if fits else None

    def _layer(
        self,
        node: "onnx.NodeProto",
        inputs: Sequence[Value | None],
        attributes: Mapping[str, Any],
        typed: Sequence[Typed],
        assumed: bool,
        scope: Scope,
    ) -> None:
        """Make the layer of a node, or count its traffic with a warning when the op or its shapes are unknown."""
        places = READ_PLACES.get(node.op_type, range(len(inputs)))
        reads = [each if i in places else None for i, each in enumerate(inputs)]
        used = [
            shape
            for name, (_, shape) in zip(node.output, typed, strict=True)
            if name and shape is not None and scope.uses.get(name)
        ]
        shapes = used or [shape for _, shape in typed if shape is not None][:1]
        sources = [each for each in reads if each is not None and each.stored is None]
        if not any(map(prod, shapes)) or not any(each.elements for each in sources):
            if not shapes and sources:
                self._uncosted(node)
            self._give(node, typed, 0, scope)
            return
        trained = self.trained(node.op_type, reads)
        name = self.names.name(node.name, node.output[0] if node.output else "", node.op_type, trained)
        operands = tuple(None if each is None else each.operand for each in reads)
        data = tuple(None if each is None else each.data for each in inputs)
        call = OnnxCall(
            name, node.op_type, attributes, operands, data, tuple(shapes), self.inference.opset(node.domain)
        )
        parts, kind = self._made(call, node)
        if assumed and kind != "unknown":
            kind = "assumed"
            self.work.warnings.append(f"{name}: the size of its result depends on values; the largest is assumed")
        out_bits = self._result_bits(node.op_type, typed)
        numbers: list[int] = []
        inside = {place for part in parts for place in part.reads}
        for i, part in enumerate(parts):
            places_read = [*part.reads, *(place for place in range(len(reads)) if i == 0 and place not in inside)]
            first_states = STATES.get(node.op_type, ())
            operands_read = [y for place in places_read if place not in first_states and (y := _at(reads, place))]
            from_outside = [each for place in part.reads if (each := _at(reads, place)) is not None]
            layer = replace(part.layer, parameters=self.count(self.trained(node.op_type, operands_read)))
            layer = formatted(layer, from_outside, out_bits if i == len(parts) - 1 else 0)
            elements = sum(map(prod, shapes)) if len(parts) == 1 else layer.output.elements(layer.dims)
            before = [numbers[place] for place in part.after]
            numbers.append(self.emit(layer, [y for y in from_outside if y.stored is None], before, elements))
            self.weights[layer.name] = stored_names(from_outside)
            self.operands[layer.name] = {key: y.name for key, y in labelled(from_outside).items() if y.stored is None}
            if kind != "compute":
                (self.work.unknown if kind == "unknown" else self.work.assumed).append(layer.name)
        self._give(node, typed, numbers[-1], scope)

    def _uncosted(self, node: "onnx.NodeProto") -> None:
        self.work.warnings.append(f"{label(node)}: the shape of its result is not known; it is not costed")

    def _made(self, call: OnnxCall, node: "onnx.NodeProto") -> tuple[tuple[Part, ...], str]:
        """The layers of a call and whether they are computed exactly, assumed or unknown."""
        operation = operation_of(node)
        made: Any = None
        if operation is not None and operation.make is not None:
            try:
                made = operation.make(call)
            except (*FAULTS, EnergysimError) as error:
                raise contradiction(node, error) from None
        kind = "compute"
        if made is None:
            made = traffic(call.name, house_name(call.op), [s for s in call.results if prod(s)], call.operands)
            if operation is None:
                kind = "unknown"
                domain = f" of domain '{node.domain}'" if node.domain else ""
                self.work.warnings.append(
                    f"{call.name}: unknown operation '{call.op}'{domain} is costed as element-wise traffic"
                )
            elif operation.kind == "view":
                kind = "assumed"
                said = f"{call.name}: what '{call.op}' lays out where is not known; it is costed as data moved"
                self.work.warnings.append(said)
            elif operation.kind != "stored":
                kind = "assumed"
                self.work.warnings.append(
                    f"{call.name}: unusual shapes of operation '{call.op}' is costed as element-wise traffic"
                )
        return (made, kind) if isinstance(made, tuple) else ((Part(made, tuple(range(len(call.inputs)))),), kind)

    def _result_bits(self, op: str, typed: Sequence[Typed]) -> int:
        integer = op in ("ConvInteger", "MatMulInteger")
        return SUM_BITS if integer else max((WIDTHS.get(element_type, 0) for element_type, _ in typed[:1]), default=0)

    def emit(self, layer: Layer, sources: Iterable[Value], before: Iterable[int], elements: int) -> int:
        """Append a layer, `repeat` times as large, with its edges; its number."""
        if self.repeat > 1:
            layer = replace(layer, dims={**layer.dims, "N": layer.dims["N"] * self.repeat})
        work = self.work
        work.layers.append(layer)
        work.written.append(elements * self.repeat)
        for source in {id(each): each for each in sources}.values():
            for number, count in flow(source.owner).items() if source.owner is not None else ():
                self._edge(number, layer.name, count * self.repeat)
        for number in before:
            self._edge(number, layer.name, work.written[number - 1])
        return len(work.layers)

    def _edge(self, number: int, target: str, elements: int) -> None:
        key = (self.work.layers[number - 1].name, target)
        if key[0] != target:
            self.work.edges[key] = self.work.edges.get(key, 0) + min(elements, self.work.written[number - 1])

    def _give(self, node: "onnx.NodeProto", typed: Sequence[Typed], number: int, scope: Scope) -> None:
        if node.output:
            self.results[number] = node.output[0]
        for name, (element_type, shape) in zip(node.output, typed, strict=True):
            owner = None if shape is None else nobody(shape, number)
            scope.give(name, Value(name, shape, element_type, None, owner=owner, bits=WIDTHS.get(element_type, 0)))

    def trained(self, op: str, reads: Sequence[Value | None]) -> frozenset[str]:
        """Initialisers that the inputs of an operation are computed from."""
        return frozenset[str]().union(*(each.stored or () for each in reads if each is not None))

    def count(self, used: Iterable[str]) -> int:
        """How many trained numbers are in use here for the first time."""
        names = list(used)
        self.read.update(names)
        return sum(self.work.uncounted.pop(name, 0) for name in names)


def _at(values: Sequence[Value | None], place: int) -> Value | None:
    return values[place] if place < len(values) else None
