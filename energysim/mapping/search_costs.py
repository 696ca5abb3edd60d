"""What a partial mapping costs, exactly, as soon as it is placed: the closed form, and ports (search_costs.pxd).

Arrivals = words needed over all steps - words kept from the step before; a tensor keeps words over the innermost loops
that do not replace its tile (`counts` has the same for any mapping at all).
"""

from typing import Any

import numpy as np

from energysim.mapping.positions import FREE, INSIDE, visited
from energysim.mapping.search_partial import Partial

INFINITE = float("inf")
PLAIN = 1


class Costs(Partial):
    """Rows put in their places, outermost first, with what is then known of energy and time."""

    def make_room(self) -> None:
        """Scratch space."""
        self.make_loops()
        self.part_loop = np.zeros((self.levels + 1) * self.dims + 1)

    def place(self, level: int, row: int) -> None:
        """Puts a row at its level: tiles, spatial factors, and the loops of the memory outside it."""
        tile, space = self.row_tile[row], self.row_space[row]
        self.flat_tile[level], self.flat_space[level] = tile, space
        for d in range(self.dims):
            self.tile[level, d], self.space[level, d] = self.digits[tile, d], self.digits[space, d]
        self.place_at(level)

    def place_at(self, level: int) -> None:
        """The loops of the memory outside a level whose tile and spatial factors are in their places."""
        for d in range(self.dims):
            whole = self.product[d, self.tile[level, d], self.space[level, d]]
            self.stretch[level - 1, d] = self.value[d, whole]
            self.bound[level - 1, d] = self.ratio[d, self.tile[level - 1, d], whole]
        if self.ragged:
            self.find_cuts(level)

    def settle(self, level: int) -> float:
        """pJ of a placed row that no order changes: first visits, finished outputs, compute units across its gap."""
        total = self.tile_pj[level, self.flat_tile[level]] if level > 0 else 0.0
        for t in range(self.tensors):
            c = self.child[t, level]
            if c > 0 and self.is_output[t]:
                pairs = self.visits(t, level, 0)
                total += self.first[t, c] * pairs + self.least_last[t, c] * self.elements[t]
            if level > 0 and self.parent[t, level] >= 0 and self.is_output[t]:
                total += self.finished(t, level)
            if self.charge[t] == level and level > 0:
                total += self.boundary(t, self.levels, level)
            if c == self.levels and self.charge[t] == 0 and self.timed:
                self.compute_ports(t, level)
        return total

    def visits(self, t: int, level: int, done: int) -> float:
        """Pairs of an instance of the gaps to `level` and an output touched; `done`: outputs of one instance alone."""
        copies = 1.0
        if self.cuts[level]:
            copies = self.copies(t, level)
        else:
            for g in range(1, level + 1):
                copies *= self.reuse[t, self.flat_space[g]]
        if done and copies > 1.0:
            return 0.0
        total = copies * self.elements[t]
        for w in range(self.rank_start[t], self.rank_start[t + 1]):
            rank = (self.spread_loops(w, 0, level), self.spread_loops(w, 1, level))
            pairs, alone = visited(rank)
            total *= (alone if done else pairs) / self.touched(w)
        return total

    def spread_loops(self, w: int, side: int, level: int) -> Any:
        """A dim of a rank as `positions` takes it, the instances of gaps to `level` one by one."""
        d, coefficient = self.ranks[w, 1 + 2 * side], self.ranks[w, 2 + 2 * side]
        found: list[tuple[int, int]] = []
        inside = 1
        for g in range(1, level + 1):
            inside *= self.bound[g - 1, d]
            factor = self.value[d, self.space[g, d]]
            if factor > 1:
                if inside > 1:
                    found.append((int(inside), INSIDE))
                found.append((int(factor), FREE))
                inside = 1
        inside *= self.value[d, self.tile[level, d]]
        if inside > 1:
            found.append((int(inside), INSIDE))
        return int(coefficient), int(self.value[d, self.count[d] - 1]), tuple(found)

    def touched(self, w: int) -> int:
        """Positions of a rank that the whole layer touches."""
        a, b = self.ranks[w, 1], self.ranks[w, 3]
        last = self.value[a, self.count[a] - 1], self.value[b, self.count[b] - 1]
        self.windows.begin(self.ranks[w, 2], self.ranks[w, 4], last[0], last[1])
        return self.windows.kept(0)

    def finished(self, t: int, child: int) -> float:
        """What finished outputs cost beyond `least_last`."""
        total = -self.least_last[t, child] * self.elements[t]
        if self.last_parent[t, child] != 0.0:
            total += self.last_parent[t, child] * self.visits(t, self.parent[t, child], 1)
        for g in range(self.parent[t, child] + 1, child + 1):
            if self.last_cross[t, child, g] != 0.0:
                total += self.last_cross[t, child, g] * self.visits(t, g, 1)
        if self.last_child[t, child] != 0.0:
            total += self.last_child[t, child] * self.visits(t, child, 1)
        return total

    def flow(self, level: int) -> float:
        """pJ of everything that crosses to a level's tiles, with the orders of the loops outside it."""
        total = 0.0
        for t in range(self.tensors):
            if self.parent[t, level] >= 0:
                total += self.boundary(t, level, level)
        return total

    def boundary(self, t: int, child: int, level: int) -> float:
        """pJ of one boundary; `level` is the innermost gap that is placed (for compute units the one that decides)."""
        parent = self.parent[t, child]
        total = 0.0
        shared, alone = 0.0, 0.0
        number = 0
        if child < self.levels:
            number = self.loops(child)
        # from everything shared inward: `apart` is the innermost gap whose instances count one by one
        apart = parent
        while True:
            words = self.arrivals(t, child, level, parent, apart, number)
            if apart == parent:
                shared = words
                total += self.up[t, child] * words
            else:
                total += self.cross[t, child, apart] * words
            alone = words
            following = apart + 1
            # one instance takes what all take, but crossing to it may have a price
            while following <= level and self.fan[following] == 1.0 and self.cross[t, child, following] == 0.0:
                following += 1
            if following > level:
                break
            apart = following
        total += self.into[t, child] * alone
        if self.timed:
            self.ports(t, child, level, shared, alone)
        return total

    def arrivals(self, t: int, child: int, level: int, parent: int, apart: int, number: int) -> float:
        """Words taken up when instances of gaps to `apart` each take their own and those further in share."""
        if self.cuts[level]:
            return self.partial_arrivals(t, child, level, apart, number)
        steps = 1.0
        words = 1.0
        if child < self.levels:
            steps = self.loop_times[number]
            words = self.plain[t, self.flat_tile[child]]
        else:
            steps = self.volume[self.size - 1]
            for g in range(1, level + 1):
                steps /= self.volume[self.flat_space[g]]
        for g in range(1, level + 1):
            if g > apart and self.shares[t, g]:
                words *= self.plain[t, self.flat_space[g]]
            else:
                words *= self.volume[self.flat_space[g]]
        start, end = self.rank_start[t], self.rank_start[t + 1]
        if child == self.levels:
            for w in range(start, end):
                self.setting(w, t, child, level, apart)
                words *= self.windows.kept(0)
            return words * steps
        # the innermost loops that keep something
        first = number
        while first > 0 and self.touches[t, self.loop_dim[first - 1]] != PLAIN:
            first -= 1
        if start == end:
            kept = 0.0
            for i in range(first, number):
                kept += self.loop_times[i]
            return words * (steps - kept)
        need = 1.0
        for i in range(first, number):
            self.part_loop[i] = self.loop_times[i]
        for w in range(start, end):
            self.setting(w, t, child, level, apart)
            need *= self.windows.kept(0)
            shift = 0
            a, b = self.ranks[w, 1], self.ranks[w, 3]
            for i in range(number - 1, first - 1, -1):
                d = self.loop_dim[i]
                coefficient = 0
                if d == a:
                    coefficient = self.ranks[w, 2]
                elif d == b:
                    coefficient = self.ranks[w, 4]
                step = coefficient * self.loop_step[i]
                self.part_loop[i] *= self.windows.kept(step - shift)
                shift += step * (self.loop_bound[i] - 1)
        kept = 0.0
        for i in range(first, number):
            kept += self.part_loop[i]
        return words * (need * steps - kept)

    def setting(self, w: int, t: int, child: int, level: int, apart: int) -> None:
        """Tells the windows the tile of a rank and the spatial loops that share it."""
        a, u, b, v = self.ranks[w, 1], self.ranks[w, 2], self.ranks[w, 3], self.ranks[w, 4]
        if child == self.levels:
            self.windows.begin(u, v, 1, 1)
        else:
            self.windows.begin(u, v, self.value[a, self.tile[child, a]], self.value[b, self.tile[child, b]])
        for g in range(apart + 1, level + 1):
            if self.shares[t, g]:
                # nothing is handed on where nothing is kept
                passing = 1 if self.passes[t, g] and child < self.levels else 0
                self.windows.spread(u * self.value[a, self.tile[g, a]], self.value[a, self.space[g, a]], passing)
                self.windows.spread(v * self.value[b, self.tile[g, b]], self.value[b, self.space[g, b]], passing)

    # ---- time ------------------------------------------------------------------------------------------------

    def ports(self, t: int, child: int, depth: int, shared: float, alone: float) -> None:
        """Adds a boundary's words to the cycles of the ports of its two memories, as known at level `depth`."""
        parent = self.parent[t, child]
        if not self.is_output[t]:
            self.reads[depth, parent] += shared * self.read_cycles[t, parent]
            if child < self.levels:
                self.writes[depth, child] += alone * self.write_cycles[t, child]
            return
        pairs = self.visits(t, parent, 0)
        done = self.visits(t, parent, 1)
        back = shared - pairs
        self.writes[depth, parent] += (shared - done) * self.write_cycles[t, parent]
        self.writes[depth, parent] += done * self.final_cycles[t, 1, parent]
        self.reads[depth, parent] += back * self.read_cycles[t, parent]
        if child < self.levels:
            done = self.visits(t, child, 1)
            self.reads[depth, child] += (alone - done) * self.read_cycles[t, child]
            self.reads[depth, child] += done * self.final_cycles[t, 0, child]
            self.writes[depth, child] += back * self.write_cycles[t, child]

    def compute_ports(self, t: int, level: int) -> None:
        """The same for compute units that take every word by themselves, from a memory that is placed."""
        words = self.volume[self.size - 1]
        self.ports(t, self.levels, level, words, words)

    def cycles(self, level: int) -> float:
        """The least cycles of a mapping placed to `level`: of the compute units and of what is known of each port."""
        steps = self.volume[self.size - 1]
        for g in range(1, self.levels + 1):
            steps /= self.volume[self.flat_space[g]] if g <= level else self.fan[g]
        if self.ragged:
            steps = self.partial_steps(level)
        most = steps * self.operations
        instances = 1.0
        for m in range(self.levels):
            if m > level:
                break
            if m > 0:
                instances *= self.volume[self.flat_space[m]]
            reading, writing = self.reads[level, m] / instances, self.writes[level, m] / instances
            busy = reading + writing if self.shared_port[m] else (reading if reading > writing else writing)
            most = max(most, busy)
        return most

    def stalls(self, level: int) -> float:
        """Cycles whose idle power the prices of the outermost memory already hold."""
        reading, writing = self.reads[level, 0], self.writes[level, 0]
        return self.stall_share * (reading + writing) * (1.0 if self.shared_port[0] else 0.5)

    def waiting(self, level: int, cycles: float) -> float:
        """Least cycles whose idle power is not yet in the price of a mapping placed to a level."""
        steps = self.volume[self.size - 1] * self.operations
        for g in range(1, level + 1):
            steps /= self.volume[self.flat_space[g]]
        steps *= 1.0 - self.stall_share
        if level >= self.stall_level:
            more = cycles - self.stalls(level)
            if more > steps:
                return more
        return steps

    def clear_ports(self, level: int) -> None:
        """The ports of a level start from those of the level outside it."""
        for m in range(self.levels):
            self.reads[level, m] = self.reads[level - 1, m] if level > 0 else 0.0
            self.writes[level, m] = self.writes[level - 1, m] if level > 0 else 0.0


__all__ = ["Costs"]
