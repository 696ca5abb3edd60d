"""A walk over an exported PyTorch graph that collects layers, the edges between them, and warnings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import TYPE_CHECKING, Any

from energysim.workload.graph import clean_name
from energysim.workload.layer import Layer
from energysim.workload.operations import Operand, traffic
from energysim.workload.torch_nodes import (
    arguments_of,
    carried_out,
    channel_norm_of,
    filled,
    flow,
    module_of,
    shapes_of,
    uniform,
    used_shapes,
)
from energysim.workload.torch_operations import FUSABLE, LAYERS, VIEWS, Call, channel_norm, words
from energysim.workload.torch_patterns import ASSERTIONS, SAME, Pattern, op_name, patterns, region, repeats
from energysim.workload.torch_quantised import MARKS, SUM_BITS, UNMARKS, width_of
from energysim.workload.torch_several import SEVERAL, Step

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.fx import Node

    from energysim.workload.exported_graph import Program

FOLDS_BATCH_NORM = ("convolution", "transposed_convolution", "linear")
BATCH_NORMS = ("batch_norm", "_native_batch_norm_legit_no_training")
ATTENTION = "scaled_dot_product_attention"
FEW = 3
PLACES = 5
"""Operands of a step that its parts may read; stored ones after them count as parameters of its first part."""
FILLED = words("zeros_like ones_like full_like empty_like new_zeros new_ones new_full new_empty")
"""Operations that take from a computed tensor only its shape."""


@dataclass(slots=True)
class GraphReader:
    """One walk over an exported graph.

    `owners[node]` has the shape of the node's value and holds, for each element, the number (from 1) of the layer that
    computed it, 0 for inputs of the network. Views are carried out on it, so the edges are exact behind any of them.
    `bits[node]` is how wide its numbers are where the model says it (else 0), `weight_bits` those of parameters.
    `has_no_parts` says of a module's path whether it is whole, `tied` has the one name of a parameter that has several.
    `constants[node]` names the stored tensors that a value is computed from, `passes[node]` the node it renames,
    `carried[node]` the stored tensors that views have put beside computed numbers, `inside[node]` a node that it is
    computed together with, and the layer's number; nodes in `whole` are all that is used of such. `patterns` has what
    several operations are together, by the last of them; the others are `hidden`.
    """

    program: "ExportedProgram | Program"
    has_no_parts: Callable[[str], bool]
    tied: Mapping[str, str]
    fold_batchnorm: bool
    fuse_activations: bool
    weight_bits: Mapping[str, int] = field(default_factory=dict)
    bits: "dict[Node, int]" = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)
    edges: dict[tuple[str, str], int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    owners: "dict[Node, Any]" = field(default_factory=dict)
    constants: "dict[Node, frozenset[str]]" = field(default_factory=dict)
    passes: "dict[Node, Node]" = field(default_factory=dict)
    written: list[int] = field(default_factory=list)
    uncounted: dict[str, int] = field(default_factory=dict)
    every: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    carried: "dict[Node, frozenset[str]]" = field(default_factory=dict)
    inside: "dict[Node, tuple[Node, int]]" = field(default_factory=dict)
    patterns: "dict[Node, Pattern]" = field(default_factory=dict)
    hidden: "set[Node]" = field(default_factory=set)
    whole: "set[Node]" = field(default_factory=set)
    unknown: list[str] = field(default_factory=list)
    assumed: dict[str, list[str]] = field(default_factory=dict)
    channel_norm: "tuple[str, Node] | None" = None

    def read(self) -> None:
        """Walk all nodes in order."""
        signature = self.program.graph_signature
        stored = dict(signature.inputs_to_parameters) | dict(signature.inputs_to_buffers)
        for pattern in patterns(self.program.graph):
            self.patterns[pattern.result] = pattern
            self.hidden |= pattern.nodes - {pattern.result}
        for node in self.program.graph.nodes:
            if node.op == "placeholder" and node.name in signature.user_inputs:
                if shapes_of(node):
                    self.owners[node] = filled(shapes_of(node)[0], 0)
            elif node.op in ("placeholder", "get_attr"):
                name = stored.get(node.name, str(node.target))
                name = self.tied.get(name, name)
                self.constants[node] = frozenset({name})
                self.bits[node] = self.weight_bits.get(name, 0)
                if node.name in signature.inputs_to_parameters:
                    self.uncounted[name] = prod(shapes_of(node)[0])
                    self.every.add(name)
            elif node.op == "call_function":
                self._call(node)

    def assumptions(self) -> tuple[str, ...]:
        """What was assumed, with the layers it was assumed of."""
        return tuple(f"{what} ({_some(names)})" for what, names in self.assumed.items())

    def unreached(self) -> tuple[str, ...]:
        """Modules of which some trained numbers were never used."""
        return tuple(dict.fromkeys(clean_name(name.rpartition(".")[0] or name) for name in self.uncounted))

    def _call(self, node: "Node") -> None:
        if node in self.hidden or op_name(node) in ASSERTIONS:
            return
        if node in self.patterns:
            self._together_with(self.patterns[node])
            return
        sources = [source for source in node.all_input_nodes if source in self.owners]
        if not sources or op_name(node) in FILLED:
            # computed from stored numbers alone: done once, when the model is loaded
            known = (self.constants.get(source, frozenset()) for source in node.all_input_nodes)
            self.constants[node] = frozenset[str]().union(*known)
            first = node.all_input_nodes[0] if node.all_input_nodes else node
            self.bits[node] = width_of(node) if op_name(node) in MARKS | UNMARKS else self.bits.get(first, 0)
            return
        if node in self.inside:
            first, number = self.inside[node]
            if shapes_of(node):
                self._pass(node, first, filled(shapes_of(node)[0], number))
            return
        if self._normalises_channels(node, sources) or self._marks(node, sources[0]):
            return
        op = op_name(node)
        if op == "getitem":
            self._pass(node, sources[0], self.owners[sources[0]][node.args[1]])
        elif not (self._view(node, op, sources) or self._fuse(node, op, sources)):
            self._layer(node, op)

    def _marks(self, node: "Node", source: "Node") -> bool:
        """Rounding a layer's whole result to few levels sets its width; taking it as floats again is free."""
        op = op_name(node)
        if op not in MARKS | UNMARKS:
            return False
        value = self.owners[source]
        self._pass(node, source, (value, None) if len(shapes_of(node)) > 1 else value)
        number = self._maker(source) if op in MARKS else None
        if op in MARKS:
            self.bits[node] = width_of(node)
        if number is not None and self.bits[node]:
            layer, bits = self.layers[number - 1], self.bits[node]
            partial = SUM_BITS if layer.unit == "mac" and bits < SUM_BITS else 0
            tensors = (replace(y, bits=bits, partial_bits=partial) if y.role == "output" else y for y in layer.tensors)
            self.layers[number - 1] = replace(layer, tensors=tuple(tensors))
        return True

    def _formatted(self, layer: Layer, reads: "Sequence[Node]", inputs: int = 0) -> Layer:
        """The layer with the bits of what it reads, in order; so many inputs are results of layers just made."""
        seen = {"weight": 0, "input": inputs}
        bits: dict[str, int] = {}
        for node in reads:
            stem = "input" if node in self.owners else "weight"
            seen[stem] += 1
            bits[stem if seen[stem] == 1 else f"{stem}_{seen[stem]}"] = self.bits.get(node, 0)
        if not any(bits.values()):
            return layer
        return replace(layer, tensors=tuple(replace(y, bits=bits.get(y.name) or y.bits) for y in layer.tensors))

    def _together_with(self, pattern: Pattern) -> None:
        """Operations that are one layer together: the last one becomes the layer, the others it."""
        node, used = pattern.result, frozenset[str]().union(*map(self._stored, pattern.reads))
        computed = [each for each in pattern.reads if each in self.owners]
        if not computed:
            self.constants[node] = used
            return
        operands = {each.name: Operand(shapes_of(each)[0], each in self.constants, each.name) for each in pattern.reads}
        call = Call(self._name(node, pattern.op, used), pattern.op, operands, shapes_of(node))
        layer = LAYERS[pattern.op](call) or traffic(call.name, pattern.op, call.results, call.operands)
        self._append(replace(layer, parameters=self._count(used)), computed, prod(call.results[0]))
        self.owners[node] = filled(call.results[0], len(self.layers))

    def _normalises_channels(self, node: "Node", sources: "list[Node]") -> bool:
        """A local response normalisation is exported as ten operations: the first becomes the layer, the others it."""
        call = channel_norm_of(node)
        if not call:
            return False
        if self.channel_norm is not None and self.channel_norm[0] == call:
            self._pass(node, self.channel_norm[1], self.owners[self.channel_norm[1]])
            return True
        pool = node
        while not op_name(pool).startswith("avg_pool"):
            pool = pool.next
        label, op = self._name(node, "local_response_norm"), "local_response_norm"
        self._emit(node, channel_norm(Call(label, op, {}, shapes_of(node)), pool.args[1][0]), sources)  # type: ignore[index, arg-type]
        self.channel_norm = (call, node)
        return True

    def _pass(self, node: "Node", source: "Node", value: Any) -> None:
        self.owners[node], self.passes[node] = value, source
        self.bits[node] = self.bits.get(source, 0)
        self._carry(node, source)

    def _view(self, node: "Node", op: str, sources: "list[Node]") -> bool:
        if op not in VIEWS:
            return False
        if op in SAME:
            value = self.owners[sources[0]]
            self._pass(node, sources[0], (value, None) if op == "native_dropout" else value)
            return True
        try:
            value = _renamed(node, self.owners[sources[0]]) if len(sources) == 1 else None
            value = carried_out(node, self.owners) if value is None else value
        except (RuntimeError, NotImplementedError):  # not for whole numbers: costed as any other operation
            return False
        if len(sources) == 1:
            self._pass(node, sources[0], value)
        else:
            self.owners[node] = value
        self._carry(node, *node.all_input_nodes)
        return True

    def _carry(self, node: "Node", *sources: "Node") -> None:
        """Stored numbers that a view puts beside computed ones are used where the result is."""
        carried = frozenset[str]().union(*(self._stored(each) for each in sources))
        if carried:
            self.carried[node] = carried

    def _stored(self, node: "Node") -> frozenset[str]:
        return self.constants.get(node, frozenset()) | self.carried.get(node, frozenset())

    def _fuse(self, node: "Node", op: str, sources: "list[Node]") -> bool:
        """Let an activation or a BatchNorm run inside the layer that made its input, if nobody else needs that."""
        folds = op in BATCH_NORMS and self.fold_batchnorm
        if len(sources) != 1 or not (folds or (op in FUSABLE and self.fuse_activations)):
            return False
        number = self._maker(sources[0])
        shapes = shapes_of(node)
        if number is None:
            return not folds and self._fuse_region(node, sources[0])
        if prod(shapes[0]) != prod(shapes_of(sources[0])[0]):
            return False
        layer = self.layers[number - 1]
        if folds and (layer.op not in FOLDS_BATCH_NORM or layer.fused):
            return False
        used = self._parameters(node)
        label = self._name(node, op)
        self.layers[number - 1] = replace(
            layer, parameters=layer.parameters + self._count(used), fused=(*layer.fused, label)
        )
        value = self.owners[sources[0]].reshape(shapes[0])
        self._pass(node, sources[0], (value, None, None) if len(shapes) > 1 else value)
        return True

    def _fuse_region(self, node: "Node", source: "Node") -> bool:
        """Let an activation that is written out run inside the layer that made its input, if nobody else needs that."""
        number = self._maker(source, shared=True)
        taken = () if number is None or len(source.users) < 2 else region(node, source, self.owners.keys())
        if number is None or not taken:
            return False
        layer = self.layers[number - 1]
        used = frozenset[str]().union(*map(self._parameters, taken))
        whole_module = self.has_no_parts(module_of(taken[-1])[0])
        fused = (*layer.fused, self._name(taken[-1], op_name(taken[-1]), alone=whole_module))
        self.layers[number - 1] = replace(layer, parameters=layer.parameters + self._count(used), fused=fused)
        self.inside |= dict.fromkeys(taken, (source, number))
        self.whole.add(taken[-1])
        self._call(node)
        return True

    def _maker(self, node: "Node", shared: bool = False) -> int | None:
        """Number of the layer whose whole result `node` is, if no other node uses that result.

        `shared`: the node itself may have many users.
        """
        here, free = node, shared
        while here in self.passes:
            if len(here.users) != 1 and not free:
                return None
            free = here in self.whole
            here = self.passes[here]
        if (len(here.users) != 1 and not free) or here.op == "placeholder":
            return None
        owner = self.owners[node]
        if isinstance(owner, tuple) or owner.numel() == 0 or not uniform(owner):
            return None
        number = int(owner.flatten()[0])
        return number if number > 0 and owner.numel() == self.written[number - 1] else None

    def _layer(self, node: "Node", op: str) -> None:
        """Make the layer of a node, or count its traffic with a warning when the op or its shapes are unknown."""
        shapes = shapes_of(node)
        computed = [each for each in node.all_input_nodes if each in self.owners]
        if not any(map(prod, shapes)) or not any(prod(shapes_of(each)[0]) for each in computed if shapes_of(each)):
            self.owners[node] = filled(shapes[0], 0) if shapes else None
            return
        if op in SEVERAL and self._several(node, op):
            return
        call = Call(self._name(node, op), op, arguments_of(node, self.constants), used_shapes(node))
        maker = LAYERS.get(op)
        layer = maker(call) if maker is not None else None
        if layer is None:
            layer = traffic(call.name, op, call.results, call.operands)
            what = "unknown operation" if maker is None else "unusual shapes of operation"
            self.warnings.append(f"{call.name}: {what} '{op}' is costed as element-wise traffic")
            self.unknown.append(call.name)
        by_name = {source.name: source for source in node.all_input_nodes}
        self._emit(node, self._formatted(layer, [by_name[each.key] for each in call.operands]), computed)

    def _several(self, node: "Node", op: str) -> bool:
        """Make the layers of an operation that is several; false when its shapes are beyond our makers."""
        arguments = arguments_of(node, self.constants)
        for place, name in ((1, "key"), (2, "value")):
            times = repeats(node.args[place]) if name in arguments else 1
            if times > 1:
                shape = arguments[name].shape
                arguments[name] = replace(arguments[name], shape=(*shape[:-3], shape[-3] // times, *shape[-2:]))
        label = self._name(node, op, alone=op == ATTENTION)
        steps = SEVERAL[op](Call(label, op, arguments, used_shapes(node)))
        if steps is None:
            self.names.discard(label)
            return False
        by_name = {source.name: source for source in node.all_input_nodes}
        last = 0
        for step in steps:
            last = self._step(step, by_name, last)
            if step.assumed:
                self.assumed.setdefault(step.assumed, []).append(step.parts[0].layer.name)
        values = tuple(filled(shape, last) for shape in shapes_of(node))
        self.owners[node] = values if isinstance(node.meta["val"], list | tuple) else values[0]
        return True

    def _step(self, step: Step, by_name: "dict[str, Node]", before: int) -> int:
        """Append the layers of a step, which reads layer `before` where it has no operand 0; the last one's number."""
        nodes = [by_name[each.key] if each is not None and each.key in by_name else None for each in step.operands]
        numbers: list[int] = []
        for i, part in enumerate(step.parts):
            places = (*part.reads, *range(PLACES, len(nodes))) if i == 0 else part.reads
            reads = [y for place in places if place < len(nodes) and (y := nodes[place]) is not None]
            used = frozenset[str]().union(*(self._stored(each) for each in reads))
            operands = [y for place in part.reads if place < len(nodes) and (y := nodes[place]) is not None]
            layer = self._formatted(part.layer, operands, len(part.after))
            layer = replace(layer, parameters=self._count(used))
            after = [numbers[place] for place in part.after] + ([before] if i == 0 and before else [])
            computed = [each for each in reads if each in self.owners]
            self._append(layer, computed, layer.output.elements(layer.dims), after)
            numbers.append(len(self.layers))
        return numbers[-1]

    def _emit(self, node: "Node", layer: Layer, computed: "list[Node]") -> None:
        layer = replace(layer, parameters=self._count(self._parameters(node)))
        self._append(layer, computed, sum(map(prod, used_shapes(node))))
        values = tuple(filled(shape, len(self.layers)) for shape in shapes_of(node))
        self.owners[node] = values if isinstance(node.meta["val"], list | tuple) else values[0]

    def _append(self, layer: Layer, computed: "list[Node]", written: int, after: Sequence[int] = ()) -> None:
        """A layer that writes so many elements, with its edges from the nodes and the layers it reads."""
        self.layers.append(layer)
        self.written.append(written)
        flows = [each for source in computed for each in flow(self.owners[source]).items()]
        for number, elements in (*flows, *((number, self.written[number - 1]) for number in after)):
            if number:
                key = (self.layers[number - 1].name, layer.name)
                self.edges[key] = self.edges.get(key, 0) + min(elements, self.written[number - 1])

    def _parameters(self, node: "Node") -> frozenset[str]:
        return frozenset[str]().union(*(self._stored(source) for source in node.all_input_nodes))

    def _count(self, used: frozenset[str]) -> int:
        """How many trained numbers are in use here for the first time."""
        return sum(self.uncounted.pop(name, 0) for name in used)

    def _name(self, node: "Node", op: str, used: frozenset[str] | None = None, alone: bool = False) -> str:
        """The path of the module called, if it is one of torch's without parts, or of the one that owns the weight.

        Else the path and the op, or only the path (`alone`); unique and without unseen characters.
        """
        path, kind = module_of(node)
        constants = (self.constants.get(source, frozenset()) for source in node.all_input_nodes)
        used = frozenset[str]().union(*constants) if used is None else used
        owners = {each.rpartition(".")[0] for each in used if each in self.every}
        if kind.startswith("torch.nn.") and self.has_no_parts(path):
            label = path
        elif len(owners) == 1 and not alone:
            label = owners.pop()
        else:
            label = path if alone else f"{path}.{op}" if path else op
        label = label or ("attention" if alone else op)
        unique, count = clean_name(label), 2
        while unique in self.names:
            unique, count = f"{clean_name(label)}_{count}", count + 1
        self.names.add(unique)
        return unique


def all_known(program: "ExportedProgram") -> bool:
    """Whether a graph can be read as it is; otherwise, in-place and composite operations must be written out first.

    What is computed from stored numbers alone is not looked at.
    """
    inputs = set(program.graph_signature.user_inputs)
    computed: set[Node] = set()
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in inputs:
            computed.add(node)
        elif node.op == "call_function" and op_name(node) not in FILLED and computed & set(node.all_input_nodes):
            computed.add(node)
            op = op_name(node)
            known = op in LAYERS or op in VIEWS or op in SEVERAL or op in ("getitem", *ASSERTIONS, *MARKS, *UNMARKS)
            if not (known or channel_norm_of(node)):
                return False
    return True


def _some(names: Sequence[str]) -> str:
    """The names, or how many and the first."""
    return ", ".join(names) if len(names) <= FEW else f"{len(names)} layers, the first {names[0]}"


def _renamed(node: "Node", owner: Any) -> Any:
    """Owners of a view of elements that all have one; None where a view adds others, or they have several."""
    computed = [each for each in node.all_input_nodes if "val" in each.meta]
    if len(computed) != 1 or "pad" in op_name(node) or not hasattr(owner, "stride") or not uniform(owner):
        return None
    number = int(owner.flatten()[0]) if owner.numel() else 0
    values = tuple(filled(shape, number) for shape in shapes_of(node))
    return values if isinstance(node.meta["val"], list | tuple) else values[0]
