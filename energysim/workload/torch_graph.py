"""A walk over an exported PyTorch graph that collects layers, the edges between them, and warnings."""

from dataclasses import dataclass, field, replace
from math import prod
from typing import TYPE_CHECKING, Any

from energysim.errors import ModelReadError
from energysim.workload.graph import clean_name
from energysim.workload.layer import Layer
from energysim.workload.operations import Operand, Shape, traffic
from energysim.workload.torch_operations import FUSABLE, LAYERS, VIEWS, Call, channel_norm, words

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram
    from torch.fx import Node

FOLDS_BATCH_NORM = ("convolution", "transposed_convolution", "linear")
BATCH_NORMS = ("batch_norm", "_native_batch_norm_legit_no_training")
SAME = words("to _to_copy clone contiguous dropout native_dropout alias detach identity lift_fresh")
"""Views that leave the shape alone."""
FILLED = words("zeros_like ones_like full_like empty_like new_zeros new_ones new_full new_empty")
"""Operations that take from a computed tensor only its shape."""


@dataclass(slots=True)
class GraphReader:
    """One walk over an exported graph.

    `owners[node]` has the shape of the node's value and holds, for each element, the number (from 1) of the layer that
    computed it, 0 for inputs of the network. Views are carried out on it, so the edges are exact behind any of them.
    `constants[node]` names the stored tensors that a value is computed from, `passes[node]` the node it renames.
    """

    module: "torch.nn.Module"
    program: "ExportedProgram"
    fold_batchnorm: bool
    fuse_activations: bool
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
    channel_norm: "tuple[str, Node] | None" = None

    def read(self) -> None:
        """Walk all nodes in order."""
        signature = self.program.graph_signature
        stored = signature.inputs_to_parameters | signature.inputs_to_buffers
        for node in self.program.graph.nodes:
            if node.op == "placeholder" and node.name in signature.user_inputs:
                if _shapes(node):
                    self.owners[node] = _filled(_shapes(node)[0], 0)
            elif node.op in ("placeholder", "get_attr"):
                name = stored.get(node.name, str(node.target))
                self.constants[node] = frozenset({name})
                if node.name in signature.inputs_to_parameters:
                    self.uncounted[name] = prod(_shapes(node)[0])
                    self.every.add(name)
            elif node.op == "call_function":
                self._call(node)

    def _call(self, node: "Node") -> None:
        sources = [source for source in node.all_input_nodes if source in self.owners]
        if not sources or _op_name(node) in FILLED:
            # computed from stored numbers alone: done once, when the model is loaded
            known = (self.constants.get(source, frozenset()) for source in node.all_input_nodes)
            self.constants[node] = frozenset[str]().union(*known)
            return
        if self._normalises_channels(node, sources):
            return
        op = _op_name(node)
        if op == "getitem":
            self._pass(node, sources[0], self.owners[sources[0]][node.args[1]])
        elif not (self._view(node, op, sources) or self._fuse(node, op, sources)):
            self._layer(node, op)

    def _normalises_channels(self, node: "Node", sources: "list[Node]") -> bool:
        """A local response normalisation is exported as ten operations: the first becomes the layer, the others it."""
        call = _channel_norm(node)
        if not call:
            return False
        if self.channel_norm is not None and self.channel_norm[0] == call:
            self._pass(node, self.channel_norm[1], self.owners[self.channel_norm[1]])
            return True
        pool = node
        while not _op_name(pool).startswith("avg_pool"):
            pool = pool.next
        label, op = self._name(node, "local_response_norm"), "local_response_norm"
        self._emit(node, channel_norm(Call(label, op, {}, _shapes(node)), pool.args[1][0]), sources)  # type: ignore[index, arg-type]
        self.channel_norm = (call, node)
        return True

    def _pass(self, node: "Node", source: "Node", value: Any) -> None:
        self.owners[node], self.passes[node] = value, source

    def _view(self, node: "Node", op: str, sources: "list[Node]") -> bool:
        if op not in VIEWS:
            return False
        if op in SAME:
            value = self.owners[sources[0]]
            self._pass(node, sources[0], (value, None) if op == "native_dropout" else value)
            return True
        try:
            value = _carried_out(node, self.owners)
        except (RuntimeError, NotImplementedError):  # not for whole numbers: costed as any other operation
            return False
        if len(sources) == 1:
            self._pass(node, sources[0], value)
        else:
            self.owners[node] = value
        return True

    def _fuse(self, node: "Node", op: str, sources: "list[Node]") -> bool:
        """Let an activation or a BatchNorm run inside the layer that made its input, if nobody else needs that."""
        folds = op in BATCH_NORMS and self.fold_batchnorm
        if len(sources) != 1 or not (folds or (op in FUSABLE and self.fuse_activations)):
            return False
        number = self._maker(sources[0])
        shapes = _shapes(node)
        if number is None or prod(shapes[0]) != prod(_shapes(sources[0])[0]):
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

    def _maker(self, node: "Node") -> int | None:
        """Number of the layer whose whole result `node` is, if no other node uses that result."""
        here: Node | None = node
        while here is not None and here in self.passes and len(here.users) == 1:
            here = self.passes[here]
        if here is None or here in self.passes or len(here.users) != 1 or here.op == "placeholder":
            return None
        owner = self.owners[node]
        if isinstance(owner, tuple) or owner.numel() == 0 or not _uniform(owner):
            return None
        number = int(owner.flatten()[0])
        return number if number > 0 and owner.numel() == self.written[number - 1] else None

    def _layer(self, node: "Node", op: str) -> None:
        """Make the layer of a node, or count its traffic with a warning when the op or its shapes are unknown."""
        shapes = _shapes(node)
        computed = [each for each in node.all_input_nodes if each in self.owners]
        if not any(map(prod, shapes)) or not any(prod(_shapes(each)[0]) for each in computed if _shapes(each)):
            self.owners[node] = _filled(shapes[0], 0) if shapes else None
            return
        call = Call(self._name(node, op), op, _arguments(node, self.constants), _used(node))
        maker = LAYERS.get(op)
        layer = maker(call) if maker is not None else None
        if layer is None:
            layer = traffic(call.name, op, call.results, call.operands)
            what = "unknown operation" if maker is None else "unusual shapes of operation"
            self.warnings.append(f"{call.name}: {what} '{op}' is costed as element-wise traffic")
        self._emit(node, layer, computed)

    def _emit(self, node: "Node", layer: Layer, computed: "list[Node]") -> None:
        shapes = _shapes(node)
        self.layers.append(replace(layer, parameters=self._count(self._parameters(node))))
        self.written.append(sum(map(prod, _used(node))))
        for source in computed:
            for number, elements in _flow(self.owners[source]).items():
                if number:
                    key = (self.layers[number - 1].name, layer.name)
                    self.edges[key] = self.edges.get(key, 0) + min(elements, self.written[number - 1])
        values = tuple(_filled(shape, len(self.layers)) for shape in shapes)
        self.owners[node] = values if isinstance(node.meta["val"], list | tuple) else values[0]

    def _parameters(self, node: "Node") -> frozenset[str]:
        known = (self.constants.get(source, frozenset()) for source in node.all_input_nodes)
        return frozenset[str]().union(*known)

    def _count(self, used: frozenset[str]) -> int:
        """How many trained numbers are in use here for the first time."""
        return sum(self.uncounted.pop(name, 0) for name in used)

    def _name(self, node: "Node", op: str) -> str:
        """The path of the module that owns the weight, or of the one called; unique and without unseen characters."""
        path, kind = _module(node)
        trained = sorted(used for used in self._parameters(node) if used in self.every)
        owners = {used.rpartition(".")[0] for used in trained}
        if len(owners) == 1:
            label = owners.pop()
        elif kind.startswith("torch.nn.") and not any(self.module.get_submodule(path).children()):
            label = path
        else:
            label = f"{path}.{op}" if path else op
        label = label or op
        unique, count = clean_name(label), 2
        while unique in self.names:
            unique, count = f"{clean_name(label)}_{count}", count + 1
        self.names.add(unique)
        return unique


