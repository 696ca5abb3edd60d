"""Sharing whole models after training: by hand, every kind of layer, what users of palettizers reported as bugs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from energysim.clustering.share import share
from energysim.clustering.weights import to_dense, to_tensor, to_tensors, weights_of
from energysim.compressed.file import read_compressed, write_compressed
from energysim.compressed.model import Clustered, CompressedModel, Dense
from energysim.compressed.size import size_report
from energysim.errors import InputError


class Tied(nn.Module):
    """A language model's usual tie: the last layer's weight is the embedding's."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(20, 6)
        self.middle = nn.Linear(6, 6)
        self.norm = nn.LayerNorm(6)
        self.out = nn.Linear(6, 20, bias=False)
        self.out.weight = self.words.weight


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.Flatten(),
        nn.Linear(8, 5),
    )


def restored(model: CompressedModel, name: str) -> torch.Tensor:
    return to_tensor(model.state()[name])


def test_by_hand() -> None:
    # Rows of a 1x2 kernel: two near (0, 0), two near (1, 1): METHODS 2's worked example, centroids (.1, 0), (1.1, 1).
    conv = nn.Conv2d(2, 2, (1, 2), bias=False)
    rows = torch.tensor([[0.0, 0.0], [0.2, 0.0], [1.0, 1.0], [1.2, 1.0]])
    conv.weight = nn.Parameter(rows.reshape(2, 2, 1, 2))
    model = share(conv, "rows:K=2")
    expected = torch.tensor([[0.1, 0.0], [0.1, 0.0], [1.1, 1.0], [1.1, 1.0]]).reshape(2, 2, 1, 2)
    torch.testing.assert_close(restored(model, "weight"), expected)
    (line,) = model.report
    # SSE 0.04 over 8 values; sum of squares 0.04 + 1 + 1 + 1.44 + 1 = 4.48: SQNR 10 log10(112) = 20.49 dB
    assert line.mse == pytest.approx(0.04 / 8, rel=1e-5)
    assert line.sqnr_db == pytest.approx(20.492, abs=1e-3)
    # w.w' = .1*.2 + (1 + 1.2) * 1.1 + 2 = 4.44, |w'|^2 = 2*.01 + 2*(1.21 + 1) = 4.44
    assert line.cosine == pytest.approx(4.44 / (4.48 * 4.44) ** 0.5, rel=1e-6)
    assert (line.samples, line.clusters, line.length, line.index_bits, line.entropy_bits) == (4, 2, 2, 1, 1.0)
    assert line.distinct_values == 4


def test_state_is_bit_for_bit_that_of_the_file(tmp_path: Path) -> None:
    model = network()
    made = share(model, "dkm:2/2")
    write_compressed(tmp_path / "f", made)
    loaded = to_tensors(read_compressed(tmp_path / "f").state())
    again = network(1)
    again.load_state_dict(loaded)
    before, after = to_tensors(made.state()), again.state_dict()
    assert before.keys() == after.keys() == model.state_dict().keys()
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name]), name
    unshared = ("0.bias", "1.weight", "1.running_mean", "1.num_batches_tracked")
    assert all(torch.equal(after[name], model.state_dict()[name]) for name in unshared)


def test_same_seed_same_bits_and_another_seed_may_differ() -> None:
    files = [share(network(), f"filters:K=3,seed={seed}") for seed in (0, 0, 5)]
    codebooks = [dict(model.clustered())["0.weight"].codebooks for model in files]
    assert codebooks[0].tobytes() == codebooks[1].tobytes()


def test_inputs_are_never_mutated() -> None:
    model = network()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    share(model, "dkm:2/2")
    share(model, "deepk:rate=0.2")
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert model.training


