"""The same network by two roads, torch and its ONNX export: equal MACs, weights, activations, edges and energy."""

import importlib
import logging
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from energysim.estimate import estimate
from energysim.hardware.read import read_accelerator
from energysim.workload.from_onnx import from_onnx
from energysim.workload.from_torch import from_torch
from energysim.workload.graph import LayerGraph, same_work


def exported(module: nn.Module, inputs: tuple[torch.Tensor, ...], path: Path, **options: Any) -> Path:
    """Written by the exporter that needs nothing but torch and onnx; weights differ, so that it cannot share them."""
    generator = torch.Generator().manual_seed(0)
    for each in module.parameters():
        with torch.no_grad():
            each.uniform_(-1, 1, generator=generator)
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(module.eval(), inputs, path, dynamo=False, **options)
    finally:
        logging.disable(logging.NOTSET)
    return path


def edges(graph: LayerGraph) -> list[tuple[int, int, int]]:
    place = {layer.name: i for i, layer in enumerate(graph.layers)}
    return sorted((place[edge.source], place[edge.target], edge.elements) for edge in graph.edges)


def assert_equal(by_torch: LayerGraph, by_onnx: LayerGraph) -> None:
    assert [layer.op for layer in by_torch.layers] == [layer.op for layer in by_onnx.layers]
    for one, other in zip(by_torch.layers, by_onnx.layers, strict=True):
        assert same_work(one) == same_work(other), (one.name, other.name)
    assert edges(by_torch) == edges(by_onnx)
    assert by_torch.macs == by_onnx.macs
    assert by_onnx.warnings == ()


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "googlenet"])
def test_convolutional_network(name: str, tmp_path: Path) -> None:
    module, inputs = importlib.import_module(f"models.{name}").build()
    by_torch = from_torch(module, inputs, name=name)
    path = exported(module, inputs, tmp_path / f"{name}.onnx", training=torch.onnx.TrainingMode.PRESERVE)
    by_onnx = from_onnx(path)
    assert_equal(by_torch, by_onnx)
    assert by_torch.parameters == by_onnx.parameters
    assert [layer.parameters for layer in by_torch.layers] == [layer.parameters for layer in by_onnx.layers]
    if name != "googlenet":
        assert [layer.name for layer in by_torch.layers] == [layer.name for layer in by_onnx.layers]


def test_energy_is_equal_layer_by_layer(tmp_path: Path) -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, padding=1),
        nn.BatchNorm2d(8),
        nn.SiLU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.Hardswish(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 10),
        nn.Softmax(-1),
    )
    inputs = (torch.zeros(1, 3, 16, 16),)
    accelerator = read_accelerator("eyeriss")
    by_torch = estimate(from_torch(module, inputs, name="small"), accelerator, bits=8)
    by_onnx = estimate(from_onnx(exported(module, inputs, tmp_path / "small.onnx")), accelerator, bits=8)
    assert [row.energy_pj for row in by_torch.layers] == [row.energy_pj for row in by_onnx.layers]
    assert by_torch.totals.energy_pj == by_onnx.totals.energy_pj > 0


def test_distilbert_of_two_layers(tmp_path: Path) -> None:
    from transformers import DistilBertConfig, DistilBertModel

    config = DistilBertConfig(n_layers=2, vocab_size=100, dim=48, hidden_dim=96, n_heads=4, max_position_embeddings=32)

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = DistilBertModel(config)

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.model(input_ids=tokens).last_hidden_state

    module, inputs = Encoder(), (torch.zeros(1, 16, dtype=torch.long),)
    by_torch = from_torch(module, inputs, name="distilbert")
    by_onnx = from_onnx(exported(module, inputs, tmp_path / "distilbert.onnx"))
    assert_equal(by_torch, by_onnx)


def test_recurrent_network_of_two_layers_and_directions(tmp_path: Path) -> None:
    class Reads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(6, 8, num_layers=2, bidirectional=True)
            self.fc = nn.Linear(16, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(self.lstm(x)[0])

    module, inputs = Reads(), (torch.zeros(5, 3, 6),)
    by_torch = from_torch(module, inputs, name="lstm")
    by_onnx = from_onnx(exported(module, inputs, tmp_path / "lstm.onnx"))
    assert_equal(by_torch, by_onnx)
    assert by_torch.parameters == by_onnx.parameters
    # 15 vectors, 2 directions of 4 x 8 gates: 6 inputs, then 16, and 8 states each time; then the linear layer
    assert by_onnx.macs == 15 * 2 * 32 * (6 + 8 + 16 + 8) + 15 * 16 * 4


def test_interpolation_and_volumes(tmp_path: Path) -> None:
    module = nn.Sequential(
        nn.Conv3d(2, 4, 3), nn.ReLU(), nn.MaxPool3d(2), nn.Flatten(1, 2), nn.Upsample(scale_factor=2)
    )
    inputs = (torch.zeros(1, 2, 6, 8, 8),)
    assert_equal(from_torch(module, inputs, name="v"), from_onnx(exported(module, inputs, tmp_path / "v.onnx")))


def test_dynamic_sizes_give_the_same_as_fixed_ones(tmp_path: Path) -> None:
    class Attends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(24, 72)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            q, k, v = self.inner(x).view(x.shape[0], x.shape[1], 3, 4, 6).permute(2, 0, 3, 1, 4)
            scores = torch.softmax(q @ k.transpose(-1, -2) / 6**0.5, -1)
            return (scores @ v).transpose(1, 2).reshape(x.shape[0], x.shape[1], 24)

    module = Attends()
    axes = {"x": {0: "batch", 1: "sequence"}}
    path = exported(module, (torch.zeros(1, 8, 24),), tmp_path / "a.onnx", input_names=["x"], dynamic_axes=axes)
    for batch, sequence in ((1, 8), (3, 20)):
        by_torch = from_torch(module, (torch.zeros(batch, sequence, 24),), name="a")
        assert_equal(by_torch, from_onnx(path, dims={"batch": batch, "sequence": sequence}))
