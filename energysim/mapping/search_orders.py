"""Loop orders: which orders of one memory's loops differ at all, and the exact cost of ordered nests of even tiles."""

from dataclasses import dataclass
from functools import cache, cached_property
from itertools import permutations

import numpy as np

from energysim.hardware.accelerator import Array
from energysim.mapping.search_bounds import Bounds
from energysim.mapping.search_problem import Boundary
from energysim.mapping.search_space import Numbers
from energysim.workload.layer import Rank

Place = tuple[int, int]
"""An array by its gap and its number in the gap."""

Signature = tuple[tuple[tuple[str, ...], bool], ...]


@cache
def orders(
    dims: tuple[str, ...], tensors: tuple[tuple[frozenset[str], frozenset[str]], ...]
) -> tuple[tuple[str, ...], ...]:
    """Orders (outermost first) of some dims of which none is as good as another for every tensor.

    `tensors`: for each one the dims that touch it plainly, and those along which it slides. A tensor without windows
    only sees which innermost loops do not touch it. One with windows sees the sequence inside the innermost loop that
    replaces it wholly; a longer such sequence is at least as good, since then more loops can keep words.
    """
    outer = [d for d in dims if all(d in plain for plain, _ in tensors)]
    inner = [d for d in dims if d not in outer]
    best: dict[Signature, tuple[str, ...]] = {}
    for order in permutations(inner):
        best.setdefault(tuple(_seen(order, plain, slides) for plain, slides in tensors), (*outer, *order))
    kept = []
    for one, order in best.items():
        if not any(other != one and all(map(_as_good, other, one)) for other in best):
            kept.append(order)
    return tuple(kept)


def _seen(order: tuple[str, ...], plain: frozenset[str], slides: frozenset[str]) -> tuple[tuple[str, ...], bool]:
    inside: list[str] = []
    for dim in reversed(order):
        if dim in plain:
            break
        inside.append(dim)
    if slides:
        return tuple(inside), True
    return tuple(sorted(inside)), False


def _as_good(one: tuple[tuple[str, ...], bool], other: tuple[tuple[str, ...], bool]) -> bool:
    (mine, sequence), (theirs, _) = one, other
    return mine[: len(theirs)] == theirs if sequence else set(theirs) <= set(mine)


@dataclass(frozen=True)
class Nests:
    """Complete chains of tiles, per row: `tiles[c]` at level c, `spatial[c]` the factors of each array of gap c.

    `whole[c]` is the product of both: the tile just outside the arrays of gap c.
    """

    tiles: tuple[Numbers, ...]
    spatial: tuple[tuple[Numbers, ...], ...]
    whole: tuple[Numbers, ...]

    def take(self, which: Numbers) -> "Nests":
        """Some of the rows."""
        return Nests(
            tuple(t[which] for t in self.tiles),
            tuple(tuple(s[which] for s in gap) for gap in self.spatial),
            tuple(w[which] for w in self.whole),
        )