def test_kinds_and_coverage() -> None:
    model = share(network(), "rows:K=4")
    kinds = {name: tensor.kind for name, tensor in model.tensors.items()}
    assert kinds == {
        "0.weight": "convolution",
        "0.bias": "bias",
        "1.weight": "normalisation",
        "1.bias": "normalisation",
        "1.running_mean": "normalisation",
        "1.running_var": "normalisation",
        "1.num_batches_tracked": "other",
        "3.weight": "convolution",
        "3.bias": "bias",
        "5.weight": "linear",
        "5.bias": "bias",
    }
    assert model.notes == ("not shared: 5.weight",)
    covered, of, _ = size_report(model).coverage()
    assert (covered, of) == (2, 3)


def test_tied_weights_are_shared_once(tmp_path: Path) -> None:
    model = Tied()
    made = share(model, "scalars:K=4")
    assert [name for name, _ in made.clustered()] == ["words.weight", "middle.weight"]
    assert made.ties == {"out.weight": "words.weight"}
    write_compressed(tmp_path / "f", made)
    state = to_tensors(read_compressed(tmp_path / "f").state())
    assert state["out.weight"] is state["words.weight"]
    Tied().load_state_dict(state)
    sizes = [row.name for row in size_report(made).rows]
    assert "out.weight" not in sizes


def test_a_weight_tied_to_a_bare_parameter_is_still_shared() -> None:
    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bare = nn.Parameter(torch.randn(6, 6))
            self.inner = nn.Linear(6, 6, bias=False)
            self.inner.weight = self.bare

    made = share(Bare(), "scalars:K=4")
    assert made.ties == {"bare": "inner.weight"}
    assert [name for name, _ in made.clustered()] == ["inner.weight"]


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv1d(4, 6, 5),
        nn.Conv2d(4, 6, 3, groups=2),
        nn.Conv3d(2, 3, 3),
        nn.Conv2d(8, 8, 1),
        nn.Linear(7, 9),
        nn.Embedding(11, 5),
        nn.EmbeddingBag(11, 5),
        nn.ConvTranspose1d(4, 6, 3),
        nn.ConvTranspose2d(4, 6, 3, groups=2),
        nn.ConvTranspose3d(2, 3, 2),
    ],
    ids=lambda layer: type(layer).__name__,
)
@pytest.mark.parametrize("recipe", ["rows:K=5", "slices:K=3", "filters:K=2", "scalars:K=6", "dkm:2/4"])
def test_every_kind_of_layer_and_granularity(layer: nn.Module, recipe: str) -> None:
    kind = weights_of(layer)[0].kind
    if kind != "convolution" and recipe.startswith(("rows", "slices", "filters")):
        with pytest.raises(InputError, match=f"recipe '{recipe}' shares none of the 1 weights of"):
            share(layer, recipe)
        return
    made = share(layer, recipe)
    ((name, tensor),) = made.clustered()
    weight = layer.get_parameter(name)
    assert restored(made, name).shape == weight.shape
    # Every sample of the snapped weight is a row of the codebook: k of them at most.
    samples = tensor.granularity.samples(restored(made, name))
    assert len(torch.unique(samples, dim=0)) <= tensor.clusters * 2  # a remainder's overlap may add one
    assert made.report[0].mse < float(weight.detach().square().mean())


def test_transposed_convolution_filters_are_its_output_channels() -> None:
    layer = nn.ConvTranspose2d(3, 4, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.arange(4.0).remainder(2)[None, :, None, None].expand_as(layer.weight))
    made = share(layer, "filters:K=2")
    assert torch.equal(restored(made, "weight"), layer.weight)


def test_multi_head_attention() -> None:
    # All of its weights: the three input projections in one, and the output projection.
    made = share(nn.MultiheadAttention(8, 2), "scalars:K=16")
    assert [name for name, _ in made.clustered()] == ["in_proj_weight", "out_proj.weight"]
    apart = share(nn.MultiheadAttention(8, 2, kdim=4, vdim=6), "scalars:K=16")
    assert [name for name, _ in apart.clustered()] == [
        *("q_proj_weight", "k_proj_weight", "v_proj_weight"),
        "out_proj.weight",
    ]


