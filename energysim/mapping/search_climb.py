"""Climbing from a mapping in hand: parts of a dim's factors move to other places of the nest (see search_climb.pxd).

In deep hierarchies bounds are loose and a dive may end far from the best; neighbours are cheap to price exactly.
"""

import numpy as np

from energysim.mapping.search_tree import Tree

INFINITE = float("inf")


class Climb(Tree):
    """Places of a dim's factors, outermost first: the loops of level 0, the array of gap 1, the loops of level 1 ..."""

    def climb(self) -> None:
        """Takes every move of a factor's part, or of two primes in opposite directions, that betters the best."""
        if self.levels <= 3 or self.best_pj == INFINITE or self.stopped != 0:
            return
        self.places = 2 * self.levels
        self.factor = np.ones((self.places, self.dims), dtype=np.int64)
        self.read_factors()
        better = 1
        while better and not self.late():
            better = self.single_moves()
            if not better:
                better = self.double_moves()

    def read_factors(self) -> None:
        """The factors of the best mapping in hand."""
        for c in range(self.levels + 1):
            for d in range(self.dims):
                self.tile[c, d], self.space[c, d] = self.best_tile[c, d], self.best_space[c, d]
        for d in range(self.dims):
            for c in range(1, self.levels + 1):
                whole = self.product[d, self.tile[c, d], self.space[c, d]]
                self.factor[2 * c - 2, d] = self.ratio[d, self.tile[c - 1, d], whole]
                self.factor[2 * c - 1, d] = self.value[d, self.space[c, d]]

    def single_moves(self) -> int:
        """Tries every move of a part of one factor; whether one was taken."""
        taken = 0
        for d in range(self.dims):
            for i in range(self.places):
                for part in range(2, self.factor[i, d] + 1):
                    for j in range(self.places):
                        if j != i and self.factor[i, d] % part == 0:
                            self.move(d, i, j, part)
                            if self.tried():
                                taken = 1
                            else:
                                self.move(d, j, i, part)
        return taken

    def double_moves(self) -> int:
        """Tries to exchange prime factors of two dims between two places; whether one was taken."""
        taken = 0
        for d in range(self.dims):
            for e in range(self.dims):
                if e == d:
                    continue
                for i in range(self.places):
                    for j in range(self.places):
                        p = self.first_prime(self.factor[i, d])
                        q = self.first_prime(self.factor[j, e])
                        if i != j and p > 1 and q > 1:
                            self.move(d, i, j, p)
                            self.move(e, j, i, q)
                            if self.tried():
                                taken = 1
                            else:
                                self.move(d, j, i, p)
                                self.move(e, i, j, q)
        return taken

    def first_prime(self, number: int) -> int:
        """The least prime of a number, 1 for 1."""
        p = 2
        while p * p <= number:
            if number % p == 0:
                return p
            p += 1
        return number

    def move(self, d: int, i: int, j: int, part: int) -> None:
        """A part of a factor of a dim from one place to another."""
        self.factor[i, d] = self.factor[i, d] // part
        self.factor[j, d] = self.factor[j, d] * part

    def tried(self) -> int:
        """Prices the factors in hand; whether they are legal and better than the best, which they then become."""
        if not self.laid_out():
            return 0
        self.nodes += 1
        before = self.limit_pj
        cost = self.root_pj
        for level in range(1, self.levels + 1):
            cost = self.priced(level, cost)
            if cost + self.inside[level, self.flat_tile[level]] >= self.limit_pj:
                return 0
        self.complete(cost)
        return 1 if self.limit_pj < before else 0

    def laid_out(self) -> int:
        """Tiles and spatial factors from the factors; 0 when something does not fit, spread, or may not be so."""
        for d in range(self.dims):
            size = 1
            for c in range(self.levels, 0, -1):
                i, j = self.number_of(d, size), self.number_of(d, self.factor[2 * c - 1, d])
                if i < 0 or j < 0 or self.product[d, i, j] < 0 or not self.pairs[c, d, i, j]:
                    return 0
                if self.untiled[c - 1, d] and self.factor[2 * c - 2, d] > 1:
                    return 0
                self.tile[c, d], self.space[c, d] = i, j
                size *= self.factor[2 * c - 1, d] * self.factor[2 * c - 2, d]
        for c in range(1, self.levels + 1):
            tile, space = 0, 0
            for d in range(self.dims):
                tile += self.tile[c, d] * self.stride[d]
                space += self.space[c, d] * self.stride[d]
            if not self.fits[c, tile] or not self.spreads[c, space]:
                return 0
            self.flat_tile[c], self.flat_space[c] = tile, space
        return 1

    def number_of(self, d: int, size: int) -> int:
        """Which divisor of a dim a size is, -1 for none."""
        for i in range(self.count[d]):
            if self.value[d, i] == size:
                return i
        return -1

    def priced(self, level: int, cost: float) -> float:
        """The cost with a level's row in place and the best order of the loops outside it, taken by itself."""
        self.place_at(level)
        self.clear_ports(level)
        fixed = cost + self.settle(level)
        if level == self.levels:
            return fixed
        mask = 0
        for d in range(self.dims):
            if self.bound[level - 1, d] > 1:
                mask |= 1 << d
        if self.class_start[mask] < 0:
            self.make_classes(mask)
        least, best = INFINITE, -1
        for which in range(self.class_start[mask], self.class_end[mask]):
            if self.take_order(level, which):
                now = self.flow(level)
                if now < least:
                    least, best = now, which
        if best < 0:
            return INFINITE
        self.take_order(level, best)
        if self.timed:
            self.clear_ports(level)
            self.settle(level)
            self.flow(level)
        return fixed + least


__all__ = ["Climb"]
