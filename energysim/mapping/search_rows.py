"""Rows of the mapping search and what they cost at least, whatever lies outside them (compiled: search_rows.pxd).

Which dim the innermost loop outside a row is over decides which tensors stay where they are: all others are fetched
again at every step. So a row is bounded by cases, one for each dim that is left.
"""

import numpy as np

from energysim.mapping.search_ahead import Ahead
from energysim.mapping.search_shares import FIELDS as _FIELDS

INFINITE = float("inf")
FIELDS = _FIELDS
PLAIN, SLIDES = 1, 2
"""How a dim touches a tensor: as an index of its own, or in a sum with another dim; 0 is not at all."""

MANY = 2_000_000
"""Rows that are kept in memory before only the best of each whole is."""


class Rows(Ahead):
    """Fills the tables of rows, inward to outward, and narrows them once a mapping is in hand."""

    def prepare(self) -> None:
        """Scratch space and the windows' table."""
        self.fill_full = np.zeros(self.tensors)
        self.fill_stay = np.zeros(self.tensors)
        self.part_slide = np.zeros((self.tensors, self.dims))
        self.fresh_shared = np.zeros((self.dims, 2))
        self.fresh_alone = np.zeros((self.dims, 2))
        self.done = np.zeros(self.levels + 1, dtype=np.int64)
        self.nearby = 0
        for t in range(self.tensors):
            for level in range(1, self.levels + 1):
                if (self.child[t, level] > 0 and self.is_output[t]) or self.charge[t] == level:
                    self.fixes[t, level] = 1
                if self.parent[t, level] >= 0:
                    self.set_boundary(t, level)
        for d in range(self.dims):
            self.kind[d] = d
            for e in range(d):
                alike = 1
                for t in range(self.tensors):
                    if self.touches[t, d] != self.touches[t, e] or self.touches[t, d] == SLIDES:
                        alike = 0
                if alike:
                    self.kind[d] = self.kind[e]
        self.find_deep()
        self.fill_windows()

    def rows(self, level: int) -> None:
        """All rows of a level; `outside` of the level, where it is known, and the limit leave most of them out."""
        self.begin[level] = self.row_total
        self.lean[level] = 0
        for w in range(self.size):
            self.best_row[level, w] = -1
            self.low[level, w] = INFINITE
        self.extend_row(level, 0, 0, 0, 0)
        self.end[level] = self.row_total
        self.gather(level)
        if self.lends:
            self.lower(self.lent, level - 1, -1)

    def gather(self, level: int) -> None:
        """`least` and `best_row` of a level from its rows, and from them `inside` of the level outside."""
        for w in range(self.size):
            self.least[level, w] = INFINITE
            self.best_row[level, w] = -1
        for i in range(self.begin[level], self.end[level]):
            w = self.row_whole[i]
            key = self.row_own[i] + self.inside[level, self.row_tile[i]]
            if key < self.least[level, w]:
                self.least[level, w] = key
                self.best_row[level, w] = i
        for w in range(self.size):
            self.inside[level - 1, w] = self.least[level, w]
        self.lower(self.inside, level - 1, -1)
        if self.deepest:
            self.gather_low(level)

    def reach_out(self, level: int) -> None:
        """`outside` of the next level inward: the least over rows whose tile is a multiple, with what is outside."""
        for t in range(self.size):
            self.outside[level + 1, t] = INFINITE
        for i in range(self.begin[level], self.end[level]):
            t = self.row_tile[i]
            cost = self.row_own[i] + self.outside[level, self.row_whole[i]]
            self.outside[level + 1, t] = min(self.outside[level + 1, t], cost)
        for d in range(self.dims):
            if self.untiled[level, d]:
                continue
            step, number = self.stride[d], self.count[d]
            block = step * number
            for i in range(number - 1, -1, -1):
                for j in range(i + 1, number):
                    if self.by_prime[d, j, i]:
                        for n in range(self.size // block):
                            base = n * block
                            for k in range(step):
                                other = self.outside[level + 1, base + j * step + k]
                                place = base + i * step + k
                                self.outside[level + 1, place] = min(self.outside[level + 1, place], other)

    def narrow(self) -> int:
        """Drops every row that cannot be in a mapping below the limit; how many are left."""
        self.sparing = 0
        for level in range(1, self.levels + 1):
            if self.lean[level]:
                self.rows(level)
            if level < self.levels:
                self.reach_out(level)
        before = -1
        while before != self.row_total:
            before = self.row_total
            kept = 0
            for level in range(self.levels + 1):
                self.done[level] = 0
            for _ in range(self.levels):
                # in the order in which they are stored
                level = 0
                for other in range(1, self.levels + 1):
                    ahead = self.begin[other] < self.begin[level] if level else 1
                    if self.done[other] == 0 and ahead:
                        level = other
                self.done[level] = 1
                first, last = self.begin[level], self.end[level]
                self.begin[level] = kept
                for i in range(first, last):
                    key = self.row_own[i] + self.inside[level, self.row_tile[i]]
                    if key + self.outside[level, self.row_whole[i]] < self.limit_pj:
                        self.row_tile[kept], self.row_space[kept] = self.row_tile[i], self.row_space[i]
                        self.row_whole[kept], self.row_own[kept] = self.row_whole[i], self.row_own[i]
                        self.row_low[kept] = self.row_low[i]
                        kept += 1
                self.end[level] = kept
            self.row_total = kept
            for level in range(self.levels, 0, -1):
                self.gather(level)
            for level in range(1, self.levels):
                self.reach_out(level)
        self.group()
        return self.row_total

    def group(self) -> None:
        """Sorts the rows of each level by their whole into `chosen`."""
        self.chosen = np.zeros(self.row_total + 1, dtype=np.int64)
        for level in range(1, self.levels + 1):
            for w in range(self.size + 1):
                self.starts[level, w] = 0
            for i in range(self.begin[level], self.end[level]):
                self.starts[level, self.row_whole[i] + 1] += 1
            self.starts[level, 0] = self.begin[level]
            for w in range(self.size):
                self.starts[level, w + 1] += self.starts[level, w]
            for i in range(self.begin[level], self.end[level]):
                w = self.row_whole[i]
                self.chosen[self.starts[level, w]] = i
                self.starts[level, w] += 1
            for w in range(self.size, 0, -1):
                self.starts[level, w] = self.starts[level, w - 1]
            self.starts[level, 0] = self.begin[level]

    def extend_row(self, level: int, d: int, tile: int, space: int, whole: int) -> None:
        """Adds a dim's tile and spatial factor to a row, where tile and factors still fit."""
        if d == self.dims:
            if self.cap_cycles < INFINITE:
                steps = self.passes_of[space] * self.operations
                for c in range(1, self.levels + 1):
                    if c != level:
                        steps /= self.fan[c]
                if steps > self.cap_cycles:
                    return
            if self.symmetric and self.later(tile, space):
                # comes with its mirror image, which costs the same
                return
            own = self.own(level, tile, space, whole)
            if self.lends:
                self.lend_row(level, tile, whole, self.own_other)
                if self.symmetric:
                    self.lend_row(level, self.mirror[tile], self.mirror[whole], self.own_other)
            if own + self.inside[level, tile] + self.outside[level, whole] < self.limit_pj:
                self.add_row(level, tile, space, whole, own)
                if self.symmetric and (self.mirror[tile] != tile or self.mirror[space] != space):
                    self.add_row(level, self.mirror[tile], self.mirror[space], self.mirror[whole], own)
            return
        number, step = self.count[d], self.stride[d]
        for i in range(number):
            now = tile + i * step
            if not self.fits[level, now]:
                break
            for j in range(number):
                w = self.product[d, i, j]
                # two axes may take 4 and not 3: a larger factor can go where a smaller one does not
                if not self.spreads[level, space + j * step]:
                    continue
                if w >= 0 and self.pairs[level, d, i, j]:
                    self.now_tile[d], self.now_space[d], self.now_whole[d] = i, j, w
                    self.extend_row(level, d + 1, now, space + j * step, whole + w * step)

    def add_row(self, level: int, tile: int, space: int, whole: int, own: float) -> None:
        """Keeps a row; when there are too many (`lean`), only the best of each whole."""
        n = self.row_total
        if self.deepest:
            self.low[level, whole] = min(self.low[level, whole], self.own_low + self.joint[level, tile])
        if n >= MANY and self.sparing:
            self.lean[level] = 1
        if self.lean[level]:
            seen = self.best_row[level, whole]
            if seen >= 0:
                if own + self.inside[level, tile] < self.row_own[seen] + self.inside[level, self.row_tile[seen]]:
                    self.row_tile[seen], self.row_space[seen], self.row_own[seen] = tile, space, own
                return
        self.best_row[level, whole] = n
        if n == len(self.row_own):
            self.row_tile = np.concatenate([self.row_tile, self.row_tile])
            self.row_space = np.concatenate([self.row_space, self.row_space])
            self.row_whole = np.concatenate([self.row_whole, self.row_whole])
            self.row_own = np.concatenate([self.row_own, self.row_own])
            self.row_low = np.concatenate([self.row_low, self.row_low])
        self.row_tile[n], self.row_space[n], self.row_whole[n], self.row_own[n] = tile, space, whole, own
        self.row_low[n] = self.own_low
        self.row_total = n + 1

    def own(self, level: int, tile: int, space: int, whole: int) -> float:
        """The least pJ of what a row decides, whatever lies outside: by the dim of the innermost loop outside it."""
        last = self.size - 1
        total = self.tile_pj[level, tile]
        for t in range(self.tensors):
            if self.fixes[t, level]:
                total += self.fixed(t, level, tile, space, whole)
            if level < self.levels and self.parent[t, level] >= 0:
                if self.lends and self.differs[t, level]:
                    self.exchange(t, level)
                    self.bound_boundary(t, level, tile, space, whole, self.reuse[t, last] / self.reuse[t, whole])
                    self.other_full[t], self.other_stay[t] = self.part_full[t], self.part_stay[t]
                    self.exchange(t, level)
                self.bound_boundary(t, level, tile, space, whole, self.reuse[t, last] / self.reuse[t, whole])
        if level == self.idle_gap:
            steps = self.passes_of[space]
            for c in range(1, level):
                steps /= self.fan[c]
            total += self.idle_pj * (1.0 - self.stall_share) * steps * self.operations
        self.own_low = self.own_other = total
        if level == self.levels:
            return total
        least = low = other = INFINITE
        seen = 0
        for d in range(self.dims):
            if self.now_whole[d] + 1 < self.count[d] and not seen >> self.kind[d] & 1:
                seen |= 1 << self.kind[d]
                cost = self.case(level, d)
                least = min(least, cost)
                if level <= self.deepest:
                    joint = self.case_low(level, d, cost)
                    low = min(low, joint)
                if self.lends:
                    cost = self.case_other(level, d, cost)
                    other = min(other, cost)
        if whole == last:
            least = low = self.case(level, -1)
            other = self.case_other(level, -1, least)
        self.own_other = total + other
        self.own_low = total + low if level <= self.deepest else total + least
        return total + least

    def case(self, level: int, d: int) -> float:
        """Least pJ of all boundaries of a level when the innermost loop outside is over a dim (-1: there is none)."""
        cost = 0.0
        for t in range(self.tensors):
            if self.parent[t, level] >= 0:
                kind = PLAIN if d < 0 else self.touches[t, d]
                if kind == PLAIN:
                    cost += self.part_full[t]
                elif kind == SLIDES:
                    cost += self.part_slide[t, d]
                else:
                    cost += self.part_stay[t]
        return cost

    def case_low(self, level: int, d: int, cost: float) -> float:
        """A case with deep tensors as if they stayed."""
        for t in range(self.tensors):
            if self.deep[t] == level and self.touches[t, d] == PLAIN:
                cost += self.part_stay[t] - self.part_full[t]
        return cost

    def bound_boundary(self, t: int, level: int, tile: int, space: int, whole: int, run: float) -> None:
        """Least pJ of a tensor between a row's level and its parent, by what the innermost loop outside does to it.

        `run`: the most steps for which loops that do not touch it can leave it where it is.
        """
        last = self.size - 1
        visits = self.volume[last] / self.volume[whole]
        alone = self.plain[t, tile] * self.volume[space]
        shared = alone
        if self.shares[t, level]:
            shared = self.plain[t, tile] * self.plain[t, space]
        moved = self.plain[t, last] > self.plain[t, whole]
        for w in range(self.rank_start[t], self.rank_start[t + 1]):
            a, b = self.ranks[w, 1], self.ranks[w, 3]
            loose = self.count[a] if level > self.late_array else 0
            place = self.window_start[w] + FIELDS * (
                (((loose + self.now_tile[a]) * self.count[a] + self.now_space[a]) * self.count[b] + self.now_tile[b])
                * self.count[b]
                + self.now_space[b]
            )
            offset = 0 if self.shares[t, level] else 5
            shared *= self.window[place + offset]
            alone *= self.window[place + 5]
            for side in range(2):
                d = self.ranks[w, 1 + 2 * side]
                if self.now_whole[d] + 1 < self.count[d]:
                    self.fresh_shared[d, 0] = self.window[place + offset + 1 + 2 * side]
                    self.fresh_shared[d, 1] = self.window[place + offset + 2 + 2 * side]
                    self.fresh_alone[d, 0] = self.window[place + 6 + 2 * side]
                    self.fresh_alone[d, 1] = self.window[place + 7 + 2 * side]
        if self.ragged:
            # instances that wait for the return of loops with a partial last step, and arrays that are not full
            for d in range(self.dims):
                if self.touches[t, d] != 0:
                    whole_size = self.value[d, self.now_whole[d]]
                    part = self.moving[d, self.now_whole[d]] * whole_size
                    part /= self.value[d, self.now_tile[d]] * self.value[d, self.now_space[d]]
                    shared *= part
                    alone *= part
        outer_price, inner_price = self.outer_pj_at[t, level], self.inner_pj_at[t, level]
        outer = outer_price * shared
        if self.shared_outside[t, level]:
            outer /= self.sharing(t, self.parent[t, level] + 1, level, whole)
        inner = inner_price * alone
        # each element crosses once at least, however many instances share it
        once, least = 0.0, (outer_price + inner_price) * self.elements[t]
        if self.handed_on[t, level]:
            outer, once = 0.0, outer_price * self.elements[t]
        self.part_full[t] = max((outer + inner) * visits + once, least)
        self.fill_full[t] = alone * visits
        self.fill_stay[t] = self.elements[t] if self.rank_start[t + 1] > self.rank_start[t] else alone * visits / run
        stay = INFINITE if not moved else visits / run * (outer + inner)
        for w in range(self.rank_start[t], self.rank_start[t + 1]):
            for side in range(2):
                d = self.ranks[w, 1 + 2 * side]
                if self.now_whole[d] + 1 < self.count[d]:
                    slide = outer * (visits * self.fresh_shared[d, 0] + self.fresh_shared[d, 1])
                    slide += inner * (visits * self.fresh_alone[d, 0] + self.fresh_alone[d, 1])
                    self.part_slide[t, d] = max(once + slide, least)
                    slow = outer * (visits / run * self.fresh_shared[d, 0] + self.fresh_shared[d, 1]) + inner * (
                        visits / run * self.fresh_alone[d, 0] + self.fresh_alone[d, 1]
                    )
                    stay = min(stay, slow)
        if stay == INFINITE:
            stay = visits / run * (outer + inner)
        self.part_stay[t] = max(once + stay, least)

    def fixed(self, t: int, level: int, tile: int, space: int, whole: int) -> float:
        """Least pJ of first visits and finished outputs at this memory, and of what compute units ask across gap c."""
        last = self.size - 1
        total = 0.0
        c = self.child[t, level]
        if level > 0 and c > 0 and self.is_output[t]:
            copies = 1.0
            if self.first[t, c] < 0.0:
                copies = self.volume[space] / self.plain[t, space]
                if self.nearby:
                    for g in range(1, level):
                        copies *= self.volume[self.flat_space[g]] / self.plain[t, self.flat_space[g]]
                else:
                    left = self.left[t, whole]
                    most = 1.0
                    for g in range(1, level):
                        most *= self.fan[g]
                    copies *= min(left, most)
            total += (self.first[t, c] * copies + self.least_last[t, c]) * self.elements[t]
        if self.charge[t] == level and level > 0:
            c = self.levels
            shared = self.points(t, level, space)
            price, handed_on = self.up[t, c], 0
            for g in range(self.parent[t, c] + 1, level):
                price += self.cross[t, c, g]
                if self.passes[t, g]:
                    handed_on = 1
            most = self.sharing(t, self.parent[t, c] + 1, level, whole)
            steps = self.volume[last] / self.volume[space]
            if handed_on:
                total += price * self.elements[t]
            else:
                total += price * shared * steps / most
            total += self.cross[t, c, level] * self.volume[last]
        return total

    def sharing(self, t: int, first: int, level: int, whole: int) -> float:
        """The most instances of some outer gaps that one word can serve; of placed ones (`nearby`), those it serves."""
        most = 1.0
        for g in range(first, level):
            if self.shares[t, g] and self.nearby:
                most *= self.volume[self.flat_space[g]] / self.plain[t, self.flat_space[g]]
            elif self.shares[t, g]:
                most *= self.fan[g]
        if most > 1.0 and not self.nearby:
            left = self.left[t, whole]
            most = min(most, left)
        return most

    def points(self, t: int, level: int, space: int) -> float:
        """Words that compute units inside gap c ask for in one step, one for all that share it (bounds: `now_` row)."""
        if not self.shares[t, level]:
            return self.volume[space]
        words = self.plain[t, space]
        for w in range(self.rank_start[t], self.rank_start[t + 1]):
            a, b = self.ranks[w, 1], self.ranks[w, 3]
            self.windows.begin(self.ranks[w, 2], self.ranks[w, 4], 1, 1)
            self.windows.spread(self.ranks[w, 2] * self.value[a, self.now_tile[a]], self.value[a, self.now_space[a]], 0)
            self.windows.spread(self.ranks[w, 4] * self.value[b, self.now_tile[b]], self.value[b, self.now_space[b]], 0)
            words *= self.windows.kept(0)
        return words


__all__ = ["Rows"]
