"""Rows right inside an array: tile, spatial factors, marks that stand there (compiled: search_uneven_rows.pxd)."""

import numpy as np

from energysim.mapping.search_uneven_bounds import UnevenBounds

INFINITE = float("inf")
PLAIN, SLIDES = 1, 2

EVERY = 6
"""As in `search_uneven_bounds`."""

MOST_ROWS = 2_000_000
"""Rows that are kept in memory; what does not find room leaves its bound in `open_pj`."""


class UnevenRows(UnevenBounds):
    """All tables of the search, outermost `bounds`."""

    def bounds(self, limit_pj: float) -> float:
        """All tables, for mappings below an energy; the least that any mapping can cost, in pJ."""
        self.ready()
        self.start()
        self.class_start = np.full((self.tensors + 1) << self.dims, -1, dtype=np.int64)
        self.class_end = np.zeros((self.tensors + 1) << self.dims, dtype=np.int64)
        self.limit(limit_pj)
        for t in range(self.tensors):
            self.load_compute(t)
        self.root_pj = self.constant_pj + self.fixed_root()
        for k in range(self.marks):
            for shared in range(EVERY + 1):
                self.bound_mark(k, shared)
        self.bound_outside()
        for level in range(self.levels + 1):
            self.begin[level] = self.end[level] = 0
        for s in range(self.segments - 1, -1, -1):
            self.bound_left(s)
            if s > 0:
                self.rows_inside(s)
        self.group()
        least: float = self.root_pj + self.left_pj[self.left_row[0, self.all_of(0)], self.size - 1]
        return least

    def rows_inside(self, s: int) -> None:
        """All rows of a segment's first level with the marks that stand there, if they can still win."""
        level = self.segment_level[s]
        self.begin[level] = self.row_total
        for w in range(self.size):
            self.least[level, w] = INFINITE
        for tile in range(self.size):
            self.open_marks(s, tile)
            if self.open_number > 0:
                self.load_firsts(s)
                self.extend_space(s, 0, tile, 0, tile)
            if level == self.levels:
                break
        self.end[level] = self.row_total
        for i in range(self.begin[level], self.end[level]):
            self.least[level, self.row_whole[i]] = min(self.least[level, self.row_whole[i]], self.row_own[i])

    def open_marks(self, s: int, tile: int) -> None:
        """Which sets of marks can stand right inside an array at a tile, however it is spread."""
        self.open_number = 0
        last, first = self.size - 1, self.segment_mark[s]
        ready = 0
        outer = self.outer_pj[tile] + self.first_visits(s, tile, 0, tile)
        for choice in range(len(self.begin_set)):
            if self.begin_segment[choice] != s:
                continue
            chosen = self.begin_set[choice]
            rest = self.left_pj[self.left_row[s, self.all_of(s) & ~chosen], tile]
            if rest + outer >= self.limit_pj or not self.begin_fits(s, chosen, tile):
                continue
            if chosen and not ready:
                ready = 1
                self.unfold(tile)
                for k in range(first, self.segment_mark[s + 1]):
                    if self.is_next(k, self.all_of(s)):
                        t = self.mark_tensor[k]
                        level = self.load_inside(k)
                        self.bound_boundary(t, level, tile, 0, tile, self.reuse[t, last] / self.reuse[t, tile])
            least = self.least_case(s, chosen)
            if least + rest + outer < self.limit_pj:
                self.open_begin[self.open_number] = choice
                self.open_number += 1

    def begin_fits(self, s: int, chosen: int, tile: int) -> int:
        """Whether some marks fit at a tile together with the smallest of all others."""
        first = self.segment_mark[s]
        for k in range(first, self.segment_mark[s + 1]):
            if chosen >> (k - first) & 1:
                if not self.mark_allowed[k, tile]:
                    return 0
                bits = 0.0
                for other in range(first, self.segment_mark[s + 1]):
                    if self.mark_part[other] == self.mark_part[k]:
                        bits += self.mark_bits[other, tile if chosen >> (other - first) & 1 else 0]
                if bits > self.part_room[self.mark_part[k]]:
                    return 0
        return 1

    def least_case(self, s: int, chosen: int) -> float:
        """Least pJ of some marks at one place, whatever the innermost loop outside is over (bounds: `now_whole`)."""
        if chosen == 0:
            return 0.0
        least, outermost = INFINITE, 1
        for d in range(self.dims):
            if self.now_whole[d] + 1 < self.count[d]:
                outermost = 0
                cost = self.case_of(s, chosen, d)
                least = min(least, cost)
        return self.case_of(s, chosen, -1) if outermost else least

    def case_of(self, s: int, chosen: int, d: int) -> float:
        """Least pJ of some marks at one place when the innermost loop outside is over a dim (-1: there is none)."""
        first = self.segment_mark[s]
        cost = 0.0
        for k in range(first, self.segment_mark[s + 1]):
            if chosen >> (k - first) & 1:
                t = self.mark_tensor[k]
                if d < 0 or self.touches[t, d] == PLAIN:
                    cost += self.part_full[t]
                elif self.touches[t, d] == SLIDES:
                    cost += self.part_slide[t, d]
                else:
                    cost += self.part_stay[t]
        return cost

    def load_firsts(self, s: int) -> None:
        """Loads the outermost mark of every tensor of a segment at its first level."""
        level = self.segment_level[s]
        for k in range(self.segment_mark[s], self.segment_mark[s + 1]):
            if self.is_next(k, self.all_of(s)):
                self.load(k, level, self.bound_parent(k))

    def extend_space(self, s: int, d: int, tile: int, space: int, whole: int) -> None:
        """Adds a dim's spatial factor to a row."""
        level = self.segment_level[s]
        if d == self.dims:
            self.price_row(s, tile, space, whole)
            return
        step, number = self.stride[d], self.count[d]
        i = tile // step % number
        for j in range(number):
            w = self.product[d, i, j]
            # two axes may take 4 and not 3: a larger factor can go where a smaller one does not
            if w >= 0 and self.spreads[level, space + j * step] and self.pairs[level, d, i, j]:
                self.now_tile[d], self.now_space[d], self.now_whole[d] = i, j, w
                self.extend_space(s, d + 1, tile, space + j * step, whole + (w - i) * step)

    def price_row(self, s: int, tile: int, space: int, whole: int) -> None:
        """Adds a row with every set of marks that can still win."""
        level, last = self.segment_level[s], self.size - 1
        outer = self.outer_pj[whole]
        if outer >= self.limit_pj or (self.cap_cycles < INFINITE and self.too_slow(level, space)):
            return
        fixed = self.fixed_inside(s, level, tile, space, whole)
        if level < self.levels:
            for k in range(self.segment_mark[s], self.segment_mark[s + 1]):
                if self.is_next(k, self.all_of(s)):
                    t = self.mark_tensor[k]
                    self.bound_boundary(t, level, tile, space, whole, self.reuse[t, last] / self.reuse[t, whole])
        for n in range(self.open_number):
            choice = self.open_begin[n]
            chosen = self.begin_set[choice]
            rest = self.rest(s, self.all_of(s) & ~chosen, tile, space)
            total = fixed + rest + self.least_case(s, chosen)
            if total + outer < self.limit_pj:
                self.keep_row(tile, space, whole, choice, total)

    def fixed_inside(self, s: int, level: int, tile: int, space: int, whole: int) -> float:
        """Least pJ of first visits at the marks of a segment, of compute units across its array, of idle power."""
        last = self.size - 1
        total = self.first_visits(s, tile, space, whole)
        for t in range(self.tensors):
            if self.charge[t] == level:
                total += self.fixed(t, level, tile, space, whole)
        if level == self.idle_gap:
            steps = self.volume[last] / self.volume[space]
            for c in range(1, level):
                steps /= self.fan[c]
            total += self.idle_pj * (1.0 - self.stall_share) * steps * self.operations
        return total

    def too_slow(self, level: int, space: int) -> int:
        """Whether an array spread by some factors leaves more steps than the cap, all other arrays full."""
        steps = self.volume[self.size - 1] / self.volume[space] * self.operations
        for c in range(1, self.levels + 1):
            if c != level:
                steps /= self.fan[c]
        return 1 if steps > self.cap_cycles else 0

    def first_visits(self, s: int, tile: int, space: int, whole: int) -> float:
        """The most that the first visits of outputs at the marks of a segment can save, as pJ below 0.

        With no spatial factors yet (`whole` is the tile), those of the segment's own array are not known.
        """
        level, last = self.segment_level[s], self.size - 1
        total = 0.0
        for k in range(self.segment_mark[s], self.segment_mark[s + 1]):
            t = self.mark_tensor[k]
            if self.is_output[t] and self.mark_first[self.mark_following[k]] < 0.0:
                most = 1.0
                for g in range(1, level + 1 if whole == tile else level):
                    most *= self.fan[g]
                left = self.volume[last] / self.plain[t, last] / (self.volume[whole] / self.plain[t, whole])
                most = min(most, left)
                copies = self.volume[space] / self.plain[t, space] * most
                total += self.mark_first[self.mark_following[k]] * self.elements[t] * copies
        return total

    def narrow_rows(self) -> None:
        """Drops rows that cannot beat the mapping in hand, and groups the others anew."""
        kept = 0
        for s in range(self.segments - 1, 0, -1):
            level = self.segment_level[s]
            first, last = self.begin[level], self.end[level]
            self.begin[level] = kept
            for w in range(self.size):
                self.least[level, w] = INFINITE
            for i in range(first, last):
                w = self.row_whole[i]
                if self.row_own[i] + self.outer_pj[w] < self.limit_pj:
                    self.row_tile[kept], self.row_space[kept] = self.row_tile[i], self.row_space[i]
                    self.row_whole[kept], self.row_own[kept] = w, self.row_own[i]
                    self.row_begin[kept] = self.row_begin[i]
                    self.least[level, w] = min(self.least[level, w], self.row_own[i])
                    kept += 1
            self.end[level] = kept
        self.row_total = kept
        self.group()

    def keep_row(self, tile: int, space: int, whole: int, choice: int, total: float) -> None:
        """One more row; `row_own` holds all that is inside it."""
        n = self.row_total
        if n >= MOST_ROWS:
            self.leave_open(total + self.outer_pj[whole])
            return
        if n == len(self.row_own):
            self.row_tile = np.concatenate([self.row_tile, self.row_tile])
            self.row_space = np.concatenate([self.row_space, self.row_space])
            self.row_whole = np.concatenate([self.row_whole, self.row_whole])
            self.row_own = np.concatenate([self.row_own, self.row_own])
        if n >= len(self.row_begin):
            self.row_begin = np.concatenate([self.row_begin, self.row_begin])
        self.row_tile[n], self.row_space[n], self.row_whole[n], self.row_own[n] = tile, space, whole, total
        self.row_begin[n] = choice
        self.row_total = n + 1


__all__ = ["UnevenRows"]
