"""Lloyd's iterations on vectors: never more than one block of distances at a time."""

from math import frexp

import torch
from torch import Tensor

from energysim.clustering.leaves import MOST_DIMENSIONS, Leaves, argmin
from energysim.clustering.line import Line, nearest_on_a_line
from energysim.clustering.threads import one_thread

BLOCK_ENTRIES = 1 << 18
"""Distances held at once."""
ORDINARY = 32
"""Numbers from 2^-32 to 2^32 have squares, and sums of them, that 32 bits hold."""
MOST_SCALED = 120
"""Exponent of the largest power of two that numbers are multiplied by: itself a number of 32 bits."""
WARM_UP = 48
"""Samples per cluster on which the first centroids settle before all samples are looked at."""
FEW = 256
"""Samples per cluster on which starts are first compared."""
STARTS = 16
"""Most times that first centroids are drawn: of few clusters every other local optimum loses two per cent."""
SETTLING = 12
"""Iterations before starts are compared and the better quarter goes on."""


@one_thread()
def lloyd(
    points: Tensor,
    n_clusters: int,
    seed: int,
    first: Tensor | None,
    weights: Tensor | None,
    fixed_zero: bool,
    max_iterations: int,
    tolerance: float,
) -> tuple[Tensor, Tensor, float, int]:
    """Centroids (k, d), labels (N,), inertia and iterations; `first` centroids or k-means++ by `seed`.

    Of many samples k-means++ and its first iterations see some only; the iterations returned are those on all.
    """
    scale = even_scale(points, *([] if first is None else [first]))
    if scale != 1:
        first = None if first is None else first * scale
        found = lloyd(points * scale, n_clusters, seed, first, weights, fixed_zero, max_iterations, tolerance)
        return found[0] / scale, found[1], found[2] / scale / scale, found[3]
    centroids = _first(points, n_clusters, seed, weights, fixed_zero) if first is None else first
    least_shift = tolerance * float(points.var(dim=0, correction=0).mean())
    arranged = _arranged(points, n_clusters, weights)
    for iteration in range(1, max_iterations + 1):  # noqa: B007
        sums, mass = _sums(points, centroids, weights) if arranged is None else arranged.step(centroids)
        moved = torch.where(mass[:, None] > 0, sums / mass[:, None].clamp_min(TINY), 0.0)
        empty = mass == 0
        if fixed_zero:
            moved[0], empty[0] = 0.0, False
        if bool(empty.any()):
            _refill(moved, empty, points, centroids, weights)
        moved = moved.to(points)
        shift = float(((moved - centroids) ** 2).sum())
        centroids = moved
        if shift <= least_shift:
            break
    labels = nearest_labels(points, centroids) if arranged is None else arranged.labels(centroids)
    distances = squared_distances(points, centroids, labels)
    return centroids, labels, float((distances if weights is None else distances * weights).sum()), iteration


TINY = torch.finfo(torch.float64).tiny


def _arranged(points: Tensor, n_clusters: int, weights: Tensor | None) -> Line | Leaves | None:
    """The samples arranged for many assignments, where that is faster than trying all centroids on all of them."""
    count, d = points.shape
    if d == 1:
        return Line(points, weights)
    # Measured from 2,048 to 262,144 samples, 8 to 128 centroids.
    pays = d <= MOST_DIMENSIONS and n_clusters >= 16 * (d - 1) and count * n_clusters >= 1 << 21
    return Leaves(points, weights) if pays else None


def even_scale(*numbers: Tensor) -> float:
    """A power of two that brings the largest of the numbers near 1, so that squares are in range; 1 where they are."""
    exponent = frexp(max(float(each.abs().max()) for each in numbers))[1]
    return 1.0 if abs(exponent) < ORDINARY else 2.0 ** max(-MOST_SCALED, min(MOST_SCALED, -exponent))


