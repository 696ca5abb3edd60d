"""Branch and bound among uneven mappings: which mark comes next, and its tile (compiled: search_uneven_tree.pxd).

Outermost first, each mark is placed with the loops right outside it, and what crosses to it is priced exactly. Marks of
one depth come in the order of their numbers; a mark right inside a loop that does not touch its tensor is another mark
order's, at the same price.
"""

from time import perf_counter
from typing import Any

import numpy as np

from energysim.mapping.search_uneven_times import UnevenTimes

INFINITE = float("inf")

FOUND = 3
"""`stopped` of a search for which any mapping would do."""

EVERY = 6
"""As in `search_uneven_rows`."""


class UnevenTree(UnevenTimes):
    """The search: `bounds`, then `find`."""

    def find(self, most_nodes: int, until: float, any_will_do: int) -> None:
        """Dives, the second one wider, then the proof, best placements outside the first array first.

        `most_nodes` and the `perf_counter` time `until` end it early, an eighth of them a dive, and `any_will_do` the
        first mapping.
        """
        self.any_will_do, self.sparing = any_will_do, 0
        self.begin_times()
        if self.timed and self.late_pj(0) == INFINITE:
            return
        dropped = self.open_pj
        whole = self.all_of(0)
        least = min(dropped, self.root_pj + self.left_pj[self.left_row[0, whole], self.size - 1])
        for part in range(3):
            self.most_nodes, self.until = most_nodes, until
            if part < 2:
                self.most_nodes = self.nodes + max(most_nodes - self.nodes, 0) // 8
                if until < INFINITE:
                    now = perf_counter()
                    self.until = now + max(until - now, 0.0) / 8
            self.stopped = 0
            self.width = 1 if part == 0 else 4 if part == 1 else 0
            self.gathering = 1 if part == 2 and self.segments > 1 else 0
            self.narrow_rows()
            self.open_pj = dropped
            self.expand_marks(0, whole, self.root_pj)
            if part < 2:
                self.open_pj = least
                if self.stopped == FOUND or self.nodes >= most_nodes or perf_counter() >= until:
                    break
        if self.gathering:
            self.gathering = 0
            self.go_on()

    def gather_outer(self, cost: float) -> None:
        """Keeps a whole segment 0 that is placed, with its cost, for `go_on`."""
        n, marks = self.outer_total, self.segment_mark[1]
        key = cost + self.left_pj[self.left_row[0, 0], self.flat_tile[marks]]
        if key >= self.limit_pj:
            return
        if n == len(self.outer_key):
            self.outer_key = np.concatenate([self.outer_key, self.outer_key])
            self.outer_cost = np.concatenate([self.outer_cost, self.outer_cost])
            self.outer_mark = np.concatenate([self.outer_mark, self.outer_mark])
            self.outer_tile = np.concatenate([self.outer_tile, self.outer_tile])
            self.outer_class = np.concatenate([self.outer_class, self.outer_class])
        self.outer_key[n], self.outer_cost[n] = key, cost
        for level in range(1, marks + 1):
            self.outer_mark[n, level] = self.last_mark[level]
            self.outer_tile[n, level] = self.flat_tile[level]
            self.outer_class[n, level] = self.last_class[level]
        self.outer_total = n + 1

    def go_on(self) -> None:
        """Inward from every segment 0 that was kept, those of the least bounds first."""
        order: Any = np.argsort(np.array(self.outer_key)[: self.outer_total], kind="stable").astype(np.int64)
        which: Any = order
        for i in range(self.outer_total):
            n = which[i]
            if self.outer_key[n] >= self.limit_pj:
                break
            if self.late():
                self.leave_open(self.outer_key[n])
                break
            self.place_outer(n)
            self.expand_inside(1, self.outer_cost[n])
            for k in range(self.segment_mark[1]):
                self.pending[k] = 1
        for part in range(len(self.used_bits)):
            self.used_bits[part] = 0.0

    def place_outer(self, n: int) -> None:
        """Places a segment 0 anew."""
        for part in range(len(self.used_bits)):
            self.used_bits[part] = 0.0
        for level in range(1, self.segment_mark[1] + 1):
            k, tile = self.outer_mark[n, level], self.outer_tile[n, level]
            self.put(level, tile, 0)
            self.mark(k, level)
            self.hold_still(level)
            self.take_order(level, self.outer_class[n, level])
            if self.timed:
                self.time_mark(k, level)
            self.use(k, tile, 1)
            self.pending[k] = 0
            self.last_mark[level], self.last_class[level] = k, self.outer_class[n, level]

    def expand_marks(self, s: int, left: int, cost: float) -> None:
        """All next marks of a segment with all tiles; then the next segment, or the mapping is complete."""
        if left == 0:
            if s == 0 and self.gathering:
                self.gather_outer(cost)
            elif s < self.segments - 1:
                self.expand_inside(s + 1, cost)
            else:
                self.finish(s, cost)
            return
        first = self.segment_mark[s]
        level = self.segment_level[s] + 1
        for k in range(first, self.segment_mark[s + 1]):
            if not left >> (k - first) & 1:
                level += 1
        base = self.heap_top
        for k in range(first, self.segment_mark[s + 1]):
            if self.is_next(k, left):
                self.collect_tiles(s, k, left, level, cost)
        middle = self.heap_top
        number = middle - base
        self.make_heap(base, number)
        seen = 0
        while self.goes_on(base, number, seen):
            row = self.heap_row[base]
            number = self.pop(base, number)
            seen += 1
            self.order_mark(s, row // self.size, left, level, row % self.size, cost)
        number = self.heap_top - middle
        self.make_heap(middle, number)
        seen = 0
        while self.goes_on(middle, number, seen):
            row, which, now = self.heap_row[middle], self.heap_class[middle], self.heap_cost[middle]
            number = self.pop(middle, number)
            seen += 1
            k, tile = row // self.size, row % self.size
            self.put(level, tile, 0)
            self.mark(k, level)
            self.hold_still(level)
            self.take_order(level, which)
            if self.timed:
                self.time_mark(k, level)
            self.use(k, tile, 1)
            self.pending[k] = 0
            self.last_mark[level], self.last_class[level] = k, which
            self.expand_marks(s, left & ~(1 << (k - first)), now)
            self.pending[k] = 1
            self.use(k, tile, -1)
        self.heap_top = base

    def collect_tiles(self, s: int, k: int, left: int, level: int, cost: float) -> None:
        """Puts every tile of a next mark on the heap that fits and can still win."""
        first, part = self.segment_mark[s], self.mark_part[k]
        after, space = left & ~(1 << (k - first)), self.flat_space[self.segment_level[s]]
        row = k * (EVERY + 1) + self.share_class(k, space)
        room = self.part_room[part] - self.used_bits[part]
        for other in range(first, self.segment_mark[s + 1]):
            if other != k and self.mark_part[other] == part and left >> (other - first) & 1:
                room -= self.mark_bits[other, 0]
        outer, flat = self.flat_tile[level - 1], self.first_tile(level)
        while flat >= 0:
            key = cost + self.mark_pj[row, flat]
            if (
                key < self.limit_pj
                and self.mark_bits[k, flat] <= room
                and (flat != outer or self.may_follow(s, k, level))
            ):
                key += self.rest(s, after, flat, space)
                if key < self.limit_pj:
                    self.push(key, 0.0, k * self.size + flat, 0)
            flat = self.next_tile(level, flat)

    def order_mark(self, s: int, k: int, left: int, level: int, tile: int, cost: float) -> None:
        """Prices a mark exactly with every order of the loops right outside it that can matter."""
        self.nodes += 1
        t = self.mark_tensor[k]
        rest = self.rest(s, left & ~(1 << (k - self.segment_mark[s])), tile, self.flat_space[self.segment_level[s]])
        self.put(level, tile, 0)
        self.mark(k, level)
        self.hold_still(level)
        number = self.orders_outside(level, t)
        for which in range(self.class_start[number], self.class_end[number]):
            if not self.take_order(level, which):
                continue
            if self.timed:
                self.open_times(level)
                self.feed(k, level)
            now = cost + self.boundary(t, level, level)
            key = now + rest
            if self.timed and key < self.limit_pj:
                key += self.late_pj(level)
            if key < self.limit_pj:
                self.push(key, now, k * self.size + tile, which)

    def expand_inside(self, s: int, cost: float) -> None:
        """All rows of a segment's first level."""
        level = self.segment_level[s]
        base = self.heap_top
        self.look_outward(level)
        self.collect_inside(s, level, cost)
        middle = self.heap_top
        number = middle - base
        self.nodes += number // 64
        self.make_heap(base, number)
        seen = 0
        while self.goes_on(base, number, seen):
            row = self.heap_row[base]
            if level < self.levels and self.heap_class[base] == 0:
                # a closer look, then back into its place among the others
                self.heap_key[base] = max(self.heap_key[base], cost + self.near_inside(s, level, row))
                self.heap_class[base] = 1
                self.sink(base, number, 0)
                continue
            number = self.pop(base, number)
            seen += 1
            self.order_inside(s, level, row, cost)
        number = self.heap_top - middle
        self.make_heap(middle, number)
        seen = 0
        while self.goes_on(middle, number, seen):
            row, which, now = self.heap_row[middle], self.heap_class[middle], self.heap_cost[middle]
            number = self.pop(middle, number)
            seen += 1
            self.descend_inside(s, level, row, which, now)
        self.heap_top = base

    def collect_inside(self, s: int, level: int, cost: float) -> None:
        """Puts every row on the heap whose whole divides the tile outside and that can still win."""
        if self.segment_closed[s - 1]:
            self.collect_row(s, level, self.flat_tile[level - 1], cost)
            return
        flat = self.first_tile(level)
        while flat >= 0:
            if cost + self.least[level, flat] < self.limit_pj:
                self.collect_row(s, level, flat, cost)
            flat = self.next_tile(level, flat)

    def collect_row(self, s: int, level: int, whole: int, cost: float) -> None:
        """The rows of one whole."""
        for n in range(self.starts[level, whole], self.starts[level, whole + 1]):
            row = self.chosen[n]
            key = cost + self.row_own[row]
            if key < self.limit_pj:
                self.push(key, 0.0, row, 0)

    def order_inside(self, s: int, level: int, row: int, cost: float) -> None:
        """Prices a row exactly with every order of the loops outside its array that can matter."""
        self.nodes += 1
        tile = self.row_tile[row]
        chosen = self.begin_set[self.row_begin[row]]
        rest = self.rest(s, self.all_of(s) & ~chosen, tile, self.row_space[row])
        self.put(level, tile, self.row_space[row])
        self.begin_marks(s, chosen, level)
        if self.timed:
            self.open_times(level)
        fixed = cost + self.settle_inside(s, level)
        if level == self.levels:
            key = fixed + (self.late_pj(level) if self.timed else 0.0)
            if key < self.limit_pj:
                self.push(key, fixed, row, -1)
            return
        self.hold_still(level)
        number = self.orders_outside(level, -1)
        for which in range(self.class_start[number], self.class_end[number]):
            if self.take_order(level, which):
                if self.timed:
                    self.time_inside(s, chosen, level)
                now = fixed + self.flow(level)
                key = now + rest
                if self.timed and key < self.limit_pj:
                    key += self.late_pj(level)
                if key < self.limit_pj:
                    self.push(key, now, row, which)

    def descend_inside(self, s: int, level: int, row: int, which: int, now: float) -> None:
        """Places a row with an order; levels of the marks that stand there already are left empty."""
        tile = self.row_tile[row]
        chosen = self.begin_set[self.row_begin[row]]
        first = self.segment_mark[s]
        self.put(level, tile, self.row_space[row])
        self.begin_marks(s, chosen, level)
        if self.timed:
            self.time_inside(s, chosen, level)
        if level == self.levels:
            self.found(level, now)
            return
        self.hold_still(level)
        self.take_order(level, which)
        if self.timed:
            self.flow(level)
        self.last_mark[level] = -1
        following = level + 1
        for k in range(first, self.segment_mark[s + 1]):
            if chosen >> (k - first) & 1:
                self.put(following, tile, 0)
                self.last_mark[following] = -1
                self.ahead[following] = self.ahead[level]
                self.open_times(following)
                self.use(k, tile, 1)
                self.pending[k] = 0
                following += 1
        self.expand_marks(s, self.all_of(s) & ~chosen, now)
        for k in range(first, self.segment_mark[s + 1]):
            if chosen >> (k - first) & 1:
                self.use(k, tile, -1)
                self.pending[k] = 1

    def time_mark(self, k: int, level: int) -> None:
        """Ports of a mark that is placed with its order."""
        self.open_times(level)
        self.feed(k, level)
        self.boundary(self.mark_tensor[k], level, level)

    def time_inside(self, s: int, chosen: int, level: int) -> None:
        """Ports at the first level of a segment, but for what crosses to the marks there."""
        self.open_times(level)
        self.settle_inside(s, level)
        first = self.segment_mark[s]
        for k in range(first, self.segment_mark[s + 1]):
            if chosen >> (k - first) & 1:
                self.feed(k, level)

    def finish(self, s: int, cost: float) -> None:
        """All marks are placed: what is left are the loops inside them."""
        level = self.segment_level[s] + 1 + self.segment_mark[s + 1] - self.segment_mark[s]
        self.put(level, 0, 0)
        if self.restrained:
            self.bar()
            for d in range(self.dims):
                if self.barred[d] and self.bound[level - 1, d] > 1:
                    return
        self.open_times(level)
        self.found(level, cost)

    def found(self, level: int, pj: float) -> None:
        """A complete mapping, placed to a level."""
        self.candidates += 1
        if pj < self.limit_pj and self.timed:
            pj = self.timed_pj(level, pj)
        if pj < self.limit_pj:
            self.best_pj = pj
            self.limit(pj)
            self.keep()
            self.best_where = np.array(self.where)
            if self.any_will_do:
                self.stopped = FOUND


__all__ = ["UnevenTree"]
