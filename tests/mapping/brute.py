"""Every even mapping of a tiny layer, by brute force: shares nothing with the search but the nouns and `count_many`."""

from collections.abc import Iterator
from itertools import permutations, product

import numpy as np

from energysim.costs.prices import unit_prices
from energysim.hardware.accelerator import Accelerator, EnergyTable, Memory
from energysim.mapping.counts import count_many
from energysim.mapping.nest import Loop, Mapping, even, problems
from energysim.workload.layer import Layer

Slots = list[tuple[str, str | None]]


def splits(number: int, parts: int) -> Iterator[tuple[int, ...]]:
    """Ordered factorisations of a number into so many factors."""
    if parts == 1:
        yield (number,)
        return
    for first in range(1, number + 1):
        if number % first == 0:
            for rest in splits(number // first, parts - 1):
                yield (first, *rest)


def slots(accelerator: Accelerator) -> Slots:
    """Places where a loop may stand: (level, axis or None)."""
    found: Slots = []
    for level in accelerator.levels:
        if isinstance(level, Memory):
            found.append((level.name, None))
        else:
            found += [(level.name, f"{level.name}.{axis.name}") for axis in level.axes]
    return found


def all_mappings(
    layer: Layer, accelerator: Accelerator, bypass: dict[str, frozenset[str]]
) -> Iterator[tuple[Mapping, np.ndarray]]:
    """Nests with an array of bounds, one row for each legal way to split the dims; the nest gives the loop orders."""
    dims = [d for d, size in layer.dims.items() if size > 1]
    places = slots(accelerator)
    outer = [level.name for level in accelerator.memories[:-1]]
    blocks_of = {name: [(name, axis) for n, axis in places if n == name] for name, _ in places}
    legal = []
    for split in product(*(list(splits(layer.dims[d], len(places))) for d in dims)):
        bounds = {(place, d): f[i] for d, f in zip(dims, split, strict=True) for i, place in enumerate(places)}
        blocks = {
            name: tuple(Loop(d, bounds[place, d], place[1]) for place in here for d in dims)
            for name, here in blocks_of.items()
        }
        if not problems(layer, accelerator, even(accelerator, layer, blocks, bypass)):
            legal.append(bounds)
    for orders in product(*(permutations(dims) for _ in outer)):
        order = dict(zip(outer, orders, strict=True))
        # a bound of two keeps every loop in the nest; the rows of bounds say how long it really is
        blocks = {
            name: tuple(Loop(d, 2, place[1]) for place in here for d in order.get(name, dims))
            for name, here in blocks_of.items()
        }
        nest = even(accelerator, layer, blocks, bypass).nest
        keys = [
            (place, d)
            for level in accelerator.levels
            for place in blocks_of[level.name]
            for d in order.get(level.name, dims)
        ]
        rows = np.array([[bounds[key] for key in keys] for bounds in legal], dtype=np.int64).reshape(
            len(legal), len(keys)
        )
        if len(rows):
            yield Mapping(nest), rows


def least_energy(
    layer: Layer, accelerator: Accelerator, table: EnergyTable, bypasses: list[dict[str, frozenset[str]]]
) -> tuple[float, int]:
    """The least energy in pJ over all even mappings, and how many there are."""
    best, number = np.inf, 0
    for bypass in bypasses:
        for mapping, bounds in all_mappings(layer, accelerator, bypass):
            values, steps = count_many(layer, accelerator, mapping.nest, bounds)
            prices = unit_prices(layer, accelerator, table, mapping, values)
            energy = sum(values[key] * prices[key] for key in values)
            energy = energy + steps * (table.idle_power_w / accelerator.clock_hz * 1e12)
            best, number = min(best, float(np.min(energy))), number + len(bounds)
    return best, number


def bypass_choices(layer: Layer, accelerator: Accelerator) -> list[dict[str, frozenset[str]]]:
    """All subsets of tensors that may be sent past memories."""
    pairs = [
        (m.name, t.name) for m in accelerator.memories[1:] for t in layer.tensors if t.role in m.bypassable & m.keeps
    ]
    found = []
    for chosen in product((False, True), repeat=len(pairs)):
        picked = [pair for pair, c in zip(pairs, chosen, strict=True) if c]
        found.append({m: frozenset(t for n, t in picked if n == m) for m, _ in picked})
    return found
