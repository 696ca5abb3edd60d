"""Operations that are several layers, attention and recurrent networks, and the layers of moved and resampled data."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import gcd, prod
from types import MappingProxyType

from energysim.workload.layer import WINDOWS, Layer, Rank, Tensor, convolution
from energysim.workload.operations import (
    SOFTMAX_OPS,
    Operand,
    Shape,
    elementwise,
    every_dim,
    linear,
    matmul,
    ranks,
    traffic,
)


@dataclass(frozen=True, slots=True)
class Part:
    """One layer of an operation that is several: places of the operands it reads, and of the parts before it."""

    layer: Layer
    reads: tuple[int, ...]
    after: tuple[int, ...] = ()


def attention(name: str, query: Shape, key: Shape, value: Shape, mask: Operand | None = None) -> tuple[Part, ...]:
    """Scores Q K^T, a softmax, and its product with V; operands 0 to 3 are query, key, value and mask.

    Shapes are (batch ..., heads, tokens, width). Query heads that share a head of keys and values (grouped-query
    attention, arXiv:2305.13245) read it once: dim P runs over their tokens. Scaling, and a mask that is known before,
    run inside the first product; a computed mask is added by a layer of its own. Masked products count as any other.
    """
    batch, heads, queries, width = prod(query[:-3]), *query[-3:]
    groups, keys = key[-3], key[-2]
    dims = {"G": batch * groups, "P": queries * heads // groups}
    weights = (batch, heads, queries, keys)
    parts = [Part(matmul(f"{name}.scores", dims | {"C": width, "M": keys}), (0, 1))]
    if mask is not None and not mask.constant:
        operands = [Operand(weights, key="scores"), replace(mask, key="mask")]
        masked = elementwise(f"{name}.mask", "add", weights, operands)
        parts += [Part(masked, (3,), (0,))] if masked is not None else []
    softmax = elementwise(f"{name}.softmax", "softmax", weights, [Operand(weights)], SOFTMAX_OPS)
    assert softmax is not None  # noqa: S101
    parts.append(Part(softmax, (), (len(parts) - 1,)))
    context = matmul(f"{name}.context", dims | {"C": keys, "M": value[-1]})
    return (*parts, Part(context, (2,), (len(parts) - 1,)))


@dataclass(frozen=True, slots=True)
class Cell:
    """A recurrent cell: gates, plain operations for each state and step, and whether it reads the last state."""

    gates: int
    ops: int
    reads_state: bool = False


CELLS = MappingProxyType({"lstm": Cell(4, 13), "gru": Cell(3, 11, True), "rnn": Cell(1, 2)})
"""Operations, biases running inside the products: each gate adds its two products and squashes the sum. Then LSTM:
c = f*c + i*g, h = o*tanh(c); GRU: the third gate multiplies before it adds, h = (1-z)*n + z*h."""


def recurrent(
    name: str, kind: str, *, vectors: int, inputs: int, states: int, directions: int = 1, projected: int = 0
) -> tuple[Part, ...]:
    """One layer of a recurrent network over `vectors` (batch times steps) inputs; operand 0 is the input.

    Operands 1 and 2 are the weights of inputs and of states, 3 the first state, 4 the projection's weight. A product
    with all inputs, one with all states (G: directions), and the cells, whose state stays where it is. Steps are part
    of dim N: weights are reused over steps; that the states of one step wait for those before is not modelled.
    """
    cell = CELLS[kind]
    rows, fed = cell.gates * states, projected or states
    first = linear(f"{name}.inputs", n=vectors, m=directions * rows, c=inputs)
    again = convolution(f"{name}.states", n=vectors, g=directions, m=rows, c=fed, p=1, q=1, op="linear")
    shape = (vectors, directions * states)
    operands = [Operand(shape, key=str(i)) for i in range(2 * cell.gates + cell.reads_state)]
    point = elementwise(f"{name}.cell", f"{kind}_cell", shape, operands, cell.ops)
    assert point is not None  # noqa: S101
    parts = (Part(first, (0, 1)), Part(again, (2, 3)), Part(point, (), (0, 1)))
    if not projected:
        return parts
    last = convolution(f"{name}.projection", n=vectors, g=directions, m=projected, c=states, p=1, q=1, op="linear")
    return (*parts, Part(last, (4,), (2,)))


def movement(name: str, op: str, results: Sequence[Shape], operands: Sequence[Operand]) -> Layer:
    """Data moved and nothing computed: each operand read once, each result written once, no operation."""
    return replace(traffic(name, op, results, operands), ops_per_point=0)


def interpolation(name: str, op: str, source: Shape, result: Shape, taps: int) -> Layer | None:
    """A resampling of (N, M, ...) over up to three axes; a result is a weighted sum of `taps` elements of each axis.

    2*taps**axes - 1 operations for each result, none for the nearest neighbour (taps 1). An axis that grows is read
    once, one that shrinks only where it is sampled: as many elements as are written.
    """
    axes = len(result) - 2
    if not 1 <= axes <= len(WINDOWS):
        return None
    dims, read, written = {"N": result[0], "M": result[1]}, list(ranks("NM")), list(ranks("NM"))
    for (position, kernel, index), before, after in zip(WINDOWS[-axes:], source[2:], result[2:], strict=True):
        shared = gcd(before, after)
        step, grown = before // shared, after // shared
        dims |= {position: shared, kernel: grown}
        terms = ((position, step),) if step == 1 else ((position, step), (kernel, 1))
        read.append(Rank(position if step == 1 else index, terms))
        written.append(Rank(index, ((position, grown), (kernel, 1))))
    tensors = (Tensor("input", "input", tuple(read)), Tensor("output", "output", tuple(written)))
    return Layer(name, op, every_dim(dims), tensors, "op", 0 if taps == 1 else 2 * taps**axes - 1)
