"""The ledger of a layer: for each counted number, count x price = energy, with where the price comes from."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum

from energysim.costs.full_adders import full_adders_per_operation
from energysim.costs.prices import PRICED_AS, active_share, bits_moved, energy_by_key, price_of, suppressible
from energysim.hardware.accelerator import CODEBOOK, PRODUCTS, Accelerator, EnergyTable, Price
from energysim.mapping.counted import UNIT, Counts
from energysim.mapping.nest import Mapping
from energysim.workload.layer import Layer


@dataclass(frozen=True, slots=True)
class Entry:
    """One counted number and what it costs.

    `bits` is what one element occupies on the wires (0 where the price is per operation); `active_share` the share
    that zeros do not suppress; `gated` the price of a suppressed operation, if it has one. `full_adders` is what one
    operation takes (0 where neither price is per full adder).
    """

    component: str
    action: str
    tensor: str
    role: str
    count: int
    price: Price
    bits: float
    active_share: float
    gated: Price | None
    energy_pj: float
    full_adders: float = 0.0

    @property
    def gated_pj(self) -> float:
        """pJ of one suppressed operation."""
        if self.gated is None:
            return 0.0
        return self.gated.pj * (self.full_adders if self.gated.per_full_adder else 1.0)

    @property
    def priced_as(self) -> str:
        """The action whose price it pays: fill pays a write, drain a read."""
        return PRICED_AS.get(self.action, self.action)


def ledger(
    layer: Layer, accelerator: Accelerator, table: EnergyTable, mapping: Mapping, counts: Counts
) -> tuple[Entry, ...]:
    """Every counted number of a layer priced, outermost component first; raises InputError where a price is missing."""
    energies = energy_by_key(counts, layer, accelerator, table, mapping)
    order = {name: i for i, name in enumerate(components(accelerator))}
    share = active_share(layer, accelerator)
    gated_keys = suppressible(layer, accelerator, mapping, energies)
    entries = []
    for key in sorted(energies, key=lambda key: (order[key[0]], key[1:])):
        component, action, tensor = key
        price = price_of(accelerator, table, layer, key)
        moves = price.width_bits is not None and tensor != UNIT
        stops = tensor == UNIT and share < 1.0 and key in gated_keys
        gated = table.price(component, "gated", UNIT) if stops else None
        by_adder = tensor == UNIT and (price.per_full_adder or (gated is not None and gated.per_full_adder))
        entries.append(
            Entry(
                component,
                action,
                tensor,
                role_of(layer, tensor),
                counts.values[key],
                price,
                bits_moved(layer, accelerator, component, tensor, action) if moves else 0.0,
                share if key in gated_keys else 1.0,
                gated,
                energies[key],
                full_adders_per_operation(layer, action) if by_adder else 0.0,
            )
        )
    return tuple(entries)


def components(accelerator: Accelerator) -> tuple[str, ...]:
    """All that counts and energies are kept for, outermost first, the compute unit last."""
    sharing = accelerator.sharing
    shared = [CODEBOOK] * (sharing is not None and sharing.table_bits is not None)
    shared += [PRODUCTS] * (sharing is not None and sharing.style == "product")
    return (*(level.name for level in accelerator.levels), *shared, accelerator.compute.name)


def role_of(layer: Layer, tensor: str) -> str:
    """How a counted tensor is reported: weight, input, output, partial_sum, compute, codebook or product."""
    return next((t.role for t in layer.tensors if t.name == tensor), tensor)


def energy_by_component(entries: Sequence[Entry]) -> dict[str, dict[str, float]]:
    """pJ by component and role, in the ledger's order."""
    parts: dict[str, dict[str, list[float]]] = {}
    for entry in entries:
        parts.setdefault(entry.component, {}).setdefault(entry.role, []).append(entry.energy_pj)
    return {name: {role: fsum(pj) for role, pj in roles.items()} for name, roles in parts.items()}


def counts_by_component(entries: Sequence[Entry]) -> dict[str, dict[str, dict[str, int]]]:
    """Counts by component, action and role: tensors of one role together."""
    merged: dict[str, dict[str, dict[str, int]]] = {}
    for entry in entries:
        roles = merged.setdefault(entry.component, {}).setdefault(entry.action, {})
        roles[entry.role] = roles.get(entry.role, 0) + entry.count
    return merged
