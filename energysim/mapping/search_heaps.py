"""Heaps of rows and of rows with orders, one behind the other in the same arrays (compiled: search_heaps.pxd)."""

import numpy as np

from energysim.mapping.search_classes import Classes


class Heaps(Classes):
    """Entries of a key, a cost, a row and an order; ties go by row and order, so that answers do not depend on luck."""

    def clear_heaps(self) -> None:
        """Nothing is on any heap."""
        self.heap_key, self.heap_cost = np.zeros(1 << 12), np.zeros(1 << 12)
        self.heap_row = np.zeros(1 << 12, dtype=np.int64)
        self.heap_class = np.zeros(1 << 12, dtype=np.int64)
        self.heap_top = 0

    def push(self, key: float, cost: float, row: int, which: int) -> None:
        """One more entry on top."""
        n = self.heap_top
        if n == len(self.heap_key):
            self.heap_key = np.concatenate([self.heap_key, self.heap_key])
            self.heap_cost = np.concatenate([self.heap_cost, self.heap_cost])
            self.heap_row = np.concatenate([self.heap_row, self.heap_row])
            self.heap_class = np.concatenate([self.heap_class, self.heap_class])
        self.heap_key[n], self.heap_cost[n], self.heap_row[n], self.heap_class[n] = key, cost, row, which
        self.heap_top = n + 1

    def before(self, a: int, b: int) -> int:
        """Whether entry a comes before entry b: by key, ties by row and order."""
        if self.heap_key[a] != self.heap_key[b]:
            return 1 if self.heap_key[a] < self.heap_key[b] else 0
        if self.heap_row[a] != self.heap_row[b]:
            return 1 if self.heap_row[a] < self.heap_row[b] else 0
        return 1 if self.heap_class[a] < self.heap_class[b] else 0

    def swap(self, a: int, b: int) -> None:
        """Exchanges two entries."""
        key, cost, row, which = self.heap_key[a], self.heap_cost[a], self.heap_row[a], self.heap_class[a]
        self.heap_key[a], self.heap_cost[a] = self.heap_key[b], self.heap_cost[b]
        self.heap_row[a], self.heap_class[a] = self.heap_row[b], self.heap_class[b]
        self.heap_key[b], self.heap_cost[b], self.heap_row[b], self.heap_class[b] = key, cost, row, which

    def sink(self, base: int, number: int, i: int) -> None:
        """Restores the heap below entry i."""
        while 2 * i + 1 < number:
            child = 2 * i + 1
            if child + 1 < number and self.before(base + child + 1, base + child):
                child += 1
            if not self.before(base + child, base + i):
                return
            self.swap(base + child, base + i)
            i = child

    def make_heap(self, base: int, number: int) -> None:
        """Makes a heap of entries in any order."""
        for i in range(number // 2 - 1, -1, -1):
            self.sink(base, number, i)

    def pop(self, base: int, number: int) -> int:
        """Takes the first entry off; how many are left."""
        self.swap(base, base + number - 1)
        self.sink(base, number - 1, 0)
        return number - 1


__all__ = ["Heaps"]
