"""ZigZag's mappings as ours and back, and what they cost by our counts tensor by tensor."""

from dataclasses import replace
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from energysim.costs.prices import energy_by_key
from energysim.hardware.accelerator import Memory
from energysim.hardware.read import DescribedAccelerator
from energysim.mapping.counts import PARTIAL, UNIT, Counts, count_many
from energysim.mapping.nest import Loop, Mapping, Storage
from energysim.workload.layer import Layer

DIM = {"B": "N", "G": "G", "K": "M", "C": "C", "OY": "P", "OX": "Q", "FY": "R", "FX": "S"}
TENSOR = {"W": "weight", "I": "input", "O": "output"}

Marks = list[tuple[int, Storage]]
"""Each mark with the number of temporal loops inside it."""


def _rank(described: DescribedAccelerator) -> tuple[dict[str, int], int]:
    """The number of each level, outermost 0, and that of the array (there is one)."""
    levels = described.accelerator.levels
    (array,) = (i for i, level in enumerate(levels) if not isinstance(level, Memory))
    return {level.name: i for i, level in enumerate(levels)}, array


def _keepers(described: DescribedAccelerator, tensor: str) -> list[str]:
    """Memories that hold a tensor, innermost first."""
    return [m.name for m in reversed(described.accelerator.memories) if tensor in m.keeps]


def _read(layer: Layer, described: DescribedAccelerator, found: dict[str, Any]) -> tuple[list[Loop], Marks, list[Loop]]:
    """Temporal loops (innermost first), marks and spread loops of ZigZag's mapping.

    A dim spread wider than its temporal loops leave is cut to what they leave: as many steps, as ZigZag's fractions.
    Raises ValueError when its operands have their loops in different orders.
    """
    order = [loop for level in found["temporal"]["O"] for loop in level]
    marks: Marks = []
    for operand, tensor in TENSOR.items():
        blocks = found["temporal"][operand]
        if [loop for level in blocks for loop in level] != order:
            raise ValueError(f"layer '{layer.name}': operands have loops in different orders")
        inside = 0
        for memory, block in zip(_keepers(described, tensor), blocks, strict=True):
            inside += len(block)
            marks.append((inside, Storage(memory, tensor)))
    left = {DIM[d]: -(-layer.dims[DIM[d]] // prod(n for o, n in order if o == d)) for d in DIM}
    spread = [
        Loop(DIM[dim], min(int(size), left[DIM[dim]]), f"pe.{axis.lower()}")
        for axis, single in found["spatial"].items()
        for dim, size in single
        if size > 1
    ]
    return [Loop(DIM[dim], int(size)) for dim, size in order], marks, spread


def _nest(
    order: list[Loop], marks: Marks, spread: list[Loop], border: int, described: DescribedAccelerator
) -> tuple[Loop | Storage, ...]:
    """One nest: the spread loops stand outside `border` temporal loops and the marks of what is below the array."""
    rank, array = _rank(described)
    marks = sorted(marks, key=lambda item: (-item[0], rank[item[1].memory]))
    nest: list[Loop | Storage] = []
    for depth in range(len(order), -1, -1):
        here = [mark for at, mark in marks if at == depth]
        nest += [mark for mark in here if rank[mark.memory] < array]
        nest += spread if depth == border else []
        nest += [mark for mark in here if rank[mark.memory] > array]
        nest += [order[depth - 1]] if depth else []
    return tuple(nest)


def _border(marks: Marks, described: DescribedAccelerator) -> int:
    """Temporal loops inside the outermost mark of what is below the array."""
    rank, array = _rank(described)
    return max((depth for depth, mark in marks if rank[mark.memory] > array), default=0)


def translated(layer: Layer, described: DescribedAccelerator, found: dict[str, Any]) -> tuple[Mapping, bool]:
    """ZigZag's mapping as ours, and whether a mark outside the array had to move outward.

    ZigZag orders temporal loops alone; ours also has the spread loops in the nest, between the marks of what is outside
    and inside the array. An outer mark that stands too far in is moved out: a larger tile, never more traffic above.
    """
    order, marks, spread = _read(layer, described, found)
    rank, array = _rank(described)
    border = _border(marks, described)
    moved = any(depth < border for depth, mark in marks if rank[mark.memory] < array)
    marks = [(max(depth, border) if rank[mark.memory] < array else depth, mark) for depth, mark in marks]
    return Mapping(_nest(order, marks, spread, border, described)), moved


def tensor_by_tensor_pj(layer: Layer, described: DescribedAccelerator, found: dict[str, Any]) -> float:
    """What ZigZag's mapping costs by our counts, in pJ, with every mark where ZigZag has it.

    No tensor's counts depend on another's marks, so each is counted in a nest of its own, where the spread loops stand
    at its own border of the array. Capacities and legality are not looked at: ZigZag has done so by its own rules.
    """
    order, marks, spread = _read(layer, described, found)
    values: dict[tuple[str, str, str], int] = {}
    steps = 0
    outermost = [(len(order), Storage(described.accelerator.memories[0].name, t.name)) for t in layer.tensors]
    for tensor in layer.tensors:
        own = [(depth, mark) for depth, mark in marks if mark.tensor == tensor.name]
        others = [(depth, mark) for depth, mark in outermost if mark.tensor != tensor.name]
        nest = _nest(order, own + others, spread, _border(own, described), described)
        bounds = np.array([[item.bound for item in nest if isinstance(item, Loop)]], dtype=object)
        counted, taken = count_many(layer, described.accelerator, nest, bounds.reshape(1, -1))
        names = (tensor.name, PARTIAL, UNIT) if tensor.role == "output" else (tensor.name,)
        values |= {key: int(n[0]) for key, n in counted.items() if key[2] in names and n[0]}
        steps = int(taken[0])
    mapping, _ = translated(layer, described, found)
    counts = Counts(values, steps)
    return sum(energy_by_key(counts, layer, described.accelerator, described.table, mapping).values())


def finished(layer: Layer) -> Layer:
    """The layer with partial sums as narrow as finished outputs."""
    tensors = tuple(replace(t, partial_bits=t.bits) if t.role == "output" else t for t in layer.tensors)
    return replace(layer, tensors=tensors)


def to_zigzag(described: DescribedAccelerator, mapping: Mapping) -> dict[str, Any] | None:
    """Our mapping as ZigZag's temporal and spatial one, None when a tensor passes a memory that ZigZag has it in."""
    names = {ours: theirs for theirs, ours in DIM.items()}
    loops = [(i, x) for i, x in enumerate(mapping.nest) if isinstance(x, Loop) and x.axis is None and x.bound > 1]
    temporal = {}
    for operand, tensor in TENSOR.items():
        keepers = _keepers(described, tensor)
        if list(mapping.keepers(tensor)) != keepers[::-1]:
            return None
        places = [mapping.nest.index(Storage(memory, tensor)) for memory in keepers]
        borders = [len(mapping.nest), *places]
        temporal[operand] = [
            [[names[x.dim], x.bound] for i, x in reversed(loops) if outer < i < inner]
            for inner, outer in pairwise(borders)
        ]
    (array,) = described.accelerator.arrays
    spatial = {
        axis.name.upper(): [
            [names[x.dim], x.bound] for x in mapping.loops if x.axis == f"{array.name}.{axis.name}" and x.bound > 1
        ]
        for axis in array.axes
    }
    return {"temporal": temporal, "spatial": spatial}
