"""Optimal k-means of numbers: dynamic programming on sorted distinct values, refined only where it can matter.

Clusters of an optimum are runs of the sorted values, so `F_j(e) = min_s F_{j-1}(s) + sse(s, e)` finds it (Wang and
Song, *Ckmeans.1d.dp*, R Journal 2011), one layer in O(n log n) because the best s grows with e. Millions of values
are first taken in blocks. A lower bound leaves out the one block in which a cut falls; a block whose bound exceeds
the best known cost is cut in no optimum and stays whole, the others are refined until all of them are single values.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
FEW = 3000
"""Blocks that are refined at once: as many distinct values are solved directly."""
SLACK = 1e-11
"""Relative rounding of sums in 64 bits, far above what `n` additions lose; a bound within it does not exclude."""


def exact_scalar(
    values: Tensor, n_clusters: int, weights: Tensor | None, fixed_zero: bool
) -> tuple[Tensor, Tensor, float]:
    """Centroids (k,) in rising order, labels (N,), and inertia of the least-cost clustering of `values` (N,).

    With `fixed_zero` centroid 0 is zero and the others follow in rising order.
    """
    given = values.cpu().numpy()
    distinct, mass = _distinct(given, None if weights is None else weights.cpu().numpy())
    starts, zero_run = optimal_cuts(distinct, mass, n_clusters, fixed_zero)
    centroids = np.add.reduceat(distinct * mass, starts) / np.add.reduceat(mass, starts)
    order = np.arange(len(starts))
    if fixed_zero and zero_run is not None:
        centroids[zero_run] = 0.0
        order = np.concatenate(([zero_run], np.delete(order, zero_run)))
    rank = np.argsort(order)
    centroids = centroids[order]
    if fixed_zero and zero_run is None:
        centroids, rank = np.insert(centroids, 0, 0.0), rank + 1
    labels = rank[np.searchsorted(distinct[starts[1:]], given, side="right")]
    rounded = torch.from_numpy(centroids).to(values)
    chosen = torch.from_numpy(labels).to(values.device)
    gap = (values.double() - rounded.double()[chosen]) ** 2
    return rounded, chosen, float((gap if weights is None else gap * weights).sum())


def _distinct(values: NDArray[np.floating], weights: NDArray[np.floating] | None) -> tuple[Floats, Floats]:
    """Distinct values in rising order and the weight that each carries; values of no weight are left out."""
    if weights is None:
        found, counts = np.unique(values, return_counts=True)
        return found.astype(np.float64), counts.astype(np.float64)
    found, inverse = np.unique(values, return_inverse=True)
    mass = np.bincount(inverse, weights.astype(np.float64), len(found))
    return found[mass > 0].astype(np.float64), mass[mass > 0]


def optimal_cuts(values: Floats, mass: Floats, n_clusters: int, fixed_zero: bool = False) -> tuple[Places, int | None]:
    """First places of the clusters of an optimal clustering of rising distinct `values`, and which run is at zero.

    No more than `n_clusters` runs, none of them empty; the run is None where no value belongs to the zero centroid.
    """
    moments = _moments(values, mass)
    edges = _first_edges(values)
    divisible = np.diff(edges) > 1
    while divisible.any():
        edges, divisible = _refined(edges, _Blocks(moments[:, edges], divisible), n_clusters, fixed_zero)
    starts, zero_run = _trace(_Blocks(moments[:, edges], divisible), n_clusters, fixed_zero)
    return edges[starts], zero_run


def _moments(values: Floats, mass: Floats) -> Floats:
    """Running sums (4, n + 1) of mass, mass x, mass x^2 about the median, and mass x^2 about zero.

    They count from the median outwards, so that an outlier at either end spoils no sum but its own.
    """
    middle = len(values) // 2
    scale = max(float(np.abs(values).max()), np.finfo(np.float64).tiny)
    about = (values - values[middle]) / scale
    terms = np.stack((mass, mass * about, mass * about * about, mass * (values / scale) ** 2))
    sums = np.zeros((4, len(values) + 1))
    np.cumsum(terms[:, middle:], axis=1, out=sums[:, middle + 1 :])
    sums[:, :middle] = -np.cumsum(terms[:, :middle][:, ::-1], axis=1)[:, ::-1]
    return sums


def _first_edges(values: Floats) -> Places:
    """First blocks: half of them equally full, half equally wide, so that neither bulk nor tails are coarse."""
    count = len(values)
    if count <= FEW:
        return np.arange(count + 1)
    full = np.linspace(0, count, FEW // 2).astype(np.int64)
    wide = np.searchsorted(values, np.linspace(values[0], values[-1], FEW // 2))
    return np.unique(np.concatenate((full, wide, [0, count])))


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Runs of values: moments (4, m + 1) at their edges, and which of the m may still be cut."""

    moments: Floats
    divisible: NDArray[np.bool_]

    def reversed(self) -> "_Blocks":
        return _Blocks(self.moments[:, -1:] - self.moments[:, ::-1], self.divisible[::-1])

    def sse(self, start: Places, end: Places) -> Floats:
        """Squared distance of the values from `start` to `end` to their mean."""
        mass, first, second = self.moments[:3, end] - self.moments[:3, start]
        return np.maximum(second - first * first / np.where(mass > 0, mass, 1.0), 0.0)


