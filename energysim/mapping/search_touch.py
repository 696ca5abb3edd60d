"""How one tensor is touched by tiles and arrays: words of a tile, of their union over instances, and how many are new.

A rank of two moving dims is a window: when it slides, old words stay. Over instances that share words, a word is kept
only where every instance that needs it had it before; both are sums over one rank, tabulated once per layer.
"""

from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from energysim.hardware.accelerator import Array
from energysim.mapping.search_problem import Problem
from energysim.mapping.search_space import Numbers
from energysim.workload.layer import Rank, Tensor


@dataclass(frozen=True)
class Rows:
    """Tiles at one level with spatial factors above it: flat lattice indices, `whole` is their product."""

    level: int
    tile: Numbers
    spatial: tuple[Numbers, ...]
    whole: Numbers

    def take(self, which: Numbers) -> "Rows":
        """Some of the rows."""
        return Rows(self.level, self.tile[which], tuple(s[which] for s in self.spatial), self.whole[which])


@dataclass(frozen=True)
class Words:
    """Words of one outer iteration, per row: `total[j]` when only arrays j.. of the gap share.

    `total[0]` is what the gap asks of the level above it, the last entry what all instances below it take up. `new[d][j]`
    is the least share of them that is new when window dim d moves on.
    """

    total: tuple[Numbers, ...]
    new: dict[str, tuple[Numbers, ...]]


@dataclass(frozen=True)
class Window:
    """Tables of a rank `u*P + d*R` over (tile and spatial factor of P, of R), as divisor numbers.

    `union`: positions of all instances together; `kept_p`, `kept_r`: the most that can be kept when only the first
    or only the second dim moves on.
    """

    axes: tuple[int, int]
    union: Numbers
    kept_p: Numbers
    kept_r: Numbers


def window(problem: Problem, rank: Rank, passing: bool) -> Window:
    """Tabulates a rank with two moving dims."""
    lattice = problem.lattice
    (a, u), (b, d) = [term for term in rank.terms if term[0] in lattice.dims]
    axes = (lattice.dims.index(a), lattice.dims.index(b))
    first, second = (lattice.values[axis].tolist() for axis in axes)
    shape = (len(first), len(first), len(second), len(second))
    union, kept_p, kept_r = np.ones(shape), np.zeros(shape), np.zeros(shape)
    for i, j, k, m in np.ndindex(*shape):
        p, sp, r, sr = first[i], first[j], second[k], second[m]
        if first[-1] % (p * sp) or second[-1] % (r * sr):
            continue
        union[i, j, k, m], kept_p[i, j, k, m], kept_r[i, j, k, m] = _sums((u, p, sp), (d, r, sr), passing)
    return Window(axes, union, kept_p, kept_r)


def _sums(first: tuple[int, int, int], second: tuple[int, int, int], passing: bool) -> tuple[int, int, int]:
    """Union and both kept sums, from (coefficient, tile, spatial factor) of either dim."""
    (u, p, sp), (d, r, sr) = first, second
    row = sum(1 << (d * x) for x in range(r))
    tile = 0
    for x in range(p):
        tile |= row << (u * x)
    places = {u * p * x + d * r * y for x in range(sp) for y in range(sr)}
    union = 0
    for place in places:
        union |= tile << place
    reach = tile.bit_length()

    def kept(step: int) -> int:
        most, dense = 0, tile + 1 == 1 << reach and not passing
        for by in range(step, step + 1 if dense else (union if passing else tile).bit_length(), step):
            lost, gone = tile & ~(tile << by), 0
            for place in places:
                gone |= lost << place
            most = max(most, (union & (union << by if passing else ~gone)).bit_count())
        return most

    return union.bit_count(), kept(u * p * sp), kept(d * r * sr)


