"""Constraints of the user's own: the search against every mapping there is, filtered by `violations`."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from random import Random

import numpy as np
import pytest

from energysim.costs.prices import unit_prices
from energysim.errors import InputError, NothingFitsError
from energysim.hardware.accelerator import Accelerator, EnergyTable
from energysim.mapping.constraints import (
    WHOLE,
    AxisDims,
    Constraints,
    DimAxes,
    Residence,
    Restriction,
    SpreadLimit,
    TileLimit,
    Untiled,
    check_restrictions,
    violations,
)
from energysim.mapping.counts import count_many
from energysim.mapping.dataflows import DATAFLOWS, dataflow
from energysim.mapping.nest import Loop, Mapping
from energysim.mapping.search import find_mapping
from energysim.workload.layer import DIMS, Layer
from tests.mapping.brute import all_mappings, bypass_choices
from tests.mapping.cases import random_accelerator, random_layer, random_prices


def restriction(random: Random, layer: Layer, accelerator: Accelerator) -> Restriction:
    """One of any kind, about a dim that has loops where it is about one."""
    dims = [d for d, size in layer.dims.items() if size > 1]
    memory = random.choice(accelerator.memories)
    dim = random.choice(dims)
    least = random.choice([1, 1, 2, 3])
    limits = random.choice([(least, least), (least, None), (1, least), (least, 4)])
    kinds: list[Restriction] = [
        TileLimit(memory.name, dim, WHOLE),
        TileLimit(memory.name, dim, *limits),
        Untiled(memory.name, dim),
        Untiled(memory.name, random.choice(dims)),
    ]
    if accelerator.arrays:
        array = random.choice(accelerator.arrays)
        kinds.append(SpreadLimit(array.name, dim, *limits))
        axis = random.choice(array.axes).name
        kinds.append(AxisDims(array.name, axis, frozenset(random.sample(DIMS, random.choice([0, 3, 6])))))
        kinds.append(DimAxes(array.name, dim, frozenset(random.sample([axis], random.choice([0, 1, 1])))))
    free = [(m.name, role) for m in accelerator.memories for role in sorted(m.bypassable & m.keeps)]
    if free:
        kinds += [Residence(*random.choice(free), random.choice([True, False]))] * 2
    return random.choice(kinds)


def case(seed: int) -> tuple[Layer, Accelerator, EnergyTable, str, tuple[Restriction, ...]]:
    """A random tiny layer and hierarchy under one to three restrictions, now and then within a dataflow."""
    random = Random(seed)
    memories = random.choice([2, 2, 3, 3, 4])
    while True:
        layer = random_layer(random, {2: 72, 3: 24, 4: 8}[memories])
        accelerator = random_accelerator(random, memories)
        if sum(size > 1 for size in layer.dims.values()) <= {2: 4, 3: 3, 4: 2}[memories]:
            break
    while True:
        asked = tuple(restriction(random, layer, accelerator) for _ in range(random.choice([1, 2, 3])))
        with suppress(InputError):  # two that exclude each other in all layers are refused before any search
            check_restrictions(asked, accelerator)
            break
    name = random.choice(["unconstrained"] * 4 + sorted(DATAFLOWS))
    return layer, accelerator, random_prices(random, accelerator), name, asked


def every(layer: Layer, accelerator: Accelerator) -> Iterator[tuple[Mapping, np.ndarray]]:
    return chain.from_iterable(all_mappings(layer, accelerator, by) for by in bypass_choices(layer, accelerator))


def least_energy(layer: Layer, accelerator: Accelerator, table: EnergyTable, constraints: Constraints) -> float:
    """The least energy in pJ over every mapping that violates no constraint."""
    best = np.inf
    for mapping, bounds in every(layer, accelerator):
        values, steps = count_many(layer, accelerator, mapping.nest, bounds)
        prices = unit_prices(layer, accelerator, table, mapping, values)
        energy = sum(values[key] * prices[key] for key in values)
        energy = energy + steps * (table.idle_power_w / accelerator.clock_hz * 1e12)
        for i in np.flatnonzero(energy < best):
            if energy[i] < best and not violations(constraints, layer, accelerator, bounded(mapping, bounds[i])):
                best = float(energy[i])
    return best


def bounded(mapping: Mapping, bounds: np.ndarray) -> Mapping:
    """A nest with its loops' bounds."""
    each = iter(bounds.tolist())
    return Mapping(tuple(replace(x, bound=next(each)) if isinstance(x, Loop) else x for x in mapping.nest))


def finds_the_best(seed: int) -> bool:
    """Whether a case has a mapping; asserts that the search says the same and finds the best one."""
    layer, accelerator, table, name, asked = case(seed)
    constraints = dataflow(name, asked)
    best = least_energy(layer, accelerator, table, constraints)
    if best == np.inf:
        with pytest.raises(NothingFitsError, match="nothing fits"):
            find_mapping(layer, accelerator, table, dataflow=name, constraints=asked, partial=False)
        return False
    result = find_mapping(layer, accelerator, table, dataflow=name, constraints=asked, partial=False)
    assert result.energy_pj == pytest.approx(best, rel=1e-9), (seed, asked)
    assert violations(constraints, layer, accelerator, result.mapping) == (), (seed, asked)
    assert result.optimal, (seed, asked)
    return True


@pytest.mark.parametrize("first", range(0, 160, 20))
def test_nothing_within_constraints_is_better_than_what_it_finds(first: int) -> None:
    found = sum(finds_the_best(seed) for seed in range(first, first + 20))
    assert 5 < found < 20