def _refined(edges: Places, blocks: _Blocks, n_clusters: int, fixed_zero: bool) -> tuple[Places, NDArray[np.bool_]]:
    """Edges where a cut of an optimum may lie: impossible ones go, and blocks that may be cut are divided."""
    best = _least(blocks, n_clusters, fixed_zero, skip=False)[-1, -1, -1]
    ahead = _least(blocks, n_clusters, fixed_zero, skip=True)
    back = _least(blocks.reversed(), n_clusters, fixed_zero, skip=True)[::-1, ::-1, ::-1]
    at_edge = (ahead + back).min(axis=(0, 1))
    in_block = (ahead[:, :, :-1] + back[:, :, 1:]).min(axis=(0, 1))
    limit = best + SLACK * (best + abs(float(blocks.moments[2, -1] - blocks.moments[2, 0])))
    divided = blocks.divisible & (in_block <= limit)
    kept = at_edge <= limit
    kept[[0, -1]] = True
    kept[:-1] |= divided
    kept[1:] |= divided
    pieces = max(2, min(64, 2 * FEW // max(1, int(divided.sum()))))
    first, last = edges[:-1][divided], edges[1:][divided]
    inside = first[:, None] + (last - first)[:, None] * np.arange(1, pieces) // pieces
    finer = np.unique(np.concatenate((edges[kept], inside.reshape(-1))))
    of_divided = divided[np.searchsorted(edges, finer[:-1], side="right") - 1]
    return finer, of_divided & (np.diff(finer) > 1)


def _least(blocks: _Blocks, n_clusters: int, fixed_zero: bool, *, skip: bool) -> Floats:
    """Least cost (planes, n_clusters + 1, m + 1) of the first e blocks in at most j clusters.

    Plane 1, with `fixed_zero`, has used the cluster at zero. With `skip` one divisible block at each cut costs
    nothing: a bound from below for cuts that fall inside blocks.
    """
    count = len(blocks.divisible)
    least = np.full((2 if fixed_zero else 1, n_clusters + 1, count + 1), np.inf)
    places = np.arange(count + 1)
    about_zero = blocks.moments[3] - blocks.moments[3, 0]
    least[0, 0, 0] = 0.0
    least[0, 1] = blocks.sse(np.zeros_like(places), places)
    if fixed_zero:
        least[1, 1] = about_zero
    for j in range(2, n_clusters + 1):
        before = least[:, j - 1]
        opened = before.copy()
        if skip:
            np.minimum(opened[:, 1:], np.where(blocks.divisible, before[:, :-1], np.inf), out=opened[:, 1:])
        for plane in range(len(least)):
            least[plane, j, 0] = before[plane, 0]
            np.minimum(before[plane, 1:], _layer(opened[plane], blocks), out=least[plane, j, 1:])
        if fixed_zero:
            zero_last = np.minimum.accumulate(opened[0] - about_zero) + about_zero
            np.minimum(least[1, j], np.maximum(zero_last, 0.0), out=least[1, j])
    return least


def _layer(opened: Floats, blocks: _Blocks) -> Floats:
    """`min over s < e of opened[s] + sse(s, e)` for e = 1..m: all midpoints of one depth of the recursion at once."""
    count = len(opened) - 1
    best, chosen = np.empty(count + 2), np.zeros(count + 2, dtype=np.int64)
    chosen[count + 1] = count - 1
    step = 1 << max(0, count.bit_length() - 1)
    while step:
        ends = np.arange(step, count + 1, 2 * step)
        low = chosen[ends - step]
        high = np.minimum(chosen[np.minimum(ends + step, count + 1)], ends - 1)
        lengths = high - low + 1
        offsets = np.cumsum(lengths) - lengths
        starts = np.arange(int(lengths.sum())) + np.repeat(low - offsets, lengths)
        costs = opened[starts] + blocks.sse(starts, np.repeat(ends, lengths))
        best[ends] = np.minimum.reduceat(costs, offsets)
        hits = np.flatnonzero(costs == np.repeat(best[ends], lengths))
        chosen[ends] = starts[hits[np.searchsorted(hits, offsets)]]
        step //= 2
    return best[1 : count + 1]


def _trace(blocks: _Blocks, n_clusters: int, fixed_zero: bool) -> tuple[Places, int | None]:
    """First blocks of the runs of the least cost, and the place among them of the one at zero."""
    least = _least(blocks, n_clusters, fixed_zero, skip=False)
    plane, end = len(least) - 1, len(blocks.divisible)
    starts: list[int] = []
    zero_start = None
    for j in range(n_clusters, 0, -1):
        if end == 0:
            break
        if np.isfinite(least[plane, j - 1, end]) and least[plane, j - 1, end] <= least[plane, j, end]:
            continue
        costs = least[plane, j - 1, :end] + blocks.sse(np.arange(end), np.full(end, end))
        start = int(costs.argmin())
        if plane == 1:
            at_zero = least[0, j - 1, : end + 1] + blocks.moments[3, end] - blocks.moments[3, : end + 1]
            if at_zero.min() <= costs[start]:
                plane, start = 0, int(at_zero.argmin())
                zero_start = start if start < end else None
        if start < end:
            starts.append(start)
        end = start
    starts.reverse()
    return np.array(starts, dtype=np.int64), None if zero_start is None else starts.index(zero_start)
