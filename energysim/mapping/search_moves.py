"""Moves of factors between places of the nest, each priced from the level where it begins (see search_moves.pxd).

Places of a dim's factors, outermost first: the loops of level 0, the array of gap 1, the loops of level 1 ...
"""

from typing import Any

import numpy as np

from energysim.mapping.search_tree import Tree

INFINITE = float("inf")


class Moves(Tree):
    """A whole mapping in hand: factors by place (as numbers of divisors), and what each level adds to its cost."""

    def __init__(self, tables: Any) -> None:
        super().__init__(tables)
        self.places = 0

    def begin_moves(self) -> None:
        """Room, quotients of divisors, and the places where a dim can have factors at all."""
        self.places = 2 * self.levels
        self.factor = np.zeros((self.places, self.dims), dtype=np.int64)
        self.cost_at = np.zeros(self.levels + 1)
        self.cost_now = np.zeros(self.levels + 1)
        wide = self.product.shape[1]
        self.quotient = np.full((self.dims, wide, wide), -1, dtype=np.int64)
        self.open_place = np.zeros((self.dims, self.places), dtype=np.int64)
        self.open_places = np.zeros(self.dims, dtype=np.int64)
        for d in range(self.dims):
            for i in range(self.count[d]):
                for j in range(self.count[d]):
                    if self.product[d, i, j] >= 0:
                        self.quotient[d, self.product[d, i, j], j] = i
            for place in range(self.places):
                c = place // 2 + 1
                if (self.fan[c] > 1.0) if place % 2 else not self.untiled[c - 1, d]:
                    self.open_place[d, self.open_places[d]] = place
                    self.open_places[d] += 1

    def take_best(self) -> None:
        """The best mapping in hand, as factors and as the tree has it, with its cost by level."""
        for c in range(self.levels + 1):
            flat_tile, flat_space = 0, 0
            for d in range(self.dims):
                self.tile[c, d], self.space[c, d] = self.best_tile[c, d], self.best_space[c, d]
                self.order[c, d] = self.best_order[c, d]
                flat_tile += self.tile[c, d] * self.stride[d]
                flat_space += self.space[c, d] * self.stride[d]
            self.flat_tile[c], self.flat_space[c] = flat_tile, flat_space
        for c in range(1, self.levels + 1):
            self.place_at(c)
            for d in range(self.dims):
                whole = self.product[d, self.tile[c, d], self.space[c, d]]
                self.factor[2 * c - 2, d] = self.quotient[d, self.tile[c - 1, d], whole]
                self.factor[2 * c - 1, d] = self.space[c, d]
        self.cost_at[0] = self.root_pj
        self.priced(1, INFINITE)
        self.accept(1)

    def shift(self, d: int, i: int, j: int, part: int) -> int:
        """Moves a part (a divisor's number) of a dim's factor from place i to place j; 0 where a rule forbids it."""
        self.factor[i, d] = self.quotient[d, self.factor[i, d], part]
        self.factor[j, d] = self.product[d, self.factor[j, d], part]
        first, last = (i, j) if i < j else (j, i)
        legal = 1
        for c in range(first // 2 + 1, last // 2 + 2):
            if c > self.levels:
                break
            if first < 2 * c <= last:
                tile = self.tile[c, d]
                tile = self.product[d, tile, part] if i < j else self.quotient[d, tile, part]
                self.flat_tile[c] += (tile - self.tile[c, d]) * self.stride[d]
                self.tile[c, d] = tile
            space = self.factor[2 * c - 1, d]
            self.flat_space[c] += (space - self.space[c, d]) * self.stride[d]
            self.space[c, d] = space
            tile = self.tile[c, d]
            self.stretch[c - 1, d] = self.value[d, self.product[d, tile, space]]
            self.bound[c - 1, d] = self.value[d, self.factor[2 * c - 2, d]]
            if not self.pairs[c, d, tile, space] or (self.untiled[c - 1, d] and self.factor[2 * c - 2, d] > 0):
                legal = 0
        return legal

    def legal(self, i: int, j: int) -> int:
        """Whether tiles and spatial factors fit in all levels that a shift between two places has touched."""
        first, last = (i, j) if i < j else (j, i)
        for c in range(first // 2 + 1, last // 2 + 2):
            if c > self.levels:
                break
            if not self.fits[c, self.flat_tile[c]] or not self.spreads[c, self.flat_space[c]]:
                return 0
        return 1

    def priced(self, first: int, limit: float) -> float:
        """The cost of what is in hand, of which levels outside `first` are known; infinite at or above a limit."""
        self.nodes += 1
        cost = self.cost_at[first - 1]
        for level in range(first, self.levels + 1):
            if level < self.levels and not self.stays(level):
                return INFINITE
            if self.timed:
                self.clear_ports(level)
            cost += self.settle(level)
            if level < self.levels:
                cost += self.flow(level)
            self.cost_now[level] = cost
            if cost + self.inside[level, self.flat_tile[level]] >= limit:
                return INFINITE
        cost = self.total(cost)
        return cost if cost < limit else INFINITE

    def accept(self, first: int) -> None:
        """What `priced` has found holds now."""
        for level in range(first, self.levels + 1):
            self.cost_at[level] = self.cost_now[level]


__all__ = ["Moves"]
