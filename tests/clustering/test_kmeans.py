"""k-means: worked numbers, exact optima against brute force, Lloyd's laws, refusals."""

import itertools
from importlib.util import module_from_spec, spec_from_file_location
from itertools import combinations
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from energysim.clustering import exact_scalar, penalised_scalar, scalar_loops
from energysim.clustering.kmeans import FewerClustersWarning, kmeans
from energysim.clustering.leaves import Leaves, argmin
from energysim.clustering.line import Line
from energysim.clustering.lloyd import nearest_labels
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


def simple_optimum(values: np.ndarray, weights: np.ndarray, k: int) -> float:
    """Least cost by the plain programme over all pairs of places."""
    order = np.argsort(values)
    x, w = values[order], weights[order]
    sums = np.concatenate((np.zeros((3, 1)), np.cumsum((w, w * x, w * x * x), axis=1)), axis=1)
    mass, first, second = sums[:, None, :] - sums[:, :, None]
    cost = np.where(mass > 0, second - first**2 / np.where(mass > 0, mass, 1), 0.0)
    cost[np.tril_indices(len(cost), -1)] = np.inf
    least = cost[0]
    for _ in range(k - 1):
        least = (least[:, None] + cost).min(axis=0)
    return float(least[-1])


@pytest.mark.parametrize("k", [2, 5, 16, 40])
@pytest.mark.parametrize("shape", ["normal", "two humps", "heavy tails", "lattice"])
def test_refined_blocks_reach_the_optimum(shape: str, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # With few first blocks the bound, the division and the windows all have to work for 700 values.
    random = np.random.default_rng(k)
    values = {
        "normal": random.standard_normal(700),
        "two humps": np.concatenate((random.normal(-3, 1, 300), random.normal(2, 0.2, 400))),
        "heavy tails": random.standard_t(1.5, 700),
        "lattice": np.round(random.standard_normal(700) * 60) / 60,
    }[shape]
    distinct, counts = np.unique(values, return_counts=True)
    monkeypatch.setattr(exact_scalar, "FIRST_BLOCKS", 40)
    starts, _ = exact_scalar.optimal_cuts(distinct, counts.astype(float), k)
    found = sum(
        sse(distinct[a:b], counts[a:b].astype(float)) for a, b in zip(starts, [*starts[1:], len(distinct)], strict=True)
    )
    assert found == pytest.approx(simple_optimum(values, np.ones(700), k), rel=1e-9)


@pytest.mark.parametrize("k", [3, 8])
def test_refined_blocks_with_a_centroid_at_zero(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(k)
    values = np.unique(random.normal(0.4, 1, 300))
    samples = values[:, None]
    monkeypatch.setattr(exact_scalar, "FIRST_BLOCKS", 20)
    refined = kmeans(samples, k, seed=0, fixed_zero=True)
    monkeypatch.setattr(exact_scalar, "FIRST_BLOCKS", 10_000)
    direct = kmeans(samples, k, seed=0, fixed_zero=True)
    assert refined.inertia == pytest.approx(direct.inertia, rel=1e-9)
    assert torch.equal(refined.labels, direct.labels)


def test_numpy_takes_the_place_of_the_compiled_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    values = np.concatenate((random.standard_t(2, 1_500), np.round(random.normal(0.5, 1, 1_500), 2))).astype(np.float32)
    monkeypatch.setattr(exact_scalar, "FIRST_BLOCKS", 40)
    for number in (np.float32, np.float64):
        for weights, fixed_zero in itertools.product((None, random.integers(0, 3, len(values))), (False, True)):
            found = []
            for compiled in {False, scalar_loops.COMPILED}:
                monkeypatch.setattr(scalar_loops, "COMPILED", compiled)
                samples = values[:, None].astype(number)
                found.append(kmeans(samples, 9, seed=0, sample_weight=weights, fixed_zero=fixed_zero))
            assert torch.equal(found[0].labels, found[-1].labels)
            assert found[0].inertia == pytest.approx(found[-1].inertia, rel=1e-9)


def test_the_loops_as_plain_python() -> None:
    # Their own .py file, whatever is compiled beside it: what each one is to do, by numpy.
    spec = spec_from_file_location("plain_loops", Path(exact_scalar.__file__).with_name("scalar_loops.py"))
    assert spec is not None
    assert spec.loader is not None
    plain = module_from_spec(spec)
    spec.loader.exec_module(plain)
    assert not plain.COMPILED
    for loops in (plain, scalar_loops):
        _try_loops(loops)


def _try_loops(loops: ModuleType) -> None:
    random = np.random.default_rng(1)
    values, mass = np.sort(random.normal(1, 2, 83)), random.integers(1, 5, 83).astype(np.uint32)
    shift, scale, step = float(values[41]), float(np.abs(values).max()), 8
    about = (values - shift) / scale
    terms = np.stack((mass, mass * about, mass * about**2, mass * (values / scale) ** 2))
    sums = np.concatenate((np.zeros((4, 1)), np.cumsum(terms, axis=1)), axis=1)
    for rows in (3, 4):
        above, below, found = np.zeros((rows, 6)), np.zeros((rows, 6)), np.zeros((rows, 84))
        settings = values, mass, shift, scale, step
        assert loops.kept_sums(*settings, above, below) == 0
        assert loops.sums_at(*settings, above, below, np.arange(84), found) == 0
        assert np.allclose(found, (sums - sums[:, 41:42])[:rows], atol=1e-12)
    # Every end from 10 on: the best start among 3 .. 60, and the row stays where it was lower.
    opened, row = np.abs(random.normal(0, 1e-3, 58)), np.full(74, 2.0)
    row[5] = -1.0
    cost = sums[2][:, None] - sums[2] - (sums[1][:, None] - sums[1]) ** 2 / np.maximum(1, sums[0][:, None] - sums[0])
    wanted = [min(opened[s - 3] + max(cost[e, s], 0.0) for s in range(3, min(e, 61))) for e in range(10, 84)]
    assert loops.lower_row(row, 10, opened, 3, *sums[:3], np.zeros(76, np.int64), 10) == 0
    assert row[5] == -1.0
    assert np.allclose(np.delete(row, 5), np.delete(np.minimum(wanted, 2.0), 5), atol=1e-12)
    fine = np.zeros((84, 5))
    assert loops.fine_sums(values, mass, shift, scale, fine) == 0
    assert np.allclose(fine[:, [0, 1, 3]].T, sums[:3], atol=1e-12)
    for price in (1e-4, 1e-2, 0.3, 1e9):
        least, begins = np.empty(84), np.zeros(84, np.int32)
        assert loops.penalised(fine, price, least, begins, np.zeros(84, np.int32), np.zeros(84, np.int32)) == 0
        plain = np.zeros(84)
        for end in range(1, 84):
            plain[end] = min(plain[s] + cost[end, s] for s in range(end)) + price
            assert least[begins[end]] + cost[end, begins[end]] + price == pytest.approx(plain[end], abs=1e-12)
        assert np.allclose(least, plain, atol=1e-12)
    for runs in range(1, 9):
        firsts, ranks = np.sort(random.choice(values, runs - 1, replace=False)), random.permutation(runs)
        centroids, labels = random.normal(size=runs), np.empty(83, np.int64)
        wanted_labels = ranks[np.searchsorted(firsts, values, side="right")]
        gaps = (values - centroids[wanted_labels]) ** 2
        for weights in (values[:0], mass.astype(np.float64)):
            total = loops.assign(values, weights, firsts, centroids, ranks, labels)
            assert np.array_equal(labels, wanted_labels)
            assert total == pytest.approx(float((gaps * weights if len(weights) else gaps).sum()))


@pytest.mark.parametrize("k", [4, 16])
def test_scalars_are_never_worse_than_lloyd(k: int) -> None:
    samples = torch.randn(20_000, 1, generator=torch.Generator().manual_seed(0)) * 0.02
    best = kmeans(samples, k, seed=0)
    for seed in range(3):
        first = samples[torch.randperm(len(samples), generator=torch.Generator().manual_seed(seed))[:k]]
        assert best.inertia <= kmeans(samples, k, seed=0, init=first, max_iterations=50).inertia * (1 + 1e-6)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", ["normal", "heavy tails", "equal gaps", "two sizes of gaps", "sixteenths"])
def test_a_price_for_each_cluster_gives_the_optimum(
    shape: str, weighted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(7)
    values = {
        "normal": random.standard_normal(150),
        "heavy tails": random.standard_t(1.2, 150),
        "equal gaps": np.arange(96.0),
        "two sizes of gaps": np.cumsum(np.tile([1.0, 1.0, 1.0, 5.0], 24)),
        "sixteenths": np.round(random.standard_normal(200) * 16) / 16,
    }[shape]
    weights = random.integers(1, 4, len(values)).astype(float) if weighted else np.ones(len(values))
    monkeypatch.setattr(exact_scalar, "MOST_LAYERS", 0)
    monkeypatch.setattr(scalar_loops, "COMPILED", True)  # slow where they are not, and the same
    for k in (2, 3, 5, 7, 11, 20, 31, 37, 50):
        if k >= len(np.unique(values)):
            continue
        found = kmeans(values[:, None], k, seed=0, sample_weight=weights)
        assert len(found.centroids) == k
        assert found.inertia == pytest.approx(simple_optimum(values, weights, k), rel=1e-9, abs=1e-12)


def test_numbers_of_clusters_that_no_price_gives_lie_between_others(monkeypatch: pytest.MonkeyPatch) -> None:
    # Of 24 groups of three and a lone value each, many k cost as much less as the k before: windows find these.
    windows = []
    own = penalised_scalar._windows
    monkeypatch.setattr(penalised_scalar, "_windows", lambda *given: windows.append(given) or own(*given))
    monkeypatch.setattr(exact_scalar, "MOST_LAYERS", 0)
    monkeypatch.setattr(scalar_loops, "COMPILED", True)
    values = np.cumsum(np.tile([1.0, 1.0, 5.0], 30))
    for k in range(2, 89):
        found = kmeans(values[:, None], k, seed=0)
        assert found.inertia == pytest.approx(simple_optimum(values, np.ones(len(values)), k), rel=1e-9, abs=1e-12)
    assert windows


def test_more_scalar_clusters_than_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = torch.randn(3_000, 1, generator=torch.Generator().manual_seed(0))
    best = kmeans(samples, 300, seed=0)
    assert best.iterations == 0
    monkeypatch.setattr(exact_scalar, "MOST_LAYERS", 1_000)
    assert best.inertia == pytest.approx(kmeans(samples, 300, seed=0).inertia, rel=1e-9)
    # With one at zero there are layers only, and of very many clusters Lloyd's iterations.
    monkeypatch.setattr("energysim.clustering.kmeans.MOST_EXACT", 32)
    exact, quick = (kmeans(samples, k, seed=0, fixed_zero=True).inertia for k in (32, 33))
    assert quick <= 1.1 * exact


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("d", "k"), [(2, 40), (3, 20), (4, 100), (3, 300)])
def test_leaves_assign_as_trying_all_centroids_does(d: int, k: int, weighted: bool) -> None:
    generator = torch.Generator().manual_seed(d * k)
    points = torch.randn(5_003, d, generator=generator) ** 3
    weights = torch.rand(len(points), generator=generator) if weighted else None
    centroids = points[torch.randperm(len(points), generator=generator)[:k]] + 0.01
    leaves = Leaves(points, weights)
    labels = leaves.labels(centroids)
    distances = torch.cdist(points.double(), centroids.double())
    assert torch.allclose(distances.gather(1, labels[:, None])[:, 0], distances.amin(dim=1), atol=1e-4)
    assert float((labels == distances.argmin(dim=1)).double().mean()) > 0.999
    sums, mass = leaves.step(centroids)
    own = torch.ones(len(points)) if weights is None else weights
    assert torch.allclose(mass, torch.bincount(labels, own.double(), k), rtol=1e-4)
    wanted = torch.zeros(k, d, dtype=torch.float64).index_add_(0, labels, (points * own[:, None]).double())
    assert torch.allclose(sums, wanted, rtol=1e-3, atol=1e-2)


def test_equal_scores_go_to_the_first() -> None:
    scores = torch.tensor([[[1.0, 5.0], [1.0, 2.0], [3.0, 2.0]]])
    assert argmin(scores).tolist() == [[0, 1]]


@pytest.mark.parametrize(("n", "d", "k"), [(3_000, 3, 20), (3_000, 9, 20), (500, 2, 3)])
def test_lloyd_ends_where_nothing_moves_and_by_seed(n: int, d: int, k: int) -> None:
    samples = torch.randn(n, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    one, two = (kmeans(samples, k, seed=5, tolerance=0) for _ in range(2))
    assert torch.equal(one.centroids, two.centroids)
    assert torch.equal(one.labels, two.labels)
    means = torch.stack([samples[one.labels == j].mean(dim=0) for j in range(k)])
    assert torch.allclose(means, one.centroids, atol=1e-9)
    distances = torch.cdist(samples, one.centroids) ** 2
    assert torch.equal(distances.argmin(dim=1), one.labels)
    assert one.inertia == pytest.approx(float(distances.amin(dim=1).sum()))
    assert kmeans(samples, k, seed=6, tolerance=0).centroids.tolist() != one.centroids.tolist()


def test_few_clusters_of_vectors_do_not_end_in_a_poor_optimum() -> None:
    # Weights of a fresh layer in vectors of 4: from one start, 2 of these 4 seeds lose more than 2 per cent.
    samples = torch.rand(20_000, 4, generator=torch.Generator().manual_seed(0)) - 0.5
    found = [kmeans(samples, 16, seed=seed).inertia for seed in range(4)]
    assert max(found) < 1.003 * min(found)


def test_given_centroids_and_one_iteration() -> None:
    # From 0 and 10: {0, 2} and {9, 13} give 1 and 11.
    samples = torch.tensor([[0.0], [2.0], [9.0], [13.0]])
    result = kmeans(samples, 2, seed=0, init=[[0.0], [10.0]], max_iterations=1)
    assert result.centroids[:, 0].tolist() == [1.0, 11.0]
    assert result.iterations == 1
    assert result.inertia == 1 + 1 + 4 + 4


def test_empty_clusters_are_refilled() -> None:
    samples = torch.tensor([[0.0, 0.0], [1.0, 0.0], [10.0, 0.0], [11.0, 0.0]])
    result = kmeans(samples, 3, seed=0, init=[[0.0, 0.0], [500.0, 0.0], [900.0, 0.0]])
    assert len(result.labels.unique()) == 3
    assert result.inertia == pytest.approx(0.5)


def test_weights_are_repetitions() -> None:
    samples = torch.randn(60, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    counts = torch.randint(0, 4, (60,), generator=torch.Generator().manual_seed(1))
    first = samples[:4]
    repeated = kmeans(samples.repeat_interleave(counts, 0), 4, seed=0, init=first, tolerance=0)
    weighted = kmeans(samples, 4, seed=0, init=first, sample_weight=counts.double(), tolerance=0)
    assert torch.allclose(repeated.centroids, weighted.centroids)
    assert repeated.inertia == pytest.approx(weighted.inertia)


@pytest.mark.parametrize("d", [1, 3])
def test_a_centroid_fixed_at_zero_stays_there(d: int) -> None:
    samples = torch.randn(400, d, generator=torch.Generator().manual_seed(0)) + 0.3
    result = kmeans(samples, 5, seed=0, fixed_zero=True)
    assert not bool(result.centroids[0].any())
    assert len(result.centroids) == 5
    assert bool((result.labels == 0).any())


# Reports of users of other clusterings, as tests of this one.


@pytest.mark.parametrize("d", [1, 2])
def test_fewer_samples_than_clusters_are_not_left_alone_silently(d: int) -> None:
    samples = torch.tensor([[1.0], [3.0], [1.0], [2.0]]).expand(-1, d)
    with pytest.warns(FewerClustersWarning, match="8 clusters asked for, but there are only 3 distinct samples"):
        result = kmeans(samples, 8, seed=0)
    assert result.centroids[:, 0].tolist() == [1.0, 2.0, 3.0]
    assert result.labels.tolist() == [0, 2, 0, 1]
    assert result.inertia == 0
    with pytest.warns(FewerClustersWarning, match="zero counted"):
        assert kmeans(samples, 8, seed=0, fixed_zero=True).centroids[0, 0] == 0


def test_kmeans_pytorch_3_no_nan_shift_on_resnet18_sized_rows() -> None:
    # Rows of a conv of which most are nearly equal: clusters run empty, and means of nothing are NaN.
    random = torch.Generator().manual_seed(0)
    samples = torch.randn(12_288, 3, generator=random) * 1e-9
    samples[:5] += 1.0
    result = kmeans(samples, 64, seed=0, max_iterations=20)
    assert bool(result.centroids.isfinite().all())
    assert np.isfinite(result.inertia)


def test_coremltools_2551_exact_scalars_in_little_memory() -> None:
    # A matrix of places by places for 50,000 distinct values would be 20 GB; all arrays here stay below 200 MB.
    import tracemalloc

    samples = torch.randn(50_000, 1, generator=torch.Generator().manual_seed(0)) * 0.02
    tracemalloc.start()
    kmeans(samples, 8, seed=0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200e6


def test_coremltools_2716_four_bits_keep_the_direction() -> None:
    samples = torch.randn(30_000, 1, generator=torch.Generator().manual_seed(0)) * 0.02
    result = kmeans(samples, 16, seed=0)
    shared = result.centroids[result.labels]
    assert float(torch.nn.functional.cosine_similarity(samples[:, 0], shared[:, 0], dim=0)) > 0.99


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("scale", [1e-40, 1e-20, 1.0, 65_504.0])
def test_extreme_scales(scale: float, d: int) -> None:
    samples = torch.cat((torch.linspace(-1, -0.9, 50), torch.linspace(0.9, 1, 50))) * scale
    result = kmeans(samples[:, None].expand(-1, d), 2, seed=0)
    assert sorted(result.centroids[:, 0].tolist()) == pytest.approx([-0.95 * scale, 0.95 * scale], rel=1e-4)


@pytest.mark.parametrize("d", [3, 9])
@pytest.mark.parametrize("exponent", [-126, -80, 80, 120])
def test_vectors_of_any_magnitude_are_clustered_alike(exponent: int, d: int) -> None:
    # Squares of such numbers vanish or overflow in 32 bits; by a power of two nothing but the magnitude may change.
    samples = torch.randn(2_000, d, generator=torch.Generator().manual_seed(0))
    ordinary, scaled = (kmeans(x, 20, seed=0) for x in (samples, samples * 2.0**exponent))
    assert scaled.inertia * 2.0 ** (-2 * exponent) == pytest.approx(ordinary.inertia, rel=1e-4)
    assert torch.equal(nearest_labels(samples * 2.0**exponent, scaled.centroids), scaled.labels)


def test_one_outlier_does_not_spoil_the_rest() -> None:
    samples = torch.cat((torch.linspace(0, 0.01, 100), torch.linspace(0.04, 0.05, 100), torch.tensor([1e15])))
    result = kmeans(samples[:, None], 3, seed=0)
    assert result.centroids[:, 0].tolist() == pytest.approx([0.005, 0.045, 1e15])


def test_inputs_are_not_touched() -> None:
    samples = torch.randn(300, 3, generator=torch.Generator().manual_seed(0))
    first, weights = samples[:4].clone(), torch.ones(300)
    copies = [x.clone() for x in (samples, first, weights)]
    kmeans(samples, 4, seed=0, init=first, sample_weight=weights)
    kmeans(samples[:, :1], 4, seed=0, sample_weight=weights, fixed_zero=True)
    assert all(torch.equal(a, b) for a, b in zip((samples, first, weights), copies, strict=True))


def test_bad_input() -> None:
    good = torch.arange(12.0).reshape(6, 2)
    for samples, message in (
        (torch.tensor([[1.0], [float("nan")]]), "1 of 2 values are NaN or infinite"),
        (torch.tensor([[1.0], [float("inf")]]), "1 of 2 values are NaN or infinite"),
        (torch.zeros(0, 3), "nothing to cluster: 0 samples of length 3"),
        (torch.zeros(3, 0), "nothing to cluster"),
        (torch.zeros(3, 2, device="meta"), "meta device"),
        (torch.eye(3).to_sparse(), "sparse"),
        (torch.ones(3, 2, dtype=torch.int8), "floating point, not int8"),
        (torch.ones(3), "must be N x d, not 3"),
        ("weights", "cannot be read"),
    ):
        with pytest.raises(InputError, match=message):
            kmeans(samples, 1, seed=0)
    for options, message in (
        ({"n_clusters": 0}, "n_clusters must be a whole number of at least 1, not 0"),
        ({"n_clusters": 2.0}, "whole number"),
        ({"max_iterations": 0}, "max_iterations"),
        ({"tolerance": -1.0}, "tolerance"),
        ({"tolerance": float("nan")}, "tolerance"),
        ({"sample_weight": [1.0]}, "6 samples need as many sample weights"),
        ({"sample_weight": [-1.0] * 6}, "not negative"),
        ({"sample_weight": [0.0] * 6}, "not all zero"),
        ({"init": torch.zeros(3, 2)}, "2 first centroids of length 2"),
        ({"init": torch.full((2, 2), float("nan"))}, "NaN"),
        ({"init": torch.ones(2, 2), "fixed_zero": True}, "must be zero"),
    ):
        with pytest.raises(InputError, match=message):
            kmeans(good, **{"n_clusters": 2, "seed": 0, **options})
    with pytest.raises(UnknownNameError, match="did you mean 'k-means"):
        kmeans(good, 2, seed=0, init="kmeans++")


@pytest.mark.parametrize("weighted", [False, True])
def test_numbers_are_assigned_as_vectors_are(weighted: bool) -> None:
    """The runs between midpoints against a search of all centroids, with equal centroids and points on midpoints."""
    generator = torch.Generator().manual_seed(5)
    compared = 0
    for n, k in ((1, 1), (2, 2), (3, 2), (7, 3), (40, 40), (500, 60)):
        points = torch.randint(-20, 20, (n, 1), generator=generator).float() / 4
        centroids = torch.randint(-20, 20, (k, 1), generator=generator).float() / 4
        weights = torch.rand(n, generator=generator) if weighted else None
        gaps = (points - centroids.T).abs()
        nearest = torch.tensor([int((row == row.min()).nonzero()[0]) for row in gaps])
        line = Line(points, weights)
        assert torch.equal(line.labels(centroids), nearest)
        sums, mass = line.step(centroids)
        each = torch.ones(n, dtype=torch.float64) if weights is None else weights.double()
        assert float(mass.sum()) == pytest.approx(float(each.sum()))
        assert float(sums.sum()) == pytest.approx(float((each * points[:, 0].double()).sum()), abs=1e-9)
        # what is no point of a midpoint has one nearest value: the same mass there
        alone = (gaps == gaps.amin(dim=1, keepdim=True)).sum(dim=1) == 1
        if bool(alone.all()):
            compared += 1
            assert torch.allclose(mass, torch.zeros(k, dtype=torch.float64).index_add(0, nearest, each))
    assert compared > 1
