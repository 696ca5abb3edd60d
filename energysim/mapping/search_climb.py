"""Annealing: a mapping in hand is bettered by moves drawn by chance (compiled: search_climb.pxd).

In deep hierarchies bounds are loose and a dive may end far from the best; neighbours are cheap to price exactly.
"""

from energysim.mapping.search_moves import Moves

INFINITE = float("inf")

STEPS = 20_000
"""Moves that one annealing tries; most are illegal, which shows at once."""

HOT, COLD = 1.0, 0.001
"""How much worse than what is in hand a mapping may be at the first move and at the last, relative."""

FRACTION = 2.0**-20


class Climb(Moves):
    """Moves of parts of factors between places, pairs of them, and exchanges of loops, taken where not much worse."""

    def climb(self) -> None:
        """Betters the best mapping in hand."""
        if self.levels <= 3 or self.best_pj == INFINITE or self.stopped != 0:
            return
        if self.places == 0:
            self.begin_moves()
            self.seed = 12345
        before = self.nodes
        self.anneal(STEPS)
        # moves take nothing from the proof
        self.most_nodes += self.nodes - before

    def random(self, number: int) -> int:
        """A number from 0 to `number` - 1, the same in every run."""
        self.seed = (self.seed * 1103515245 + 12345) & 0x7FFFFFFF
        # its low bits repeat after few draws
        return ((self.seed >> 8) * number) >> 23

    def chance(self) -> float:
        """A number from 0 to 1; by multiplication, since a division of integers is cut off when compiled."""
        return self.random(1 << 20) * FRACTION

    def anneal(self, steps: int) -> None:
        """Moves by chance from the best in hand, of which the worse ones become rare."""
        self.take_best()
        now = self.total(self.cost_at[self.levels])
        warmth, cooling = HOT, (COLD / HOT) ** (1.0 / steps)
        for _ in range(steps):
            warmth *= cooling
            if self.late():
                return
            draw = self.chance()
            limit = now * (1.0 + warmth * draw * draw * draw)
            kind = self.random(10)
            if kind < 3:
                found = self.try_order(limit)
            elif kind < 8:
                found = self.try_move(limit)
            else:
                found = self.try_pair(limit)
            if found < INFINITE:
                now = found
                if now < self.limit_pj:
                    self.complete(self.cost_at[self.levels])
                    if self.stopped != 0:
                        return

    def try_order(self, limit: float) -> float:
        """Exchanges two loops of a memory."""
        c = self.random(self.levels)
        i, j = self.random(self.dims), self.random(self.dims)
        d, e = self.order[c, i], self.order[c, j]
        if i == j or self.bound[c, d] == 1 or self.bound[c, e] == 1:
            return INFINITE
        self.order[c, i], self.order[c, j] = e, d
        found = self.priced(1 if self.timed else c + 1, limit)
        if found < INFINITE:
            self.accept(c + 1)
        else:
            self.order[c, i], self.order[c, j] = d, e
        return found

    def drawn(self, d: int) -> int:
        """A place where a dim has a factor, -1 when luck has none."""
        i = self.open_place[d, self.random(self.open_places[d])]
        return i if self.factor[i, d] > 0 else -1

    def part_of(self, d: int, i: int) -> int:
        """A part of the factor at a place: the number of a divisor above one."""
        part = 1 + self.random(self.factor[i, d])
        while self.quotient[d, self.factor[i, d], part] < 0:
            part = 1 + self.random(self.factor[i, d])
        return part

    def try_move(self, limit: float) -> float:
        """Moves a part of a factor."""
        d = self.random(self.dims)
        i = self.drawn(d)
        if i < 0:
            return INFINITE
        j = self.open_place[d, self.random(self.open_places[d])]
        if i == j:
            return INFINITE
        part = self.part_of(d, i)
        first = (i if i < j else j) // 2 + 1
        found = INFINITE
        if self.shift(d, i, j, part) and self.legal(i, j):
            found = self.priced(1 if self.timed else first, limit)
        if found < INFINITE:
            self.accept(first)
        else:
            self.shift(d, j, i, part)
        return found

    def try_pair(self, limit: float) -> float:
        """Moves parts of two dims' factors in opposite directions between two places."""
        d, e = self.random(self.dims), self.random(self.dims)
        i, j = self.drawn(d), self.drawn(e)
        if d == e or i < 0 or j < 0 or i == j:
            return INFINITE
        part, other = self.part_of(d, i), self.part_of(e, j)
        first = (i if i < j else j) // 2 + 1
        found = INFINITE
        one, two = self.shift(d, i, j, part), self.shift(e, j, i, other)
        if one and two and self.legal(i, j):
            found = self.priced(1 if self.timed else first, limit)
        if found < INFINITE:
            self.accept(first)
        else:
            self.shift(d, j, i, part)
            self.shift(e, i, j, other)
        return found


__all__ = ["Climb"]
