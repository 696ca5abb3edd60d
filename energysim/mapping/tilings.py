"""What constraints leave of the tilings of one dim, level by level.

Levels are numbered from the outermost memory, 0, to the compute unit; gap c holds the arrays directly outside level c.
A tiling of a dim is a tile at each level and a factor on each array, each tile a multiple of all that is inside it.
"""

from dataclasses import dataclass
from itertools import combinations, product
from math import prod

import numpy as np

from energysim.hardware.accelerator import Accelerator, Array, Memory
from energysim.mapping.constraints import Constraints, Residence, Untiled, element_memories, within
from energysim.mapping.search_space import Numbers, divisors, split_over_axes
from energysim.workload.layer import Layer

Bypass = tuple[tuple[str, frozenset[str]], ...]
"""Memories in order, each with the names of tensors that bypass it."""

NONE = Constraints("")


def bypasses(layer: Layer, accelerator: Accelerator, constraints: Constraints | None = None) -> list[Bypass]:
    """Every choice of tensors sent past memories that allow it, and that the constraints leave; the fewest first."""
    said = {(x.memory, x.role): x.kept for x in (constraints or NONE).restrictions if isinstance(x, Residence)}
    options = []
    for memory in accelerator.memories[1:]:
        free = [t for t in layer.tensors if t.role in memory.bypassable & memory.keeps]
        always = {t.name for t in free if said.get((memory.name, t.role)) is False}
        names = sorted(t.name for t in free if (memory.name, t.role) not in said)
        subsets = [frozenset(c) | always for n in range(len(names) + 1) for c in combinations(names, n)]
        options.append([(memory.name, subset) for subset in subsets])
    return [tuple(choice) for choice in product(*options)]


def gaps(accelerator: Accelerator) -> tuple[tuple[Array, ...], ...]:
    """Arrays directly outside each level (none outside level 0)."""
    found: list[list[Array]] = [[]]
    for item in accelerator.levels:
        if isinstance(item, Memory):
            found.append([])
        else:
            found[-1].append(item)
    return tuple(map(tuple, found))


@dataclass(frozen=True, slots=True)
class DimRules:
    """What constraints say about one dim of `size` points under one choice of bypasses.

    `tiles`: least and most at each level; `factors`: for each gap and array least, most and a number that must divide
    the factor; `untiled`: whether each memory must have no loop over the dim.
    """

    size: int
    tiles: tuple[tuple[int, int], ...]
    factors: tuple[tuple[tuple[int, int, int], ...], ...]
    untiled: tuple[bool, ...]

    def whole_above(self, level: int) -> int | None:
        """What tile and factors at a level must come to: the tile outside, where that is fixed and has no loop."""
        if level == 0 or not self.untiled[level - 1]:
            return None
        least, most = self.tiles[level - 1]
        return least if least == most else None

    def allowed(self, level: int, values: Numbers) -> Numbers:
        """Which of `values` (divisors of the size) as [tile at a level, factor of each array outside it] (bool)."""
        least, most = self.tiles[level]
        arrays = self.factors[level]
        anything = (least, most) == (1, self.size) and all(each == (1, self.size, 1) for each in arrays)
        if anything and self.whole_above(level) is None:
            return np.ones((len(values),) * (1 + len(arrays)), dtype=bool)
        good: Numbers = ((values >= least) & (values <= most)).reshape(-1, *[1] * len(arrays))
        together = values.reshape(good.shape)
        for n, (low, high, step) in enumerate(arrays):
            shape = (*[1] * (n + 1), -1, *[1] * (len(arrays) - n - 1))
            good = good & ((values >= low) & (values <= high) & (values % step == 0)).reshape(shape)
            together = together * values.reshape(shape)
        whole = self.whole_above(level)
        return good if whole is None else good & (together == whole)


