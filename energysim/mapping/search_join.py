"""The join: tiles of all levels are put together from the compute unit outward, best lower bound first.

What is still open above a tile is bounded from below by a table over all tiles (`_Ahead`), built from the outermost
memory inward: own cost plus the least cost ahead of any multiple of the tile. So the key of a partial chain is
admissible, and whatever is dropped at a key no better than the best mapping in hand needs no second look.
"""

from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from energysim.mapping.search_bounds import Bounds
from energysim.mapping.search_orders import Exact, Nests
from energysim.mapping.search_space import Numbers, chains, chains_of
from energysim.mapping.search_touch import Rows

TOLERANCE = 1e-12
"""Relative difference below which two energies count as equal."""


@dataclass(frozen=True)
class Limits:
    """How much work a search may do before it gives up on proving its result.

    `table`: pairs of a tile and spatial factors at one level; `looks`: trials whether one tile divides another;
    `pairs`: such multiples whose cost is worked out; `partial`: chains that go on to the next level; `nests`: complete
    chains whose loop orders are tried.
    """

    table: int = 80_000
    looks: int = 3_000_000
    pairs: int = 30_000
    partial: int = 4_000
    nests: int = 3_000


@dataclass
class Best:
    """The best mapping in hand, and the least bound of anything dropped unseen.

    `nodes` counts partial chains whose bound was computed; `until`: the `perf_counter` time to stop at.
    """

    energy_pj: float = np.inf
    nest: Nests | None = None
    orders: tuple[tuple[int, ...], ...] = ()
    open_pj: float = np.inf
    candidates: int = 0
    nodes: int = 0
    until: float = np.inf
    cut_short: bool = False

    def late(self, keys: Numbers) -> bool:
        """Whether time is over and there is a mapping to return; then `keys` stay open."""
        if self.nest is None or perf_counter() < self.until:
            return False
        self.cut_short = True
        self.open_pj = min(self.open_pj, float(keys.min(initial=np.inf)))
        return True

    @property
    def limit(self) -> float:
        """Keys at or above this cannot win."""
        return self.energy_pj * (1.0 - TOLERANCE)


@dataclass(frozen=True)
class Level:
    """All tiles of a level with all spatial factors above them, sorted by tile, and what lies ahead of them.

    `key` (kinds, rows) bounds the rows' own boundaries and `ahead`, which is the least cost of anything further out,
    for every tile; `to_go` (kinds, tiles) is the least key of a tile by kind of the innermost loop above it. `left_pj`
    is the least bound of tiles that a table too large had to leave out, `own_pj` that of any tile without what is
    ahead.
    """

    rows: Rows
    key: Numbers
    start: Numbers
    ahead: Numbers
    to_go: Numbers
    left_pj: float
    own_pj: float


def levels(bounds: Bounds, most: int) -> list[Level]:
    """One table for each level from 1, each of at most about `most` pairs of tile and spatial factors."""
    problem = bounds.problem
    lattice = problem.lattice
    found: list[Level] = []
    ahead = np.zeros(lattice.size)
    for level in range(1, problem.levels + 1):
        rows, left = _rows(bounds, level, ahead, most)
        rows = rows.take(np.argsort(rows.tile, kind="stable"))
        own = bounds.open_edge(rows)
        key = own + ahead[rows.whole]
        start = np.searchsorted(rows.tile, np.arange(lattice.size + 1))
        to_go = np.full((len(bounds.kinds), lattice.size), np.inf)
        filled = np.flatnonzero(np.diff(start))
        if len(filled):
            to_go[:, filled] = np.minimum.reduceat(key, start[filled], axis=1)
        found.append(Level(rows, key, start, ahead, to_go, left, float(own.min(initial=np.inf))))
        ahead = lattice.least_over_multiples(to_go.min(axis=0))
    return found