def all_known(program: "ExportedProgram") -> bool:
    """Whether a graph can be read as it is; otherwise, in-place and composite operations must be written out first."""
    called = (node for node in program.graph.nodes if node.op == "call_function")
    return all(
        _op_name(node) in LAYERS or _op_name(node) in VIEWS or _op_name(node) == "getitem" or _channel_norm(node)
        for node in called
    )


def _channel_norm(node: "Node") -> str:
    """Which call of a local response normalisation an operation belongs to; empty when to none."""
    call, function = node.meta.get("torch_fn") or ("", "")
    return str(call) if function.endswith(".local_response_norm") else ""


def _filled(shape: Shape, number: int) -> Any:
    """A tensor of one number that takes no memory for its elements."""
    import torch

    return torch.tensor(number, dtype=torch.int32, device="cpu").expand(shape)


def _uniform(owner: Any) -> bool:
    return all(stride == 0 or size == 1 for stride, size in zip(owner.stride(), owner.shape, strict=True))


def _flow(owner: Any) -> dict[int, int]:
    """Elements by number of the layer that computed them."""
    if not hasattr(owner, "stride") or owner.numel() == 0:
        return {}
    if _uniform(owner):
        return {int(owner.flatten()[0]): owner.numel()}
    counts = owner.flatten().bincount().tolist()
    return {number: elements for number, elements in enumerate(counts) if elements}


