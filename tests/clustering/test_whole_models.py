"""Sharing and preparing whole networks: those of this package and a transformer of Hugging Face, small or cut down."""

import importlib
from math import prod
from pathlib import Path

import pytest
import torch
from torch import nn

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
