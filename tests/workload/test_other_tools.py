"""Workloads in the formats of SCALE-Sim, Timeloop and ZigZag: the same layer by each road, and their mistakes."""

from pathlib import Path

import pytest

from energysim.errors import InputError
from energysim.workload.graph import LayerGraph, same_work
from energysim.workload.layer import Layer, convolution
from energysim.workload.operations import linear
from energysim.workload.precision import Bits, with_bits
from energysim.workload.read import read_model

# a convolution as in ResNet's second stage; for SCALE-Sim its input is 57 x 57: ceil((57 - 3 + 2) / 2) = 28
LAYER = convolution("conv1", m=128, c=64, p=28, q=28, r=3, s=3, stride=(2, 2))

TOPOLOGY = """Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,
conv1, 57, 57, 3, 3, 64, 128, 2,
DP1, 58, 58, 3, 3, 64, 1, 1,

last, 7, 7, 7, 7, 512, 1000, 1, 2:4,
"""

PRODUCTS = "Layer, M, N, K,\nfc, 4, 1000, 512,\n"

PROBLEM = """
problem:
  version: 0.4
  shape:
    name: CNN_Layer
    dimensions: [C, M, R, S, N, P, Q]
    coefficients:
    - {name: Wstride, default: 1}
    - {name: Hstride, default: 1}
    - {name: Wdilation, default: 1}
    data_spaces:
    - name: Weights
      projection: [[[C]], [[M]], [[R]], [[S]]]
    - name: Inputs
      projection:
      - [[N]]
      - [[C]]
      - [[R, Wdilation], [P, Wstride]]
      - [[S], [Q, Hstride]]
    - name: Outputs
      projection: [[[N]], [[M]], [[P]], [[Q]]]
      read_write: True
  instance: {C: 64, M: 128, R: 3, S: 3, N: 1, P: 28, Q: 28, Wstride: 2, Hstride: 2}
"""

WORKLOAD = """
- id: 0
  name: conv1
  operator_type: Conv
  equation: O[b][k][oy][ox]+=W[k][c][fy][fx]*I[b][c][iy][ix]
  dimension_relations: [ix=2*ox+1*fx, iy=2*oy+1*fy]
  loop_dims: [B, K, C, OY, OX, FY, FX]
  loop_sizes: [1, 128, 64, 28, 28, 3, 3]
  operand_precision: {W: 4, I: 8, O: 16, O_final: 8}
  operand_source: {I: 0, W: 0}
- id: 1
  operator_type: Conv
  equation: O[b][k][oy][ox]+=W[k][c][fy][fx]*I[b][c][iy][ix]
  dimension_relations: [ix=1*ox+1*fx, iy=1*oy+1*fy]
  loop_dims: [B, K, C, OY, OX, FY, FX]
  loop_sizes: [1, 128, 128, 28, 28, 1, 1]
  operand_precision: {W: 4, I: 8, O: 16, O_final: 8}
  operand_source: {I: 0, W: 1}
- id: 2
  operator_type: Add
  equation: O[b][g][oy][ox]=X[b][g][oy][ox]+Y[b][g][oy][ox]
  dimension_relations: []
  loop_dims: [B, G, OY, OX]
  loop_sizes: [1, 128, 28, 28]
  operand_precision: {X: 8, Y: 8, O: 16, O_final: 8}
  operand_source: {X: 0, Y: 1}
"""


def graph_of(path: Path, text: str) -> LayerGraph:
    path.write_text(text)
    return read_model(path)


def work(layer: Layer) -> tuple[dict[str, int], dict[tuple[str, str], int], int]:
    """Sizes, and elements by tensor: what must be equal whatever indices are called."""
    tensors = {(t.name, t.role): t.elements(layer.dims) for t in layer.tensors}
    return {dim: size for dim, size in layer.dims.items() if size > 1}, tensors, layer.macs


def test_scale_sim_convolutions(tmp_path: Path) -> None:
    graph = graph_of(tmp_path / "net.csv", TOPOLOGY)
    first, depthwise, last = graph.layers
    assert same_work(first) == same_work(LAYER)
    assert first.parameters == 128 * 64 * 9
    assert work(depthwise) == work(convolution("dp", g=64, m=1, c=1, p=56, q=56, r=3, s=3))
    assert last.macs == 7 * 7 * 512 * 1000
    assert "taken by themselves" in graph.assumptions[0]


def test_scale_sim_products(tmp_path: Path) -> None:
    (layer,) = graph_of(tmp_path / "net.csv", PRODUCTS).layers
    assert same_work(layer) == same_work(linear("fc", n=4, m=1000, c=512))


