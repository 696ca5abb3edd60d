"""The dynamic programme of optimal scalar k-means over blocks of sorted values, in windows where its cuts may lie."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from energysim.clustering import scalar_loops

Floats = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Blocks:
    """Runs of rising values: moments (3 or 4, m + 1) at their edges, and what a cut inside a block beside an edge may
    cost less than a cut at that edge, (m + 1,)."""

    moments: Floats
    relief: Floats

    def reversed(self) -> "Blocks":
        """The same blocks from the last to the first."""
        moments = np.ascontiguousarray(self.moments[:, -1:] - self.moments[:, ::-1])
        return Blocks(moments, self.relief[::-1])

    def sse(self, start: Places, end: Places) -> Floats:
        """Squared distance of the values from edge `start` to edge `end` to their mean."""
        mass, first, second = self.moments[:3, end] - self.moments[:3, start]
        least: Floats = np.maximum(second - first * first / np.where(mass > 0, mass, 1.0), 0.0)
        return least


@dataclass(frozen=True, slots=True)
class Layers:
    """Least costs of the blocks before each edge in at most j clusters, kept in windows (planes, k + 1, 2) only.

    A window is the first and the last edge where the j-th cluster may end. Plane 1 has used the cluster at zero.
    """

    windows: Places
    rows: list[list[Floats]]

    def span(self, plane: int, j: int, low: int, high: int) -> Floats:
        """Costs at the edges from `low` to `high` inclusive; infinite outside the window."""
        first, last = self.windows[plane, j].tolist()
        found = np.full(high - low + 1, np.inf)
        a, b = max(low, first), min(high, last)
        if a <= b:
            found[a - low : b - low + 1] = self.rows[plane][j][a - first : b - first + 1]
        return found


def least_costs(blocks: Blocks, windows: Places) -> Layers:
    """The programme from the first block on, with the reliefs granted at every cut.

    Where blocks may still be cut this is a bound from below, otherwise the least cost.
    """
    planes = range(len(windows))
    about_zero = blocks.moments[-1] - blocks.moments[-1, 0]
    least = Layers(windows, [[blocks.relief[:1] if plane == 0 else np.zeros(0)] for plane in planes])
    # The beginning is no cut: what is granted there is taken back.
    windows[:, 0] = [[0, 0], [1, 0]][: len(windows)]
    for j in range(1, windows.shape[1]):
        for plane in planes:
            low, high = windows[plane, j].tolist()
            if low > high:
                least.rows[plane].append(np.zeros(0))
                continue
            row = least.span(plane, j - 1, low, high) - blocks.relief[low : high + 1]
            first, last = windows[plane, j - 1].tolist()
            _lower(row, low, least.rows[plane][j - 1] - blocks.relief[first : last + 1], first, blocks)
            if plane == 1:
                first = min(low, int(windows[0, j - 1, 0]))
                opened = least.span(0, j - 1, first, high) - blocks.relief[first : high + 1]
                zero_last = np.minimum.accumulate(opened - about_zero[first : high + 1])
                np.minimum(row, zero_last[low - first :] + about_zero[low : high + 1], out=row)
            least.rows[plane].append(row)
    return least


def _lower(row: Floats, low: int, opened: Floats, begin: int, blocks: Blocks) -> None:
    """Lower row[e - low] to `min over s < e of opened[s - begin] + sse(s, e)`.

    The best s grows with e: all the midpoints of one depth of the recursion are searched at once.
    """
    first = max(low, begin + 1)
    count = low + len(row) - first
    if count < 1 or not len(opened):
        return
    chosen = np.full(count + 2, begin, dtype=np.int64)
    if scalar_loops.COMPILED:
        moments = blocks.moments
        scalar_loops.lower_row(row, low, opened, begin, moments[0], moments[1], moments[2], chosen, first)
        return
    chosen[count + 1] = begin + len(opened) - 1
    step = 1 << (count.bit_length() - 1)
    while step:
        rows = np.arange(step, count + 1, 2 * step)
        ends = rows + first - 1
        from_place = chosen[rows - step]
        lengths = np.minimum(chosen[np.minimum(rows + step, count + 1)], ends - 1) - from_place + 1
        offsets = np.cumsum(lengths) - lengths
        starts = np.arange(int(lengths.sum())) + np.repeat(from_place - offsets, lengths)
        # `blocks.sse`, without a gather where a repetition does; every block has mass.
        mass, first_moment, costs = (np.repeat(row[ends], lengths) - row.take(starts) for row in blocks.moments[:3])
        first_moment *= first_moment
        first_moment /= mass
        np.maximum(np.subtract(costs, first_moment, out=costs), 0.0, out=costs)
        costs += opened.take(starts - begin)
        best = np.minimum.reduceat(costs, offsets)
        hits = np.flatnonzero(costs == np.repeat(best, lengths))
        chosen[rows] = starts[hits[np.searchsorted(hits, offsets)]]
        row[ends - low] = np.minimum(row[ends - low], best)
        step //= 2


def trace(blocks: Blocks, least: Layers) -> tuple[Places, int | None]:
    """First edges of the runs of the least cost, and the place among them of the one at zero, if there is one."""
    plane, end = len(least.rows) - 1, blocks.moments.shape[1] - 1
    starts: list[int] = []
    zero_start = None
    for j in range(least.windows.shape[1] - 1, 0, -1):
        if end == 0:
            break
        first, opened = _opened(least, plane, j - 1, end, blocks)
        if first + len(opened) > end and opened[-1] <= least.span(plane, j, end, end)[0]:
            continue
        opened = opened[: max(0, end - first)]
        costs = opened + blocks.sse(np.arange(first, first + len(opened)), np.full(len(opened), end))
        start = first + int(costs.argmin()) if len(costs) else end
        if plane == 1:
            begin, opened = _opened(least, 0, j - 1, end, blocks)
            at_zero = opened + blocks.moments[-1, end] - blocks.moments[-1, begin : begin + len(opened)]
            if len(at_zero) and not (len(costs) and costs.min() < at_zero.min()):
                plane, start = 0, begin + int(at_zero.argmin())
                zero_start = start if start < end else None
        if start < end:
            starts.append(start)
        end = start
    starts.reverse()
    return np.array(starts, dtype=np.int64), None if zero_start is None else starts.index(zero_start)


def _opened(least: Layers, plane: int, j: int, end: int, blocks: Blocks) -> tuple[int, Floats]:
    """The first edge where the j-th cluster may end, and the costs there and at the next ones, `end` the last."""
    first, last = least.windows[plane, j].tolist()
    count = max(0, min(last, end) - first + 1)
    row: Floats = least.rows[plane][j][:count] - blocks.relief[first : first + count]
    return first, row
