"""The noun of all work: a `Layer` is an affine loop nest over named dims that touches tensors."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import gcd, prod
from types import MappingProxyType

from energysim.errors import InputError
from energysim.workload.encoding import Codebook

DIMS = ("N", "G", "M", "C", "P", "Q", "R", "S", "D", "T")
"""Dim names, in the order in which they are always listed (GLOSSARY says what each one is)."""

ROLES = ("weight", "input", "output")


@dataclass(frozen=True, slots=True)
class Rank:
    """One index of a tensor as an affine sum of dims: `H = 2*P + R` is `Rank("H", (("P", 2), ("R", 1)))`.

    `dims` are the dims that move it.
    """

    name: str
    terms: tuple[tuple[str, int], ...]
    dims: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "dims", tuple(dim for dim, _ in self.terms))

    def touched(self, tile: Mapping[str, int]) -> int:
        """How many distinct positions of this index a tile of the given dim sizes touches.

        For `u*p + d*r` with g = gcd(u, d) two points collide when p differs by d/g and r by u/g, so
        `p*r - max(0, p - d/g) * max(0, r - u/g)` are distinct; strides beyond the kernel leave gaps.
        """
        if len(self.terms) == 1:
            return tile[self.terms[0][0]]
        if len(self.terms) == 2:
            (a, u), (b, d) = self.terms
            p, r, g = tile[a], tile[b], gcd(u, d)
            return p * r - max(0, p - d // g) * max(0, r - u // g)
        positions = 1
        for dim, coefficient in self.terms:
            grown = 0
            for i in range(tile[dim]):
                grown |= positions << (i * coefficient)
            positions = grown
        return positions.bit_count()


@dataclass(frozen=True, slots=True)
class Tensor:
    """What a layer reads or writes: a role, affine ranks, bits per element, density, encoding.

    `density` is the share of non-zero elements (0..1]; `encoding` names how it is coded where it rests.
    `partial_bits` is the width of a partial sum (outputs only; 0 means the same as `bits`). `codebook`: how a weight
    is shared (its centroids have `bits` per element), None where it is not. `dims` are those relevant to this tensor:
    all others reuse it.
    """

    name: str
    role: str
    ranks: tuple[Rank, ...]
    bits: int = 16
    density: float = 1.0
    encoding: str = "dense"
    partial_bits: int = 0
    codebook: Codebook | None = None
    dims: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "dims", frozenset(dim for rank in self.ranks for dim in rank.dims))

    def elements(self, tile: Mapping[str, int]) -> int:
        """Distinct elements touched by a tile of the given dim sizes."""
        return prod(rank.touched(tile) for rank in self.ranks)


@dataclass(frozen=True, slots=True)
class Layer:
    """One affine loop nest: at each point of `dims` the unit does one `unit` operation on the tensors.

    `unit` is "mac" (multiply and accumulate) or "op" (`ops_per_point` plain operations: compare, add, ...).
    `parameters` counts trained numbers, biases and unfolded scales included. `fused` names the nodes that
    run inside this layer for free (activation, folded BatchNorm). Raises InputError on dims below 1, a dim
    that no tensor or loop knows, or a dim in two ranks of one tensor.
    """

    name: str
    op: str
    dims: Mapping[str, int]
    tensors: tuple[Tensor, ...]
    unit: str = "mac"
    ops_per_point: int = 1
    parameters: int = 0
    fused: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for dim, size in self.dims.items():
            if dim not in DIMS:
                raise InputError(f"layer '{self.name}': unknown dim '{dim}'; known: {', '.join(DIMS)}")
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise InputError(f"layer '{self.name}': dim {dim} is {size}; it must be an integer of at least 1")
        if self.unit not in ("mac", "op"):
            raise InputError(f"layer '{self.name}': unit is '{self.unit}'; it must be 'mac' or 'op'")
        if [t.role for t in self.tensors].count("output") != 1:
            raise InputError(f"layer '{self.name}': needs exactly one tensor with role 'output'")
        if len({t.name for t in self.tensors}) != len(self.tensors):
            raise InputError(f"layer '{self.name}': two tensors have the same name")
        for tensor in self.tensors:
            self._check_tensor(tensor)
        ordered = {dim: self.dims.get(dim, 1) for dim in DIMS}
        object.__setattr__(self, "dims", MappingProxyType(ordered))

    def _check_tensor(self, tensor: Tensor) -> None:
        if tensor.codebook is not None and tensor.role != "weight":
            raise InputError(f"layer '{self.name}': tensor '{tensor.name}' has a codebook; only weights can")
        used = [dim for rank in tensor.ranks for dim in rank.dims]
        if len(set(used)) != len(used):
            raise InputError(f"layer '{self.name}': tensor '{tensor.name}' uses a dim in two places")
        for dim in used:
            if dim not in self.dims:
                raise InputError(f"layer '{self.name}': tensor '{tensor.name}' uses dim {dim}, which has no size")
        if tensor.role not in ROLES:
            raise InputError(f"layer '{self.name}': tensor '{tensor.name}' has unknown role '{tensor.role}'")
        if not 1 <= tensor.bits <= 64 or not 0 <= tensor.partial_bits <= 128:
            raise InputError(f"layer '{self.name}': tensor '{tensor.name}' has {tensor.bits} bits; 1 to 64 allowed")
        if not 0.0 <= tensor.density <= 1.0:
            raise InputError(f"layer '{self.name}': tensor '{tensor.name}' has density {tensor.density}, not 0..1")

    @property
    def points(self) -> int:
        """Points of the loop nest."""
        return prod(self.dims.values())

    @property
    def macs(self) -> int:
        """Dense multiply-accumulates, padding included; 0 for layers of plain operations."""
        return self.points if self.unit == "mac" else 0

    @property
    def ops(self) -> int:
        """Plain operations (compare, add, ...); 0 for layers of MACs."""
        return self.points * self.ops_per_point if self.unit == "op" else 0

    @property
    def output(self) -> Tensor:
        """The one output tensor."""
        return next(t for t in self.tensors if t.role == "output")

    def tensor(self, role: str) -> Tensor | None:
        """The first tensor of a role, or None."""
        return next((t for t in self.tensors if t.role == role), None)

    @property
    def compulsory_bits(self) -> int:
        """Every element once: each input and weight read, each output written, at dense bits."""
        return sum(t.elements(self.dims) * t.bits for t in self.tensors)

    def __reduce__(self) -> tuple[object, ...]:
        fields = (self.name, self.op, dict(self.dims), self.tensors, self.unit, self.ops_per_point)
        return (Layer, (*fields, self.parameters, self.fused))

    def __hash__(self) -> int:
        return hash((self.name, self.op, tuple(self.dims.items()), self.tensors))


WINDOWS = (("D", "T", "depth"), ("P", "R", "H"), ("Q", "S", "W"))
"""Position and kernel dims of each axis that a window slides along, and the name of the index they make together."""

Window = tuple[int, ...]
"""Steps of a window, or spacings inside it, along the last axes: height and width, or depth, height and width."""


def window_ranks(stride: Window, dilation: Window, dims: Mapping[str, int]) -> tuple[Rank, ...]:
    """Indices `stride*position + dilation*kernel` of height and width, before them depth where there is any."""
    axes = WINDOWS if dims.get("D", 1) > 1 or dims.get("T", 1) > 1 else WINDOWS[1:]
    steps, spaces = ((1,) * (len(axes) - len(window)) + tuple(window)[-len(axes) :] for window in (stride, dilation))
    return tuple(
        Rank(name, ((position, step), (kernel, space)))
        for (position, kernel, name), step, space in zip(axes, steps, spaces, strict=True)
    )


def convolution(
    name: str,
    *,
    n: int = 1,
    g: int = 1,
    m: int,
    c: int,
    p: int,
    q: int,
    r: int = 1,
    s: int = 1,
    d: int = 1,
    t: int = 1,
    stride: Window = (1, 1),
    dilation: Window = (1, 1),
    transposed: bool = False,
    bias: bool = False,
    op: str = "convolution",
    fused: tuple[str, ...] = (),
) -> Layer:
    """A convolution (grouped when g > 1; m and c are per group) as a layer; a linear layer has p=q=r=s=1.

    Over volumes, d is the output depth and t the kernel depth, and stride and dilation may have three numbers.
    Transposed: P, Q and D run over the *input*, and the output index is `stride*P + dilation*R`.
    """
    dims = {"N": n, "G": g, "M": m, "C": c, "P": p, "Q": q, "R": r, "S": s, "D": d, "T": t}
    window = window_ranks(stride, dilation, dims)
    one = {dim: Rank(dim, ((dim, 1),)) for dim in DIMS}
    plain = tuple(one[rank.terms[0][0]] for rank in window)
    inner, outer = (plain, window) if transposed else (window, plain)
    weight = Tensor("weight", "weight", (*(one[dim] for dim in "GMC"), *(one[rank.terms[1][0]] for rank in window)))
    activation = Tensor("input", "input", (one["N"], one["G"], one["C"], *inner))
    output = Tensor("output", "output", (one["N"], one["G"], one["M"], *outer))
    parameters = g * m * c * t * r * s + (g * m if bias else 0)
    return Layer(name, op, dims, (weight, activation, output), parameters=parameters, fused=fused)
