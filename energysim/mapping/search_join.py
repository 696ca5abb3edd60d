"""The join: tiles of all levels are put together from the compute unit outward, best lower bound first.

What is still open above a tile is bounded from below by a table over all tiles (`_Ahead`), built from the outermost
memory inward: own cost plus the least cost ahead of any multiple of the tile. So the key of a partial chain is
admissible, and whatever is dropped at a key no better than the best mapping in hand needs no second look.
"""

from dataclasses import dataclass, field

import numpy as np

from energysim.mapping.search_bounds import Bounds
from energysim.mapping.search_orders import Exact, Nests
from energysim.mapping.search_problem import Problem
from energysim.mapping.search_space import Numbers, chains
from energysim.mapping.search_touch import Rows

TOLERANCE = 1e-12
"""Relative difference below which two energies count as equal."""


@dataclass(frozen=True)
class Limits:
    """How much work a search may do before it gives up on proving its result."""

    partial: int = 20_000
    pairs: int = 400_000
    nests: int = 600


@dataclass
class Best:
    """The best mapping in hand, and the least bound of anything dropped unseen."""

    energy_pj: float = np.inf
    nest: Nests | None = None
    orders: tuple[tuple[int, ...], ...] = ()
    open_pj: float = np.inf
    candidates: int = 0
    dropped: list[float] = field(default_factory=list)

    @property
    def limit(self) -> float:
        """Keys at or above this cannot win."""
        return self.energy_pj * (1.0 - TOLERANCE)


@dataclass(frozen=True)
class Level:
    """All tiles of a level with all spatial factors above them, sorted by tile; `key` bounds their own boundaries."""

    rows: Rows
    key: Numbers
    start: Numbers
    ahead: Numbers
    to_go: Numbers


def levels(bounds: Bounds) -> list[Level]:
    """One table per level, by level number (level 0 has none: an empty slot is a table of the whole layer)."""
    problem = bounds.problem
    lattice = problem.lattice
    found: list[Level] = []
    ahead = np.zeros(lattice.size)
    for level in range(1, problem.levels + 1):
        fits = problem.fits[level] if level < problem.levels else np.arange(lattice.size) == 0
        tile, spatial, whole = chains(lattice, fits, problem.spreads[level], problem.allowed(level))
        order = np.argsort(tile, kind="stable")
        rows = Rows(level, tile, spatial, whole).take(order)
        key = bounds.edge(rows) + ahead[rows.whole]
        start = np.searchsorted(rows.tile, np.arange(lattice.size + 1))
        to_go = np.full(lattice.size, np.inf)
        filled = np.flatnonzero(np.diff(start))
        if len(filled):
            to_go[filled] = np.minimum.reduceat(key, start[filled])
        found.append(Level(rows, key, start, ahead, to_go))
        ahead = lattice.least_over_multiples(to_go)
    return found


@dataclass(frozen=True)
class Partial:
    """Partial chains: `sunk` bounds what is decided, `key` the whole; `tiles` and `spatial` from the inside outward."""

    sunk: Numbers
    key: Numbers
    tiles: tuple[Numbers, ...]
    spatial: tuple[tuple[Numbers, ...], ...]
    wholes: tuple[Numbers, ...]

    @property
    def whole(self) -> Numbers:
        """The outermost tile so far, with the spatial factors above it once they are decided."""
        return self.wholes[-1]

    def take(self, which: Numbers) -> "Partial":
        """Some of the rows."""
        return Partial(
            self.sunk[which],
            self.key[which],
            tuple(t[which] for t in self.tiles),
            tuple(tuple(s[which] for s in gap) for gap in self.spatial),
            tuple(w[which] for w in self.wholes),
        )


def join(bounds: Bounds, tables: list[Level], best: Best, limits: Limits) -> None:
    """Searches all chains within `limits`, and leaves the result in `best`."""
    problem = bounds.problem
    table = tables[-1]
    constant = bounds.constant_pj
    partial = Partial(
        np.full(len(table.rows.tile), constant),
        table.key + constant,
        (table.rows.tile,),
        (table.rows.spatial,),
        (table.rows.whole,),
    )
    for level in range(problem.levels, 0, -1):
        partial = _cut(partial, best, limits.partial)
        partial = _outward(bounds, tables, level, partial, best, limits.pairs)
        if level > 1:
            partial = _spread(tables[level - 2], partial, best, limits)
    partial = _cut(partial, best, limits.nests)
    _finish(bounds, partial, best)


def _cut(partial: Partial, best: Best, most: int) -> Partial:
    """The rows that can still win, best key first, at most `most`."""
    which = np.flatnonzero(partial.key < best.limit)
    which = which[np.argsort(partial.key[which], kind="stable")]
    if len(which) > most:
        best.open_pj = min(best.open_pj, float(partial.key[which[most]]))
        which = which[:most]
    return partial.take(which)


