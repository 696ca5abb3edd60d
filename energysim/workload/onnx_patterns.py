"""Operations that exporters write out as many: normalisations and rotary position embeddings."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

from energysim.workload.layer import Layer
from energysim.workload.onnx_infer import DOMAINS
from energysim.workload.onnx_names import scope_of
from energysim.workload.onnx_operations import OnnxCall, make_lrn, make_normal, make_rotary
from energysim.workload.onnx_scope import Absorbed, Scope
from energysim.workload.onnx_types import Value, attributes_of
from energysim.workload.operations import Operand
from energysim.workload.torch_operations import words

if TYPE_CHECKING:
    import onnx

    from energysim.workload.onnx_graph import GraphReader

LONGEST_CHAIN = 16
BETWEEN = words("If Unsqueeze Squeeze Reshape Transpose Pad AveragePool Mul Add Pow Identity Cast")
"""What lies between the square and the division of a local response normalisation."""


@dataclass(frozen=True, slots=True)
class Found:
    """A written-out operation: its nodes by index, its last result, and further operands."""

    nodes: tuple[int, ...]
    result: str
    constants: tuple[Value, ...] = ()
    size: int = 0


def written_out(reader: "GraphReader", index: int, scope: Scope) -> bool:
    """Whether a written-out normalisation starts at a node; then it has become one layer."""
    node = scope.nodes[index]
    if node.domain not in DOMAINS or not node.input or not node.output:
        return False
    found = make = None
    if node.op_type == "ReduceMean":
        found, make, op = _layer_norm(index, scope), make_normal("layer_norm"), "LayerNormalization"
    elif node.op_type in ("Mul", "Pow"):
        found, make, op = _response_norm(index, scope), make_lrn, "LRN"
        if found is None:
            found, make, op = _root_mean_square(index, scope), make_normal("rms_norm"), "RMSNormalization"
        if found is None:
            found, make, op = _rotary(index, scope), make_rotary, "RotaryEmbedding"
    source = scope.known(node.input[0])
    if found is None or make is None or source is None or source.stored is not None or source.shape is None:
        return False
    trained = reader.trained(op, found.constants)
    name = reader.names.name(node.name, found.result, op, trained, scope_of(node))
    operands: tuple[Operand | None, ...] = (source.operand, *(each.operand for each in found.constants))
    call = OnnxCall(name, op, {"size": found.size}, operands, (), (source.shape,))
    layer = make(call)
    if not isinstance(layer, Layer):
        return False
    number = reader.emit(_counted(reader, layer, trained), [source], (), prod(source.shape))
    scope.absorbed |= dict.fromkeys(found.nodes, Absorbed(number))
    return True


def _counted(reader: "GraphReader", layer: Layer, trained: frozenset[str]) -> Layer:
    return replace(layer, parameters=reader.count(trained))


def _only(name: str, scope: Scope) -> int | None:
    """The one node that reads a value, if nothing else does."""
    readers = scope.consumers.get(name, ())
    return readers[0] if len(readers) == 1 and scope.uses.get(name) == 1 else None


def _next(name: str, scope: Scope, *ops: str) -> "onnx.NodeProto | None":
    index = _only(name, scope)
    node = scope.nodes[index] if index is not None else None
    return node if node is not None and node.op_type in ops and node.domain in DOMAINS else None


def _layer_norm(index: int, scope: Scope) -> Found | None:
    """(x - mean) / sqrt(mean((x - mean)^2) + epsilon), and a scale and a shift where they follow."""
    mean = scope.nodes[index]
    x = mean.input[0]
    value = scope.known(x)
    if value is None or value.shape is None or _axes(mean, scope) not in ([-1], [len(value.shape) - 1]):
        return None
    centred = _next(mean.output[0], scope, "Sub")
    if centred is None or list(centred.input) != [x, mean.output[0]]:
        return None
    nodes = [mean, centred]
    readers = [scope.nodes[i] for i in scope.consumers.get(centred.output[0], ())]
    square = next((y for y in readers if y.op_type in ("Pow", "Mul")), None)
    divide = next((y for y in readers if y.op_type == "Div" and y.input[0] == centred.output[0]), None)
    if len(readers) != 2 or square is None or divide is None or scope.uses.get(centred.output[0]) != 2:
        return None
    last = square
    nodes.append(square)
    for ops in ("ReduceMean", "Add", "Sqrt"):
        following = _next(last.output[0], scope, ops)
        if following is None:
            return None
        nodes.append(following)
        last = following
    if _only(last.output[0], scope) is None or divide.input[1] != last.output[0]:
        return None
    nodes.append(divide)
    constants: list[Value] = []
    last = divide
    for op in ("Mul", "Add"):
        following = _next(last.output[0], scope, op)
        other = None if following is None else _constant(following, last.output[0], scope)
        if following is None or other is None or other.elements != value.shape[-1]:
            break
        nodes.append(following)
        constants.append(other)
        last = following
    return Found(_indexes(nodes, scope), last.output[0], tuple(constants))


def _behind_casts(name: str, scope: Scope) -> "list[onnx.NodeProto]":
    """Nodes that read a value, or a cast of it."""
    found = []
    for index in scope.consumers.get(name, ()):
        node = scope.nodes[index]
        found += _behind_casts(node.output[0], scope) if node.op_type in ("Cast", "Identity") else [node]
    return found


def _sole(name: str, scope: Scope, *ops: str) -> "onnx.NodeProto | None":
    """The one node that reads a value, behind casts, if it is such an operation."""
    readers = _behind_casts(name, scope)
    fits = len(readers) == 1 and readers[0].op_type in ops and scope.uses.get(name, 0) == 1
    return readers[0] if fits and readers[0].domain in DOMAINS else None


def _casts_between(nodes: "list[onnx.NodeProto]", scope: Scope) -> "list[onnx.NodeProto]":
    """Casts of what these nodes give, but for the last."""
    found = []
    for node in nodes[:-1]:
        for index in scope.consumers.get(node.output[0], ()):
            if scope.nodes[index].op_type in ("Cast", "Identity"):
                found.append(scope.nodes[index])
    return found


def _root_mean_square(index: int, scope: Scope) -> Found | None:
    """x / sqrt(mean(x^2) + epsilon), and a scale where it follows (Zhang and Sennrich, arXiv:1910.07467)."""
    first = scope.nodes[index]
    x = first.input[0]
    value = scope.known(x)
    squares = list(first.input) == [x, x] if first.op_type == "Mul" else len(first.input) == 2
    if not squares or value is None or value.shape is None:
        return None
    nodes = [first]
    for ops in (("ReduceMean",), ("Add",), ("Sqrt",), ("Reciprocal", "Div"), ("Mul",)):
        following = _sole(nodes[-1].output[0], scope, *ops)
        if following is None:
            return None
        nodes.append(following)
        if following.op_type == "Div" and following.input[0] == x:
            break
    if _axes(nodes[1], scope) not in ([-1], [len(value.shape) - 1]) or x not in nodes[-1].input:
        return None
    constants: list[Value] = []
    scaled = _sole(nodes[-1].output[0], scope, "Mul")
    if scaled is not None:
        stored = [each for name in scaled.input if (each := scope.known(name)) is not None and each.stored is not None]
        if len(stored) == 1 and stored[0].elements == value.shape[-1]:
            nodes.append(scaled)
            constants.append(stored[0])
    return Found(_indexes([*nodes, *_casts_between(nodes, scope)], scope), nodes[-1].output[0], tuple(constants))


def _rotary(index: int, scope: Scope) -> Found | None:
    """x*cos + rotated(x)*sin: the halves of x exchanged and one negated (arXiv:2104.09864); cos and sin are stored."""
    direct = scope.nodes[index]
    if direct.op_type != "Mul" or len(set(direct.input)) != 2:
        return None
    x, cosine = direct.input
    total = _next(direct.output[0], scope, "Add")
    stored = scope.known(cosine)
    halves = [scope.nodes[i] for i in scope.consumers.get(x, ()) if scope.nodes[i].op_type == "Slice"]
    if total is None or stored is None or stored.stored is None or len(halves) != 2:
        return None
    after = [_next(half.output[0], scope, "Neg", "Concat") for half in halves]
    negated = next((y for y in after if y is not None and y.op_type == "Neg"), None)
    joined = next((y for y in after if y is not None and y.op_type == "Concat"), None)
    if negated is None or joined is None or negated.output[0] not in joined.input:
        return None
    turned = _next(joined.output[0], scope, "Mul")
    sine = None if turned is None else _constant(turned, joined.output[0], scope)
    if turned is None or sine is None or set(total.input) != {direct.output[0], turned.output[0]}:
        return None
    nodes = [direct, *halves, negated, joined, turned, total]
    return Found(_indexes(nodes, scope), total.output[0], (stored, sine))


def _indexes(nodes: "list[onnx.NodeProto]", scope: Scope) -> tuple[int, ...]:
    ids = {id(node) for node in nodes}
    return tuple(i for i, node in enumerate(scope.nodes) if id(node) in ids)


def _constant(node: "onnx.NodeProto", besides: str, scope: Scope) -> Value | None:
    others = [scope.known(name) for name in node.input if name != besides]
    return others[0] if len(others) == 1 and others[0] is not None and others[0].stored is not None else None


def _axes(node: "onnx.NodeProto", scope: Scope) -> list[int] | None:
    given = attributes_of(node).get("axes")
    if len(node.input) > 1:
        value = scope.known(node.input[1])
        given = None if value is None or value.data is None else value.data.tolist()
    return given if isinstance(given, list) else None


def _chain(index: int, scope: Scope) -> "Iterator[onnx.NodeProto]":
    """Nodes that follow one another, each the only reader of the one before it."""
    node = scope.nodes[index]
    for _ in range(LONGEST_CHAIN):
        yield node
        following = _only(node.output[0], scope) if node.output else None
        if following is None:
            return
        node = scope.nodes[following]


def _response_norm(index: int, scope: Scope) -> Found | None:
    """x / (k + alpha * mean(x^2 over channels))^beta."""
    first = scope.nodes[index]
    x = first.input[0]
    squares = list(first.input) == [x, x] if first.op_type == "Mul" else len(first.input) == 2
    if not squares:
        return None
    nodes: list[onnx.NodeProto] = []
    size = 0
    for node in _chain(index, scope):
        if node.op_type == "Div" and nodes and size:
            return Found(_indexes([*nodes, node], scope), node.output[0], (), size) if node.input[0] == x else None
        if node.op_type not in BETWEEN or (nodes and x in node.input):
            return None
        if node.op_type == "AveragePool":
            size = max(attributes_of(node).get("kernel_shape") or [0])
        nodes.append(node)
    return None