def _rows(bounds: Bounds, level: int, ahead: Numbers, most: int) -> tuple[Rows, float]:
    """Tiles of a level with spatial factors; when there are too many, those of the tiles with the best bounds."""
    problem = bounds.problem
    lattice = problem.lattice
    fits = problem.fits[level] if level < problem.levels else np.arange(lattice.size) == 0
    spreads = problem.spreads[level]
    tiles = np.flatnonzero(fits)
    many = np.ones(len(tiles))
    for spread in spreads:
        many *= lattice.divisors_in(spread)[lattice.size - 1 - tiles]
    if many.sum() <= most:
        return Rows(level, *chains(lattice, fits, spreads, problem.allowed(level))), np.inf
    alone = Rows(level, tiles, tuple(np.zeros(len(tiles), dtype=np.int64) for _ in spreads), tiles)
    least = bounds.open_edge(alone, apart=True).min(axis=0) + ahead[tiles]
    order = np.argsort(bounds.guess(alone) + ahead[tiles], kind="stable")
    number = max(1, int(np.searchsorted(many[order].cumsum(), most, side="right")))
    rows = chains_of(lattice, np.sort(tiles[order[:number]]), spreads, problem.allowed(level))
    return Rows(level, *rows), float(least[order[number:]].min(initial=np.inf))


@dataclass(frozen=True)
class Partial:
    """Partial chains: `tiles`, `spatial` and their products `wholes` from the inside outward.

    `sunk` (kinds, rows) bounds what is decided, by kind of the next loop outward; `key` (rows) the whole chain.
    """

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
            self.sunk[:, which],
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
    for level, left in enumerate(tables):
        inside = sum(inner.own_pj for inner in tables[level + 1 :])
        best.open_pj = min(best.open_pj, left.left_pj + inside + constant)
    partial = Partial(
        np.full(table.key.shape, constant) + bounds.fixed(table.rows),
        table.key.min(axis=0) + constant,
        (table.rows.tile,),
        (table.rows.spatial,),
        (table.rows.whole,),
    )
    alone = replace(partial, spatial=())
    partial = partial.take(np.flatnonzero(~_mirrored(bounds, alone, table.rows.spatial)))
    for level in range(problem.levels, 0, -1):
        best.nodes += len(partial.key)
        if best.late(partial.key):
            return
        partial = _cut(partial, best, limits.partial)
        partial = _outward(bounds, tables, level, partial, best, limits=limits)
        if level > 1:
            partial = _spread(bounds, tables[level - 2], partial, best, limits)
    best.nodes += len(partial.key)
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
    bounds: Bounds, tables: list[Level], level: int, partial: Partial, best: Best, *, limits: Limits
) -> Partial:
    """Adds the temporal loops of the memory outside `level`: every tile of it that is a multiple and can still win."""
    lattice = bounds.problem.lattice
    ahead = tables[level - 1].ahead
    if level > 1:
        to_go = tables[level - 2].to_go
    else:
        to_go = np.where(np.arange(lattice.size) == lattice.size - 1, 0.0, np.inf)[None, :]
    least = to_go.min(axis=0)
    inner = partial.key - ahead[partial.whole]
    rows = np.flatnonzero(partial.key < best.limit)
    one, other = _pairs(bounds, inner[rows], partial.whole[rows], least, best=best, limits=limits)
    one = rows[one]
    found = partial.take(one)
    still = _still(bounds, found, level, other)
    if bounds.problem.mirror is not None:
        # a table too large may have left the mirror image out: then this one must go on
        seen = np.isfinite(least[bounds.problem.mirror[other]])
        still &= ~(seen & _mirrored(bounds, found, (other,)))
    one, other = one[still], other[still]
    now = Rows(level, partial.tiles[-1], partial.spatial[-1], partial.whole)
    if len(one) > limits.pairs:
        chosen = _nearest(bounds, now, partial.sunk, (one, other), least, best=best, most=limits.pairs)
        one, other = one[chosen], other[chosen]
    found, now = partial.take(one), now.take(one)
    sunk = (found.sunk[:, None, :] + bounds.edge(now, other)).min(axis=0)
    return Partial(
        sunk, (sunk + to_go[:, other]).min(axis=0), (*found.tiles, other), found.spatial, (*found.wholes, other)
    )