class Exact:
    """Exact energy of nests whose tiles divide each other; rows of `nests`, orders by number of `orders`."""

    def __init__(self, bounds: Bounds, nests: Nests):
        self.bounds, self.problem, self.nests = bounds, bounds.problem, nests
        lattice = self.problem.lattice
        self.tiles = [lattice.tiles(t) for t in nests.tiles]
        self.factors = [[lattice.tiles(s) for s in gap] for gap in nests.spatial]
        self.inside = [lattice.tiles(w) for w in nests.whole[1:]]
        self.loops = [self.tiles[c] // self.inside[c] for c in range(self.problem.levels)]

    @cached_property
    def _dims_seen(self) -> list[tuple[frozenset[str], frozenset[str]]]:
        return [(t.tensor.dims - t.window_dims, t.window_dims) for t in self.bounds.touches.values()]

    def classes(self, level: int, rows: Numbers) -> tuple[Numbers, Numbers]:
        """Every row with every order of the loops of a memory that can matter: row positions, and orders (dims)."""
        dims = self.problem.lattice.dims
        active = self.loops[level][rows] > 1
        code = active @ (1 << np.arange(len(dims), dtype=np.int64))
        who, what = [], []
        for mask in np.unique(code).tolist():
            here = np.flatnonzero(code == mask)
            found = self._orders(tuple(d for i, d in enumerate(dims) if mask >> i & 1), level)
            who.append(np.repeat(here, len(found)))
            what.append(np.tile(found, (len(here), 1)))
        one = np.concatenate(who)
        back = np.argsort(one, kind="stable")
        return one[back], np.concatenate(what)[back]

    def _orders(self, active: tuple[str, ...], level: int) -> Numbers:
        """Orders of the active dims as dim numbers, all other dims outermost; a stationary tensor stays all it can."""
        dims = self.problem.lattice.dims
        chosen = frozenset(active)
        seen = tuple((plain & chosen, slides & chosen) for plain, slides in self._dims_seen)
        rest = [i for i, d in enumerate(dims) if d not in chosen]
        found = [rest + [dims.index(d) for d in order] for order in orders(active, seen)]
        still = self.problem.stationary
        if still is not None and level < still[1]:
            free = {i for i, d in enumerate(dims) if d in chosen - still[0].dims}
            found = [order for order in found if set(order[len(order) - len(free) :]) == free]
        return np.array(found, dtype=np.int64).reshape(len(found), len(dims))

    def level(self, child: int, rows: Numbers, chosen: tuple[Numbers, ...]) -> Numbers:
        """pJ of all boundaries with this child, for rows of nests with the orders chosen for levels 0..child - 1."""
        total = np.zeros(len(rows))
        for b in self.problem.boundaries:
            if b.child == child:
                total += self.boundary(b, rows, chosen)
        return total

    def boundary(self, b: Boundary, rows: Numbers, chosen: tuple[Numbers, ...]) -> Numbers:
        """pJ of one boundary, first visits and finished outputs apart."""
        touch = self.bounds.touches[b.tensor.name]
        above, crossed = self._arrays(b)
        if b.child == self.problem.levels:
            steps, kept = self._steps(rows, b.child), None
        else:
            places, bounds, strides = self._time(b.child, rows, chosen)
            before = np.cumprod(bounds, axis=1)
            steps = before[:, -1].astype(float)
            plain = np.array([d in touch.tensor.dims - touch.window_dims for d in self.problem.lattice.dims])
            stops = plain[places] & (bounds > 1)
            still = ~np.maximum.accumulate(stops[:, ::-1], axis=1)[:, ::-1]
            times = np.where(still, (bounds - 1) * (before // bounds), 0)
            moved = [self._displaced(rank, places, bounds, strides) for rank in self._window_ranks(b)]
            kept = (times, moved)
        cost = np.zeros(len(rows))
        for j in range(len(crossed) + 1):
            price = b.up if j == 0 else dict(b.crossing)[self._array(crossed[j - 1]).name]
            price += b.into if j == len(crossed) else 0.0
            if price:
                cost += price * self._arrivals(b, rows, [*above, *crossed[:j]], crossed[j:], steps, kept=kept)
        return cost

    def _window_ranks(self, b: Boundary) -> list[Rank]:
        dims = self.bounds.touches[b.tensor.name].window_dims
        return [rank for rank in b.tensor.ranks if dims & set(rank.dims)]

    def _array(self, place: Place) -> Array:
        return self.problem.gaps[place[0]][place[1]]

    def any_order(self) -> Numbers:
        """pJ that do not depend on any order: of the compute units, first visits, finished outputs, idle power."""
        rows = np.arange(len(self.nests.tiles[0]))
        total = self.level(self.problem.levels, rows, ())
        if self.problem.idle_pj_per_step:
            total += self.problem.idle_pj_per_step * self._steps(rows, self.problem.levels)
        for b in self.problem.boundaries:
            if b.last:
                total += self._outputs(b, rows)
        return total

    def _arrays(self, b: Boundary) -> tuple[list[Place], list[Place]]:
        """Arrays outside the parent of a boundary, and those it crosses; outer to inner."""
        gaps = self.problem.gaps
        places = [(c, n) for c in range(1, b.child + 1) for n in range(len(gaps[c]))]
        return [p for p in places if p[0] <= b.parent], [p for p in places if p[0] > b.parent]

    def _outputs(self, b: Boundary, rows: Numbers) -> Numbers:
        """First visits, which read nothing, and finished outputs, in pJ."""
        above, crossed = self._arrays(b)
        pairs, done = self._visits(b, rows, above)
        cost = b.first * pairs
        for j, price in enumerate(b.last):
            if price:
                _, done = self._visits(b, rows, [*above, *crossed[:j]])
                cost = cost + price * done
        return cost

    def _visits(self, b: Boundary, rows: Numbers, outside: list[Place]) -> tuple[Numbers, Numbers]:
        """Pairs of instance of some arrays and output touched, and outputs that one such instance does alone."""
        touch = self.bounds.touches[b.tensor.name]
        sums = [i for i, d in enumerate(self.problem.lattice.dims) if d not in b.tensor.dims]
        copies = np.ones(len(rows))
        for c, n in outside:
            copies = copies * self.factors[c][n][rows][:, sums].prod(axis=1)
        pairs = copies * float(touch.elements[-1])
        done = (copies == 1) * float(touch.elements[-1])
        for rank in self._window_ranks(b):
            found = np.array([_worked(self._loops(rank, row, outside)) for row in rows.tolist()], dtype=float)
            everything = rank.touched(self.problem.layer.dims)
            pairs, done = pairs * found[:, 0] / everything, done * found[:, 1] / everything
        return pairs, done

    def _loops(self, rank: Rank, row: int, outside: list[Place]) -> tuple[tuple[int, int, bool], ...]:
        """All loops of a rank's dims as (bound, step in the rank, whether its instances count apart)."""
        dims, found = self.problem.lattice.dims, []
        for d, u in rank.terms:
            if d not in dims:
                continue
            i = dims.index(d)
            for c in range(self.problem.levels + 1):
                stride = int(self.tiles[c][row, i])
                for n in reversed(range(len(self.factors[c]))):
                    bound = int(self.factors[c][n][row, i])
                    found.append((bound, u * stride, (c, n) in outside))
                    stride *= bound
                if c < self.problem.levels:
                    found.append((int(self.loops[c][row, i]), u * int(self.inside[c][row, i]), False))
        return tuple(sorted(loop for loop in found if loop[0] > 1))

    def _time(self, child: int, rows: Numbers, chosen: tuple[Numbers, ...]) -> tuple[Numbers, Numbers, Numbers]:
        """Temporal loops outside a level, outermost first: dim numbers, bounds and strides, each (rows, loops)."""
        bounds = [np.take_along_axis(self.loops[c][rows], chosen[c], 1) for c in range(child)]
        strides = [np.take_along_axis(self.inside[c][rows], chosen[c], 1) for c in range(child)]
        return np.concatenate(chosen[:child], 1), np.concatenate(bounds, 1), np.concatenate(strides, 1)

    def _displaced(self, rank: Rank, places: Numbers, bounds: Numbers, strides: Numbers) -> Numbers:
        """How far the tile moves in a rank when each loop advances and those inside it return (rows, loops)."""
        by_dim = dict(rank.terms)
        steps = np.array([by_dim.get(d, 0) for d in self.problem.lattice.dims], dtype=np.int64)[places] * strides
        back = steps * (bounds - 1)
        inside = np.cumsum(back[:, ::-1], axis=1)[:, ::-1] - back
        moved: Numbers = np.abs(steps - inside)
        return moved

    def _arrivals(
        self,
        b: Boundary,
        rows: Numbers,
        outside: list[Place],
        within: list[Place],
        steps: Numbers,
        *,
        kept: tuple[Numbers, list[Numbers]] | None,
    ) -> Numbers:
        """Words taken up when instances of arrays `within` share, and those of `outside` each take their own.

        `kept`: how often each loop advances with words kept, and the displacement in each window rank then.
        """
        touch, lattice = self.bounds.touches[b.tensor.name], self.problem.lattice
        sharing = [p for p in within if touch.shares(self._array(p))]
        words = touch.plain[self.nests.tiles[b.child][rows]]
        for c, n in [*outside, *within]:
            place = self.nests.spatial[c][n][rows]
            words = words * (touch.plain if (c, n) in sharing else touch.every)[place]
        tile = self.tiles[b.child]
        need, stay = np.ones(len(rows)), np.ones(1)
        for r, rank in enumerate(self._window_ranks(b)):
            columns = []
            for d, u in rank.terms:
                if d in lattice.dims:
                    i = lattice.dims.index(d)
                    columns.append((u, tile[rows, i], self._sharing_loops(rows, sharing, i, b.tensor.role)))
            union, keep = _rank_sums(columns, kept[1][r] if kept else None)
            need, stay = need * union, stay * keep
        if kept is None:
            return words * need * steps
        if not touch.window_dims:
            stay = np.ones(1)
        arrived: Numbers = words * (need * steps - (kept[0] * stay).sum(axis=1))
        return arrived

    def _steps(self, rows: Numbers, child: int) -> Numbers:
        steps = np.ones(len(rows))
        for c in range(child):
            steps = steps * self.loops[c][rows].prod(axis=1)
        return steps

    def _sharing_loops(
        self, rows: Numbers, sharing: list[Place], axis: int, role: str
    ) -> list[tuple[Numbers, Numbers, bool]]:
        """(bound, stride) of the spatial loops of one dim on arrays that share, per row."""
        found = []
        for c, n in sharing:
            stride = self.tiles[c][rows, axis]
            for m in range(n + 1, len(self.factors[c])):
                stride = stride * self.factors[c][m][rows, axis]
            found.append((self.factors[c][n][rows, axis], stride, role in self._array((c, n)).forwarding))
        return found


def _rank_sums(
    columns: list[tuple[int, Numbers, list[tuple[Numbers, Numbers, bool]]]], moved: Numbers | None
) -> tuple[Numbers, Numbers]:
    """Positions of a rank that all sharing instances need, and how many of them are kept at each displacement.

    `columns`: per dim its coefficient, tile sizes and (bound, stride) of spatial loops, all (rows,). Distinct rows are
    counted once each.
    """
    rows = len(columns[0][1])
    code = np.zeros(rows, dtype=np.int64)
    for _, tile, spread in columns:
        for column in [tile, *(x for loop in spread for x in loop[:2])]:
            values, which = np.unique(column, return_inverse=True)
            code = code * len(values) + which.reshape(-1)
    _, first, which = np.unique(code, return_index=True, return_inverse=True)
    which = which.reshape(-1)
    shapes = [
        tuple(
            (u, int(t[i]), tuple((int(x[i]), int(y[i]), passes) for x, y, passes in spread if x[i] > 1))
            for u, t, spread in columns
        )
        for i in first
    ]
    need = np.array([_positions(shape)[0] for shape in shapes], dtype=float)[which]
    if moved is None:
        return need, np.ones(1)
    reach = np.array([_positions(shape)[1] for shape in shapes], dtype=np.int64)
    top = int(reach.max()) + 1
    table = np.full((len(shapes), top + 1), -1.0)
    capped = np.minimum(moved, reach[which][:, None])
    cells = np.unique((which[:, None] * (top + 1) + capped).reshape(-1))
    for cell in cells.tolist():
        shape, by = divmod(cell, top + 1)
        table[shape, by] = _kept(shapes[shape], by)
    return need, table[which[:, None], capped]


Shape = tuple[tuple[int, int, tuple[tuple[int, int, bool], ...]], ...]


@cache
def _masks(shape: Shape) -> tuple[int, tuple[int, ...]]:
    """Positions of one instance, and of those that pass words on to it, as bits; and the offsets of all such groups."""
    tile, places, passed = 1, {0}, {0}
    for u, size, spread in shape:
        grown = 0
        for x in range(size):
            grown |= tile << (u * x)
        tile = grown
        for bound, stride, passes in spread:
            steps = [u * stride * x for x in range(bound)]
            if passes:
                passed = {p + step for p in passed for step in steps}
            else:
                places = {p + step for p in places for step in steps}
    return _union(tile, tuple(sorted(passed))), tuple(sorted(places))


def _union(tile: int, places: tuple[int, ...]) -> int:
    union = 0
    for place in places:
        union |= tile << place
    return union


@cache
def _worked(loops: tuple[tuple[int, int, bool], ...]) -> tuple[int, int]:
    """Pairs of instance and position of a rank, and positions that only one instance touches."""
    tile, places = 1, [0]
    for bound, step, apart in loops:
        if apart:
            places = [p + step * x for p in places for x in range(bound)]
        else:
            grown = 0
            for x in range(bound):
                grown |= tile << (step * x)
            tile = grown
    once = twice = 0
    for place in places:
        twice |= once & tile << place
        once |= tile << place
    return tile.bit_count() * len(places), (once & ~twice).bit_count()


@cache
def _positions(shape: Shape) -> tuple[int, int]:
    """Distinct positions of all instances, and the displacement from which nothing is kept."""
    tile, places = _masks(shape)
    union = _union(tile, places)
    return union.bit_count(), union.bit_length()


@cache
def _kept(shape: Shape, by: int) -> int:
    """Positions kept when every tile moves on by `by`: by all that need them, or by one that passes on."""
    tile, places = _masks(shape)
    union = _union(tile, places)
    return (union & ~_union(tile & ~(tile << by), places)).bit_count()
