"""One partial uneven mapping: levels, marks and orders put in their places (compiled: search_uneven_places.pxd)."""

from time import perf_counter
from typing import Any

import numpy as np

from energysim.mapping.search_uneven_rows import UnevenRows

INFINITE = float("inf")

WATCHED = 256
"""Nodes between two looks at the clock."""


class UnevenPlaces(UnevenRows):
    """What is placed, and what that alone decides."""

    def __init__(self, tables: Any) -> None:
        super().__init__(tables)
        self.mark_memory, self.no_loops = tables["mark_memory"], tables["no_loops"]
        self.restrained = int(tables["no_loops"].any())
        self.barred = np.zeros(self.dims, dtype=np.int64)
        self.fixed_digit = np.zeros((self.levels + 2, self.dims), dtype=np.int64)
        self.best_where = np.zeros(self.marks + 1, dtype=np.int64)
        self.pending = np.ones(self.marks + 1, dtype=np.int64)
        self.last_mark = np.full(self.levels + 2, -1, dtype=np.int64)
        self.last_class = np.zeros(self.levels + 2, dtype=np.int64)
        # whole segments 0 that wait to be gone on from: bound, cost, and by level mark, tile and order of loops
        self.gathering = self.outer_total = 0
        self.outer_key, self.outer_cost = np.zeros(1 << 10), np.zeros(1 << 10)
        self.outer_mark = np.zeros((1 << 10, self.levels + 1), dtype=np.int64)
        self.outer_tile = np.zeros((1 << 10, self.levels + 1), dtype=np.int64)
        self.outer_class = np.zeros((1 << 10, self.levels + 1), dtype=np.int64)

    def late(self) -> int:
        """Whether to stop here."""
        if self.stopped == 0:
            if self.nodes >= self.most_nodes:
                self.stopped = 1
            elif self.nodes % WATCHED == 0:
                # a turn of the interpreter lets Ctrl-C through
                self.awake()
                if self.until < INFINITE and perf_counter() >= self.until:
                    self.stopped = 2
        return self.stopped

    def goes_on(self, base: int, number: int, seen: int) -> int:
        """Whether the first of so many entries of a heap is looked at: it can win, and breadth and limits allow it."""
        if number == 0:
            return 0
        key = self.heap_key[base]
        if key >= self.limit_pj or (self.width > 0 and seen >= self.width):
            return 0
        if self.late():
            self.leave_open(key)
            return 0
        return 1

    def bar(self) -> None:
        """Finds the dims that may have no loop inside all that is placed: those of the innermost memory marked there.

        What a memory may not loop over it may where the dim touches none of what it holds.
        """
        owner = 0
        for k in range(self.marks):
            if self.pending[k] == 0:
                owner = max(owner, self.mark_memory[k])
        for d in range(self.dims):
            self.barred[d] = 1 if self.no_loops[owner, d] and owner == 0 else 0
            if self.no_loops[owner, d]:
                for k in range(self.marks):
                    if self.pending[k] == 0 and self.mark_memory[k] == owner and self.touches[self.mark_tensor[k], d]:
                        self.barred[d] = 1

    def first_tile(self, level: int) -> int:
        """The smallest tile inside the one outside a level: of dims whose loops are barred, that one's own."""
        flat = 0
        if self.restrained:
            self.bar()
        for d in range(self.dims):
            self.digit[level, d] = self.tile[level - 1, d] if self.barred[d] else 0
            self.fixed_digit[level, d] = self.barred[d]
            flat += self.digit[level, d] * self.stride[d]
        return flat

    def next_tile(self, level: int, flat: int) -> int:
        """The tile after one of `first_tile`, -1 at the end."""
        d = self.dims - 1
        while d >= 0:
            if not self.fixed_digit[level, d]:
                i = self.digit[level, d] + 1
                top = self.tile[level - 1, d]
                while i <= top and self.ratio[d, top, i] == 0:
                    i += 1
                if i <= top:
                    flat += (i - self.digit[level, d]) * self.stride[d]
                    self.digit[level, d] = i
                    return flat
                flat -= self.digit[level, d] * self.stride[d]
                self.digit[level, d] = 0
            d -= 1
        return -1

    def put(self, level: int, tile: int, space: int) -> None:
        """Tile and spatial factors of a level, with the loops outside it; no mark stands there yet."""
        self.flat_tile[level], self.flat_space[level] = tile, space
        for d in range(self.dims):
            step, number = self.stride[d], self.count[d]
            i, j = tile // step % number, space // step % number
            self.tile[level, d], self.space[level, d] = i, j
            whole = self.product[d, i, j]
            if level > 0:
                self.stretch[level - 1, d] = self.value[d, whole]
                self.bound[level - 1, d] = self.ratio[d, self.tile[level - 1, d], whole]
        if level < self.levels:
            for t in range(self.tensors):
                self.parent[t, level] = -1

    def mark(self, k: int, level: int) -> None:
        """A mark at a level that is put."""
        before = self.mark_before[k]
        self.load(k, level, 0 if before < 0 else self.where[before])
        self.where[k] = level
        if self.mark_following[k] >= self.marks:
            self.parent[self.mark_tensor[k], self.levels] = level

    def begin_marks(self, s: int, chosen: int, level: int) -> None:
        """Marks right inside an array."""
        first = self.segment_mark[s]
        for k in range(first, self.segment_mark[s + 1]):
            if chosen >> (k - first) & 1:
                self.mark(k, level)

    def use(self, k: int, tile: int, sign: int) -> None:
        """Room that a mark takes (1) or gives back (-1)."""
        self.used_bits[self.mark_part[k]] += sign * self.mark_bits[k, tile]

    def inner_dim(self, s: int, level: int) -> int:
        """The dim of the innermost loop outside a level in its segment, -1 without one."""
        for c in range(level - 1, self.segment_level[s] - 1, -1):
            for n in range(self.dims - 1, -1, -1):
                d: int = self.order[c, n]
                if self.bound[c, d] > 1:
                    return d
        return -1

    def orders_outside(self, level: int, t: int) -> int:
        """The number of the order classes of the loops right outside a level, made ready; the innermost touches t.

        Any innermost loop will do for t below 0.
        """
        mask = 0
        for d in range(self.dims):
            if self.bound[level - 1, d] > 1:
                mask |= 1 << d
        if t < 0 or mask == 0:
            if self.class_start[mask] < 0:
                self.make_classes(mask)
            return mask
        number: int = mask | (t + 1) << self.dims
        if self.class_start[number] < 0:
            self.class_start[number] = self.class_end[number] = self.class_total
            for d in range(self.dims):
                if mask >> d & 1 and self.touches[t, d] != 0:
                    self.prefix[0] = d
                    self.extend_order(number, mask & ~(1 << d), 1)
        return number

    def hold_still(self, level: int) -> None:
        """Tells `take_order` whether the mark that a dataflow keeps still is inside this level."""
        t = self.still_tensor
        self.still_level = -1
        if t >= 0:
            for k in range(self.marks):
                if self.mark_tensor[k] == t and self.mark_following[k] >= self.marks and self.pending[k]:
                    self.still_level = level

    def may_follow(self, s: int, k: int, level: int) -> int:
        """Whether a mark may stand right inside the one before it."""
        before = self.mark_before[k]
        last = self.last_mark[level - 1]
        if last >= 0 and last > k:
            return 0
        d = self.inner_dim(s, level - 1)
        if d >= 0:
            return 1 if self.touches[self.mark_tensor[k], d] != 0 else 0
        # nothing outside but an array: then it would stand with the first marks, unless its own outer one does
        if s == 0:
            return 1
        return 1 if before >= 0 and self.mark_segment[before] == s else 0

    def near_inside(self, s: int, level: int, row: int) -> float:
        """`row_own` once the tile and the loops outside are known: what stays, stays for their runs at most."""
        self.nodes += 1
        tile, space, whole = self.row_tile[row], self.row_space[row], self.row_whole[row]
        chosen, outer = self.begin_set[self.row_begin[row]], self.flat_tile[level - 1]
        for d in range(self.dims):
            i, j = self.digits[tile, d], self.digits[space, d]
            self.now_tile[d], self.now_space[d], self.now_whole[d] = i, j, self.product[d, i, j]
        total = self.fixed_inside(s, level, tile, space, whole)
        total += self.rest(s, self.all_of(s) & ~chosen, tile, space)
        first = self.segment_mark[s]
        for k in range(first, self.segment_mark[s + 1]):
            if chosen >> (k - first) & 1:
                t, before = self.mark_tensor[k], self.mark_before[k]
                self.load(k, level, 0 if before < 0 else self.where[before])
                run = self.reuse[t, outer] / self.reuse[t, whole]
                if self.volume[outer] / self.volume[whole] == run:
                    run *= self.run_on[level, t]
                self.bound_boundary(t, level, tile, space, whole, run)
        if chosen == 0:
            return total
        least = INFINITE
        for d in range(self.dims):
            if whole == outer:
                possible = 1 if d == self.innermost[level] else 0
            else:
                possible = 1 if self.ratio[d, self.tile[level - 1, d], self.now_whole[d]] > 1 else 0
            if possible:
                cost = self.case_of(s, chosen, d)
                least = min(least, cost)
        if whole == outer and self.innermost[level] < 0:
            least = self.case_of(s, chosen, -1)
        return total + least

    def settle_inside(self, s: int, level: int) -> float:
        """pJ that the arrays down to a segment decide: first visits, finished outputs, compute units at its array."""
        total = 0.0
        for t in range(self.tensors):
            if self.is_output[t]:
                for k in range(self.segment_mark[s], self.segment_mark[s + 1]):
                    if self.mark_tensor[k] == t:
                        total += self.mark_first[self.mark_following[k]] * self.visits(t, level, 0)
                        total += self.final(k, t, level)
                if s == self.segments - 1:
                    total += self.final(self.marks + t, t, level)
            if self.charge[t] == level:
                total += self.boundary(t, self.levels, level)
        if level == self.idle_gap:
            steps = self.volume[self.size - 1]
            for g in range(1, level + 1):
                steps /= self.volume[self.flat_space[g]]
            total += self.idle_pj * (1.0 - self.stall_share) * steps * self.operations
        return total

    def final(self, k: int, t: int, level: int) -> float:
        """What finished outputs cost across a boundary, beyond the least."""
        total: float = -self.least_final(k) * self.elements[t]
        if self.mark_last_parent[k] != 0.0:
            total += self.mark_last_parent[k] * self.visits(t, self.bound_parent(k), 1)
        for g in range(1, level + 1):
            if self.mark_last_cross[k, g] != 0.0:
                total += self.mark_last_cross[k, g] * self.visits(t, g, 1)
        if self.mark_last_child[k] != 0.0:
            total += self.mark_last_child[k] * self.visits(t, level, 1)
        return total


__all__ = ["UnevenPlaces"]
