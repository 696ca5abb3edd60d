"""Training with shared weights: the loop stays the user's, resumption is exact, finalized is what was evaluated."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from energysim.clustering.prepare import finalize, prepare, regulariser_of
from energysim.clustering.share import share
from energysim.clustering.weights import to_tensors
from energysim.compressed.file import read_compressed, write_compressed
from energysim.errors import InputError
from tests.clustering.test_share import Tied, network

RECIPES = ["dkm:2/2,temperature=1e-2", "dkm:3/1", "rows:K=6", "scalars:K=4"]


def steps(model: nn.Module, optimiser: torch.optim.Optimizer, seeds: range) -> None:
    """A step of training for each seed, on random images of size 5 x 5."""
    model.train()
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        images = torch.randn(4, 3, 5, 5, generator=generator)
        labels = torch.randint(5, (4,), generator=generator)
        optimiser.zero_grad()
        functional.cross_entropy(model(images), labels).backward()
        optimiser.step()


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)


@pytest.mark.parametrize("recipe", RECIPES)
def test_finalized_is_what_the_prepared_model_evaluates(recipe: str, tmp_path: Path) -> None:
    model = network()
    before = copy.deepcopy(model.state_dict())
    prepared = prepare(model, recipe)
    steps(prepared, sgd(prepared), range(3))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    prepared.eval()
    images = torch.randn(2, 3, 5, 5)
    expected = prepared(images)
    write_compressed(tmp_path / "f", finalize(prepared))
    loaded = to_tensors(read_compressed(tmp_path / "f").state())
    assert loaded.keys() == before.keys()
    plain = network(1)
    plain.load_state_dict(loaded)
    assert torch.equal(plain.eval()(images), expected)
    shared = {name for name, tensor in loaded.items() if name.endswith("weight") and tensor.ndim > 1}
    for name in shared & {line.name for line in finalize(prepared).report}:
        assert not torch.equal(loaded[name], before[name])


@pytest.mark.parametrize("recipe", RECIPES)
def test_resumption_is_exact(recipe: str, tmp_path: Path) -> None:
    straight = prepare(network(), recipe)
    optimiser = sgd(straight)
    steps(straight, optimiser, range(2))
    torch.save({"model": straight.state_dict(), "optimiser": optimiser.state_dict()}, tmp_path / "checkpoint")
    steps(straight, optimiser, range(2, 5))

    resumed = prepare(network(), recipe)
    optimiser = sgd(resumed)
    saved = torch.load(tmp_path / "checkpoint", weights_only=True)
    resumed.load_state_dict(saved["model"])
    optimiser.load_state_dict(saved["optimiser"])
    steps(resumed, optimiser, range(2, 5))

    write_compressed(tmp_path / "straight", finalize(straight))
    write_compressed(tmp_path / "resumed", finalize(resumed))
    assert (tmp_path / "straight").read_bytes() == (tmp_path / "resumed").read_bytes()


def test_training_reaches_the_weights_through_dkm() -> None:
    prepared = prepare(network(), "dkm:2/1,temperature=1e-3")
    original = prepared.get_parameter("0.parametrizations.weight.original")
    images = torch.randn(4, 3, 5, 5)
    prepared(images).square().sum().backward()
    assert original.grad is not None
    assert original.grad.abs().sum() > 0


def test_codebooks_are_trained_and_zeros_stay_zero() -> None:
    recipe = {"convolution": {"granularity": "row", "clusters": 5, "zero_share": 0.5}}
    prepared = prepare(network(), recipe)
    start = finalize(prepared)
    assert {name: tensor.values.shape for name, tensor in start.state().items()} == {
        name: tuple(tensor.shape) for name, tensor in network().state_dict().items()
    }
    steps(prepared, sgd(prepared), range(3))
    trained = finalize(prepared)
    for (name, first), (_, last) in zip(start.clustered(), trained.clustered(), strict=True):
        assert (first.indices == last.indices).all(), name
        assert (first.codebooks != last.codebooks)[0, 1:].all()
        assert not last.codebooks[0, 0].any()
        assert last.zero == 0
    # The number of parameters that train is that of the codebooks: 5 rows of 3 in each convolution.
    assert prepared.get_parameter("0.parametrizations.weight.original").shape == (1, 5, 3)


def test_a_centroid_moves_by_the_mean_of_its_samples() -> None:
    # Clusters of two weights and of one; inputs of 1 make every weight's gradient 1: SGD at 0.1 moves both by 0.1.
    layer = nn.Linear(3, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 1.2, 5.0]]))
    prepared = prepare(layer, "scalars:K=2")
    optimiser = torch.optim.SGD(prepared.parameters(), 0.1)
    prepared(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    codebook = prepared.get_parameter("parametrizations.weight.original").detach().flatten()
    torch.testing.assert_close(codebook, torch.tensor([1.0, 4.9]))


def test_prepared_without_training_is_what_share_gives() -> None:
    assert _state(finalize(prepare(network(), "rows:K=6"))) == _state(share(network(), "rows:K=6"))


def _state(model: object) -> dict[str, bytes]:
    return {name: tensor.values.tobytes() for name, tensor in model.state().items()}  # type: ignore[attr-defined]


def test_deep_k_means_leaves_weights_alone_until_it_is_finalized() -> None:
    prepared = prepare(network(), "deepk:rate=0.1")
    steps(prepared, sgd(prepared), range(2))
    with pytest.raises(InputError, match="the model has not been prepared; give the recipe"):
        finalize(prepared)
    made = finalize(prepared, "deepk:rate=0.1")
    assert [name for name, _ in made.clustered()] == ["0.weight", "3.weight"]
    assert made.recipe["method"] == "deepk"
    assert _state(made) == _state(share(prepared, "deepk:rate=0.1"))


def test_regulariser_of_a_recipe() -> None:
    model = prepare(network(), "deepk:rate=0.1,variant=hard,strength=0.5")
    regulariser = regulariser_of(model, "deepk:rate=0.1,variant=hard,strength=0.5")
    # 8*3*3 = 72 rows, K = 7; the second convolution 8*1*3 = 24, K = 2.
    assert regulariser.clusters == {"0.weight": 7, "3.weight": 2}
    assert (regulariser.variant, regulariser.strength, regulariser.every) == ("hard", 0.5, 5)
    regulariser.refresh(0)
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    before = float(regulariser(model).detach())
    for _ in range(20):
        optimiser.zero_grad()
        regulariser(model).backward()
        optimiser.step()
    assert float(regulariser(model).detach()) < before / 2
    with pytest.raises(InputError, match="recipe 'rows:K=4' is of method kmeans; only deepk has a regulariser"):
        regulariser_of(model, "rows:K=4")
    grouped = {"method": "deepk", "convolution": {"bits": 1, "granularity": "row", "channels_per_codebook": 2}}
    with pytest.raises(InputError, match=r"weight '0\.weight': the regulariser takes no groups"):
        regulariser_of(model, grouped)


@pytest.mark.parametrize("recipe", ["dkm:2/1,temperature=1e-2", "scalars:K=5"])
def test_tied_weights_stay_tied(recipe: str, tmp_path: Path) -> None:
    prepared = prepare(Tied(), recipe)
    optimiser = sgd(prepared)
    words = torch.tensor([1, 5, 7])
    for _ in range(2):
        optimiser.zero_grad()
        hidden = prepared.get_submodule("norm")(
            prepared.get_submodule("middle")(prepared.get_submodule("words")(words))
        )
        functional.cross_entropy(prepared.get_submodule("out")(hidden), words).backward()
        optimiser.step()
    assert len(list(prepared.parameters())) == len(list(Tied().parameters()))
    prepared.eval()
    assert torch.equal(prepared.get_submodule("words").weight, prepared.get_submodule("out").weight)  # type: ignore[arg-type]
    made = finalize(prepared)
    assert made.ties == {"out.weight": "words.weight"}
    write_compressed(tmp_path / "f", made)
    again = Tied()
    again.load_state_dict(to_tensors(read_compressed(tmp_path / "f").state()))
    assert torch.equal(again.words.weight, prepared.get_submodule("words").weight)  # type: ignore[arg-type]


def _centroids(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items() if name.endswith("centroids")}


class Apart(nn.Module):
    """`Tied`, whose one weight is used once in what it is asked for: the oracle of how its centroids move."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(20, 6)


