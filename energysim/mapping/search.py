"""The mapping search behind one function: `find_mapping` places a layer on an accelerator at the least energy.

The map space: even tilings (every memory holds its tiles at one depth of the nest) by divisors of the dims, spatial
factors on every array axis, any order of the loops of each memory, optional bypasses, cut down by a named dataflow.
"""

from dataclasses import dataclass, replace
from itertools import combinations, product
from time import perf_counter

import numpy as np

from energysim.costs.latency import static_energy_pj
from energysim.costs.prices import energy_by_key
from energysim.errors import InputError, MappingError, NothingFitsError, unknown
from energysim.hardware.accelerator import Accelerator, EnergyTable
from energysim.mapping.counts import Counts, count
from energysim.mapping.dataflows import Constraints, element_memories
from energysim.mapping.dataflows import dataflow as named
from energysim.mapping.nest import Loop, Mapping, even
from energysim.mapping.search_bounds import Bounds
from energysim.mapping.search_join import Best, Level, Limits, join, levels
from energysim.mapping.search_orders import Exact
from energysim.mapping.search_problem import Problem
from energysim.mapping.search_space import Lattice, split_over_axes
from energysim.workload.layer import DIMS, Layer

OBJECTIVES = ("energy",)
"""What can be minimised: dynamic energy, and idle power over the steps taken where the table has it."""

DIVE = Limits(looks=500_000, pairs=5_000, partial=200, nests=40)
"""A first dive for a good mapping to compare with."""

Bypass = tuple[tuple[str, frozenset[str]], ...]


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
    objective: str = "energy",
    limits: Limits | None = None,
    time_budget_s: float | None = None,
) -> SearchResult:
    """The mapping of least energy of a layer on an accelerator within a named dataflow.

    `limits` say how much work the proof may take (default: about a second for the largest layers). Deterministic,
    unless `time_budget_s` (seconds, above 0) ends the search: then the best mapping so far is returned with its bound;
    the first quick dive always ends. Raises InputError for a budget that is none, UnknownNameError for an unknown
    dataflow or objective, NothingFitsError when no mapping is legal, and names the memory and the smallest tile that it
    would have to hold.
    """
    began = perf_counter()
    check_budget(time_budget_s)
    constraints = named(dataflow)
    if objective not in OBJECTIVES:
        raise unknown("objective", objective, OBJECTIVES)
    lattice = Lattice(layer, tuple(layer.dims[d] for d in DIMS))
    best, winner = Best(until=began + (time_budget_s or np.inf)), None
    limits, prepared = limits or Limits(), []
    for bypass in bypasses(layer, accelerator):
        problem = Problem(layer, accelerator, table, constraints, bypass, lattice)
        if problem.fits[0][-1]:
            bounds = Bounds(problem)
            prepared.append((bounds, levels(bounds, limits.table)))
    # a good mapping of the most promising choice ends the search of the others early
    for bounds, tables in sorted(prepared, key=_root):
        before = best.energy_pj
        _search(bounds, tables, best, limits)
        if best.energy_pj < before:
            winner = bounds.problem
    if winner is None:
        raise NothingFitsError(_why(layer, accelerator, table, constraints, lattice))
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


def bypasses(layer: Layer, accelerator: Accelerator) -> list[Bypass]:
    """Every choice of tensors sent past memories that allow it, none first."""
    options = []
    for memory in accelerator.memories[1:]:
        names = sorted(t.name for t in layer.tensors if t.role in memory.bypassable & memory.keeps)
        subsets = [frozenset(c) for n in range(len(names) + 1) for c in combinations(names, n)]
        options.append([(memory.name, subset) for subset in subsets])
    return [tuple(choice) for choice in product(*options)]


def _root(prepared: tuple[Bounds, list[Level]]) -> float:
    """The least that any mapping of a problem can cost."""
    bounds, tables = prepared
    return float(tables[-1].key.min(initial=np.inf)) + bounds.constant_pj


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


def _why(layer: Layer, accelerator: Accelerator, table: EnergyTable, constraints: Constraints, lattice: Lattice) -> str:
    """Which memory the smallest tile does not fit, in words."""
    *_, bypass = bypasses(layer, accelerator)
    problem = Problem(layer, accelerator, table, constraints, bypass, lattice)
    inside = element_memories(accelerator)
    whole = [d in constraints.whole for d in lattice.dims]
    row = sum(stride * (k - 1) for stride, k, w in zip(lattice.strides, lattice.shape, whole, strict=True) if w)
    for level, memory in enumerate(problem.memories):
        for part, (bits, capacity) in problem.held_bits(level).items():
            least = bits[-1] if level == 0 else bits[row if memory.name in inside[:1] else 0]
            if capacity is not None and least > capacity:
                what = f"{part} tile" if part else "tiles"
                return (
                    f"layer '{layer.name}' on {accelerator.name}: nothing fits: the smallest {what} that "
                    f"{memory.name} would have to hold take {int(least):,} bits, it has {capacity:,}"
                )
    return f"layer '{layer.name}' on {accelerator.name}: no mapping is within the dataflow: {constraints.description}"


__all__ = ["OBJECTIVES", "Limits", "SearchResult", "bypasses", "find_mapping"]
