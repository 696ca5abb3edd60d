"""k-means: worked numbers, exact optima against brute force, Lloyd's laws, refusals."""

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from energysim.clustering.kmeans import FewerClustersWarning, kmeans
from energysim.errors import InputError, UnknownNameError


def sse(samples: np.ndarray, weights: np.ndarray) -> float:
    if not len(samples):
        return 0.0
    mean = np.average(samples, axis=0, weights=weights)
    return float((weights * (samples - mean) ** 2).sum())


def best_by_hand(values: np.ndarray, weights: np.ndarray, k: int, fixed_zero: bool) -> float:
    """Least cost of all ways to cut the sorted values into at most k runs, one of them at zero if it is fixed."""
    order = np.argsort(values)
    values, weights, best = values[order], weights[order], np.inf
    for cuts in combinations(range(len(values) + 1), k - 1):
        runs = list(zip([0, *cuts], [*cuts, len(values)], strict=True))
        costs = [sse(values[a:b], weights[a:b]) for a, b in runs]
        if fixed_zero:
            zero = [float((weights[a:b] * values[a:b] ** 2).sum()) for a, b in runs]
            best = min(best, *(sum(costs) - c + z for c, z in zip(costs, zero, strict=True)))
            if k > 1:
                continue
        best = min(best, zero[0] if fixed_zero else sum(costs))
    return best


def test_worked_rows() -> None:
    # METHODS §2: columns {1, 2} and {3, 4} of [[0, .2, 1, 1.2], [0, 0, 1, 1]]: SSE 0.04, centroids (.1, 0), (1.1, 1).
    rows = torch.tensor([[0.0, 0.0], [0.2, 0.0], [1.0, 1.0], [1.2, 1.0]])
    result = kmeans(rows, 2, seed=0)
    assert result.inertia == pytest.approx(0.04)
    assert sorted(result.centroids.tolist()) == [pytest.approx([0.1, 0.0]), pytest.approx([1.1, 1.0])]
    assert result.labels[0] == result.labels[1] != result.labels[2] == result.labels[3]
    assert result.iterations >= 1


def test_worked_scalars() -> None:
    # Two pairs and a single: means 0.1, 1.1 and 5; SSE 2 * 2 * 0.1^2 = 0.04.
    result = kmeans(torch.tensor([[5.0], [0.0], [1.2], [0.2], [1.0]], dtype=torch.float64), 3, seed=0)
    assert result.centroids[:, 0].tolist() == pytest.approx([0.1, 1.1, 5.0])
    assert result.labels.tolist() == [2, 0, 1, 0, 1]
    assert result.inertia == pytest.approx(0.04)


@given(
    st.lists(st.integers(-20, 20), min_size=2, max_size=9),
    st.integers(1, 4),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_scalars_are_optimal(values: list[int], k: int, fixed_zero: bool, random: object) -> None:
    samples = np.array(values, dtype=np.float64) / 4
    weights = np.array([random.randint(1, 3) for _ in values], dtype=np.float64)  # type: ignore[attr-defined]
    if len({*values, *([0] if fixed_zero else [])}) <= k:
        return
    result = kmeans(samples[:, None], k, seed=0, sample_weight=weights, fixed_zero=fixed_zero)
    assert result.inertia == pytest.approx(best_by_hand(samples, weights, k, fixed_zero), abs=1e-9)
    nearest = np.abs(samples[:, None] - result.centroids.numpy()[:, 0]).min(axis=1)
    assert result.inertia == pytest.approx(float((weights * nearest**2).sum()), abs=1e-9)
    assert not fixed_zero or result.centroids[0] == 0
    assert len(result.centroids) <= k