@pytest.mark.parametrize("mode", ["dkm", "gumbel"])
def test_a_tied_weight_moves_its_centroids_once_a_step(mode: str) -> None:
    torch.manual_seed(0)
    tied, once = Tied(), Apart()
    once.words.weight = nn.Parameter(tied.words.weight.detach().clone())
    recipe = {"method": "dkm", "embedding": {"bits": 2, "dim": 1, "temperature": 1e-2, "mode": mode}}
    both, single = prepare(tied, recipe), prepare(once, recipe)
    for step in range(3):
        into, out = both.get_submodule("words").weight, both.get_submodule("out").weight
        alone = single.get_submodule("words").weight
        assert isinstance(into, torch.Tensor)
        assert isinstance(out, torch.Tensor)
        assert torch.equal(into, out)
        torch.testing.assert_close(into, alone, rtol=1e-4, atol=1e-4)
        upstream = torch.randn(into.shape, generator=torch.Generator().manual_seed(step))
        (into * upstream + out * out).sum().backward()
        (alone * upstream + alone * alone).sum().backward()
        for model in (both, single):
            weight = model.get_parameter("words.parametrizations.weight.original")
            assert weight.grad is not None
            with torch.no_grad():
                weight -= 0.1 * weight.grad
        first, second = (model.get_parameter("words.parametrizations.weight.original").grad for model in (both, single))
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-4)
        for model in (both, single):
            model.zero_grad()
    moved, expected = _centroids(both), _centroids(single)
    torch.testing.assert_close(
        moved["words.parametrizations.weight.0.parts.0.centroids"], *expected.values(), rtol=1e-4, atol=1e-4
    )


