"""How one tensor is touched by tiles and arrays: words of a tile, of their union over instances, and how many are new.

A rank of two moving dims is a window: when it slides, old words stay. Over instances that share words, a word is kept
only where every instance that needs it had it before; both are sums over one rank, tabulated once per layer.
"""

from dataclasses import dataclass
from functools import cache, cached_property

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

    `total[0]` is what the gap asks of the level above it, the last entry what all instances below it take up.
    `kept[d][j]` are the largest shares of them that are old when the innermost loop advances along window dim d, when a
    loop further out does, and when d returns to its start.
    """

    total: tuple[Numbers, ...]
    kept: dict[str, tuple[tuple[Numbers, Numbers, Numbers], ...]]


@dataclass(frozen=True)
class Window:
    """Tables of a rank `u*P + d*R` over (tile and spatial factor of P, of R), as divisor numbers.

    `union`: positions of all instances together; `points`: the same when each instance holds one point of its tile.
    `advance`: for either dim what is kept when it advances by its own tile and the other rests; `again`: the most when
    it advances by several; `back`: when it returns to its start, whatever the other does.
    """

    axes: tuple[int, int]
    union: Numbers
    points: Numbers
    advance: tuple[Numbers, Numbers]
    again: tuple[Numbers, Numbers]
    back: tuple[Numbers, Numbers]


def window(problem: Problem, rank: Rank, passing: bool) -> Window:
    """Tabulates a rank with two moving dims."""
    lattice = problem.lattice
    (a, u), (b, d) = [term for term in rank.terms if term[0] in lattice.dims]
    axes = (lattice.dims.index(a), lattice.dims.index(b))
    first, second = (lattice.values[axis].tolist() for axis in axes)
    shape = (len(first), len(first), len(second), len(second))
    sums = np.ones((8, *shape))
    for i, j, k, m in np.ndindex(*shape):
        p, sp, r, sr = first[i], first[j], second[k], second[m]
        if first[-1] % (p * sp) == 0 and second[-1] % (r * sr) == 0:
            one, two = (u, p, sp, first[-1] // (p * sp)), (d, r, sr, second[-1] // (r * sr))
            sums[:, i, j, k, m] = _sums(one, two, passing)
    return Window(axes, sums[0], sums[7], (sums[1], sums[2]), (sums[3], sums[4]), (sums[5], sums[6]))


Term = tuple[int, int, int, int]
"""Of one dim: coefficient, tile, spatial factor, and what is left outside."""


@cache
def _sums(first: Term, second: Term, passing: bool) -> tuple[int, ...]:
    """Union; what is kept at most, each for the first and the second dim: advance, again, back; points."""
    tile, places = 1, {0}
    for u, size, spread, _ in (first, second):
        grown = 0
        for x in range(size):
            grown |= tile << (u * x)
        tile = grown
        places = {p + u * size * x for p in places for x in range(spread)}
    union = 0
    for place in places:
        union |= tile << place
    reach = (union if passing else tile).bit_length()
    known = {0: union.bit_count()}

    def kept(by: int) -> int:
        if by >= reach:
            return 0
        if by not in known:
            gone = 0
            for place in places:
                gone |= (tile & ~(tile << by)) << place
            known[by] = (union & (union << by if passing else ~gone)).bit_count()
        return known[by]

    def again(term: Term) -> int:
        u, size, spread, _ = term
        step = u * size * spread
        return max((kept(by) for by in range(step, reach, step)), default=0)

    def back(term: Term, other: Term) -> int:
        (u, size, spread, left), (v, width, copies, more) = term, other
        step, shift = u * size * spread, v * width * copies
        most = 0
        for b in range(2, left + 1) if left > 1 else ():
            if left % b == 0:
                home = (b - 1) * step
                near = range(min(more, max(0, (home - reach) // shift)), min(more, (home + reach) // shift + 2))
                most = max([most, *(kept(abs(j * shift - home)) for j in near)])
        return most

    advance = [kept(u * size * spread) for u, size, spread, _ in (first, second)]
    returns = (back(first, second), back(second, first))
    return (union.bit_count(), *advance, again(first), again(second), *returns, len(places))


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
        outward = self.problem.fan_out(range(1, rows.level)) > 1
        kept: dict[str, list[tuple[Numbers, Numbers, Numbers]]] = {
            d: [] for d in sorted(self.window_dims & set(lattice.dims))
        }
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
                for n in (0, 1):
                    again = w.again[n][place] / union
                    farther = self._spread(alone, w.axes[n]) > 0
                    first = np.where(farther, again, w.advance[n][place] / union)
                    # returns across instances that do not share, or across arrays further out, are not tabulated
                    back = np.where(farther | outward, 1.0, w.back[n][place] / union)
                    kept[lattice.dims[w.axes[n]]].append((first, again, back))
            total.append(words)
        if self.strange:
            return Words(tuple(total), {d: tuple((t / t, t / t, t / t) for t in total) for d in kept})
        return Words(tuple(total), {d: tuple(shares) for d, shares in kept.items()})

    def points(self, rows: Rows, j: int) -> Numbers:
        """Words that the compute units inside one outer iteration ask for in one step when arrays j.. share."""
        lattice, words = self.problem.lattice, np.ones(len(rows.tile))
        joint = []
        for n, array in enumerate(self.problem.gaps[rows.level]):
            shared = n >= j and self.shares(array)
            words = (
                words * ((self.plain if self.window_dims else self.relevant) if shared else self.every)[rows.spatial[n]]
            )
            joint += [rows.spatial[n]] if shared else []
        for w in self.windows:
            words = (
                words
                * w.points[
                    tuple(
                        x
                        for axis in w.axes
                        for x in (rows.tile // lattice.strides[axis] % lattice.shape[axis], self._spread(joint, axis))
                    )
                ]
            )
        return words

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
