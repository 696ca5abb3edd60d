"""Our own search as the comparisons with peers run it: in each space it offers, timed."""

import time
from dataclasses import dataclass
from inspect import signature
from math import prod
from statistics import median
from typing import Any

from energysim.hardware.accelerator import Accelerator, EnergyTable, Memory
from energysim.mapping.nest import Mapping, Storage, problems
from energysim.mapping.search import SearchResult, find_mapping
from energysim.workload.layer import Layer

SPACES: dict[str, dict[str, Any]] = {"even": {}} | (
    {"uneven": {"uneven": True}} if "uneven" in signature(find_mapping).parameters else {}
)
"""Name of a map space to the search's arguments for it; the larger one only where the search knows it."""

ENOUGH_S = 10.0
"""A search that has taken so long in all is not run again for a median."""


def in_even_space(layer: Layer, accelerator: Accelerator, mapping: Mapping) -> bool:
    """Whether a mapping is one of those that the search covers by default: legal, even, of divisors.

    The marks of each memory stand together, memories in their order, loops of an array between those around it.
    """
    if problems(layer, accelerator, mapping):
        return False
    if any(prod(x.bound for x in mapping.loops if x.dim == d) != size for d, size in layer.dims.items()):
        return False
    rank = {level.name: i for i, level in enumerate(accelerator.levels)}
    level, loop_since_mark = 0, False
    for item in mapping.nest:
        if isinstance(item, Storage):
            if rank[item.memory] < level or (rank[item.memory] == level and loop_since_mark):
                return False
            level, loop_since_mark = rank[item.memory], False
        elif item.bound > 1:
            at = rank[item.axis.rsplit(".", 1)[0]] if item.axis is not None else level
            # time inside an array's loops, before the next mark, belongs to no memory
            if at < level or (item.axis is None and not isinstance(accelerator.levels[level], Memory)):
                return False
            level, loop_since_mark = at, True
    return True


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
