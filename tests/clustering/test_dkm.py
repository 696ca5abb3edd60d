"""The DKM layer against a plain autograd reference, METHODS' worked example, and what users of others report."""

import pytest
import torch
from torch import Tensor

from energysim.clustering import dkm
from energysim.clustering.dkm import DKM
from energysim.clustering.soft_nodes import ROUNDING, distinct, grid, refined
from energysim.clustering.soft_scalars import SoftScalars, scalar_path
from energysim.clustering.soft_vectors import SoftVectors
from energysim.errors import InputError, UnknownNameError
from energysim.granularity import Granularity

WORKED = torch.tensor([-0.10, -0.08, 0.01, 0.02, 0.09, 0.11])


def plain(weights: Tensor, centroids: Tensor, temperature: float, iterations: int, epsilon: float = 0.0) -> Tensor:
    """DKM §3 as it is written, every matrix kept: soft weights (n, d)."""
    for _ in range(iterations):
        distances = -((weights[:, None] - centroids) ** 2).sum(dim=-1)
        shares = torch.softmax(distances / temperature, dim=1)
        moved = (shares.T @ weights) / shares.sum(dim=0)[:, None]
        shift = (moved - centroids).abs().max()
        centroids = moved
        if shift <= epsilon:
            break
    return shares @ centroids


def started(layer: DKM, centroids: Tensor) -> DKM:
    layer.centroids[: len(centroids)] = centroids
    layer.in_use.fill_(len(centroids))
    return layer


def test_worked_example() -> None:
    # METHODS §3, to its printed digits: five iterations from (-.05, .05) at tau = 2e-3.
    layer = started(DKM(1, temperature=2e-3, iterations=1, epsilon=0, seed=0), torch.tensor([[-0.05], [0.05]]))
    path = []
    for _ in range(5):
        soft = layer(WORKED)
        path.append([round(x, 4) for x in layer.centroids[:, 0].tolist()])
    assert path == [[-0.0732, 0.0623], [-0.0833, 0.0591], [-0.0874, 0.0581], [-0.0883, 0.0579], [-0.0885, 0.0578]]
    assert [round(x, 4) for x in soft.tolist()] == [-0.0885, -0.0885, 0.0543, 0.0570, 0.0578, 0.0578]
    whole = started(DKM(1, temperature=2e-3, epsilon=0, seed=0), torch.tensor([[-0.05], [0.05]]))
    assert torch.allclose(whole(WORKED), soft, atol=1e-7)
    assert [round(x, 4) for x in whole.centroids[:, 0].tolist()] == path[-1]


@pytest.mark.parametrize(("d", "k"), [(1, 2), (1, 5), (3, 4)])
@pytest.mark.parametrize("noise", [None, 7])
def test_gradients_of_vectors_are_exact(d: int, k: int, noise: int | None) -> None:
    generator = torch.Generator().manual_seed(d * k)
    samples = torch.randn(11, d, generator=generator, dtype=torch.float64, requires_grad=True)
    centroids = torch.randn(k, d, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda w: SoftVectors.apply(w, centroids, 0.5, 4, 0.0, noise)[0], samples)


def test_gradients_at_nodes_are_exact() -> None:
    # Distinct values in 64 bits: every weight is its own node, so that only the node's formulas are on trial.
    class Own:
        def __init__(self, weights: Tensor) -> None:
            self.places, self.mass, self.least_mass = weights.detach(), torch.ones_like(weights), 0.0

        def gathered(self, weights: Tensor, of_weights: Tensor) -> Tensor:
            return of_weights

        def read(self, weights: Tensor, tables: Tensor, out: Tensor, scale: Tensor | None = None) -> None:
            out.copy_(tables[0] if scale is None else tables[0] * scale + tables[1])

    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(9, generator=generator, dtype=torch.float64, requires_grad=True)
    centroids = torch.randn(4, generator=generator, dtype=torch.float64)

    def soft(w: Tensor) -> Tensor:
        found = scalar_path(Own(w), centroids, 0.5, 3, 0.0)  # type: ignore[arg-type]
        assert found is not None
        result: Tensor = SoftScalars.apply(w, Own(w), *found, 0.5)  # type: ignore[no-untyped-call]
        return result

    assert torch.autograd.gradcheck(soft, weights)


