"""What an estimate predicts of a measured thing, before any price is fitted: energy by component, and time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum

from energysim.calibration.times import time_s
from energysim.costs.ledger import energy_by_component, ledger
from energysim.hardware.read import DescribedAccelerator
from energysim.mapping.counts import count
from energysim.mapping.nest import Mapping as Nest
from energysim.workload.layer import Layer


@dataclass(frozen=True, slots=True)
class Predicted:
    """Energy in pJ by component at nominal prices, static energy left out, and seconds, of what `name` measures.

    `network` groups rows that belong to one network.
    """

    name: str
    energy_by_component_pj: Mapping[str, float]
    time_s: float
    network: str = ""

    def without(self, components: frozenset[str]) -> dict[str, float]:
        """The energy of the other components."""
        return {name: pj for name, pj in self.energy_by_component_pj.items() if name not in components}


def predicted_layer(
    name: str, layer: Layer, described: DescribedAccelerator, mapping: Nest, time_model: str, network: str = ""
) -> Predicted:
    """A layer under a given mapping; raises MappingError where that is not legal."""
    facts = described.accelerator
    entries = ledger(layer, facts, described.table, mapping, count(layer, facts, mapping))
    energy = {part: fsum(roles.values()) for part, roles in energy_by_component(entries).items()}
    return Predicted(name, energy, time_s(time_model, layer, facts, mapping), network)


def summed(name: str, rows: Sequence[Predicted], network: str = "") -> Predicted:
    """Several rows as one."""
    parts = dict.fromkeys(part for row in rows for part in row.energy_by_component_pj)
    energy = {part: fsum(row.energy_by_component_pj.get(part, 0.0) for row in rows) for part in parts}
    return Predicted(name, energy, fsum(row.time_s for row in rows), network)
