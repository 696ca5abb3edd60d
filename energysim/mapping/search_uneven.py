"""The search among uneven mappings: tensors of one memory held at different depths of the nest.

The map space (docs/decisions/uneven.md): between two arrays, the marks of all memories there stand at any depth, each
tensor's from outer to inner memory, with one loop a dim between two marks; directly inside an array stands a mark. Even
mappings are among them, and the best of these is what has to be beaten.
"""

from dataclasses import replace
from math import inf
from time import perf_counter

from energysim.costs.latency import latency
from energysim.hardware.accelerator import Accelerator, EnergyTable
from energysim.mapping.counts import count
from energysim.mapping.dataflows import Constraints
from energysim.mapping.search import OUT_OF_TIME, SearchResult, bypasses, energy_pj, is_optimal
from energysim.mapping.search_problem import Problem
from energysim.mapping.search_space import Lattice
from energysim.mapping.search_tables import Tables
from energysim.mapping.search_uneven_tables import UnevenTables
from energysim.mapping.search_uneven_tree import UnevenTree
from energysim.workload.layer import DIMS, Layer

NODES = 20_000
"""Marks and rows that one search prices exactly before it gives up on the proof; with a time budget, time decides."""


def best_uneven(
    layer: Layer,
    accelerator: Accelerator,
    table: EnergyTable,
    constraints: Constraints,
    even: SearchResult | None,
    *,
    until: float = inf,
    nodes: int = NODES,
) -> SearchResult | None:
    """The least energy among uneven mappings; `even`, the best even one (None: nothing fits), where none takes less.

    `until` is a `perf_counter` time in seconds. None when nothing fits at all.
    """
    began = perf_counter()
    lattice = Lattice(layer, tuple(layer.dims[d] for d in DIMS))
    limit = even.energy_pj if even else inf
    trees = []
    for bypass in bypasses(layer, accelerator):
        problem = Problem(layer, accelerator, table, constraints, bypass, lattice)
        if problem.fits[0][-1]:
            tables = UnevenTables(Tables(problem))
            tree = UnevenTree(tables.filled)
            trees.append((tree.bounds(limit), tree, tables))
    best, open_pj, cut_short = None, inf, False
    candidates = visited = 0
    for root, tree, tables in sorted(trees, key=lambda each: each[0]):
        tree.limit(limit)
        if root < tree.limit_pj:
            tree.find(max(nodes - visited, 0), until)
            cut_short |= tree.stopped == OUT_OF_TIME
        open_pj = min(open_pj, tree.open_pj)
        candidates, visited = candidates + tree.candidates, visited + tree.nodes
        if tree.best_pj < limit:
            limit, best = tree.best_pj, (tree, tables)
    if best is not None:
        tree, tables = best
        mapping = tables.mapping(tree.best_tile, tree.best_space, tree.best_order, tree.best_where)
        counts = count(layer, accelerator, mapping)
        energy = energy_pj(layer, accelerator, table, mapping, counts)
        cycles = latency(layer, accelerator, mapping, counts).cycles
        found = SearchResult(mapping, counts, energy, 0.0, False, 0, 0, 0.0, False, cycles)
    elif even is not None:
        found = even
    else:
        return None
    bound = min(found.energy_pj, open_pj)
    if even and any(len([d for d in r.dims if layer.dims[d] > 1]) > 1 for t in layer.tensors for r in t.ranks):
        # with sliding windows not every even mapping has its like among those looked at
        bound = min(bound, even.lower_bound_pj)
    proven = is_optimal(found.energy_pj, bound)
    return replace(
        found,
        lower_bound_pj=bound,
        optimal=proven,
        candidates=candidates + (even.candidates if even else 0),
        nodes=visited + (even.nodes if even else 0),
        seconds=perf_counter() - began + (even.seconds if even else 0.0),
        cut_short=cut_short and not proven,
    )


__all__ = ["NODES", "best_uneven"]