def rules(constraints: Constraints, layer: Layer, accelerator: Accelerator, bypass: Bypass, dim: str) -> DimRules:
    """The rules of a dim; a memory that holds nothing under these bypasses has none, its loops belong to the next."""
    size, passing = layer.dims[dim], dict(bypass)
    if not (constraints.restrictions or constraints.whole or constraints.streamed or constraints.spread):
        memories = len(accelerator.memories)
        anything = tuple(tuple((1, size, 1) for _ in gap) for gap in gaps(accelerator))
        return DimRules(size, ((size, size), *[(1, size)] * (memories - 1), (1, 1)), anything, (False,) * memories)
    held = [
        any(t.role in memory.keeps and t.name not in passing.get(memory.name, ()) for t in layer.tensors)
        for memory in accelerator.memories
    ]
    inside = element_memories(accelerator)
    names = [memory.name for memory in accelerator.memories]
    element = next((n for n, h in zip(names, held, strict=True) if h and n in inside), None)
    asked = {x.memory for x in constraints.restrictions if isinstance(x, Untiled) and x.dim == dim}
    tiles, untiled = [], list[bool]()
    for name, holds in zip(names, held, strict=True):
        least, most = within(constraints.tile_limits(name, dim), size) if holds else (1, size)
        if name == names[0] or (name == element and dim in constraints.whole):
            least = size
        if name == element and dim in constraints.streamed:
            most = 1
        tiles.append((least, most))
        untiled.append(name in asked if holds else untiled[-1])
    innermost = accelerator.arrays[-1:]
    factors = tuple(
        tuple(
            (
                *within(constraints.spread_limits(array.name, dim), size),
                constraints.fill(array, dim, size) if array in innermost else 1,
            )
            for array in gap
        )
        for gap in gaps(accelerator)
    )
    return DimRules(size, (*tiles, (1, 1)), factors, tuple(untiled))


@dataclass(frozen=True, slots=True)
class Tilings:
    """All that some tiling of a dim has: tile sizes at each level, and the factors of each array by name."""

    tiles: tuple[frozenset[int], ...]
    factors: dict[str, frozenset[int]]


def tilings(said: DimRules, arrays: tuple[tuple[Array, ...], ...], dim: str) -> Tilings | None:
    """What the tilings of a dim consist of, None when there is none; `arrays` by gap, their axes as constrained."""
    every = divisors(said.size)
    last = len(said.tiles) - 1
    steps: list[list[tuple[int, ...]]] = []
    inner: list[set[int]] = [set() for _ in said.tiles]
    for level in range(last, -1, -1):
        least, most = said.tiles[level]
        fit = [n for n in every if least <= n <= most]
        if level < last:
            wholes = {prod(step) for step in steps[0]}
            even = {n for n in fit if any(n == w if said.untiled[level] else n % w == 0 for w in wholes)}
            fit = sorted(even)
        inner[level] = set(fit)
        spread = []
        for array, (low, high, step) in zip(arrays[level], said.factors[level], strict=True):
            good = (n for n in every if low <= n <= high and n % step == 0)
            spread.append([n for n in good if split_over_axes(array, {dim: n}) is not None])
        whole = said.whole_above(level)
        combined = [step for step in product(fit, *spread) if said.size % prod(step) == 0]
        steps.insert(0, [step for step in combined if whole is None or prod(step) == whole])
    if not steps[0]:
        return None
    outer, found = {said.size}, list[frozenset[int]]()
    factors: dict[str, frozenset[int]] = {}
    for level in range(last + 1):
        good_steps = [s for s in steps[level] if _meets(prod(s), outer, level > 0 and said.untiled[level - 1])]
        found.append(frozenset(step[0] for step in good_steps))
        for n, array in enumerate(arrays[level]):
            factors[array.name] = frozenset(step[n + 1] for step in good_steps)
        outer = set(found[-1])
    return Tilings(tuple(found), factors)


def _meets(whole: int, outer: set[int], untiled: bool) -> bool:
    return whole in outer if untiled else any(n % whole == 0 for n in outer)
