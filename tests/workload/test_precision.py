"""Bits and densities: what the short forms mean, and what a file of overrides changes."""

from pathlib import Path

import pytest

from energysim.errors import InputError
from energysim.workload.graph import LayerGraph
from energysim.workload.operations import matmul
from energysim.workload.precision import Bits, parse_bits, with_bits, with_density, with_precision
from energysim.workload.read import read_model


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        (8, Bits(8, 8)),
        ("8", Bits(8, 8)),
        ("8p32", Bits(8, 8, 32)),
        ("w4a8", Bits(4, 8)),
        ("w4a8p24", Bits(4, 8, 24)),
        ("w64a1p128", Bits(64, 1, 128)),
    ],
)
def test_short_forms(text: int | str, bits: Bits) -> None:
    assert parse_bits(text) == bits


@pytest.mark.parametrize("text", ["", "w4", "a8w4", "8.0", "-8", "0", "65", "w4a0", "w4a8p129", True, "eight", "w4a8p"])
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="bits"):
        parse_bits(text)


def bits_of(graph: LayerGraph, layer: str) -> dict[str, tuple[int, int]]:
    found = next(each for each in graph.layers if each.name == layer)
    return {tensor.name: (tensor.bits, tensor.partial_bits) for tensor in found.tensors}


def test_partial_sums_are_at_least_16_bits_unless_said_otherwise() -> None:
    lenet = read_model("lenet_caffe5")
    assert bits_of(lenet, "conv1") == {"weight": (16, 0), "input": (16, 0), "output": (16, 0)}
    assert with_precision(lenet, 16) == lenet
    assert bits_of(with_precision(lenet, "w4a8"), "conv1") == {"weight": (4, 0), "input": (8, 0), "output": (8, 16)}
    assert bits_of(with_precision(lenet, "w4a8p24"), "conv1")["output"] == (8, 24)
    assert bits_of(with_precision(lenet, 32), "conv1")["output"] == (32, 0)


def test_fewer_bits_never_ask_for_more() -> None:
    lenet = read_model("lenet_caffe5")
    for bits in range(1, 64):
        less, more = (with_bits(lenet, Bits(n, n)) for n in (bits, bits + 1))
        for one, other in zip(less.layers, more.layers, strict=True):
            assert one.compulsory_bits < other.compulsory_bits
            assert (one.output.partial_bits or bits) <= (other.output.partial_bits or bits + 1)


def test_computed_operand_of_a_product_has_the_bits_of_activations() -> None:
    graph = LayerGraph("x", (matmul("product", {"P": 2, "C": 3, "M": 4}),))
    assert bits_of(with_bits(graph, Bits(4, 8)), "product") == {"input": (8, 0), "input_2": (8, 0), "output": (8, 16)}


OVERRIDES = """
bits: w4a8
layers:
  "conv*": {weight: {bits: 3, density: 0.5}, output: {partial_bits: 24}}
  conv2: {bits: 8, input: {density: 0.25, encoding: run_length}}
"""


def test_overrides_apply_in_order_by_name_and_pattern(tmp_path: Path) -> None:
    path = tmp_path / "bits.yaml"
    path.write_text(OVERRIDES)
    lenet = read_model("lenet_caffe5")
    graph = with_precision(lenet, path)
    assert read_model("lenet_caffe5", bits=str(path)) == graph
    assert bits_of(graph, "conv1") == {"weight": (3, 0), "input": (8, 0), "output": (8, 24)}
    # a later entry wins: 8 bits throughout, partial sums by the rule, but the density stays
    assert bits_of(graph, "conv2") == {"weight": (8, 0), "input": (8, 0), "output": (8, 16)}
    assert bits_of(graph, "ip1") == {"weight": (4, 0), "input": (8, 0), "output": (8, 16)}
    conv1, conv2 = (next(each for each in graph.layers if each.name == name) for name in ("conv1", "conv2"))
    assert [(t.density, t.encoding) for t in conv1.tensors] == [(0.5, "dense"), (1.0, "dense"), (1.0, "dense")]
    assert [(t.density, t.encoding) for t in conv2.tensors] == [(0.5, "dense"), (0.25, "run_length"), (1.0, "dense")]
    assert lenet == read_model("lenet_caffe5"), "the graph given is not changed"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("layers:\n  conv3: {bits: 8}", "bits.yaml:2: unknown layer 'conv3'; did you mean 'conv2'?"),
        ('layers:\n  "convolution*": {bits: 8}', "bits.yaml:2: no layer matches 'convolution*'"),
        ("layers:\n  conv1: {bits: w4}", "bits.yaml:2: bits 'w4' cannot be read"),
        ("bits: 99", "bits.yaml:1: bits must be"),
        ("layers:\n  conv1: {weights: {bits: 8}}", "unknown layer override field 'weights'; did you mean 'weight'?"),
        ("layers:\n  conv1:\n    weight: {density: 2}", "bits.yaml:3: density must be a number of at least 0"),
        ("layers:\n  conv1: {bits: 8}\n  conv1: {bits: 4}", "bits.yaml:3: key 'conv1' was given before, on line 2"),
    ],
)
def test_mistakes_in_overrides_are_named_with_file_and_line(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "bits.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        with_precision(read_model("lenet_caffe5"), path)
    assert expected in str(caught.value)


def test_densities_by_layer_and_role() -> None:
    graph = with_density(read_model("lenet_caffe5"), {"conv2": {"input": 0.3, "weight": 0.1}})
    conv2 = next(layer for layer in graph.layers if layer.name == "conv2")
    assert [tensor.density for tensor in conv2.tensors] == [0.1, 0.3, 1.0]


@pytest.mark.parametrize(
    ("densities", "expected"),
    [
        ({"conv9": {"input": 0.3}}, "unknown layer 'conv9'; did you mean 'conv"),
        ({"conv1": {"inputs": 0.3}}, "unknown role 'inputs'; did you mean 'input'?"),
        ({"conv1": {"input": 1.3}}, "has density 1.3"),
    ],
)
def test_wrong_densities_are_refused(densities: dict[str, dict[str, float]], expected: str) -> None:
    with pytest.raises(InputError) as caught:
        with_density(read_model("lenet_caffe5"), densities)
    assert expected in str(caught.value)
