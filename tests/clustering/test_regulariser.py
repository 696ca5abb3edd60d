"""Deep k-Means' penalty: METHODS' worked check, the literal formula with an explicit F, and wrong choices."""

import itertools
import warnings
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from energysim.clustering import penalty_loops, regulariser
from energysim.clustering.regulariser import (
    DegenerateWarning,
    Regulariser,
    leading_right_vectors,
    smallest,
    sparse_kmeans,
)
from energysim.errors import InputError, UnknownNameError
from energysim.granularity import Granularity

X = torch.tensor([[0.0, 0.2, 1.0, 1.2], [0.0, 0.0, 1.0, 1.0]], dtype=torch.float64)
"""METHODS §2: columns are samples."""


class One(nn.Module):
    """A single weight whose rows are the given samples."""

    def __init__(self, samples: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(samples.clone().reshape(1, 1, *samples.shape))


def literal(w: Tensor, f: Tensor) -> Tensor:
    """`1/2 [Tr(W^T W) - Tr(F^T W^T W F)]`, W s x N, F N x K."""
    return (torch.trace(w.T @ w) - torch.trace(f.T @ w.T @ w @ f)) / 2


def test_worked_check_hard() -> None:
    # Clusters {1, 2} and {3, 4}: SSE = 4 * 0.1^2 = 0.0400.
    model = One(X.T)
    penalty = Regulariser(model, {"weight": 2}, variant="hard", strength=2.0, seed=0)
    assert penalty(model).item() == pytest.approx(0.04)
    indicator = torch.tensor([[1, 0], [1, 0], [0, 1], [0, 1]], dtype=torch.float64) / 2**0.5
    assert float(2 * literal(X, indicator)) == pytest.approx(0.04)


def test_worked_check_relaxed() -> None:
    # Without the 1/2: K = 1 -> 0.0269, K = 2 (= s) -> 0, and that is said.
    model = One(X.T)
    one, two = (Regulariser(model, {"weight": k}, variant="relaxed", strength=2.0, seed=0) for k in (1, 2))
    assert one(model).item() == pytest.approx(0.0269, abs=5e-5)
    with pytest.warns(DegenerateWarning, match="weight: the relaxed penalty with 2 clusters is exactly 0"):
        two.refresh(0)
    assert two(model).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
@pytest.mark.parametrize(("n", "s"), [(30, 5), (4, 9)])
def test_relaxed_is_the_literal_formula_fresh_and_stale(n: int, s: int, k: int) -> None:
    generator = torch.Generator().manual_seed(k)
    w = torch.randn(s, n, generator=generator, dtype=torch.float64)
    f = torch.linalg.svd(w).Vh[:k].T
    model = One(w.T)
    penalty = Regulariser(model, {"weight": k}, variant="relaxed", strength=0.3, seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateWarning)
        penalty.refresh(0)
    for stale in range(2):
        if stale:
            with torch.no_grad():
                model.weight += torch.randn(model.weight.shape, generator=generator, dtype=torch.float64) * 0.1
            assert not penalty.refresh(3)
        model.weight.grad = None
        value = penalty(model)
        value.backward()
        now = model.weight.detach().reshape(n, s).T
        assert value.item() == pytest.approx(0.3 * float(literal(now, f)))
        gradient = 0.3 * (now - now @ f @ f.T)
        assert torch.allclose(model.weight.grad.reshape(n, s).T, gradient, atol=1e-12)
    fresh = torch.linalg.svdvals(w)[k:]
    assert 0.3 * float(literal(w, f)) == pytest.approx(0.15 * float((fresh**2).sum()))


def test_hard_is_the_literal_formula_with_the_indicator() -> None:
    generator = torch.Generator().manual_seed(0)
    samples = torch.randn(40, 3, generator=generator, dtype=torch.float64)
    model = One(samples)
    penalty = Regulariser(model, {"weight": 5}, variant="hard", strength=0.7, seed=0)
    penalty.refresh(0)
    labels = penalty.state_dict()["weight"]["labels"].long()
    f = torch.nn.functional.one_hot(labels, 5).double() / torch.bincount(labels).double().sqrt()
    with torch.no_grad():
        model.weight += torch.randn(model.weight.shape, generator=generator, dtype=torch.float64) * 0.2
    value = penalty(model)
    value.backward()
    w = model.weight.detach().reshape(40, 3).T
    assert value.item() == pytest.approx(0.7 * float(literal(w, f)))
    means = torch.stack([w.T[labels == j].mean(dim=0) for j in range(5)])
    assert torch.allclose(model.weight.grad.reshape(40, 3), 0.7 * (w.T - means[labels]), atol=1e-12)
    assert torch.autograd.gradcheck(lambda x: penalty(moved(model, x)), model.weight.detach().requires_grad_())


def moved(model: One, weight: Tensor) -> nn.Module:
    other = nn.Module()
    other.weight = weight  # type: ignore[assignment]
    return other


def test_control_costs_nothing_and_adds_nothing() -> None:
    model = One(X.T)
    penalty = Regulariser(model, {"weight": 2}, variant="control", strength=1.0, seed=0)
    assert not penalty.refresh(0)
    value = penalty(model)
    assert value.item() == 0
    assert not value.requires_grad


@pytest.mark.parametrize("variant", ["hard", "relaxed"])
def test_samples_at_zero_are_drawn_to_zero(variant: str) -> None:
    # Of 4 samples a half goes to zero: norms 0, .2, 1.41, 1.56. Their gradient is lambda w; the others are a cluster.
    model = One(X.T)
    penalty = Regulariser(model, {"weight": 2}, variant=variant, strength=1.0, seed=0, zero_shares={"weight": 0.5})
    penalty(model).backward()
    gradient = model.weight.grad.reshape(4, 2)
    assert gradient[:2].tolist() == [[0.0, 0.0], pytest.approx([0.2, 0.0])]
    if variant == "hard":
        assert gradient[2:].tolist() == [pytest.approx([-0.1, 0.0]), pytest.approx([0.1, 0.0])]


def test_sharing_with_exact_zeros() -> None:
    result = sparse_kmeans(X.T, 2, zero_share=0.5, seed=0)
    assert result.centroids.tolist() == [[0.0, 0.0], pytest.approx([1.1, 1.0])]
    assert result.labels.tolist() == [0, 0, 1, 1]
    assert result.inertia == pytest.approx(0.04 + 0.02)
    shared = result.centroids[result.labels]
    assert int((shared == 0).all(dim=1).sum()) == 2


@pytest.mark.parametrize("magnitude", [1e-30, 1e30])
def test_the_smallest_samples_are_found_at_any_magnitude(magnitude: float) -> None:
    samples = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(smallest(samples * magnitude, 0.4), smallest(samples, 0.4))


def test_it_is_refreshed_lazily_and_resumed_exactly() -> None:
    generator = torch.Generator().manual_seed(0)
    model = One(torch.randn(30, 4, generator=generator))
    penalty = Regulariser(model, {"weight": 3}, variant="hard", seed=0, every=5)
    assert [penalty.refresh(epoch) for epoch in range(7)] == [True, False, False, False, False, True, False]
    other = Regulariser(model, {"weight": 3}, variant="hard", seed=1, every=5)
    other.load_state_dict(penalty.state_dict())
    with torch.no_grad():
        model.weight += 0.3 * torch.randn(model.weight.shape, generator=generator)
    assert torch.equal(penalty(model), other(model))
    with pytest.raises(InputError, match="other weights"):
        other.load_state_dict({"bias": {}})


def test_degenerate_choices_are_said_once_per_layer() -> None:
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 3))
    penalty = Regulariser(model, {"0.weight": 6, "1.weight": 6}, variant="relaxed", seed=0)
    with pytest.warns(DegenerateWarning, match="variant='hard'") as said:
        penalty.refresh(0)
    assert len(said) == 2
    assert penalty.refresh(5)  # a second warning would be an error