def _mirrored(bounds: Bounds, partial: Partial, chosen: tuple[Numbers, ...]) -> Numbers:
    """Whether a choice next to a partial chain is the mirror image of another one that goes on (bool per row)."""
    later = np.zeros(len(partial.key), dtype=bool)
    mirror = bounds.problem.mirror
    if mirror is None:
        return later
    alike = np.ones(len(partial.key), dtype=bool)
    for tiles in (*partial.tiles, *(s for gap in partial.spatial for s in gap)):
        alike &= mirror[tiles] == tiles
    for tiles in chosen:
        later |= alike & (mirror[tiles] < tiles)
        alike &= mirror[tiles] == tiles
    return later


def _still(bounds: Bounds, partial: Partial, level: int, outer: Numbers) -> Numbers:
    """Whether the loops between `level` and the tiles outside it leave a stationary tensor in place (bool per row)."""
    good: Numbers = np.ones(len(outer), dtype=bool)
    problem = bounds.problem
    if problem.stationary is None or level > problem.stationary[1]:
        return good
    touch = bounds.touches[problem.stationary[0].name]
    good = touch.reuse[outer] == touch.reuse[partial.whole]
    moved = np.zeros(len(outer), dtype=bool)
    for inner in range(problem.stationary[1], level, -1):
        place = problem.levels - inner
        moved |= touch.relevant[partial.tiles[place + 1]] > touch.relevant[partial.wholes[place]]
    good = good | ~moved
    if problem.fan_out(range(1, level)) == 1:
        now = touch.relevant[outer] > touch.relevant[partial.whole]
        good = good & (~(moved | now) | (touch.reuse[outer] == touch.reuse[-1]))
    return good


