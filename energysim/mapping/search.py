"""The mapping search behind one function: `find_mapping` places a layer on an accelerator at the least energy.

The map space: even tilings (every memory holds its tiles at one depth of the nest) by divisors of the dims or with a
partial last tile, spatial factors on every array axis, any order of the loops of each memory, optional bypasses, cut
down by a named dataflow and by constraints of the user's own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil, inf
from time import perf_counter

from energysim.costs.latency import latency, preload_cycles, static_energy_pj
from energysim.costs.prices import energy_by_key
from energysim.errors import InputError, NothingFitsError, unknown
from energysim.hardware.accelerator import Accelerator, EnergyTable
from energysim.mapping.constraints import Restriction, check_restrictions
from energysim.mapping.counts import Counts, count
from energysim.mapping.dataflows import dataflow as named
from energysim.mapping.distinct import products
from energysim.mapping.merging import merging
from energysim.mapping.nest import Mapping
from energysim.mapping.reasons import why_nothing_fits
from energysim.mapping.search_climb import Climb as Tree
from energysim.mapping.search_problem import Problem
from energysim.mapping.search_space import Lattice, axis_widths
from energysim.mapping.search_tables import Tables
from energysim.mapping.sharing import does_not_hold, preload
from energysim.mapping.tilings import bypasses
from energysim.workload.layer import DIMS, Layer

OBJECTIVES = ("energy", "latency", "edp")
"""What can be minimised: energy, latency (ties by energy), or their product. Idle power times latency is energy too."""

OUT_OF_TIME = 2
"""`stopped` of a search that the clock ended."""

ROUNDING = 1e-9
"""Relative difference below which two energies are one number."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much work one search may do before it gives up on proving its result: rows priced exactly."""

    nodes: int = 50_000


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The best mapping found, its exact counts, energy in pJ and latency in cycles, and what is proven about it.

    No mapping of the space costs less than `lower_bound_pj`. `optimal`: nothing in the space is better by the
    objective, within 1e-9 relative. `candidates` counts complete mappings whose exact cost was computed, `nodes` the
    partial ones; `seconds` is wall time, and `cut_short` says that a time budget ended the search (then the rest may
    differ from run to run, and the bound still holds).
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
    latency_cycles: int = 0


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
    uneven: bool = False,
    partial: bool = True,
    known: Mapping | None = None,
) -> SearchResult:
    """The best mapping of a layer on an accelerator, within a dataflow and constraints, by energy, latency or product.

    `known`: a mapping within the constraints to better, as found under other sizes: the least energy is looked for
    below its own (MappingError where it is not legal here).
    `partial`: last tiles may be partial where a dim is hard to divide, or fills no axis and time counts (`tile_sizes`).
    `uneven`: tensors of one memory may be held at different depths of the nest.
    `limits` say how much work the proof may take. Deterministic, unless `time_budget_s` (seconds, above 0) ends the
    search: then the best mapping so far is returned with its bound; the first quick dive always ends. Raises InputError
    for a budget that is none and constraints of which two exclude each other, UnknownNameError for an unknown name,
    NothingFitsError when no mapping is legal, and names the memory and the smallest tile that it would have to hold,
    and the constraints that leave nothing.
    """
    if objective not in OBJECTIVES:
        raise unknown("objective", objective, OBJECTIVES)
    asked = dataflow, constraints, limits or Limits(), time_budget_s, objective, partial, uneven
    search = _kind(uneven)(layer, accelerator, table, *asked)
    if objective == "latency":
        return search.fastest()
    if objective == "edp":
        return search.least_product()
    found = search.first(search.least(inf, known=search.counted(known, 0.0) if known else None))
    return search.result(found, found.open_pj, found.proven)


def find_front(
    layer: Layer,
    accelerator: Accelerator,
    table: EnergyTable,
    *,
    dataflow: str = "unconstrained",
    constraints: Sequence[Restriction] = (),
    limits: Limits | None = None,
    time_budget_s: float | None = None,
    uneven: bool = False,
    partial: bool = True,
) -> tuple[SearchResult, ...]:
    """Every mapping that no other one beats in both energy and latency, by rising energy; one for each such pair.

    Arguments and errors as in `find_mapping`. The front is exact where every result is `optimal`; each is the least
    energy at its latency or below.
    """
    asked = dataflow, constraints, limits or Limits(), time_budget_s, "front", partial, uneven
    search = _kind(uneven)(layer, accelerator, table, *asked)
    points = list(search.front())
    # the last one is proven only if nothing faster was left unseen
    sure = [found.proven and (found is not points[-1] or search.missed_pj == inf) for found in points]
    return tuple(search.result(found, found.open_pj, each) for found, each in zip(points, sure, strict=True))


