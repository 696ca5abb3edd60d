"""Exact costs where last tiles are partial: `positions`' sums over the loops in hand (compiled: search_partial.pxd).

A dim of size n whose loops come to more than n skips what lies beyond. Then loops do not simply multiply, and an
instance with nothing to do in a loop's last step keeps its words when the loop returns.
"""

import numpy as np

from energysim.mapping.positions import FREE, INSIDE, OWN, PASSED, RESET, SHARED, held_and_kept
from energysim.mapping.search_rows import Rows

PLAIN = 1
TIME, APART, TOGETHER, HANDED, TILE = 0, 1, 2, 3, 4
"""What a loop of a chain is: temporal; spatial, each instance on its own; sharing; also handing on; inside the tile."""


class Partial(Rows):
    """Loops of the partial mapping, dim by dim as chains."""

    def make_loops(self) -> None:
        """Scratch space."""
        # loops of all memories, or a dim's in time and on arrays, with the tile
        room = 2 * (self.levels + 1) * self.dims + 1
        self.loop_dim = np.zeros(room, dtype=np.int64)
        self.loop_level = np.zeros(room, dtype=np.int64)
        self.loop_bound = np.zeros(room, dtype=np.int64)
        self.loop_step = np.zeros(room, dtype=np.int64)
        self.loop_times = np.zeros(room)
        self.chain_bound = np.zeros(room, dtype=np.int64)
        self.chain_kind = np.zeros(room, dtype=np.int64)
        self.chain_loop = np.zeros(room, dtype=np.int64)
        self.part_bound = np.zeros((2, room), dtype=np.int64)
        self.part_kind = np.zeros((2, room), dtype=np.int64)
        self.part_number = np.zeros(2, dtype=np.int64)
        # sums of windows already found, by a hash of their loops
        self.sum_key = np.zeros(1 << 10, dtype=np.int64)
        self.sum_held, self.sum_kept = np.zeros(1 << 10), np.zeros(1 << 10)
        self.sums = 0

    def find_cuts(self, level: int) -> None:
        """After a row is placed: dims with a partial last tile so far, and loops outside that leave some waiting."""
        self.cuts[level] = 0
        for d in range(self.dims):
            outer, tile = self.tile[level - 1, d], self.tile[level, d]
            whole = self.product[d, tile, self.space[level, d]]
            cut = self.cut[level - 1, d]
            if self.bound[level - 1, d] * self.value[d, whole] != self.value[d, outer]:
                cut = 1
            if self.value[d, tile] * self.value[d, self.space[level, d]] != self.value[d, whole]:
                cut = 1
            self.cut[level, d] = cut
            self.waits[level, d] = self.returns[d, outer, whole]
            if cut:
                self.cuts[level] = 1

    def loops(self, level: int) -> int:
        """Lists the temporal loops outside a level, outermost first, with how often each advances; their number."""
        number = 0
        before = 1.0
        for c in range(level):
            for k in range(self.dims):
                d = self.order[c, k]
                bound = self.bound[c, d]
                if bound > 1:
                    self.loop_dim[number], self.loop_bound[number] = d, bound
                    self.loop_step[number], self.loop_level[number] = self.stretch[c, d], c
                    self.loop_times[number] = before * (bound - 1)
                    before *= bound
                    number += 1
        self.loop_times[number] = before
        return number

    def chain(self, d: int, t: int, child: int, level: int, apart: int) -> int:
        """The loops of a dim, outermost first, to a level; how many. Temporal ones know their place in `loops`."""
        number = 0
        for g in range(1, level + 1):
            if self.bound[g - 1, d] > 1:
                self.chain_bound[number], self.chain_kind[number] = self.bound[g - 1, d], TIME
                self.chain_loop[number] = 0
                if child < self.levels:
                    k = 0
                    while self.loop_dim[k] != d or self.loop_level[k] != g - 1:
                        k += 1
                    self.chain_loop[number] = k
                number += 1
            factor = self.value[d, self.space[g, d]]
            if factor > 1:
                kind = APART
                if t >= 0 and g > apart and self.shares[t, g]:
                    # nothing is handed on where nothing is kept
                    kind = HANDED if self.passes[t, g] and child < self.levels else TOGETHER
                self.chain_bound[number], self.chain_kind[number] = factor, kind
                number += 1
        inside = self.value[d, self.tile[level, d]]
        if inside > 1:
            # the compute unit takes one point at a time
            self.chain_bound[number], self.chain_kind[number] = inside, TILE if child < self.levels else TIME
            self.chain_loop[number] = 0
            number += 1
        return number

    def covered(self, size: int, number: int, advanced: int, own: int, mode: int) -> int:
        """How many coordinates of the chain in hand below `size` have index 0 in all loops that do not move.

        Mode 0, a dim that does not touch the tensor: temporal loops outside the one that advanced (and itself, `own`)
        move, and spatial ones that are apart; mode 1: all but temporal loops inside the one that advanced; mode 2:
        temporal loops only; mode 3: spatial loops only.
        """
        stride, inside = 1, 1
        for i in range(number):
            stride *= self.chain_bound[i]
            if self.moves(i, advanced, own, mode):
                inside *= self.chain_bound[i]
        total, left = 0, size
        for i in range(number):
            bound = self.chain_bound[i]
            stride = stride // bound
            if self.moves(i, advanced, own, mode):
                inside = inside // bound
                total += left // stride * inside
                left = left % stride
            elif left > stride:
                left = stride
        return total + left

    def moves(self, i: int, advanced: int, own: int, mode: int) -> int:
        """Whether a loop of the chain moves, as `covered` has it."""
        kind = self.chain_kind[i]
        if mode == 2:
            return 1 if kind == TIME else 0
        if mode == 3:
            return 1 if kind == APART else 0
        if kind == TIME:
            if advanced < 0 or self.chain_loop[i] < advanced:
                return 1
            return 1 if own and self.chain_loop[i] == advanced else 0
        return 1 if kind == APART or mode == 1 else 0

    def untouched(self, d: int, number: int, advanced: int) -> float:
        """Sum of a dim that does not touch the tensor, over the steps at which a loop advances (-1: over all)."""
        size = self.value[d, self.count[d] - 1]
        if advanced >= 0 and self.loop_dim[advanced] == d:
            return self.covered(size, number, advanced, 1, 0) - self.covered(size, number, advanced, 0, 0)
        return self.covered(size, number, advanced, 0, 0)

    def waiting_words(self, d: int, number: int, advanced: int) -> float:
        """Words kept of a dim that is an index of the tensor, when a loop advances over another dim."""
        size = self.value[d, self.count[d] - 1]
        stride, least, tile = 1, 0, 1
        for i in range(number - 1, -1, -1):
            kind = self.chain_kind[i]
            if kind == TIME and self.chain_loop[i] > advanced and least == 0:
                least = stride
            if kind == TILE:
                tile *= self.chain_bound[i]
            stride *= self.chain_bound[i]
        if least == 0:
            return float(size)
        held = self.covered(size, number, advanced, 0, 1)
        moved = size - least
        if moved <= 0:
            return held
        moved = (moved + tile - 1) // tile * tile
        moved = min(moved, size)
        return held - self.covered(moved, number, advanced, 0, 1)

    def partial_arrivals(self, t: int, child: int, level: int, apart: int, number: int) -> float:
        """`arrivals` of a mapping with partial last tiles: all words needed, less those kept at each kind of step."""
        total = self.words_at(t, child, level, apart, -1)
        if child == self.levels:
            return total
        for i in range(number - 1, -1, -1):
            d = self.loop_dim[i]
            if self.touches[t, d] == PLAIN and not self.waits[self.loop_level[i] + 1, d]:
                # nothing stays when this loop advances, nor when it returns
                break
            if self.touches[t, d] != PLAIN:
                total -= self.words_at(t, child, level, apart, i)
        return total

    def words_at(self, t: int, child: int, level: int, apart: int, advanced: int) -> float:
        """Words needed over all steps (`advanced` -1), or kept over the steps at which a loop advances."""
        total = 1.0
        for w in range(self.rank_start[t], self.rank_start[t + 1]):
            for side in range(2):
                self.dim_parts(side, self.ranks[w, 1 + 2 * side], t, child, level, apart, advanced)
            place = self.window_sums(w)
            total *= self.sum_held[place] if advanced < 0 else self.sum_kept[place]
            if total == 0.0:
                return 0.0
        for d in range(self.dims):
            if self.touches[t, d] == 0:
                length = self.chain(d, t, child, level, apart)
                total *= self.untouched(d, length, advanced)
            elif self.touches[t, d] == PLAIN:
                if advanced < 0:
                    total *= self.value[d, self.count[d] - 1]
                else:
                    length = self.chain(d, t, child, level, apart)
                    total *= self.waiting_words(d, length, advanced)
        return total

    def dim_parts(self, side: int, d: int, t: int, child: int, level: int, apart: int, advanced: int) -> None:
        """Loops of a window's dim with their parts as `positions` takes them."""
        number, found = self.chain(d, t, child, level, apart), 0
        for i in range(number):
            kind, part = self.chain_kind[i], FREE
            if kind == TIME and advanced >= 0 and self.chain_loop[i] >= advanced:
                part = OWN if self.chain_loop[i] == advanced else RESET
            elif kind == TOGETHER:
                part = SHARED
            elif kind == HANDED:
                part = PASSED
            elif kind == TILE:
                part = INSIDE
            bound = self.chain_bound[i]
            if found > 0 and part == self.part_kind[side, found - 1] and part != OWN:
                # neighbours of one part are one loop
                found -= 1
                bound *= self.part_bound[side, found]
            self.part_bound[side, found], self.part_kind[side, found] = bound, part
            found += 1
        self.part_number[side] = found

    def window_sums(self, w: int) -> int:
        """Where the two sums of `held_and_kept` stand for the loops of a window that are in hand."""
        windows = self.windows
        code = windows.mixed(1, w)
        for side in range(2):
            code = windows.mixed(code, self.part_number[side])
            for i in range(self.part_number[side]):
                code = windows.mixed(code, self.part_bound[side, i] * 8 + self.part_kind[side, i])
        if code == 0:
            code = 1
        mask = len(self.sum_key) - 1
        slot = code & mask
        while self.sum_key[slot] != 0:
            if self.sum_key[slot] == code:
                return slot
            slot = (slot + 1) & mask
        if 2 * self.sums > mask:
            self.more_sums()
            return self.window_sums(w)
        held, kept = held_and_kept((self.rank_dim(w, 0), self.rank_dim(w, 1)))
        self.sum_key[slot], self.sum_held[slot], self.sum_kept[slot] = code, held, kept
        self.sums += 1
        return slot

    def more_sums(self) -> None:
        """Twice the memory for sums."""
        keys, held, kept = self.sum_key, self.sum_held, self.sum_kept
        number = len(keys)
        self.sum_key = np.zeros(2 * number, dtype=np.int64)
        self.sum_held, self.sum_kept = np.zeros(2 * number), np.zeros(2 * number)
        mask = 2 * number - 1
        for i in range(number):
            if keys[i] != 0:
                slot = keys[i] & mask
                while self.sum_key[slot] != 0:
                    slot = (slot + 1) & mask
                self.sum_key[slot], self.sum_held[slot], self.sum_kept[slot] = keys[i], held[i], kept[i]

    def rank_dim(self, w: int, side: int) -> object:
        """A dim of a window as `positions` takes it: coefficient, size, loops with their parts."""
        d, found = self.ranks[w, 1 + 2 * side], []
        for i in range(self.part_number[side]):
            found.append((int(self.part_bound[side, i]), int(self.part_kind[side, i])))
        return int(self.ranks[w, 2 + 2 * side]), int(self.value[d, self.count[d] - 1]), tuple(found)

    def copies(self, t: int, level: int) -> float:
        """Pairs of an instance of the gaps to a level and an output, by the dims that are no index of it."""
        total = 1.0
        for d in range(self.dims):
            if self.touches[t, d] == 0:
                number = self.chain(d, -1, self.levels, level, 0)
                total *= self.covered(self.value[d, self.count[d] - 1], number, -1, 0, 3)
        return total

    def partial_steps(self, level: int) -> float:
        """Steps of the compute units, at least while a mapping is placed to a level only."""
        total = 1.0
        for d in range(self.dims):
            size = self.value[d, self.count[d] - 1]
            if level == self.levels and self.cut[level, d]:
                number = self.chain(d, -1, self.levels, level, 0)
                total *= self.covered(size, number, -1, 0, 2)
            else:
                spread = 1
                for g in range(1, level + 1):
                    spread *= self.value[d, self.space[g, d]]
                total *= (size + spread - 1) // spread
        for g in range(level + 1, self.levels + 1):
            total /= self.fan[g]
        return total


__all__ = ["Partial"]
