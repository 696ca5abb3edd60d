"""What several operations of an exported PyTorch graph are together: activations, RMSNorm, rotary embeddings."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from energysim.workload.operations import Shape
from energysim.workload.torch_operations import FUSABLE, words

if TYPE_CHECKING:
    from torch.fx import Graph, Node

SAME = words("to _to_copy clone contiguous dropout native_dropout alias detach identity lift_fresh type_as")
"""Operations that leave numbers and shape alone."""

ASSERTIONS = words("_assert_tensor_metadata _assert_async _assert_scalar sym_constrain_range_for_size")

REGION_NODES = 24
"""Most operations that an activation written out in the graph may have."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """Operations that are one: its name, what they read in order, all nodes, and the one that has the result."""

    op: str
    reads: "tuple[Node, ...]"
    nodes: "frozenset[Node]"
    result: "Node"


def op_name(node: "Node") -> str:
    """The name of an ATen operation without overload; others keep their namespace."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return str(getattr(node.target, "__name__", node.target))
    namespace, _, name = schema.name.partition("::")
    return name if namespace == "aten" else f"{namespace}.{name}"


def region(node: "Node", source: "Node", computed: "Collection[Node]") -> "tuple[Node, ...]":
    """The element-wise operations from `node` on that need nothing computed but `source`, and whose last alone is used.

    Such are activations that a module writes out: GELU by tanh, SiLU as a product. Empty where there are none: where
    `source` or a number in between is used elsewhere too.
    """
    taken: list[Node] = []
    size = _elements(source)
    inside, waiting = {source}, _later(source, ())
    while waiting and len(taken) < REGION_NODES:
        here = waiting.pop(0)
        op = op_name(here)
        shared = [each for each in here.all_input_nodes if each in computed and each not in inside]
        if shared or op not in FUSABLE | SAME or _elements(here) != size:
            return ()
        taken.append(here)
        inside.add(here)
        open_ends = [each for each in inside if not set(_later(each, ())) <= inside]
        if open_ends in ([here], []):
            return tuple(taken) if node in taken else ()
        waiting = _later(here, (*waiting, *(y for y in _later(source, ()) if y not in inside)))
    return ()


def _later(node: "Node", others: "Sequence[Node]") -> "list[Node]":
    """Users of a node and some others, in the order of the graph."""
    return sorted({*(user for user in node.users if op_name(user) not in ASSERTIONS), *others})


def _elements(node: "Node") -> int:
    value: Any = node.meta.get("val")
    return prod(value.shape) if hasattr(value, "shape") else -1


def plain(node: Any) -> Any:
    """The node whose numbers a node has, behind casts and copies."""
    while hasattr(node, "op") and node.op == "call_function" and op_name(node) in SAME and node.args:
        node = node.args[0]
    return node


def _users(node: "Node") -> "list[Node]":
    """Who uses a node's numbers, behind casts and copies; assertions do not count."""
    found: list[Node] = []
    for user in node.users:
        if op_name(user) in SAME:
            found += _users(user)
        elif op_name(user) not in ASSERTIONS:
            found.append(user)
    return found


def _between(node: "Node") -> "set[Node]":
    """Casts and copies of a node's numbers."""
    return {each for user in node.users if op_name(user) in SAME for each in (user, *_between(user))}


def _only(node: "Node", *ops: str) -> "Node | None":
    """The one user of a node's numbers, if it is such an operation."""
    users = _users(node)
    return users[0] if len(users) == 1 and op_name(users[0]) in ops else None


def _squared(node: "Node") -> Any:
    """What a node is the square of."""
    args: Any = node.args
    op = op_name(node)
    if op == "square" or (op == "pow" and args[1] == 2) or (op == "mul" and args[0] is args[1]):
        return plain(args[0])
    return None