@one_thread()
def nearest_labels(points: Tensor, centroids: Tensor) -> Tensor:
    """Nearest centroid (N,) of every point (N, d), lowest label first among equals."""
    if points.shape[1] == 1:
        return nearest_on_a_line(points[:, 0], centroids[:, 0])
    scale = even_scale(points, centroids)
    if scale != 1:
        return nearest_labels(points * scale, centroids * scale)
    labels = torch.empty(len(points), dtype=torch.int64, device=points.device)
    middle = centroids.mean(dim=0)
    centred = centroids - middle
    squares = (centred * centred).sum(dim=1, keepdim=True)
    rows = max(64, BLOCK_ENTRIES // len(centroids))
    held = points.new_empty(len(centroids), min(rows, len(points)))
    for start in range(0, len(points), rows):
        block = (points[start : start + rows] - middle).T
        held = held if held.shape[1] == block.shape[1] else held.new_empty(len(centroids), block.shape[1])
        torch.addmm(squares, centred, block, alpha=-2, out=held)
        labels[start : start + rows] = argmin(held[None])[0]
    return labels


def squared_distances(points: Tensor, centroids: Tensor, labels: Tensor) -> Tensor:
    """Squared distance (N,) of every point to the centroid of its label, in 64 bits."""
    total = torch.zeros(len(points), dtype=torch.float64, device=points.device)
    for axis in range(points.shape[1]):
        gap = points[:, axis] - centroids[:, axis].contiguous()[labels]
        total.addcmul_(gap.double(), gap.double())
    return total


def _sums(points: Tensor, centroids: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """Weighted sums (k, d) and weights (k,) of the points nearest to each centroid, in 64 bits."""
    labels, k = nearest_labels(points, centroids), len(centroids)
    mass = torch.bincount(labels, None if weights is None else weights.double(), k).double()
    columns = [column if weights is None else column * weights for column in points.T]
    return torch.stack([torch.bincount(labels, column.double(), k) for column in columns], dim=1), mass


def _refill(moved: Tensor, empty: Tensor, points: Tensor, centroids: Tensor, weights: Tensor | None) -> None:
    """Give every empty cluster the sample that is farthest from its centroid."""
    distances = squared_distances(points, centroids, nearest_labels(points, centroids))
    places = empty.nonzero()[:, 0]
    farthest = (distances if weights is None else distances * weights).topk(min(len(places), len(points))).indices
    moved[places[: len(farthest)]] = points[farthest].double()


def _first(points: Tensor, n_clusters: int, seed: int, weights: Tensor | None, fixed_zero: bool) -> Tensor:
    """k-means++ on some of the samples, settled there by Lloyd's iterations; of several such starts the best one."""
    generator = torch.Generator().manual_seed(seed)
    points, weights = _drawn(points, weights, max(1 << 14, WARM_UP * n_clusters), n_clusters, generator)
    few, mass = _drawn(points, weights, FEW * n_clusters, n_clusters, generator)
    count = max(1, min(STARTS, 256 // n_clusters))
    starts = [plus_plus(few, n_clusters, generator, mass, fixed_zero) for _ in range(count)]
    while True:
        settled = [lloyd(few, n_clusters, seed, first, mass, fixed_zero, SETTLING, 1e-4)[:3:2] for first in starts]
        settled.sort(key=lambda found: found[1])
        starts = [found[0] for found in settled[: max(1, len(starts) // 4)]]
        if len(starts) == 1:
            return starts[0]
        few, mass = points, weights


def _drawn(
    points: Tensor, weights: Tensor | None, count: int, n_clusters: int, generator: torch.Generator
) -> tuple[Tensor, Tensor | None]:
    """`count` samples with their weights; all of them where they are not many more, or too few of the drawn weigh."""
    if len(points) <= 2 * count:
        return points, weights
    chosen = torch.randint(len(points), (count,), generator=generator).to(points.device)
    if weights is None:
        return points[chosen], None
    return (points[chosen], weights[chosen]) if int((weights[chosen] > 0).sum()) >= n_clusters else (points, weights)


def plus_plus(
    points: Tensor, n_clusters: int, generator: torch.Generator, weights: Tensor | None, fixed_zero: bool
) -> Tensor:
    """First centroids (k, d): each a sample drawn by its squared distance to those before it (Arthur 2007)."""
    mass = points.new_ones(len(points)) if weights is None else weights
    chosen = [points.new_zeros(points.shape[1]) if fixed_zero else points[_draw(mass, generator)]]
    distances = ((points - chosen[0]) ** 2).sum(dim=1)
    while len(chosen) < n_clusters:
        chosen.append(points[_draw(distances * mass, generator)])
        distances = torch.minimum(distances, ((points - chosen[-1]) ** 2).sum(dim=1))
    return torch.stack(chosen)


def _draw(mass: Tensor, generator: torch.Generator) -> int:
    """A place drawn in proportion to `mass`; the last place of any mass catches rounding."""
    sums = mass.double().cumsum(dim=0)
    at = torch.rand((), dtype=torch.float64, generator=generator) * sums[-1].cpu()
    return int(torch.searchsorted(sums, at.to(sums.device), right=True).clamp(max=len(mass) - 1))