def test_batches_before_a_step_and_checkpointed_activations_see_one_soft_weight() -> None:
    from torch.utils.checkpoint import checkpoint

    plain, again = (prepare(network(), "dkm:2/1,temperature=1e-2") for _ in range(2))
    images = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    for _ in range(2):
        for half in images.split(1):
            plain(half).square().sum().backward()
            checkpoint(again, half, use_reentrant=False).square().sum().backward()
        for (name, one), (_, other) in zip(plain.named_parameters(), again.named_parameters(), strict=True):
            assert torch.equal(one.grad, other.grad), name  # type: ignore[arg-type]
        before = _centroids(plain)
        for model in (plain, again):
            sgd(model).step()
            model.zero_grad()
    plain(images)
    assert all(not torch.equal(before[name], tensor) for name, tensor in _centroids(plain).items())


def test_a_weight_that_sums_to_nothing_is_no_weight_seen_before() -> None:
    layer = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -1.0], [2.0, -2.0]]))
    prepared = prepare(layer, "dkm:2/1,temperature=1e-3").eval()
    prepared(torch.ones(1, 2))
    prepared.train()
    torch.testing.assert_close(prepared.weight, layer.weight)  # four values, four centroids


# torch's own tracing instantiates an autograd function, and warns of itself.
@pytest.mark.filterwarnings("ignore:<class 'torch.autograd.function.Function'>:DeprecationWarning")
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_compiled_model_trains_as_the_plain_one(recipe: str) -> None:
    plain, other = (prepare(network(), recipe) for _ in range(2))
    compiled = torch.compile(other, backend="eager")
    images = torch.randn(4, 3, 5, 5)
    for model in (plain, compiled):
        for _ in range(2):
            model(images).square().sum().backward()
    for (name, one), (_, two) in zip(plain.named_parameters(), other.named_parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad, rtol=0, atol=0, msg=name)
    assert all(torch.equal(one, two) for one, two in zip(plain.buffers(), other.buffers(), strict=True))