@pytest.mark.parametrize(
    ("bits", "dim", "temperature", "count", "scale"),
    [
        (4, 1, 5e-5, 20_000, 0.02),
        (2, 1, 1e-4, 20_000, 0.02),
        (3, 1, 2e-5, 30_000, 0.02),
        (6, 1, 1e-2, 5_000, 1.0),
        (4, 1, 5e-5, 300, 0.02),
        (4, 4, 5e-5, 2_000, 0.02),
        (3, 3, 1e-4, 1_000, 0.02),
    ],
)
def test_equal_to_plain_autograd(bits: int, dim: int, temperature: float, count: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(bits * dim)
    weight = (torch.randn(count, generator=generator) * scale).requires_grad_()
    upstream = torch.randn(count, generator=generator)
    layer = DKM(bits, dim, temperature=temperature, epsilon=0, seed=3)
    layer(weight)
    first = layer.centroids.clone()
    soft = layer(weight)
    weight.grad = None
    soft.backward(upstream)
    wanted, exact = by_plain(layer, weight.double(), first.double(), upstream)
    assert torch.allclose(soft.double(), wanted, rtol=0, atol=1e-5 * float(wanted.abs().max()))
    for size in (torch.linalg.norm, lambda x: x.abs().max()):
        assert float(size(weight.grad - exact)) < 1e-5 * float(size(exact))


def by_plain(layer: DKM, weight: Tensor, first: Tensor, upstream: Tensor) -> tuple[Tensor, Tensor]:
    """Soft weight and gradient of the reference."""
    weight = weight.detach().requires_grad_()
    samples = plain(layer.granularity.samples(weight), first, layer.temperature, layer.iterations)
    soft = layer.granularity.restore(samples, tuple(weight.shape))
    soft.backward(upstream.to(weight))
    assert weight.grad is not None
    return soft.detach(), weight.grad


def test_the_grid_is_taken_where_it_pays_and_its_error_is_below_rounding() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(100_000, generator=generator) * 0.02
    centroids = torch.linspace(-0.05, 0.05, 16)
    nodes = grid(weights, centroids, 5e-5)
    assert nodes is not None
    assert len(nodes.places) < len(weights) / 8
    assert float(nodes.mass.sum()) == pytest.approx(len(weights), rel=1e-12)
    assert float(nodes.mass @ nodes.places) == pytest.approx(float(weights.double().sum()), abs=1e-6)
    places = weights.double()
    for centroid in range(16):
        shares = torch.softmax(-((nodes.places - centroids.double()[:, None]) ** 2) / 5e-5, dim=0)[centroid]
        read = torch.empty_like(weights)
        nodes.read(weights, shares[None], read)
        exact = torch.softmax(-((places - centroids.double()[:, None]) ** 2) / 5e-5, dim=0)[centroid]
        assert float((read - exact).abs().max()) < 2**-22
    assert grid(weights[:100], centroids, 5e-5) is None
    assert grid(weights, centroids, 1e-30) is None


@pytest.mark.parametrize(
    ("k", "temperature", "spread"), [(3, 2e-4, 1.0), (6, 1e-4, 1.0), (5, 5e-5, 0.3), (2, 1e-3, 9.0)]
)
def test_a_refined_grid_follows_centroids_that_are_far_apart(k: int, temperature: float, spread: float) -> None:
    # Real weights reach far for their temperature: assignments change in zones a thousandth of the range wide.
    generator = torch.Generator().manual_seed(k)
    weights = torch.randn(150_000, generator=generator) ** 3 * 0.02 * spread
    centroids = torch.linspace(-0.4, 0.3, k, dtype=torch.float64).pow(3) * spread
    assert grid(weights, centroids.float(), temperature) is None
    nodes = refined(weights, centroids[None], temperature)
    assert nodes is not None
    assert len(nodes.places) < len(weights) / 8
    assert nodes.error(centroids[None], temperature) <= ROUNDING
    assert float(nodes.mass.sum()) == pytest.approx(len(weights), rel=1e-12)
    assert float(nodes.mass @ nodes.places) == pytest.approx(float(weights.double().sum()), abs=1e-6)
    at_nodes = torch.softmax(-((nodes.places - centroids[:, None]) ** 2) / temperature, dim=0)
    exact = torch.softmax(-((weights.double() - centroids[:, None]) ** 2) / temperature, dim=0)
    assert torch.allclose(at_nodes @ nodes.mass, exact.sum(dim=1), rtol=1e-6, atol=1e-6)
    read = torch.empty_like(weights)
    for centroid in range(k):
        nodes.read(weights, at_nodes[centroid, None], read)
        assert float((read - exact[centroid]).abs().max()) < 2**-22
    # Where it was not made for it says that it is too coarse.
    assert nodes.error(centroids[None] + 0.013 * spread, temperature) > ROUNDING or spread < 1


def test_centroids_that_travel_take_the_refined_grid_along(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(160_000, generator=generator) * 0.15
    weight[:2] = torch.tensor([-1.5, 1.5])
    upstream = torch.randn(len(weight), generator=generator)
    used = []
    monkeypatch.setattr(dkm, "refined", lambda *given: used.append(refined(*given)) or used[-1])
    layer = DKM(3, temperature=2e-4, epsilon=0, seed=0)
    layer(weight)
    first = layer.centroids[:, 0] + 0.01
    layer, used[:] = started(layer, first[:, None]), []
    soft = layer(weight.requires_grad_())
    soft.backward(upstream)
    assert len(used) > 1
    assert used[-1] is not None
    wanted, exact = by_plain(layer, weight.double(), first.double()[:, None], upstream)
    assert torch.allclose(soft.double(), wanted, rtol=0, atol=1e-6 * float(wanted.abs().max()))
    assert float(torch.linalg.norm(weight.grad - exact)) < 1e-6 * float(torch.linalg.norm(exact))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sixteen_bit_weights_go_by_their_distinct_values(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = (torch.randn(5_000, generator=generator) * 0.02).to(dtype).requires_grad_()
    upstream = torch.randn(5_000, generator=generator).to(dtype)
    nodes = distinct(weight.detach())
    assert sorted(set(weight.detach().double().tolist())) == sorted(set(nodes.places.tolist()))
    assert float(nodes.mass.sum()) == 5_000
    layer = DKM(3, temperature=1e-4, epsilon=0, seed=0)
    layer(weight.detach())
    first = layer.centroids.clone()
    soft = layer(weight)
    soft.backward(upstream)
    exact = weight.detach().double().requires_grad_()
    wanted = plain(exact[:, None], first.double(), 1e-4, 5)[:, 0]
    wanted.backward(upstream.double())
    step = torch.finfo(dtype).eps
    assert exact.grad is not None
    assert soft.dtype == weight.grad.dtype == dtype
    assert float((soft.detach().double() - wanted.detach()).abs().max()) <= step * float(wanted.detach().abs().max())
    assert float((weight.grad.double() - exact.grad).abs().max()) <= step * float(exact.grad.abs().max())


def test_it_stops_when_no_centroid_moves() -> None:
    far = started(DKM(1, temperature=2e-3, iterations=900, epsilon=1e-4, seed=0), torch.tensor([[-0.05], [0.05]]))
    soft = far(WORKED)
    # METHODS' fifth shift is 1.5e-4 and the sixth below 1e-4: five more would be the same within 1e-4.
    six = started(DKM(1, temperature=2e-3, iterations=6, epsilon=0, seed=0), torch.tensor([[-0.05], [0.05]]))
    assert torch.equal(soft, six(WORKED))


def test_centroids_are_carried_and_resumed() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(500, generator=generator)
    one = DKM(3, temperature=0.05, iterations=2, seed=1)
    one(weight)
    two = DKM(3, temperature=0.05, iterations=2, seed=99)
    two.load_state_dict(one.state_dict())
    assert torch.equal(one(weight), two(weight))
    assert torch.equal(one.centroids, two.centroids)


def test_rows_of_any_length_are_resumed() -> None:
    weight = torch.randn(6, 4, 3, 5, generator=torch.Generator().manual_seed(0))
    one = DKM(3, temperature=0.05, seed=1, granularity=Granularity("row"))
    one(weight)
    assert one.centroids.shape == (8, 5)
    two = DKM(3, temperature=0.05, seed=1, granularity=Granularity("row"))
    two.load_state_dict(one.state_dict())
    assert torch.equal(one(weight), two(weight))
    with pytest.raises(InputError, match="samples of length 3 do not fit the centroids kept, of length 5"):
        two(weight[..., :3])


def test_gumbel_is_seeded_and_resumed() -> None:
    weight = torch.randn(200, generator=torch.Generator().manual_seed(0))
    one, two = (DKM(2, temperature=0.05, mode="gumbel", seed=1) for _ in range(2))
    first = one(weight)
    assert torch.equal(first, two(weight))
    second = one(weight)
    assert not torch.equal(first, second)
    three = DKM(2, temperature=0.05, mode="gumbel", seed=1)
    three.load_state_dict(two.state_dict())
    assert torch.equal(three(weight), second)


def test_hard_mode_is_kmeans_with_gradients_through_the_means() -> None:
    # Clusters {-.1, -.08} and {.01, .02, .09, .11}: means -.09 and .0575; a weight's gradient is its share of a mean.
    weight = WORKED.clone().requires_grad_()
    layer = started(DKM(1, temperature=1, iterations=1, mode="hard", seed=0), torch.tensor([[-0.05], [0.05]]))
    soft = layer(weight)
    assert soft.tolist() == pytest.approx([-0.09] * 2 + [0.0575] * 4)
    soft.backward(torch.tensor([1.0, 2.0, 1.0, 1.0, 1.0, 5.0]))
    assert weight.grad is not None
    assert weight.grad.tolist() == pytest.approx([1.5] * 2 + [2.0] * 4)


def test_eval_snaps() -> None:
    layer = started(DKM(1, temperature=2e-3, seed=0), torch.tensor([[-0.05], [0.05]])).eval()
    hard = layer(WORKED)
    assert hard.tolist() == pytest.approx([-0.05, -0.05, 0.05, 0.05, 0.05, 0.05])
    snapped = layer.snap(WORKED)
    assert snapped.indices.tolist() == [0, 0, 1, 1, 1, 1]
    assert torch.equal(snapped.weight, snapped.centroids[snapped.indices][:, 0])
    assert torch.equal(layer(hard), hard)


@pytest.mark.parametrize("dim", [1, 4, 7])
@pytest.mark.parametrize("shape", [(6, 4, 3, 3), (7, 10), (6, 4, 5), (2, 2, 2, 3, 3)])
def test_shapes_come_back_and_inputs_are_not_touched(dim: int, shape: tuple[int, ...]) -> None:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0), requires_grad=True)
    before = weight.detach().clone()
    layer = DKM(2, dim, temperature=0.1, seed=0)
    soft = layer(weight)
    soft.sum().backward()
    assert soft.shape == shape
    assert weight.grad is not None
    assert bool(weight.grad.isfinite().all())
    layer.snap(weight)
    assert torch.equal(weight.detach(), before)


def test_torch_compile_leaves_the_layer_out_of_its_graphs() -> None:
    layer = DKM(2, temperature=0.1, seed=0)
    weight = torch.randn(64, generator=torch.Generator().manual_seed(0))
    layer(weight)
    twin = DKM(2, temperature=0.1, seed=0)
    twin.load_state_dict(layer.state_dict())
    compiled = torch.compile(lambda w: layer(w * 2).sum(), backend="eager")
    assert torch.equal(compiled(weight), twin(weight * 2).sum())


# Reports of users of other palettizers, as tests of this one.


def test_coremltools_2547_no_full_soft_assignment_is_kept() -> None:
    # Out of memory from n x k matrices: what autograd keeps here is the weight, not 16 or 48 times as much.
    for dim in (1, 4):
        weight = (torch.randn(20_000, generator=torch.Generator().manual_seed(0)) * 0.02).requires_grad_()
        kept = 0

        def count(tensor: Tensor) -> Tensor:
            nonlocal kept
            kept += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            DKM(4, dim, temperature=1e-4, seed=0)(weight).sum().backward()
        assert kept < 1.1 * weight.numel()


def test_coremltools_2698_no_nan_where_no_weight_is_near_a_centroid() -> None:
    weight = (torch.randn(300, generator=torch.Generator().manual_seed(0)) * 0.01).requires_grad_()
    for dim in (1, 3):
        far = torch.cat((torch.zeros(3, dim), torch.full((1, dim), 50.0)))
        far[:3] += torch.tensor([[-0.01], [0.0], [0.01]])
        layer = started(DKM(2, dim, temperature=1e-5, seed=0), far)
        soft = layer(weight)
        soft.sum().backward()
        assert bool(soft.isfinite().all() & weight.grad.isfinite().all())
        assert float(layer.centroids[3, 0]) == 50.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("dim", [1, 4])
@pytest.mark.parametrize("name", ["constant", "one outlier", "denormal", "fp16 maximum"])
def test_extreme_weights(name: str, dim: int, dtype: torch.dtype) -> None:
    weight = {
        "constant": torch.full((64,), 0.3),
        "one outlier": torch.cat((torch.full((63,), 0.01), torch.tensor([30_000.0]))),
        "denormal": torch.linspace(-6e-8, 6e-8, 64),
        "fp16 maximum": torch.linspace(-65_504, 65_504, 64),
    }[name].to(dtype)
    weight.requires_grad_()
    layer = DKM(2, dim, temperature=1e-4, seed=0)
    few = len(layer.granularity.samples(weight.detach()).unique(dim=0)) < 4
    if few:
        with pytest.warns(UserWarning, match="distinct samples"):
            soft = layer(weight)
    else:
        soft = layer(weight)
    soft.sum().backward()
    assert bool(soft.isfinite().all() & weight.grad.isfinite().all())
    if name in ("constant", "one outlier"):
        assert torch.allclose(layer.snap(weight).weight.float(), weight.float(), rtol=1e-2)


def test_bad_settings_and_weights() -> None:
    for settings in ({"bits": 0}, {"bits": 17}, {"dim": 0}, {"iterations": 0}, {"bits": True}):
        with pytest.raises(InputError, match="whole number"):
            DKM(**{"bits": 2, "temperature": 1.0, "seed": 0, **settings})
    for temperature in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="temperature must be above zero"):
            DKM(2, temperature=temperature, seed=0)
    with pytest.raises(UnknownNameError, match="did you mean 'gumbel'"):
        DKM(2, temperature=1.0, mode="gumble", seed=0)
    layer = DKM(2, temperature=1.0, seed=0)
    for weight, message in (
        (torch.tensor([1.0, float("nan"), 2.0]), "1 of 3 values are NaN or infinite"),
        (torch.tensor([1, 2, 3]), "must be floating point, not int64"),
        (torch.zeros(0, 3), "nothing to cluster"),
        (torch.zeros(3, device="meta"), "meta device"),
        (torch.eye(3).to_sparse(), "sparse"),
    ):
        with pytest.raises(InputError, match=message):
            layer(weight)
    assert int(layer.in_use) == 0