def test_apple_coremltools_2716_4_bits_keep_the_direction() -> None:
    # There a 4-bit result had a cosine of 0.03 with its weight; of a normal distribution 16 levels keep 0.99.
    torch.manual_seed(0)
    made = share(nn.Linear(64, 64), "scalars:bits=4")
    assert made.report[0].cosine is not None
    assert made.report[0].cosine > 0.99


def test_apple_coremltools_2777_what_is_skipped_is_not_changed() -> None:
    model = network()
    made = share(model, {"method": "kmeans", "default": {"bits": 1}, "layers": {"3": "skip"}})
    assert torch.equal(restored(made, "3.weight"), model.state_dict()["3.weight"])
    assert made.notes == ("not shared: 3.weight",)


def test_fewer_distinct_samples_than_clusters_are_said_not_silently_left_alone() -> None:
    layer = nn.Linear(3, 3, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 2, 1], [1, 2, 3], [3, 3, 3]]))
    made = share(layer, "scalars:K=16")
    assert torch.equal(restored(made, "weight"), layer.weight)
    assert made.report[0].notes == ("16 centroids asked, 3 distinct samples: fewer kept",)
    assert (made.report[0].clusters, made.report[0].sqnr_db, made.report[0].mse) == (3, None, 0)


HALF_MAXIMUM = torch.finfo(torch.float16).max


@pytest.mark.parametrize(
    "values",
    [
        torch.zeros(64),
        torch.full((64,), 0.3),
        torch.cat([torch.full((63,), 1e-3), torch.tensor([1e6])]),
        torch.linspace(-1, 1, 64) * 1e-40,
        torch.linspace(-HALF_MAXIMUM, HALF_MAXIMUM, 64).half(),
        torch.randn(64).bfloat16(),
        torch.randn(64, dtype=torch.float64),
        torch.tensor([0.0, -0.0] * 32),
    ],
    ids=["zeros", "constant", "one outlier", "denormal", "fp16 maximum", "bf16", "f64", "signed zeros"],
)
@pytest.mark.parametrize("recipe", ["scalars:K=4", "dkm:2/4"])
def test_apple_coremltools_2698_odd_values_stay_finite(values: torch.Tensor, recipe: str, tmp_path: Path) -> None:
    layer = nn.Linear(8, 8, bias=False, dtype=values.dtype)
    layer.weight = nn.Parameter(values.reshape(8, 8))
    made = share(layer, recipe)
    write_compressed(tmp_path / "f", made)
    back = to_tensors(read_compressed(tmp_path / "f").state())["weight"]
    assert back.dtype == values.dtype
    assert torch.isfinite(back).all()
    assert np.isfinite(made.report[0].mse)
    if len(values.unique()) < 3:
        assert torch.equal(back, layer.weight)


