"""Compute counted in full adders: what arithmetic costs before anyone chose a technology (DeepK §3)."""

from energysim.errors import InputError
from energysim.hardware.accelerator import Accelerator
from energysim.mapping.counted import UNIT, Counts
from energysim.workload.layer import Layer


def full_adders_of_dot_product(length: int, weight_bits: int, input_bits: int) -> int:
    """Full adders of a dot product of `length` terms: `D*Bw*Bx + (D-1)*(Bx + Bw + ceil(log2 D) - 1)`.

    Baugh-Wooley multipliers and ripple-carry adders (Sakr et al. 2017). Raises InputError below one term or bit.
    """
    if min(length, weight_bits, input_bits) < 1:
        raise InputError(f"dot product of {length} terms at {weight_bits} x {input_bits} bits: each must be at least 1")
    return length * weight_bits * input_bits + (length - 1) * _adder_bits(length, weight_bits, input_bits)


def full_adders(layer: Layer, *, bias: bool = False) -> int:
    """Full adders of a layer: its dot products for MACs; one per bit of the widest operand for a plain operation.

    Where outputs sum different numbers of terms (transposed convolution) the products and additions are the
    layer's own, the adder width that of the longest reduction rounded up from their mean. `bias` counts one more
    term to each output, as the code of Sakr17 does.
    """
    widths = [tensor.bits for tensor in layer.tensors if tensor.role != "output"]
    if layer.unit == "op":
        return layer.ops * max(widths, default=layer.output.bits)
    weight_bits, input_bits = (widths * 2)[:2] if len(widths) < 2 else widths[:2]
    outputs = layer.output.elements(layer.dims)
    products = layer.points + outputs * bias
    additions = max(0, products - outputs)
    length = reduction_length(layer) + bias
    return products * weight_bits * input_bits + additions * _adder_bits(length, weight_bits, input_bits)


def full_adders_per_operation(layer: Layer, action: str = "") -> float:
    """Full adders of the mean operation of a layer: a MAC, its share of the additions included, or a plain one.

    Where products are shared, of the `action` "multiply" or "add" alone.
    """
    if action in ("multiply", "add"):
        weight_bits, input_bits = (tensor.bits for tensor in layer.tensors if tensor.role != "output")
        alone = weight_bits * input_bits
        return float(alone if action == "multiply" else _adder_bits(reduction_length(layer), weight_bits, input_bits))
    return full_adders(layer) / (layer.macs + layer.ops)


def reduction_length(layer: Layer) -> int:
    """Terms that one output sums, D: points of the layer / outputs, rounded up where outputs sum different numbers."""
    return -(-layer.points // layer.output.elements(layer.dims))


def full_adders_of_counts(layer: Layer, accelerator: Accelerator, counts: Counts) -> int:
    """Full adders of what is really done: fewer than `full_adders` where products are shared (DeepK §4.2.2)."""
    unit = accelerator.compute.name
    multiplied = counts.values.get((unit, "multiply", UNIT))
    if multiplied is None:
        return full_adders(layer)
    each = [int(full_adders_per_operation(layer, action)) for action in ("multiply", "add")]
    return multiplied * each[0] + counts.values.get((unit, "add", UNIT), 0) * each[1]


def _adder_bits(length: int, weight_bits: int, input_bits: int) -> int:
    return input_bits + weight_bits + (length - 1).bit_length() - 1