def test_no_matrix_of_samples_by_clusters() -> None:
    samples = torch.randn(2_000, 3, generator=torch.Generator().manual_seed(0))
    assert leading_right_vectors(samples, 1_000).shape == (2_000, 3)


def test_gradients_pull_samples_together() -> None:
    torch.manual_seed(0)
    model = nn.Conv2d(3, 8, 3)
    penalty = Regulariser(model, {"weight": 6}, variant="hard", strength=1.0, seed=0, granularity=Granularity("row"))
    optimiser = torch.optim.SGD(model.parameters(), lr=0.2)
    first = penalty(model).item()
    for _ in range(20):
        optimiser.zero_grad()
        penalty(model).backward()
        optimiser.step()
    assert penalty(model).item() < 1e-3 * first


def test_wrong_choices() -> None:
    model = nn.Conv2d(2, 4, 3)
    with pytest.raises(UnknownNameError, match="did you mean 'relaxed'"):
        Regulariser(model, {"weight": 2}, variant="relax", seed=0)
    with pytest.raises(UnknownNameError, match="did you mean 'weight'"):
        Regulariser(model, {"weigth": 2}, variant="hard", seed=0)
    with pytest.raises(InputError, match="24 samples cannot make 25 clusters"):
        Regulariser(model, {"weight": 25}, variant="hard", seed=0)
    with pytest.raises(InputError, match="cannot make 0 clusters"):
        Regulariser(model, {"weight": 0}, variant="hard", seed=0)
    with pytest.raises(InputError, match="strength"):
        Regulariser(model, {"weight": 2}, variant="hard", strength=-1, seed=0)
    with pytest.raises(InputError, match="two clusters"):
        Regulariser(model, {"weight": 1}, variant="hard", seed=0, zero_shares={"weight": 0.5})
    with pytest.raises(InputError, match="empty"):
        Regulariser(model, {}, variant="hard", seed=0)
    with torch.no_grad():
        model.weight[0] = float("nan")
    with pytest.raises(InputError, match="NaN"):
        Regulariser(model, {"weight": 2}, variant="hard", seed=0).refresh(0)


