"""Words of a sliding window that instances share and keep, exactly: compiled where it can be (search_windows.pxd).

A rank `u*P + v*R` of a tensor is touched at {u*p + v*r}. Instances stand at places, sums of the steps of the spatial
loops that share; a word is kept from one step to the next if every instance that needs it also held it before.
"""

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Bytes = NDArray[np.uint8]

LOOPS = 32
"""Spatial loops of one rank: two dims on every array of an accelerator."""


LANE = (1 << 31) - 1
FIRST, SECOND, SEED = 2_083_697_005, 1_664_525_189, 1_469_598_103
"""Odd numbers below 2^31 for the hash."""


class Windows:
    """Counts kept words of one setting at a time: `begin` a rank's tile, `spread` it, then ask `kept(shift)`.

    What has been counted is remembered by a hash of the whole setting.
    """

    def __init__(self) -> None:
        self.steps: Integers = np.zeros(LOOPS, dtype=np.int64)
        self.bounds: Integers = np.zeros(LOOPS, dtype=np.int64)
        self.passes: Integers = np.zeros(LOOPS, dtype=np.int64)
        self.keys: Integers = np.zeros(1 << 12, dtype=np.int64)
        self.values: Integers = np.zeros(1 << 12, dtype=np.int64)
        self.places: Integers = np.zeros(1 << 10, dtype=np.int64)
        self.tile: Bytes = np.zeros(1 << 10, dtype=np.uint8)
        self.needed: Bytes = np.zeros(1 << 10, dtype=np.uint8)
        self.used = 0
        self.code = 0
        self.loops = 0
        self.u = self.v = self.p = self.r = 0

    def begin(self, u: int, v: int, p: int, r: int) -> None:
        """A tile of p and r points in dims of coefficients u and v (0: the dim does not move this rank)."""
        self.u, self.v, self.p, self.r = u, v, p, r
        self.loops = 0
        self.code = self.mixed(self.mixed(self.mixed(self.mixed(SEED, u), v), p), r)

    def mixed(self, code: int, number: int) -> int:
        """A hash of 62 bits with one more number in it: two lanes of 31 bits, so that no product overflows."""
        one, other = (code >> 31) ^ (number & LANE), (code & LANE) ^ (number & LANE)
        one, other = one * FIRST, other * SECOND
        return (((one ^ (one >> 31)) & LANE) << 31) | ((other ^ (other >> 31)) & LANE)

    def spread(self, step: int, bound: int, passes: int) -> None:
        """One spatial loop whose instances share; `passes`: they also hand on what another held a step before."""
        if bound > 1:
            n = self.loops
            self.steps[n], self.bounds[n], self.passes[n] = step, bound, passes
            self.loops = n + 1
            self.code = self.mixed(self.mixed(self.mixed(self.code, step), bound), passes)

    def kept(self, shift: int) -> int:
        """Positions that all instances need together and that stay when every tile moves by `shift` (0: all)."""
        if shift < 0:
            shift = -shift
        code = self.mixed(self.code, shift)
        if code == 0:
            code = 1
        mask = len(self.keys) - 1
        slot = code & mask
        while self.keys[slot] != 0:
            if self.keys[slot] == code:
                return self.values[slot]
            slot = (slot + 1) & mask
        found = self.counted(shift)
        self.keys[slot], self.values[slot] = code, found
        self.used += 1
        if self.used * 2 > len(self.keys):
            self.grow()
        return found

    def grow(self) -> None:
        """Twice the memory for what has been counted."""
        keys, values = self.keys, self.values
        self.keys = np.zeros(2 * len(keys), dtype=np.int64)
        self.values = np.zeros(2 * len(keys), dtype=np.int64)
        mask = len(self.keys) - 1
        for i in range(len(keys)):
            if keys[i] != 0:
                slot = keys[i] & mask
                while self.keys[slot] != 0:
                    slot = (slot + 1) & mask
                self.keys[slot], self.values[slot] = keys[i], values[i]

    def reach(self) -> int:
        """Length of the tile in positions if it has no gaps, else 0; what is passed on belongs to the tile."""
        for n in range(self.loops):
            if self.passes[n]:
                return 0
        u, v, p, r = self.u, self.v, self.p, self.r
        if u == v == 0 or (p == 1 and r == 1):
            return 1
        if r == 1 or v == 0:
            return p if u == 1 else 0
        if p == 1 or u == 0:
            return r if v == 1 else 0
        if (u == 1 and v <= p) or (v == 1 and u <= r):
            return u * (p - 1) + v * (r - 1) + 1
        return 0

    def counted(self, shift: int) -> int:
        """`kept` worked out anew."""
        length = self.reach()
        if length:
            if shift >= length:
                return 0
            if self.loops == 0:
                return length - shift
            if self.loops == 1:
                step, bound = self.steps[0], self.bounds[0]
                near = length if length < step else step
                return length - shift + (bound - 1) * (near - shift if near > shift else 0)
            number = self.sorted_places()
            total, last = length - shift, self.places[0]
            for k in range(1, number):
                place = self.places[k]
                start = place if place > last + length else last + length
                if place + length - shift > start:
                    total += place + length - shift - start
                last = place
            return total
        return self.counted_one_by_one(shift)

    def sorted_places(self) -> int:
        """Fills `places` with where instances stand, ascending; how many there are (loops that pass on left out)."""
        number = 1
        for n in range(self.loops):
            number *= 1 if self.passes[n] else self.bounds[n]
        if number > len(self.places):
            self.places = np.zeros(2 * number, dtype=np.int64)
        self.places[0] = 0
        number = 1
        for n in range(self.loops):
            if not self.passes[n]:
                for i in range(1, self.bounds[n]):
                    for k in range(number):
                        self.places[i * number + k] = self.places[k] + i * self.steps[n]
                number *= self.bounds[n]
        # insertion sort: the places are a few ascending runs
        for i in range(1, number):
            place, k = self.places[i], i
            while k > 0 and self.places[k - 1] > place:
                self.places[k] = self.places[k - 1]
                k -= 1
            self.places[k] = place
        return number

    def counted_one_by_one(self, shift: int) -> int:
        """`kept` of a tile with gaps, or with words that are passed on, position by position."""
        number = self.sorted_places()
        length = self.u * (self.p - 1) + self.v * (self.r - 1) + 1
        for n in range(self.loops):
            if self.passes[n]:
                length += (self.bounds[n] - 1) * self.steps[n]
        whole = length + self.places[number - 1]
        if length > len(self.tile):
            self.tile = np.zeros(2 * length, dtype=np.uint8)
        if whole > len(self.needed):
            self.needed = np.zeros(2 * whole, dtype=np.uint8)
        for x in range(length):
            self.tile[x] = 0
        for i in range(self.p):
            for j in range(self.r):
                self.tile[self.u * i + self.v * j] = 1
        for n in range(self.loops):
            if self.passes[n]:
                for i in range(length - 1, -1, -1):
                    if self.tile[i]:
                        for j in range(1, self.bounds[n]):
                            if i + j * self.steps[n] < length:
                                self.tile[i + j * self.steps[n]] = 1
        for x in range(whole):
            self.needed[x] = 0
        # 1: needed by some instance; 2: and one of these did not hold it before
        for k in range(number):
            place = self.places[k]
            for x in range(length):
                if self.tile[x]:
                    if x + shift < length and self.tile[x + shift]:
                        if self.needed[place + x] == 0:
                            self.needed[place + x] = 1
                    else:
                        self.needed[place + x] = 2
        total = 0
        for x in range(whole):
            if self.needed[x] == 1:
                total += 1
        return total


__all__ = ["Windows"]
