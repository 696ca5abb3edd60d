"""The mapping search behind one function: `find_mapping` places a layer on an accelerator at the least energy.

The map space: even tilings (every memory holds its tiles at one depth of the nest) by divisors of the dims, spatial
factors on every array axis, any order of the loops of each memory, optional bypasses, cut down by a named dataflow and
by constraints of the user's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from energysim.costs.latency import static_energy_pj
from energysim.costs.prices import energy_by_key
from energysim.errors import InputError, MappingError, NothingFitsError, unknown
from energysim.hardware.accelerator import Accelerator, EnergyTable
from energysim.mapping.constraints import Restriction, check_restrictions
from energysim.mapping.counts import Counts, count
from energysim.mapping.dataflows import dataflow as named
from energysim.mapping.nest import Loop, Mapping, even
from energysim.mapping.reasons import why_nothing_fits
from energysim.mapping.search_bounds import Bounds
from energysim.mapping.search_cases import promising
from energysim.mapping.search_join import Best, Level, Limits, join
from energysim.mapping.search_orders import Exact
from energysim.mapping.search_problem import Problem
from energysim.mapping.search_space import Lattice, split_over_axes
from energysim.mapping.tilings import bypasses, cases
from energysim.workload.layer import DIMS, Layer

OBJECTIVES = ("energy",)
"""What can be minimised: dynamic energy, and idle power over the steps taken where the table has it."""

DIVE = Limits(looks=500_000, pairs=5_000, partial=200, nests=40)
"""A first dive for a good mapping to compare with."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The best mapping found, its exact counts and energy in pJ, and what is proven about it.

    No mapping of the space costs less than `lower_bound_pj`; `optimal`: energy and bound agree within 1e-9 relative.
    `candidates` counts complete mappings whose exact cost was computed, `nodes` the partial ones that were bounded;
    `seconds` is wall time, and `cut_short` says that a time budget ended the search (then the rest may differ from run
    to run, and the bound still holds).
    """

    mapping: Mapping
    counts: Counts
    energy_pj: float
    lower_bound_pj: float
    optimal: bool
    candidates: int
    nodes: int
    seconds: float
    cut_short: bool


def find_mapping(
    layer: Layer,
    accelerator: Accelerator,
    table: EnergyTable,
    *,
    dataflow: str = "unconstrained",
    constraints: Sequence[Restriction] = (),
    objective: str = "energy",
    limits: Limits | None = None,
    time_budget_s: float | None = None,
) -> SearchResult:
    """The mapping of least energy of a layer on an accelerator within a named dataflow and constraints of one's own.

    `limits` say how much work the proof may take (default: about a second for the largest layers). Deterministic,
    unless `time_budget_s` (seconds, above 0) ends the search: then the best mapping so far is returned with its bound;
    the first quick dive always ends. Raises InputError for a budget that is none, constraints of which two exclude each
    other and unknown names (UnknownNameError), NothingFitsError when no mapping is legal, and names the memory and the
    smallest tile that it would have to hold, and the constraints that leave nothing.
    """
    began = perf_counter()
    check_budget(time_budget_s)
    asked = named(dataflow, constraints)
    check_restrictions(constraints, accelerator)
    if objective not in OBJECTIVES:
        raise unknown("objective", objective, OBJECTIVES)
    lattice = Lattice(layer, tuple(layer.dims[d] for d in DIMS))
    best, winner = Best(until=began + (time_budget_s or np.inf)), None
    limits = limits or Limits()
    problems = [
        Problem(layer, accelerator, table, case, bypass, lattice)
        for bypass in bypasses(layer, accelerator, asked)
        for case in cases(asked, layer, accelerator, bypass)
    ]
    problems = [problem for problem in problems if problem.fits[0][-1]]
    for bounds, tables in promising(problems, limits.table, best):
        before = best.energy_pj
        _search(bounds, tables, best, limits)
        if best.energy_pj < before:
            winner = bounds.problem
    if winner is None:
        exhausted = not np.isfinite(best.open_pj)
        raise NothingFitsError(why_nothing_fits(layer, accelerator, asked, dataflow, exhausted))
    mapping = _mapping(winner, best)
    counts = count(layer, accelerator, mapping)
    energy = energy_pj(layer, accelerator, table, mapping, counts)
    bound = min(energy, best.open_pj)
    seconds = perf_counter() - began
    optimal = is_optimal(energy, bound)
    late = best.cut_short and not optimal
    return SearchResult(mapping, counts, energy, bound, optimal, best.candidates, best.nodes, seconds, late)


def check_budget(time_budget_s: float | None) -> None:
    """Raise InputError for a time budget (seconds, None for none) that is not above 0."""
    if time_budget_s is not None and not time_budget_s > 0.0:
        raise InputError(f"a time budget must be a number of seconds above 0, not {time_budget_s}")


def energy_pj(layer: Layer, accelerator: Accelerator, table: EnergyTable, mapping: Mapping, counts: Counts) -> float:
    """What is minimised: dynamic energy of a mapping's counts, and idle power over its steps, in pJ."""
    dynamic: float = sum(energy_by_key(counts, layer, accelerator, table, mapping).values())
    return dynamic + static_energy_pj(table, counts.steps / accelerator.clock_hz)


def is_optimal(energy: float, bound: float) -> bool:
    """Whether an energy and its lower bound are one number but for rounding."""
    return bound >= energy * (1.0 - 1e-9)


def _search(bounds: Bounds, tables: list[Level], best: Best, limits: Limits) -> None:
    before, known = best.open_pj, -np.inf
    wider = replace(limits, partial=10 * limits.partial, looks=10 * limits.looks, pairs=10 * limits.pairs)
    for limit in (DIVE, limits, wider):
        if limit == wider and np.isfinite(best.energy_pj):
            break
        best.open_pj = np.inf
        join(bounds, tables, best, limit)
        # every dive leaves a bound of its own, and each of them holds
        known = best.open_pj = max(known, best.open_pj)
        if best.open_pj >= best.limit or best.late(np.array([best.open_pj])):
            break
    best.open_pj = min(before, best.open_pj)


def _mapping(problem: Problem, best: Best) -> Mapping:
    """The best nest as a mapping."""
    if best.nest is None:
        raise MappingError(f"layer '{problem.layer.name}': no mapping was found")
    exact = Exact(Bounds(problem), best.nest)
    dims = problem.lattice.dims
    blocks: dict[str, tuple[Loop, ...]] = {}
    for c, memory in enumerate(problem.memories):
        order = best.orders[c] if c < len(best.orders) else range(len(dims))
        blocks[memory.name] = tuple(Loop(dims[i], int(exact.loops[c][0, i])) for i in order)
    for c, gap in enumerate(problem.gaps):
        for n, array in enumerate(gap):
            factors = {d: int(f) for d, f in zip(dims, exact.factors[c][n][0], strict=True)}
            shares = split_over_axes(array, factors) or {}
            blocks[array.name] = tuple(
                Loop(d, shares[d][i], f"{array.name}.{axis.name}")
                for i, axis in enumerate(array.axes)
                for d in dims
                if d in shares and shares[d][i] > 1
            )
    return even(problem.accelerator, problem.layer, blocks, dict(problem.bypass))


__all__ = ["OBJECTIVES", "Limits", "SearchResult", "bypasses", "find_mapping"]