def _kind(uneven: bool) -> type["_Search"]:
    """Searches among even mappings, or among uneven ones too."""
    if not uneven:
        return _Search
    from energysim.mapping.search_uneven import UnevenSearch

    return UnevenSearch


@dataclass(frozen=True, slots=True)
class _Found:
    """The least energy under a cap on latency, the bound on it, and its mapping, counts and latency."""

    energy_pj: float
    open_pj: float
    mapping: Mapping
    counts: Counts
    cycles: int

    @property
    def proven(self) -> bool:
        """Whether nothing under the cap takes less energy."""
        return is_optimal(self.energy_pj, self.open_pj)


class _Search:
    """One layer on one accelerator: the problems of all bypass choices, searched under caps on latency."""

    def __init__(
        self,
        layer: Layer,
        accelerator: Accelerator,
        table: EnergyTable,
        dataflow: str,
        constraints: Sequence[Restriction],
        limits: Limits,
        time_budget_s: float | None,
        objective: str,
        partial: bool,
        uneven: bool,
    ) -> None:
        self.began = perf_counter()
        check_budget(time_budget_s)
        if too_large := does_not_hold(layer, accelerator):
            raise NothingFitsError(too_large)
        if (objective != "energy" or uneven) and products(layer, accelerator) is not None:
            what = "--uneven" if uneven else f"objective '{objective}'"
            raise InputError(
                f"layer '{layer.name}' shares products on {accelerator.name}; {what} is not searched there"
            )
        self.layer, self.accelerator, self.table = layer, accelerator, table
        self.dataflow, self.constraints, self.limits = dataflow, named(dataflow, constraints), limits
        check_restrictions(constraints, accelerator)
        self.until = self.began + (time_budget_s or inf)
        self.candidates = self.nodes = 0
        self.cut_short = False
        # the least bound of what a capped search left unseen without finding anything
        self.missed_pj = inf
        # dims that nothing tells apart are one (but where tensors of a memory lie at different depths)
        self.merging = None if uneven else merging(layer, accelerator, self.constraints)
        whole = self.merging.layer if self.merging else layer
        self.tables = self._tables(Lattice(whole, tuple(whole.dims[d] for d in DIMS)))
        # what an index of three dims costs, or products that are shared, is not known for partial tiles
        timed = objective != "energy" or table.idle_power_w > 0.0
        ragged = Lattice(layer, tuple(layer.dims[d] for d in DIMS), axis_widths(accelerator) if timed else ())
        exact = not any(tables.unsure or tables.problem.products for tables in self.tables)
        self.ragged = self._tables(ragged) if partial and ragged.ragged and exact else []

    def _tables(self, lattice: Lattice) -> list[Tables]:
        """A problem for every choice of bypasses, as the tables of its search."""
        found = []
        for bypass in bypasses(self.layer, self.accelerator, self.constraints):
            problem = Problem(lattice.layer, self.accelerator, self.table, self.constraints, bypass, lattice)
            if problem.fits[0][-1]:
                found.append(Tables(problem))
        return found

    def least(
        self, cap_cycles: float, *, any_will_do: bool = False, whole: bool = False, known: _Found | None = None
    ) -> _Found | None:
        """The mapping of least energy (or just any) of at most so many cycles; None when none was found.

        `whole`: without partial last tiles; `known`: what is returned when none takes less energy.
        """
        best, winner, open_pj = self._walk(self.tables, cap_cycles, known.energy_pj if known else inf, any_will_do)
        if self.ragged and not whole and not (winner and any_will_do):
            # whole tiles are among these: what is open of them is open here
            best, better, open_pj = self._walk(self.ragged, cap_cycles, best, any_will_do)
            winner = better or winner
        if any(tables.unsure for tables in self.tables):
            open_pj = 0.0
        if winner is None and known is not None:
            return replace(known, open_pj=min(known.energy_pj, open_pj))
        if winner is None:
            self.missed_pj = min(self.missed_pj, open_pj)
            return None
        tree, tables = winner
        mapping = tables.mapping(tree.best_tile, tree.best_space, tree.best_order)
        if self.merging and tables.problem.layer is self.merging.layer:
            mapping = self.merging.split(mapping)
        return self.counted(mapping, open_pj)

    def counted(self, mapping: Mapping, open_pj: float) -> _Found:
        """A mapping with its counts and costs, and the bound of what is unseen; MappingError when it is not legal."""
        counts = count(self.layer, self.accelerator, mapping)
        cycles = latency(self.layer, self.accelerator, mapping, counts).cycles
        energy = energy_pj(self.layer, self.accelerator, self.table, mapping, counts)
        return _Found(energy, min(energy, open_pj), mapping, counts, cycles)

    def _walk(
        self, choices: list[Tables], cap_cycles: float, best: float, any_will_do: bool
    ) -> tuple[float, tuple[Tree, Tables] | None, float]:
        """The least energy below `best` among choices of bypasses, what found it, and the bound of what is unseen."""
        before = preload_cycles(self.layer, self.accelerator, Counts(dict(preload(self.layer, self.accelerator)), 0))
        trees = self._started(choices, cap_cycles - before, best)
        winner, open_pj = None, inf
        # a good mapping of the most promising choice of bypasses ends the search of the others early
        for root, tree, tables, begun in sorted(trees, key=lambda each: each[0]):
            tree.limit(best)
            if best < inf and (any_will_do or perf_counter() >= self.until):
                self.cut_short |= not any_will_do and root < tree.limit_pj
                open_pj = min(open_pj, root)
                continue
            if not begun:
                if root >= tree.limit_pj:
                    continue
                tree.start()
            # a node with partial tiles is dearer
            fewer = 4 if choices is self.ragged else 1
            tree.search(self.limits.nodes // fewer, self.until, any_will_do)
            self.cut_short |= tree.stopped == OUT_OF_TIME
            open_pj = min(open_pj, tree.open_pj)
            self.candidates += tree.candidates
            self.nodes += tree.nodes
            if tree.best_pj < best:
                best, winner = tree.best_pj, (tree, tables)
        return best, winner, open_pj

    def _started(self, choices: list[Tables], cap_cycles: float, best: float) -> list[tuple[float, Tree, Tables, bool]]:
        """Searches of all choices of bypasses, below `best`, with the least that each can find; has it started?

        Of two choices whose rows are alike inside level 1, one can tell what the other would find at least.
        """
        trees = []
        if len(choices) == 2 and choices[1].alike_inside(choices[0]):
            tree, other = (ready(tables, 0.0, cap_cycles, best) for tables in reversed(choices))
            tree.lend(other)
            return [(tree.start(), tree, choices[1], True), (other.borrow(tree), other, choices[0], False)]
        for tables in choices:
            idle = tables.problem.idle_pj_per_step > 0.0
            found = []
            for share in (0.0, 0.5, 1.0) if idle else (0.0,):
                tree = ready(tables, share, cap_cycles, best)
                found.append((tree.start(), tree))
            # idle power priced where that bounds best
            root, tree = max(found, key=lambda each: each[0])
            trees.append((root, tree, tables, True))
        return trees

    def first(self, found: _Found | None) -> _Found:
        """The same, refused when nothing was found at all."""
        if found is None:
            parts = self.layer, self.accelerator, self.constraints, self.dataflow
            raise NothingFitsError(why_nothing_fits(*parts, self.missed_pj == inf))
        return found

    def front(self) -> Iterator[_Found]:
        """Least energies under falling caps; of equal energies only the fastest."""
        found: _Found | None = self.first(self.least(inf))
        while found is not None:
            faster = self.least(found.cycles - 1)
            if faster is None or faster.energy_pj > found.energy_pj * (1.0 + ROUNDING):
                yield found
            found = faster

    def least_cycles(self, known: _Found) -> _Found:
        """A mapping of the fewest cycles of any, by halving: from what every mapping takes to those of a known one.

        Partial tiles are tried after whole ones, from the result downward: what none reaches is mostly the nearest.
        """
        high = known.cycles
        accelerator, layer = self.accelerator, self.layer
        points = layer.points / accelerator.instances(accelerator.compute.name)
        least = low = ceil(points * min(tables.problem.cycles_per_step for tables in self.tables) * (1.0 - ROUNDING))
        middle, self.missed_pj = low, inf
        missed = {low - 1: inf}
        while low < high:
            found = self.least(middle, any_will_do=True, whole=True)
            if found is None:
                missed[middle], self.missed_pj = self.missed_pj, inf
                low = middle + 1
            else:
                known, high = found, found.cycles
            middle = (low + high) // 2
        step = 1
        while self.ragged and high > least and step:
            cap = max(least, high - step)
            found = self.least(cap, any_will_do=True)
            if found is not None:
                known, high, step = found, found.cycles, 2 * step
                continue
            missed[cap], self.missed_pj = self.missed_pj, inf
            step = 0 if cap == high - 1 else max(1, step // 4)
        # only what stands right below the result has to be proven impossible
        self.missed_pj = missed.get(high - 1, inf)
        return known

    def fastest(self) -> SearchResult:
        """The least latency, and at that the least energy."""
        slow = self.first(self.least(inf))
        fast = self.least_cycles(slow)
        found = self.least(fast.cycles)
        # out of time, what halving has found is not always found again
        proven = found is not None and found.proven and self.missed_pj == inf
        return self.result(found or fast, slow.open_pj, proven)

    def least_product(self) -> SearchResult:
        """The least product of energy and latency: it lies on the front, which is walked while it can still fall."""
        found: _Found | None = self.first(self.least(inf))
        slow = best = self.first(found)
        fewest = self.least_cycles(slow).cycles
        proven = self.missed_pj == inf
        while found is not None:
            proven = proven and found.proven
            if found.energy_pj * found.cycles < best.energy_pj * best.cycles:
                best = found
            if best.energy_pj == 0.0:
                break
            # at no less energy a smaller product needs fewer cycles than this
            cap = min(found.cycles - 1, ceil(best.energy_pj * best.cycles / found.energy_pj) - 1)
            found = self.least(cap) if cap >= fewest else None
        return self.result(best, slow.open_pj, proven and self.missed_pj == inf)

    def result(self, found: _Found, bound_pj: float, optimal: bool) -> SearchResult:
        """A found mapping as a result, with the least energy of any mapping, and whether it is proven the best."""
        return SearchResult(
            mapping=found.mapping,
            counts=found.counts,
            energy_pj=found.energy_pj,
            lower_bound_pj=bound_pj,
            optimal=optimal,
            candidates=self.candidates,
            nodes=self.nodes,
            seconds=perf_counter() - self.began,
            cut_short=self.cut_short and not optimal,
            latency_cycles=found.cycles,
        )


def ready(tables: Tables, share: float, cap_cycles: float, below_pj: float = inf) -> Tree:
    """A search below an energy made ready, with a share of the idle power priced on the outermost memory's port."""
    tree = Tree(tables.stalling(share))
    tree.cap(cap_cycles)
    tree.limit(below_pj)
    tree.ready()
    return tree


def check_budget(time_budget_s: float | None) -> None:
    """Raise InputError for a time budget (seconds, None for none) that is not above 0."""
    if time_budget_s is not None and not time_budget_s > 0.0:
        raise InputError(f"a time budget must be a number of seconds above 0, not {time_budget_s}")


def energy_pj(layer: Layer, accelerator: Accelerator, table: EnergyTable, mapping: Mapping, counts: Counts) -> float:
    """What is minimised: dynamic energy of a mapping's counts, and idle power over its latency, in pJ."""
    dynamic: float = sum(energy_by_key(counts, layer, accelerator, table, mapping).values())
    if table.idle_power_w == 0.0:
        return dynamic
    return dynamic + static_energy_pj(table, latency(layer, accelerator, mapping, counts).seconds)


def is_optimal(energy: float, bound: float) -> bool:
    """Whether an energy and its lower bound are one number but for rounding."""
    return bound >= energy * (1.0 - ROUNDING)


__all__ = ["OBJECTIVES", "Limits", "SearchResult", "bypasses", "find_front", "find_mapping"]
