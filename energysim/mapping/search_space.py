"""The map space as arrays: all tiles of a layer on a divisor lattice, and which of them fit where.

A tile is a flat index into the lattice of divisors of every dim larger than one; index 0 is the tile of one point,
the last index the whole layer. A product of tiles is a sum of flat indices only in the prime-power sense, so chains
(inner tile, spatial factors, product) are enumerated dim by dim and crossed.
"""

from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from math import gcd, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from energysim.hardware.accelerator import Accelerator, Array
from energysim.workload.layer import DIMS, Layer, Rank, Tensor

Numbers = NDArray[Any]
"""float64 or integer arrays; which one is said where it matters."""

KERNEL = frozenset("RST")
"""Dims of a kernel, which are small."""

SMALL = 1 << 16
"""Entries of a table that is filled sooner than as many codes are sorted."""


@cache
def divisors(number: int) -> tuple[int, ...]:
    """All divisors of a number, ascending."""
    small = [i for i in range(1, int(number**0.5) + 1) if number % i == 0]
    return tuple(sorted({*small, *(number // i for i in small)}))


def primes(number: int) -> tuple[int, ...]:
    """The distinct primes of a number, ascending."""
    found, rest, p = [], number, 2
    while p * p <= rest:
        if rest % p == 0:
            found.append(p)
            while rest % p == 0:
                rest //= p
        p += 1
    return tuple([*found, rest] if rest > 1 else found)


SMOOTH = 7
"""A number without larger primes has divisors near every size."""

FEW = 8
"""Divisors that a number may have to count as hard to divide."""


@cache
def tile_sizes(number: int, widths: tuple[int, ...] = ()) -> tuple[int, ...]:
    """Sizes that tiles of a dim may have when its last tiles may be partial, ascending: more than its divisors.

    A number that is hard to divide (a prime above 7, and few divisors) is also divided as the next one without such
    primes: 197 as 200, 55 as 56. An array's axis of one of `widths`, which passes over the dim in fewer steps than any
    divisor does, may be full: 320 on 128 as 128, 256. Other numbers have their divisors.
    """
    found = {*divisors(number)}
    for width in widths:
        passes = -(-number // width)
        if passes < number // max(size for size in divisors(number) if size <= width):
            found |= {width * n for n in divisors(passes) if width * n < number}
    if len(divisors(number)) <= FEW and max(primes(number), default=1) > SMOOTH:
        found |= {size for size in divisors(smooth(number)) if size < number}
    return tuple(sorted(found))


def smooth(number: int) -> int:
    """The least number from `number` on without a prime above 7."""
    odd = [1]
    for prime in (3, 5, 7):
        odd = [size * prime**n for size in odd for n in range(number.bit_length()) if size * prime**n < 2 * number]
    # doubled until it is enough
    return min(size << max(0, (-(-number // size) - 1).bit_length()) for size in odd)


@dataclass(frozen=True)
class Lattice:
    """Every tile whose size in each dim divides `sizes`; only dims larger than one are kept in `dims`.

    `widths`: last tiles may be partial, so that tiles of all `tile_sizes` for these axes are there; kernel dims stay
    whole numbers of tiles.
    """

    layer: Layer
    sizes: tuple[int, ...]
    widths: tuple[int, ...] | None = None

    @cached_property
    def dims(self) -> tuple[str, ...]:
        """Dims that have loops at all; the first dim where none has."""
        return tuple(d for d, size in zip(DIMS, self.sizes, strict=True) if size > 1) or DIMS[:1]

    @cached_property
    def values(self) -> tuple[Numbers, ...]:
        """Tile sizes of each kept dim, ascending, int64: its divisors, or `tile_sizes`."""
        sizes = dict(zip(DIMS, self.sizes, strict=True))
        return tuple(np.array(self._sizes(d, sizes[d]), dtype=np.int64) for d in self.dims)

    def _sizes(self, dim: str, size: int) -> tuple[int, ...]:
        """Tile sizes of a dim."""
        return divisors(size) if self.widths is None or dim in KERNEL else tile_sizes(size, self.widths)

    @cached_property
    def ragged(self) -> bool:
        """Whether some tile size is no divisor."""
        return any(bool((values[-1] % values).any()) for values in self.values)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Number of divisors of each kept dim."""
        return tuple(len(v) for v in self.values)

    @property
    def size(self) -> int:
        """Number of tiles."""
        return prod(self.shape)

    @cached_property
    def strides(self) -> tuple[int, ...]:
        """Flat index step of each kept dim."""
        return tuple(prod(self.shape[i + 1 :]) for i in range(len(self.shape)))

    def spread(self, table: Numbers, axes: tuple[int, ...]) -> Numbers:
        """A table over some kept dims (ascending), shaped so that it broadcasts over the whole lattice."""
        shape = [1] * len(self.shape)
        for n, axis in enumerate(axes):
            shape[axis] = table.shape[n]
        return table.reshape(shape)

    def product(self, dims: frozenset[str]) -> Numbers:
        """Product of the tile's sizes in some dims, for every tile (float64)."""
        if ("product", dims) in self.remembered:
            found: Numbers = self.remembered["product", dims]
            return found
        total = np.ones(1)
        for d, values in zip(self.dims, self.values, strict=True):
            # from the outermost dim inward: all but the last of these arrays are small
            total = (total[:, None] * (values.astype(float) if d in dims else np.ones(len(values)))).reshape(-1)
        self.remembered["product", dims] = total
        return total

    def elements(self, tensor: Tensor) -> Numbers:
        """Elements that every tile touches of a tensor (float64)."""
        total = np.ones(self.shape)
        for rank in tensor.ranks:
            axes = tuple(i for i, d in enumerate(self.dims) if d in rank.dims)
            total = total * self.spread(self._touched(rank, axes), axes)
        return total.reshape(-1)

    def _touched(self, rank: Rank, axes: tuple[int, ...]) -> Numbers:
        """Positions of a rank that a tile touches, over the divisors of the rank's moving dims."""
        by_dim = dict(rank.terms)
        if len(axes) == 1:
            return self.values[axes[0]].astype(float)
        if len(axes) == 2:
            # as in `Rank.touched`, for all tiles at once
            (p, u), (r, v) = ((self.values[a], by_dim[self.dims[a]]) for a in axes)
            g = gcd(u, v)
            both = np.maximum(p - v // g, 0)[:, None] * np.maximum(r - u // g, 0)[None, :]
            positions: Numbers = (p[:, None] * r[None, :] - both).astype(float)
            return positions
        grid = np.ones([self.shape[a] for a in axes])
        for place in np.ndindex(*grid.shape):
            tile = dict.fromkeys(rank.dims, 1)
            tile |= {self.dims[a]: int(self.values[a][j]) for a, j in zip(axes, place, strict=True)}
            grid[place] = rank.touched(tile)
        return grid

    @cached_property
    def remembered(self) -> dict[Any, Any]:
        """What all choices of bypasses share: what `spreadable` found for each array, and tables by their names."""
        return {}


def axis_widths(accelerator: Accelerator) -> tuple[int, ...]:
    """Instances on the axes of all arrays, each once."""
    return tuple(sorted({axis.size for array in accelerator.arrays for axis in array.axes}))


def split_over_axes(array: Array, factors: dict[str, int]) -> dict[str, tuple[int, ...]] | None:
    """How spatial factors go onto the axes of an array: dim to its bound on each axis; None when they do not go.

    The first way found, axes filled in order with the smallest share that leaves the rest placeable.
    """
    dims = [d for d, f in factors.items() if f > 1]

    def place(todo: list[str], room: tuple[int, ...]) -> dict[str, tuple[int, ...]] | None:
        if not todo:
            return {}
        if prod(factors[d] for d in todo) > prod(room):
            return None
        dim = todo[0]
        for shares in _shares(array, dim, factors[dim], room, 0):
            rest = place(todo[1:], tuple(r // s for r, s in zip(room, shares, strict=True)))
            if rest is not None:
                return {dim: shares, **rest}
        return None

    return place(sorted(dims, key=lambda d: -factors[d]), tuple(axis.size for axis in array.axes))


def _shares(array: Array, dim: str, factor: int, room: tuple[int, ...], first: int) -> list[tuple[int, ...]]:
    if first == len(room):
        return [()] if factor == 1 else []
    allowed = array.axes[first].dims is None or dim in (array.axes[first].dims or ())
    found = []
    for share in divisors(factor) if allowed else (1,):
        if share <= room[first]:
            found += [(share, *rest) for rest in _shares(array, dim, factor // share, room, first + 1)]
    return found


def spreadable(lattice: Lattice, array: Array) -> Numbers:
    """Which tiles can be spread over an array, each point on its own instance: bool, for every tile.

    Only the products over dims that may use the same axes matter, so each distinct tuple of products is tried once.
    """
    if array in lattice.remembered:
        found: Numbers = lattice.remembered[array]
        return found
    classes: dict[tuple[bool, ...], set[str]] = {}
    for d in lattice.dims:
        may = tuple(axis.dims is None or d in axis.dims for axis in array.axes)
        classes.setdefault(may, set()).add(d)
    good = lattice.product(frozenset(lattice.dims)) <= array.fan_out
    kept = np.flatnonzero(good)
    tables = [(may, lattice.product(frozenset(dims))[kept].astype(np.int64)) for may, dims in classes.items()]
    first = which = np.zeros(len(kept), dtype=np.int64)
    for _, products in tables:
        first, which = _distinct(which * (array.fan_out + 1) + products)
    verdict = np.zeros(len(first), dtype=bool)
    for n, i in enumerate(first):
        groups = tuple((may, int(products[i])) for may, products in tables)
        verdict[n] = _placeable(groups, tuple(axis.size for axis in array.axes))
    good[kept] = verdict[which]
    lattice.remembered[array] = good
    return good


def _distinct(codes: Numbers) -> tuple[Numbers, Numbers]:
    """Where each of the distinct codes stands first, and of which of them every one is; by a small table if it can be.

    Codes are at least 0.
    """
    top = int(codes.max(initial=0)) + 1
    if top > SMALL:
        _, first, which = np.unique(codes, return_index=True, return_inverse=True)
        return first, which.reshape(-1)
    place = np.full(top, -1, dtype=np.int64)
    place[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    distinct = np.flatnonzero(place >= 0)
    first = place[distinct]
    place[distinct] = np.arange(len(distinct))
    return first, place[codes]


@lru_cache(maxsize=1 << 16)
def _placeable(groups: tuple[tuple[tuple[bool, ...], int], ...], room: tuple[int, ...]) -> bool:
    if not groups:
        return True
    (may, factor), rest = groups[0], groups[1:]

    def shares(axis: int, left: int, now: tuple[int, ...]) -> bool:
        if axis == len(room):
            return left == 1 and _placeable(rest, now)
        options = divisors(left) if may[axis] else (1,)
        return any(
            s <= now[axis] and shares(axis + 1, left // s, (*now[:axis], now[axis] // s, *now[axis + 1 :]))
            for s in options
        )

    return shares(0, factor, room)