def test_attention_trains_through_its_projections() -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    prepared = prepare(layer, "dkm:2/1,temperature=1e-2")
    prepared(torch.randn(2, 3, 8)).square().mean().backward()
    assert prepared.get_parameter("self_attn.parametrizations.in_proj_weight.original").grad is not None
    names = [name for name, _ in finalize(prepared).clustered()]
    assert set(names) == {"self_attn.in_proj_weight", "self_attn.out_proj.weight", "linear1.weight", "linear2.weight"}


@pytest.mark.parametrize(
    "recipe",
    [
        {"method": "dkm", "default": {"bits": 2, "dim": 1, "per_channel_scale": True, "temperature": 0.01}},
        {"method": "dkm", "default": {"bits": 1, "dim": 2, "channels_per_codebook": 4, "temperature": 0.01}},
        {"method": "dkm", "default": {"bits": 1, "dim": 2, "vector_axis": 0, "temperature": 0.01}},
        {"method": "dkm", "default": {"bits": 2, "granularity": "row", "temperature": 0.01}},
        {"method": "kmeans", "default": {"bits": 1, "dim": 2, "channels_per_codebook": 4, "vector_axis": 0}},
        {"global_config": {"n_bits": 2, "cluster_dim": 2, "weight_threshold": 10}},
    ],
)
def test_scales_blocks_and_axes_survive_training(recipe: dict[str, object]) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ConvTranspose2d(8, 4, 3), nn.Flatten(), nn.Linear(100, 8))
    prepared = prepare(model, recipe)
    optimiser = sgd(prepared)
    for _ in range(2):
        optimiser.zero_grad()
        prepared(torch.randn(2, 3, 5, 5)).square().mean().backward()
        optimiser.step()
    prepared.eval()
    made = to_tensors(finalize(prepared).state())
    for place in ("0", "1", "3"):
        layer = prepared.get_submodule(place)
        torch.testing.assert_close(made[f"{place}.weight"], layer.weight, rtol=0, atol=0)  # type: ignore[arg-type]


def test_prepare_refuses() -> None:
    with pytest.raises(InputError, match="the model has been prepared already"):
        prepare(prepare(network(), "dkm:2/1"), "dkm:2/1")
    with pytest.raises(InputError, match=r"weight '0\.weight': 5 bits, dim 8 has no published temperature"):
        prepare(network(), "dkm:5/8")
    with pytest.raises(InputError, match=r"weight '0\.weight': DKM needs `bits`"):
        prepare(network(), {"method": "dkm", "default": {"clusters": 5}})
    with pytest.raises(InputError, match="shares none of the 3 weights of 'Sequential'"):
        prepare(network(), {"embedding": {"bits": 2}})
    model = network()
    with torch.no_grad():
        model[0].weight.fill_(float("nan"))
    with pytest.raises(InputError, match=r"weight '0\.weight': 216 of 216 values are NaN"):
        prepare(model, "dkm:2/1")


def test_finalize_does_not_move_the_centroids() -> None:
    prepared = prepare(network(), "dkm:2/1,temperature=1e-2")
    steps(prepared, sgd(prepared), range(1))
    before = copy.deepcopy(prepared.state_dict())
    assert _state(finalize(prepared)) == _state(finalize(prepared))
    assert all(torch.equal(before[name], tensor) for name, tensor in prepared.state_dict().items())
    assert prepared.training


def test_in_place() -> None:
    model = network()
    assert prepare(model, "dkm:2/1", inplace=True) is model
    assert "0.parametrizations.weight.original" in model.state_dict()
    broken = network()
    with torch.no_grad():
        broken[5].weight.fill_(float("nan"))
    before = list(broken.state_dict())
    with pytest.raises(InputError, match=r"weight '5\.weight'"):
        prepare(broken, "dkm:2/1", inplace=True)
    assert list(broken.state_dict()) == before
