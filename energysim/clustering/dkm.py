"""The DKM layer: weights pulled softly to shared centroids while they train, snapped when they are used (DKM §3)."""

from dataclasses import dataclass
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn

from energysim.clustering.kmeans import check_samples, first_centroids
from energysim.clustering.lloyd import nearest_labels
from energysim.clustering.soft_nodes import FRACTION, ROUNDING, Grid, distinct, grid, refined
from energysim.clustering.soft_scalars import SoftScalars, scalar_path
from energysim.clustering.soft_vectors import SoftVectors
from energysim.errors import InputError, unknown
from energysim.granularity import Granularity

MODES = {
    "dkm": "softmax of the negative squared distances over the temperature",
    "gumbel": "the same with Gumbel noise on the logits, drawn anew in every iteration",
    "hard": "every sample to its nearest centroid: k-means with gradients through the means",
}
"""How samples are assigned to centroids in training."""


SMALL = 1 << 24
"""Soft assignments of scalars up to which 64 bits cost nothing that matters."""


@dataclass(frozen=True, slots=True)
class Snapped:
    """A weight of few distinct values, and the centroids (k, d) and indices (N,) that make it."""

    weight: Tensor
    centroids: Tensor
    indices: Tensor


class DKM(nn.Module):
    """Soft k-means of a weight by 2^bits centroids of `dim` weights each: bits/dim bits per weight (DKM §3).

    In training `forward(weight)` is the soft weight, differentiable through every iteration, and the centroids it
    ends with are kept for the next batch, in the state dict. In `eval()` it is the snapped weight. `temperature`
    is in squared weight units; the loop ends when no centroid moves by more than `epsilon`, or after `iterations`.

    Data-parallel training keeps its ranks equal, because centroids are buffers and come from the weights alone.
    `torch.compile` leaves this layer out of its graphs.
    """

    centroids: Tensor
    start: Tensor
    in_use: Tensor
    draws: Tensor

    def __init__(
        self,
        bits: int,
        dim: int = 1,
        *,
        temperature: float,
        seed: int,
        iterations: int = 5,
        epsilon: float = 1e-4,
        mode: str = "dkm",
        init: str = "k-means++",
        granularity: Granularity | None = None,
    ) -> None:
        """`InputError` for a setting that cannot be; `granularity` takes the place of vectors of `dim` weights."""
        super().__init__()
        for name, value, most in (("bits", bits, 16), ("dim", dim, 1 << 16), ("iterations", iterations, 1000)):
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
                raise InputError(f"DKM {name} must be a whole number from 1 to {most}, not {value!r}")
        if not (isfinite(temperature) and temperature > 0):
            raise InputError(f"DKM temperature must be above zero, not {temperature}")
        if not epsilon >= 0:
            raise InputError(f"DKM epsilon must not be negative, not {epsilon}")
        if mode not in MODES:
            raise unknown("DKM mode", mode, MODES)
        if init not in ("k-means++", "random"):
            raise unknown("init", init, ("k-means++", "random"))
        self.bits, self.dim, self.temperature, self.seed = bits, dim, float(temperature), seed
        self.iterations, self.epsilon, self.mode, self.init = iterations, float(epsilon), mode, init
        self.granularity = granularity or Granularity("vector", dim)
        self.register_buffer("centroids", torch.zeros(2**bits, dim))
        self.register_buffer("start", torch.zeros(2**bits, dim))
        self.register_buffer("in_use", torch.zeros((), dtype=torch.int64))
        self.register_buffer("draws", torch.zeros((), dtype=torch.int64))

    def extra_repr(self) -> str:
        """The settings, for `print(model)`."""
        return f"bits={self.bits}, granularity={self.granularity}, temperature={self.temperature}, mode={self.mode}"

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(self, weight: Tensor) -> Tensor:
        """The soft weight in training, the snapped one in evaluation; same shape and type as `weight`."""
        if not self.training:
            return self.snap(weight).weight
        samples = self._samples(weight)
        before = self._start(samples)
        soft, after = self._soft(samples, before.to(_working(samples).dtype, copy=True))
        with torch.no_grad():
            self.start.copy_(self.centroids)
            self.centroids[: len(after)] = after.to(self.centroids)
        restored: Tensor = self.granularity.restore(soft, tuple(weight.shape))
        return restored

    @torch.no_grad()
    def rewind(self) -> None:
        """Undo what the last `forward` in training did to the centroids, so that the same weight is made again."""
        if int(self.in_use):
            self.centroids.copy_(self.start)
            self.draws -= int(self.mode == "gumbel")

    @torch.no_grad()
    def snap(self, weight: Tensor) -> Snapped:
        """The weight with every sample at its nearest centroid, lowest index first among equals."""
        samples = self._samples(weight)
        centroids = self._start(samples).clone()
        indices = nearest_labels(_working(samples), centroids.to(_working(samples).dtype))
        hard = centroids[indices].to(weight.dtype)
        return Snapped(self.granularity.restore(hard, tuple(weight.shape)), centroids, indices)

    def _samples(self, weight: Tensor) -> Tensor:
        if weight.is_sparse or weight.is_meta or not weight.is_floating_point():
            check_samples(weight.reshape(-1, 1) if not weight.is_sparse else weight)
        samples: Tensor = self.granularity.samples(weight)
        if samples.shape[1:] != self.centroids.shape[1:]:
            self._resize(samples)
        if not len(samples):
            raise InputError(f"a weight of shape {tuple(weight.shape)} has nothing to cluster")
        if not isfinite(float(samples.detach().sum())):
            check_samples(samples)
        return samples

    def _resize(self, samples: Tensor) -> None:
        if int(self.in_use):
            got, kept = samples.shape[1], self.centroids.shape[1]
            raise InputError(f"samples of length {got} do not fit the centroids kept, of length {kept}")
        self.centroids = self.centroids.new_zeros(len(self.centroids), samples.shape[1])
        self.start = torch.zeros_like(self.centroids)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        saved = state_dict.get(prefix + "centroids")
        if isinstance(saved, Tensor) and saved.ndim == 2 and len(saved) == len(self.centroids):
            # Samples by rows or filters are as long as their weight says, which a new layer has not seen.
            self.centroids = self.centroids.new_zeros(saved.shape)
            self.start = torch.zeros_like(self.centroids)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    @torch.no_grad()
    def _start(self, samples: Tensor) -> Tensor:
        """The centroids kept (k, d), or the first ones, made from the samples and kept."""
        if not int(self.in_use):
            first = first_centroids(_working(samples).detach(), len(self.centroids), self.seed, self.init)
            self.centroids[: len(first)] = first.to(self.centroids)
            self.in_use.fill_(len(first))
        return self.centroids[: int(self.in_use)]

    def _soft(self, samples: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """Soft samples (n, d) and the centroids (k, d) that the loop ends with."""
        if self.mode == "hard":
            return _hard(samples, before, self.iterations, self.epsilon)
        noise = None
        if self.mode == "gumbel":
            noise = self.seed * 1_000_003 + int(self.draws) * self.iterations
            self.draws += 1
        elif samples.shape[1] == 1 and samples.dtype != torch.float64:
            found = _soft_scalars(samples.squeeze(1), before[:, 0], self.temperature, self.iterations, self.epsilon)
            if found is not None:
                return found[0][:, None], found[1][:, None]
        working = _working(samples).contiguous()
        if samples.shape[1] == 1 and working.numel() * len(before) <= SMALL:
            working = working.double()
        soft: tuple[Any, Any] = SoftVectors.apply(  # type: ignore[no-untyped-call]
            working, before.to(working.dtype), self.temperature, self.iterations, self.epsilon, noise
        )
        return soft[0].to(samples.dtype), soft[1]


def _working(samples: Tensor) -> Tensor:
    return samples if samples.dtype in (torch.float32, torch.float64) else samples.float()


def _soft_scalars(
    weights: Tensor, before: Tensor, temperature: float, iterations: int, epsilon: float
) -> tuple[Tensor, Tensor] | None:
    """Soft weights (n,) and last centroids (k,) by nodes, or None where these would not be exact or not be fewer."""
    weights = weights.contiguous()
    with torch.no_grad():
        wide = weights.dtype == torch.float32
        nodes = grid(weights, before, temperature) if wide else distinct(weights)
        if nodes is not None:
            found = scalar_path(nodes, before, temperature, iterations, epsilon)
        elif weights.numel() * len(before) > SMALL // 16:
            nodes, found = _refined_path(weights, before.double(), temperature, iterations, epsilon)
        if nodes is None or found is None:
            return None
    soft: Tensor = SoftScalars.apply(weights, nodes, *found, temperature)  # type: ignore[no-untyped-call]
    return soft, found[0][-1]


def _refined_path(
    weights: Tensor, before: Tensor, temperature: float, iterations: int, epsilon: float
) -> tuple[Grid | None, tuple[Tensor, Tensor] | None]:
    """A refined grid, fine enough wherever the centroids come along, and their path; None where there is none."""
    path = before[None]
    for fraction in (FRACTION, FRACTION, 2 * FRACTION):
        nodes = refined(weights, path, temperature, fraction)
        found = scalar_path(nodes, before, temperature, iterations, epsilon) if nodes is not None else None
        if nodes is None or found is None:
            break
        path = found[0][:-1]
        if nodes.error(path, temperature) <= ROUNDING:
            return nodes, found
    return None, None


def _hard(samples: Tensor, before: Tensor, iterations: int, epsilon: float) -> tuple[Tensor, Tensor]:
    """Lloyd's iterations; the gradient of a sample is its share of the mean that it is in."""
    working = _working(samples)
    centroids = before
    for _ in range(iterations):
        labels = nearest_labels(working.detach(), centroids)
        counts = torch.bincount(labels, minlength=len(centroids))[:, None].to(working.dtype)
        sums = torch.zeros_like(centroids).index_add(0, labels, working)
        moved = torch.where(counts > 0, sums / counts.clamp_min(1), centroids)
        shift = float((moved.detach() - centroids).abs().max())
        last, centroids = moved, moved.detach()
        if shift <= epsilon:
            break
    return last[labels].to(samples.dtype), centroids
