"""One layer on many variants of an accelerator: as good as a search of each, with far fewer searches."""

import os
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from energysim.errors import InputError, NothingFitsError
from energysim.hardware.accelerator import Accelerator, Array, EnergyTable, Memory
from energysim.hardware.read import read_accelerator
from energysim.mapping import search_variants
from energysim.mapping.counts import count
from energysim.mapping.nest import problems
from energysim.mapping.search import OBJECTIVES, Limits, SearchResult, find_mapping
from energysim.mapping.search_variants import find_on_variants
from energysim.workload.layer import Layer, convolution
from tests.mapping.cases import random_case
from tests.mapping.shared import machine, random_shared

CLOSE = 1e-9
Variant = tuple[Accelerator, EnergyTable]


def resized(accelerator: Accelerator, capacity: int, axis: int) -> Accelerator:
    """Bounded memories with so many times their bits, axes with so many instances more."""
    levels: list[Memory | Array] = []
    for level in accelerator.levels:
        if isinstance(level, Array):
            axes = tuple(replace(each, size=max(1, each.size + axis)) for each in level.axes)
            levels.append(replace(level, axes=axes))
        else:
            bits = None if level.capacity_bits is None else level.capacity_bits * capacity
            parts = {role: each * capacity for role, each in level.partitions.items()}
            levels.append(replace(level, capacity_bits=bits, partitions=parts))
    return replace(accelerator, levels=tuple(levels))


def grid(accelerator: Accelerator, table: EnergyTable) -> list[Variant]:
    """Twelve variants, a width of none and a capacity of nothing among them."""
    return [(resized(accelerator, bits, more), table) for bits in (0, 1, 2, 5) for more in (-1, 0, 2)]


def value(result: SearchResult, objective: str) -> float:
    """What is minimised."""
    cycles = result.latency_cycles
    return {"energy": result.energy_pj, "latency": cycles, "edp": result.energy_pj * cycles}[objective]


def check(layer: Layer, variants: list[Variant], objective: str, **asked: Any) -> int:
    """Asserts that every variant has what its own search finds; how many fit."""
    found = find_on_variants(layer, variants, objective=objective, **asked)
    fit = 0
    for (accelerator, table), result in zip(variants, found, strict=True):
        try:
            own = find_mapping(layer, accelerator, table, objective=objective, **asked)
        except NothingFitsError as error:
            why = str(error)
        else:
            why = ""
        if why:
            assert isinstance(result, NothingFitsError)
            assert str(result) == why
            continue
        assert isinstance(result, SearchResult)
        fit += 1
        assert own.optimal
        assert result.optimal
        assert value(result, objective) == pytest.approx(value(own, objective), rel=CLOSE)
        if objective == "latency":
            assert result.energy_pj == pytest.approx(own.energy_pj, rel=CLOSE)
        assert problems(layer, accelerator, result.mapping) == ()
        assert count(layer, accelerator, result.mapping) == result.counts
        assert result.lower_bound_pj <= result.energy_pj
        if objective == "energy":
            # of other objectives the bound on energy may be that of a larger variant
            assert own.lower_bound_pj * (1 - CLOSE) <= result.lower_bound_pj
    return fit


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("seed", range(30))
def test_every_variant_has_what_its_own_search_finds(seed: int, objective: str) -> None:
    layer, accelerator, table = random_case(seed)
    check(layer, grid(accelerator, table), objective)


@pytest.mark.skipif("SEARCH_CASES" not in os.environ, reason="a campaign: SEARCH_CASES=600")
def test_many_more_have_it() -> None:
    for seed in range(1000, 1000 + int(os.environ["SEARCH_CASES"])):
        layer, accelerator, table = random_case(seed)
        check(layer, grid(accelerator, table), OBJECTIVES[seed % 3])


@pytest.mark.parametrize("seed", range(8))
def test_uneven_mappings_too(seed: int) -> None:
    layer, accelerator, table = random_case(seed, 30)
    check(layer, grid(accelerator, table), "energy", uneven=True)


def test_what_is_not_proven_is_not_handed_on_as_proven() -> None:
    layer = convolution("layer", m=64, c=32, p=14, q=14, r=3, s=3)
    eyeriss = read_accelerator("eyeriss")
    variants = [(resized(eyeriss.accelerator, 1, more), eyeriss.table) for more in (-9, -6, -3, 0)]
    whole = find_on_variants(layer, variants)
    short = find_on_variants(layer, variants, limits=Limits(nodes=1))
    unproven = 0
    for best, found in zip(whole, short, strict=True):
        assert isinstance(best, SearchResult)
        assert isinstance(found, SearchResult)
        assert best.optimal
        assert found.lower_bound_pj <= best.energy_pj * (1 + CLOSE)
        assert best.energy_pj <= found.energy_pj * (1 + CLOSE)
        assert found.optimal is False or found.energy_pj == pytest.approx(best.energy_pj, rel=CLOSE)
        unproven += not found.optimal
    assert unproven


