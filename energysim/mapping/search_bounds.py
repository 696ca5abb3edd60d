"""Lower bounds on the energy of part of a mapping, for whole arrays of tiles at once.

Every time step moves on at one loop. Only tensors that the innermost loop does not touch can stay where they are; all
others are fetched again. So a bound is a minimum over cases: which kind of dim (by the tensors it does not touch) the
innermost loop above a memory belongs to.
"""

from dataclasses import dataclass, replace
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
        found = [(stays, frozenset(dims)) for stays, dims in kinds.items()]
        return tuple(sorted(found, key=lambda kind: sorted(kind[0]))) or ((frozenset(), frozenset()),)

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

    def open_edge(self, rows: Rows, apart: bool = False) -> Numbers:
        """Least pJ of the boundaries whose child is the rows' level, by kind of the innermost loop (kinds, rows).

        The loops outside are not known yet; infinite where no loop of the kind is left. `apart`: nor are the spatial
        factors; the rows come with factors of one, and the bound holds for any others.
        """
        problem = self.problem
        boundaries = [b for b in problem.boundaries if self.charged(b) == b.child == rows.level]
        words = [self.touches[b.tensor.name].words(rows) for b in boundaries]
        cost = np.zeros((len(self.kinds), len(rows.tile))) + self.fixed(rows, apart)
        visits = self.every[-1] / self.every[rows.whole]
        for b, w in zip(boundaries, words, strict=True):
            touch = self.touches[b.tensor.name]
            moves = None
            for k, (stays, dims) in enumerate(self.kinds):
                if rows.level == problem.levels:
                    cost[k] += self._cost(b, rows, w, visits, None, apart=apart)
                elif b.tensor.name in stays:
                    run = touch.reuse[-1] / touch.reuse[rows.whole]
                    shares = self._shares(touch, rows, None, w, None, apart=apart)
                    cost[k] += self._cost(b, rows, w, visits / run, shares, apart=apart)
                else:
                    if moves is None or dims & touch.window_dims:
                        shares = self._shares(touch, rows, None, w, dims, apart=apart)
                        now = self._cost(b, rows, w, visits, shares, apart=apart)
                        moves = None if dims & touch.window_dims else now
                    else:
                        now = moves
                    cost[k] += now
        if rows.level < problem.levels:
            done = self.every[rows.whole] == self.every[-1]
            for k, (_, dims) in enumerate(self.kinds):
                product = self.products(dims)
                cost[k][~(done | (product[-1] > product[rows.whole]))] = np.inf
        self._hold(cost, rows)
        return cost

    def _hold(self, cost: Numbers, rows: Rows) -> None:
        """Strikes out kinds of innermost loop that would move a stationary tensor while others could go on."""
        problem = self.problem
        if problem.stationary is None or rows.level != problem.stationary[1]:
            return
        touch = self.touches[problem.stationary[0].name]
        if problem.fan_out(range(1, rows.level)) == 1:
            waiting = touch.reuse[-1] > touch.reuse[rows.whole]
            for k, (stays, _) in enumerate(self.kinds):
                if problem.stationary[0].name not in stays:
                    cost[k][..., waiting] = np.inf

    def beyond(self, rows: Rows, which: Numbers, outer: Numbers) -> Numbers:
        """What `open_edge` misses once the tiles outside are known, by kind (kinds, pairs), at least.

        For pairs (row `which[i]`, tile `outer[i]`): a tensor that stays does so only over the loops inside that tile,
        unless none of these touch it.
        """
        extra = np.zeros((len(self.kinds), len(which)))
        if rows.level == self.problem.levels:
            return extra
        for k, (stays, _) in enumerate(self.kinds):
            for b in self.problem.boundaries:
                if b.child == rows.level and b.tensor.name in stays:
                    touch = self.touches[b.tensor.name]
                    words = touch.words(rows)
                    visits = self.every[-1] / self.every[rows.whole] * touch.reuse[rows.whole] / touch.reuse[-1]
                    shares = self._shares(touch, rows, None, words, None)
                    once = self._cost(b, rows, words, visits, shares) - self._cost(b, rows, words, 0.0 * visits, shares)
                    ends = touch.relevant[outer] > touch.relevant[rows.whole][which]
                    extra[k] += once[which] * (touch.reuse[-1] / touch.reuse[outer] - 1.0) * ends
        return extra

    def guess(self, rows: Rows) -> Numbers:
        """About what the boundaries above tiles with spatial factors of one cost once factors are well chosen, in pJ.

        Only for choosing which tiles to try first: the instances are shared out so that the reads are least in sum.
        """
        problem = self.problem
        boundaries = [b for b in problem.boundaries if b.child == rows.level]
        fan_out = float(problem.fan_out(range(rows.level, rows.level + 1)))
        best = np.full(len(rows.tile), np.inf)
        visits = self.every[-1] / self.every[rows.whole]
        for stays, dims in self.kinds:
            filled, read, most = np.zeros(len(rows.tile)), [], []
            for b in boundaries:
                touch = self.touches[b.tensor.name]
                words = touch.words(rows)
                still = b.tensor.name in stays
                runs = visits / (touch.reuse[-1] / touch.reuse[rows.whole]) if still else visits
                shares = self._shares(touch, rows, None, words, None if still else dims)
                free = tuple((name, 0.0) for name, _ in b.crossing)
                arrived = self._cost(replace(b, up=0.0, into=1.0, crossing=free), rows, words, runs, shares)
                filled += (b.into + sum(price for _, price in b.crossing)) * arrived
                read.append(b.up * arrived + 1e-300)
                most.append(touch.reuse[-1] / touch.reuse[rows.whole])
            left, given = np.full(len(rows.tile), fan_out), [np.ones(len(rows.tile)) for _ in read]
            for _ in range(2):
                mean = (np.prod(read, axis=0) / np.prod(given, axis=0) / left) ** (1.0 / max(1, len(read)))
                given = [np.clip(g * r / g / mean, 1.0, m) for g, r, m in zip(given, read, most, strict=True)]
                left = fan_out / np.prod(given, axis=0)
            best = np.minimum(best, filled + sum(r / g for r, g in zip(read, given, strict=True)))
        return best

    def edge(self, rows: Rows, outer: Numbers) -> Numbers:
        """As `open_edge` without what is fixed, once the next memory outside holds tiles `outer`: (kinds, kinds, rows).

        First the kind of the innermost loop above the rows, then that of the innermost loop outside `outer`: a tensor
        whose tile no loop between touches stays on only where that loop lets it.
        """
        problem, number = self.problem, len(self.kinds)
        cost = np.zeros((number, number, len(rows.tile)))
        for b in problem.boundaries:
            if self.charged(b) == b.child == rows.level:
                cost += self._cases(b, rows, outer)
        if rows.level == problem.levels:
            return cost
        moving = self.every[outer] > self.every[rows.whole]
        for k, (_, dims) in enumerate(self.kinds):
            product = self.products(dims)
            turns = product[outer] > product[rows.whole]
            for m in range(number):
                possible = turns if m != k else turns | ~moving
                cost[k, m][~possible] = np.inf
        self._hold(cost, rows)
        return cost

    def _cases(self, b: Boundary, rows: Rows, outer: Numbers) -> Numbers:
        """Cost of one boundary for each pair of kinds."""
        problem, touch = self.problem, self.touches[b.tensor.name]
        words = touch.words(rows)
        number = len(self.kinds)
        visits = self.every[-1] / self.every[rows.whole]
        if b.child == problem.levels:
            return np.broadcast_to(self._cost(b, rows, words, visits, None), (number, number, len(rows.tile)))
        cost = np.empty((number, number, len(rows.tile)))
        names = [b.tensor.name in stays for stays, _ in self.kinds]
        if any(names):
            shares = self._shares(touch, rows, outer, words, None)
            run = touch.reuse[outer] / touch.reuse[rows.whole]
            stops = self._cost(b, rows, words, visits / run, shares)
            through = touch.relevant[outer] == touch.relevant[rows.whole]
            longer = np.where(through, touch.reuse[-1] / touch.reuse[rows.whole], run)
            goes_on = self._cost(b, rows, words, visits / longer, shares)
        if not touch.window_dims and not all(names):
            moved = self._cost(b, rows, words, visits, None)
        for k, (_, dims) in enumerate(self.kinds):
            if not names[k]:
                if touch.window_dims:
                    moved = self._cost(b, rows, words, visits, self._shares(touch, rows, outer, words, dims))
                cost[k] = moved
                continue
            for m in range(number):
                cost[k, m] = goes_on if names[m] else stops
        return cost

    def _cost(
        self,
        b: Boundary,
        rows: Rows,
        words: Words,
        visits: Numbers,
        shares: list[tuple[Numbers, Numbers]] | None,
        *,
        apart: bool = False,
    ) -> Numbers:
        """pJ of one boundary when so many visits bring so large a share of new words each (None: all are new).

        `shares`: that share, and what the first visit brings beyond it.
        """
        if shares is None:
            arrived = [total * visits for total in words.total]
        else:
            pairs = zip(words.total, shares, strict=True)
            arrived = [total * (visits * share + start) for total, (share, start) in pairs]
        cost = b.into * arrived[-1] if b.into else 0.0
        price = dict(b.crossing)
        for n, array in enumerate(self.problem.gaps[rows.level]):
            if price[array.name]:
                cost = cost + price[array.name] * arrived[n + 1]
        outward = range(b.parent + 1, rows.level + apart)
        touch = self.touches[b.tensor.name]
        if any(b.tensor.role in array.forwarding for gap in outward for array in self.problem.gaps[gap]):
            # instances further out may hand on any word: all that is sure is that each is read once
            arrived[0] = touch.elements[-1:]
            outward = range(0)
        return cost + b.up * arrived[0] / self._most(touch, rows, outward)

    def _shares(
        self,
        touch: Touch,
        rows: Rows,
        outer: Numbers | None,
        words: Words,
        dims: frozenset[str] | None,
        *,
        apart: bool = False,
    ) -> list[tuple[Numbers, Numbers]] | None:
        """The least share of new words when the innermost loop that moves the tile is over one of `dims` (None: any).

        When it slides along d, every loop outside it returns d to its start, so d moves at every step. One of the same
        dim further out then advances as the inner one does; only the partner in the same window, moving too, can undo
        the return, and only at steps outside the innermost loop.
        """
        if not touch.window_dims:
            return None
        known = outer if outer is not None else np.full(1, self.problem.lattice.size - 1, dtype=np.int64)
        closed = outer is not None and dims is not None
        found = []
        whole = self._wholly(touch, rows, known, dims)
        for j in range(len(words.total)):
            share, start = np.where(whole, 1.0, np.inf), np.where(whole, 0.0, np.inf)
            for d in sorted(words.kept) if dims is None else sorted(dims & words.kept.keys()):
                own, partner = self.products(frozenset(d)), self.products(frozenset(touch.partners.get(d, d)))
                advance, again, back = words.kept[d][j]
                advance = again if apart else advance
                both = partner[-1] > partner[rows.whole]
                left, bound = own[-1] / own[rows.whole], self.least_prime(d)[rows.whole]
                rest = np.where(both, np.maximum(again, back), again)
                if closed:
                    inside = own[known] / own[rows.whole]
                    exactly = (inside > 1) & (inside == left)
                    bound = np.where(exactly, left, bound)
                    rest = np.where(exactly, np.where(both, back, np.minimum(again, back)), rest)
                least = 1.0 - advance + (advance - rest) / bound
                turns = left > 1 if dims is None else self._possible(rows, known, frozenset(d))
                share = np.where(turns, np.minimum(share, least), share)
                start = np.where(turns, np.minimum(start, rest), start)
            found.append((np.where(np.isfinite(share), share, 1.0), np.where(np.isfinite(share), start, 0.0)))
        return found

    def _wholly(self, touch: Touch, rows: Rows, known: Numbers, dims: frozenset[str] | None) -> Numbers:
        """Whether the innermost loop that moves the tile can be one that replaces all of it."""
        if dims is None:
            wholly: Numbers = touch.plain[-1] > touch.plain[rows.whole]
            return wholly
        return self._possible(rows, known, dims - touch.window_dims)

    def _possible(self, rows: Rows, known: Numbers, dims: frozenset[str]) -> Numbers:
        """Whether the innermost loop above the rows can be over one of some dims."""
        product = self.products(dims)
        moving = self.every[known] > self.every[rows.whole]
        return np.where(moving, product[known], product[-1]) > product[rows.whole]

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
        served: Numbers = np.minimum(float(fan_out), left[-1] / left[rows.whole])
        return served

    def charged(self, b: Boundary) -> int:
        """The gap that decides what a boundary costs: for compute units the innermost one with an array it crosses."""
        gaps = self.problem.gaps
        crossed = [c for c in range(b.parent + 1, b.child + 1) if gaps[c]]
        return max(crossed, default=b.child) if b.child == self.problem.levels else b.child

    def _points(self, b: Boundary, rows: Rows, *, apart: bool) -> Numbers:
        """Least pJ of what compute units ask of a memory across the arrays of the rows; nothing is kept in time."""
        touch = self.touches[b.tensor.name]
        steps = self.every[-1] / (self.every[rows.whole] / self.every[rows.tile])
        price = dict(b.crossing)
        cost: Numbers = b.up * touch.points(rows, 0) * steps
        cost = cost / self._most(touch, rows, range(b.parent + 1, rows.level + apart))
        if not apart:
            for n, array in enumerate(self.problem.gaps[rows.level]):
                cost = cost + price[array.name] * touch.points(rows, n + 1) * steps
        return cost

    def fixed(self, rows: Rows, apart: bool = False) -> Numbers:
        """First visits of outputs at the memory just inside these arrays, and idle power where this gap decides it."""
        problem, total = self.problem, np.zeros(len(rows.tile))
        for b in problem.boundaries:
            if b.parent == rows.level and b.last:
                touch = self.touches[b.tensor.name]
                repeats = self.products(frozenset(problem.lattice.dims) - touch.tensor.dims | touch.window_dims)
                here = repeats[rows.whole] / repeats[rows.tile]
                outward = self._most(touch, rows, range(1, rows.level + apart))
                total += b.first * touch.elements[-1] * here * (outward if b.first < 0 else 1.0)
                total += sum(min(x, 0.0) for x in b.last) * touch.elements[-1]
        for b in problem.boundaries:
            if self.charged(b) == rows.level < b.child:
                total += self._points(b, rows, apart=apart)
        inner = max((c for c in range(1, problem.levels + 1) if problem.gaps[c]), default=problem.levels)
        if problem.idle_pj_per_step and rows.level == inner:
            used = self.every[rows.whole] / self.every[rows.tile] * problem.fan_out(range(1, rows.level + apart))
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
