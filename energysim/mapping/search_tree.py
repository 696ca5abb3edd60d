"""Branch and bound over rows and orders, outermost level first (compiled: search_tree.pxd).

At each level the rows that can still win are taken out of a heap by their bounds, every order of the loops outside that
can matter is priced exactly, and what remains is descended into, best first. What a limit leaves unseen leaves its
bound in `open_pj`.
"""

from time import perf_counter
from typing import Any

import numpy as np

from energysim.mapping.search_heaps import Heaps

INFINITE = float("inf")
PLAIN = 1

EDGE = 1.0 - 1e-12
"""Energies closer than this count as equal."""

WATCHED = 256
"""Nodes between two looks at the clock."""

PATIENCE, HOPE, FAR = 0.125, 0.03, 0.03
"""A proof ends early when this part of all nodes has bettered nothing, less than this share of it is seen, and the best
in hand costs so much more than the bound, relative."""

HOPELESS, AGAIN = 4, 1
"""`stopped` of such a proof; it begins anew if so many climbs more better what is in hand."""


class Tree(Heaps):
    """The search itself: `ready`, `start`, then `limit` where a better mapping is known elsewhere, then `search`."""

    def ready(self) -> None:
        """Scratch space, and what does not change with rows."""
        self.prepare()
        self.make_room()
        self.clear_heaps()
        self.innermost = np.full(self.levels + 2, -1, dtype=np.int64)
        self.digit = np.zeros((self.levels + 2, self.dims), dtype=np.int64)
        self.clear_classes()
        self.most_nodes, self.until, self.stopped, self.any_will_do = 1 << 62, INFINITE, 0, 0
        self.share, self.seen_share, self.since = np.ones(self.levels + 2), 0.0, 0
        self.clear_ports(0)
        self.root_pj = self.constant_pj + self.settle(0)

    def start(self) -> float:
        """Rows of all levels, inward to outward; the least that any mapping can cost, in pJ. `ready` comes first."""
        least = self.least_outside()
        for level in range(1, self.levels + 1):
            for w in range(self.size):
                self.outside[level, w] = least
        for level in range(self.levels, 0, -1):
            self.rows(level)
        for w in range(self.size):
            self.outside[1, w] = self.root_pj
        return self.root_pj + self.inside[0, self.size - 1]

    def least_outside(self) -> float:
        """The least of what lies outside any row: first visits of outputs, which read nothing back, are below zero."""
        least, most = self.root_pj, 1.0
        for level in range(1, self.levels):
            most *= self.fan[level]
            for t in range(self.tensors):
                c = self.child[t, level]
                if c > 0 and self.is_output[t]:
                    copies = min(most, self.left[t, 0])
                    least += min(0.0, self.first[t, c] * copies + self.least_last[t, c]) * self.elements[t]
        return least

    def borrow(self, lender: Any) -> float:
        """The same without rows of one's own but those of level 1: inside of it, a search that has started lends."""
        for w in range(self.size):
            self.inside[1, w] = lender.lent[1, w]
        lender.lends = 0
        self.rows(1)
        self.row_total = 0
        return self.root_pj + self.inside[0, self.size - 1]

    def limit(self, pj: float) -> None:
        """Mappings at or above this energy are not looked for."""
        self.limit_pj = pj * EDGE

    def cap(self, cycles: float) -> None:
        """Mappings of more cycles are not looked for; set before `start`."""
        # sums of ports' fractions round either way
        self.cap_cycles = cycles * (1.0 + 1e-9)
        self.timed = 1 if self.idle_pj > 0.0 or cycles < INFINITE else 0

    def search(self, most_nodes: int, until: float, any_will_do: int) -> None:
        """A dive along the best row of each whole, one along the best of all rows that are left, then the proof.

        `most_nodes` and the `perf_counter` time `until` end the search early, not before something is found unless
        cycles are capped; `any_will_do` ends it with the first mapping. What is then unseen has its bound in `open_pj`.
        """
        self.most_nodes, self.until, self.any_will_do = most_nodes, until, any_will_do
        self.width = 20
        self.expand(1, self.root_pj, 1)
        self.open_pj = self.root_pj + self.inside[0, self.size - 1]
        if self.stopped == 0 and self.limit_pj < INFINITE and perf_counter() >= until:
            self.stopped = 2
        self.climb()
        if self.stopped == 0:
            self.pass_along(50)
            self.open_pj = self.root_pj + self.inside[0, self.size - 1]
        self.climb()
        going = 1
        while self.stopped == 0 and going:
            self.pass_along(0)
            going, self.width = 0, 1
            if self.stopped == HOPELESS:
                self.stopped, before = 0, self.best_pj
                for _ in range(AGAIN):
                    self.climb()
                going = 1 if self.best_pj < before else 0
                if self.stopped == 0 and not going:
                    self.stopped = 1

    def pass_along(self, width: int) -> None:
        """Looks along the best so many rows at every level (0: all) of those that can still win."""
        self.narrow()
        self.width = width
        self.open_pj = INFINITE
        self.seen_share, self.since = 0.0, self.nodes
        self.expand(1, self.root_pj, 1)

    def climb(self) -> None:
        """Better neighbours of the mapping in hand (`search_climb`)."""

    def breadth(self, level: int) -> int:
        """How many rows, and then how many of what they lead to, a dive looks at; deep hierarchies narrow inward."""
        return max(2, self.width >> (2 * (level - 1))) if self.levels > 3 else self.width

    def late(self) -> int:
        """Whether to stop here."""
        if self.stopped == 0 and self.sparing == 0 and (self.limit_pj < INFINITE or self.cap_cycles < INFINITE):
            if self.nodes >= self.most_nodes:
                self.stopped = 1
            elif self.nodes % WATCHED == 0:
                if self.hopeless():
                    self.stopped = HOPELESS
                # a turn of the interpreter lets Ctrl-C through
                self.awake()
                if self.until < INFINITE and perf_counter() >= self.until:
                    self.stopped = 2
        return self.stopped

    def hopeless(self) -> int:
        """Whether the proof is far from its end, by the share that it has seen, and has bettered nothing for long.

        In flat hierarchies, where nothing anneals, most proofs end after all.
        """
        if self.levels <= 3:
            return 0
        if self.width > 0 or self.until < INFINITE or self.nodes - self.since < self.most_nodes * PATIENCE:
            return 0
        far = self.limit_pj > (1.0 + FAR) * (self.root_pj + self.inside[0, self.size - 1])
        return 1 if far and self.seen_share < HOPE else 0

    def expand(self, level: int, cost: float, alike: int) -> None:
        """All rows of a level inside what is placed; `alike`: so far the mapping is its own mirror image."""
        base = self.heap_top
        self.look_outward(level)
        self.collect_rows(level, cost, alike)
        middle = self.heap_top
        rows, seen = middle - base, 0
        self.make_heap(base, rows)
        while rows > 0:
            key = self.heap_key[base]
            if key >= self.limit_pj or (self.width > 0 and seen >= self.breadth(level)):
                break
            if self.late():
                self.leave_open(key)
                break
            row = self.heap_row[base]
            rows = self.pop(base, rows)
            seen += 1
            self.orders(level, cost, row)
        children = self.heap_top - middle
        self.make_heap(middle, children)
        seen = 0
        part = self.share[level]
        if children == 0:
            self.seen_share += part
        else:
            part *= 1.0 / children
        while children > 0:
            key = self.heap_key[middle]
            if key >= self.limit_pj or (self.width > 0 and seen >= self.breadth(level)):
                self.seen_share += part * children
                break
            if self.late():
                self.leave_open(key)
                break
            row, which, now = self.heap_row[middle], self.heap_class[middle], self.heap_cost[middle]
            children = self.pop(middle, children)
            seen += 1
            self.share[level + 1] = part
            self.descend(level, row, which, now, alike)
        self.heap_top = base

    def leave_open(self, key: float) -> None:
        """A bound of something unseen."""
        self.open_pj = min(self.open_pj, key)

    def collect_rows(self, level: int, cost: float, alike: int) -> None:
        """Puts every row on the heap whose whole divides the tile outside and whose bound is below the limit."""
        dims, flat = self.dims, 0
        for d in range(dims):
            self.digit[level, d] = self.tile[level - 1, d] if self.untiled[level - 1, d] else 0
            flat += self.digit[level, d] * self.stride[d]
        while True:
            if cost + self.least[level, flat] < self.limit_pj:
                self.collect_whole(level, flat, cost, alike)
            d = dims - 1
            while d >= 0:
                i = self.digit[level, d] + 1
                top = self.tile[level - 1, d]
                if self.untiled[level - 1, d]:
                    d -= 1
                    continue
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

    def collect_whole(self, level: int, whole: int, cost: float, alike: int) -> None:
        """The same for the rows of one whole; on a first dive only the best of them."""
        first, last = self.starts[level, whole], self.starts[level, whole + 1]
        if self.sparing:
            first, last = 0, 1
        for n in range(first, last):
            row = self.best_row[level, whole] if self.sparing else self.chosen[n]
            if row < 0:
                continue
            tile, space = self.row_tile[row], self.row_space[row]
            inside = cost + self.inside[level, tile]
            if inside + self.row_own[row] >= self.limit_pj:
                continue
            if alike and self.symmetric and not self.sparing and self.later(tile, space):
                continue
            if level < self.deepest:
                inside = max(inside, cost + self.beyond(level, tile, whole, 0))
            key = inside + self.near(level, tile, space, whole)
            if key < self.limit_pj:
                self.push(key, 0.0, row, 0)

    def near(self, level: int, tile: int, space: int, whole: int) -> float:
        """`own` of a row once the tile and the loops outside are known: what stays, stays for their runs at most."""
        outer = self.flat_tile[level - 1]
        total = self.tile_pj[level, tile]
        if self.cap_cycles < INFINITE:
            steps = self.passes_of[space] * self.operations
            for c in range(1, self.levels + 1):
                if c != level:
                    steps /= self.volume[self.flat_space[c]] if c < level else self.fan[c]
            if steps > self.cap_cycles:
                return INFINITE
        for d in range(self.dims):
            i, j = self.digits[tile, d], self.digits[space, d]
            self.now_tile[d], self.now_space[d], self.now_whole[d] = i, j, self.product[d, i, j]
        self.nearby = 1
        for t in range(self.tensors):
            if self.fixes[t, level]:
                total += self.fixed(t, level, tile, space, whole)
            if level < self.levels and self.parent[t, level] >= 0:
                run = self.reuse[t, outer] / self.reuse[t, whole]
                if self.volume[outer] / self.volume[whole] == run:
                    run *= self.run_on[level, t]
                self.bound_boundary(t, level, tile, space, whole, run)
        self.nearby = 0
        if level == self.idle_gap:
            steps = self.passes_of[space]
            for c in range(1, level):
                steps /= self.volume[self.flat_space[c]]
            total += self.idle_pj * (1.0 - self.stall_share) * steps * self.operations
        if level == self.levels:
            return total
        if whole == outer:
            return total + self.case(level, self.innermost[level])
        least = INFINITE
        for d in range(self.dims):
            if self.ratio[d, self.tile[level - 1, d], self.now_whole[d]] > 1:
                if self.cap_cycles < INFINITE and self.busy(level, space, d) > self.cap_cycles:
                    continue
                cost = self.case(level, d)
                least = min(least, cost)
        return total + least

    def busy(self, level: int, space: int, d: int) -> float:
        """Least cycles of the ports of a row's memory when the innermost loop outside is over a dim."""
        reading = writing = 0.0
        instances = self.volume[space]
        for c in range(1, level):
            instances *= self.volume[self.flat_space[c]]
        points = self.volume[self.size - 1]
        for t in range(self.tensors):
            read, write = self.read_cycles[t, level], self.write_cycles[t, level]
            pairs = 0.0
            if self.is_output[t]:
                pairs = self.elements[t] * self.volume[space] / self.plain[t, space]
                for c in range(1, level):
                    pairs *= self.volume[self.flat_space[c]] / self.plain[t, self.flat_space[c]]
                read = min(read, self.final_cycles[t, 0, level])
                write = min(write, self.final_cycles[t, 1, level])
            if self.child[t, level] == self.levels and self.charge[t] == 0:
                reading += (points - pairs) * self.read_cycles[t, level] if points > pairs else 0.0
                writing += points * write if self.is_output[t] else 0.0
            if self.parent[t, level] >= 0:
                moved = self.fill_full[t] if self.touches[t, d] == PLAIN else self.elements[t]
                if self.touches[t, d] == 0:
                    moved = self.fill_stay[t]
                if self.is_output[t]:
                    reading += moved * read
                else:
                    writing += moved * write
        most = reading + writing
        if not self.shared_port[level]:
            most = reading if reading > writing else writing
        return most / instances

    def look_outward(self, level: int) -> None:
        """Before rows of a level are chosen: the innermost loop outside, and how long it and others leave tensors."""
        number = self.loops(level - 1)
        self.innermost[level] = self.loop_dim[number - 1] if number > 0 else -1
        for t in range(self.tensors):
            run, i = 1.0, number - 1
            while i >= 0 and self.touches[t, self.loop_dim[i]] == 0:
                run *= self.loop_bound[i]
                i -= 1
            again = run
            while i >= 0:
                if self.touches[t, self.loop_dim[i]] == 0:
                    again *= self.loop_bound[i]
                i -= 1
            self.run_on[level, t], self.again[level, t] = run, again

    def orders(self, level: int, cost: float, row: int) -> None:
        """Prices a row exactly with every order of the loops outside it that can matter."""
        self.nodes += 1
        self.place(level, row)
        self.clear_ports(level)
        fixed = cost + self.settle(level)
        inside = self.inside[level, self.flat_tile[level]]
        if level == self.levels:
            self.push(fixed, fixed, row, -1)
            return
        mask, whole = 0, self.row_whole[row]
        for d in range(self.dims):
            if self.bound[level - 1, d] > 1:
                mask |= 1 << d
                if self.ragged and self.waits[level, d]:
                    mask |= 1 << (self.dims + d)
        if self.class_start[mask] < 0:
            self.make_classes(mask)
        for which in range(self.class_start[mask], self.class_end[mask]):
            if not self.take_order(level, which):
                continue
            if self.timed:
                self.clear_ports(level)
                self.settle(level)
            now = fixed + self.flow(level)
            key = now + inside
            if level < self.deepest:
                key = max(key, now + self.beyond(level, self.flat_tile[level], whole, 1))
            if self.timed and key < self.limit_pj:
                cycles = self.cycles(level)
                if cycles > self.cap_cycles:
                    continue
                if level >= self.idle_gap:
                    key += self.idle_pj * self.waiting(level, cycles)
            if key < self.limit_pj:
                self.push(key, now, row, which)

    def descend(self, level: int, row: int, which: int, now: float, alike: int) -> None:
        """Places a row with an order and goes on inward; at the compute unit the mapping is complete."""
        self.place(level, row)
        if level < self.levels:
            self.take_order(level, which)
        if self.timed:
            self.clear_ports(level)
            self.settle(level)
            if level < self.levels:
                self.flow(level)
        if level < self.levels:
            tile, space = self.flat_tile[level], self.flat_space[level]
            same = 1 if alike and self.symmetric and self.mirror[tile] == tile and self.mirror[space] == space else 0
            self.expand(level + 1, now, same)
            return
        self.complete(now)

    def complete(self, now: float) -> None:
        """A mapping that is placed to the compute unit: the best in hand, if it is better."""
        self.candidates += 1
        self.seen_share += self.share[self.levels + 1]
        now = self.total(now)
        if now < self.limit_pj:
            self.since = self.nodes
            self.best_pj = now
            self.limit(now)
            self.keep()
            if self.any_will_do:
                self.stopped = 3

    def total(self, now: float) -> float:
        """The cost of a whole mapping from what its levels add up to; infinite when it takes too long."""
        if not self.timed:
            return now
        cycles = self.cycles(self.levels)
        cycles *= 1.0 - 1e-12
        whole = int(cycles)
        if whole < cycles:
            whole += 1
        cycles = 1.0 * whole
        if cycles > self.cap_cycles:
            return INFINITE
        return now + self.idle_pj * (cycles - self.stalls(self.levels))

    def keep(self) -> None:
        """Copies the mapping in hand."""
        self.best_tile, self.best_space = np.array(self.tile), np.array(self.space)
        self.best_order = np.array(self.order)


__all__ = ["Tree"]
