"""Tables for the search among uneven mappings: levels at which one mark each can stand, and marks with their prices.

The nest is cut by its arrays into segments. A segment's first level lies directly inside its array (segment 0: the
outermost memory); one more level follows for each of its marks, so that every mark can stand at a depth of its own.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

from energysim.hardware.accelerator import Array, Memory
from energysim.mapping.constraints import Restriction, TileLimit, Untiled, within
from energysim.mapping.nest import Loop, Mapping, Storage, bits_of, codebook_bits
from energysim.mapping.search_problem import Boundary, Problem
from energysim.mapping.search_space import split_over_axes
from energysim.mapping.search_tables import Tables
from energysim.workload.layer import Tensor

Mark = tuple[int, Tensor]
"""Number of a memory and the tensor that is held there."""


@dataclass(frozen=True)
class UnevenTables:
    """One choice of bypasses as tables for `search_uneven_tree`, and its results back as mappings."""

    even: Tables
    asked: tuple[Restriction, ...] = ()
    """The user's limits on tiles and loops of memories, which `even` does not know."""

    @property
    def problem(self) -> Problem:
        """Layer, accelerator, prices and bypasses."""
        return self.even.problem

    @cached_property
    def arrays(self) -> tuple[Array | None, ...]:
        """The array outside each segment, as the dataflow restricts it; None for segment 0."""
        return (None, *(array for gap in self.problem.gaps for array in gap))

    @cached_property
    def memories(self) -> tuple[tuple[int, ...], ...]:
        """Numbers of the memories in each segment, the outermost one of all left out."""
        found: list[list[int]] = [[]]
        number = -1
        for item in self.problem.accelerator.levels:
            if isinstance(item, Memory):
                number += 1
                if number > 0:
                    found[-1].append(number)
            else:
                found.append([])
        return tuple(map(tuple, found))

    @cached_property
    def marks(self) -> tuple[tuple[Mark, ...], ...]:
        """Marks of each segment, by memory, outermost first."""
        tensors = self.problem.layer.tensors
        return tuple(
            tuple((m, t) for m in numbers for t in tensors if self.problem.keeps(m, t)) for numbers in self.memories
        )

    @cached_property
    def every(self) -> tuple[Mark, ...]:
        """All marks, in the order of their numbers."""
        return tuple(mark for marks in self.marks for mark in marks)

    @cached_property
    def first_level(self) -> tuple[int, ...]:
        """The level directly inside the array of each segment."""
        found, level = [], 0
        for marks in self.marks:
            found.append(level)
            level += 1 + len(marks)
        return tuple(found)

    @cached_property
    def levels(self) -> int:
        """The compute unit's level: that of the last segment itself where an array stands directly outside it."""
        last = self.first_level[-1] + len(self.marks[-1])
        return last if self.memories[-1] == () and len(self.arrays) > 1 else last + 1

    @cached_property
    def filled(self) -> dict[str, Any]:
        """Everything that the compiled search asks for."""
        even, old = dict(self.even.filled), self.even.filled
        tensors, levels, size = len(self.problem.layer.tensors), self.levels, self.problem.lattice.size
        shape = (tensors, levels + 1)
        gap = {self.first_level[s]: g for s, g in zip(range(1, len(self.arrays)), self._old_gaps(), strict=True)}
        fan, spreads = np.ones(levels + 1), np.zeros((levels + 1, size), dtype=np.uint8)
        spreads[:, 0] = 1
        pairs = np.ones((levels + 1, *old["pairs"].shape[1:]), dtype=np.uint8)
        shares, passes = np.zeros(shape, dtype=np.uint8), np.zeros(shape, dtype=np.uint8)
        for level, g in gap.items():
            fan[level], spreads[level], pairs[level] = old["fan"][g], old["spreads"][g], old["pairs"][g]
            shares[:, level], passes[:, level] = old["shares"][:, g], old["passes"][:, g]
        even |= {name: np.zeros(shape) for name in ("up", "into", "first", "last_parent", "last_child")}
        even |= {name: np.zeros((*shape, levels + 1)) for name in ("cross", "last_cross")}
        even |= {name: np.zeros(shape) for name in ("read_cycles", "write_cycles")}
        charge = [next((level for level, g in gap.items() if g == c and c), 0) for c in old["charge"]]
        still = self.problem.stationary
        even |= {
            "levels": levels,
            "fits": np.ones((levels + 1, size), dtype=np.uint8),
            "spreads": spreads,
            "pairs": pairs,
            "fan": fan,
            "shares": shares,
            "passes": passes,
            "untiled": np.zeros((levels, len(self.problem.lattice.dims)), dtype=np.uint8),
            "parent": np.full(shape, -1, dtype=np.int64),
            "charge": np.array(charge, dtype=np.int64),
            "final_cycles": np.zeros((tensors, 2, levels + 1)),
            "shared_port": np.ones(levels, dtype=np.uint8),
            "symmetric": 0,
            "window": np.zeros_like(old["window"]),
            "window_known": np.zeros_like(old["window_known"]),
            "idle_gap": max((g for g in range(1, levels + 1) if fan[g] > 1), default=0),
            "still_tensor": -1 if still is None else old["still_tensor"],
            "still_level": 0,
        }
        return even | self._marks(gap) | self._segments() | self._ports() | self._asked()

    def searchable(self, share: float) -> dict[str, Any]:
        """The tables of one search, which writes into some, with a share of the idle power on the outermost port.

        Latency is at least any mean of that port's cycles and compute steps: the rest is priced on these.
        """
        tables = self.filled
        written = ("up", "into", "first", "last_parent", "last_child", "cross", "last_cross", "parent", "fan")
        tables = tables | {name: tables[name].copy() for name in written}
        if share == 0.0:
            return tables
        priced = {name: tables[name].copy() for name in ("mark_up", "mark_first", "mark_last_parent")}
        # of two ports the busier one counts: half of each is never more
        pj = share * tables["idle_pj"] * (1.0 if tables["port_shared"][0] else 0.5)
        constant = tables["constant_pj"]
        for k in map(int, np.flatnonzero(tables["mark_source"] == 0)):
            t = tables["mark_tensor"][k]
            read, write = tables["port_read"][t, 0], tables["port_write"][t, 0]
            moved = pj * read
            if tables["is_output"][t]:
                moved = pj * (read + write)
                priced["mark_first"][k] -= pj * read
                priced["mark_last_parent"][k] += pj * (tables["port_final"][t, 1, 0] - write)
            priced["mark_up"][k] += moved
            if k >= tables["marks"] and tables["charge"][t] == 0:
                constant += moved * self.problem.layer.points
        return tables | priced | {"constant_pj": constant, "stall_share": share}

    def _asked(self) -> dict[str, Any]:
        """Which tiles each mark may have, and over which dims no loop may belong to each memory."""
        lattice = self.problem.lattice
        allowed = np.ones((len(self.every) + 1, lattice.size), dtype=np.uint8)
        no_loops = np.zeros((len(self.problem.memories), len(lattice.dims)), dtype=np.uint8)
        for each in self.asked:
            if isinstance(each, (TileLimit, Untiled)) and each.dim in lattice.dims:
                d, named = lattice.dims.index(each.dim), [m.name == each.memory for m in self.problem.memories]
                if isinstance(each, Untiled):
                    no_loops[named, d] = 1
                    continue
                least, most = within([each], self.problem.layer.dims[each.dim])
                values = lattice.values[d]
                good = lattice.spread((values >= least) & (values <= most), (d,))
                good = np.broadcast_to(good, lattice.shape).reshape(-1)
                for k, (m, t) in enumerate(self.every):
                    if named[m] and each.dim in t.dims:
                        allowed[k] &= good
        return {"mark_allowed": allowed, "no_loops": no_loops}

    def _ports(self) -> dict[str, Any]:
        """Cycles that a word takes on the ports of each memory, and the level of its segment's array."""
        old, level_of = self.even.filled, list(self.even.memory_level[:-1])
        segment = [0] + [s for s, numbers in enumerate(self.memories) for _ in numbers]
        tensors = range(len(self.problem.layer.tensors))
        return {
            "port_read": np.ascontiguousarray(old["read_cycles"][:, level_of]),
            "port_write": np.ascontiguousarray(old["write_cycles"][:, level_of]),
            "port_final": np.ascontiguousarray(old["final_cycles"][:, :, level_of]),
            "port_shared": np.ascontiguousarray(old["shared_port"][level_of]),
            "memory_level": np.array([self.first_level[s] for s in segment], dtype=np.int64),
            "mark_memory": np.array([m for m, _ in self.every] + [-1 for _ in tensors], dtype=np.int64),
        }

    def _old_gaps(self) -> list[int]:
        """Numbers that the even search gives the gaps that have arrays."""
        return [g for g, array in enumerate(self.even.gap_array) if array is not None]

    def _marks(self, gap: dict[int, int]) -> dict[str, Any]:
        """Marks, then for each tensor its compute units: prices of the boundary outside each, and what it takes."""
        tensors, every = self.problem.layer.tensors, self.every
        total, levels = len(every) + len(tensors), self.levels
        names = ("up", "into", "first", "last_parent", "last_child")
        table: dict[str, Any] = {f"mark_{name}": np.zeros(total) for name in names}
        table |= {f"mark_{name}": np.zeros((total, levels + 1)) for name in ("cross", "last_cross")}
        before, following, source = (np.full(total, -1, dtype=np.int64) for _ in range(3))
        numbers = {(m, t.name): k for k, (m, t) in enumerate(every)}
        numbers |= {(self.problem.levels, t.name): len(every) + i for i, t in enumerate(tensors)}
        level_of = {array.name: self.first_level[s] for s, array in enumerate(self.arrays) if array is not None}
        for b in self.problem.boundaries:
            k = numbers[b.child, b.tensor.name]
            before[k], source[k] = numbers.get((b.parent, b.tensor.name), -1), b.parent
            if before[k] >= 0:
                following[before[k]] = k
            self._prices(table, k, b, level_of)
        segment = [s for s, marks in enumerate(self.marks) for _ in marks] + [len(self.marks) - 1] * len(tensors)
        parts: dict[tuple[int, str], int] = {}
        part, bits, room = [], [], []
        for m, t in every:
            memory = self.problem.memories[m]
            name = (m, memory.part(t.role))
            if name not in parts:
                parts[name] = len(parts)
                capacity = memory.part_bits(name[1])
                taken = codebook_bits(self.problem.layer, self.problem.accelerator, memory.name, name[1])
                room.append(np.inf if capacity is None else float(capacity - taken))
            part.append(parts[name])
            bits.append(bits_of(t, self.problem.elements[t.name], self.problem.accelerator, memory.name))
        return table | {
            "marks": len(every),
            "mark_tensor": np.array([tensors.index(t) for _, t in every] + list(range(len(tensors))), dtype=np.int64),
            "mark_before": before,
            "mark_source": source,
            "mark_following": following,
            "mark_segment": np.array(segment, dtype=np.int64),
            "mark_part": np.array(part or [0], dtype=np.int64),
            "mark_bits": np.array(bits or [np.zeros(self.problem.lattice.size)]),
            "part_room": np.array(room or [np.inf]),
        }

    @staticmethod
    def _prices(table: dict[str, Any], k: int, b: Boundary, level_of: dict[str, int]) -> None:
        table["mark_up"][k], table["mark_into"][k], table["mark_first"][k] = b.up, b.into, b.first
        for name, price in b.crossing:
            table["mark_cross"][k, level_of[name]] = price
        if b.last:
            table["mark_last_parent"][k] = b.last[0]
            for (name, _), price in zip(b.crossing, b.last[1:], strict=False):
                table["mark_last_cross"][k, level_of[name]] = price
            if len(b.last) > len(b.crossing) + 1:
                table["mark_last_child"][k] = b.last[-1]

    def _segments(self) -> dict[str, Any]:
        """Segments; sets of their marks (bits) that can be left to place, by number of members; sets to begin with."""
        number = len(self.marks)
        left: list[tuple[int, int]] = []
        width = max(map(len, self.marks))
        row_of = np.full((number, 1 << width), -1, dtype=np.int64)
        begins: list[tuple[int, int]] = []
        first_mark = np.cumsum([0, *map(len, self.marks)])
        for s, marks in enumerate(self.marks):
            chains = {t.name: [i for i, (_, other) in enumerate(marks) if other is t] for _, t in marks}
            tails = [[sum(1 << i for i in chain[n:]) for n in range(len(chain) + 1)] for chain in chains.values()]
            for choice in sorted(product(*tails), key=lambda c: (sum(c).bit_count(), sum(c))):
                row_of[s, sum(choice)] = len(left)
                left.append((s, sum(choice)))
            heads = [[0, 1 << chain[0]] for chain in chains.values()]
            open_start = not marks or not any(m == self.memories[s][0] for m, _ in marks)
            begins += [(s, sum(c)) for c in product(*heads) if sum(c) or open_start]
        return {
            "segments": number,
            "segment_level": np.array(self.first_level, dtype=np.int64),
            "segment_mark": np.array(first_mark, dtype=np.int64),
            "segment_closed": np.array(
                [s > 0 and not numbers and s < number - 1 for s, numbers in enumerate(self.memories)], dtype=np.uint8
            ),
            "left_segment": np.array([s for s, _ in left], dtype=np.int64),
            "left_set": np.array([c for _, c in left], dtype=np.int64),
            "left_row": row_of,
            "begin_segment": np.array([s for s, _ in begins], dtype=np.int64),
            "begin_set": np.array([c for _, c in begins], dtype=np.int64),
        }

    def mapping(self, tile: Any, space: Any, order: Any, where: Any) -> Mapping:
        """A result of the compiled search as a mapping; `where`: the level of every mark."""
        problem, dims = self.problem, self.problem.lattice.dims
        values = problem.lattice.values
        outermost = problem.memories[0].name
        nest: list[Loop | Storage] = [Storage(outermost, t.name) for t in problem.layer.tensors]
        array_at = {level: array for level, array in zip(self.first_level, self.arrays, strict=True) if array}
        for level in range(self.levels + 1):
            here = [int(values[i][n]) for i, n in enumerate(tile[level])]
            factors = {d: int(values[i][space[level][i]]) for i, d in enumerate(dims)}
            if level:
                outer = [int(values[i][n]) for i, n in enumerate(tile[level - 1])]
                bounds = {d: outer[i] // (here[i] * factors[d]) for i, d in enumerate(dims)}
                nest += [Loop(dims[int(i)], bounds[dims[int(i)]]) for i in order[level - 1] if bounds[dims[int(i)]] > 1]
            if level in array_at:
                array = array_at[level]
                shares = split_over_axes(array, factors) or {}
                nest += [
                    Loop(d, shares[d][i], f"{array.name}.{axis.name}")
                    for i, axis in enumerate(array.axes)
                    for d in dims
                    if d in shares and shares[d][i] > 1
                ]
            nest += [
                Storage(problem.memories[m].name, t.name) for k, (m, t) in enumerate(self.every) if where[k] == level
            ]
        return Mapping(tuple(nest))


__all__ = ["UnevenTables"]
