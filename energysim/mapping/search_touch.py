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
from energysim.mapping.search_space import Numbers, primes
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
    """Words of one outer iteration, per row: `total[j]` when only arrays j.. of the gap share, `fresh[j]` when sliding.

    `total[0]` is what the gap asks of the level above it, the last entry what all instances below it take up.
    """

    total: tuple[Numbers, ...]
    fresh: tuple[Numbers, ...]


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
        return Words(tuple(total), tuple(total))

    def _window_words(self, rows: Rows, arrays: tuple[Array, ...]) -> Words:
        lattice = self.problem.lattice
        total, fresh = [], []
        for j in range(len(arrays) + 1):
            joint = [rows.spatial[n] for n, array in enumerate(arrays) if n >= j and self.shares(array)]
            alone = [rows.spatial[n] for n, array in enumerate(arrays) if not (n >= j and self.shares(array))]
            words = self.plain[rows.tile]
            for s in alone:
                words = words * self.every[s]
            for s in joint:
                words = words * self.plain[s]
            kept = np.zeros(len(rows.tile))
            for w in self.windows:
                index = []
                for axis in w.axes:
                    stride, number = lattice.strides[axis], lattice.shape[axis]
                    values = lattice.values[axis]
                    spread = prod((values[s // stride % number] for s in joint), start=np.ones(1, dtype=np.int64))
                    index += [rows.tile // stride % number, np.searchsorted(values, spread)]
                open_p, open_r = (
                    rows.whole // lattice.strides[axis] % lattice.shape[axis] < lattice.shape[axis] - 1
                    for axis in w.axes
                )
                place = tuple(index)
                most = np.maximum(np.where(open_p, w.kept_p[place], 0.0), np.where(open_r, w.kept_r[place], 0.0))
                kept = np.maximum(kept, most / w.union[place])
                words = words * w.union[place]
            total.append(words)
            fresh.append(words * (1.0 - kept) * self._advances(rows))
        return Words(tuple(total), tuple(fresh))

    def _advances(self, rows: Rows) -> Numbers:
        """The share of steps in which no reset of one dim can undo the advance of the other, at least."""
        lattice, share = self.problem.lattice, np.ones(len(rows.tile))
        if self.strange:
            return np.zeros(len(rows.tile))
        both = np.zeros(len(rows.tile), dtype=bool)
        least = np.full(len(rows.tile), np.inf)
        for w in self.windows:
            still_open = np.ones(len(rows.tile), dtype=bool)
            for axis in w.axes:
                values = lattice.values[axis]
                left = values[-1] // values
                smallest = np.array([min(primes(int(x)), default=0) or np.inf for x in left])
                place = rows.whole // lattice.strides[axis] % lattice.shape[axis]
                least = np.minimum(least, smallest[place])
                still_open &= place < lattice.shape[axis] - 1
            both |= still_open
        return np.where(both, 1.0 - 1.0 / least, share)