def rms_norm(node: "Node") -> Pattern | None:
    """x / sqrt(mean(x^2) + eps), times a weight or not: starts at the square (Zhang and Sennrich, arXiv:1910.07467)."""
    source = _squared(node)
    mean = _only(node, "mean")
    if source is None or mean is None:
        return None
    chain, last = {node, mean}, mean
    for ops in (("add",), ("rsqrt",), ("mul",)):
        following = _only(last, *ops)
        if following is None:
            return None
        last = following
        chain.add(last)
    axes: Any = mean.args[1] if len(mean.args) > 1 else None
    width = source.meta["val"].shape[-1]
    if source not in {plain(each) for each in last.args} or axes not in ([-1], [source.meta["val"].dim() - 1]):
        return None
    reads: tuple[Node, ...] = (source,)
    scaled = _only(last, "mul")
    if scaled is not None:
        factor: Any = next((each for each in scaled.args if plain(each) is not last), None)
        if factor is not None and hasattr(factor, "meta") and tuple(factor.meta["val"].shape) == (width,):
            chain.add(scaled)
            reads, last = (source, factor), scaled
    middle = {each for inner in chain - {last} for each in _between(inner)}
    return Pattern("rms_norm", reads, frozenset(chain | middle), last)


def rotary(node: "Node") -> Pattern | None:
    """x*cos + rotated(x)*sin, halves exchanged and one negated: from the first product on (arXiv:2104.09864)."""
    total = _only(node, "add") if op_name(node) == "mul" else None
    if total is None:
        return None
    other = next((plain(each) for each in total.args if plain(each) is not node), None)
    if other is None or not hasattr(other, "op") or op_name(other) != "mul":
        return None
    joined = next((each for each in map(plain, other.args) if hasattr(each, "op") and op_name(each) == "cat"), None)
    halves: Any = joined.args[0] if joined is not None else ()
    if joined is None or len(halves) != 2 or op_name(plain(halves[0])) != "neg":
        return None
    negated, second = plain(halves[0]), plain(halves[1])
    first = plain(negated.args[0])
    if {op_name(first), op_name(second)} != {"slice"} or plain(first.args[0]) is not plain(second.args[0]):
        return None
    source = plain(first.args[0])
    factors: list[Any] = [
        next((y for y in each.args if plain(y) not in (source, joined)), None) for each in (node, other)
    ]
    if source not in {plain(each) for each in node.args} or None in factors:
        return None
    nodes = {node, other, joined, negated, first, second, total}
    nodes |= {each for inner in nodes - {total} for each in _between(inner)}
    return Pattern("rotary", (source, *factors), frozenset(nodes), total)


def patterns(graph: "Graph") -> "Iterator[Pattern]":
    """All that several operations of a graph are together; no operation is in two."""
    taken: set[Node] = set()
    for node in graph.nodes:
        if node.op == "call_function":
            found = rms_norm(node) or rotary(node)
            if found is not None and not taken & found.nodes and _closed(found):
                taken |= found.nodes
                yield found


def _closed(pattern: Pattern) -> bool:
    """Whether nothing outside uses a number from within."""
    users = {user for node in pattern.nodes - {pattern.result} for user in node.users}
    return all(user in pattern.nodes or op_name(user) in ASSERTIONS for user in users)


def repeats(node: Any) -> int:
    """How often a view repeats every head of a tensor (batch, heads, tokens, width): `expand` between two reshapes."""
    here = plain(node)
    if op_name(here) not in ("reshape", "view", "_unsafe_view", "flatten") or here.op != "call_function":
        return 1
    grown = plain(here.args[0])
    if not hasattr(grown, "op") or op_name(grown) != "expand":
        return 1
    before: Shape = tuple(grown.args[0].meta["val"].shape)
    after: Shape = tuple(grown.meta["val"].shape)
    result: Shape = tuple(here.meta["val"].shape)
    by_head = len(before) == len(after) == len(result) + 1 and before[-3] == 1 and before[-2:] == after[-2:]
    merged = by_head and result == (*after[:-4], after[-4] * after[-3], *after[-2:])
    return after[-3] if merged and before[:-3] == after[:-3] else 1
