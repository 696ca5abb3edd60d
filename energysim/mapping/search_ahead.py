"""What tensors that go past memories cost at least, once loops outside are known (compiled: search_ahead.pxd).

`inside` of a tile lets every loop outside leave any one tensor where it is. A tensor that comes from the outermost
memory past others (a *deep* one) is placed late; but loops that are placed already and do not touch it bring all of it
again, unless none that touches it is inside of them.
"""

from typing import Any

from energysim.mapping.search_shares import Shares

INFINITE = float("inf")


class Ahead(Shares):
    """Tables by level and tile: `joint`, as `inside` but with deep tensors as if they came once, and `held`."""

    def find_deep(self) -> None:
        """Which tensors are deep, to which level they go, and what one pass of all their words costs at least.

        One with windows can keep words between passes, and so can one that instances hand on: not counted. Neither is
        any where last tiles may be partial: instances may wait for a loop's return.
        """
        if self.ragged:
            return
        for t in range(self.tensors):
            for c in range(2, self.levels):
                if self.parent[t, c] == 0 and self.rank_start[t + 1] == self.rank_start[t]:
                    price, plain = self.up[t, c] + self.into[t, c], 1
                    for g in range(1, c + 1):
                        price += self.cross[t, c, g]
                        if self.passes[t, g]:
                            plain = 0
                    if plain and price > 0.0:
                        self.deep[t], self.deep_pj[t] = c, price * self.elements[t]
                        self.deepest = max(self.deepest, c)

    def gather_low(self, level: int) -> None:
        """`joint` and `held` of the level outside, from a level's rows."""
        if not self.lean[level]:
            for w in range(self.size):
                self.low[level, w] = INFINITE
            for i in range(self.begin[level], self.end[level]):
                w, tile = self.row_whole[i], self.row_tile[i]
                cost = self.row_low[i] + self.joint[level, tile]
                self.low[level, w] = min(self.low[level, w], cost)
        for w in range(self.size):
            self.joint[level - 1, w] = self.low[level, w]
        self.lower(self.joint, level - 1, -1)
        for t in range(self.tensors):
            if self.deep[t] < level:
                continue
            table = self.held[t]
            for w in range(self.size):
                table[level - 1, w] = self.joint[level - 1, w] if self.lean[level] else INFINITE
            for i in range(self.begin[level], self.end[level]):
                if self.deep[t] == level or table[level, self.row_tile[i]] < INFINITE:
                    table[level - 1, self.row_whole[i]] = 0.0
            self.lower(table, level - 1, t)

    def lower(self, table: Any, level: int, t: int) -> None:
        """The least of a level over all tiles that divide, by dim and prime, from small to large.

        With a tensor, only over loops that do not touch it.
        """
        for d in range(self.dims):
            if self.untiled[level, d] or (t >= 0 and self.touches[t, d] != 0):
                continue
            step, number = self.stride[d], self.count[d]
            block = step * number
            for i in range(1, number):
                for j in range(i):
                    if self.by_prime[d, i, j]:
                        for n in range(self.size // block):
                            base = n * block
                            for k in range(step):
                                other = table[level, base + j * step + k]
                                place = base + i * step + k
                                table[level, place] = min(table[level, place], other)

    def set_boundary(self, t: int, level: int) -> None:
        """What bounds of a boundary need of its prices and of the arrays outside its level."""
        price, handed_on, shared = self.up[t, level], 0, 0
        for g in range(self.parent[t, level] + 1, level):
            price += self.cross[t, level, g]
            if self.passes[t, g]:
                handed_on = 1
            if self.shares[t, g]:
                shared = 1
        self.outer_pj_at[t, level], self.handed_on[t, level], self.shared_outside[t, level] = price, handed_on, shared
        self.inner_pj_at[t, level] = self.into[t, level] + self.cross[t, level, level]

    def later(self, tile: int, space: int) -> int:
        """Whether a row's mirror image comes before it."""
        if self.mirror[tile] == tile:
            return 1 if self.mirror[space] < space else 0
        return 1 if self.mirror[tile] < tile else 0

    # ---- another choice of bypasses --------------------------------------------------------------------------

    def lend(self, other: Any) -> None:
        """Before rows are made: they shall also say what they cost another choice of bypasses, already prepared.

        Its rows have to be the same inside level 1, and tensors whose boundaries differ there have no windows.
        """
        self.lends = 1
        for t in range(self.tensors):
            for c in range(2, self.levels):
                if self.parent[t, c] != other.parent[t, c]:
                    self.differs[t, c] = 1
                    self.other_parent[t, c] = other.parent[t, c]
                    self.other_outer[t, c], self.other_inner[t, c] = other.outer_pj_at[t, c], other.inner_pj_at[t, c]
                    self.other_handed[t, c], self.other_shared[t, c] = other.handed_on[t, c], other.shared_outside[t, c]
        for level in range(self.levels):
            for w in range(self.size):
                self.lent[level, w] = INFINITE
        for w in range(self.size):
            self.lent[self.levels, w] = 0.0

    def exchange(self, t: int, c: int) -> None:
        """Puts a boundary as the other choice has it in place of one's own, or back."""
        parent, outer, inner = self.parent[t, c], self.outer_pj_at[t, c], self.inner_pj_at[t, c]
        handed, shared = self.handed_on[t, c], self.shared_outside[t, c]
        self.parent[t, c] = self.other_parent[t, c]
        self.outer_pj_at[t, c], self.inner_pj_at[t, c] = self.other_outer[t, c], self.other_inner[t, c]
        self.handed_on[t, c], self.shared_outside[t, c] = self.other_handed[t, c], self.other_shared[t, c]
        self.other_parent[t, c], self.other_outer[t, c], self.other_inner[t, c] = parent, outer, inner
        self.other_handed[t, c], self.other_shared[t, c] = handed, shared

    def lend_row(self, level: int, tile: int, whole: int, own: float) -> None:
        """What a row and all inside it cost the other choice at least."""
        own += self.lent[level, tile]
        self.lent[level - 1, whole] = min(self.lent[level - 1, whole], own)

    def case_other(self, level: int, d: int, cost: float) -> float:
        """A case as the other choice has it."""
        for t in range(self.tensors):
            if self.differs[t, level]:
                if d < 0 or self.touches[t, d] != 0:
                    cost += self.other_full[t] - self.part_full[t]
                else:
                    cost += self.other_stay[t] - self.part_stay[t]
        return cost

    def beyond(self, level: int, tile: int, whole: int, ordered: int) -> float:
        """The least pJ inside a tile once loops outside are placed, deep tensors counted as often as these bring them.

        `ordered`: so are those of the memory right outside; else they are those from `whole` to the tile placed there.
        """
        cost = self.joint[level, tile]
        outer = self.flat_tile[level - 1]
        for t in range(self.tensors):
            if self.deep[t] <= level:
                continue
            block = self.reuse[t, outer] / self.reuse[t, whole]
            again = self.again[level, t] * block
            if self.held[t, level, tile] < INFINITE:
                run, all_stay = block, self.volume[outer] / self.volume[whole] == block
                if ordered:
                    run, k = 1.0, self.dims - 1
                    while k >= 0:
                        d = self.order[level - 1, k]
                        if self.bound[level - 1, d] > 1:
                            if self.touches[t, d] != 0:
                                break
                            run *= self.bound[level - 1, d]
                        k -= 1
                if all_stay:
                    run *= self.run_on[level, t]
                again /= run
            cost += (again - 1.0) * self.deep_pj[t]
        return cost


__all__ = ["Ahead"]
