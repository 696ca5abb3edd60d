"""One layer on many variants of an accelerator: what is proven on one serves all that can do no more than it.

Variants that differ in nothing but sizes (capacities, instances on axes) price a mapping alike, and what fits the
smaller fits the larger. So the best mapping of the larger is the best of the smaller too where it fits there; where it
does not, the best known one that fits is what the search has to better.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import inf

import numpy as np
from numpy.typing import NDArray

from energysim.errors import NothingFitsError
from energysim.hardware.accelerator import Accelerator, Array, EnergyTable, Memory
from energysim.mapping.constraints import Restriction
from energysim.mapping.dataflows import dataflow as named
from energysim.mapping.nest import Mapping, held_bits
from energysim.mapping.search import ROUNDING, Limits, SearchResult, find_mapping, is_optimal
from energysim.workload.layer import Layer

Place = tuple[str, str]
"""A memory and its partition ("": what its roles share), or an array and its axis."""


def find_on_variants(
    layer: Layer,
    variants: Sequence[tuple[Accelerator, EnergyTable]],
    *,
    dataflow: str = "unconstrained",
    constraints: Sequence[Restriction] = (),
    objective: str = "energy",
    limits: Limits | None = None,
    uneven: bool = False,
    partial: bool = True,
) -> tuple[SearchResult | NothingFitsError, ...]:
    """`find_mapping` of a layer on each variant, in order; where nothing fits, the error that says why.

    A proven result is as good as a search of its own would give, though of equals another one may be returned. Results
    depend on what the variants are, not on their order. Other errors as in `find_mapping`.
    """
    fixed = objective != "energy" or bool(named(dataflow, constraints).spread)
    families: dict[object, list[tuple[int, dict[Place, float]]]] = {}
    for number, (accelerator, table) in enumerate(variants):
        # the axes say which partial tiles there are where time counts, how often a codebook is copied, what fills them
        shape, sizes = split(accelerator, fixed or table.idle_power_w > 0.0 or accelerator.sharing is not None)
        prices = frozenset(table.prices.items()), table.idle_power_w
        families.setdefault((shape, prices), []).append((number, sizes))
    found: dict[int, SearchResult | NothingFitsError] = {}
    for family in families.values():
        known = _Known(layer, [sizes for _, sizes in family], objective)
        for i in known.order:
            number = family[i][0]
            if (inherited := known.inherited(i)) is not None:
                found[number] = inherited
                continue
            try:
                result = find_mapping(
                    layer,
                    *variants[number],
                    dataflow=dataflow,
                    constraints=constraints,
                    objective=objective,
                    limits=limits,
                    uneven=uneven,
                    partial=partial,
                    known=known.fitting(i),
                )
            except NothingFitsError as error:
                found[number] = error
            else:
                found[number] = known.learn(i, result, variants[number][0])
    return tuple(found[number] for number in range(len(variants)))


def split(accelerator: Accelerator, fixed: bool) -> tuple[Accelerator, dict[Place, float]]:
    """An accelerator without its sizes, and these: bits of memories' partitions, instances on axes (unless `fixed`)."""
    sizes: dict[Place, float] = {}
    levels: list[Memory | Array] = []
    for level in accelerator.levels:
        if isinstance(level, Memory):
            sizes[level.name, ""] = inf if level.capacity_bits is None else level.capacity_bits
            sizes |= {(level.name, part): bits for part, bits in level.partitions.items()}
            levels.append(replace(level, capacity_bits=None, partitions=dict.fromkeys(sorted(level.partitions), 0)))
        elif fixed:
            levels.append(level)
        else:
            sizes |= {(level.name, axis.name): axis.size for axis in level.axes}
            levels.append(replace(level, axes=tuple(replace(axis, size=0) for axis in level.axes)))
    return replace(accelerator, name="", source="", levels=tuple(levels)), sizes


class _Known:
    """Results on variants of one shape, and which others each of them fits or bounds."""

    def __init__(self, layer: Layer, sizes: list[dict[Place, float]], objective: str) -> None:
        self.layer, self.objective, self.places = layer, objective, list(sizes[0])
        self.sizes: NDArray[np.float64] = np.array([[each[place] for place in self.places] for each in sizes])
        number = len(sizes)
        ranks = np.array([np.unique(column, return_inverse=True)[1].reshape(-1) for column in self.sizes.T])
        # the largest first: what is proven there reaches furthest
        self.order = [int(i) for i in np.lexsort((*self.sizes.T, -ranks.sum(axis=0)))]
        self.results: list[SearchResult] = []
        # by variant: the best result that fits, and its objective
        self.best, self.best_value = np.full(number, -1), np.full((number, 2), inf)
        # by variant: what its objective and its energy are at least, as larger ones say
        self.least_value, self.least_pj = np.full((number, 2), -inf), np.zeros(number)

    def value(self, result: SearchResult) -> tuple[float, float]:
        """What is minimised; of equal first numbers the second decides."""
        energy, cycles = result.energy_pj, result.latency_cycles
        if self.objective == "latency":
            return float(cycles), energy
        return (energy * cycles if self.objective == "edp" else energy), 0.0

    def fitting(self, i: int) -> Mapping | None:
        """The best mapping so far that fits a variant."""
        return self.results[self.best[i]].mapping if self.best[i] >= 0 else None

    def inherited(self, i: int) -> SearchResult | None:
        """The result of a variant where larger ones have proven that nothing betters one that fits; else None."""
        if self.best[i] < 0 or (self.best_value[i] > self.least_value[i] * (1.0 + ROUNDING)).any():
            return None
        known: SearchResult = self.results[self.best[i]]
        bound = min(known.energy_pj, float(self.least_pj[i]))
        return replace(known, lower_bound_pj=bound, optimal=True, candidates=0, nodes=0, seconds=0.0, cut_short=False)

    def learn(self, i: int, result: SearchResult, accelerator: Accelerator) -> SearchResult:
        """The result of a variant's own search, with the bound that larger ones give it; and what it says of others."""
        bound = max(result.lower_bound_pj, min(result.energy_pj, float(self.least_pj[i])))
        optimal = result.optimal or (self.objective == "energy" and is_optimal(result.energy_pj, bound))
        result = replace(result, lower_bound_pj=bound, optimal=optimal)
        needs = {(array.name, axis.name): 1 for array in accelerator.arrays for axis in array.axes}
        for loop in result.mapping.loops:
            if loop.axis is not None:
                array, _, axis = loop.axis.rpartition(".")
                needs[array, axis] *= loop.bound
        needs |= held_bits(self.layer, accelerator, result.mapping)
        value = np.array(self.value(result))
        fits = (self.sizes >= [needs.get(place, 0) for place in self.places]).all(axis=1)
        better = fits & _before(value, self.best_value)
        self.best[better], self.best_value[better] = len(self.results), value
        self.results.append(result)
        smaller = (self.sizes <= self.sizes[i]).all(axis=1)
        self.least_pj[smaller] = np.maximum(self.least_pj[smaller], bound)
        if optimal:
            closer = smaller & ~_before(value, self.least_value)
            self.least_value[closer] = value
        return result


def _before(value: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether a pair of numbers comes before each of others."""
    first, second = others.T
    found: NDArray[np.bool_] = (value[0] < first) | ((value[0] == first) & (value[1] < second))
    return found


__all__ = ["find_on_variants"]
