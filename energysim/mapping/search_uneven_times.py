"""Cycles of a partial uneven mapping: the least that any completion takes (compiled: search_uneven_times.pxd).

Every boundary that is not placed yet counts with the least it can move, one that is placed with exactly what it moves;
so the cycles of every port are known from below at any moment, and exactly once the mapping is complete.
"""

from typing import Any

import numpy as np

from energysim.mapping.search_uneven_places import UnevenPlaces

INFINITE = float("inf")


class UnevenTimes(UnevenPlaces):
    """Ports of all memories, with what is placed down to each level."""

    def __init__(self, tables: Any) -> None:
        super().__init__(tables)
        t = tables
        self.port_read, self.port_write, self.port_final = t["port_read"], t["port_write"], t["port_final"]
        self.port_shared, self.memory_level = t["port_shared"], t["memory_level"]
        self.mark_source = t["mark_source"]
        memories = len(self.port_shared)
        self.reading = np.zeros((self.levels + 2, memories))
        self.writing = np.zeros((self.levels + 2, memories))
        self.least_words = np.zeros(self.marks + self.tensors)
        self.least_back = np.zeros(self.marks + self.tensors)

    def begin_times(self) -> None:
        """Before anything is placed; which levels have to be for all of the outermost port to be known."""
        for m in range(len(self.port_shared)):
            self.reading[0, m] = self.writing[0, m] = 0.0
        last = 0
        for k in range(self.marks + self.tensors):
            t = self.mark_tensor[k]
            self.least_words[k] = self.elements[t]
            self.least_back[k] = 0.0
            if k >= self.marks:
                self.find_least(k, t)
            self.add_least(0, k, 1.0)
            if self.mark_source[k] == 0 and (k < self.marks or self.charge[t] > 0):
                last = max(last, self.mark_segment[k])
        self.stall_level = self.segment_level[last + 1] if last + 1 < self.segments else self.levels + 1
        for t in range(self.tensors):
            if self.mark_before[self.marks + t] < 0 and self.charge[t] == 0:
                self.compute_ports(t, 0)

    def find_least(self, k: int, t: int) -> None:
        """The least words of compute units, where every word that an array shares serves as many as it can."""
        words, copies = self.volume[self.size - 1], 1.0
        parent = self.bound_parent(k)
        for g in range(1, self.charge[t] + 1):
            if g <= parent:
                continue
            if self.passes[t, g]:
                words = self.elements[t]
            elif self.shares[t, g]:
                words /= self.fan[g]
        for g in range(1, parent + 1):
            copies *= self.fan[g]
        self.least_words[k] = max(words, self.elements[t])
        back = self.least_words[k] - self.elements[t] * copies
        self.least_back[k] = max(back, 0.0)

    def add_least(self, depth: int, k: int, sign: float) -> None:
        """Adds the least that a boundary moves to the ports of a level, or takes it off (-1)."""
        t, source, inner = self.mark_tensor[k], self.mark_source[k], self.mark_memory[k]
        if not self.is_output[t]:
            self.reading[depth, source] += sign * self.least_words[k] * self.port_read[t, source]
            if inner >= 0:
                self.writing[depth, inner] += sign * self.elements[t] * self.port_write[t, inner]
            return
        each = min(self.port_write[t, source], self.port_final[t, 1, source])
        self.writing[depth, source] += sign * self.least_words[k] * each
        self.reading[depth, source] += sign * self.least_back[k] * self.port_read[t, source]
        if inner >= 0:
            each = min(self.port_read[t, inner], self.port_final[t, 0, inner])
            self.reading[depth, inner] += sign * self.elements[t] * each

    def ports(self, t: int, child: int, depth: int, shared: float, alone: float) -> None:
        """A boundary's words on the ports of its two memories, in place of the least they could be."""
        k = self.at_mark[t, child]
        source, inner = self.mark_source[k], self.mark_memory[k]
        self.add_least(depth, k, -1.0)
        if not self.is_output[t]:
            self.reading[depth, source] += shared * self.port_read[t, source]
            if inner >= 0:
                self.writing[depth, inner] += alone * self.port_write[t, inner]
            return
        parent = self.parent[t, child]
        done = self.visits(t, parent, 1)
        back = shared - self.visits(t, parent, 0)
        self.writing[depth, source] += (shared - done) * self.port_write[t, source]
        self.writing[depth, source] += done * self.port_final[t, 1, source]
        self.reading[depth, source] += back * self.port_read[t, source]
        if inner >= 0:
            done = self.visits(t, child, 1)
            self.reading[depth, inner] += (alone - done) * self.port_read[t, inner]
            self.reading[depth, inner] += done * self.port_final[t, 0, inner]
            self.writing[depth, inner] += back * self.port_write[t, inner]

    def open_times(self, level: int) -> None:
        """The ports of a level start from those of the level outside it."""
        for m in range(len(self.port_shared)):
            self.reading[level, m], self.writing[level, m] = self.reading[level - 1, m], self.writing[level - 1, m]

    def feed(self, k: int, level: int) -> None:
        """Compute units that take every word by themselves from a mark that is placed."""
        t = self.mark_tensor[k]
        if self.mark_following[k] >= self.marks and self.charge[t] == 0:
            self.compute_ports(t, level)

    def least_steps(self, level: int) -> float:
        """Cycles of the compute units, arrays inside a level full."""
        steps: float = self.volume[self.size - 1] * self.operations
        for g in range(1, self.levels + 1):
            steps /= self.volume[self.flat_space[g]] if g <= level else self.fan[g]
        return steps

    def least_cycles(self, level: int) -> float:
        """The least cycles of a mapping that is placed to a level."""
        most = self.least_steps(level)
        for m in range(len(self.port_shared)):
            instances = 1.0
            for g in range(1, self.memory_level[m] + 1):
                instances *= self.volume[self.flat_space[g]] if g <= level else self.fan[g]
            reading, writing = self.reading[level, m] / instances, self.writing[level, m] / instances
            busy = reading + writing if self.port_shared[m] else (reading if reading > writing else writing)
            most = max(most, busy)
        return most

    def late_pj(self, level: int) -> float:
        """The least pJ of idle power that the price of a mapping placed to a level has not yet; infinite: too slow."""
        cycles = self.least_cycles(level)
        if cycles > self.cap_cycles:
            return INFINITE
        if self.idle_pj == 0.0 or level < self.idle_gap or (self.stall_share > 0.0 and level < self.stall_level):
            return 0.0
        more = cycles - self.priced_cycles(level)
        late: float = self.idle_pj * more if more > 0.0 else 0.0
        return late

    def priced_cycles(self, level: int) -> float:
        """Cycles whose idle power the prices already hold, once all of the outermost port and of steps is known."""
        busy: float = self.reading[level, 0] + self.writing[level, 0]
        if not self.port_shared[0]:
            busy *= 0.5
        cycles: float = (1.0 - self.stall_share) * self.least_steps(level) + self.stall_share * busy
        return cycles

    def timed_pj(self, level: int, pj: float) -> float:
        """The cost of a complete mapping with idle power over its whole cycles; infinite when it takes too long."""
        cycles = self.least_cycles(level) * (1.0 - 1e-12)
        whole = int(cycles)
        if whole < cycles:
            whole += 1
        if whole > self.cap_cycles:
            return INFINITE
        total: float = pj + self.idle_pj * (whole - self.priced_cycles(level))
        return total


__all__ = ["UnevenTimes"]