def test_timeloop_problem(tmp_path: Path) -> None:
    graph = graph_of(tmp_path / "conv1.yaml", PROBLEM)
    (layer,) = graph.layers
    assert work(layer) == work(LAYER)
    assert (graph.name, layer.op, layer.parameters) == (
        "conv1",
        "affine",
        LAYER.parameters,
    ) or layer.op == "convolution"


def test_timeloop_product_of_two_matrices(tmp_path: Path) -> None:
    text = """
problem:
  shape:
    name: GEMM
    dimensions: [M, N, K]
    data-spaces:
    - {name: A, projection: [[[M]], [[K]]]}
    - {name: B, projection: [[[K]], [[N]]]}
    - {name: Z, projection: [[[M]], [[N]]], read-write: True}
  instance: {M: 8, N: 16, K: 32}
"""
    (layer,) = graph_of(tmp_path / "a.yaml", text).layers
    assert layer.macs == 8 * 16 * 32
    assert sorted(t.elements(layer.dims) for t in layer.tensors) == [128, 256, 512]
    assert {t.name: t.role for t in layer.tensors} == {"input": "input", "input_2": "weight", "output": "output"}
    assert layer.parameters == 0


def test_zigzag_workload(tmp_path: Path) -> None:
    graph = graph_of(tmp_path / "net.yaml", WORKLOAD)
    first, second, add = graph.layers
    assert work(first) == work(LAYER)
    by_us = with_bits(LayerGraph("net", (LAYER,)), Bits(4, 8)).layers[0]
    assert {t.name: (t.bits, t.partial_bits) for t in first.tensors} == {
        t.name: (t.bits, t.partial_bits) for t in by_us.tensors
    }
    assert (first.parameters, add.unit, add.ops) == (LAYER.parameters, "op", 128 * 28 * 28)
    elements = 128 * 28 * 28
    flows = {(edge.source, edge.target): edge.elements for edge in graph.edges}
    assert flows == {
        (first.name, second.name): elements,
        (first.name, add.name): elements,
        (second.name, add.name): elements,
    }


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.csv", "", "a.csv: has no layers"),
        ("a.csv", "\n\n", "a.csv: has no layers"),
        ("a.csv", TOPOLOGY.replace("57, 57, 3, 3, 64, 128, 2", "57, 57, 3"), "a.csv:2: has 5 columns"),
        ("a.csv", TOPOLOGY.replace("128, 2", "0, 2"), "a.csv:2: number of filters is '0'"),
        ("a.csv", TOPOLOGY.replace("128, 2", "1e3, 2"), "a.csv:2: number of filters is '1e3'"),
        ("a.csv", TOPOLOGY.replace("57, 57, 3, 3, 64, 128", "2, 2, 3, 3, 64, 128"), "its filter, 3 x 3, is larger"),
        ("a.csv", PRODUCTS + "fc, 1, 2, 3,\n", "a.csv:3: two layers are named 'fc'"),
        ("a.csv", PRODUCTS.replace("4", "99999999999"), "a.csv:2: M is '99999999999'"),
        ("a.yaml", PROBLEM.replace("C: 64", "CC: 64"), "a.yaml:23: unknown dimension or coefficient 'CC'"),
        ("a.yaml", PROBLEM.replace("[P, Wstride]", "[X, Wstride]"), "unknown dimension or coefficient"),
        ("a.yaml", PROBLEM.replace("P: 28", "P: 0"), "expected an integer of at least 1"),
        ("a.yaml", "problem: {shape: cnn-layer, instance: {}}", "names another file"),
        ("a.yaml", "problem: 3", "expected a mapping with 'shape'"),
        ("a.yaml", PROBLEM.replace("read_write: True", "other: True"), "needs exactly one tensor with role 'output'"),
        ("a.yaml", WORKLOAD.replace("loop_sizes: [1, 128, 28, 28]", "loop_sizes: [1, 128]"), "4 loop_dims and 2"),
        ("a.yaml", WORKLOAD.replace("id: 1", "id: 0"), "two layers have the id 0"),
        ("a.yaml", WORKLOAD.replace("ix=2*ox+1*fx", "ix=2*oz+1*fx"), "a.yaml:2: unknown loop"),
        ("a.yaml", WORKLOAD.replace("O[b][g][oy][ox]=X", "O=X"), "cannot be read; write O[k]+=W[k][c]*I[c]"),
        ("a.yaml", WORKLOAD.replace("  loop_dims: [B, G", "  loops: [B, G"), "'loop_dims' is missing"),
    ],
)
def test_mistakes_have_file_and_line(tmp_path: Path, name: str, text: str, expected: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as caught:
        read_model(tmp_path / name)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
