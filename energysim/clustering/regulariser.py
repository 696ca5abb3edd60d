"""Deep k-Means re-training: a penalty that draws a layer's samples into clusters before they are shared (DeepK §2.2).

Columns of W (s x N) are the samples; the penalty is `lambda/2 [Tr(W^T W) - Tr(F^T W^T W F)]` for an F (N x K) that is
made anew every few epochs and held in between. F itself is never formed.
"""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from energysim.clustering import penalty_loops
from energysim.clustering.kmeans import FewerClustersWarning, KMeansResult, check_samples, kmeans
from energysim.errors import InputError, unknown
from energysim.granularity import Granularity

VARIANTS = {
    "relaxed": "F = first K right singular vectors of W: the paper's own formula",
    "hard": "F = normalised indicator of Lloyd's clusters: lambda/2 times the sum of squared errors",
    "control": "no penalty (lambda = 0): the same epochs, which every claim is compared with",
}
"""What F is."""

MOST_BY_LOOP = 64
"""Products per sample up to which a loop over samples is faster than a product of matrices."""


class DegenerateWarning(UserWarning):
    """A relaxed penalty that is zero whenever it is fresh."""


@dataclass(frozen=True, slots=True)
class _Held:
    """One layer's F between refreshes.

    `basis` (N, r) spans F for the relaxed variant; `labels` (N,) and `counts` (K,) for the hard one. Samples at zero
    (N,) are in no other cluster, and have the label K.
    """

    basis: Tensor | None
    labels: Tensor | None
    counts: Tensor | None
    at_zero: Tensor | None


