"""Sharing before there are weights: codebooks as large as a cluster rate makes them; which sample is which is open."""

from collections.abc import Iterable
from dataclasses import replace

from energysim.errors import InputError
from energysim.granularity import Granularity
from energysim.workload.encoding import Codebook
from energysim.workload.graph import LayerGraph
from energysim.workload.layer import Layer
from energysim.workload.precision import kind

CONVOLUTIONS = ("convolution", "transposed_convolution")

ROW = Granularity("row")


def planned_sharing(
    graph: LayerGraph,
    cluster_rate: float,
    granularity: Granularity = ROW,
    *,
    first_rate: float | None = None,
    ops: Iterable[str] = CONVOLUTIONS,
) -> LayerGraph:
    """The graph with the weights of some ops shared at a cluster rate: K = rate x N centroids, rounded, at least 1.

    The first layer may have a rate of its own (DeepK §2.1). Indices are of fixed width. Raises InputError for a rate
    outside 0..1.
    """
    for rate in (cluster_rate, 1.0 if first_rate is None else first_rate):
        if not 0.0 < rate <= 1.0:
            raise InputError(f"cluster rate {rate:g} is not above 0 and at most 1")
    kinds = frozenset(ops)
    shared = [y for y in graph.layers if y.op in kinds and y.macs and any(kind(t) == "weight" for t in y.tensors)]
    changed = {}
    for layer in shared:
        rate = first_rate if first_rate is not None and layer is shared[0] else cluster_rate
        samples, _ = granularity.sample_shape(weight_shape(layer))
        changed[layer.name] = with_clusters(layer, max(1, round(rate * samples)), granularity)
    return graph.with_layers(changed)


def with_clusters(layer: Layer, clusters: int, granularity: Granularity = ROW) -> Layer:
    """The layer with its weight shared by so many centroids; raises InputError where it has fewer samples."""
    samples, length = granularity.sample_shape(weight_shape(layer))
    if not 1 <= clusters <= samples:
        raise InputError(f"layer '{layer.name}': {clusters} clusters of its {samples} samples cannot be")
    spans = {"row": ("S",), "scalar": (), "slice": ("R", "S"), "filter": ("C", "R", "S")}.get(granularity.kind)
    sample = None if spans is None else tuple((dim, layer.dims[dim]) for dim in spans)
    bits = (clusters - 1).bit_length()
    book = Codebook(str(granularity), clusters, length, samples, bits, float(bits), sample=sample)
    tensors = (replace(t, codebook=book) if kind(t) == "weight" else t for t in layer.tensors)
    return replace(layer, tensors=tuple(tensors))


def weight_shape(layer: Layer) -> tuple[int, int, int, int]:
    """The shape of a layer's weight as PyTorch keeps it: output channels, inputs per group, kernel height and width."""
    dims = layer.dims
    return dims["G"] * dims["M"], dims["C"], dims["R"], dims["S"]


def cluster_rate(graph: LayerGraph) -> float | None:
    """Centroids per sample, K / N, over all shared weights; None where there are none."""
    books = [t.codebook for layer in graph.layers for t in layer.tensors if t.codebook is not None]
    return sum(b.clusters * b.blocks for b in books) / sum(b.samples for b in books) if books else None
