"""Sharing and preparing whole networks: those of this package and a transformer of Hugging Face, small or cut down."""

import importlib
import tracemalloc
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from energysim.clustering.prepare import finalize, prepare
from energysim.clustering.share import share
from energysim.clustering.weights import to_tensors, weights_of
from energysim.compressed.file import read_compressed, write_compressed
from energysim.compressed.size import size_report
from energysim.workload.layer import Layer
from energysim.workload.read import read_model

NETWORKS = ("alexnet", "efficientnet_lite0", "googlenet", "mobilenet_v1", "mobilenet_v2", "resnet18", "resnet50")


def _elements(layer: Layer) -> int:
    return prod(layer.dims.get(dim, 1) for dim in "GMCRS")


@pytest.mark.parametrize("name", NETWORKS)
def test_the_weights_of_a_network_are_those_of_its_layer_graph(name: str) -> None:
    with torch.device("meta"):
        model = importlib.import_module(f"models.{name}").build()[0]
    layers = [layer for layer in read_model(name).layers if layer.op in ("convolution", "linear")]
    weights = weights_of(model)
    assert sorted(weight.layer for weight in weights) == sorted(layer.name for layer in layers)
    assert sum(weight.elements for weight in weights) == sum(_elements(layer) for layer in layers)
    assert weights[0].place == "first"
    assert weights[-1].place == "last"