@pytest.mark.parametrize("exponent", [-1060, -600, -100, 200])
def test_errors_of_doubles_of_any_magnitude(exponent: int) -> None:
    generator = torch.Generator().manual_seed(0)
    ordinary, scaled = nn.Linear(8, 8, dtype=torch.float64), nn.Linear(8, 8, dtype=torch.float64)
    ordinary.weight = nn.Parameter(torch.randn(8, 8, dtype=torch.float64, generator=generator))
    scaled.weight = nn.Parameter(
        torch.ldexp(
            torch.ldexp(ordinary.weight.detach(), torch.tensor(exponent // 2)), torch.tensor(exponent - exponent // 2)
        )
    )
    one, other = (share(layer, "scalars:K=4").report[0] for layer in (ordinary, scaled))
    assert other.sqnr_db == pytest.approx(one.sqnr_db, rel=1e-3)
    assert other.cosine == pytest.approx(one.cosine, rel=1e-4)
    with torch.no_grad():
        scaled.weight[0, 0] = 1e200
    with pytest.raises(InputError, match=r"weight 'weight': values beyond 1e\+150 have no squares"):
        share(scaled, "scalars:K=4")


def test_per_channel_scale(tmp_path: Path) -> None:
    # Channels of one shape and very different size: with a scale each, two centroids are enough.
    layer = nn.Linear(2, 3, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -1], [100, -100], [0, 0]]))
    made = share(layer, {"default": {"bits": 2, "per_channel_scale": True}})
    write_compressed(tmp_path / "f", made)
    assert torch.equal(to_tensors(read_compressed(tmp_path / "f").state())["weight"], layer.weight)
    tensor = dict(made.clustered())["weight"]
    assert tensor.scale is not None
    assert tensor.scale.tolist() == [1, 100, 1]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_per_channel_scale_in_every_precision(dtype: torch.dtype, tmp_path: Path) -> None:
    layer = nn.Linear(64, 8, bias=False, dtype=dtype)
    with torch.no_grad():
        layer.weight.copy_(
            torch.randn(8, 64, generator=torch.Generator().manual_seed(0)) * torch.logspace(-3, 1, 8)[:, None]
        )
    made = share(layer, {"default": {"bits": 4, "per_channel_scale": True}})
    write_compressed(tmp_path / "f", made)
    again = to_tensors(read_compressed(tmp_path / "f").state())["weight"]
    tensor = dict(made.clustered())["weight"]
    assert again.dtype == dtype
    # What torch makes of centroid times scale, rounded once.
    book = to_tensors({"b": Dense(tensor.codebooks, tensor.dtype)})["b"][0, :, 0]
    values = book.to(torch.promote_types(dtype, torch.float32))[
        torch.from_numpy(tensor.indices.astype(np.int64)).reshape(8, 64)
    ]
    wanted = (values * torch.from_numpy(tensor.scale)[:, None]).to(dtype)
    assert torch.equal(again, wanted)
    for was, now in zip(layer.weight.detach().double(), again.double(), strict=True):
        assert float(torch.nn.functional.cosine_similarity(was, now, dim=0)) > 0.98


def test_codebooks_for_groups_of_channels() -> None:
    layer = nn.Linear(2, 4, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 2], [2, 1], [3, 4], [4, 3]]))
    made = share(layer, {"default": {"bits": 1, "channels_per_codebook": 2}})
    assert torch.equal(restored(made, "weight"), layer.weight)
    assert dict(made.clustered())["weight"].codebooks.shape == (2, 2, 1)
    with pytest.raises(InputError, match="weight 'weight': 4 output channels do not divide into groups of 3"):
        share(layer, {"default": {"bits": 1, "channels_per_codebook": 3}})


def test_zero_share_gives_exact_zeros() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 8, 3, bias=False)
    made = share(layer, {"convolution": {"granularity": "row", "clusters": 8, "zero_share": 0.5}})
    rows = restored(made, "weight").reshape(-1, 3)
    norms = layer.weight.detach().reshape(-1, 3).norm(dim=1)
    gone = norms.argsort(stable=True)[: 96 // 2]
    assert not rows[gone].any()
    assert int((rows == 0).all(1).sum()) == 48
    ((_, tensor),) = made.clustered()
    assert (tensor.clusters, tensor.zero) == (8, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.fill_(float("nan")), "weight '0.weight': 216 of 216 values are NaN or infinite"),
        (lambda w: w.view(-1)[3:5].fill_(float("inf")), "weight '0.weight': 2 of 216 values are NaN or infinite"),
    ],
)
def test_not_finite(change: Any, message: str) -> None:
    model = network()
    with torch.no_grad():
        change(model[0].weight)
    with pytest.raises(InputError, match=message):
        share(model, "rows:K=4")


