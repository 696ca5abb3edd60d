"""Which orders of one memory's loops can matter at all (compiled: search_classes.pxd)."""

import numpy as np

from energysim.mapping.search_costs import Costs

PLAIN = 1


class Classes(Costs):
    """Orders by the set of dims that have loops, found when they are first asked for."""

    def clear_classes(self) -> None:
        """No order is known yet."""
        self.ahead = np.zeros(self.levels + 2, dtype=np.int64)
        dims = self.dims
        self.class_start = np.full(1 << dims, -1, dtype=np.int64)
        self.class_end = np.zeros(1 << dims, dtype=np.int64)
        self.classes = np.zeros((64, dims), dtype=np.int64)
        self.class_seen = np.zeros((64, self.tensors), dtype=np.int64)
        self.class_length = np.zeros((64, self.tensors), dtype=np.int64)
        self.class_total = 0
        self.prefix = np.zeros(dims, dtype=np.int64)

    def make_classes(self, mask: int) -> None:
        """Orders of some dims of which none is as good as another for every tensor.

        A tensor without windows only sees which innermost loops do not touch it; one with windows sees the sequence
        inside the innermost loop that replaces it wholly, and a longer one is at least as good.
        """
        self.class_start[mask] = self.class_end[mask] = self.class_total
        inner = 0
        for d in range(self.dims):
            if mask >> d & 1:
                plain = 1
                for t in range(self.tensors):
                    if self.touches[t, d] != PLAIN:
                        plain = 0
                if not plain:
                    inner |= 1 << d
        self.extend_order(mask, inner, 0)

    def closes(self, t: int, d: int) -> int:
        """Whether a loop over a dim ends what a tensor sees of an order."""
        if self.rank_start[t + 1] > self.rank_start[t]:
            return 1 if self.touches[t, d] == PLAIN else 0
        return 1 if self.touches[t, d] != 0 else 0

    def extend_order(self, mask: int, left: int, length: int) -> None:
        """Adds a loop outside those in `prefix` (innermost first) while a tensor still sees it."""
        open_tensors = 0
        for t in range(self.tensors):
            ends = 0
            for k in range(length):
                if self.closes(t, self.prefix[k]):
                    ends = 1
            if not ends:
                open_tensors += 1
        if left == 0 or open_tensors == 0:
            self.add_class(mask, left, length)
            return
        for d in range(self.dims):
            if left >> d & 1:
                self.prefix[length] = d
                self.extend_order(mask, left & ~(1 << d), length + 1)

    def add_class(self, mask: int, left: int, length: int) -> None:
        """Keeps an order unless another is as good for every tensor; drops those that it is as good as."""
        n = self.class_total
        if n + 1 >= len(self.classes):
            self.classes = np.concatenate([self.classes, self.classes])
            self.class_seen = np.concatenate([self.class_seen, self.class_seen])
            self.class_length = np.concatenate([self.class_length, self.class_length])
        for t in range(self.tensors):
            seen, k = 0, 0
            slides = self.rank_start[t + 1] > self.rank_start[t]
            while k < length and not self.closes(t, self.prefix[k]):
                if slides:
                    seen |= (self.prefix[k] + 1) << (4 * k)
                else:
                    seen |= 1 << self.prefix[k]
                k += 1
            self.class_seen[n, t], self.class_length[n, t] = seen, k
        kept = self.class_start[mask]
        for i in range(self.class_start[mask], n):
            if self.as_good(i, n):
                return
        for i in range(self.class_start[mask], n):
            if not self.as_good(n, i):
                self.copy_class(i, kept)
                kept += 1
        self.copy_class(n, kept)
        # inactive dims and those that no tensor sees stand outermost
        place = 0
        for d in range(self.dims):
            inside = 0
            for k in range(length):
                if self.prefix[k] == d:
                    inside = 1
            if not inside:
                self.classes[kept, place] = d
                place += 1
        for k in range(length):
            self.classes[kept, self.dims - 1 - k] = self.prefix[k]
        self.class_total = self.class_end[mask] = kept + 1

    def copy_class(self, source: int, target: int) -> None:
        """Moves a class."""
        for k in range(self.dims):
            self.classes[target, k] = self.classes[source, k]
        for t in range(self.tensors):
            self.class_seen[target, t] = self.class_seen[source, t]
            self.class_length[target, t] = self.class_length[source, t]

    def as_good(self, one: int, other: int) -> int:
        """Whether an order lets every tensor keep at least what another one lets it keep."""
        for t in range(self.tensors):
            mine, theirs = self.class_seen[one, t], self.class_seen[other, t]
            if self.rank_start[t + 1] > self.rank_start[t]:
                length = self.class_length[other, t]
                if length > self.class_length[one, t] or mine & ((1 << (4 * length)) - 1) != theirs:
                    return 0
            elif mine & theirs != theirs:
                return 0
        return 1

    def take_order(self, level: int, which: int) -> int:
        """Takes an order for the loops outside a level; 0 when it may not be."""
        for k in range(self.dims):
            self.order[level - 1, k] = self.classes[which, k]
        return self.stays(level)

    def stays(self, level: int) -> int:
        """Whether the order of the loops outside a level leaves the dataflow's stationary tensor where it is."""
        t = self.still_tensor
        waits = 0
        for k in range(self.dims):
            d = self.order[level - 1, k]
            if t >= 0 and level <= self.still_level and self.bound[level - 1, d] > 1:
                if self.touches[t, d] == 0:
                    waits = 1
                elif waits or self.ahead[level - 1]:
                    return 0
        self.ahead[level] = 1 if waits or self.ahead[level - 1] else 0
        return 1


__all__ = ["Classes"]