def test_a_packaged_network_round_trips(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model: nn.Module = importlib.import_module("models.mobilenet_v2").build()[0]
    write_compressed(tmp_path / "f", share(model, "scalars:bits=2"))
    back = read_compressed(tmp_path / "f")
    model.load_state_dict(to_tensors(back.state()))
    done, of, share_of_bytes = size_report(back).coverage()
    assert done == of == len(weights_of(model)) == 53
    assert share_of_bytes > 0.95
    assert all(line.cosine is not None and line.cosine > 0.9 for line in back.report)


@pytest.mark.parametrize(
    ("name", "size", "weights"),
    [("resnet18", 64, 21), ("mobilenet_v2", 64, 53), ("googlenet", 224, 58), ("efficientnet_lite0", 64, 50)],
)
def test_a_packaged_network_trains_with_shared_weights(name: str, size: int, weights: int) -> None:
    torch.manual_seed(0)
    model: nn.Module = importlib.import_module(f"models.{name}").build()[0]
    prepared = prepare(model, "dkm:2/1").train()
    optimiser = torch.optim.SGD(prepared.parameters(), 0.01)
    prepared(torch.randn(2, 3, size, size)).square().mean().backward()
    assert all(parameter.grad is not None for parameter in prepared.parameters())
    optimiser.step()
    made = finalize(prepared.eval())
    assert [line.clusters for line in made.report] == [4] * weights
    model.load_state_dict(to_tensors(made.state()))
    image = torch.randn(1, 3, size, size)
    with torch.no_grad():
        assert torch.equal(model.eval()(image), prepared(image))


@pytest.mark.parametrize("name", ["googlenet", "resnet18"])
def test_layers_by_pattern_in_a_packaged_network(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model: nn.Module = importlib.import_module(f"models.{name}").build()[0]
    pattern = {"googlenet": "inception_3a.*", "resnet18": "layer1.*"}[name]
    made = share(model, {"layers": {pattern: {"granularity": "row", "clusters": 8}}})
    write_compressed(tmp_path / "f", made)
    state = to_tensors(read_compressed(tmp_path / "f").state())
    changed = [key for key, tensor in model.state_dict().items() if not torch.equal(tensor, state[key])]
    assert changed == [line.name for line in made.report]
    assert len(changed) == {"googlenet": 6, "resnet18": 4}[name]


def test_distilbert(tmp_path: Path) -> None:
    import transformers

    torch.manual_seed(0)
    config = transformers.DistilBertConfig(vocab_size=50, dim=16, hidden_dim=32, n_layers=2, n_heads=2)
    model = transformers.DistilBertForMaskedLM(config)
    recipe = {
        "method": "dkm",
        "linear": {"bits": 5, "dim": 2, "temperature": 8e-5},
        "embedding": {"bits": 3, "dim": 1, "temperature": 8e-5},
    }
    prepared = prepare(model, recipe)
    words = torch.randint(50, (2, 7))
    prepared(words, labels=words).loss.backward()
    prepared.eval()
    with torch.no_grad():
        expected = prepared(words).logits
    made = finalize(prepared)
    assert made.ties == {"vocab_projector.weight": "distilbert.embeddings.word_embeddings.weight"}
    write_compressed(tmp_path / "f", made)
    model.load_state_dict(to_tensors(read_compressed(tmp_path / "f").state()))
    with torch.no_grad():
        assert torch.equal(model.eval()(words).logits, expected)
    done, of, _ = size_report(made).coverage()
    assert (done, of) == (15, 15)  # two embeddings, six weights in each of two layers, one in the head


def test_gpt2_whose_linear_layers_lie_the_other_way_round(tmp_path: Path) -> None:
    import transformers

    torch.manual_seed(0)
    size = {"vocab_size": 40, "n_positions": 16, "n_embd": 8, "n_layer": 2, "n_head": 2}
    config = transformers.GPT2Config(**size, bos_token_id=0, eos_token_id=0)
    model = transformers.GPT2LMHeadModel(config)
    weights = {weight.name: weight for weight in weights_of(model)}
    # Two embeddings (the head is tied to one), and in each layer c_attn, c_proj, c_fc and c_proj: all of them Conv1D.
    assert len(weights) == 2 + 2 * 4
    first = weights["transformer.h.0.attn.c_attn.weight"]
    assert (first.kind, first.shape, first.transposed, first.module_type) == ("linear", (8, 24), True, "Conv1D")
    # Filters are what makes one output: columns here. Of two different ones, repeated, two centroids are left.
    columns = torch.randn(8, 2)
    with torch.no_grad():
        model.get_parameter(first.name).copy_(columns.repeat(1, 12))
    made = share(model, {"layers": {first.layer: {"granularity": "filter", "clusters": 2}}})
    ((_, tensor),) = made.clustered()
    assert tensor.codebooks.shape == (1, 2, 8)
    write_compressed(tmp_path / "f", made)
    state = to_tensors(read_compressed(tmp_path / "f").state())
    assert torch.equal(state[first.name], model.state_dict()[first.name])
    # Six codebooks for four outputs each, and a scale for each of the 24.
    grouped = share(model, {"linear": {"bits": 1, "channels_per_codebook": 4, "per_channel_scale": True}})
    tensor = dict(grouped.clustered())[first.name]
    assert tensor.axis == 1
    assert tensor.codebooks.shape == (6, 2, 1)
    assert tensor.scale is not None
    assert tensor.scale.shape == (24,)
    prepared = prepare(model, {"method": "dkm", "default": {"bits": 2, "dim": 2, "temperature": 1e-3}})
    words = torch.randint(40, (2, 5))
    prepared(words, labels=words).loss.backward()
    prepared.eval()
    with torch.no_grad():
        expected = prepared(words).logits
    finalized = finalize(prepared)
    assert size_report(finalized).coverage()[:2] == (10, 10)
    model.load_state_dict(to_tensors(finalized.state()))
    for name in weights:
        layer, _, own = name.rpartition(".")
        assert torch.equal(model.get_parameter(name), getattr(prepared.get_submodule(layer), own)), name
    # Equal weights that lie in memory the other way round are multiplied in another order.
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(words).logits, expected)


def test_albert_whose_layers_are_one_layer(tmp_path: Path) -> None:
    import transformers

    torch.manual_seed(0)
    config = transformers.AlbertConfig(
        vocab_size=40, embedding_size=6, hidden_size=8, intermediate_size=16, num_hidden_layers=3, num_attention_heads=2
    )
    model = transformers.AlbertForMaskedLM(config)
    recipe = {"method": "dkm", "default": {"bits": 2, "dim": 1, "temperature": 5e-5}}
    prepared, once = prepare(model, recipe).train(), prepare(model, recipe).train()
    words = torch.randint(40, (2, 5))
    # The one layer is used three times: its weights are made three times, or once where torch is told to keep them.
    torch.manual_seed(1)
    prepared(words, labels=words).loss.backward()
    torch.manual_seed(1)
    with torch.nn.utils.parametrize.cached():
        once(words, labels=words).loss.backward()
    for (name, one), (_, other) in zip(prepared.named_parameters(), once.named_parameters(), strict=True):
        if one.grad is not None:
            assert other.grad is not None
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6, msg=name)
    for (name, one), (_, other) in zip(prepared.named_buffers(), once.named_buffers(), strict=True):
        assert torch.equal(one, other), name
    made = finalize(prepared.eval())
    assert made.ties == {"predictions.decoder.weight": "albert.embeddings.word_embeddings.weight"} | {
        name: kept for name, kept in made.ties.items() if name.endswith("bias")
    }
    # Three embeddings, the map into the hidden size, six weights of the one layer, one in the head.
    assert size_report(made).coverage()[:2] == (11, 11)
    write_compressed(tmp_path / "f", made)
    model.load_state_dict(to_tensors(read_compressed(tmp_path / "f").state()))
    with torch.no_grad():
        assert torch.equal(model.eval()(words).logits, prepared(words).logits)


# Reports of users of other palettizers, as tests of whole models of ours.


class _Largest(TorchDispatchMode):
    """The most elements that any result of an operation has inside."""

    elements = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        made = function(*arguments, **(named or {}))
        for tensor in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return made


