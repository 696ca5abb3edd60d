"""What must hold between two searches: more freedom never costs more, prices scale, and nothing changes an answer."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from math import inf
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from energysim.errors import NothingFitsError
from energysim.hardware.accelerator import Accelerator, Array, EnergyTable, Price
from energysim.mapping.dataflows import DATAFLOWS
from energysim.mapping.search import SearchResult, find_front, find_mapping
from energysim.mapping.search_many import find_mappings
from energysim.workload.layer import Layer, convolution
from tests.mapping.cases import random_accelerator, random_case, random_layer, with_bandwidths

Case = tuple[Layer, Accelerator, EnergyTable]

seeds = st.integers(0, 1 << 32)
cases = seeds.map(lambda seed: random_case(seed, 200))
few = settings(max_examples=settings().max_examples // 3, suppress_health_check=list(HealthCheck))


def least(case: Case, dataflow: str = "unconstrained") -> float:
    """The least energy in pJ, infinite when nothing fits."""
    try:
        result = find_mapping(*case, dataflow=dataflow)
    except NothingFitsError:
        return inf
    assert result.optimal
    return result.energy_pj


def no_more(one: float, other: float) -> bool:
    """Whether one energy is at most the other, but for rounding."""
    return one <= other * (1 + 1e-9)


@few
@given(cases, st.floats(1e-6, 1e6))
def test_scaled_prices_scale_the_energy(case: Case, factor: float) -> None:
    layer, accelerator, table = case
    assert least((layer, accelerator, table.scaled(factor))) == pytest.approx(factor * least(case), rel=1e-9)


@few
@given(cases, seeds)
def test_no_price_that_rises_makes_a_layer_cheaper(case: Case, seed: int) -> None:
    layer, accelerator, table = case
    key = Random(seed).choice(sorted(table.prices))
    dearer = replace(table.prices[key], pj=table.prices[key].pj * 1.5 + 1)
    assert no_more(least(case), least((layer, accelerator, replace(table, prices={**table.prices, key: dearer}))))


def changed(accelerator: Accelerator, seed: int, **changes: object) -> Accelerator:
    """The same hierarchy with one memory inside the outermost one, picked by the seed, changed."""
    memory = Random(seed).choice(accelerator.memories[1:] or accelerator.memories)
    levels = tuple(replace(x, **changes) if x is memory else x for x in accelerator.levels)
    return replace(accelerator, levels=levels)


@few
@given(cases, seeds, st.sampled_from((1, 16, 100, 10_000)))
def test_a_larger_buffer_never_costs_more(case: Case, seed: int, more: int) -> None:
    layer, accelerator, table = case
    memory = Random(seed).choice(accelerator.memories[1:] or accelerator.memories)
    capacity = None if memory.capacity_bits is None else memory.capacity_bits + more
    parts = {role: bits + more for role, bits in memory.partitions.items()}
    larger = changed(accelerator, seed, capacity_bits=capacity, partitions=parts)
    assert no_more(least((layer, larger, table)), least(case))


@few
@given(cases, seeds)
def test_a_wider_array_never_costs_more(case: Case, seed: int) -> None:
    layer, accelerator, table = case
    levels = tuple(
        replace(x, axes=tuple(replace(a, size=a.size + Random(seed).randint(0, 3)) for a in x.axes))
        if isinstance(x, Array)
        else x
        for x in accelerator.levels
    )
    assert no_more(least((layer, replace(accelerator, levels=levels), table)), least(case))


@few
@given(cases, seeds)
def test_a_memory_that_may_be_passed_never_costs_more(case: Case, seed: int) -> None:
    layer, accelerator, table = case
    memory = Random(seed).choice(accelerator.memories[1:] or accelerator.memories)
    fixed, free = (changed(accelerator, seed, bypassable=roles) for roles in (frozenset[str](), memory.keeps))
    if memory is not accelerator.memories[0]:
        assert no_more(least((layer, free, table)), least(case))
        assert no_more(least(case), least((layer, fixed, table)))


@few
@given(cases, st.sampled_from(sorted(DATAFLOWS)))
def test_a_dataflow_never_costs_less(case: Case, dataflow: str) -> None:
    assert no_more(least(case), least(case, dataflow))


@few
@given(cases)
def test_objectives_and_front_agree(case: Case) -> None:
    if least(case) == inf:
        return
    cheapest, fastest, product = (find_mapping(*case, objective=each) for each in ("energy", "latency", "edp"))
    front = find_front(*case)
    # where time counts, tiles that fill an axis are looked at too
    assert front[0].energy_pj <= cheapest.energy_pj * (1 + 1e-9)
    assert front[-1].latency_cycles == fastest.latency_cycles
    assert front[-1].energy_pj == pytest.approx(fastest.energy_pj, rel=1e-9)
    least_product = min(each.energy_pj * each.latency_cycles for each in front)
    assert product.energy_pj * product.latency_cycles == pytest.approx(least_product, rel=1e-9)
    for one, other in pairwise(front):
        assert one.energy_pj < other.energy_pj
        assert one.latency_cycles > other.latency_cycles


def square_cases() -> Iterator[Case]:
    """Square layers at equal prices: most mappings have many equals."""
    for seed in range(8):
        random = Random(seed)
        layer = convolution("square", m=4, c=4, p=4, q=4, r=3, s=3)
        accelerator = with_bandwidths(random, random_accelerator(random, 2))
        keys = [(m.name, action, "*") for m in accelerator.memories for action in ("read", "write")]
        keys += [(array.name, "transfer", "*") for array in accelerator.arrays] + [("mac", "mac", "*")]
        yield layer, accelerator, EnergyTable({key: Price(1.0, "test", "table") for key in keys})


def everything(case: Case) -> list[SearchResult]:
    """All objectives and the front, without their seconds; nothing when nothing fits."""
    try:
        found = [find_mapping(*case, objective=objective) for objective in ("energy", "latency", "edp")]
    except NothingFitsError:
        return []
    return [replace(result, seconds=0.0) for result in (*found, *find_front(*case))]


def test_of_equals_the_same_is_found_again() -> None:
    for case in square_cases():
        first = everything(case)
        assert everything(case) == first


HASHED = """
from tests.mapping.test_search_properties import everything, square_cases
from tests.mapping.cases import random_case
for case in (*square_cases(), *(random_case(seed, 60) for seed in range(6))):
    print(everything(case))
"""


def test_the_answer_does_not_depend_on_the_hash_seed() -> None:
    answers = {
        subprocess.run(
            [sys.executable, "-c", HASHED],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(p for p in sys.path if p), "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "7")
    }
    assert len(answers) == 1
    assert answers.pop().count("SearchResult(") > 40


def test_the_answer_does_not_depend_on_the_number_of_processes() -> None:
    random = Random(5)
    _, accelerator, table = next(square_cases())
    layers = [replace(random_layer(random, 200), name=f"layer{i}") for i in range(24)]
    layers = [layer for layer in layers if layer.unit == "mac"]
    nouns = layers, accelerator, table
    for objective in ("energy", "latency", "edp"):
        alone, together = (
            [replace(found, seconds=0.0) for found in find_mappings(*nouns, objective=objective, jobs=jobs)]
            for jobs in (1, 3)
        )
        assert alone == together
