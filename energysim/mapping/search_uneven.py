"""The search among uneven mappings: tensors of one memory held at different depths of the nest.

The map space (docs/decisions/uneven.md): between two arrays, the marks of all memories there stand at any depth, each
tensor's from outer to inner memory, with one loop a dim between two marks; directly inside an array stands a mark. Even
mappings are among them, and the best of these is what has to be beaten.
"""

from dataclasses import replace
from math import inf
from time import perf_counter
from typing import Any

from energysim.costs.latency import preload_cycles
from energysim.mapping.constraints import TileLimit, Untiled
from energysim.mapping.counts import Counts
from energysim.mapping.merging import windows
from energysim.mapping.search import OUT_OF_TIME, _Found, _Search
from energysim.mapping.search_space import Lattice
from energysim.mapping.search_uneven_tables import UnevenTables
from energysim.mapping.search_uneven_tree import UnevenTree
from energysim.mapping.sharing import preload
from energysim.workload.layer import DIMS

NODES_PER_ROW = 4
"""Nodes here that are worth one of `Limits`: most are bounds of rows, not their exact prices."""


class UnevenSearch(_Search):
    """The least energy under caps on latency among uneven mappings; a time budget takes the place of all limits."""

    def __init__(self, *asked: Any) -> None:
        super().__init__(*asked)
        # what an index of three moving dims costs is not known before it is counted
        unsure = any(each.unsure for each in self.tables)
        self.uneven = [] if unsure else self._uneven_tables()
        self.known: list[_Found] = []
        # under this cap, and so under any lower one, all uneven mappings were looked at and none was there
        self.none_at = -inf

    def _uneven_tables(self) -> list[UnevenTables]:
        """Tables of all choices of bypasses; limits on a memory's tiles and loops are each mark's own."""
        every = self.constraints
        asked = tuple(each for each in every.restrictions if isinstance(each, (TileLimit, Untiled)))
        if not asked:
            return [UnevenTables(each) for each in self.tables]
        self.constraints = replace(every, restrictions=tuple(each for each in every.restrictions if each not in asked))
        tables = self._tables(Lattice(self.layer, tuple(self.layer.dims[d] for d in DIMS)))
        self.constraints = every
        return [UnevenTables(each, asked) for each in tables]

    def least(
        self, cap_cycles: float, *, any_will_do: bool = False, whole: bool = False, known: _Found | None = None
    ) -> _Found | None:
        """The uneven mapping of least energy (or just any) of at most so many cycles; None when none was found.

        Never more than the best even one that the search finds.
        """
        if known is not None:
            self.known.append(known)
        missed, self.missed_pj = self.missed_pj, inf
        found = super().least(cap_cycles, any_will_do=any_will_do, whole=whole)
        open_pj = self.missed_pj
        if found is not None:
            # with sliding windows or partial tiles not every even mapping has its like among those looked at
            open_pj = found.open_pj if windows(self.layer) or self.ragged or not self.uneven else inf
        self.missed_pj = missed
        before = [each for each in self.known if each.cycles <= cap_cycles]
        best = min((*before, *([found] if found else [])), key=lambda each: each.energy_pj, default=None)
        if best is None or not any_will_do:
            better, left_pj = self._least(cap_cycles, best.energy_pj if best else inf, any_will_do)
            open_pj, best = min(open_pj, left_pj), better or best
        if best is None:
            self.missed_pj = min(missed, open_pj)
            return None
        best = replace(best, open_pj=min(best.energy_pj, open_pj))
        self.known.append(best)
        return best

    def _least(self, cap_cycles: float, limit_pj: float, any_will_do: bool) -> tuple[_Found | None, float]:
        """What costs less than a limit, and the least bound of what was left unseen."""
        if cap_cycles <= self.none_at:
            return None, inf
        loaded = Counts(dict(preload(self.layer, self.accelerator)), 0)
        cap = cap_cycles - preload_cycles(self.layer, self.accelerator, loaded)
        trees = [(*_started(tables, cap, limit_pj), tables) for tables in self.uneven]
        best, open_pj, best_pj = None, inf, limit_pj
        left = NODES_PER_ROW * self.limits.nodes if self.until == inf else 1 << 60
        for i, (root, tree, tables) in enumerate(sorted(trees, key=lambda each: each[0])):
            tree.limit(best_pj)
            if best is not None and any_will_do:
                break
            if root < tree.limit_pj:
                # an equal part for each choice of bypasses: a hard one does not leave the others unseen
                parts, now = len(trees) - i, perf_counter()
                until = self.until if self.until == inf else now + max(self.until - now, 0.0) / parts
                tree.find(max(left, 0) // parts, until, any_will_do)
            self.cut_short |= tree.stopped == OUT_OF_TIME
            open_pj = min(open_pj, tree.open_pj)
            self.candidates, self.nodes = self.candidates + tree.candidates, self.nodes + tree.nodes
            left -= tree.nodes
            if tree.best_pj < best_pj:
                best_pj, best = tree.best_pj, (tree, tables)
        if best is None:
            if limit_pj == inf and open_pj == inf:
                self.none_at = cap_cycles
            return None, open_pj
        tree, tables = best
        mapping = tables.mapping(tree.best_tile, tree.best_space, tree.best_order, tree.best_where)
        return self.counted(mapping, open_pj), open_pj


def _started(tables: UnevenTables, cap_cycles: float, limit_pj: float) -> tuple[float, UnevenTree]:
    """A search with its bounds, and the least that it can find; idle power priced where that bounds best."""
    found = []
    for share in (0.0, 0.5, 1.0) if tables.problem.idle_pj_per_step > 0.0 else (0.0,):
        tree = UnevenTree(tables.searchable(share))
        tree.cap(cap_cycles)
        found.append((tree.bounds(limit_pj), tree))
    return max(found, key=lambda each: each[0])


__all__ = ["UnevenSearch"]