def _pairs(
    bounds: Bounds, inner: Numbers, whole: Numbers, least: Numbers, *, best: Best, limits: Limits
) -> tuple[Numbers, Numbers]:
    """Pairs (row, tile outside it) that can still win: the tile is a multiple, and both bounds together are low enough.

    Rows with the same product of tile and spatial factors share the search for multiples; best rows first.
    """
    nothing = np.zeros(0, dtype=np.int64)
    if not len(inner):
        return nothing, nothing
    lattice = bounds.problem.lattice
    tiles, which = np.unique(whole, return_inverse=True)
    which = which.reshape(-1)
    lowest = np.full(len(tiles), np.inf)
    np.minimum.at(lowest, which, inner)
    order = np.argsort(lowest, kind="stable")
    outer = np.flatnonzero(least < best.limit - inner.min())
    outer = outer[np.argsort(least[outer], kind="stable")]
    reach = np.searchsorted(least[outer], best.limit - lowest[order], side="left")
    many = int(np.searchsorted(np.cumsum(reach), limits.looks, side="right"))
    if many < len(order):
        many = max(1, many)
        best.open_pj = min(best.open_pj, float((lowest[order[many:]] + least[outer[0]]).min(initial=np.inf)))
    found_tile, found_outer = [nothing], [nothing]
    step = max(1, 200_000 // max(1, len(outer)))
    for i in range(0, many, step):
        here = order[i : min(i + step, many)]
        width = int(reach[i : i + len(here)].max(initial=0))
        good = lattice.multiples(tiles[here][:, None], outer[:width][None, :])
        good &= lowest[here][:, None] + least[outer[:width]][None, :] < best.limit
        tile, other = np.nonzero(good)
        found_tile.append(here[tile])
        found_outer.append(outer[other])
    tile, other = np.concatenate(found_tile), np.concatenate(found_outer)
    back = np.argsort(tile, kind="stable")
    tile, other = tile[back], other[back]
    start = np.searchsorted(tile, np.arange(len(tiles) + 1))
    counts = (start[1:] - start[:-1])[which]
    one = np.repeat(np.arange(len(which)), counts)
    place = start[which][one] + np.arange(len(one)) - np.repeat(np.cumsum(counts) - counts, counts)
    other = other[place]
    good = inner[one] + least[other] < best.limit
    return one[good], other[good]


def _nearest(
    bounds: Bounds, now: Rows, sunk: Numbers, pairs: tuple[Numbers, Numbers], least: Numbers, *, best: Best, most: int
) -> Numbers:
    """At most about `most` of the pairs (row, tile outside it), those with the least bounds."""
    one, other = pairs
    inner = sunk + bounds.open_edge(now) - bounds.fixed(now)
    key = np.full(len(one), np.inf)
    extra = bounds.beyond(now, one, other)
    for k in range(len(inner)):
        key = np.minimum(key, inner[k][one] + extra[k])
    key += least[other]
    good = np.flatnonzero(key < best.limit)
    if len(good) > most:
        # the best of all, and the best few of every row: bounds of different rows are not equally loose
        good = good[np.argsort(key[good], kind="stable")]
        row = one[good]
        by_row = np.argsort(row, kind="stable")
        start = np.flatnonzero(np.diff(row[by_row], prepend=-1))
        rank = np.empty(len(good), dtype=np.int64)
        rank[by_row] = np.arange(len(good)) - np.repeat(start, np.diff([*start, len(good)]))
        kept = (np.arange(len(good)) < most // 2) | (rank < max(1, most // (2 * len(start))))
        best.open_pj = min(best.open_pj, float(key[good[~kept]].min(initial=np.inf)))
        good = np.sort(good[kept])
    return good


def _spread(bounds: Bounds, table: Level, partial: Partial, best: Best, limits: Limits) -> Partial:
    """Adds the spatial factors of the arrays outside a memory."""
    partial = _cut(partial, best, limits.partial)
    tile = partial.whole
    counts = table.start[tile + 1] - table.start[tile]
    if counts.sum() > limits.looks:
        rows = max(1, int(np.searchsorted(np.cumsum(counts), limits.looks, side="right")))
        best.open_pj = min(best.open_pj, float(partial.key[rows:].min(initial=np.inf)))
        partial, tile, counts = partial.take(np.arange(rows)), tile[:rows], counts[:rows]
    one = np.repeat(np.arange(len(tile)), counts)
    offset = np.arange(len(one)) - np.repeat(np.cumsum(counts) - counts, counts)
    row = table.start[tile][one] + offset
    key = (partial.sunk[:, one] + table.key[:, row]).min(axis=0)
    kept = np.flatnonzero(key < best.limit)
    key, one, row = key[kept], one[kept], row[kept]
    found, now = partial.take(one), table.rows.take(row)
    kept = np.flatnonzero(~_mirrored(bounds, found, now.spatial))
    key, found, now = key[kept], found.take(kept), now.take(kept)
    return Partial(
        found.sunk + bounds.fixed(now),
        key,
        found.tiles,
        (*found.spatial, now.spatial),
        (*found.wholes[:-1], now.whole),
    )


def _finish(bounds: Bounds, partial: Partial, best: Best, batch: int = 32) -> None:
    """Complete chains: the exact cost of all orders that can still win, best bound first."""
    nests = Nests(partial.tiles[::-1], ((), *partial.spatial[::-1]), partial.wholes[::-1])
    if len(partial.key) and partial.key[0] < best.limit:
        _order(bounds, nests.take(np.arange(min(batch, len(partial.key)))), best, True)
    i = 0
    while i < len(partial.key) and partial.key[i] < best.limit:
        if best.late(partial.key[i:]):
            return
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
    for level in range(1, problem.levels):
        at = Rows(level, nests.tiles[level], nests.spatial[level], nests.whole[level])
        inside.append(bounds.edge(at, nests.tiles[level - 1]).min(axis=(0, 1)))
    rest = np.cumsum(np.stack(inside)[::-1], axis=0)[::-1] if inside else np.zeros((0, number))
    rows, spent = np.arange(number), problem.compute_pj + exact.any_order()
    chosen: tuple[Numbers, ...] = ()
    for level in range(1, problem.levels):
        one, order = exact.classes(level - 1, rows)
        rows, spent, chosen = rows[one], spent[one], (*(c[one] for c in chosen), order)
        spent = spent + exact.level(level, rows, chosen)
        best.candidates += len(rows)
        ahead = rest[level][rows] if level < problem.levels - 1 else 0.0
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