@pytest.mark.parametrize("dim", [1, 4])
def test_apple_coremltools_2547_a_step_of_training_holds_no_full_soft_assignment(dim: int) -> None:
    # There: out of memory, "it needs to store the full soft kmeans scores for all weight tensors".
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(4_000, 64), nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 4_000))
    with torch.no_grad():
        for index in (0, 1, 3):
            model.get_submodule(str(index)).get_parameter("weight").normal_(0, 0.02)
    largest = 256 * 4_000
    prepared = prepare(model, {"method": "dkm", "default": {"bits": 4, "dim": dim, "temperature": 5e-5}})
    words = torch.randint(4_000, (2, 3))
    prepared(words)  # makes the first centroids
    kept = 0

    def count(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        loss = prepared(words).square().mean()
    # Each weight itself, once for the loop and once, softened, for its layer: 16 assignments a sample would be more.
    assert kept < 2.2 * sum(parameter.numel() for parameter in model.parameters())
    with _Largest() as seen:
        loss.backward()
        prepared(words)
    # A weight with a row of ones beside its samples is the largest there is.
    assert seen.elements <= largest * (dim + 1) // dim


def test_apple_coremltools_2551_sharing_a_model_takes_a_few_times_its_largest_weight() -> None:
    # There: 40 to 50 GB for a model of 1 B weights, from tables of k x n in exact one-dimensional k-means.
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 4_096, bias=False), nn.Linear(4_096, 64, bias=False))
    tracemalloc.start()
    made = share(model, "scalars:bits=4")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [line.clusters for line in made.report] == [16, 16]
    # 262,144 weights of 4 bytes: tables of 16 x n numbers and as many places would be 64 times as much.
    assert peak < 25 * 4 * 262_144


def test_apple_coremltools_2698_weights_below_zero_only() -> None:
    # There the clusters' centres were summed where their errors should have been: NaN for negative weights.
    layer = nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[-1.0, -1.1, -0.9], [-10.0, -10.1, -9.9]]))
    model = nn.Sequential(layer)
    made = share(model, "scalars:K=2")
    (line,) = made.report
    assert line.mse == pytest.approx(0.04 / 6, rel=1e-4)
    assert to_tensors(made.state())["0.weight"].flatten().tolist() == pytest.approx([-1.0] * 3 + [-10.0] * 3)
    trained = prepare(model, "dkm:1/1,temperature=1e-2")
    trained(torch.ones(1, 3)).sum().backward()
    assert torch.isfinite(trained.get_parameter("0.parametrizations.weight.original").grad).all()  # type: ignore[arg-type]


def test_apple_coremltools_2777_layers_that_are_skipped_keep_their_bits_in_a_network() -> None:
    torch.manual_seed(0)
    model: nn.Module = importlib.import_module("models.lenet_caffe5").build()[0]
    weights = weights_of(model)
    skipped = (weights[0].layer, weights[-1].layer)
    recipe = {"method": "kmeans", "default": {"bits": 2}, "layers": dict.fromkeys(skipped, "skip")}
    for made in (share(model, recipe), finalize(prepare(model, recipe))):
        state = to_tensors(made.state())
        same = [name for name, tensor in model.state_dict().items() if torch.equal(tensor, state[name])]
        changed = [weight.name for weight in weights[1:-1]]
        assert sorted(same + changed) == sorted(state)
        assert made.notes == (f"not shared: {skipped[0]}.weight, {skipped[1]}.weight",)


def test_apple_coremltools_2716_every_weight_of_a_network_keeps_its_direction_at_4_bits() -> None:
    torch.manual_seed(0)
    model: nn.Module = importlib.import_module("models.lenet_caffe5").build()[0]
    made = share(model, "scalars:bits=4")
    assert all(line.cosine is not None and line.cosine > 0.99 for line in made.report)
    images = torch.randn(4, 1, 28, 28)
    before = model.eval()(images).flatten()
    model.load_state_dict(to_tensors(made.state()))
    assert torch.nn.functional.cosine_similarity(before, model(images).flatten(), dim=0) > 0.95


def test_subhadarship_kmeans_pytorch_3_weights_of_resnet18_give_no_nan() -> None:
    # There the shift of the centres became NaN on ResNet18's weights: clusters lost all of their samples.
    torch.manual_seed(0)
    model: nn.Module = importlib.import_module("models.resnet18").build()[0]
    with torch.no_grad():
        for block in (0, 1):
            weight = model.get_submodule(f"layer1.{block}.conv1").get_parameter("weight")
            weight.mul_(torch.rand_like(weight) < 0.05)
    made = share(model, {"layers": {"layer1.*": {"granularity": "row", "clusters": 512}}})
    assert all(torch.isfinite(tensor).all() for tensor in to_tensors(made.state()).values())
    for name, tensor in made.clustered():
        assert len(np.unique(tensor.indices)) == tensor.clusters == 512, name
