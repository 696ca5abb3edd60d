"""What the papers count instead of energy: full adders, bits at each use, bits once, and their sum in MACs (DeepK §3).

Which layers share weights is given apart from the graph, as a `SharedWeight` each: planned from a cluster rate here,
or found in a file. Pruning is the density of a layer's weight.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from math import fsum
from types import MappingProxyType
from typing import Any

from energysim.costs.full_adders import full_adders, full_adders_of_dot_product, reduction_length
from energysim.errors import InputError, unknown
from energysim.granularity import Granularity
from energysim.workload.graph import LayerGraph
from energysim.workload.layer import Layer
from energysim.workload.precision import kind

ACCESS_IN_MACS = 6
"""A 16-bit word of the global buffer costs so many 16-bit MACs (DeepK §4.2.1; Eyeriss)."""

OPERAND_BITS = 32
"""The two 16-bit operands of the MAC that is the unit: an access is priced for both (METHODS, READING of DeepK)."""

CONVOLUTIONS = ("convolution", "transposed_convolution")


@dataclass(frozen=True, slots=True)
class SharedWeight:
    """A weight of N `samples`, `length` elements each, that are K `clusters` centroids; InputError for what cannot be.

    `index_bits` is the width of one index.
    """

    samples: int
    clusters: int
    length: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.clusters <= self.samples or self.length < 1:
            raise InputError(f"{self.clusters} clusters of {self.samples} samples of length {self.length} cannot be")

    @property
    def cluster_rate(self) -> float:
        """K / N."""
        return self.clusters / self.samples

    @property
    def index_bits(self) -> int:
        """ceil(log2 K): 0 where one centroid serves all."""
        return (self.clusters - 1).bit_length()


@dataclass(frozen=True, slots=True)
class LayerMetrics:
    """The metrics of one layer: bits and full adders, whole numbers; `mac_units` are 16-bit MACs.

    `full_adders` is the computational cost, under sharing its upper bound, `least_full_adders` the lower one (C / CR).
    `weight_cost_bits`, `activation_cost_bits`, `index_cost_bits` count a bit at every use (DeepK), `stored_...` once
    (Sakr17: weights with codebook and indices, inputs of MACs). `compulsory_bits`: weights as stored, inputs and
    outputs, once. `mac_units` is DeepK's total, `least_mac_units` that with `least_full_adders`. Layers of plain
    operations have stored weights and compulsory bits only.
    """

    name: str
    op: str
    macs: int
    full_adders: int
    least_full_adders: int
    weight_cost_bits: int
    index_cost_bits: int
    activation_cost_bits: int
    stored_weight_bits: int
    stored_activation_bits: int
    compulsory_bits: int
    mac_units: float
    least_mac_units: float


@dataclass(frozen=True, slots=True)
class Metrics:
    """The metrics of a network, layer by layer; `total` is a row of the sums, named "total"."""

    model: str
    layers: tuple[LayerMetrics, ...]

    @property
    def total(self) -> LayerMetrics:
        """Sums over all layers."""
        names = [each.name for each in fields(LayerMetrics)][2:]
        columns = {name: [getattr(row, name) for row in self.layers] for name in names}
        sums: dict[str, Any] = {
            name: fsum(column) if isinstance(column[0], float) else sum(column) for name, column in columns.items()
        }
        return LayerMetrics("total", "", **sums)


def metrics(
    graph: LayerGraph,
    shared: Mapping[str, SharedWeight] = MappingProxyType({}),
    *,
    count_indices: bool = True,
    bias: bool = False,
) -> Metrics:
    """The metrics of a network whose weights are `shared` by layer name and pruned to their densities (METHODS §5).

    DeepK ignores index bits: `count_indices=False`. `bias` counts one more input to each output (Sakr17). Under
    pruning all costs are multiplied by the weight's density, positions of the non-zero weights not counted. Raises
    UnknownNameError for a layer that is not there, InputError for samples that are not those of its weight.
    """
    layers = {layer.name: layer for layer in graph.layers}
    for name in shared:
        if name not in layers:
            raise unknown(f"layer of {graph.name}", name, layers)
    rows = (_layer(layer, shared.get(layer.name), count_indices, bias) for layer in graph.layers)
    return Metrics(graph.name, tuple(rows))


def planned_sharing(
    graph: LayerGraph,
    cluster_rate: float,
    granularity: Granularity | None = None,
    *,
    first_rate: float | None = None,
    ops: Iterable[str] = CONVOLUTIONS,
) -> dict[str, SharedWeight]:
    """What sharing at a cluster rate will make of the weights of some ops, by layer: K = rate x N, rounded, at least 1.

    Samples are kernel rows unless told otherwise; the first layer may have a rate of its own (DeepK §2.1). Raises
    InputError for a rate outside 0..1.
    """
    for rate in (cluster_rate, 1.0 if first_rate is None else first_rate):
        if not 0.0 < rate <= 1.0:
            raise InputError(f"cluster rate {rate:g} is not above 0 and at most 1")
    granularity = granularity or Granularity("row")
    kinds = frozenset(ops)
    planned: dict[str, SharedWeight] = {}
    for layer in graph.layers:
        weight = layer.tensor("weight")
        if layer.op not in kinds or weight is None or not layer.macs:
            continue
        rate = first_rate if first_rate is not None and not planned else cluster_rate
        samples, length = granularity.sample_shape(weight_shape(layer))
        planned[layer.name] = SharedWeight(samples, max(1, round(rate * samples)), length)
    return planned


def weight_shape(layer: Layer) -> tuple[int, int, int, int]:
    """The shape of a convolution's weight as PyTorch keeps it: output channels, inputs per group, kernel."""
    dims = layer.dims
    return dims["G"] * dims["M"], dims["C"], dims["R"], dims["S"]