def _outward(
    bounds: Bounds, tables: list[Level], level: int, partial: Partial, best: Best, most: int
) -> Partial:
    """Adds the temporal loops of the memory outside `level`: every tile of it that is a multiple and can still win."""
    lattice = bounds.problem.lattice
    ahead = tables[level - 1].ahead
    if level > 1:
        to_go = tables[level - 2].to_go
    else:
        to_go = np.where(np.arange(lattice.size) == lattice.size - 1, 0.0, np.inf)
    inner = partial.key - ahead[partial.whole]
    outer = np.flatnonzero(to_go < best.limit - inner.min(initial=np.inf))
    outer = outer[np.argsort(to_go[outer], kind="stable")]
    reach = np.searchsorted(to_go[outer], best.limit - inner, side="left")
    total = np.cumsum(reach)
    rows = int(np.searchsorted(total, most, side="right"))
    if rows < len(reach):
        rows = max(rows, 1)
        best.open_pj = min(best.open_pj, float(partial.key[rows:].min(initial=np.inf)))
    ones, others = [], []
    step = max(1, 400_000 // max(1, int(reach.max(initial=0))))
    for i in range(0, min(rows, len(reach)), step):
        here = np.arange(i, min(i + step, rows, len(reach)))
        width = int(reach[here].max(initial=0))
        good = lattice.multiples(partial.whole[here][:, None], outer[:width][None, :])
        good &= inner[here][:, None] + to_go[outer[:width]][None, :] < best.limit
        one, other = np.nonzero(good)
        ones.append(here[one])
        others.append(outer[other])
    one = np.concatenate(ones) if ones else np.zeros(0, dtype=np.int64)
    other = np.concatenate(others) if others else np.zeros(0, dtype=np.int64)
    found = partial.take(one)
    now = Rows(level, found.tiles[-1], found.spatial[-1], found.whole)
    sunk = found.sunk + bounds.edge(now, other)
    return Partial(sunk, sunk + to_go[other], (*found.tiles, other), found.spatial, (*found.wholes, other))


def _spread(table: Level, partial: Partial, best: Best, limits: Limits) -> Partial:
    """Adds the spatial factors of the arrays outside a memory."""
    partial = _cut(partial, best, limits.partial)
    tile = partial.whole
    counts = table.start[tile + 1] - table.start[tile]
    if counts.sum() > limits.pairs:
        rows = max(1, int(np.searchsorted(np.cumsum(counts), limits.pairs, side="right")))
        best.open_pj = min(best.open_pj, float(partial.key[rows:].min(initial=np.inf)))
        partial, tile, counts = partial.take(np.arange(rows)), tile[:rows], counts[:rows]
    one = np.repeat(np.arange(len(tile)), counts)
    offset = np.arange(len(one)) - np.repeat(np.cumsum(counts) - counts, counts)
    row = table.start[tile][one] + offset
    kept = partial.sunk[one] + table.key[row] < best.limit
    one, row = one[kept], row[kept]
    found = partial.take(one)
    return Partial(
        found.sunk,
        found.sunk + table.key[row],
        found.tiles,
        (*found.spatial, tuple(s[row] for s in table.rows.spatial)),
        (*found.wholes[:-1], table.rows.whole[row]),
    )


def _finish(bounds: Bounds, partial: Partial, best: Best, batch: int = 32) -> None:
    """Complete chains: the exact cost of all orders that can still win, best bound first."""
    nests = Nests(partial.tiles[::-1], ((), *partial.spatial[::-1]), partial.wholes[::-1])
    if len(partial.key) and partial.key[0] < best.limit:
        _order(bounds, nests.take(np.arange(min(batch, len(partial.key)))), best, True)
    i = 0
    while i < len(partial.key) and partial.key[i] < best.limit:
        which = np.arange(i, min(i + batch, len(partial.key)))
        _order(bounds, nests.take(which[partial.key[which] < best.limit]), best, False)
        i += batch
        batch = min(2 * batch, 256)


def _order(bounds: Bounds, nests: Nests, best: Best, greedy: bool) -> None:
    """The best orders of a batch of complete chains, decided from the outermost memory inward.

    Greedy: only the best order so far of each chain goes on.
    """
    problem = bounds.problem
    exact = Exact(bounds, nests)
    number = len(nests.tiles[0])
    inside = []
    for level in range(1, problem.levels + 1):
        at = Rows(level, nests.tiles[level], nests.spatial[level], nests.whole[level])
        inside.append(bounds.edge(at, nests.tiles[level - 1]) - bounds.fixed(at))
    rest = np.cumsum(np.stack(inside)[::-1], axis=0)[::-1]
    rows, spent = np.arange(number), problem.compute_pj + exact.any_order()
    chosen: tuple[Numbers, ...] = ()
    for level in range(1, problem.levels + 1):
        if level < problem.levels:
            one, order = exact.classes(level - 1, rows)
            rows, spent, chosen = rows[one], spent[one], (*(c[one] for c in chosen), order)
        spent = spent + exact.level(level, rows, chosen)
        best.candidates += len(rows)
        ahead = rest[level][rows] if level < problem.levels else 0.0
        good = np.flatnonzero(spent + ahead < best.limit)
        if greedy:
            good = good[np.lexsort((spent[good], rows[good]))]
            good = good[np.diff(rows[good], prepend=-1) > 0]
        rows, spent, chosen = rows[good], spent[good], tuple(c[good] for c in chosen)
        if not len(rows):
            return
    first = int(np.argmin(spent))
    best.energy_pj = float(spent[first])
    best.nest = nests.take(rows[first : first + 1])
    best.orders = tuple(tuple(int(i) for i in c[first]) for c in chosen)
