"""The definition of truth: run the loop nest literally, hold each buffer's contents as a set, count what moves.

Slow and obvious on purpose; it shares nothing with the closed form but the nouns (docs/decisions/replay.md).
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod

from energysim.hardware.accelerator import Accelerator
from energysim.mapping.counted import PARTIAL, UNIT, Counts, Key
from energysim.mapping.nest import Loop, Mapping, Storage
from energysim.workload.layer import DIMS, Layer, Tensor

Index = tuple[int, ...]
Element = tuple[int, ...]


def replay(layer: Layer, accelerator: Accelerator, mapping: Mapping) -> Counts:
    """Counts of a legal mapping by brute force; time and memory grow with the number of loop points."""
    values: dict[Key, int] = defaultdict(int)
    for tensor in layer.tensors:
        marks = [i for i, item in enumerate(mapping.nest) if isinstance(item, Storage) and item.tensor == tensor.name]
        for parent, child in zip(marks, [*marks[1:], len(mapping.nest)], strict=True):
            for key, n in _Boundary(layer, accelerator, mapping, tensor, parent, child).counts():
                values[key] += n
    end = len(mapping.nest)
    busy = [len(instances) for instances in _run(layer, mapping, end)]
    values[accelerator.compute.name, layer.unit, UNIT] = sum(busy) * (layer.ops_per_point if layer.unit == "op" else 1)
    return Counts({key: n for key, n in sorted(values.items()) if n}, len(busy))


def _run(layer: Layer, mapping: Mapping, end: int) -> Iterator[list[tuple[Index, dict[str, range]]]]:
    """Step by step the loops outside nest position `end`: per busy instance its index and its range of each dim.

    An instance is named by the indices of all spatial loops outside `end`; it is busy when no dim is past its size.
    """
    outer = [(i, item) for i, item in enumerate(mapping.nest[:end]) if isinstance(item, Loop)]
    strides = {
        i: prod(x.bound for x in mapping.nest[i + 1 :] if isinstance(x, Loop) and x.dim == loop.dim)
        for i, loop in outer
    }
    tile = {d: prod(x.bound for x in mapping.nest[end:] if isinstance(x, Loop) and x.dim == d) for d in DIMS}
    in_time = [(i, loop) for i, loop in outer if loop.axis is None]
    in_space = [(i, loop) for i, loop in outer if loop.axis is not None]
    for time in product(*(range(loop.bound) for _, loop in in_time)):
        busy = []
        for place in product(*(range(loop.bound) for _, loop in in_space)):
            start = dict.fromkeys(DIMS, 0)
            for (i, loop), index in [*zip(in_time, time, strict=True), *zip(in_space, place, strict=True)]:
                start[loop.dim] += index * strides[i]
            if all(start[d] < layer.dims[d] for d in DIMS):
                busy.append((place, {d: range(start[d], min(start[d] + tile[d], layer.dims[d])) for d in DIMS}))
        if busy:
            yield busy


def _elements(tensor: Tensor, ranges: dict[str, range]) -> set[Element]:
    """Every element of a tensor that a block of the loop nest touches."""
    indices = []
    for rank in tensor.ranks:
        points = product(*(ranges[d] for d in rank.dims))
        indices.append({sum(c * x for (_, c), x in zip(rank.terms, point, strict=True)) for point in points})
    return set(product(*indices))


@dataclass(frozen=True, slots=True)
class _Boundary:
    """A tensor between the memory marked at nest position `parent` and the one at `child` (the end: compute unit)."""

    layer: Layer
    accelerator: Accelerator
    mapping: Mapping
    tensor: Tensor
    parent: int
    child: int

    @property
    def spatial(self) -> list[tuple[int, str]]:
        """Nest position and array of every spatial loop outside the child."""
        outer = enumerate(self.mapping.nest[: self.child])
        return [(i, x.axis.rsplit(".", 1)[0]) for i, x in outer if isinstance(x, Loop) and x.axis is not None]

    @property
    def crossed(self) -> list[str]:
        """Arrays between parent and child, outer to inner."""
        names = [level.name for level in self.accelerator.levels]
        above, below = self.mapping.nest[self.parent], self.mapping.nest[self.child :][:1]
        first = names.index(above.memory) if isinstance(above, Storage) else 0
        last = names.index(below[0].memory) if below and isinstance(below[0], Storage) else len(names)
        return [array.name for array in self.accelerator.arrays if first < names.index(array.name) < last]

    def mode(self, position: int, name: str, alone: list[str]) -> str:
        """How instances along one spatial loop share words."""
        array = next(a for a in self.accelerator.arrays if a.name == name)
        if position < self.parent or name in alone:
            return "alone"
        if self.tensor.role == "output":
            return "together" if array.reduction else "alone"
        if self.tensor.role in array.forwarding:
            return "passed on"
        return "together" if self.tensor.role in array.multicast else "alone"

    def arrivals(self, alone: list[str]) -> int:
        """Words taken up, one for each group of instances that share it; along `alone` arrays nothing is shared."""
        modes = [self.mode(i, name, alone) for i, name in self.spatial]
        held: dict[Index, set[Element]] = defaultdict(set)
        total = 0
        for busy in _run(self.layer, self.mapping, self.child):
            has: dict[tuple[Index, Index], set[Element]] = defaultdict(set)
            needs: dict[tuple[Index, Index], set[Element]] = defaultdict(set)
            for place, ranges in busy:
                group = tuple(x for x, m in zip(place, modes, strict=True) if m == "alone")
                member = tuple(x for x, m in zip(place, modes, strict=True) if m == "together")
                tile = _elements(self.tensor, ranges)
                has[group, member] |= held[place]
                needs[group, member] |= tile
                if self.child < len(self.mapping.nest):
                    held[place] = tile
            fresh: dict[Index, set[Element]] = defaultdict(set)
            for (group, member), wanted in needs.items():
                fresh[group] |= wanted - has[group, member]
            total += sum(map(len, fresh.values()))
        return total

    def visits(self, inside: int) -> list[int]:
        """For each element, under how many instances it is worked on (instances of the loops outside `inside`)."""
        found: dict[Element, set[Index]] = defaultdict(set)
        count = sum(i < inside for i, _ in self.spatial)
        for busy in _run(self.layer, self.mapping, self.child):
            for place, ranges in busy:
                for element in _elements(self.tensor, ranges):
                    found[element].add(place[:count])
        return [len(places) for places in found.values()]

    def counts(self) -> Iterator[tuple[Key, int]]:
        """Everything that crosses, by key."""
        above, below = self.mapping.nest[self.parent], self.mapping.nest[self.child :][:1]
        outer = above.memory if isinstance(above, Storage) else ""
        inner = below[0].memory if below and isinstance(below[0], Storage) else None
        name, crossed, shared = self.tensor.name, self.crossed, self.arrivals([])
        if self.tensor.role != "output":
            yield (outer, "read", name), shared
            for n, array in enumerate(crossed):
                yield (array, "transfer", name), self.arrivals(crossed[: n + 1])
            if inner is not None:
                yield (inner, "fill", name), self.arrivals(crossed)
            return
        visits = self.visits(self.parent)
        done, back = visits.count(1), shared - sum(visits)
        yield (outer, "write", name), done
        yield (outer, "write", PARTIAL), shared - done
        yield (outer, "read", PARTIAL), back
        for n, array in enumerate(crossed):
            last = [i for i, a in self.spatial if i < self.parent or a in crossed[: n + 1]]
            up, done = self.arrivals(crossed[: n + 1]), self.visits(max(last, default=-1) + 1).count(1)
            yield (array, "transfer", name), done
            yield (array, "transfer", PARTIAL), up - done + back
        if inner is not None:
            up, done = self.arrivals(crossed), self.visits(self.child).count(1)
            yield (inner, "drain", name), done
            yield (inner, "drain", PARTIAL), up - done
            yield (inner, "fill", PARTIAL), back