def _layer(layer: Layer, shared: SharedWeight | None, count_indices: bool, bias: bool) -> LayerMetrics:
    bits = dict.fromkeys(("weight", "input", "output"), 0)
    used_bits = dict.fromkeys(bits, 0)
    for tensor in layer.tensors:
        bits[kind(tensor)] += tensor.elements(layer.dims) * tensor.bits
        used_bits[kind(tensor)] += tensor.bits
    weight = next((t for t in layer.tensors if kind(t) == "weight"), None)
    density = weight.density if weight else 1.0
    elements = weight.elements(layer.dims) if weight else 0
    kept = layer.macs
    if shared:
        _check(layer, shared, elements)
        kept = layer.macs * shared.clusters * shared.length // elements
    index_bits = shared.index_bits if shared and count_indices else 0
    stored = bits["weight"]
    if shared and weight:
        stored = shared.clusters * shared.length * weight.bits + shared.samples * index_bits
    # a bit of an index is used as often as the weights it stands for
    indices = layer.macs * index_bits // shared.length if shared else 0
    adders = round(full_adders(layer, bias=bias) * density) if layer.macs else 0
    least = round(adders * shared.cluster_rate) if shared else adders
    uses = kept * used_bits["weight"], indices, layer.macs * used_bits["input"]
    weight_cost, index_cost, activation_cost = (round(n * density) for n in uses)
    stored = round(stored * density)
    per_bit = 0.0
    unit = 1.0
    if layer.macs:
        length = reduction_length(layer) + bias
        unit = full_adders_of_dot_product(length, 16, 16) / length
        per_bit = ACCESS_IN_MACS / OPERAND_BITS
    moved = per_bit * (weight_cost + index_cost + activation_cost)
    return LayerMetrics(
        layer.name,
        layer.op,
        layer.macs,
        adders,
        least,
        weight_cost,
        index_cost,
        activation_cost,
        stored,
        bits["input"] if layer.macs else 0,
        stored + bits["input"] + bits["output"],
        adders / unit + moved,
        least / unit + moved,
    )


def _check(layer: Layer, shared: SharedWeight, elements: int) -> None:
    """The last of the samples may reach beyond the weight's end, no more."""
    if not 0 <= shared.samples * shared.length - elements < shared.length:
        says = f"{shared.samples} samples of {shared.length} are not those of its {elements} weights"
        raise InputError(f"layer '{layer.name}': {says}")
