"""The papers' metrics against their published numbers and against counting on paper."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from energysim.costs.full_adders import full_adders, full_adders_of_dot_product
from energysim.costs.metrics import LayerMetrics, exact_full_adders, metrics
from energysim.costs.traffic import compulsory_bits
from energysim.errors import InputError
from energysim.granularity import Granularity
from energysim.hardware.read import read_accelerator
from energysim.workload.encoding import Indices
from energysim.workload.graph import LayerGraph
from energysim.workload.layer import Layer, convolution
from energysim.workload.operations import matmul, pooling
from energysim.workload.planned import cluster_rate, planned_sharing, with_clusters
from energysim.workload.precision import Bits, parse_bits, with_bits, with_density
from energysim.workload.read import read_model

RATES = (0.5, 0.3, 0.25, 0.2, 0.15, 0.1, 0.05, 0.01)


def small(bits: int | str = 16) -> LayerGraph:
    """One convolution: 2 outputs, 3 inputs, 3x3, 4x5 positions: 54 weights in 18 rows, 1,080 MACs."""
    layer = convolution("conv", m=2, c=3, p=4, q=5, r=3, s=3)
    return with_bits(LayerGraph("small", (layer,)), parse_bits(bits))


def shared_small() -> LayerGraph:
    """Its 18 rows of 3 are 4 centroids; weights 4 bits, activations 8."""
    graph = small("w4a8")
    return graph.with_layers({"conv": with_clusters(graph.layers[0], 4)})


def alexnet(tmp_path: Path) -> LayerGraph:
    """16 bits, the weights of fully connected layers 8: as DeepK §4.2.1."""
    file = tmp_path / "deepk.yaml"
    file.write_text('bits: 16\nlayers:\n  "fc*": {weight: {bits: 8}}\n')
    return read_model("alexnet", bits=file)


def test_sakr17_counts_the_bias_as_an_input() -> None:
    dense = with_bits(LayerGraph("mlp", (convolution("fc", m=512, c=784, p=1, q=1, op="linear"),)), parse_bits(8))
    assert metrics(dense, bias=True).total.full_adders == 512 * 69_840
    # 784*64 + 783*25
    assert metrics(dense).total.full_adders == 512 * (784 * 64 + 783 * 25)


def test_alexnet_dense_is_deepk_s_total(tmp_path: Path) -> None:
    total = metrics(alexnet(tmp_path)).total
    adders = total.mac_units - (total.weight_cost_bits + total.activation_cost_bits) * 6 / 32
    published = (adders, total.weight_cost_bits * 6 / 32, total.activation_cost_bits * 6 / 32, total.mac_units)
    assert published == pytest.approx((6.98e8, 2.085e9, 2.173e9, 4.956e9), rel=5e-4)


def test_alexnet_at_its_eight_cluster_rates(tmp_path: Path) -> None:
    graph = alexnet(tmp_path)
    dense = metrics(graph).total.mac_units
    shared = (metrics(planned_sharing(graph, rate), count_indices=False).total for rate in RATES)
    ratios = [total.mac_units / dense for total in shared]
    # METHODS §5; at 0.15 we get 0.65746
    assert ratios == pytest.approx([0.799, 0.718, 0.698, 0.678, 0.658, 0.637, 0.617, 0.601], abs=6e-4)


def test_lenet_conv1_saves_one_minus_k_over_n() -> None:
    # DeepK Fig. 2: conv1 of LeNet has N = 20*1*5 = 100 rows; K = 10..1 gives 90..99 %
    graph = read_model("lenet_caffe5")
    dense = {row.name: row.weight_cost_bits for row in metrics(graph).layers}
    for clusters in range(1, 11):
        shared = graph.with_layers({"conv1": with_clusters(graph.layers[0], clusters)})
        found = metrics(shared, count_indices=False).layers[0]
        assert 1 - found.weight_cost_bits / dense["conv1"] == pytest.approx(1 - clusters / 100, abs=1e-12)


def test_every_number_on_paper() -> None:
    # K = 4 of 18 rows, 2-bit indices; weights 4 bits, activations 8
    (row,) = metrics(shared_small()).layers
    outputs = 2 * 4 * 5
    # D = 27: 27*32 products, 26 adders of 8+4+5-1 bits
    assert row.full_adders == outputs * (27 * 32 + 26 * 16) == outputs * full_adders_of_dot_product(27, 4, 8)
    assert row.least_full_adders == round(row.full_adders * 4 / 18)
    # each of 4*3 stored weights at 20 positions; each of 18 indices likewise; each input of a MAC
    assert row.weight_cost_bits == 12 * 4 * 20
    assert row.index_cost_bits == 18 * 2 * 20
    assert row.activation_cost_bits == 1080 * 8
    assert row.stored_weight_bits == 12 * 4 + 18 * 2
    assert row.stored_activation_bits == 3 * 6 * 7 * 8
    assert row.compulsory_bits == row.stored_weight_bits + row.stored_activation_bits + outputs * 8
    unit = full_adders_of_dot_product(27, 16, 16) / 27
    moved = (960 + 720 + 8640) * 6 / 32
    assert row.mac_units == pytest.approx(row.full_adders / unit + moved)
    assert row.least_mac_units == pytest.approx(row.least_full_adders / unit + moved)


def test_without_index_bits() -> None:
    (row,) = metrics(shared_small(), count_indices=False).layers
    assert (row.index_cost_bits, row.stored_weight_bits) == (0, 48)


def test_pruning_divides_all_three() -> None:
    dense = metrics(small()).total
    pruned = metrics(with_density(small(), {"conv": {"weight": 0.25}})).total
    for name in ("full_adders", "weight_cost_bits", "activation_cost_bits", "stored_weight_bits", "mac_units"):
        assert getattr(pruned, name) * 4 == pytest.approx(getattr(dense, name))
    assert pruned.stored_activation_bits == dense.stored_activation_bits


def test_a_product_of_activations_has_no_weights() -> None:
    (row,) = metrics(LayerGraph("a", (matmul("scores", {"G": 2, "P": 3, "C": 4, "M": 5}),))).layers
    assert (row.weight_cost_bits, row.stored_weight_bits) == (0, 0)
    assert row.activation_cost_bits == 120 * (16 + 16)


def test_plain_operations_are_stored_and_moved_only() -> None:
    layer = pooling("pool", "max_pool", {"M": 2, "P": 2, "Q": 2, "R": 2, "S": 2}, (2, 2))
    (row,) = metrics(LayerGraph("a", (layer,))).layers
    assert (row.full_adders, row.mac_units, row.weight_cost_bits, row.stored_activation_bits) == (0, 0.0, 0, 0)
    assert row.compulsory_bits == (2 * 16 + 2 * 4) * 16


def test_compulsory_traffic_is_the_estimate_s() -> None:
    accelerator = read_accelerator("one_mac").accelerator
    graph = read_model("googlenet", bits=8)
    assert metrics(graph).total.compulsory_bits == sum(compulsory_bits(y, accelerator) for y in graph.layers)


sizes = st.integers(1, 6)


@st.composite
def shared_layers(draw: st.DrawFn) -> tuple[Layer, int]:
    """A convolution and the rows of its weight."""
    m, c, p, q, r = (draw(sizes) for _ in range(5))
    layer = convolution("conv", g=draw(st.integers(1, 2)), m=m, c=c, p=p, q=q, r=r, s=r)
    return layer, layer.dims["G"] * m * c * r


@given(shared_layers(), st.integers(1, 32), st.integers(1, 32), st.data())
def test_more_never_costs_less(drawn: tuple[Layer, int], weight: int, activation: int, data: st.DataObject) -> None:
    layer, samples = drawn
    clusters = data.draw(st.integers(1, samples))
    graph = LayerGraph("a", (with_clusters(layer, clusters),))

    def total(bits: Bits, **options: bool) -> LayerMetrics:
        return metrics(with_bits(graph, bits), **options).total

    one = total(Bits(weight, activation))
    for more in (total(Bits(weight + 1, activation)), total(Bits(weight, activation + 1))):
        assert more.mac_units > one.mac_units
        assert more.full_adders > one.full_adders
        assert more.weight_cost_bits >= one.weight_cost_bits
        assert more.activation_cost_bits >= one.activation_cost_bits
        assert more.compulsory_bits > one.compulsory_bits
    assert one.full_adders == full_adders(with_bits(LayerGraph("a", (layer,)), Bits(weight, activation)).layers[0])
    assert one.least_mac_units <= one.mac_units <= total(Bits(weight, activation), bias=True).mac_units
    assert total(Bits(weight, activation), count_indices=False).mac_units <= one.mac_units


@given(shared_layers(), st.data())
def test_all_rows_distinct_without_indices_is_dense(drawn: tuple[Layer, int], data: st.DataObject) -> None:
    layer, samples = drawn
    graph = LayerGraph("a", (layer,))
    every = LayerGraph("a", (with_clusters(layer, samples),))
    assert metrics(every, count_indices=False) == metrics(graph)
    fewer = LayerGraph("a", (with_clusters(layer, data.draw(st.integers(1, samples))),))
    assert metrics(fewer, count_indices=False).total.weight_cost_bits <= metrics(graph).total.weight_cost_bits


def test_full_adders_are_exact_where_indices_are_known() -> None:
    # METHODS §5: M=2, C=1, R=S=2, 3x3 input; filter 0 has rows (A, B), filter 1 (A, A): 20 products, 18 additions
    layer = with_clusters(convolution("conv", m=2, c=1, p=2, q=2, r=2, s=2), 2)
    graph = with_bits(LayerGraph("a", (layer,)), parse_bits(8))
    upper, lower = metrics(graph).total.full_adders, metrics(graph).total.least_full_adders
    assert (upper, lower) == (32 * 64 + 24 * 17, (32 * 64 + 24 * 17) // 2)
    assert exact_full_adders(graph.layers[0]) is None
    known = Indices(np.array([[[[[0], [1]]], [[[0], [0]]]]]))
    exact = metrics(graph.with_layers({"conv": with_indices(graph.layers[0], known)}))
    (found,) = exact.layers
    assert (exact.exact, metrics(graph).exact) == (("conv",), ())
    assert found.full_adders == found.least_full_adders == 20 * 64 + 18 * 17 == 1586
    assert lower < found.full_adders < upper


def with_indices(layer: Layer, indices: Indices) -> Layer:
    tensors = tuple(
        replace(t, codebook=replace(t.codebook, indices=indices)) if t.codebook else t for t in layer.tensors
    )
    return replace(layer, tensors=tensors)


@given(shared_layers(), st.data())
def test_exact_full_adders_lie_between_one_product_and_all(drawn: tuple[Layer, int], data: st.DataObject) -> None:
    layer, samples = drawn
    clusters = data.draw(st.integers(1, samples))
    shape = tuple(layer.dims[d] for d in "GMCR")
    labels = data.draw(st.lists(st.integers(0, clusters - 1), min_size=samples, max_size=samples))
    known = Indices(np.array(labels).reshape((*shape, 1)))
    exact = exact_full_adders(with_indices(with_clusters(layer, clusters), known))
    distinct = exact_full_adders(
        with_indices(with_clusters(layer, samples), Indices(np.arange(samples).reshape((*shape, 1))))
    )
    assert exact is not None
    # all rows distinct: exactly the dense products and additions
    assert exact <= distinct == full_adders(layer)


def test_planned_sharing_of_alexnet_is_rows_of_convolutions() -> None:
    planned = books(planned_sharing(read_model("alexnet"), 0.01, first_rate=0.5))
    assert list(planned) == ["conv1", "conv2", "conv3", "conv4", "conv5"]
    # 96*3*11 rows of 11; 256*48*5 rows of 5
    assert planned["conv1"] == (3168, 1584, 11, 11)
    assert planned["conv2"] == (61440, 614, 5, 10)
    vectors = books(planned_sharing(read_model("alexnet"), 0.01, Granularity("vector", 4), ops=("linear",)))
    assert vectors["fc8"] == (1_024_000, 10_240, 4, 14)
    assert cluster_rate(planned_sharing(read_model("alexnet"), 0.01)) == pytest.approx(0.01, rel=1e-3)
    assert cluster_rate(read_model("alexnet")) is None


def books(graph: LayerGraph) -> dict[str, tuple[int, int, int, int]]:
    """Samples, clusters, length, index bits by layer."""
    found = {layer.name: t.codebook for layer in graph.layers for t in layer.tensors if t.codebook}
    return {name: (book.samples, book.clusters, book.length, book.index_bits) for name, book in found.items()}


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.01, float("nan")])
def test_rates_that_cannot_be(rate: float) -> None:
    with pytest.raises(InputError, match="cluster rate"):
        planned_sharing(small(), rate)
    with pytest.raises(InputError, match="cluster rate"):
        planned_sharing(small(), 0.5, first_rate=rate)


def test_clusters_that_cannot_be() -> None:
    for clusters in (0, 19):
        with pytest.raises(InputError, match=r"layer 'conv': .* clusters of its 18 samples"):
            with_clusters(small().layers[0], clusters)


def test_a_weight_that_no_vector_length_divides() -> None:
    # 54 weights are 14 vectors of 4, two weights in both of the last ones
    planned = planned_sharing(small(), 0.5, Granularity("vector", 4))
    assert books(planned) == {"conv": (14, 7, 4, 3)}
    assert metrics(planned).total.stored_weight_bits == 7 * 4 * 16 + 14 * 3


def test_batch_multiplies_uses_not_weights() -> None:
    one, two = metrics(small()).total, metrics(small().with_batch(2)).total
    assert two.mac_units == 2 * one.mac_units
    assert two.stored_weight_bits == one.stored_weight_bits
