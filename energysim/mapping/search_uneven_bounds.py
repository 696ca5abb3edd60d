"""What marks cost at least wherever they stand, and all that can still follow (compiled: search_uneven_bounds.pxd).

A mark is worth a look only where the loop right outside it touches its tensor: otherwise it moves outward and costs the
same. So a tensor without windows costs exactly what its tile says, and only marks right inside an array can be left
where they are by the loops outside the array.
"""

from typing import Any

import numpy as np

from energysim.mapping.search_tree import Tree

INFINITE = float("inf")
PLAIN, SLIDES = 1, 2

EVERY = 6
"""Bounds of a mark are tabled for 1, 2, 4, .. 32 instances that share a word across its array, and for any number."""


class UnevenBounds(Tree):
    """Bounds of marks, and of sets of marks that are left in a segment."""

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
        self.mark_allowed = t["mark_allowed"]
        self.segment_level, self.segment_mark = t["segment_level"], t["segment_mark"]
        self.segment_closed = t["segment_closed"]
        self.left_segment, self.left_set, self.left_row = t["left_segment"], t["left_set"], t["left_row"]
        self.begin_segment, self.begin_set = t["begin_segment"], t["begin_set"]
        marks, size, parts = self.marks, self.size, len(self.part_room)
        # by set of marks left: the least pJ of them and all that lies inside, for every tile they stand in
        self.left_pj = np.full((len(self.left_set), size), np.inf)
        # by mark, sharing and tile: the least pJ of a mark there, and at any tile that divides
        self.mark_pj = np.full((marks * (EVERY + 1) + 1, size), np.inf)
        self.least_pj = np.full((marks * (EVERY + 1) + 1, size), np.inf)
        self.outer_pj = np.zeros(size)
        self.row_begin = np.zeros(1 << 12, dtype=np.int64)
        self.open_begin = np.zeros(len(self.begin_set) + 1, dtype=np.int64)
        self.open_number = 0
        self.used_bits = np.zeros(parts)
        self.where = np.zeros(marks + 1, dtype=np.int64)
        # by tensor and level: which mark stands there, or its compute units
        self.at_mark = np.zeros((self.tensors, self.levels + 1), dtype=np.int64)

    def rows(self, level: int) -> None:
        """None are made for single levels."""

    def settle(self, level: int) -> float:
        """Nothing is placed at the start."""
        return 0.0

    def all_of(self, s: int) -> int:
        """The set of all marks of a segment."""
        number: int = self.segment_mark[s + 1] - self.segment_mark[s]
        return (1 << number) - 1

    def load(self, k: int, level: int, parent: int) -> None:
        """Puts the prices of a mark's boundary at a level, its parent at another."""
        t = self.mark_tensor[k]
        self.parent[t, level], self.at_mark[t, level] = parent, k
        self.up[t, level], self.into[t, level] = self.mark_up[k], self.mark_into[k]
        for g in range(self.levels + 1):
            self.cross[t, level, g] = self.mark_cross[k, g]
        self.set_boundary(t, level)

    def load_compute(self, t: int) -> None:
        """The same for the boundary to the compute units, with the outermost level that its parent can be at."""
        k = self.marks + t
        self.load(k, self.levels, self.bound_parent(k))
        self.first[t, self.levels] = self.last_parent[t, self.levels] = self.last_child[t, self.levels] = 0.0

    def bound_parent(self, k: int) -> int:
        """The outermost level that the parent of a mark can be at."""
        if self.mark_before[k] < 0:
            return 0
        level: int = self.segment_level[self.mark_segment[self.mark_before[k]]]
        return level

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
            total += self.idle_pj * (1.0 - self.stall_share) * self.volume[self.size - 1] * self.operations
        return total

    def share_class(self, k: int, space: int) -> int:
        """Which bounds of a mark hold when the array of its segment is spread by some factors."""
        s, t = self.mark_segment[k], self.mark_tensor[k]
        level = self.segment_level[s]
        # words that are handed on have no table by sharing
        if s > 0 and self.bound_parent(k) < level and self.shares[t, level] and not self.passes[t, level]:
            copies = self.volume[space] / self.plain[t, space]
            for shared in range(EVERY):
                if copies <= 1 << shared:
                    return shared
        return EVERY

    def bound_mark(self, k: int, shared: int) -> None:
        """The least pJ of a mark below the first level of its segment, for every tile, when so many share a word."""
        s, t = self.mark_segment[k], self.mark_tensor[k]
        start = self.segment_level[s]
        fan = self.fan[start]
        if shared < EVERY:
            if s == 0 or self.bound_parent(k) >= start or not self.shares[t, start] or self.passes[t, start]:
                return
            self.fan[start] = min(fan, 1.0 * (1 << shared))
        row = k * (EVERY + 1) + shared
        twice = 1 if s > 0 and self.mark_before[k] >= 0 and self.mark_segment[self.mark_before[k]] == s else 0
        level = self.load_inside(k)
        last = self.size - 1
        for tile in range(self.size):
            if self.mark_bits[k, tile] > self.part_room[self.mark_part[k]] or not self.mark_allowed[k, tile]:
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
                    least = min(least, cost)
            self.mark_pj[row, tile] = self.least_pj[row, tile] = least
        self.fan[start] = fan
        self.lower_in(self.least_pj, row)

    def load_inside(self, k: int) -> int:
        """Loads a mark for bounds below the first level of its segment: transfers next to it count its own words."""
        s, t = self.mark_segment[k], self.mark_tensor[k]
        start = self.segment_level[s]
        level: int = start + 1
        parent = self.bound_parent(k)
        self.load(k, level, parent)
        if parent < start:
            self.cross[t, level, level] = self.mark_cross[k, start]
            self.cross[t, level, start] = 0.0
            self.set_boundary(t, level)
        return level

    def unfold(self, tile: int) -> None:
        """A tile as numbers of divisors."""
        for d in range(self.dims):
            i = tile // self.stride[d] % self.count[d]
            self.now_tile[d], self.now_space[d], self.now_whole[d] = i, 0, i

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
                        cost = self.mark_pj[k * (EVERY + 1) + EVERY, tile] + self.left_pj[rest, tile]
                        if cost < self.left_pj[row, tile] and self.has_room(k, left, tile):
                            self.left_pj[row, tile] = cost
            self.lower_in(self.left_pj, row)

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
            self.lower_in(self.left_pj, row)

    def lower_in(self, table: Any, row: int) -> None:
        """The least over all tiles that divide."""
        for d in range(self.dims):
            step, number = self.stride[d], self.count[d]
            block = step * number
            for i in range(1, number):
                for j in range(i):
                    if self.by_prime[d, i, j]:
                        for base in range(0, self.size, block):
                            for n in range(step):
                                other = table[row, base + j * step + n]
                                table[row, base + i * step + n] = min(table[row, base + i * step + n], other)

    def rest(self, s: int, left: int, tile: int, space: int) -> float:
        """`left_pj` of a set of marks when the array of their segment is spread by some factors."""
        joint: float = self.left_pj[self.left_row[s, left], tile]
        if left == 0 or s == 0:
            return joint
        single: float = self.left_pj[self.left_row[s, 0], tile]
        for k in range(self.segment_mark[s], self.segment_mark[s + 1]):
            if left >> (k - self.segment_mark[s]) & 1:
                single += self.least_pj[k * (EVERY + 1) + self.share_class(k, space), tile]
        return max(joint, single)

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
                        cost = self.outer_pj[tile] + self.mark_pj[k * (EVERY + 1) + EVERY, tile]
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
            for i in range(number - 1, -1, -1):
                for j in range(i + 1, number):
                    if self.by_prime[d, j, i]:
                        for base in range(0, self.size, block):
                            for n in range(step):
                                other = self.outer_pj[base + j * step + n]
                                self.outer_pj[base + i * step + n] = min(self.outer_pj[base + i * step + n], other)


__all__ = ["UnevenBounds"]
