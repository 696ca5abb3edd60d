"""Lower bounds on the energy of part of a mapping, for whole arrays of tiles at once.

Every time step moves on at one loop. Only tensors that the innermost loop does not touch can stay where they are; all
others are fetched again. So a bound is a minimum over cases: which kind of dim (by the tensors it does not touch) the
innermost loop above a memory belongs to.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from energysim.mapping.search_problem import Boundary, Problem
from energysim.mapping.search_space import Numbers, primes
from energysim.mapping.search_touch import Rows, Touch, Words


@dataclass(frozen=True)
class Bounds:
    """Bounds of one problem; see `edge`."""

    problem: Problem

    @cached_property
    def kinds(self) -> tuple[tuple[frozenset[str], frozenset[str]], ...]:
        """Pairs (tensors that stay, dims that let exactly these stay), for dims larger than one."""
        kinds: dict[frozenset[str], set[str]] = {}
        for d in self.problem.lattice.dims:
            stays = frozenset(t.name for t in self.problem.layer.tensors if d not in t.dims)
            kinds.setdefault(stays, set()).add(d)
        return tuple((stays, frozenset(dims)) for stays, dims in sorted(kinds.items(), key=lambda k: sorted(k[0])))

    @cached_property
    def touches(self) -> dict[str, Touch]:
        """How each tensor is touched, by name."""
        return {tensor.name: Touch(self.problem, tensor) for tensor in self.problem.layer.tensors}

    @cached_property
    def every(self) -> Numbers:
        """Points of every tile."""
        return self.problem.lattice.product(frozenset(self.problem.lattice.dims))

    def products(self, dims: frozenset[str]) -> Numbers:
        """Product of some dims for every tile, remembered."""
        if dims not in self._products:
            self._products[dims] = self.problem.lattice.product(dims)
        return self._products[dims]

    @cached_property
    def _products(self) -> dict[frozenset[str], Numbers]:
        return {}

    def edge(self, rows: Rows, outer: Numbers | None = None) -> Numbers:
        """Least pJ of all boundaries whose child is the rows' level (float64 per row).

        `outer`: the tiles of the next memory outside (its loops are then known), None when they are still open.
        """
        problem = self.problem
        boundaries = [b for b in problem.boundaries if b.child == rows.level]
        fixed = self.fixed(rows)
        if not boundaries:
            return fixed
        words = [self.touches[b.tensor.name].words(rows) for b in boundaries]
        known = outer if outer is not None else np.full(1, problem.lattice.size - 1, dtype=np.int64)
        best = np.full(len(rows.tile), np.inf)
        for stays, dims in self.kinds if rows.level < problem.levels else ():
            possible = self._possible(rows, known, dims)
            if possible.any():
                pairs = zip(boundaries, words, strict=True)
                total = sum(self._boundary(b, rows, known, w, dims, b.tensor.name in stays) for b, w in pairs)
                best = np.where(possible, np.minimum(best, total), best)
        rest = ~np.isfinite(best)
        if rest.any():
            pairs = zip(boundaries, words, strict=True)
            total = sum(self._boundary(b, rows, known, w, frozenset(), False) for b, w in pairs)
            best = np.where(rest, total, best)
        return best + fixed

    def _possible(self, rows: Rows, known: Numbers, dims: frozenset[str]) -> Numbers:
        """Whether the innermost loop above the rows can be over one of some dims."""
        product = self.products(dims)
        moving = self.every[known] > self.every[rows.whole]
        return np.where(moving, product[known], product[-1]) > product[rows.whole]

    def _boundary(
        self, b: Boundary, rows: Rows, known: Numbers, words: Words, dims: frozenset[str], stays: bool
    ) -> Numbers:
        """Least pJ of one boundary when the innermost loop is over one of `dims`, or nothing is known of it (none)."""
        touch, problem = self.touches[b.tensor.name], self.problem
        visits = self.every[-1] / self.every[rows.whole]
        if stays:
            through = touch.relevant[known] == touch.relevant[rows.whole]
            run = np.where(through, touch.reuse[-1], touch.reuse[known]) / touch.reuse[rows.whole]
            visits = visits / run
        arrived = []
        for j, total in enumerate(words.total):
            share = self._new(touch, rows, known, words, None if stays else dims, j)
            arrived.append(total * (visits * share + (1.0 - share)))
        cost = b.into * arrived[-1] if b.into else 0.0
        price = dict(b.crossing)
        for n, array in enumerate(problem.gaps[rows.level]):
            if price[array.name]:
                cost = cost + price[array.name] * arrived[n + 1]
        return cost + b.up * arrived[0] / self._most(touch, rows, range(b.parent + 1, rows.level))

    def _new(
        self, touch: Touch, rows: Rows, known: Numbers, words: Words, dims: frozenset[str] | None, j: int
    ) -> Numbers:
        """The least share of a tile that is new at each step when the innermost loop is over one of `dims` (any: None).

        When the innermost loop slides along d, every step outside it returns d to its start, so d moves at every step;
        only its partner in the same window, if it moves too, can make up for that outside the innermost loop.
        """
        share = np.ones(1)
        for d in sorted(words.new) if dims is None else sorted(dims & words.new.keys()):
            own = self.products(frozenset(d))
            open_ = self._possible(rows, known, frozenset(d)) if dims is not None else own[-1] > own[rows.whole]
            least = words.new[d][j]
            partner = touch.partners.get(d)
            if partner is not None:
                other = self.products(frozenset(partner))
                both = other[-1] > other[rows.whole]
                inside = own[known] / own[rows.whole]
                bound = np.where(inside > 1, inside, self.least_prime(d)[rows.whole])
                if dims is None or known.size == 1:
                    bound = self.least_prime(d)[rows.whole]
                least = least * np.where(both, 1.0 - 1.0 / bound, 1.0)
            share = np.where(open_, np.minimum(share, least), share)
        return share

    def least_prime(self, dim: str) -> Numbers:
        """For every tile the least prime in what is left of a dim outside it (infinite when nothing is)."""
        if dim not in self._primes:
            lattice = self.problem.lattice
            axis = lattice.dims.index(dim)
            values = lattice.values[axis]
            least = np.array([min(primes(int(x)), default=0) or np.inf for x in values[-1] // values])
            grid = np.broadcast_to(lattice.spread(least, (axis,)), lattice.shape)
            self._primes[dim] = grid.reshape(-1)
        return self._primes[dim]

    @cached_property
    def _primes(self) -> dict[str, Numbers]:
        return {}

    def _most(self, touch: Touch, rows: Rows, gaps: range) -> Numbers:
        """The most instances of outer gaps that one word can serve."""
        fan_out = self.problem.fan_out(gaps)
        if fan_out == 1:
            return np.ones(1)
        left = self.products(frozenset(self.problem.lattice.dims) - touch.tensor.dims | touch.window_dims)
        return np.minimum(float(fan_out), left[-1] / left[rows.whole])

    def fixed(self, rows: Rows) -> Numbers:
        """First visits of outputs at the memory just inside these arrays, and idle power where this gap decides it."""
        problem, total = self.problem, np.zeros(len(rows.tile))
        for b in problem.boundaries:
            if b.parent == rows.level and b.last:
                touch = self.touches[b.tensor.name]
                repeats = self.products(frozenset(problem.lattice.dims) - touch.tensor.dims | touch.window_dims)
                here = repeats[rows.whole] / repeats[rows.tile]
                outward = self._most(touch, rows, range(1, rows.level))
                total += b.first * touch.elements[-1] * here * (outward if b.first < 0 else 1.0)
                total += sum(min(x, 0.0) for x in b.last) * touch.elements[-1]
        inner = max((c for c in range(1, problem.levels + 1) if problem.gaps[c]), default=problem.levels)
        if problem.idle_pj_per_step and rows.level == inner:
            used = self.every[rows.whole] / self.every[rows.tile] * problem.fan_out(range(1, rows.level))
            total += problem.idle_pj_per_step * self.every[-1] / used
        return total

    @cached_property
    def constant_pj(self) -> float:
        """What no mapping changes: the operations, and the first visits at the outermost memory."""
        total = self.problem.compute_pj
        for b in self.problem.boundaries:
            if b.parent == 0:
                total += (b.first + sum(min(x, 0.0) for x in b.last)) * float(self.touches[b.tensor.name].elements[-1])
        return total
