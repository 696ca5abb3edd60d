"""k-means that suits weights: exact for scalars, Lloyd for vectors; the same seed gives the same bits."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from energysim.clustering import scalar_loops
from energysim.clustering.distinct import bits_of, distinct_rows
from energysim.clustering.exact_scalar import exact_scalar, settled_scalar
from energysim.clustering.lloyd import lloyd
from energysim.errors import InputError, unknown

INITS = ("k-means++",)
"""Ways to choose the first centroids by name; the other way is to give them."""
MOST_EXACT = 1024
"""Clusters of scalars, one fixed at zero, up to which the optimum is found; of more, Lloyd's iterations are near it."""


class FewerClustersWarning(UserWarning):
    """There are fewer distinct samples than clusters asked for: fewer centroids come back."""


@dataclass(frozen=True, slots=True)
class KMeansResult:
    """Centroids (k, d), each sample's label (N,), the weighted sum of squared distances, and the iterations taken.

    k is smaller than asked for where there are fewer distinct samples. `iterations` is 0 where the optimum is
    exact. Centroids are in the samples' precision, at least 32 bits.
    """

    centroids: Tensor
    labels: Tensor
    inertia: float
    iterations: int


def kmeans(
    samples: Any,
    n_clusters: int,
    *,
    seed: int,
    init: Any = "k-means++",
    sample_weight: Any = None,
    fixed_zero: bool = False,
    max_iterations: int = 300,
    tolerance: float = 1e-4,
) -> KMeansResult:
    """Cluster the samples, (N, d), into at most `n_clusters` clusters of least squared distance.

    Scalars (d = 1) get the exact optimum, unless first centroids are given (k, d) or `fixed_zero` meets more than 1,024
    clusters; vectors get Lloyd's iterations until the summed squared shift is at most `tolerance` times the samples'
    mean variance.
    `fixed_zero` keeps centroid 0 at zero. `InputError` for samples that are empty or not finite, for numbers
    that cannot be, and `FewerClustersWarning` where there are fewer distinct samples than clusters.
    """
    points = check_samples(samples)
    k = _whole("n_clusters", n_clusters)
    if _whole("max_iterations", max_iterations) and not tolerance >= 0:
        raise InputError(f"tolerance must not be negative, not {tolerance}")
    weights = _check_weights(sample_weight, points)
    first = None if isinstance(init, str) else _check_init(init, k, points, fixed_zero)
    if isinstance(init, str) and init not in INITS:
        raise unknown("init", init, INITS)
    few = _distinct_up_to(points, k + 1, fixed_zero)
    if few is not None and len(few[0]) < k:
        # A weight's own message names its layer: the caller knows it.
        warnings.warn(
            f"{k} clusters asked for, but there are only {len(few[0])} distinct samples"
            f"{' (zero counted)' if fixed_zero else ''}: {len(few[0])} centroids",
            FewerClustersWarning,
            stacklevel=2,
        )
    if few is not None:
        return KMeansResult(*few, 0.0, 0)
    by_layers = fixed_zero or not scalar_loops.COMPILED
    if points.shape[1] == 1 and first is None and by_layers and k > MOST_EXACT:
        first = settled_scalar(points[:, 0], k, weights, fixed_zero)[:, None]
    elif points.shape[1] == 1 and first is None:
        centroids, labels, inertia = exact_scalar(points[:, 0], k, weights, fixed_zero)
        return KMeansResult(centroids[:, None], labels, inertia, 0)
    return KMeansResult(*lloyd(points, k, seed, first, weights, fixed_zero, max_iterations, tolerance))


