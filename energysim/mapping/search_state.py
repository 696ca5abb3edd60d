"""What the compiled mapping search knows of a problem, and the partial mapping it works on (search_state.pxd).

Levels are numbered from the outermost memory, 0, to the compute unit, `levels`; gap c, with at most one array, lies
outside level c. A row of level c is a tile with the spatial factors of gap c; its `whole` is the product of both. A
mapping takes one row and one order of the loops outside it at each level, outermost first, so that everything that
crosses gap c is exact as soon as row c is chosen (docs/decisions/map-space.md).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from energysim.mapping.search_windows import Windows

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


class State:
    """Tables of one problem (`search_tables` makes them), rows of all levels, and one partial mapping."""

    def __init__(self, tables: Any) -> None:
        t = tables
        self.windows = Windows()
        self.dims, self.levels, self.tensors, self.size = t["dims"], t["levels"], t["tensors"], t["size"]
        self.count, self.stride, self.digits = t["count"], t["stride"], t["digits"]
        self.value, self.product, self.ratio = t["value"], t["product"], t["ratio"]
        self.by_prime = t["by_prime"]
        self.ragged, self.returns, self.moving, self.left = t["ragged"], t["returns"], t["moving"], t["left"]
        self.by_parts, self.passes_of = t["by_parts"], t["passes_of"]
        self.touches, self.plain, self.reuse, self.volume = t["touches"], t["plain"], t["reuse"], t["volume"]
        self.fits, self.spreads, self.pairs = t["fits"], t["spreads"], t["pairs"]
        self.fan, self.shares, self.passes, self.untiled = t["fan"], t["shares"], t["passes"], t["untiled"]
        self.parent, self.charge = t["parent"], t["charge"]
        self.up, self.into, self.first, self.cross = t["up"], t["into"], t["first"], t["cross"]
        self.last_parent, self.last_child, self.last_cross = t["last_parent"], t["last_child"], t["last_cross"]
        self.read_cycles, self.write_cycles = t["read_cycles"], t["write_cycles"]
        self.final_cycles, self.shared_port = t["final_cycles"], t["shared_port"]
        self.is_output, self.elements = t["is_output"], t["elements"]
        self.ranks, self.rank_start = t["ranks"], t["rank_start"]
        self.window_start, self.window, self.window_known = t["window_start"], t["window"], t["window_known"]
        self.mirror, self.symmetric = t["mirror"], t["symmetric"]
        self.still_tensor, self.still_level = t["still_tensor"], t["still_level"]
        self.constant_pj, self.idle_pj, self.idle_gap = t["constant_pj"], t["idle_pj"], t["idle_gap"]
        self.operations, self.awake, self.tile_pj = t["operations"], t["awake"], t["tile_pj"]
        # which share of the idle power the prices put on the outermost port, and the level where all of it is known
        self.stall_share, self.stall_level = t["stall_share"], 0
        for n in range(self.tensors):
            for c in range(1, self.levels + 1):
                if self.parent[n, c] == 0:
                    self.stall_level = max(self.stall_level, c)
        levels, dims, size = self.levels, self.dims, self.size
        # per tensor and memory: the next one inside that keeps it, and what finished outputs cost less at least
        self.child = np.zeros((self.tensors, levels + 1), dtype=np.int64)
        self.least_last = np.zeros((self.tensors, levels + 1))
        for n in range(self.tensors):
            for c in range(1, levels + 1):
                if self.parent[n, c] >= 0:
                    self.child[n, self.parent[n, c]] = c
                    self.least_last[n, c] = min(self.last_parent[n, c], 0.0) + min(self.last_child[n, c], 0.0)
                    for g in range(levels + 1):
                        self.least_last[n, c] += min(self.last_cross[n, c, g], 0.0)
        # rows of all levels, one level after the other: `begin` to `end`
        self.row_tile = np.zeros(1 << 12, dtype=np.int32)
        self.row_space = np.zeros(1 << 12, dtype=np.int32)
        self.row_whole = np.zeros(1 << 12, dtype=np.int32)
        self.row_own = np.zeros(1 << 12)
        self.row_total = 0
        self.begin = np.zeros(levels + 2, dtype=np.int64)
        self.end = np.zeros(levels + 2, dtype=np.int64)
        # by level and whole: the least key and its row, and where its rows start in `chosen`
        self.least = np.full((levels + 1, size), np.inf)
        self.best_row = np.full((levels + 1, size), -1, dtype=np.int64)
        self.starts = np.zeros((levels + 1, size + 1), dtype=np.int64)
        self.chosen = np.zeros(1, dtype=np.int64)
        # by level and tile: the least pJ of what lies inside; by level and whole: of what lies outside
        self.inside = np.zeros((levels + 1, size))
        self.outside = np.zeros((levels + 1, size))
        # tensors that the outermost memory hands past others (`search_ahead`): to which level, and their least pJ
        self.deep = np.zeros(self.tensors, dtype=np.int64)
        self.deepest = 0
        self.deep_pj = np.zeros(self.tensors)
        self.joint = np.zeros((levels + 1, size))
        self.low = np.zeros((levels + 1, size))
        self.held = np.zeros((self.tensors, levels + 1, size))
        self.row_low = np.zeros(1 << 12)
        # by level and tensor: for how many steps of the loops outside it stays, and how often they bring it anew
        self.run_on = np.ones((levels + 2, self.tensors))
        self.again = np.ones((levels + 2, self.tensors))
        # by tensor and level: whether `fixed` says anything; of a boundary its prices outside and inside, whether words
        # are handed on outside, and whether they are shared there
        self.fixes = np.zeros((self.tensors, levels + 1), dtype=np.uint8)
        self.outer_pj_at = np.zeros((self.tensors, levels + 1))
        self.inner_pj_at = np.zeros((self.tensors, levels + 1))
        self.handed_on = np.zeros((self.tensors, levels + 1), dtype=np.uint8)
        self.shared_outside = np.zeros((self.tensors, levels + 1), dtype=np.uint8)
        # the same boundaries as another choice of bypasses has them, and the least pJ inside each tile there
        self.lends = 0
        self.differs = np.zeros((self.tensors, levels + 1), dtype=np.uint8)
        self.other_parent = np.zeros((self.tensors, levels + 1), dtype=np.int64)
        self.other_outer = np.zeros((self.tensors, levels + 1))
        self.other_inner = np.zeros((self.tensors, levels + 1))
        self.other_handed = np.zeros((self.tensors, levels + 1), dtype=np.uint8)
        self.other_shared = np.zeros((self.tensors, levels + 1), dtype=np.uint8)
        self.other_full, self.other_stay = np.zeros(self.tensors), np.zeros(self.tensors)
        # a boundary's least pJ when the innermost loop outside brings a tensor anew, or leaves it
        self.part_full, self.part_stay = np.zeros(self.tensors), np.zeros(self.tensors)
        self.lent = np.zeros((levels + 1, size))
        # dims that touch every tensor alike, windows apart
        self.kind = np.zeros(dims, dtype=np.int64)
        # the partial mapping: numbers of divisors, and the loops of each memory
        self.tile = np.zeros((levels + 1, dims), dtype=np.int64)
        self.space = np.zeros((levels + 1, dims), dtype=np.int64)
        self.flat_tile = np.zeros(levels + 1, dtype=np.int64)
        self.flat_space = np.zeros(levels + 1, dtype=np.int64)
        self.bound = np.ones((levels + 1, dims), dtype=np.int64)
        self.stretch = np.ones((levels + 1, dims), dtype=np.int64)
        self.order = np.tile(np.arange(dims, dtype=np.int64), (levels + 1, 1))
        # of loops with a partial last step: whether the dim has one so far, and whether instances wait for its return
        self.cut = np.zeros((levels + 1, dims), dtype=np.int64)
        self.cuts = np.zeros(levels + 1, dtype=np.int64)
        self.waits = np.zeros((levels + 1, dims), dtype=np.int64)
        self.reads = np.zeros((levels + 2, levels + 1))
        self.writes = np.zeros((levels + 2, levels + 1))
        self.now_tile = np.zeros(dims, dtype=np.int64)
        self.now_space = np.zeros(dims, dtype=np.int64)
        self.now_whole = np.zeros(dims, dtype=np.int64)
        for d in range(dims):
            self.tile[0, d] = self.count[d] - 1
        self.flat_tile[0] = size - 1
        # the best mapping in hand; keys at or above `limit_pj` cannot win
        self.best_pj = self.limit_pj = self.open_pj = np.inf
        self.cap_cycles = np.inf
        self.best_tile, self.best_space, self.best_order = self.tile.copy(), self.space.copy(), self.order.copy()
        self.timed = 1 if self.idle_pj > 0.0 else 0
        self.nodes = self.candidates = 0
        self.lean = np.zeros(levels + 1, dtype=np.int64)
        self.sparing = 1


__all__ = ["Floats", "Integers", "State"]
