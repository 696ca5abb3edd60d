"""Compressed files read into layer graphs: what is measured from the actual indices, and what does not fit."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from energysim.compressed.file import write_compressed
from energysim.compressed.model import Clustered, CompressedModel, Dense
from energysim.errors import InputError, ModelReadError
from energysim.granularity import Granularity
from energysim.workload.compressed_weights import with_compressed
from energysim.workload.graph import Edge, LayerGraph
from energysim.workload.layer import convolution
from energysim.workload.precision import with_precision
from energysim.workload.read import read_model
from energysim.workload.yaml_format import from_yaml, to_yaml


def graph(groups: int = 1) -> LayerGraph:
    conv = convolution("conv", g=groups, m=4 // groups, c=2, p=3, q=3, r=3, s=3)
    fc = convolution("fc", m=5, c=36, p=1, q=1, op="linear")
    return LayerGraph("small", (conv, fc), (Edge("conv", "fc", 36),))


def clustered(shape: tuple[int, ...], granularity: Granularity, clusters: int = 3, **more: Any) -> Clustered:
    """Centroid 0 is zero throughout, and so is the first element of centroid 1."""
    count, length = granularity.sample_shape(shape)
    codebook = np.arange(clusters * length, dtype=np.float32).reshape(1, clusters, length)
    codebook[0, 0] = 0.0
    codebook[0, 1, 0] = 0.0 if length > 1 else 9.0
    indices = (np.arange(count) % clusters).astype(np.uint32)
    return Clustered(codebook, indices, shape, "F32", granularity, "convolution", **more)


def model(conv: Clustered | Dense, name: str = "conv.weight") -> CompressedModel:
    fc = np.ones((5, 36), np.float32)
    fc[0, :18] = 0.0
    tensors = {name: conv, "fc.weight": Dense(fc, "F32", "linear"), "fc.bias": Dense(fc[0], "F32", "bias")}
    return CompressedModel(tensors, name="net")


def test_rows_are_measured() -> None:
    # 24 rows on 3 centroids in turn: 8 each. Zero elements: 8 rows of 3, and one of three in 8 more: 32 of 72.
    made = with_compressed(graph(), model(clustered((4, 2, 3, 3), Granularity("row"))))
    weight = made.layers[0].tensor("weight")
    assert weight is not None
    book = weight.codebook
    assert book is not None
    assert (book.granularity, book.clusters, book.length, book.samples, book.blocks) == ("row", 3, 3, 24, 1)
    assert (book.index_bits, book.coded_bits, book.coding) == (2, 2.0, "fixed")
    assert book.zero_share == pytest.approx(1 / 3)
    assert book.entropy_bits == pytest.approx(np.log2(3))
    assert weight.density == pytest.approx(1 - 32 / 72)
    assert book.sample == (("S", 3),)
    assert book.indices is not None
    assert book.indices.values.shape == (1, 4, 2, 3, 1)
    assert book.indices.zero == 0
    assert made.name == "small+net"
    # 18 of 180 weights of the layer that is not shared are zero
    fc = made.layers[1].tensor("weight")
    assert fc is not None
    assert fc.codebook is None
    assert fc.density == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("kind", "length", "sample", "shape"),
    [
        ("scalar", 1, {}, (1, 4, 2, 3, 3)),
        ("row", 1, {"S": 3}, (1, 4, 2, 3, 1)),
        ("slice", 1, {"R": 3, "S": 3}, (1, 4, 2, 1, 1)),
        ("filter", 1, {"C": 2, "R": 3, "S": 3}, (1, 4, 1, 1, 1)),
        ("vector", 3, {"S": 3}, (1, 4, 2, 3, 1)),
        ("vector", 9, {"R": 3, "S": 3}, (1, 4, 2, 1, 1)),
        ("vector", 4, None, None),
        ("vector", 5, None, None),
    ],
)
def test_what_a_sample_spans(kind: str, length: int, sample: dict[str, int] | None, shape: Any) -> None:
    made = with_compressed(graph(), model(clustered((4, 2, 3, 3), Granularity(kind, length))))
    weight = made.layers[0].tensor("weight")
    assert weight is not None
    book = weight.codebook
    assert book is not None
    assert book.sample == (None if sample is None else tuple(sample.items()))
    assert (book.indices.values.shape if book.indices else None) == shape


def test_codebooks_of_different_blocks_are_different_centroids() -> None:
    blocks = clustered((4, 2, 3, 3), Granularity("row"))
    blocks = replace(blocks, codebooks=np.concatenate([blocks.codebooks, blocks.codebooks + 1]))
    made = with_compressed(graph(2), model(blocks)).layers[0].tensor("weight")
    assert made is not None
    assert made.codebook is not None
    assert made.codebook.indices is not None
    values = made.codebook.indices.values
    assert values.shape == (2, 2, 2, 3, 1)
    # the second half has centroids 3 to 5; only the first block's 0 is zero
    assert set(values[0].ravel()) == {0, 1, 2}
    assert set(values[1].ravel()) == {3, 4, 5}
    assert made.codebook.zero_share == pytest.approx(4 / 24)


@pytest.mark.parametrize("coding", ["fixed", "huffman", "run_length"])
def test_coded_bits_are_those_of_the_file(coding: str, tmp_path: Path) -> None:
    from energysim.compressed.codings import coded_bits
    from energysim.compressed.file import parts_of

    tensor = clustered((4, 2, 3, 3), Granularity("scalar"), clusters=5, coding=coding)
    path = tmp_path / "small.safetensors"
    write_compressed(path, model(tensor))
    made = read_model(graph(), compressed=path).layers[0].tensor("weight")
    assert made is not None
    assert made.codebook is not None
    whole = coded_bits(parts_of(tensor))
    # fixed indices end on a byte in the file, which no element pays for
    assert made.codebook.coded_bits * 72 == pytest.approx(72 * 3 if coding == "fixed" else whole)


def test_the_graph_goes_through_yaml_but_for_which_sample_is_which(tmp_path: Path) -> None:
    made = with_compressed(graph(), model(clustered((4, 2, 3, 3), Granularity("row"))))
    path = tmp_path / "graph.yaml"
    path.write_text(to_yaml(made))
    back = from_yaml(path)
    weight, again = made.layers[0].tensor("weight"), back.layers[0].tensor("weight")
    assert weight is not None
    assert weight.codebook is not None
    assert again == replace(weight, codebook=replace(weight.codebook, indices=None))
    assert to_yaml(back) == to_yaml(made)


def test_bits_change_centroids_and_not_indices() -> None:
    made = with_precision(with_compressed(graph(), model(clustered((4, 2, 3, 3), Granularity("row")))), "w4a8")
    weight = made.layers[0].tensor("weight")
    assert weight is not None
    assert weight.codebook is not None
    assert (weight.bits, weight.codebook.index_bits) == (4, 2)


def test_names_that_do_not_match_are_listed_on_both_sides() -> None:
    with pytest.raises(ModelReadError) as error:
        with_compressed(graph(), model(clustered((4, 2, 3, 3), Granularity("row")), "convv.weight"))
    assert str(error.value) == (
        "'net' does not fit model 'small'; weights without a layer: convv; did you mean 'conv'?; "
        "layers without a weight: conv; did you mean 'convv'?"
    )


def test_a_weight_of_another_shape_is_refused() -> None:
    with pytest.raises(ModelReadError, match=r"conv.weight has shape \(4, 2, 5, 5\); layer 'conv' has M 4 x C 2 x R 3"):
        with_compressed(graph(), model(clustered((4, 2, 5, 5), Granularity("row"))))


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "no.safetensors"
    path.write_bytes(b"nothing")
    with pytest.raises(InputError):
        read_model(graph(), compressed=path)


def test_a_tied_weight_is_found_under_its_other_name() -> None:
    tied = model(clustered((4, 2, 3, 3), Granularity("row")), "other.weight")
    tied = replace(tied, ties={"conv.weight": "other.weight"})
    with pytest.raises(ModelReadError, match="weights without a layer: other"):
        with_compressed(graph(), model(clustered((4, 2, 3, 3), Granularity("row")), "other.weight"))
    weight = with_compressed(graph(), tied).layers[0].tensor("weight")
    assert weight is not None
    assert weight.codebook is not None
