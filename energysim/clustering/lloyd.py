"""Lloyd's iterations on vectors, streamed over samples: never more than one block of distances at a time."""

import torch
from torch import Tensor

BLOCK_ENTRIES = 1 << 20
"""Distances held at once."""


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
    """Centroids (k, d), labels (N,), inertia and iterations; `first` centroids or k-means++ by `seed`."""
    generator = torch.Generator().manual_seed(seed)
    centroids = plus_plus(points, n_clusters, generator, weights, fixed_zero) if first is None else first
    least_shift = tolerance * float(points.var(dim=0, correction=0).mean())
    labels, distances = assign(points, centroids)
    for iteration in range(1, max_iterations + 1):  # noqa: B007
        moved = _means(points, labels, distances, centroids, weights, fixed_zero)
        shift = float(((moved - centroids) ** 2).sum())
        centroids = moved
        before = labels
        labels, distances = assign(points, centroids)
        if shift <= least_shift or torch.equal(before, labels):
            break
    inertia = distances.double() if weights is None else distances.double() * weights
    return centroids, labels, float(inertia.sum()), iteration


def assign(points: Tensor, centroids: Tensor) -> tuple[Tensor, Tensor]:
    """Nearest centroid (N,) of every point, lowest label first among equals, and its squared distance (N,)."""
    labels = torch.empty(len(points), dtype=torch.int64, device=points.device)
    distances = torch.empty(len(points), dtype=points.dtype, device=points.device)
    norms = (centroids * centroids).sum(dim=1)
    rows = max(1, BLOCK_ENTRIES // len(centroids))
    for start in range(0, len(points), rows):
        block = points[start : start + rows]
        labels[start : start + rows] = torch.addmm(norms, block, centroids.T, alpha=-2).argmin(dim=1)
        distances[start : start + rows] = ((block - centroids[labels[start : start + rows]]) ** 2).sum(dim=1)
    return labels, distances


def plus_plus(
    points: Tensor, n_clusters: int, generator: torch.Generator, weights: Tensor | None, fixed_zero: bool
) -> Tensor:
    """First centroids (k, d): each a sample drawn by its squared distance to those before it (Arthur 2007)."""
    mass = points.new_ones(len(points)) if weights is None else weights
    if fixed_zero:
        chosen = [points.new_zeros(points.shape[1])]
    else:
        chosen = [points[_draw(mass, generator)]]
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


def _means(
    points: Tensor, labels: Tensor, distances: Tensor, centroids: Tensor, weights: Tensor | None, fixed_zero: bool
) -> Tensor:
    """Means of the clusters; an empty one takes the sample that is farthest from its centroid."""
    mass = points.new_ones(len(points)) if weights is None else weights
    counts = torch.bincount(labels, mass.double(), minlength=len(centroids))
    sums = torch.stack([torch.bincount(labels, (p * mass).double(), minlength=len(centroids)) for p in points.T], 1)
    moved = torch.where(counts[:, None] > 0, sums / counts.clamp_min(torch.finfo(torch.float64).tiny)[:, None], 0.0)
    empty = (counts == 0).nonzero()[:, 0]
    if fixed_zero:
        moved[0] = 0.0
        empty = empty[empty > 0]
    if len(empty):
        farthest = (distances * mass).topk(min(len(empty), len(points))).indices
        moved[empty[: len(farthest)]] = points[farthest].double()
    return moved.to(points)