def _shapes(node: "Node") -> tuple[Shape, ...]:
    """Shapes of all tensors a node gives."""
    value = node.meta.get("val")
    values = value if isinstance(value, list | tuple) else (value,)
    shapes = tuple(tuple(each.shape) for each in values if hasattr(each, "shape"))
    if not all(isinstance(size, int) for shape in shapes for size in shape):
        raise ModelReadError(
            f"the size of '{clean_name(node.name)}' ({_op_name(node)}) depends on the values of a tensor; "
            "give a fixed size, or move that operation out of forward()"
        )
    return shapes


def _used(node: "Node") -> tuple[Shape, ...]:
    """Shapes of the tensors a node gives that are read by others; all when nobody says which."""
    shapes = _shapes(node)
    taken = {user.args[1] for user in node.users if _op_name(user) == "getitem"}
    return tuple(shape for i, shape in enumerate(shapes) if i in taken) or shapes


def _op_name(node: "Node") -> str:
    """The name of an ATen operation without overload; others keep their namespace."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return str(getattr(node.target, "__name__", node.target))
    namespace, _, name = schema.name.partition("::")
    return name if namespace == "aten" else f"{namespace}.{name}"


def _module(node: "Node") -> tuple[str, str]:
    """Path and class of the module whose forward() called the operation."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    if not stack:
        return ("", "")
    path, kind = stack[-1]
    return (str(path).partition("@")[0], kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}")


def _arguments(node: "Node", constants: "dict[Node, frozenset[str]]") -> dict[str, Any]:
    """Arguments by their schema names, tensors as operands, defaults filled in."""
    import torch

    def operand(source: "Node") -> Any:
        shapes = _shapes(source)
        return Operand(shapes[0], source in constants, source.name) if shapes else None

    args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), operand)
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return {str(i): value for i, value in enumerate(args)} | kwargs
    names = {}
    for i, each in enumerate(schema.arguments):
        names[each.name] = args[i] if i < len(args) else kwargs.get(each.name, each.default_value)
    return names


def _carried_out(node: "Node", owners: "dict[Node, Any]") -> Any:
    """The result of a view on owner numbers; stored tensors count as nobody's."""
    import torch

    def owner(source: "Node") -> Any:
        known = owners[source] if source in owners else _filled(_shapes(source)[0], 0)
        return known if isinstance(known, tuple) or _uniform(known) else known.contiguous()

    args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), owner)
    return node.target(*args, **kwargs)  # type: ignore[operator]
