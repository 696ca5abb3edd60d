"""Pricing: energy is linear in counts, so one function gives the pJ of one counted element of each key."""

from collections.abc import Iterable

from energysim.costs.full_adders import full_adders_per_operation
from energysim.errors import InputError
from energysim.hardware.accelerator import CODEBOOK, Accelerator, EnergyTable, Memory, Price
from energysim.mapping.counted import LOOK_UP, PARTIAL, PRODUCT, UNIT, Counts, Key
from energysim.mapping.nest import Mapping
from energysim.workload.encoding import ENCODINGS
from energysim.workload.layer import Layer, Tensor

PRICED_AS = {"read": "read", "drain": "read", LOOK_UP: "read", "write": "write", "fill": "write"}
"""Which price a memory action pays: both directions of reading cost `read`, both of writing `write`."""


def bits_moved(layer: Layer, accelerator: Accelerator, component: str, tensor_name: str, action: str = "read") -> float:
    """Expected bits that one element of a tensor occupies on the wires of a component.

    A shared weight travels as coded indices to the innermost memory of coded data, as plain ones to that of its
    codebook, as itself from there. Otherwise a memory's own coding comes first, then, where tensors rest coded, theirs.
    """
    if tensor_name in (CODEBOOK, PRODUCT):
        entries = (t.bits for t in layer.tensors if t.codebook is not None)
        return float(max(entries) if tensor_name == CODEBOOK else product_bits(layer))
    name = layer.output.name if tensor_name == PARTIAL else tensor_name
    tensor = next(t for t in layer.tensors if t.name == name)
    if tensor_name == PARTIAL:
        return float(tensor.partial_bits or tensor.bits)
    coding = None
    for level in accelerator.levels:
        if level.name == component and isinstance(level, Memory):
            coding = level.codings.get(tensor.role)
    if tensor.codebook is None and coding is None and tensor.encoding == "dense":
        # by far most elements: nothing has to be looked up
        return float(tensor.bits)
    coded = accelerator.order.get(component, 0) <= accelerator.order.get(accelerator.coded_to, 0)
    if tensor.codebook is not None and accelerator.sharing is not None:
        if action == LOOK_UP or accelerator.order[component] > accelerator.order[accelerator.sharing.memory]:
            return float(tensor.bits)
        return (tensor.codebook.coded_bits if coded else tensor.codebook.index_bits) / tensor.codebook.length
    if coding is None:
        coding = tensor.encoding if coded else "dense"
    return ENCODINGS[coding](tensor.bits, tensor.density)


def stored_bits(tensor: Tensor, layer: Layer) -> int:
    """Bits of a weight at its own widths: its elements, or the indices (fixed width) and centroids of its codebook."""
    book = tensor.codebook
    if book is None:
        return tensor.elements(layer.dims) * tensor.bits
    return book.samples * book.index_bits + book.entries * tensor.bits


def product_bits(layer: Layer) -> int:
    """Width of a product of a sample and inputs: both operands' bits and ceil(log2) of the terms added (DeepK §3)."""
    book = next(t.codebook for t in layer.tensors if t.codebook is not None)
    operands = sum(next(t.bits for t in layer.tensors if t.role == role) for role in ("weight", "input"))
    return operands + (book.length - 1).bit_length()


def active_share(layer: Layer, accelerator: Accelerator) -> float:
    """Share of operations left when zeros of the gating tensors suppress them: their zeros are taken as independent."""
    return _share(layer, accelerator.compute.gates)


def timed_share(layer: Layer, accelerator: Accelerator) -> float:
    """Share of operations that take time: all but those that zeros of the skipped tensors leave out."""
    return _share(layer, accelerator.compute.skips)


def _share(layer: Layer, roles: frozenset[str]) -> float:
    share = 1.0
    for tensor in layer.tensors:
        if layer.unit == "mac" and tensor.role in roles:
            share *= tensor.density
    return share


def operation_pj(price: Price, layer: Layer, action: str = "") -> float:
    """pJ of one operation of a layer: the price, or the price of a full adder times those that one operation takes."""
    return price.pj * full_adders_per_operation(layer, action) if price.per_full_adder else price.pj