@dataclass(frozen=True)
class Touch:
    """One tensor of a problem."""

    problem: Problem
    tensor: Tensor

    @cached_property
    def reuse(self) -> Numbers:
        """Product of the dims that do not touch the tensor, for every tile."""
        return self.problem.lattice.product(frozenset(self.problem.lattice.dims) - self.tensor.dims)

    @cached_property
    def relevant(self) -> Numbers:
        """Product of the dims that touch the tensor, for every tile."""
        return self.problem.lattice.product(self.tensor.dims)

    @property
    def elements(self) -> Numbers:
        """Elements touched by every tile."""
        return self.problem.elements[self.tensor.name]

    @cached_property
    def windows(self) -> tuple[Window, ...]:
        """Ranks of two moving dims."""
        passing = any(self.tensor.role in array.forwarding for array in self.problem.accelerator.arrays)
        return tuple(window(self.problem, rank, passing) for rank in self.tensor.ranks if self._moving(rank) == 2)

    def _moving(self, rank: Rank) -> int:
        return sum(d in self.problem.lattice.dims for d in rank.dims)

    @cached_property
    def strange(self) -> bool:
        """Whether a rank has more than two moving dims: then no bound is known on what is new."""
        return any(self._moving(rank) > 2 for rank in self.tensor.ranks)

    @cached_property
    def window_dims(self) -> frozenset[str]:
        """Dims along which the tensor can slide."""
        return frozenset(d for rank in self.tensor.ranks if self._moving(rank) > 1 for d in rank.dims)

    @cached_property
    def plain(self) -> Numbers:
        """Product of the dims that touch the tensor and do not slide, for every tile."""
        return self.problem.lattice.product(self.tensor.dims - self.window_dims)

    @cached_property
    def every(self) -> Numbers:
        """Points of every tile."""
        return self.problem.lattice.product(frozenset(self.problem.lattice.dims))

    def shares(self, array: Array) -> bool:
        """Whether instances of an array share words of this tensor."""
        if self.tensor.role == "output":
            return array.reduction
        return self.tensor.role in array.multicast | array.forwarding

    def words(self, rows: Rows) -> Words:
        """Words of one outer iteration of the rows, for every way to share."""
        arrays = self.problem.gaps[rows.level]
        if not self.window_dims:
            return self._plain_words(rows, arrays)
        return self._window_words(rows, arrays)

    def _plain_words(self, rows: Rows, arrays: tuple[Array, ...]) -> Words:
        total = []
        for j in range(len(arrays) + 1):
            words = self.elements[rows.tile]
            for n, array in enumerate(arrays):
                s = rows.spatial[n]
                words = words * (self.relevant[s] if n >= j and self.shares(array) else self.every[s])
            total.append(words)
        return Words(tuple(total), {})

    def _window_words(self, rows: Rows, arrays: tuple[Array, ...]) -> Words:
        lattice = self.problem.lattice
        total: list[Numbers] = []
        new: dict[str, list[Numbers]] = {d: [] for d in sorted(self.window_dims & set(lattice.dims))}
        for j in range(len(arrays) + 1):
            joint = [rows.spatial[n] for n, array in enumerate(arrays) if n >= j and self.shares(array)]
            alone = [rows.spatial[n] for n, array in enumerate(arrays) if not (n >= j and self.shares(array))]
            words = self.elements[rows.tile] if self.strange else self.plain[rows.tile]
            for s in alone:
                words = words * self.every[s]
            for s in joint:
                words = words * self.plain[s]
            for w in self.windows:
                place = tuple(
                    x
                    for axis in w.axes
                    for x in (rows.tile // lattice.strides[axis] % lattice.shape[axis], self._spread(joint, axis))
                )
                union = w.union[place]
                words = words if self.strange else words * union
                new[lattice.dims[w.axes[0]]].append(1.0 - w.kept_p[place] / union)
                new[lattice.dims[w.axes[1]]].append(1.0 - w.kept_r[place] / union)
            total.append(words)
        if self.strange:
            return Words(tuple(total), {d: tuple(0.0 * t for t in total) for d in new})
        return Words(tuple(total), {d: tuple(shares) for d, shares in new.items()})

    def _spread(self, joint: list[Numbers], axis: int) -> Numbers:
        """Divisor number of the product of spatial factors in one dim."""
        lattice = self.problem.lattice
        stride, number = lattice.strides[axis], lattice.shape[axis]
        if len(joint) == 1:
            return joint[0] // stride % number
        factor = np.ones(1, dtype=np.int64)
        for s in joint:
            factor = factor * lattice.values[axis][s // stride % number]
        return np.searchsorted(lattice.values[axis], factor)

    @cached_property
    def partners(self) -> dict[str, str]:
        """The other dim of the window of each window dim."""
        dims = self.problem.lattice.dims
        pairs = [(dims[w.axes[0]], dims[w.axes[1]]) for w in self.windows]
        return {a: b for pair in pairs for a, b in (pair, pair[::-1])}
