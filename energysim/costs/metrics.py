"""What the papers count instead of energy: full adders, bits at each use, bits once, and their sum in MACs (DeepK §3).

Sharing is the codebook of a layer's weight, read from a compressed file or planned (`planned_sharing`); pruning is its
density.
"""

from dataclasses import dataclass, fields
from math import fsum
from typing import Any

from energysim.costs.full_adders import (
    full_adders,
    full_adders_of_dot_product,
    full_adders_per_operation,
    reduction_length,
)
from energysim.mapping.distinct import products_of
from energysim.mapping.sharing import additions
from energysim.workload.graph import LayerGraph
from energysim.workload.layer import Layer
from energysim.workload.precision import kind

ACCESS_IN_MACS = 6
"""A 16-bit word of the global buffer costs so many 16-bit MACs (DeepK §4.2.1; Eyeriss)."""

OPERAND_BITS = 32
"""The two 16-bit operands of the MAC that is the unit: an access is priced for both (METHODS, READING of DeepK)."""


@dataclass(frozen=True, slots=True)
class LayerMetrics:
    """The metrics of one layer: bits and full adders, whole numbers; `mac_units` are 16-bit MACs.

    `full_adders` is the computational cost, under sharing its upper bound, `least_full_adders` the lower one (C / CR);
    where indices are known both are what they ask for.
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
    """The metrics of a network, layer by layer; `total` is a row of the sums, named "total".

    `exact` names the layers whose weights are shared and whose full adders are no bounds, but follow from the indices.
    """

    model: str
    layers: tuple[LayerMetrics, ...]
    exact: tuple[str, ...] = ()

    @property
    def total(self) -> LayerMetrics:
        """Sums over all layers."""
        names = [each.name for each in fields(LayerMetrics)][2:]
        columns = {name: [getattr(row, name) for row in self.layers] for name in names}
        sums: dict[str, Any] = {
            name: fsum(column) if isinstance(column[0], float) else sum(column) for name, column in columns.items()
        }
        return LayerMetrics("total", "", **sums)


def metrics(graph: LayerGraph, *, count_indices: bool = True, bias: bool = False) -> Metrics:
    """The metrics of a network, its weights shared as their codebooks and pruned as their densities say (METHODS §5).

    DeepK ignores index bits: `count_indices=False`. `bias` counts one more input to each output (Sakr17). Under
    pruning all costs are multiplied by the weight's density, positions of the non-zero weights not counted. Where the
    indices of a shared weight are known, its full adders are exact: each product is computed once.
    """
    exact = tuple(layer.name for layer in graph.layers if products_of(layer) is not None)
    return Metrics(graph.name, tuple(_layer(layer, count_indices, bias) for layer in graph.layers), exact)


def _layer(layer: Layer, count_indices: bool, bias: bool) -> LayerMetrics:
    bits = dict.fromkeys(("weight", "input", "output"), 0)
    used_bits = dict.fromkeys(bits, 0)
    for tensor in layer.tensors:
        bits[kind(tensor)] += tensor.elements(layer.dims) * tensor.bits
        used_bits[kind(tensor)] += tensor.bits
    weight = next((t for t in layer.tensors if kind(t) == "weight"), None)
    book = weight.codebook if weight else None
    density = weight.density if weight else 1.0
    stored = round(bits["weight"] * density)
    kept, indices = layer.macs, 0
    adders = least = round(full_adders(layer, bias=bias) * density) if layer.macs else 0
    if weight and book:
        uses = layer.macs / weight.elements(layer.dims)
        index_bits = book.samples * book.index_bits * count_indices
        kept, indices = round(uses * book.entries), round(uses * index_bits)
        stored = book.entries * weight.bits + index_bits
        exact = exact_full_adders(layer)
        if exact is None:
            least = round(adders * min(1.0, book.clusters * book.blocks / book.samples))
        else:
            # a bias is one product and one addition more for each output
            adders = least = exact + (full_adders(layer, bias=True) - full_adders(layer)) * bias
    costs = kept * used_bits["weight"], indices, layer.macs * used_bits["input"]
    weight_cost, index_cost, activation_cost = (round(n * density) for n in costs)
    per_bit, unit = 0.0, 1.0
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


def exact_full_adders(layer: Layer) -> int | None:
    """Full adders when each product of a shared sample and an input position is computed once ("input dependent").

    None where the layer shares no products, or which sample is which is not known (DeepK §4.2.2, METHODS §5).
    """
    found = products_of(layer)
    if found is None:
        return None
    multiplied = found.multiplications(layer.dims)
    each, added = (full_adders_per_operation(layer, action) for action in ("multiply", "add"))
    return round(multiplied * each + additions(found, multiplied) * added)