def test_tensors_that_cannot_be_shared() -> None:
    with pytest.raises(InputError, match="'weight' is on the meta device and has no values"):
        share(nn.Linear(4, 4, device="meta"), "scalars:K=2")
    model = nn.Linear(4, 4)
    model.weight = nn.Parameter(torch.ones(4, 4, dtype=torch.int32), requires_grad=False)
    with pytest.raises(InputError, match="weight 'weight' is I32; only F64, F32, F16, BF16 can be shared"):
        share(model, "scalars:K=2")
    model.weight = nn.Parameter(torch.eye(4).to_sparse(), requires_grad=False)
    with pytest.raises(InputError, match=r"'weight' is sparse \(torch.sparse_coo\); make it dense first"):
        share(model, "scalars:K=2")
    with pytest.raises(InputError, match="model 'ReLU' has no convolution, linear or embedding weights"):
        share(nn.ReLU(), "scalars:K=2")


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_zero_sized_layers_stay() -> None:
    made = share(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 0)), "scalars:K=2")
    assert made.state()["1.weight"].shape == (0, 4)
    assert made.notes == ("not shared: 1.weight",)


def test_extra_state_that_is_no_tensor() -> None:
    class Extra(nn.Linear):
        def get_extra_state(self) -> dict[str, int]:
            return {"steps": 3}

        def set_extra_state(self, state: dict[str, int]) -> None:
            pass

    with pytest.raises(InputError, match="'_extra_state' is a dict; a compressed model holds tensors only"):
        share(Extra(4, 4), "scalars:K=2")


def test_foreign_parametrizations_are_kept_as_they_are() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)))
    made = share(model, "scalars:K=2")
    assert made.state().keys() == model.state_dict().keys()
    assert made.notes == ("not shared: 1.weight",)


def test_patterns_that_match_no_layer() -> None:
    with pytest.raises(InputError, match=r"no layer with a weight matches 'features\.\*'"):
        share(network(), {"default": {"bits": 2}, "layers": {"features.*": "skip"}})


def test_progress() -> None:
    seen: list[tuple[int, int]] = []
    share(network(), "scalars:K=2", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float8_e4m3fn, torch.int16, torch.bool])
def test_tensors_travel_bit_for_bit(dtype: torch.dtype) -> None:
    tensor = torch.arange(-3, 5).to(dtype).reshape(2, 4)
    back = to_tensor(to_dense("t", tensor))
    assert back.dtype == dtype
    assert torch.equal(back.view(torch.uint8), tensor.view(torch.uint8))
    strided = torch.arange(6.0).reshape(2, 3).t()
    assert torch.equal(to_tensor(to_dense("t", strided)), strided)


def test_clustered_by_a_recipe_is_what_the_size_report_counts() -> None:
    made = share(network(), "dkm:2/2")
    assert all(isinstance(t, Clustered) for _, t in made.clustered())
    report = size_report(made)
    # 0.weight: 216 weights in 108 pairs of 2 bits; 3.weight 72 in 36; 5.weight 40 in 20.
    assert report.totals_bits()["indices, fixed length"] == (108 + 36 + 20) * 2
    assert report.totals_bits()["codebooks"] == 3 * 4 * 2 * 32


def test_vectors_along_output_channels() -> None:
    layer = nn.Linear(3, 4, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 5, 1], [2, 6, 2], [5, 1, 5], [6, 2, 6]]))
    made = share(layer, {"default": {"bits": 1, "dim": 2, "vector_axis": 0}})
    assert torch.equal(restored(made, "weight"), layer.weight)  # pairs down: (1, 2) and (5, 6)
    assert made.report[0].samples == 6


def test_subhadarship_kmeans_pytorch_3_resnet18_weights_give_no_nan() -> None:
    # There the centre shift became NaN: a cluster lost all its samples. Many more clusters than natural groups do that.
    torch.manual_seed(0)
    layer = nn.Conv2d(64, 64, 3)
    with torch.no_grad():
        layer.weight.mul_((torch.rand_like(layer.weight) < 0.05).float())
    made = share(layer, "rows:K=512")
    assert torch.isfinite(restored(made, "weight")).all()
    tensor = dict(made.clustered())["weight"]
    assert np.isfinite(tensor.codebooks).all()
    assert len(np.unique(tensor.indices)) == tensor.clusters
