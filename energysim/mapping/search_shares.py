"""What tiles with sliding windows share and keep at least and at most, tabulated (compiled: search_shares.pxd)."""

from energysim.mapping.search_state import State

INFINITE = float("inf")
FIELDS = 10
"""Per setting of a window: positions shared, then for each of its dims the least share of fresh words at a step and the
share kept at the ends of the innermost loop; the same of one instance alone."""


class Shares(State):
    """The windows' table of a problem."""

    def fill_windows(self) -> None:
        """Shared positions and kept shares of every window for every (tile, spatial factor) of its two dims.

        Windows that are alike have one table, and so have all choices of bypasses.
        """
        # inside the second array of a hierarchy steps may be stretched
        self.late_array = self.levels
        for g in range(self.levels, 0, -1):
            if self.fan[g] > 1.0:
                self.late_array = g
        for w in range(len(self.ranks)):
            if self.window_known[self.window_start[w]]:
                continue
            self.window_known[self.window_start[w]] = 1
            a, b = self.ranks[w, 1], self.ranks[w, 3]
            na, nb = self.count[a], self.count[b]
            for ta in range(na):
                for sa in range(na):
                    wa = self.product[a, ta, sa]
                    if wa < 0:
                        continue
                    for tb in range(nb):
                        for sb in range(nb):
                            wb = self.product[b, tb, sb]
                            if wb < 0:
                                continue
                            self.fill_setting(w, ta, sa, tb, sb, 0)
                            if self.late_array < self.levels:
                                self.fill_setting(w, ta, sa, tb, sb, 1)

    def fill_setting(self, w: int, ta: int, sa: int, tb: int, sb: int, loose: int) -> None:
        """One setting: tile and spatial factor of both dims as divisor numbers.

        `loose`: arrays further out may stretch the steps of the loops outside, so any multiple of them can occur.
        """
        windows = self.windows
        a, u, b, v = self.ranks[w, 1], self.ranks[w, 2], self.ranks[w, 3], self.ranks[w, 4]
        na, nb = self.count[a], self.count[b]
        p, r, m, n = self.value[a, ta], self.value[b, tb], self.value[a, sa], self.value[b, sb]
        place = self.window_start[w] + ((((loose * na + ta) * na + sa) * nb + tb) * nb + sb) * FIELDS
        left_a = (self.value[a, na - 1] + p * m - 1) // (p * m)
        left_b = (self.value[b, nb - 1] + r * n - 1) // (r * n)
        for alone in range(2):
            windows.begin(u, v, p, r)
            if not alone:
                windows.spread(u * p, m, self.ranks[w, 5])
                windows.spread(v * r, n, self.ranks[w, 5])
            self.window[place + 5 * alone] = windows.kept(0)
            if self.by_parts[a]:
                self.fill_partial(place + 5 * alone + 1, u * p * m, left_a, v * r * n, left_b)
            else:
                self.fill_fresh(place + 5 * alone + 1, u * p * m, left_a, v * r * n, left_b, loose)
            if self.by_parts[b]:
                self.fill_partial(place + 5 * alone + 3, v * r * n, left_b, u * p * m, left_a)
            else:
                self.fill_fresh(place + 5 * alone + 3, v * r * n, left_b, u * p * m, left_a, loose)

    def fill_fresh(self, place: int, step: int, left: int, other: int, more: int, loose: int) -> None:
        """The least share of fresh words while the innermost loop slides the tile by `step`, and the most at its ends.

        The loop has some bound b that divides what is `left`. It returns at one step in b; only then can loops further
        out move the tile by multiples of b steps, and those of the partner by multiples of `other`.
        """
        windows = self.windows
        whole = windows.kept(0) * 1.0
        least, end = INFINITE, INFINITE
        slid = self.most_kept(step, whole) if loose else windows.kept(step) / whole
        reach = windows.u * windows.p + windows.v * windows.r
        for n in range(windows.loops):
            if windows.passes[n]:
                reach += windows.steps[n] * (windows.bounds[n] - 1)
        for b in range(2, left + 1):
            if left % b:
                continue
            most = 0
            for k in range(1 - left // b, left // b):
                home = (k * b - b + 1) * step
                low = (-home - reach) // other
                high = (-home + reach) // other + 1
                low = max(low, 1 - more)
                high = min(high, more - 1)
                for j in range(low, high + 1):
                    kept = windows.kept(home + j * other)
                    most = max(most, kept)
            share = most / whole
            fresh = (1.0 - slid) + (slid - share) / b
            least = min(least, fresh)
            end = min(end, share)
        self.window[place], self.window[place + 1] = least, end

    def fill_partial(self, place: int, step: int, left: int, other: int, more: int) -> None:
        """The same where the last step of the innermost loop, or of loops outside it, may be partial.

        It returns from anywhere, and at two steps in three at most: of three steps one is alone in its turn.
        """
        windows = self.windows
        whole = windows.kept(0) * 1.0
        slid = self.most_kept(step, whole)
        most = 0
        for k in range(1 - left, left):
            for j in range(1 - more, more):
                if k != 0 or j != 0:
                    kept = windows.kept(k * step + j * other)
                    most = max(most, kept)
        share = most / whole
        fresh = 1.0 - slid
        if share > slid:
            fresh -= (share - slid) * 2.0 / 3.0
        self.window[place], self.window[place + 1] = fresh, 0.0

    def most_kept(self, step: int, whole: float) -> float:
        """The largest share kept at any multiple of a step (tiles without gaps keep most at the step itself)."""
        windows = self.windows
        most = windows.kept(step)
        if windows.reach() == 0:
            reach = windows.u * windows.p + windows.v * windows.r
            for n in range(windows.loops):
                reach += windows.steps[n] * windows.bounds[n]
            shift = 2 * step
            while shift < reach:
                kept = windows.kept(shift)
                most = max(most, kept)
                shift += step
        share = 1.0 * most
        return share / whole


__all__ = ["FIELDS", "Shares"]
