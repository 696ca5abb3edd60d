"""What marks cost at least wherever they stand, and all that can still follow (compiled: search_uneven_rows.pxd).

A mark is worth a look only where the loop right outside it touches its tensor: otherwise it moves outward and costs the
same. So a tensor without windows costs exactly what its tile says, and only marks right inside an array can be left
where they are by the loops outside the array.
"""

from typing import Any

import numpy as np

from energysim.mapping.search_tree import Tree

INFINITE = float("inf")
PLAIN, SLIDES = 1, 2

MOST_ROWS = 2_000_000
"""Rows that are kept in memory; what does not find room leaves its bound in `open_pj`."""


class UnevenRows(Tree):
    """Bounds of marks, of sets of marks that are left in a segment, and of rows right inside an array."""

    def __init__(self, tables: Any) -> None:
        super().__init__(tables)
        t = tables
        self.marks, self.segments = t["marks"], t["segments"]
        self.mark_tensor, self.mark_before = t["mark_tensor"], t["mark_before"]
        self.mark_following, self.mark_segment = t["mark_following"], t["mark_segment"]
        self.mark_up, self.mark_into, self.mark_first = t["mark_up"], t["mark_into"], t["mark_first"]
        self.mark_last_parent, self.mark_last_child = t["mark_last_parent"], t["mark_last_child"]
        self.mark_cross, self.mark_last_cross = t["mark_cross"], t["mark_last_cross"]
        self.mark_part, self.mark_bits, self.part_room = t["mark_part"], t["mark_bits"], t["part_room"]
        self.segment_level, self.segment_mark = t["segment_level"], t["segment_mark"]
        self.segment_closed = t["segment_closed"]
        self.left_segment, self.left_set, self.left_row = t["left_segment"], t["left_set"], t["left_row"]
        self.begin_segment, self.begin_set = t["begin_segment"], t["begin_set"]
        marks, size, parts = self.marks, self.size, len(self.part_room)
        # by set of marks left: the least pJ of them and all that lies inside, for every tile they stand in
        self.left_pj = np.full((len(self.left_set), size), np.inf)
        self.mark_pj = np.full((marks + 1, size), np.inf)
        self.outer_pj = np.zeros(size)
        self.row_begin = np.zeros(1 << 12, dtype=np.int64)
        self.open_begin = np.zeros(len(self.begin_set) + 1, dtype=np.int64)
        self.open_number = 0
        self.used_bits = np.zeros(parts)
        self.where = np.zeros(marks + 1, dtype=np.int64)
        self.timed = 0

    def rows(self, level: int) -> None:
        """None are made for single levels."""

    def settle(self, level: int) -> float:
        """Nothing is placed at the start."""
        return 0.0

    def bounds(self, limit_pj: float) -> float:
        """All tables, for mappings below an energy; the least that any mapping can cost, in pJ."""
        self.start()
        self.class_start = np.full((self.tensors + 1) << self.dims, -1, dtype=np.int64)
        self.class_end = np.zeros((self.tensors + 1) << self.dims, dtype=np.int64)
        self.limit(limit_pj)
        for t in range(self.tensors):
            self.load_compute(t)
        self.root_pj = self.constant_pj + self.fixed_root()
        for k in range(self.marks):
            self.bound_mark(k)
        self.bound_outside()
        for level in range(self.levels + 1):
            self.begin[level] = self.end[level] = 0
        for s in range(self.segments - 1, -1, -1):
            self.bound_left(s)
            if s > 0:
                self.rows_inside(s)
        self.group()
        return self.root_pj + self.left_pj[self.left_row[0, self.all_of(0)], self.size - 1]

    def all_of(self, s: int) -> int:
        """The set of all marks of a segment."""
        return (1 << (self.segment_mark[s + 1] - self.segment_mark[s])) - 1

    # ---- marks at levels ---------------------------------------------------------------------------------------

    def load(self, k: int, level: int, parent: int) -> None:
        """Puts the prices of a mark's boundary at a level, its parent at another."""
        t = self.mark_tensor[k]
        self.parent[t, level] = parent
        self.up[t, level], self.into[t, level] = self.mark_up[k], self.mark_into[k]
        for g in range(self.levels + 1):
            self.cross[t, level, g] = self.mark_cross[k, g]

    def load_compute(self, t: int) -> None:
        """The same for the boundary to the compute units, with the outermost level that its parent can be at."""
        k = self.marks + t
        self.load(k, self.levels, self.bound_parent(k))
        self.first[t, self.levels] = self.last_parent[t, self.levels] = self.last_child[t, self.levels] = 0.0

    def bound_parent(self, k: int) -> int:
        """The outermost level that the parent of a mark can be at."""
        if self.mark_before[k] < 0:
            return 0
        return self.segment_level[self.mark_segment[self.mark_before[k]]]

    def least_final(self, k: int) -> float:
        """What finished outputs can cost less than partial sums across one boundary, per output."""
        total = 0.0
        if self.mark_last_parent[k] < 0.0:
            total += self.mark_last_parent[k]
        if self.mark_last_child[k] < 0.0:
            total += self.mark_last_child[k]
        for g in range(self.levels + 1):
            if self.mark_last_cross[k, g] < 0.0:
                total += self.mark_last_cross[k, g]
        return total

    def fixed_root(self) -> float:
        """pJ that no choice changes: first visits and finished outputs outside all arrays, the least of the others."""
        total = 0.0
        for k in range(self.marks + self.tensors):
            t = self.mark_tensor[k]
            if self.is_output[t]:
                if self.bound_parent(k) == 0:
                    total += self.mark_first[k] * self.elements[t]
                if self.mark_segment[k] == 0:
                    total += (self.mark_last_parent[k] + self.mark_last_child[k]) * self.elements[t]
                else:
                    total += self.least_final(k) * self.elements[t]
        if self.idle_pj > 0.0 and self.idle_gap == 0:
            total += self.idle_pj * self.volume[self.size - 1] * self.operations
        return total

    def bound_mark(self, k: int) -> None:
        """The least pJ of a mark below the first level of its segment, for every tile."""
        s, t = self.mark_segment[k], self.mark_tensor[k]
        twice = 1 if s > 0 and self.mark_before[k] >= 0 and self.mark_segment[self.mark_before[k]] == s else 0
        level = self.load_inside(k)
        last = self.size - 1
        for tile in range(self.size):
            if self.mark_bits[k, tile] > self.part_room[self.mark_part[k]]:
                continue
            self.unfold(tile)
            self.bound_boundary(t, level, tile, 0, tile, self.reuse[t, last] / self.reuse[t, tile])
            least = INFINITE
            if tile == last and (s == 0 or twice):
                least = self.part_full[t]
            for d in range(self.dims):
                if self.now_tile[d] + 1 < self.count[d]:
                    cost = INFINITE
                    if self.touches[t, d] == PLAIN:
                        cost = self.part_full[t]
                    elif self.touches[t, d] == SLIDES:
                        cost = self.part_slide[t, d]
                    # right inside its own outer mark it may stay as that one does
                    if twice and self.part_stay[t] < cost:
                        cost = self.part_stay[t]
                    if cost < least:
                        least = cost
            self.mark_pj[k, tile] = least

    def load_inside(self, k: int) -> int:
        """Loads a mark for bounds below the first level of its segment: transfers next to it count its own words."""
        s, t = self.mark_segment[k], self.mark_tensor[k]
        start = self.segment_level[s]
        level, parent = start + 1, self.bound_parent(k)
        self.load(k, level, parent)
        if parent < start:
            self.cross[t, level, level] = self.mark_cross[k, start]
            self.cross[t, level, start] = 0.0
        return level

    def unfold(self, tile: int) -> None:
        """A tile as numbers of divisors."""
        for d in range(self.dims):
            i = tile // self.stride[d] % self.count[d]
            self.now_tile[d], self.now_space[d], self.now_whole[d] = i, 0, i

    # ---- what is left in a segment -----------------------------------------------------------------------------

    def has_room(self, k: int, left: int, tile: int) -> int:
        """Whether a mark fits at a tile with the marks outside it, whose tiles are no smaller, and those left."""
        s = self.mark_segment[k]
        first, part = self.segment_mark[s], self.mark_part[k]
        bits = self.mark_bits[k, tile]
        for other in range(first, self.segment_mark[s + 1]):
            if other != k and self.mark_part[other] == part:
                bits += self.mark_bits[other, 0 if left >> (other - first) & 1 else tile]
        return 1 if bits <= self.part_room[part] else 0

    def is_next(self, k: int, left: int) -> int:
        """Whether a mark of its segment is left and its tensor's outer one is not."""
        s = self.mark_segment[k]
        first = self.segment_mark[s]
        if not left >> (k - first) & 1:
            return 0
        before = self.mark_before[k]
        return 0 if before >= first and left >> (before - first) & 1 else 1

    def bound_left(self, s: int) -> None:
        """`left_pj` of every set of marks of a segment, smallest sets first."""
        for row in range(len(self.left_set)):
            if self.left_segment[row] != s:
                continue
            left = self.left_set[row]
            if left == 0:
                self.bound_next_segment(s, row)
                continue
            for k in range(self.segment_mark[s], self.segment_mark[s + 1]):
                if self.is_next(k, left):
                    rest = self.left_row[s, left & ~(1 << (k - self.segment_mark[s]))]
                    for tile in range(self.size):
                        cost = self.mark_pj[k, tile] + self.left_pj[rest, tile]
                        if cost < self.left_pj[row, tile] and self.has_room(k, left, tile):
                            self.left_pj[row, tile] = cost
            self.lower_left(row)

    def bound_next_segment(self, s: int, row: int) -> None:
        """`left_pj` of no marks: the least of the rows inside the next array."""
        if s == self.segments - 1:
            for tile in range(self.size):
                self.left_pj[row, tile] = 0.0
            return
        level = self.segment_level[s + 1]
        for tile in range(self.size):
            self.left_pj[row, tile] = self.least[level, tile]
        if not self.segment_closed[s]:
            self.lower_left(row)

    def lower_left(self, row: int) -> None:
        """The least over all tiles that divide."""
        for d in range(self.dims):
            step, number = self.stride[d], self.count[d]
            block = step * number
            for i in range(number - 1, 0, -1):
                for j in range(i):
                    if self.ratio[d, i, j] > 0:
                        for base in range(0, self.size, block):
                            for n in range(step):
                                other = self.left_pj[row, base + j * step + n]
                                if other < self.left_pj[row, base + i * step + n]:
                                    self.left_pj[row, base + i * step + n] = other

    def bound_outside(self) -> None:
        """`outer_pj`: the least pJ outside every whole of the arrays, all marks of segment 0 placed around it."""
        # sets of marks left come by number of members: backward from all of them
        last = self.left_row[0, self.all_of(0)]
        first = self.left_row[0, 0]
        table = np.full((last - first + 1, self.size), np.inf)
        around: Any = table
        around[last - first, self.size - 1] = self.root_pj
        for row in range(last, first, -1):
            left = self.left_set[row]
            self.raise_outer(table[row - first])
            for k in range(self.segment_mark[0], self.segment_mark[1]):
                if self.is_next(k, left):
                    rest = self.left_row[0, left & ~(1 << k)] - first
                    for tile in range(self.size):
                        cost = self.outer_pj[tile] + self.mark_pj[k, tile]
                        if self.has_room(k, left, tile) and cost < around[rest, tile]:
                            around[rest, tile] = cost
        self.raise_outer(table[0])

    def raise_outer(self, values: Any) -> None:
        """`outer_pj` from a table: the least over all tiles that are multiples."""
        for tile in range(self.size):
            self.outer_pj[tile] = values[tile]
        for d in range(self.dims):
            step, number = self.stride[d], self.count[d]
            block = step * number
            for i in range(number - 1):
                for j in range(i + 1, number):
                    if self.ratio[d, j, i] > 0:
                        for base in range(0, self.size, block):
                            for n in range(step):
                                other = self.outer_pj[base + j * step + n]
                                if other < self.outer_pj[base + i * step + n]:
                                    self.outer_pj[base + i * step + n] = other

    # ---- rows right inside an array ----------------------------------------------------------------------------

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
            if self.row_own[i] < self.least[level, self.row_whole[i]]:
                self.least[level, self.row_whole[i]] = self.row_own[i]

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
                if cost < least:
                    least = cost
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
            if not self.spreads[level, space + j * step]:
                break
            if w >= 0 and self.pairs[level, d, i, j]:
                self.now_tile[d], self.now_space[d], self.now_whole[d] = i, j, w
                self.extend_space(s, d + 1, tile, space + j * step, whole + (w - i) * step)

    def price_row(self, s: int, tile: int, space: int, whole: int) -> None:
        """Adds a row with every set of marks that can still win."""
        level, last = self.segment_level[s], self.size - 1
        outer = self.outer_pj[whole]
        if outer >= self.limit_pj:
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
            rest = self.left_pj[self.left_row[s, self.all_of(s) & ~chosen], tile]
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
            total += self.idle_pj * steps * self.operations
        return total

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
                if left < most:
                    most = left
                copies = self.volume[space] / self.plain[t, space] * most
                total += self.mark_first[self.mark_following[k]] * self.elements[t] * copies
        return total

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
