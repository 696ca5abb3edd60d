"""The search among uneven mappings: tensors of one memory held at different depths of the nest.

The map space (docs/decisions/uneven.md): between two arrays, the marks of all memories there stand at any depth, each
tensor's from outer to inner memory, with one loop a dim between two marks; directly inside an array stands a mark. Even
mappings are among them, and the best of these is what has to be beaten.
"""

from collections.abc import Sequence
from math import inf
from time import perf_counter
from typing import TYPE_CHECKING

from energysim.costs.latency import latency
from energysim.errors import InputError
from energysim.mapping.constraints import Restriction, TileLimit, Untiled, placed
from energysim.mapping.counts import count
from energysim.mapping.search_uneven_tables import UnevenTables
from energysim.mapping.search_uneven_tree import UnevenTree
from energysim.workload.layer import Layer

if TYPE_CHECKING:
    from energysim.mapping.search import SearchResult, _Search


NODES_PER_ROW = 4
"""Nodes here that are worth one of `Limits`: most are bounds of rows, not their exact prices."""


def check_uneven(objective: str, constraints: Sequence[Restriction]) -> None:
    """Raise InputError for what is only searched among even mappings: other objectives, constraints on a memory's tile.

    Where the tensors of one memory lie at different depths it has no one tile, and no loops of its own.
    """
    if objective != "energy":
        raise InputError(f"uneven mappings are searched for the least energy, not for {objective}")
    for each in constraints:
        if isinstance(each, (TileLimit, Untiled)):
            raise InputError(
                f"uneven mappings are searched without limits on tiles and loops: leave out {placed(each)}"
            )


def find_uneven(search: "_Search") -> "SearchResult":
    """The least energy among uneven mappings: never more than the best even one that the search finds.

    A time budget takes the place of the limit on nodes. Raises NothingFitsError when no mapping is legal.
    """
    from energysim.mapping.search import OUT_OF_TIME, _Found, energy_pj

    even = search.least(inf)
    limit = even.energy_pj if even else inf
    trees = []
    # what an index of three moving dims costs is not known before it is counted
    for tables in search.tables if not any(each.unsure for each in search.tables) else []:
        uneven = UnevenTables(tables)
        tree = UnevenTree(uneven.filled)
        trees.append((tree.bounds(limit), tree, uneven))
    best, open_pj = None, inf
    left = NODES_PER_ROW * search.limits.nodes if search.until == inf else 1 << 60
    for i, (root, tree, uneven) in enumerate(sorted(trees, key=lambda each: each[0])):
        tree.limit(limit)
        if root < tree.limit_pj:
            # an equal part for each choice of bypasses: a hard one does not leave the others unseen
            parts, now = len(trees) - i, perf_counter()
            until = search.until if search.until == inf else now + max(search.until - now, 0.0) / parts
            tree.find(max(left, 0) // parts, until)
        search.cut_short |= tree.stopped == OUT_OF_TIME
        open_pj = min(open_pj, tree.open_pj)
        search.candidates, search.nodes = search.candidates + tree.candidates, search.nodes + tree.nodes
        left -= tree.nodes
        if tree.best_pj < limit:
            limit, best = tree.best_pj, (tree, uneven)
    if even and (slides(search.layer) or search.ragged):
        # with sliding windows or partial tiles not every even mapping has its like among those looked at
        open_pj = min(open_pj, even.open_pj)
    found = even
    if best is not None:
        tree, uneven = best
        mapping = uneven.mapping(tree.best_tile, tree.best_space, tree.best_order, tree.best_where)
        counts = count(search.layer, search.accelerator, mapping)
        energy = energy_pj(search.layer, search.accelerator, search.table, mapping, counts)
        cycles = latency(search.layer, search.accelerator, mapping, counts).cycles
        found = _Found(energy, inf, mapping, counts, cycles)
    found = search.first(found)
    bound = min(found.energy_pj, open_pj)
    found = _Found(found.energy_pj, bound, found.mapping, found.counts, found.cycles)
    return search.result(found, bound, found.proven)


def slides(layer: Layer) -> bool:
    """Whether a tensor of a layer is touched through a sliding window: an index that two dims move."""
    return any(sum(layer.dims[d] > 1 for d in rank.dims) > 1 for t in layer.tensors for rank in t.ranks)


__all__ = ["check_uneven", "find_uneven", "slides"]
