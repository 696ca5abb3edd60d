"""Sharing and preparing whole networks: those of this package and a transformer of Hugging Face, small or cut down."""

import importlib
from pathlib import Path

import pytest
import torch
from torch import nn

from energysim.clustering.prepare import finalize, prepare
from energysim.clustering.share import share
from energysim.clustering.weights import to_tensors, weights_of
from energysim.compressed.file import read_compressed, write_compressed
from energysim.compressed.size import size_report
from energysim.workload.read import read_model

NETWORKS = ("alexnet", "efficientnet_lite0", "googlenet", "mobilenet_v1", "mobilenet_v2", "resnet18", "resnet50")


@pytest.mark.parametrize("name", NETWORKS)
def test_the_weights_of_a_network_are_those_of_its_layer_graph(name: str) -> None:
    with torch.device("meta"):
        model = importlib.import_module(f"models.{name}").build()[0]
    layers = [layer for layer in read_model(name).layers if layer.op in ("convolution", "linear")]
    weights = weights_of(model)
    assert [weight.layer for weight in weights if weight.kind != "embedding"] == [layer.name for layer in layers]
    assert weights[0].place == "first"
    assert weights[-1].place == "last"


def cut_down(name: str, at_least: int) -> nn.Module:
    """A packaged network with few channels: every large layer's weight is one that repeats, which is fast to cluster."""
    torch.manual_seed(0)
    model: nn.Module = importlib.import_module(f"models.{name}").build()[0]
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.numel() > at_least:
                parameter.copy_(torch.randn(7)[torch.randint(7, parameter.shape)])
    return model


@pytest.mark.parametrize("name", ["mobilenet_v2", "googlenet", "resnet18"])
def test_packaged_networks_round_trip(name: str, tmp_path: Path) -> None:
    model = cut_down(name, 2000)
    made = share(model, "scalars:bits=3")
    write_compressed(tmp_path / "f", made)
    back = read_compressed(tmp_path / "f")
    state = to_tensors(back.state())
    model.load_state_dict(state)
    done, of, share_of_bytes = size_report(back).coverage()
    assert done == of == len(weights_of(model))
    assert share_of_bytes > 0.95
    assert all(line.cosine is None or line.cosine > 0.9 for line in back.report)


def test_distilbert(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
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