def price_of(accelerator: Accelerator, table: EnergyTable, layer: Layer, key: Key) -> Price:
    """The table's price for a counted key; raises InputError when there is none."""
    component, action, tensor_name = key
    role = priced_role(layer, tensor_name)
    found = table.price(component, PRICED_AS.get(action, action), role)
    if found is None:
        raise InputError(f"{accelerator.name}: no price for {component}.{PRICED_AS.get(action, action)} of {role}")
    return found


def priced_role(layer: Layer, tensor_name: str) -> str:
    """The role whose price a counted tensor pays; a codebook is weights, a product has prices of its own."""
    if tensor_name in (CODEBOOK, PRODUCT):
        return "weight" if tensor_name == CODEBOOK else "*"
    name = layer.output.name if tensor_name == PARTIAL else tensor_name
    return next((t.role for t in layer.tensors if t.name == name), UNIT)


def suppressible(
    layer: Layer, accelerator: Accelerator, mapping: Mapping, keys: Iterable[Key], products: bool | None = None
) -> frozenset[Key]:
    """The keys that gating suppresses: operations, and what they read and write in a tensor's innermost memory.

    With shared products (None: whether any are among the keys) a zero input spares its multiplications and what these
    read; products are added all the same.
    """
    keys = tuple(keys)
    if products is None:
        products = any(tensor == PRODUCT for _, _, tensor in keys)
    innermost = {tensor.name: mapping.keepers(tensor.name)[-1] for tensor in layer.tensors}
    innermost[PARTIAL] = innermost[layer.output.name]
    at_end = {(component, tensor) for tensor, component in innermost.items()}
    if accelerator.sharing is not None and accelerator.sharing.table_bits is not None:
        at_end |= {(CODEBOOK, t) for t, component in innermost.items() if component == accelerator.sharing.memory}
    actions = ("read", LOOK_UP) if products else ("read", "write", LOOK_UP)
    read = {t.name for t in layer.tensors if t.role == "input"} if products else set(innermost)
    return frozenset(
        (component, action, tensor)
        for component, action, tensor in keys
        if (tensor == UNIT and action != "add")
        or (action in actions and (tensor in read or action == LOOK_UP) and (component, tensor) in at_end)
    )


def unit_prices(
    layer: Layer,
    accelerator: Accelerator,
    table: EnergyTable,
    mapping: Mapping,
    keys: Iterable[Key],
    products: bool | None = None,
) -> dict[Key, float]:
    """pJ per counted element for each key: price x bits / access width, x the share not gated where zeros gate it.

    Of the mapping only its keepers matter, for what gating suppresses; `products` as in `suppressible`.
    """
    share = active_share(layer, accelerator)
    keys = tuple(keys)
    gated_keys = suppressible(layer, accelerator, mapping, keys, products)
    result = {}
    bits = dict[tuple[str, str, bool], float]()
    for key in keys:
        component, action, tensor = key
        price = price_of(accelerator, table, layer, key)
        if tensor == UNIT:
            gated = table.price(component, "gated", UNIT)
            active = share if key in gated_keys else 1.0
            result[key] = operation_pj(price, layer, action) * active
            result[key] += (operation_pj(gated, layer, action) if gated else 0.0) * (1.0 - active)
            continue
        pj = price.pj
        if price.width_bits is not None:
            # but for look-ups it does not matter what is done
            place = (component, tensor, action == LOOK_UP)
            if place not in bits:
                bits[place] = bits_moved(layer, accelerator, component, tensor, action)
            pj *= bits[place] / price.width_bits
        result[key] = pj * share if key in gated_keys else pj
    return result


def energy_by_key(
    counts: Counts, layer: Layer, accelerator: Accelerator, table: EnergyTable, mapping: Mapping
) -> dict[Key, float]:
    """pJ of each counted key (static energy apart)."""
    prices = unit_prices(layer, accelerator, table, mapping, counts.values)
    return {key: counts.values[key] * prices[key] for key in counts.values}
