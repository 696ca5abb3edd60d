"""Every even mapping of a tiny layer, by brute force: shares nothing with the search but the nouns and `count_many`."""

from collections.abc import Iterator, Sequence
from collections.abc import Mapping as Map
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import permutations, product
from math import lcm

import numpy as np
from numpy.typing import NDArray

from energysim.costs.prices import unit_prices
from energysim.hardware.accelerator import Accelerator, Array, EnergyTable, Memory
from energysim.mapping.constraints import Constraints, violations
from energysim.mapping.counts import count_many
from energysim.mapping.nest import Loop, Mapping, even, problems
from energysim.workload.layer import Layer

Slots = list[tuple[str, str | None]]
Bypass = dict[str, frozenset[str]]
Sizes = Map[str, frozenset[int]]
Bounds = NDArray[np.int64]
Floats = NDArray[np.float64]

EVERYTHING = Constraints("everything")
"""No restriction."""


def splits(number: int, parts: int) -> Iterator[tuple[int, ...]]:
    """Ordered factorisations of a number into so many factors."""
    if parts == 1:
        yield (number,)
        return
    for first in range(1, number + 1):
        if number % first == 0:
            for rest in splits(number // first, parts - 1):
                yield (first, *rest)


def chains(size: int, sizes: frozenset[int], accelerator: Accelerator) -> Iterator[tuple[int, ...]]:
    """Bounds for all slots of which every tile is one of `sizes` and a whole number of the next one inside.

    The dim itself, whole, may be any number of tiles of which the last is partial.
    """

    def outward(level: int, tile: int, inside: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if level < 0:
            yield from [inside] * (tile == size)
            return
        item = accelerator.levels[level]
        for outer in sizes:
            if outer >= tile and (outer % tile == 0 or outer == size):
                steps = -(-outer // tile)
                if isinstance(item, Memory):
                    yield from outward(level - 1, outer, (steps, *inside))
                elif steps * tile == outer and steps in sizes:
                    for split in splits(steps, len(item.axes)):
                        yield from outward(level - 1, outer, (*split, *inside))
        if isinstance(item, Array):
            for steps in sizes:
                if (steps - 1) * tile < size < steps * tile:
                    for split in splits(steps, len(item.axes)):
                        yield from outward(level - 1, size, (*split, *inside))

    return outward(len(accelerator.levels) - 1, 1, ())


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
    layer: Layer,
    accelerator: Accelerator,
    bypass: Bypass,
    constraints: Constraints = EVERYTHING,
    sizes: Sizes | None = None,
) -> Iterator[tuple[Mapping, Bounds]]:
    """Every even mapping of a dataflow once: nests with an array of bounds, a row for each legal way to split the dims.

    `sizes`: tile sizes by dim, where last tiles may be partial.

    The nest gives the loop orders; loops of bound 1, which have no order, stand outermost in the order of the dims.
    """
    dims = [d for d, size in layer.dims.items() if size > 1]
    places = slots(accelerator)
    outer = [level.name for level in accelerator.memories[:-1]]
    blocks_of = {name: [(name, axis) for n, axis in places if n == name] for name, _ in places}
    legal = []
    ways = [
        sorted(set(chains(layer.dims[d], sizes[d], accelerator) if sizes else splits(layer.dims[d], len(places))))
        for d in dims
    ]
    for split in product(*ways):
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
        nest = Mapping(even(accelerator, layer, blocks, bypass).nest)
        keys = [
            (place, d)
            for level in accelerator.levels
            for place in blocks_of[level.name]
            for d in order.get(level.name, dims)
        ]
        rows = [[bounds[key] for key in keys] for bounds in legal if all(_once(order, bounds))]
        if constraints != EVERYTHING:
            rows = [row for row in rows if not violations(constraints, layer, accelerator, nest_of(nest, row))]
        if rows:
            yield nest, np.array(rows, dtype=np.int64).reshape(len(rows), len(keys))


def _once(order: dict[str, tuple[str, ...]], bounds: dict[tuple[tuple[str, str | None], str], int]) -> Iterator[bool]:
    """Whether the loops of bound 1 of each memory stand outermost and sorted in an order of all dims."""
    for memory, dims in order.items():
        idle = sorted(d for d in dims if bounds[(memory, None), d] == 1)
        yield list(dims[: len(idle)]) == idle


def nest_of(mapping: Mapping, row: Sequence[int]) -> Mapping:
    """The mapping of one row of bounds, without loops of bound 1."""
    left = iter(row)
    nest = (replace(x, bound=next(left)) if isinstance(x, Loop) else x for x in mapping.nest)
    return Mapping(tuple(x for x in nest if not isinstance(x, Loop) or x.bound > 1))


@dataclass(frozen=True)
class Costs:
    """Energy in pJ and latency in cycles of every mapping of a space."""

    energy_pj: Floats
    cycles: Floats

    def __len__(self) -> int:
        return len(self.energy_pj)

    @property
    def least_energy(self) -> float:
        """In pJ; infinite when there is no mapping."""
        return float(np.min(self.energy_pj, initial=np.inf))

    @property
    def fastest(self) -> tuple[float, float]:
        """The fewest cycles, and the least energy of all mappings that take no more."""
        cycles = np.min(self.cycles, initial=np.inf)
        return float(cycles), float(np.min(self.energy_pj[self.cycles == cycles], initial=np.inf))

    @property
    def least_product(self) -> float:
        """The least energy times latency, in pJ cycles."""
        return float(np.min(self.energy_pj * self.cycles, initial=np.inf))

    @property
    def front(self) -> list[tuple[float, float]]:
        """(energy, cycles) that no other mapping beats in both, by rising energy; equal within 1e-9 is equal."""
        found: list[tuple[float, float]] = []
        for cycles in np.unique(self.cycles):
            energy = float(np.min(self.energy_pj[self.cycles == cycles]))
            if not found or energy < found[-1][0] * (1 - 1e-9):
                found.append((energy, float(cycles)))
        return found[::-1]


def all_costs(
    layer: Layer,
    accelerator: Accelerator,
    table: EnergyTable,
    constraints: Constraints = EVERYTHING,
    sizes: Sizes | None = None,
) -> Costs:
    """Energy and latency of every even mapping of a dataflow, with every choice of bypasses and of `sizes` of tiles."""
    energies, times = [np.zeros(0)], [np.zeros(0)]
    for bypass in bypass_choices(layer, accelerator):
        for mapping, bounds in all_mappings(layer, accelerator, bypass, constraints, sizes):
            values, steps = count_many(layer, accelerator, mapping.nest, bounds)
            prices = unit_prices(layer, accelerator, table, mapping, values)
            cycles = latencies(layer, accelerator, mapping, bounds, values, steps)
            energy = cycles * (table.idle_power_w / accelerator.clock_hz * 1e12)
            energies.append(energy + sum(values[key] * prices[key] for key in values))
            times.append(cycles)
    return Costs(np.concatenate(energies), np.concatenate(times))


def latencies(
    layer: Layer,
    accelerator: Accelerator,
    mapping: Mapping,
    bounds: Bounds,
    values: Map[tuple[str, str, str], Bounds],
    steps: Bounds,
) -> Floats:
    """Whole cycles of each row, in integers: the slowest of the compute units and of every memory's ports."""
    widths = {t.name: t.bits for t in layer.tensors}
    widths["partial_sum"] = layer.output.partial_bits or layer.output.bits
    slowest = steps * (layer.ops_per_point if layer.unit == "op" else 1)
    instances = np.ones(len(bounds), dtype=np.int64)
    for level in accelerator.levels:
        if isinstance(level, Array):
            for i, loop in enumerate(mapping.loops):
                if loop.axis is not None and loop.axis.rsplit(".", 1)[0] == level.name:
                    instances = instances * bounds[:, i]
            continue
        bits = dict.fromkeys(("in", "out"), np.zeros(len(bounds), dtype=np.int64))
        for (where, action, name), n in values.items():
            if where == level.name:
                side = "out" if action in ("read", "drain") else "in"
                bits[side] = bits[side] + n * widths[name]
        # bits / rate, as fractions over one denominator; no rate takes no time
        rates = [Fraction(rate or 0) for rate in (level.read_bits_per_cycle, level.write_bits_per_cycle)]
        common = lcm(*(rate.numerator or 1 for rate in rates))
        out, into = (
            moved * (common * rate.denominator // rate.numerator if rate else 0)
            for moved, rate in zip((bits["out"], bits["in"]), rates, strict=True)
        )
        busy = out + into if level.shared_port else np.maximum(out, into)
        slowest = np.maximum(slowest, -(-busy // (common * instances)))
    return slowest.astype(float)


def bypass_choices(layer: Layer, accelerator: Accelerator) -> list[Bypass]:
    """All subsets of tensors that may be sent past memories."""
    pairs = [
        (m.name, t.name) for m in accelerator.memories[1:] for t in layer.tensors if t.role in m.bypassable & m.keeps
    ]
    found = []
    for chosen in product((False, True), repeat=len(pairs)):
        picked = [pair for pair, c in zip(pairs, chosen, strict=True) if c]
        found.append({m: frozenset(t for n, t in picked if n == m) for m, _ in picked})
    return found
