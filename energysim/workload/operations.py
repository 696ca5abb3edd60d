"""Makers of layers that are not convolutions, and the templates by which the YAML format implies their tensors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import gcd, prod
from types import MappingProxyType
from typing import Any

from energysim.workload.layer import DIMS, Layer, Rank, Tensor, Window, convolution, window_ranks

Shape = tuple[int, ...]

PLAIN = MappingProxyType({dim: Rank(dim, ((dim, 1),)) for dim in DIMS})
"""Each dim as an index of its own."""

ELEMENTWISE_DIMS = ("", "M", "NM", "NMQ", "NMPQ", "NGMPQ", "NGMCPQ", "NGMCPQR", "NGMCPQRS")
"""Which dims the axes of an element-wise operation become, by number of axes."""

SOFTMAX_OPS = 4
"""Operations per element of a softmax: compare (maximum), exponentiate, add, divide."""


@dataclass(frozen=True, slots=True)
class Operand:
    """A tensor that an operation reads: its shape, and whether it is trained (or fixed) rather than computed."""

    shape: Shape
    constant: bool = False
    key: str = ""

    @property
    def elements(self) -> int:
        """Number of elements."""
        return prod(self.shape)


def ranks(dims: str) -> tuple[Rank, ...]:
    """One index per dim letter: `ranks("NMPQ")`."""
    return tuple(PLAIN[dim] for dim in dims)


def every_dim(dims: Mapping[str, int]) -> dict[str, int]:
    """The dims with 1 for those left out."""
    return dict.fromkeys(DIMS, 1) | dict(dims)


def plain_layer(name: str, op: str, dims: Mapping[str, int], inputs: Sequence[str], ops_per_point: int = 1) -> Layer:
    """A layer of plain operations with output (N, M, P, Q) and one input tensor per string of dim letters."""
    tensors = [Tensor(_numbered("input", i), "input", ranks(letters)) for i, letters in enumerate(inputs)]
    return Layer(name, op, every_dim(dims), (*tensors, Tensor("output", "output", ranks("NMPQ"))), "op", ops_per_point)


def linear(name: str, *, n: int, m: int, c: int) -> Layer:
    """A fully connected layer on `n` vectors (batch times tokens): a convolution of one point."""
    return convolution(name, n=n, m=m, c=c, p=1, q=1, op="linear")


def pooling(name: str, op: str, dims: Mapping[str, int], stride: Window, dilation: Window = (1, 1)) -> Layer:
    """A pooling over windows R x S (T x R x S): one operation per window element; index `stride*P + dilation*R`."""
    window = window_ranks(stride, dilation, dims)
    tensors = (
        Tensor("input", "input", (*ranks("NM"), *window)),
        Tensor("output", "output", ranks("NM" + "".join(rank.terms[0][0] for rank in window))),
    )
    return Layer(name, op, every_dim(dims), tensors, "op")


def local_response_norm(name: str, dims: Mapping[str, int]) -> Layer:
    """A cross-channel local response normalisation: dim C is the window, one operation per element of it."""
    channels = Rank("channel", (("M", 1), ("C", 1)))
    tensors = (
        Tensor("input", "input", (PLAIN["N"], channels, *ranks("PQ"))),
        Tensor("output", "output", ranks("NMPQ")),
    )
    return Layer(name, "local_response_norm", every_dim(dims), tensors, "op")


def batch_norm(name: str, dims: Mapping[str, int]) -> Layer:
    """A batch normalisation that is not folded: per element a multiplication by a scale and an addition of a shift."""
    tensors = (
        Tensor("scale", "weight", ranks("M")),
        Tensor("shift", "weight", ranks("M")),
        Tensor("input", "input", ranks("NMPQ")),
        Tensor("output", "output", ranks("NMPQ")),
    )
    return Layer(name, "batch_norm", every_dim(dims), tensors, "op", 2)


def matmul(name: str, dims: Mapping[str, int], first: str = "NGPC", second: str = "NGCM") -> Layer:
    """A product of two computed matrices, P x C by C x M, batched over G: the second one takes the part of the weight.

    `second` leaves out N and G where one matrix serves the whole batch. The role "weight" only says in which memories
    the second matrix rests; its name `input_2` says that it is an activation.
    """
    tensors = (
        Tensor("input", "input", ranks(first)),
        Tensor("input_2", "weight", ranks(second)),
        Tensor("output", "output", ranks("NGPM")),
    )
    return Layer(name, "matmul", every_dim(dims), tensors)


def embedding(name: str, *, n: int, m: int) -> Layer:
    """A table looked up at `n` indices: one row of `m` numbers is read and written for each, the rest stays unread."""
    tensors = (
        Tensor("weight", "weight", ranks("NM")),
        Tensor("input", "input", ranks("N")),
        Tensor("output", "output", ranks("NMPQ")),
    )
    return Layer(name, "embedding", every_dim({"N": n, "M": m}), tensors, "op")


def elementwise(name: str, op: str, result: Shape, operands: Sequence[Operand], ops_per_point: int = 1) -> Layer | None:
    """One operation per element of the result, operands broadcast; None where shapes cannot be read that way."""
    if len(result) >= len(ELEMENTWISE_DIMS):
        return None
    letters = ELEMENTWISE_DIMS[len(result)]
    sizes = dict(zip(letters, result, strict=True))
    every = "".join(dim for dim in DIMS if dim in letters or dim in "NMPQ")
    tensors = []
    for label, operand in _labelled(operands):
        shape = (1,) * (len(result) - len(operand.shape)) + operand.shape
        if len(shape) != len(result) or any(own not in (1, full) for own, full in zip(shape, result, strict=True)):
            return None
        broadcast = {dim for dim, own in zip(letters, shape, strict=True) if own != sizes[dim]}
        role = "weight" if operand.constant else "input"
        tensors.append(Tensor(label, role, ranks("".join(dim for dim in every if dim not in broadcast))))
    tensors.append(Tensor("output", "output", ranks(every)))
    return Layer(name, op, every_dim(sizes), tuple(tensors), "op", ops_per_point)


def traffic(name: str, op: str, results: Sequence[Shape], operands: Sequence[Operand]) -> Layer:
    """An operation of which only the traffic is known: each operand read once, each result written once.

    All computed operands are one tensor here, all constant ones another. Dim M is the greatest common divisor of the
    element counts, what a tensor has beyond it is a dim of its own; so operations are exact only for equal counts.
    """
    counts = {
        "weight": sum(operand.elements for operand in operands if operand.constant),
        "input": sum(operand.elements for operand in operands if not operand.constant),
        "output": sum(map(prod, results)),
    }
    shared = gcd(*counts.values())
    letters, free = {1: ""}, iter("SRQ")
    tensors = []
    for role, count in counts.items():
        if count:
            rest = count // shared
            letters[rest] = letters[rest] if rest in letters else next(free)
            tensors.append(Tensor(role, role, ranks("NM" + letters[rest])))
    dims = {"M": shared} | {letter: rest for rest, letter in letters.items() if letter}
    return Layer(name, op, every_dim(dims), tuple(tensors), "op")


def reduction(name: str, op: str, shape: Shape, axes: Sequence[int]) -> Layer | None:
    """A sum, mean or maximum over some axes, one operation per element read; None where there are too many axes."""
    kept = [size for i, size in enumerate(shape) if i not in axes]
    if len(kept) > 4 or len(axes) > 4:
        return None
    dims = dict(zip(ELEMENTWISE_DIMS[len(kept)], kept, strict=True))
    summed = dict(zip("RSCG", (shape[i] for i in axes), strict=False))
    output = Tensor("output", "output", ranks("NMPQ"))
    tensors = (Tensor("input", "input", ranks("NMPQ" + "".join(summed))), output)
    return Layer(name, op, every_dim(dims | summed), tensors, "op")


def _numbered(stem: str, index: int) -> str:
    return stem if index == 0 else f"{stem}_{index + 1}"


def _labelled(operands: Sequence[Operand]) -> list[tuple[str, Operand]]:
    """Operands with their names: input, input_2, ... and weight, weight_2, ..."""
    seen = {"weight": 0, "input": 0}
    labelled = []
    for operand in operands:
        stem = "weight" if operand.constant else "input"
        labelled.append((_numbered(stem, seen[stem]), operand))
        seen[stem] += 1
    return labelled


Template = Callable[[str, str, Mapping[str, int], Window, Window], Layer]


def _convolution(name: str, op: str, dims: Mapping[str, int], stride: Window, dilation: Window) -> Layer:
    transposed = op == "transposed_convolution"
    sizes: dict[str, Any] = {dim.lower(): size for dim, size in every_dim(dims).items()}
    make = partial(convolution, name, **sizes)
    return make(stride=stride, dilation=dilation, transposed=transposed, op=op)


def _pair(name: str, op: str, dims: Mapping[str, int], stride: Window, dilation: Window) -> Layer:
    return plain_layer(name, op, dims, ("NMPQ", "NMPQ"))


def _single(name: str, op: str, dims: Mapping[str, int], stride: Window, dilation: Window) -> Layer:
    return plain_layer(name, op, dims, ("NMPQ",), SOFTMAX_OPS if op == "softmax" else 1)


TEMPLATES: Mapping[str, Template] = MappingProxyType(
    {
        "convolution": _convolution,
        "transposed_convolution": _convolution,
        "linear": _convolution,
        "matmul": lambda name, op, dims, stride, dilation: matmul(name, dims),
        "max_pool": pooling,
        "average_pool": pooling,
        "local_response_norm": lambda name, op, dims, stride, dilation: local_response_norm(name, dims),
        "batch_norm": lambda name, op, dims, stride, dilation: batch_norm(name, dims),
        "embedding": lambda name, op, dims, stride, dilation: embedding(name, n=dims.get("N", 1), m=dims.get("M", 1)),
        **dict.fromkeys(("add", "sub", "mul", "div", "maximum", "minimum"), _pair),
    }
)
"""Op name to the maker of its usual layer; an op that is not here has one input and one output (N, M, P, Q)."""


def usual(name: str, op: str, dims: Mapping[str, int], stride: Window = (1, 1), dilation: Window = (1, 1)) -> Layer:
    """The layer that an op has by its nature; `parameters` is that of a convolution without bias, otherwise 0."""
    return TEMPLATES.get(op, _single)(name, op, dims, stride, dilation)
