"""Branch and bound among uneven mappings: which mark comes next, and its tile (compiled: search_uneven_tree.pxd).

Outermost first, each mark is placed with the loops right outside it, and what crosses to it is priced exactly. Marks of
one depth come in the order of their numbers; a mark right inside a loop that does not touch its tensor is another mark
order's, at the same price.
"""

from time import perf_counter
from typing import Any

import numpy as np

from energysim.mapping.search_uneven_rows import UnevenRows

INFINITE = float("inf")

WATCHED = 256
"""Nodes between two looks at the clock."""


class UnevenTree(UnevenRows):
    """The search: `bounds`, then `find`."""

    def __init__(self, tables: Any) -> None:
        super().__init__(tables)
        self.price = tables["price"]
        self.best_where = np.zeros(self.marks + 1, dtype=np.int64)
        self.pending = np.ones(self.marks + 1, dtype=np.int64)
        self.last_mark = np.full(self.levels + 2, -1, dtype=np.int64)

    def find(self, most_nodes: int, until: float) -> None:
        """Dives of growing width, then the proof; `most_nodes` and the `perf_counter` time `until` end it early."""
        self.most_nodes, self.until, self.any_will_do, self.sparing = most_nodes, until, 0, 0
        dropped = self.open_pj
        whole = self.all_of(0)
        least = self.root_pj + self.left_pj[self.left_row[0, whole], self.size - 1]
        for width in (1, 4, 0):
            if self.stopped == 0:
                self.width = width
                self.open_pj = dropped
                self.expand_marks(0, whole, self.root_pj)
                if width > 0:
                    self.open_pj = dropped if dropped < least else least

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

    # ---- placing -----------------------------------------------------------------------------------------------

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
                d = self.order[c, n]
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
        number = mask | (t + 1) << self.dims
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

    # ---- marks inside their segment's first level --------------------------------------------------------------

    def expand_marks(self, s: int, left: int, cost: float) -> None:
        """All next marks of a segment with all tiles; then the next segment, or the mapping is complete."""
        if left == 0:
            if s < self.segments - 1:
                self.expand_inside(s + 1, cost)
            else:
                self.complete(s, cost)
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
        while number > 0:
            key = self.heap_key[base]
            if key >= self.limit_pj or (self.width > 0 and seen >= self.width):
                break
            if self.late():
                self.leave_open(key)
                break
            row = self.heap_row[base]
            number = self.pop(base, number)
            seen += 1
            self.order_mark(s, row // self.size, left, level, row % self.size, cost)
        number = self.heap_top - middle
        self.make_heap(middle, number)
        seen = 0
        while number > 0:
            key = self.heap_key[middle]
            if key >= self.limit_pj or (self.width > 0 and seen >= self.width):
                break
            if self.late():
                self.leave_open(key)
                break
            row, which, now = self.heap_row[middle], self.heap_class[middle], self.heap_cost[middle]
            number = self.pop(middle, number)
            seen += 1
            k, tile = row // self.size, row % self.size
            self.put(level, tile, 0)
            self.mark(k, level)
            self.hold_still(level)
            self.take_order(level, which)
            self.use(k, tile, 1)
            self.pending[k] = 0
            self.last_mark[level] = k
            self.expand_marks(s, left & ~(1 << (k - first)), now)
            self.pending[k] = 1
            self.use(k, tile, -1)
        self.heap_top = base

    def collect_tiles(self, s: int, k: int, left: int, level: int, cost: float) -> None:
        """Puts every tile of a next mark on the heap that fits and can still win."""
        first, part, t = self.segment_mark[s], self.mark_part[k], self.mark_tensor[k]
        rest = self.left_row[s, left & ~(1 << (k - first))]
        room = self.part_room[part] - self.used_bits[part]
        for other in range(first, self.segment_mark[s + 1]):
            if other != k and self.mark_part[other] == part and left >> (other - first) & 1:
                room -= self.mark_bits[other, 0]
        dims, outer = self.dims, self.flat_tile[level - 1]
        for d in range(dims):
            self.digit[level, d] = 0
        flat = 0
        while True:
            key = cost + self.mark_pj[k, flat] + self.left_pj[rest, flat]
            if (
                key < self.limit_pj
                and self.mark_bits[k, flat] <= room
                and (flat != outer or self.may_follow(s, k, level))
            ):
                self.push(key, 0.0, k * self.size + flat, 0)
            d = dims - 1
            while d >= 0:
                i = self.digit[level, d] + 1
                top = self.tile[level - 1, d]
                while i <= top and self.ratio[d, top, i] == 0:
                    i += 1
                if i <= top:
                    flat += (i - self.digit[level, d]) * self.stride[d]
                    self.digit[level, d] = i
                    break
                flat -= self.digit[level, d] * self.stride[d]
                self.digit[level, d] = 0
                d -= 1
            if d < 0:
                break

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

    def order_mark(self, s: int, k: int, left: int, level: int, tile: int, cost: float) -> None:
        """Prices a mark exactly with every order of the loops right outside it that can matter."""
        self.nodes += 1
        t = self.mark_tensor[k]
        rest = self.left_row[s, left & ~(1 << (k - self.segment_mark[s]))]
        self.put(level, tile, 0)
        self.mark(k, level)
        self.hold_still(level)
        number = self.orders_outside(level, t)
        for which in range(self.class_start[number], self.class_end[number]):
            if not self.take_order(level, which):
                continue
            now = cost + self.boundary(t, level, level)
            key = now + self.left_pj[rest, tile]
            if key < self.limit_pj:
                self.push(key, now, k * self.size + tile, which)

    # ---- right inside an array ---------------------------------------------------------------------------------

    def expand_inside(self, s: int, cost: float) -> None:
        """All rows of a segment's first level."""
        level = self.segment_level[s]
        base = self.heap_top
        self.look_outward(level)
        self.collect_inside(s, level, cost)
        middle = self.heap_top
        number = middle - base
        self.make_heap(base, number)
        seen = 0
        while number > 0:
            key = self.heap_key[base]
            if key >= self.limit_pj or (self.width > 0 and seen >= self.width):
                break
            if self.late():
                self.leave_open(key)
                break
            row = self.heap_row[base]
            number = self.pop(base, number)
            seen += 1
            self.order_inside(s, level, row, cost)
        number = self.heap_top - middle
        self.make_heap(middle, number)
        seen = 0
        while number > 0:
            key = self.heap_key[middle]
            if key >= self.limit_pj or (self.width > 0 and seen >= self.width):
                break
            if self.late():
                self.leave_open(key)
                break
            row, which, now = self.heap_row[middle], self.heap_class[middle], self.heap_cost[middle]
            number = self.pop(middle, number)
            seen += 1
            self.descend_inside(s, level, row, which, now)
        self.heap_top = base

    def collect_inside(self, s: int, level: int, cost: float) -> None:
        """Puts every row on the heap whose whole divides the tile outside and that can still win."""
        dims = self.dims
        if self.segment_closed[s - 1]:
            self.collect_row(s, level, self.flat_tile[level - 1], cost)
            return
        for d in range(dims):
            self.digit[level, d] = 0
        flat = 0
        while True:
            if cost + self.least[level, flat] < self.limit_pj:
                self.collect_row(s, level, flat, cost)
            d = dims - 1
            while d >= 0:
                i = self.digit[level, d] + 1
                top = self.tile[level - 1, d]
                while i <= top and self.ratio[d, top, i] == 0:
                    i += 1
                if i <= top:
                    flat += (i - self.digit[level, d]) * self.stride[d]
                    self.digit[level, d] = i
                    break
                flat -= self.digit[level, d] * self.stride[d]
                self.digit[level, d] = 0
                d -= 1
            if d < 0:
                break

    def collect_row(self, s: int, level: int, whole: int, cost: float) -> None:
        """The rows of one whole."""
        for n in range(self.starts[level, whole], self.starts[level, whole + 1]):
            row = self.chosen[n]
            key = cost + self.row_own[row]
            if key < self.limit_pj:
                if level < self.levels:
                    nearer = cost + self.near_inside(s, level, row)
                    if nearer > key:
                        key = nearer
                if key < self.limit_pj:
                    self.push(key, 0.0, row, 0)

    def near_inside(self, s: int, level: int, row: int) -> float:
        """`row_own` once the tile and the loops outside are known: what stays, stays for their runs at most."""
        tile, space, whole = self.row_tile[row], self.row_space[row], self.row_whole[row]
        chosen, outer = self.begin_set[self.row_begin[row]], self.flat_tile[level - 1]
        for d in range(self.dims):
            i, j = self.digits[tile, d], self.digits[space, d]
            self.now_tile[d], self.now_space[d], self.now_whole[d] = i, j, self.product[d, i, j]
        total = self.fixed_inside(s, level, tile, space, whole)
        total += self.left_pj[self.left_row[s, self.all_of(s) & ~chosen], tile]
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
                if cost < least:
                    least = cost
        if whole == outer and self.innermost[level] < 0:
            least = self.case_of(s, chosen, -1)
        return total + least

    def order_inside(self, s: int, level: int, row: int, cost: float) -> None:
        """Prices a row exactly with every order of the loops outside its array that can matter."""
        self.nodes += 1
        tile = self.row_tile[row]
        chosen = self.begin_set[self.row_begin[row]]
        rest = self.left_row[s, self.all_of(s) & ~chosen]
        self.put(level, tile, self.row_space[row])
        self.begin_marks(s, chosen, level)
        fixed = cost + self.settle_inside(s, level)
        if level == self.levels:
            self.push(fixed, fixed, row, -1)
            return
        self.hold_still(level)
        number = self.orders_outside(level, -1)
        for which in range(self.class_start[number], self.class_end[number]):
            if self.take_order(level, which):
                now = fixed + self.flow(level)
                key = now + self.left_pj[rest, tile]
                if key < self.limit_pj:
                    self.push(key, now, row, which)

    def descend_inside(self, s: int, level: int, row: int, which: int, now: float) -> None:
        """Places a row with an order; levels of the marks that stand there already are left empty."""
        tile = self.row_tile[row]
        chosen = self.begin_set[self.row_begin[row]]
        first = self.segment_mark[s]
        self.put(level, tile, self.row_space[row])
        self.begin_marks(s, chosen, level)
        if level == self.levels:
            self.found(now)
            return
        self.hold_still(level)
        self.take_order(level, which)
        self.last_mark[level] = -1
        following = level + 1
        for k in range(first, self.segment_mark[s + 1]):
            if chosen >> (k - first) & 1:
                self.put(following, tile, 0)
                self.last_mark[following] = -1
                self.ahead[following] = self.ahead[level]
                self.use(k, tile, 1)
                self.pending[k] = 0
                following += 1
        self.expand_marks(s, self.all_of(s) & ~chosen, now)
        for k in range(first, self.segment_mark[s + 1]):
            if chosen >> (k - first) & 1:
                self.use(k, tile, -1)
                self.pending[k] = 1

    def settle_inside(self, s: int, level: int) -> float:
        """pJ that the arrays down to a segment decide: first visits, finished outputs, compute units across its array."""
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
            total += self.idle_pj * steps * self.operations
        return total

    def final(self, k: int, t: int, level: int) -> float:
        """What finished outputs cost across a boundary, beyond the least."""
        total = -self.least_final(k) * self.elements[t]
        if self.mark_last_parent[k] != 0.0:
            total += self.mark_last_parent[k] * self.visits(t, self.bound_parent(k), 1)
        for g in range(1, level + 1):
            if self.mark_last_cross[k, g] != 0.0:
                total += self.mark_last_cross[k, g] * self.visits(t, g, 1)
        if self.mark_last_child[k] != 0.0:
            total += self.mark_last_child[k] * self.visits(t, level, 1)
        return total

    # ---- the end -----------------------------------------------------------------------------------------------

    def complete(self, s: int, cost: float) -> None:
        """All marks are placed: what is left are the loops inside them."""
        level = self.segment_level[s] + 1 + self.segment_mark[s + 1] - self.segment_mark[s]
        self.put(level, 0, 0)
        self.found(cost)

    def found(self, pj: float) -> None:
        """A complete mapping."""
        self.candidates += 1
        if pj < self.limit_pj and self.idle_pj > 0.0:
            pj = self.price(np.array(self.tile), np.array(self.space), np.array(self.order), np.array(self.where))
        if pj < self.limit_pj:
            self.best_pj = pj
            self.limit(pj)
            self.keep()
            self.best_where = np.array(self.where)


__all__ = ["UnevenTree"]
