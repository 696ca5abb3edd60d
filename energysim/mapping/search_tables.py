"""From a search problem to the tables that the compiled search works on, and from its result back to a mapping."""

from dataclasses import dataclass
from functools import cached_property
from math import gcd
from typing import Any

import numpy as np

from energysim.costs.prices import bits_moved
from energysim.hardware.accelerator import Array, Memory
from energysim.mapping.counted import LOOK_UP, PARTIAL
from energysim.mapping.nest import Loop, Mapping, even
from energysim.mapping.search_lattice import lattice_tables, tiles_outside
from energysim.mapping.search_problem import Boundary, Problem
from energysim.mapping.search_space import split_over_axes
from energysim.mapping.sharing import shared_weight, table_of
from energysim.workload.layer import Tensor

WINDOW_FIELDS = 10
"""Numbers kept per setting of a window (`search_rows`)."""


@dataclass(frozen=True)
class Tables:
    """A problem with at most one array in each gap: between arrays that follow each other stands a dummy level.

    A dummy level keeps nothing and has no loops of its own. `memory_level[m]` is the level of memory m; arrays of gap c
    are `gap_array[c]`.
    """

    problem: Problem

    @cached_property
    def levels(self) -> tuple[Memory | None, ...]:
        """Memories, and None for dummy levels."""
        found: list[Memory | None] = []
        after_array = False
        for item in self.problem.accelerator.levels:
            if isinstance(item, Memory):
                found.append(item)
            elif after_array:
                found.append(None)
            after_array = isinstance(item, Array)
        return tuple(found)

    @cached_property
    def gap_array(self) -> tuple[Array | None, ...]:
        """The array outside each level, the compute unit's last."""
        found: list[Array | None] = [None] * (len(self.levels) + 1)
        level, after_array = -1, False
        arrays = {array.name: array for gap in self.problem.gaps for array in gap}
        for item in self.problem.accelerator.levels:
            if isinstance(item, Memory) or after_array:
                level += 1
            if isinstance(item, Array):
                found[level + 1] = arrays[item.name]
            after_array = isinstance(item, Array)
        return tuple(found)

    @cached_property
    def memory_level(self) -> tuple[int, ...]:
        """The level of each memory; the compute unit's as the last."""
        return (*(i for i, memory in enumerate(self.levels) if memory is not None), len(self.levels))

    @cached_property
    def ranks(self) -> tuple[tuple[int, ...], ...]:
        """Windows by tensor: tensor, first dim, its coefficient, second dim, its coefficient, whether words pass on."""
        dims, found = self.problem.lattice.dims, []
        for t, tensor in enumerate(self.problem.layer.tensors):
            passing = any(tensor.role in array.forwarding for array in self.problem.accelerator.arrays)
            for rank in tensor.ranks:
                terms = [(dims.index(d), u) for d, u in rank.terms if d in dims]
                if len(terms) == 2:
                    (a, u), (b, v) = terms
                    g = gcd(u, v)
                    found.append((t, a, u // g, b, v // g, int(passing)))
        return tuple(found)

    @property
    def unsure(self) -> bool:
        """Whether an index moves with three dims or more: the search takes these for as many plain ones."""
        dims = self.problem.lattice.dims
        ranks = [rank for tensor in self.problem.layer.tensors for rank in tensor.ranks]
        return any(sum(d in dims for d in rank.dims) > 2 for rank in ranks)

    @cached_property
    def filled(self) -> dict[str, Any]:
        """Everything that `State` asks for."""
        problem, lattice = self.problem, self.problem.lattice
        tensors, stationary = problem.layer.tensors, problem.stationary
        key = "tables", id(problem.accelerator)
        if key not in lattice.remembered:
            lattice.remembered[key] = lattice_tables(lattice) | self._tensors() | self._ports()
        tables = {
            "levels": len(self.levels),
            "symmetric": int(problem.mirror is not None),
            "mirror": (problem.mirror if problem.mirror is not None else np.zeros(1)).astype(np.int64),
            "still_tensor": tensors.index(stationary[0]) if stationary else -1,
            "still_level": self.memory_level[stationary[1]] if stationary else 0,
            "operations": problem.cycles_per_step,
            "tile_pj": self._tile_pj(),
            "idle_pj": problem.idle_pj_per_step,
            "awake": lambda: None,
            "stall_share": 0.0,
        }
        return {**lattice.remembered[key], **tables, **self._space(), **self._prices()}

    def _tensors(self) -> dict[str, Any]:
        """How tiles touch each tensor; windows that are alike have one table, which the search fills."""
        problem, lattice = self.problem, self.problem.lattice
        tensors, dims = problem.layer.tensors, lattice.dims
        touches = np.array([[int(name in tensor.dims) for name in dims] for tensor in tensors], dtype=np.int64)
        for t, a, _, b, _, _ in self.ranks:
            touches[t, a] = touches[t, b] = 2
        every = frozenset(dims)
        slides = [frozenset(d for d, kind in zip(dims, row, strict=True) if kind == 2) for row in touches]
        window_start, room, known = [], 0, {}
        for _, a, u, b, v, passing in self.ranks:
            alike = u, int(lattice.values[a][-1]), v, int(lattice.values[b][-1]), passing
            if alike not in known:
                known[alike] = room
                room += 2 * WINDOW_FIELDS * (lattice.shape[a] * lattice.shape[b]) ** 2
            window_start.append(known[alike])
        return {
            "tensors": len(tensors),
            "touches": touches,
            "plain": np.stack([lattice.product(t.dims - s) for t, s in zip(tensors, slides, strict=True)]),
            "reuse": np.stack([lattice.product(every - tensor.dims) for tensor in tensors]),
            "left": np.stack([tiles_outside(lattice, t.dims - s) for t, s in zip(tensors, slides, strict=True)]),
            "elements": np.array([float(problem.elements[t.name][-1]) for t in tensors]),
            "is_output": np.array([t.role == "output" for t in tensors], dtype=np.uint8),
            "ranks": np.array(self.ranks, dtype=np.int64).reshape(-1, 6),
            "rank_start": np.searchsorted([r[0] for r in self.ranks], np.arange(len(tensors) + 1)).astype(np.int64),
            "window_start": np.array(window_start, dtype=np.int64),
            "window": np.zeros(room),
            "window_known": np.zeros(room + 1, dtype=np.int64),
        }

    def stalling(self, share: float) -> dict[str, Any]:
        """The tables with a share of the idle power priced on the outermost memory's port, the rest on compute steps.

        Latency is at least any mean of the two, so what this prices lies below what a mapping costs in the end.
        """
        if share == 0.0:
            return self.filled
        base = self.filled
        up, first, last = base["up"].copy(), base["first"].copy(), base["last_parent"].copy()
        pj = share * base["idle_pj"]
        read, write = base["read_cycles"][:, 0], base["write_cycles"][:, 0]
        if not base["shared_port"][0]:
            # of two ports the busier one counts: half of each is never more
            pj = pj / 2
        for t, child in zip(*np.nonzero(base["parent"] == 0), strict=True):
            if base["is_output"][t]:
                up[t, child] += pj * (read[t] + write[t])
                first[t, child] -= pj * read[t]
                last[t, child] += pj * (base["final_cycles"][t, 1, 0] - write[t])
            else:
                up[t, child] += pj * read[t]
        constant = base["constant_pj"]
        for t in np.flatnonzero((base["parent"][:, -1] == 0) & (base["charge"] == 0)):
            constant += (up - base["up"])[t, -1] * self.problem.layer.points
        priced = {"up": up, "first": first, "last_parent": last, "constant_pj": constant}
        return base | priced | {"stall_share": share}

    def alike_inside(self, other: "Tables") -> bool:
        """Whether another choice of bypasses has the same rows inside level 1, priced alike where windows slide.

        Then only prices of tensors without windows differ there, outputs apart (`Ahead.lend`).
        """
        mine, theirs = self.filled, other.filled
        if mine["idle_pj"] > 0.0 or mine["levels"] < 3 or self.problem.products or self.unsure:
            return False
        inside = ("fits", "pairs", "up", "into", "cross", "parent")
        same = all(np.array_equal(mine[name], theirs[name]) for name in ("spreads", "charge", "first", "last_cross"))
        same = same and all(np.array_equal(mine[name], theirs[name]) for name in ("last_parent", "last_child"))
        for name in inside[:2]:
            same = same and np.array_equal(mine[name][2:], theirs[name][2:])
        same = same and np.array_equal(mine["untiled"][1:], theirs["untiled"][1:])
        moved = np.zeros(mine["parent"].shape, dtype=bool)
        for name in inside[2:]:
            unequal = mine[name] != theirs[name]
            moved |= unequal.any(axis=2) if unequal.ndim == 3 else unequal
        plain = (np.diff(mine["rank_start"]) == 0) & (mine["is_output"] == 0)
        reached = np.flatnonzero(moved[:, 2:].any(axis=1))
        only = (moved == (mine["parent"] != theirs["parent"]))[:, 2:].all()
        return bool(same and only and not moved[:, -1].any() and plain[reached].all())

    def _tile_pj(self) -> Any:
        """pJ by level and tile that no loop outside changes."""
        table = np.zeros((len(self.levels) + 1, self.problem.lattice.size))
        if self.problem.tile_pj is not None:
            table[self.memory_level[-2]] = self.problem.tile_pj
        return table

    def _space(self) -> dict[str, Any]:
        """What fits, what spreads, and who shares; but for what fits the same wherever the rules of dims are."""
        problem, lattice = self.problem, self.problem.lattice
        fits = np.ones((len(self.levels) + 1, lattice.size), dtype=np.uint8)
        fits[-1] = 0
        fits[-1, 0] = 1
        for m, level in enumerate(self.memory_level[:-1]):
            fits[level] = problem.fits[m]
        key = "space", id(problem.accelerator), tuple(problem.rules.items())
        if key not in lattice.remembered:
            lattice.remembered[key] = self._spread()
        spread: dict[str, Any] = lattice.remembered[key]
        return spread | {"fits": fits}

    def _spread(self) -> dict[str, Any]:
        """What spreads, and who shares."""
        problem, lattice = self.problem, self.problem.lattice
        tensors, levels = problem.layer.tensors, len(self.levels)
        number, wide = len(lattice.dims), max(lattice.shape)
        spreads = np.zeros((levels + 1, lattice.size), dtype=np.uint8)
        spreads[:, 0] = 1
        pairs = np.ones((levels + 1, number, wide, wide), dtype=np.uint8)
        for m, level in enumerate(self.memory_level):
            if m == 0:
                continue
            gaps = range(self.memory_level[m - 1] + 1, level + 1)
            arrays = [g for g in gaps if self.gap_array[g] is not None]
            for g, spread in zip(arrays, problem.spreads[m], strict=True):
                spreads[g] = spread
            for d, table in enumerate(problem.allowed(m)):
                if table.all():
                    continue
                many = len(table)
                if table.ndim == 1:
                    pairs[level, d, :many] &= table[:, None]
                for n, g in enumerate(arrays):
                    axes = tuple(k for k in range(1, table.ndim) if k != n + 1)
                    both = np.asarray(table.any(axis=axes))
                    pairs[g, d, :many, :many] &= both if g == level else np.asarray(both.any(axis=0))[None, :]
        fan = np.ones(levels + 1)
        shares = np.zeros((len(tensors), levels + 1), dtype=np.uint8)
        passes = np.zeros((len(tensors), levels + 1), dtype=np.uint8)
        for g, array in enumerate(self.gap_array):
            if array is not None:
                fan[g] = array.fan_out
                for t, tensor in enumerate(tensors):
                    passes[t, g] = tensor.role in array.forwarding
                    wide_enough = array.reduction if tensor.role == "output" else tensor.role in array.multicast
                    shares[t, g] = wide_enough or passes[t, g]
        return {
            "spreads": spreads,
            "pairs": pairs,
            "fan": fan,
            "shares": shares,
            "passes": passes,
            "untiled": self._untiled(),
            "idle_gap": max((g for g in range(1, levels + 1) if fan[g] > 1), default=levels),
        }

    def _untiled(self) -> Any:
        """Whether a level has no loop of its own over a dim."""
        untiled = np.ones((len(self.levels), len(self.problem.lattice.dims)), dtype=np.uint8)
        for d, said in enumerate(self.problem.rules.values()):
            for level, none in zip(self.memory_level, said.untiled, strict=False):
                untiled[level, d] = none
        return untiled

    def _prices(self) -> dict[str, Any]:
        """pJ per word, by tensor and level."""
        problem = self.problem
        tensors, levels = problem.layer.tensors, len(self.levels)
        shape = (len(tensors), levels + 1)
        table: dict[str, Any] = {name: np.zeros(shape) for name in ("up", "into", "first", "last_parent", "last_child")}
        table |= {name: np.zeros((*shape, levels + 1)) for name in ("cross", "last_cross")}
        parent = np.full(shape, -1, dtype=np.int64)
        charge = np.zeros(len(tensors), dtype=np.int64)
        constant = problem.compute_pj
        gap_of = {array.name: g for g, array in enumerate(self.gap_array) if array is not None}
        for b in problem.boundaries:
            t, child = tensors.index(b.tensor), self.memory_level[b.child]
            parent[t, child] = self.memory_level[b.parent]
            crossed = self._boundary(table, b, t, child, gap_of)
            if b.child == problem.levels:
                charge[t] = max(crossed, default=0)
                if not crossed:
                    constant += b.up * problem.layer.points
        return table | {"parent": parent, "charge": charge, "constant_pj": constant}

    @staticmethod
    def _boundary(table: dict[str, Any], b: Boundary, t: int, child: int, gap_of: dict[str, int]) -> list[int]:
        """Prices of one boundary; the gaps that it crosses an array in."""
        table["up"][t, child], table["into"][t, child], table["first"][t, child] = b.up, b.into, b.first
        for name, price in b.crossing:
            table["cross"][t, child, gap_of[name]] = price
        if b.last:
            table["last_parent"][t, child] = b.last[0]
            for (name, _), price in zip(b.crossing, b.last[1:], strict=False):
                table["last_cross"][t, child, gap_of[name]] = price
            if len(b.last) > len(b.crossing) + 1:
                table["last_child"][t, child] = b.last[-1]
        return [gap_of[name] for name, _ in b.crossing]

    def _ports(self) -> dict[str, Any]:
        """Port cycles per word, by tensor and level, and which memories have one port for both directions."""
        tensors, levels = self.problem.layer.tensors, len(self.levels)
        table: dict[str, Any] = {name: np.zeros((len(tensors), levels + 1)) for name in ("read_cycles", "write_cycles")}
        table["final_cycles"] = np.zeros((len(tensors), 2, levels + 1))
        for m, level in enumerate(self.memory_level[:-1]):
            for t, tensor in enumerate(tensors):
                self._cycles(table, self.problem.memories[m], level, t, tensor)
        ports = [memory is None or memory.shared_port for memory in self.levels]
        return table | {"shared_port": np.array(ports, dtype=np.uint8)}

    def _cycles(self, table: dict[str, Any], memory: Memory, level: int, t: int, tensor: Tensor) -> None:
        """Cycles that one word takes on a memory's ports; outputs as partial sums and finished."""
        layer, accelerator = self.problem.layer, self.problem.accelerator
        name = PARTIAL if tensor.role == "output" else tensor.name
        bits = bits_moved(layer, accelerator, memory.name, name)
        final = bits_moved(layer, accelerator, memory.name, tensor.name)
        shared = shared_weight(layer, accelerator)
        looked_up = 0.0
        if shared and shared[0] == tensor and memory.name == table_of(shared[2]):
            # a look-up takes the same port
            looked_up = bits_moved(layer, accelerator, memory.name, tensor.name, LOOK_UP)
        if self.problem.products and memory == self.problem.memories[-1]:
            # fewer words than points; how many the tile decides, so none are sure
            return
        for side, rate in enumerate((memory.read_bits_per_cycle, memory.write_bits_per_cycle)):
            cycles = table["write_cycles"] if side else table["read_cycles"]
            cycles[t, level] = (bits + (0.0 if side else looked_up)) / rate if rate else 0.0
            table["final_cycles"][t, side, level] = final / rate if rate else 0.0

    def mapping(self, tile: Any, space: Any, order: Any) -> Mapping:
        """A result of the compiled search as a mapping."""
        problem, dims = self.problem, self.problem.lattice.dims
        values = problem.lattice.values
        sizes = [{d: int(values[i][n]) for i, (d, n) in enumerate(zip(dims, row, strict=True))} for row in tile]
        blocks: dict[str, tuple[Loop, ...]] = {}
        for level, memory in enumerate(self.levels):
            factors = {d: int(values[i][space[level + 1][i]]) for i, d in enumerate(dims)}
            if memory is not None:
                loops = [dims[int(i)] for i in order[level]]
                blocks[memory.name] = tuple(
                    Loop(d, -(-sizes[level][d] // (sizes[level + 1][d] * factors[d]))) for d in loops
                )
            array = self.gap_array[level + 1]
            if array is not None:
                shares = split_over_axes(array, factors) or {}
                blocks[array.name] = tuple(
                    Loop(d, shares[d][i], f"{array.name}.{axis.name}")
                    for i, axis in enumerate(array.axes)
                    for d in dims
                    if d in shares and shares[d][i] > 1
                )
        return even(problem.accelerator, problem.layer, blocks, dict(problem.bypass))


__all__ = ["Tables"]
