"""Lloyd's iterations on numbers: sorted once, the samples of a centroid are a run between two midpoints."""

import torch
from torch import Tensor


class Line:
    """Samples (n, 1) with weights (n,), sorted once for many assignments."""

    def __init__(self, points: Tensor, weights: Tensor | None) -> None:
        self.points = points[:, 0].double()
        self.sorted, order = self.points.sort()
        mass = torch.ones_like(self.sorted) if weights is None else weights.double()[order]
        nothing = self.sorted.new_zeros(1)
        self.mass = torch.cat((nothing, mass.cumsum(0)))
        self.sums = torch.cat((nothing, (mass * self.sorted).cumsum(0)))

    def step(self, centroids: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted sums (k, 1) and weights (k,) of the samples nearest to each centroid, in 64 bits."""
        values, order = distinct(centroids[:, 0].double())
        ends = torch.searchsorted(self.sorted, (values[1:] + values[:-1]) / 2, right=True)
        ends = torch.cat((ends.new_zeros(1), ends, ends.new_full((1,), len(self.sorted))))
        sums, mass = torch.zeros(2, len(centroids), dtype=torch.float64, device=centroids.device)
        sums[order], mass[order] = self.sums[ends].diff(), self.mass[ends].diff()
        return sums[:, None], mass

    def labels(self, centroids: Tensor) -> Tensor:
        """The nearest centroid (n,) of every sample."""
        return nearest_on_a_line(self.points, centroids[:, 0])


def distinct(centroids: Tensor) -> tuple[Tensor, Tensor]:
    """Distinct centroids, ascending, and the lowest label of each."""
    values, order = centroids.sort(stable=True)
    first = torch.ones(len(values), dtype=torch.bool, device=values.device)
    first[1:] = values[1:] != values[:-1]
    return values[first], order[first]


def nearest_on_a_line(points: Tensor, centroids: Tensor) -> Tensor:
    """Nearest centroid (n,) of every point (n,), compared in 64 bits; lowest label first among equals."""
    values, order = distinct(centroids.double())
    middles = (values[1:] + values[:-1]) / 2
    # A point on a middle goes down, unless the centroid above it has the lower label.
    middles = torch.where(order[1:] < order[:-1], _below(middles), middles)
    bounds = middles.to(points)
    bounds = torch.where(bounds > middles, _below(bounds), bounds)
    return order[torch.bucketize(points.contiguous(), bounds)]


def _below(numbers: Tensor) -> Tensor:
    """The next smaller numbers."""
    return torch.nextafter(numbers, numbers.new_full((), -torch.inf))
