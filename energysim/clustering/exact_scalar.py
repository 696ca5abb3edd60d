"""Optimal k-means of numbers: dynamic programming on sorted distinct values, refined only where a cut may lie.

Clusters of an optimum are runs of the sorted values, so `F_j(e) = min_s F_{j-1}(s) + sse(s, e)` finds it (Wang and
Song, *Ckmeans.1d.dp*, R Journal 2011). Millions of values are first taken in blocks, with a bound from below: in an
optimum a cut is the midpoint of its two centroids c1 < c2, so a block with a cut inside may be given whole to
the better of both clusters at a loss of no more than `(c2 - c1) * sum |x - mean|`, which is at most
`(c2 - c1) * sqrt(mass * sse)`. Where that bound exceeds the cost of a known clustering no optimum is cut; elsewhere
blocks are divided, and once only single values are left the programme is the exact one.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from energysim.clustering import scalar_loops
from energysim.clustering.penalised_scalar import penalised_cuts
from energysim.clustering.running_sums import BLOCK, RunningSums
from energysim.clustering.scalar_layers import Blocks, Floats, Layers, Places, least_costs, trace

FIRST_BLOCKS = 1500
"""Blocks that are looked at first, and more of them for more than 64 clusters."""
MOST_LAYERS = 256
"""Clusters up to which the programme goes layer by layer; for more a price for each is faster."""
SLACK = 1e-10
"""Relative rounding of the sums, far above what they lose in 64 bits: a bound within it excludes nothing."""


def exact_scalar(
    values: Tensor, n_clusters: int, weights: Tensor | None, fixed_zero: bool
) -> tuple[Tensor, Tensor, float]:
    """Centroids (k,) in rising order, labels (N,), and inertia of the least-cost clustering of `values` (N,).

    With `fixed_zero` centroid 0 is zero and the others follow in rising order.
    """
    line = _line(values, weights, fixed_zero)
    if n_clusters > MOST_LAYERS and scalar_loops.COMPILED and not fixed_zero:
        cost, _ = line.settled(line.spread(n_clusters, line.first_edges(FIRST_BLOCKS * n_clusters // 64)))
        starts, zero_run = penalised_cuts(line.sums, n_clusters, cost), None
    else:
        starts, zero_run = _cuts(line, n_clusters)
    sums = line.sums.at(np.append(starts, len(line.sums)))
    mass, first = np.diff(sums[:2], axis=1)
    centroids = first / mass * line.sums.scale + line.sums.shift
    order = np.arange(len(starts))
    if fixed_zero and zero_run is not None:
        centroids[zero_run] = 0.0
        order = np.concatenate(([zero_run], np.delete(order, zero_run)))
    rank = np.argsort(order)
    centroids = centroids[order]
    if fixed_zero and zero_run is None:
        centroids, rank = np.insert(centroids, 0, 0.0), rank + 1
    firsts = line.sums.values[starts[1:]]
    del line
    rounded = torch.from_numpy(centroids).to(values)
    labels, inertia = _assigned(values, weights, firsts, rounded, rank)
    return rounded, labels, inertia


def _assigned(
    values: Tensor, weights: Tensor | None, firsts: NDArray[np.floating], centroids: Tensor, rank: Places
) -> tuple[Tensor, float]:
    """Labels (N,) of the values and their inertia: the j-th run begins at `firsts[j - 1]`, its label is `rank[j]`."""
    numbers, books = values.cpu().numpy(), centroids.cpu().numpy()
    mass = numbers[:0] if weights is None else weights.cpu().numpy()
    labels = np.empty(len(values), dtype=np.int64)
    if scalar_loops.COMPILED:
        inertia = scalar_loops.assign(
            np.ascontiguousarray(numbers), np.ascontiguousarray(mass), firsts, books, rank, labels
        )
    else:
        inertia = 0.0
        for start in range(0, len(values), BLOCK):
            part = slice(start, start + BLOCK)
            labels[part] = rank[np.searchsorted(firsts, numbers[part], side="right")]
            gap = numbers[part].astype(np.float64) - books[labels[part]]
            inertia += float((gap * gap if weights is None else gap * gap * mass[part]).sum())
    return torch.from_numpy(labels).to(values.device), inertia


def settled_scalar(values: Tensor, n_clusters: int, weights: Tensor | None, fixed_zero: bool) -> Tensor:
    """Centroids (k,) in rising order of Lloyd's iterations on `values` (N,), by running sums: O(k log N) each.

    They begin as dense as an optimum for many clusters would be. Zero comes first with `fixed_zero`.
    """
    line = _line(values, weights, fixed_zero)
    _, centroids = line.settled(
        line.spread(n_clusters, line.first_edges(max(FIRST_BLOCKS, FIRST_BLOCKS * n_clusters // 64)))
    )
    found = np.sort(centroids) * line.sums.scale + line.sums.shift
    if fixed_zero:
        zero = int(np.abs(found).argmin())
        found = np.concatenate(([0.0], np.delete(found, zero)))
    return torch.from_numpy(found).to(values)


def _line(values: Tensor, weights: Tensor | None, fixed_zero: bool) -> "_Line":
    """Distinct values in rising order and the weight that each carries; values of no weight are left out."""
    if weights is None:
        rising = np.sort(values.cpu().numpy())
        new = np.concatenate(([True], rising[1:] != rising[:-1], [True]))
        distinct = rising[new[:-1]]
        del rising
        first: NDArray[np.uint32] = np.flatnonzero(new).astype(np.uint32)
        return _Line(RunningSums(distinct, first[1:] - first[:-1], fixed_zero), fixed_zero)
    found, inverse = np.unique(values.cpu().numpy(), return_inverse=True)
    mass = np.bincount(inverse, weights.cpu().numpy().astype(np.float64), len(found))
    return _Line(RunningSums(found[mass > 0], mass[mass > 0], fixed_zero), fixed_zero)


def optimal_cuts(values: Floats, mass: Floats, n_clusters: int, fixed_zero: bool = False) -> tuple[Places, int | None]:
    """First places of the clusters of an optimal clustering of rising distinct `values`, and which run is at zero.

    No more than `n_clusters` runs, none of them empty; the run is None where no value belongs to the zero centroid.
    """
    return _cuts(_Line(RunningSums(values, mass, fixed_zero), fixed_zero), n_clusters)


def _cuts(line: "_Line", n_clusters: int) -> tuple[Places, int | None]:
    few, fixed_zero = max(FIRST_BLOCKS, FIRST_BLOCKS * n_clusters // 64), line.fixed_zero
    edges = line.first_edges(few)
    divisible = np.diff(edges) > 1
    windows = np.tile(np.array([0, len(line.sums)]), (2 if fixed_zero else 1, n_clusters + 1, 1))
    known, _ = line.settled(line.spread(n_clusters, edges))
    gaps = line.first_gaps(edges, known)
    spread = abs(float(np.diff(line.sums.at(np.array([0, len(line.sums)]))[2])[0]))
    while True:
        reliefs = line.reliefs(edges, divisible, gaps)
        blocks = Blocks(line.sums.at(edges), np.maximum(np.append(reliefs, 0.0), np.insert(reliefs, 0, 0.0)))
        within = np.searchsorted(edges, windows)
        ahead = least_costs(blocks, within)
        starts, zero_run = trace(blocks, ahead)
        if not divisible.any():
            return edges[starts], zero_run
        known = min(known, line.settled(line.means(edges[starts], zero_run))[0])
        back = least_costs(blocks.reversed(), (len(edges) - 1 - within)[::-1, ::-1, ::-1])
        limit = known + SLACK * (known + spread)
        edges, divisible, gaps, windows = _refined(line, edges, divisible, gaps, reliefs, ahead, back, limit, few)


@dataclass(frozen=True, slots=True)
class _Line:
    """Rising distinct values by their running sums, and what of them a clustering needs to know."""

    sums: RunningSums
    fixed_zero: bool

    def first_edges(self, few: int) -> Places:
        """First blocks: half equally full, half equally wide, so that neither bulk nor tails are coarse."""
        count = len(self.sums)
        if count <= few:
            return np.arange(count + 1)
        full = np.linspace(0, count, few // 2).astype(np.int64)
        low, high = self.sums.about(np.array([0, count - 1])).tolist()
        wide = self.sums.place(np.linspace(low, high, few // 2))
        return np.unique(np.concatenate((full, wide, [0, count])))

    def spread(self, n_clusters: int, edges: Places) -> Floats:
        """First centroids as dense as the cube root of the values' density, which is right for many clusters."""
        low, high = self.sums.about(edges[:-1]), self.sums.about(edges[1:] - 1)
        width = np.diff(low, append=high[-1])
        share = np.cumsum(np.cbrt(np.diff(self.sums.at(edges)[0]) * width * width))
        place = np.searchsorted(share, (np.arange(n_clusters) + 0.5) / n_clusters * share[-1])
        centroids: Floats = (low[place] + high[place]) / 2
        if self.fixed_zero:
            centroids[np.abs(centroids - self.sums.zero).argmin()] = self.sums.zero
        return centroids

    def means(self, starts: Places, zero_run: int | None) -> Floats:
        """Centroids of the runs that begin at these places, rising."""
        mass, first = np.diff(self.sums.at(np.append(starts, len(self.sums)))[:2], axis=1)
        centroids: Floats = first / mass
        if zero_run is not None:
            centroids[zero_run] = self.sums.zero
        elif self.fixed_zero:
            centroids = np.append(centroids, self.sums.zero)
        return np.sort(centroids)

    def settled(self, centroids: Floats) -> tuple[float, Floats]:
        """Cost and centroids that Lloyd's iterations reach from these centroids."""
        cost, best = np.inf, centroids
        for _ in range(2000):
            centroids = np.sort(centroids)
            cuts = self.sums.place((centroids[1:] + centroids[:-1]) / 2)
            mass, first, second, *about_zero = np.diff(self.sums.at(np.array([0, *cuts, len(self.sums)])), axis=1)
            moved = np.where(mass > 0, first / np.where(mass > 0, mass, 1.0), centroids)
            sse = np.maximum(second - first * moved, 0.0)
            if self.fixed_zero:
                at_zero = int(np.abs(centroids - self.sums.zero).argmin())
                sse[at_zero], moved[at_zero] = about_zero[0][at_zero], self.sums.zero
            if sse.sum() >= cost:
                break
            cost, best = float(sse.sum()), moved
            centroids = moved
        return cost, best

    def first_gaps(self, edges: Places, known: float) -> Floats:
        """Half the distance of two centroids whose cut lies in a block, at most, when no cluster costs over `known`."""
        blocks = Blocks(self.sums.at(edges), np.zeros(len(edges)))
        first = np.maximum(_reach(blocks, known)[:-1] - 1, 0)
        last = np.minimum(len(edges) - _reach(blocks.reversed(), known)[::-1][1:], len(edges) - 1)
        return self.gaps(edges, edges[first], edges[last])

    def gaps(self, edges: Places, first: Places, last: Places) -> Floats:
        """Half gaps by block when the cluster left of a cut in it begins at `first` at the earliest, and so on."""
        low, high = self.sums.about(edges[:-1]), self.sums.about(edges[1:] - 1)
        left = self.mean(first, edges[:-1])
        right = self.mean(edges[1:], last)
        left = np.where(np.isnan(left), self.sums.about(np.minimum(first, edges[:-1])), left)
        right = np.where(np.isnan(right), self.sums.about(np.maximum(last, edges[1:]) - 1), right)
        if self.fixed_zero:
            left, right = np.minimum(left, self.sums.zero), np.maximum(right, self.sums.zero)
        gaps: Floats = np.maximum(np.minimum(high - left, right - low), 0.0)
        return gaps

    def mean(self, start: Places, end: Places) -> Floats:
        """Mean of the values from place `start` to place `end`, NaN where there are none."""
        mass, first = self.sums.at(end)[:2] - self.sums.at(start)[:2]
        mean: Floats = np.divide(first, mass, out=np.full(len(mass), np.nan), where=mass > 0)
        return mean

    def reliefs(self, edges: Places, divisible: NDArray[np.bool_], gaps: Floats) -> Floats:
        """What a cut inside each block (m,) may cost less than one at the better of its two edges."""
        mass, first, second = np.diff(self.sums.at(edges)[:3], axis=1)
        around = np.maximum(second - first * first / mass, 0.0)
        reliefs: Floats = np.where(divisible, 2 * gaps * np.sqrt(mass * around), 0.0)
        return reliefs