def test_axes_that_a_dataflow_fills_are_not_mere_sizes() -> None:
    # rows of the kernel must fill an axis as far as it goes: on a wider axis other mappings are left
    eyeriss = read_accelerator("eyeriss")
    layer = convolution("layer", m=4, c=2, p=4, q=4, r=6, s=3)
    variants = [(resized(eyeriss.accelerator, 1, more), eyeriss.table) for more in (-11, -10, -9, -7, 0)]
    assert check(layer, variants, "energy", dataflow="row_stationary") == 5


@pytest.mark.parametrize("seed", range(6))
def test_codebooks_are_copied_to_every_instance(seed: int) -> None:
    random = Random(seed)
    layer = random_shared(random)
    accelerator, table = machine(random, "storage")
    check(layer, grid(accelerator, table), "energy")


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[Accelerator]:
    """The accelerators that a search of their own was made for."""
    made: list[Accelerator] = []

    def watched(layer: Layer, accelerator: Accelerator, table: EnergyTable, **asked: Any) -> SearchResult:
        made.append(accelerator)
        return find_mapping(layer, accelerator, table, **asked)

    monkeypatch.setattr(search_variants, "find_mapping", watched)
    return made


def test_what_fits_the_smaller_is_not_searched_again(searches: list[Accelerator]) -> None:
    # all of the layer fits 32 Kibit: of larger buffers one is searched, and then the smallest
    layer = convolution("layer", m=8, c=8, p=8, q=8, r=3, s=3)
    eyeriss = read_accelerator("eyeriss")
    sizes = (1 << 11, 1 << 16, 1 << 20, 1 << 22, 1 << 24)
    variants = []
    for bits in sizes:
        levels = tuple(
            replace(level, capacity_bits=bits) if level.name == "global_buffer" and isinstance(level, Memory) else level
            for level in eyeriss.accelerator.levels
        )
        variants.append((replace(eyeriss.accelerator, levels=levels), eyeriss.table))
    found = find_on_variants(layer, variants)
    assert [a.memories[1].capacity_bits for a in searches] == [1 << 24, 1 << 11]
    assert [isinstance(each, SearchResult) and each.optimal for each in found] == [True] * 5
    backwards = find_on_variants(layer, variants[::-1])[::-1]
    for one, other in zip(found, backwards, strict=True):
        assert isinstance(one, SearchResult)
        assert isinstance(other, SearchResult)
        assert one.mapping == other.mapping


def test_other_prices_are_another_family(searches: list[Accelerator]) -> None:
    layer = convolution("layer", m=8, c=8, p=4, q=4)
    eyeriss = read_accelerator("eyeriss")
    dearer = eyeriss.table.scaled(2.0)
    one, two = find_on_variants(layer, [(eyeriss.accelerator, eyeriss.table), (eyeriss.accelerator, dearer)])
    assert len(searches) == 2
    assert isinstance(one, SearchResult)
    assert isinstance(two, SearchResult)
    assert two.energy_pj == pytest.approx(2 * one.energy_pj)


def test_nothing_to_do_and_wrong_names() -> None:
    eyeriss = read_accelerator("eyeriss")
    layer = convolution("layer", m=2, c=2, p=2, q=2)
    assert find_on_variants(layer, []) == ()
    with pytest.raises(InputError, match="unknown objective 'time'"):
        find_on_variants(layer, [(eyeriss.accelerator, eyeriss.table)], objective="time")


def test_a_known_mapping_is_bettered_or_given_back() -> None:
    layer = convolution("layer", m=64, c=64, p=28, q=28, r=3, s=3)
    eyeriss = read_accelerator("eyeriss")
    best = find_mapping(layer, eyeriss.accelerator, eyeriss.table)
    worse = find_mapping(layer, eyeriss.accelerator, eyeriss.table, dataflow="input_stationary")
    assert worse.energy_pj > best.energy_pj
    again = find_mapping(layer, eyeriss.accelerator, eyeriss.table, known=best.mapping)
    assert (again.mapping, again.optimal, again.energy_pj) == (best.mapping, True, best.energy_pj)
    bettered = find_mapping(layer, eyeriss.accelerator, eyeriss.table, known=worse.mapping)
    assert (bettered.optimal, bettered.energy_pj) == (True, best.energy_pj)