def test_tied_weights_count_once() -> None:
    torch.manual_seed(0)
    one, two = nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3)
    two.weight = one.weight
    both = nn.Sequential(one, two)
    tied = Regulariser(both, {"0.weight": 4, "1.weight": 4}, variant="hard", seed=0)
    alone = Regulariser(both, {"0.weight": 4}, variant="hard", seed=0)
    assert torch.equal(tied(both), alone(both))


@pytest.mark.parametrize("variant", ["relaxed", "hard"])
@pytest.mark.parametrize(("width", "k"), [(1, 1), (3, 2), (3, 7), (5, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_torch_takes_the_place_of_the_compiled_loops(
    variant: str, width: int, k: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = torch.randn(40, width, generator=torch.Generator().manual_seed(width + k), dtype=dtype)
    values, gradients = [], []
    for compiled in (False, penalty_loops.COMPILED):
        monkeypatch.setattr(penalty_loops, "COMPILED", compiled)
        model = One(old)
        penalty = Regulariser(
            model, {"weight": k}, variant=variant, strength=0.1, seed=0, zero_shares={"weight": 0.25} if k > 1 else None
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DegenerateWarning)
            penalty.refresh(0)
        with torch.no_grad():
            model.weight += 0.3 * old.cos().reshape(model.weight.shape)
        found = penalty(model)
        assert found.dtype == dtype
        found.backward()
        values.append(found.item())
        gradients.append(model.weight.grad)
    close = 1e-5 if dtype == torch.float32 else 1e-12
    assert values[0] == pytest.approx(values[1], rel=close)
    assert torch.allclose(gradients[0], gradients[1], rtol=close, atol=close)


def test_the_loops_as_plain_python() -> None:
    # Their own .py file, whatever is compiled beside it.
    spec = spec_from_file_location("plain_loops", Path(regulariser.__file__).with_name("penalty_loops.py"))
    assert spec is not None
    assert spec.loader is not None
    plain = module_from_spec(spec)
    spec.loader.exec_module(plain)
    assert not plain.COMPILED
    random = np.random.default_rng(2)
    for loops, width, rank in itertools.product((plain, penalty_loops), (1, 3, 4), (1, 3)):
        x, basis = random.normal(size=(20, width)), random.normal(size=(20, rank))
        labels, sums = random.integers(0, rank, 20).astype(np.int32), np.zeros((rank, width))
        one_hot, left, inside = np.eye(rank)[labels], np.empty_like(x), np.zeros((rank, width))
        assert loops.cluster_sums(x, labels, sums) == pytest.approx((x * x).sum())
        assert np.allclose(sums, one_hot.T @ x)
        loops.off_means(x, labels, sums, 0.5, left)
        assert np.allclose(left, 0.5 * (x - one_hot @ sums))
        assert loops.projected(x, basis, inside) == pytest.approx((x * x).sum())
        assert np.allclose(inside, basis.T @ x)
        loops.off_basis(x, basis, inside, 3.0, left)
        assert np.allclose(left, 3.0 * (x - basis @ inside))