def check_samples(samples: Any) -> Tensor:
    """Samples as a detached tensor (N, d) of at least 32 bits; `InputError` says what is wrong with them."""
    try:
        points = torch.as_tensor(samples).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"samples cannot be read as numbers: {error}") from None
    if points.layout is not torch.strided:
        raise InputError(f"samples are sparse ({points.layout}): make them dense first")
    if points.is_meta:
        raise InputError("samples are on the meta device and have no values")
    if not points.is_floating_point():
        raise InputError(f"samples must be floating point, not {str(points.dtype).removeprefix('torch.')}")
    if points.ndim != 2:
        raise InputError(f"samples must be N x d, not {' x '.join(map(str, points.shape)) or 'a single number'}")
    if 0 in points.shape:
        raise InputError(f"there is nothing to cluster: {points.shape[0]} samples of length {points.shape[1]}")
    points = points if points.dtype == torch.float64 else points.float()
    if not bool(torch.isfinite(points.sum())) and not bool(torch.isfinite(points).all()):
        bad = (~torch.isfinite(points)).sum().item()
        raise InputError(f"{bad} of {points.numel()} values are NaN or infinite")
    return points


def _whole(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name} must be a whole number of at least 1, not {value!r}")
    return value


def _check_weights(sample_weight: Any, points: Tensor) -> Tensor | None:
    if sample_weight is None:
        return None
    weights = torch.as_tensor(sample_weight).detach().to(points)
    if weights.shape != points.shape[:1]:
        raise InputError(f"{len(points)} samples need as many sample weights, not {tuple(weights.shape)}")
    if not bool(torch.isfinite(weights).all()) or bool((weights < 0).any()) or not bool(weights.sum() > 0):
        raise InputError("sample weights must be finite, not negative, and not all zero")
    return weights


def _check_init(init: Any, k: int, points: Tensor, fixed_zero: bool) -> Tensor:
    first = torch.as_tensor(init).detach().to(points)
    if first.shape != (k, points.shape[1]):
        raise InputError(f"{k} first centroids of length {points.shape[1]} are needed, not {tuple(first.shape)}")
    if not bool(torch.isfinite(first).all()):
        raise InputError("first centroids are NaN or infinite")
    if fixed_zero and bool(first[0].any()):
        raise InputError("with fixed_zero the first of the given centroids must be zero")
    return first.clone()


def _distinct_up_to(points: Tensor, limit: int, fixed_zero: bool) -> tuple[Tensor, Tensor] | None:
    """The distinct samples in order (zero first when it is fixed) and which of them each sample (N,) is.

    None where there are `limit` or more.
    """
    if len(points) > 8 * limit and _distinct_up_to(points[: 4 * limit], limit, fixed_zero) is None:
        return None
    zero = points.new_zeros(1, points.shape[1])
    values = (torch.cat((zero, points)) if fixed_zero else points).add(0.0).cpu().numpy()
    found = distinct_rows(bits_of(values), limit)
    if found is None:
        return None
    order = np.lexsort(values[found[0]].T[::-1])
    distinct = torch.from_numpy(values[found[0][order]]).to(points)
    labels = torch.from_numpy(order.argsort()[found[1]]).to(points.device)
    if fixed_zero:
        others = torch.arange(len(distinct), device=points.device)
        zero_first = torch.cat((labels[:1], others[others != labels[0]]))
        distinct, labels = distinct[zero_first], zero_first.argsort()[labels[1:]]
    return distinct, labels


def first_centroids(samples: Tensor, n_clusters: int, seed: int, init: str) -> Tensor:
    """Centroids (k, d) to start a DKM layer with, from no more than a quarter million of its samples (N, d).

    `k-means++` and Lloyd's iterations for vectors, their one-dimensional equal for scalars; `random` samples.
    """
    points = check_samples(samples)
    if init not in ("k-means++", "random"):
        raise unknown("init", init, ("k-means++", "random"))
    if _distinct_up_to(points, n_clusters + 1, False) is not None:
        return kmeans(points, n_clusters, seed=seed).centroids
    generator = torch.Generator().manual_seed(seed)
    if init == "random":
        return points[torch.randperm(len(points), generator=generator)[:n_clusters].to(points.device)].clone()
    most = 1 << 18 if points.shape[1] == 1 else max(1 << 14, 64 * n_clusters)
    if len(points) > most:
        chosen = points[torch.randint(len(points), (most,), generator=generator).to(points.device)]
        points = points if _distinct_up_to(chosen, n_clusters + 1, False) is not None else chosen
    if points.shape[1] == 1:
        return settled_scalar(points[:, 0], n_clusters, None, False)[:, None]
    return kmeans(points, n_clusters, seed=seed, max_iterations=25).centroids
