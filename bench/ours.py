"""Our own search as the comparisons with peers run it: in each space it offers, timed."""

import time
from dataclasses import dataclass
from inspect import signature
from statistics import median
from typing import Any

from energysim.hardware.accelerator import Accelerator, EnergyTable
from energysim.mapping.search import SearchResult, find_mapping
from energysim.workload.layer import Layer

SPACES: dict[str, dict[str, Any]] = {"even": {}} | (
    {"uneven": {"uneven": True}} if "uneven" in signature(find_mapping).parameters else {}
)
"""Name of a map space to the search's arguments for it; the larger one only where the search knows it."""

ENOUGH_S = 10.0
"""A search that has taken so long in all is not run again for a median."""


@dataclass(frozen=True, slots=True)
class Timed:
    """A result and the median CPU seconds of the searches that gave it (it is the same each time)."""

    found: SearchResult
    cpu_s: float


def timed(layer: Layer, accelerator: Accelerator, table: EnergyTable, space: str, runs: int = 1) -> Timed:
    """Search a layer `runs` times in a warm process."""
    seconds: list[float] = []
    while True:
        start = time.process_time()
        found = find_mapping(layer, accelerator, table, **SPACES[space])
        seconds.append(time.process_time() - start)
        if len(seconds) == runs or sum(seconds) > ENOUGH_S:
            return Timed(found, median(seconds))