class Regulariser:
    """A penalty for any training loop: `loss + regulariser(model)`, and `regulariser.refresh(epoch)` before each epoch.

    `clusters` names the weights and says K for each, such as `{"layer1.0.conv1.weight": 64}`; `zero_shares` names those
    of which that part, the samples of least norm, is drawn to zero (one of the K clusters). `every` is in epochs.
    """

    def __init__(
        self,
        model: nn.Module,
        clusters: Mapping[str, int],
        *,
        variant: str,
        seed: int,
        strength: float = 1e-4,
        every: int = 5,
        granularity: Granularity | Mapping[str, Granularity] | None = None,
        zero_shares: Mapping[str, float] | None = None,
    ) -> None:
        """`InputError` for names, numbers and weights that cannot be."""
        if variant not in VARIANTS:
            raise unknown("variant", variant, VARIANTS)
        if not 0 <= strength < float("inf"):
            raise InputError(f"regulariser strength must be a number from 0 on, not {strength}")
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise InputError(f"the regulariser is refreshed every so many epochs, not every {every!r}")
        if not clusters:
            raise InputError("the regulariser has no weights: `clusters` is empty")
        self.variant, self.seed, self.every = variant, seed, every
        self.strength = 0.0 if variant == "control" else float(strength)
        self.clusters, self.zero_shares = dict(clusters), dict(zero_shares or {})
        self._granularity = granularity or Granularity("row")
        self._held: dict[str, _Held] = {}
        self._warned: set[str] = set()
        self._model = model
        for name in self.zero_shares:
            if name not in self.clusters:
                raise unknown("weight in zero_shares", name, self.clusters)
        for name in _tied(model, self.clusters):
            # A weight under two names counts once.
            del self.clusters[name]
        for name, k in self.clusters.items():
            samples, share = self._samples(model, name), self.zero_shares.get(name, 0.0)
            if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= len(samples):
                raise InputError(f"{name}: {len(samples)} samples cannot make {k!r} clusters")
            if not 0 <= share < 1 or (share > 0 and k < 2):
                raise InputError(f"{name}: a share of {share} at zero needs to be from 0 to below 1, and two clusters")

    def refresh(self, epoch: int) -> bool:
        """Make every F anew when it is due, at epochs 0, every, 2 every, ...; true when it was."""
        if self.strength == 0 or (epoch % self.every and self._held):
            return False
        with torch.no_grad():
            for name in self.clusters:
                self._held[name] = self._fresh(name, self._samples(self._model, name).detach())
        return True

    def __call__(self, model: nn.Module) -> Tensor:
        """The penalty, a scalar that gradients flow through; zero work for the control."""
        first = self._samples(model, next(iter(self.clusters)))
        total = first.new_zeros(())
        if self.strength == 0:
            return total
        if not self._held:
            self.refresh(0)
        for name in self.clusters:
            total = total + _penalty(self._samples(model, name), self._held[name])
        return total * (self.strength / 2)

    def state_dict(self) -> dict[str, Any]:
        """All that resuming in the middle of training needs."""
        slots = _Held.__slots__
        return {name: {slot: getattr(held, slot) for slot in slots} for name, held in self._held.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` gave; `InputError` when it is of other weights."""
        if state and set(state) != set(self.clusters):
            other = sorted(set(state) ^ set(self.clusters))[0]
            raise InputError(f"the saved regulariser is of other weights: '{other}' is on one side only")
        self._held = {name: _Held(**held) for name, held in state.items()}

    def _samples(self, model: nn.Module, name: str) -> Tensor:
        path, _, attribute = name.rpartition(".")
        try:
            weight = getattr(model.get_submodule(path), attribute)
        except AttributeError:
            raise unknown("weight", name, dict(model.named_parameters())) from None
        if not isinstance(weight, Tensor):
            raise InputError(f"{name} is no weight but {type(weight).__name__}")
        kind = self._granularity
        if not isinstance(kind, Granularity):
            if name not in kind:
                raise InputError(f"{name}: no granularity is given for it")
            kind = kind[name]
        samples: Tensor = kind.samples(weight)
        return samples

    def _fresh(self, name: str, samples: Tensor) -> _Held:
        points, at_zero, k = check_samples(samples), None, self.clusters[name]
        if name in self.zero_shares:
            at_zero, k = smallest(points, self.zero_shares[name]), k - 1
        rest = points if at_zero is None else points[~at_zero]
        if self.variant == "relaxed":
            found = leading_right_vectors(rest, k)
            basis = points.new_zeros(len(points), found.shape[1])
            basis[slice(None) if at_zero is None else ~at_zero] = found
            self._warn_when_degenerate(name, k, found.shape[1], rest)
            return _Held(basis, None, None, at_zero)
        with warnings.catch_warnings():
            # Fewer distinct samples than clusters is what this penalty works towards.
            warnings.simplefilter("ignore", FewerClustersWarning)
            result = kmeans(rest, k, seed=self.seed, max_iterations=20)
        labels = result.labels.int()
        if at_zero is not None:
            labels = torch.full((len(points),), len(result.centroids), dtype=torch.int32, device=points.device)
            labels[~at_zero] = result.labels.int()
        counts = torch.bincount(result.labels, minlength=len(result.centroids)).to(points)
        return _Held(None, labels, counts, at_zero)

    def _warn_when_degenerate(self, name: str, k: int, columns: int, samples: Tensor) -> None:
        if name in self._warned or (k < min(samples.shape) and columns == k):
            return
        self._warned.add(name)
        warnings.warn(
            f"{name}: the relaxed penalty with {k} clusters is exactly 0 whenever it is fresh, because its samples "
            f"have no more than {min(samples.shape)} dimensions; it only holds weights where they were. "
            "Take variant='hard', or fewer clusters than dimensions.",
            DegenerateWarning,
            stacklevel=3,
        )


def _tied(model: nn.Module, names: Mapping[str, int]) -> list[str]:
    """Those of the names whose parameter has been named before."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    seen: set[int] = set()
    again = []
    for name in names:
        if name in parameters and id(parameters[name]) in seen:
            again.append(name)
        elif name in parameters:
            seen.add(id(parameters[name]))
    return again


def smallest(samples: Tensor, share: float) -> Tensor:
    """Which samples (N,) are the `share` * N of least norm, the first among equals."""
    chosen = torch.zeros(len(samples), dtype=torch.bool, device=samples.device)
    order = torch.argsort(torch.linalg.vector_norm(samples, dim=1, dtype=torch.float64), stable=True)
    chosen[order[: int(share * len(samples))]] = True
    return chosen


def sparse_kmeans(samples: Any, n_clusters: int, *, zero_share: float, seed: int, **options: Any) -> KMeansResult:
    """k-means with the `zero_share` * N samples of least norm exactly at zero, which is centroid 0.

    The others get the n_clusters - 1 centroids left (DeepK, Wide ResNet). Options are those of `kmeans`.
    """
    points = check_samples(samples)
    if not 0 <= zero_share < 1 or n_clusters < 2:
        raise InputError(f"a share of {zero_share} at zero needs to be from 0 to below 1, and two clusters")
    at_zero = smallest(points, zero_share)
    rest = kmeans(points[~at_zero], n_clusters - 1, seed=seed, **options)
    labels = torch.zeros(len(points), dtype=torch.int64, device=points.device)
    labels[~at_zero] = rest.labels + 1
    lost = float((points[at_zero].double() ** 2).sum())
    centroids = torch.cat((rest.centroids.new_zeros(1, points.shape[1]), rest.centroids))
    return KMeansResult(centroids, labels, rest.inertia + lost, rest.iterations)


def leading_right_vectors(samples: Tensor, count: int) -> Tensor:
    """Orthonormal basis (N, r) of the first `count` right singular vectors of W = samples^T, r <= rank(W).

    From the smaller of the two Gram matrices, s x s or N x N: W's singular value decomposition is never taken.
    """
    wide = samples.double()
    n, s = wide.shape
    gram = wide.T @ wide if s <= n else wide @ wide.T
    values, vectors = torch.linalg.eigh(gram)
    values, vectors = values.flip(0)[:count], vectors.flip(1)[:, :count]
    found = values > values[0].clamp_min(0) * max(n, s) * torch.finfo(torch.float64).eps
    values, vectors = values[found], vectors[:, found]
    basis: Tensor = (wide @ vectors / values.sqrt() if s <= n else vectors).to(samples.dtype)
    return basis


def _penalty(samples: Tensor, held: _Held) -> Tensor:
    """`Tr(W^T W) - Tr(F^T W^T W F)` of the samples (N, s) for the F that is held."""
    if held.basis is not None:
        return _Outside.apply(samples, held.basis.to(samples))  # type: ignore[no-untyped-call, no-any-return]
    if held.labels is None or held.counts is None:
        raise InputError("the regulariser holds neither vectors nor clusters")
    penalty: Tensor = _SquaredErrors.apply(samples, held.labels, held.counts, held.at_zero)  # type: ignore[no-untyped-call]
    return penalty


class _Outside(torch.autograd.Function):
    """Squared norm of what lies outside an orthonormal basis (N, r) of the samples' columns (N, s)."""

    @staticmethod
    def forward(ctx: Any, samples: Tensor, basis: Tensor) -> Tensor:
        """The whole squared norm less that of the projection."""
        ctx.by_loop = _loops_fit(samples) and basis.shape[1] * samples.shape[1] <= MOST_BY_LOOP
        if ctx.by_loop:
            inside = samples.new_zeros(basis.shape[1], samples.shape[1], dtype=torch.float64)
            squares: Any = penalty_loops.projected(_array(samples), _array(basis), _array(inside))
        else:
            inside = basis.T @ samples
            squares = torch.dot(samples.reshape(-1), samples.reshape(-1))
        ctx.save_for_backward(samples, basis, inside)
        outside: Tensor = (squares - (inside * inside).sum()).to(samples.dtype)
        return outside

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Twice what lies outside."""
        samples, basis, inside = ctx.saved_tensors
        scale = 2 * gradients[0]
        if not ctx.by_loop:
            return torch.addmm(samples, basis, inside, alpha=-1).mul_(scale), None
        left = torch.empty_like(samples)
        penalty_loops.off_basis(_array(samples), _array(basis), _array(inside), float(scale), _array(left))
        return left, None


class _SquaredErrors(torch.autograd.Function):
    """Sum of squared distances of samples (N, s) to the means of their clusters, whose gradient is twice the distance.

    The means move with the samples and yet add nothing: around a mean distances sum to zero.
    """

    @staticmethod
    def forward(ctx: Any, samples: Tensor, labels: Tensor, counts: Tensor, at_zero: Tensor | None) -> Tensor:
        """The samples' squares less those of the means, in 64 bits; samples at zero have the last label."""
        sums = samples.new_zeros(samples.shape[1], len(counts) + (at_zero is not None), dtype=torch.float64)
        squares = sums.new_zeros(())
        ctx.by_loop = _loops_fit(samples)
        if ctx.by_loop:
            by_row = torch.zeros_like(sums.T, memory_format=torch.contiguous_format)
            squares += penalty_loops.cluster_sums(_array(samples), _array(labels), _array(by_row))
            sums = by_row.T
        for rows in () if ctx.by_loop else _rows(samples):
            block = samples[rows].double()
            squares += torch.dot(block.reshape(-1), block.reshape(-1))
            sums += _by_label(labels[rows], block, sums.shape[1])
        means = torch.zeros_like(sums)
        torch.div(sums[:, : len(counts)], counts.clamp_min(1), out=means[:, : len(counts)])
        ctx.save_for_backward(samples, labels, means.T.to(samples, memory_format=torch.contiguous_format))
        return (squares - (sums * means).sum()).clamp_min(0).to(samples.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Twice what each sample is off its mean."""
        samples, labels, means = ctx.saved_tensors
        left = torch.empty_like(samples)
        if ctx.by_loop:
            scale = float(2 * gradients[0])
            penalty_loops.off_means(_array(samples), _array(labels), _array(means), scale, _array(left))
            return left, None, None, None
        for rows in _rows(samples):
            torch.sub(samples[rows], means.index_select(0, labels[rows]), out=left[rows]).mul_(2 * gradients[0])
        return left, None, None, None


def _loops_fit(samples: Tensor) -> bool:
    """Whether the compiled loops can take the samples where they lie."""
    usual = samples.is_cpu and samples.dtype in (torch.float32, torch.float64)
    return penalty_loops.COMPILED and usual and samples.is_contiguous()


def _array(tensor: Tensor) -> Any:
    return tensor.detach().numpy()


def _by_label(labels: Tensor, samples: Tensor, count: int) -> Tensor:
    """Sums (s, count) of samples of 64 bits (n, s) by their labels (n,)."""
    if not labels.is_cpu:
        return torch.stack([torch.bincount(labels, column, count) for column in samples.T])
    # A half of the time that torch takes on a processor.
    own, columns = labels.numpy().astype(np.intp), samples.numpy().T
    return torch.from_numpy(np.stack([np.bincount(own, column, count) for column in columns]))


def _rows(samples: Tensor) -> Iterator[slice]:
    """Blocks of samples that fit a core's second cache."""
    step = max(1, (1 << 18) // samples.shape[1])
    return (slice(start, start + step) for start in range(0, len(samples), step))