def _reach(blocks: Blocks, limit: float) -> Places:
    """For every edge e the first edge s with `sse(s, e) <= limit`."""
    ends = np.arange(blocks.moments.shape[1])
    low, high = np.zeros_like(ends), ends.copy()
    while (low < high).any():
        middle = (low + high) // 2
        fits = blocks.sse(middle, ends) <= limit
        low, high = np.where(fits, low, np.minimum(middle + 1, high)), np.where(fits, middle, high)
    return low


def _refined(
    line: _Line,
    edges: Places,
    divisible: NDArray[np.bool_],
    gaps: Floats,
    reliefs: Floats,
    ahead: Layers,
    back: Layers,
    limit: float,
    few: int,
) -> tuple[Places, NDArray[np.bool_], Floats, Places]:
    """Edges where a cut of an optimum may lie: impossible ones go, and blocks that may be cut are divided.

    With them the blocks' half gaps, and the windows of places (planes, k + 1, 2) for every cut.
    """
    count, n_clusters = len(edges) - 1, ahead.windows.shape[1] - 1
    divided, kept = np.zeros(count, dtype=np.bool_), np.zeros(count + 1, dtype=np.bool_)
    windows = np.tile(np.array([1, 0]), (len(ahead.rows), n_clusters + 1, 1))
    windows[0, 0], windows[-1, -1] = edges[0], edges[-1]
    for plane in range(len(ahead.rows)):
        for j in range(1, n_clusters):
            low, high = ahead.windows[plane, j].tolist()
            if low > high:
                continue
            other = back.span(len(ahead.rows) - 1 - plane, n_clusters - j, count - high, count - low)[::-1]
            total = ahead.rows[plane][j] + other
            at_edge = total <= limit
            inside = np.minimum(total[1:], total[:-1]) - reliefs[low:high] <= limit
            kept[low : high + 1] |= at_edge
            divided[low:high] |= inside & divisible[low:high]
            at_edge[1:] |= inside
            at_edge[:-1] |= inside
            places = np.flatnonzero(at_edge)
            if len(places):
                windows[plane, j] = edges[low + places[0]], edges[low + places[-1]]
    kept[[0, -1]] = True
    kept[:-1] |= divided
    kept[1:] |= divided
    pieces = max(4, min(64, few // max(1, int(divided.sum()))))
    first, last = edges[:-1][divided], edges[1:][divided]
    inside = first[:, None] + (last - first)[:, None] * np.arange(1, pieces) // pieces
    # Its hash table makes `np.unique` of whole numbers ten times slower than a sort.
    finer: Places = np.sort(np.concatenate((edges[kept], inside.reshape(-1))))
    finer = finer[np.append(True, finer[1:] != finer[:-1])]
    parent = np.searchsorted(edges, finer[:-1], side="right") - 1
    narrowed = np.minimum(gaps[parent], line.gaps(finer, *_neighbours(finer, windows)))
    return finer, divided[parent] & (np.diff(finer) > 1), narrowed, windows


def _neighbours(edges: Places, windows: Places) -> tuple[Places, Places]:
    """For every block, where the cluster before a cut in it can begin at the earliest, and the one after it can end."""
    end = edges[-1]
    begin, beyond = np.full(len(edges) - 1, end), np.zeros(len(edges) - 1, dtype=np.int64)
    some = windows[..., 0] <= windows[..., 1]
    low = np.where(some, windows[..., 0], end).min(axis=0)
    high = np.where(some, windows[..., 1], 0).max(axis=0)
    for j in range(1, len(low) - 1):
        a, b = np.searchsorted(edges, low[j], side="right") - 1, np.searchsorted(edges, high[j], side="left") + 1
        np.minimum(begin[a:b], low[j - 1], out=begin[a:b])
        np.maximum(beyond[a:b], high[j + 1], out=beyond[a:b])
    return begin, beyond
