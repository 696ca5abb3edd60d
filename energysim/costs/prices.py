"""Pricing: energy is linear in counts, so one function gives the pJ of one counted element of each key."""

from collections.abc import Iterable

from energysim.costs.full_adders import full_adders_per_operation
from energysim.errors import InputError
from energysim.hardware.accelerator import Accelerator, EnergyTable, Price
from energysim.mapping.counts import PARTIAL, UNIT, Counts, Key
from energysim.mapping.nest import Mapping
from energysim.workload.encoding import ENCODINGS
from energysim.workload.layer import Layer

PRICED_AS = {"read": "read", "drain": "read", "write": "write", "fill": "write"}
"""Which price a memory action pays: both directions of reading cost `read`, both of writing `write`."""


def bits_moved(layer: Layer, accelerator: Accelerator, component: str, tensor_name: str) -> float:
    """Expected bits that one element of a tensor occupies on the wires of a component.

    A memory's own coding comes first; in the outermost memory a tensor otherwise rests in its own encoding.
    """
    name = layer.output.name if tensor_name == PARTIAL else tensor_name
    tensor = next(t for t in layer.tensors if t.name == name)
    if tensor_name == PARTIAL:
        return float(tensor.partial_bits or tensor.bits)
    coding = next((m.codings.get(tensor.role) for m in accelerator.memories if m.name == component), None)
    if coding is None:
        coding = tensor.encoding if component == accelerator.memories[0].name else "dense"
    return ENCODINGS[coding](tensor.bits, tensor.density)


def active_share(layer: Layer, accelerator: Accelerator) -> float:
    """Share of operations left when zeros of the gating tensors suppress them (independent zeros)."""
    share = 1.0
    for tensor in layer.tensors:
        if layer.unit == "mac" and tensor.role in accelerator.compute.gates:
            share *= tensor.density
    return share


def operation_pj(price: Price, layer: Layer) -> float:
    """pJ of one operation of a layer: the price, or the price of a full adder times those that one operation takes."""
    return price.pj * full_adders_per_operation(layer) if price.per_full_adder else price.pj


def price_of(accelerator: Accelerator, table: EnergyTable, layer: Layer, key: Key) -> Price:
    """The table's price for a counted key; raises InputError when there is none."""
    component, action, tensor_name = key
    name = layer.output.name if tensor_name == PARTIAL else tensor_name
    role = next((t.role for t in layer.tensors if t.name == name), UNIT)
    found = table.price(component, PRICED_AS.get(action, action), role)
    if found is None:
        raise InputError(f"{accelerator.name}: no price for {component}.{PRICED_AS.get(action, action)} of {role}")
    return found


def suppressible(layer: Layer, mapping: Mapping, keys: Iterable[Key]) -> frozenset[Key]:
    """The keys that gating suppresses: operations, and what they read and write in a tensor's innermost memory."""
    innermost = {tensor.name: mapping.keepers(tensor.name)[-1] for tensor in layer.tensors}
    innermost[PARTIAL] = innermost[layer.output.name]
    return frozenset(
        key for key in keys if key[2] == UNIT or (key[1] in ("read", "write") and innermost[key[2]] == key[0])
    )


def unit_prices(
    layer: Layer, accelerator: Accelerator, table: EnergyTable, mapping: Mapping, keys: Iterable[Key]
) -> dict[Key, float]:
    """pJ per counted element for each key: price x bits / access width, x the share not gated where zeros gate it.

    Of the mapping only its keepers matter, for what gating suppresses.
    """
    share = active_share(layer, accelerator)
    keys = tuple(keys)
    gated_keys = suppressible(layer, mapping, keys)
    result = {}
    for key in keys:
        component, _, tensor = key
        price = price_of(accelerator, table, layer, key)
        if tensor == UNIT:
            gated = table.price(component, "gated", UNIT)
            result[key] = operation_pj(price, layer) * share
            result[key] += (operation_pj(gated, layer) if gated else 0.0) * (1.0 - share)
            continue
        pj = price.pj
        if price.width_bits is not None:
            pj *= bits_moved(layer, accelerator, component, tensor) / price.width_bits
        result[key] = pj * share if key in gated_keys else pj
    return result


def energy_by_key(
    counts: Counts, layer: Layer, accelerator: Accelerator, table: EnergyTable, mapping: Mapping
) -> dict[Key, float]:
    """pJ of each counted key (static energy apart)."""
    prices = unit_prices(layer, accelerator, table, mapping, counts.values)
    return {key: counts.values[key] * prices[key] for key in counts.values}
