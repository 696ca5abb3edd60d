"""Partial last tiles: a dim that is hard to divide is tiled as a larger number, and what lies beyond is left out."""

import itertools
from typing import Any

import numpy as np
import pytest

from energysim.errors import NothingFitsError
from energysim.hardware.accelerator import Accelerator, Array, Axis, Compute, EnergyTable, Memory, Price
from energysim.hardware.read import read_accelerator
from energysim.mapping import search_lattice
from energysim.mapping.constraints import violations
from energysim.mapping.dataflows import DATAFLOWS
from energysim.mapping.nest import problems
from energysim.mapping.replay import replay
from energysim.mapping.search import find_front, find_mapping
from energysim.mapping.search_space import KERNEL, axis_widths, divisors, primes, smooth, tile_sizes
from energysim.workload.layer import Layer, convolution
from tests.mapping.brute import Costs, all_costs
from tests.mapping.cases import EVERY, awkward_case

CLOSE = 1e-9
POINTS = 100
Case = tuple[Layer, Accelerator, EnergyTable]


def on_columns(columns: int) -> tuple[Accelerator, EnergyTable]:
    """A memory over one row of compute units, everything at 1 pJ."""
    levels = (Memory("dram", None, EVERY, 16), Array("pe", (Axis("x", columns),)))
    keys = [("dram", "read", "*"), ("dram", "write", "*"), ("pe", "transfer", "*"), ("mac", "mac", "*")]
    prices = EnergyTable({key: Price(1.0, "test", "table") for key in keys})
    return Accelerator("row", "test", levels, Compute(), 1e9), prices


def test_a_prime_number_of_rows_takes_no_more_steps_than_it_must() -> None:
    # 197 rows on 14 columns: 15 steps, of which the last has one row; whole tiles take them one by one
    accelerator, table = on_columns(14)
    layer = convolution("rows", m=1, c=1, p=197, q=1)
    assert find_mapping(layer, accelerator, table, objective="latency", partial=False).latency_cycles == 197
    found = find_mapping(layer, accelerator, table, objective="latency")
    assert (found.latency_cycles, found.optimal) == (15, True)


def test_an_axis_is_filled_where_time_counts() -> None:
    # 320 channels on 128 columns: 128 + 128 + 64, where divisors take 4 steps of 80
    accelerator, table = on_columns(128)
    layer = convolution("channels", m=320, c=1, p=1, q=1)
    assert find_mapping(layer, accelerator, table, objective="latency", partial=False).latency_cycles == 4
    assert find_mapping(layer, accelerator, table, objective="latency").latency_cycles == 3


@pytest.mark.parametrize(
    ("number", "more"),
    [
        (197, {2, 4, 5, 8, 10, 20, 25, 40, 50, 100}),
        (13, {2, 7}),
        (55, {2, 4, 7, 8, 14, 28}),
        (56, set()),
        (7, set()),
        (832, set()),
    ],
)
def test_sizes_of_tiles(number: int, more: set[int]) -> None:
    # 832 has a prime of 13, and enough divisors without
    assert set(tile_sizes(number)) == {*divisors(number)} | more


def test_the_next_number_without_large_primes_is_found_at_once() -> None:
    counted = (next(n for n in itertools.count(start) if max(primes(n), default=1) <= 7) for start in range(1, 2000))
    assert [smooth(start) for start in range(1, 2000)] == list(counted)
    assert smooth(10**9 + 7) == 1_000_188_000
    assert len(tile_sizes(2**31 - 1)) > 2


def test_sizes_for_the_axes_of_an_array() -> None:
    assert set(tile_sizes(320, (128,))) - {*divisors(320)} == {128}
    assert tile_sizes(256, (128,)) == divisors(256)
    # 48 twice, or 64 and 32: as many steps
    assert tile_sizes(96, (64,)) == divisors(96)


def every_cost(case: Case, *, timed: bool) -> Costs | None:
    """What all mappings with partial tiles cost; None where no dim has any, where they are many, or nothing fits."""
    layer, accelerator, table = case
    widths = axis_widths(accelerator) if timed or table.idle_power_w > 0.0 else ()
    sizes = {
        d: frozenset(divisors(size) if d in KERNEL else tile_sizes(size, widths)) for d, size in layer.dims.items()
    }
    if layer.points > POINTS or all(sizes[d] == {*divisors(size)} for d, size in layer.dims.items()):
        return None
    costs = all_costs(*case, sizes=sizes)
    if not len(costs):
        with pytest.raises(NothingFitsError):
            find_mapping(*case)
        return None
    return costs


def assert_least(case: Case, costs: Costs) -> bool:
    """Asserts that the least energy is found, legal, counted and bounded; whether its last tiles are partial."""
    found = find_mapping(*case)
    layer, accelerator, _ = case
    assert problems(layer, accelerator, found.mapping) == ()
    assert found.counts == replay(layer, accelerator, found.mapping)
    assert found.energy_pj == pytest.approx(costs.least_energy, rel=CLOSE)
    assert found.optimal
    assert found.lower_bound_pj <= costs.least_energy * (1 + CLOSE)
    return any(
        np.prod([loop.bound for loop in found.mapping.loops if loop.dim == d], dtype=int) > size
        for d, size in layer.dims.items()
    )


@pytest.mark.parametrize("first", range(0, 120, 30))
def test_no_mapping_with_partial_tiles_costs_less(first: int) -> None:
    partial = 0
    for seed in range(first, first + 30):
        costs = every_cost(awkward_case(seed), timed=False)
        partial += costs is not None and assert_least(awkward_case(seed), costs)
    assert partial > 4


@pytest.mark.parametrize("first", range(500, 560, 30))
def test_none_is_faster_and_the_front_is_whole(first: int) -> None:
    for seed in range(first, first + 30):
        case = awkward_case(seed)
        costs = every_cost(case, timed=True)
        if costs is None:
            continue
        fast = find_mapping(*case, objective="latency")
        assert (fast.latency_cycles, fast.energy_pj) == pytest.approx(costs.fastest, rel=CLOSE)
        both = find_mapping(*case, objective="edp")
        assert both.energy_pj * both.latency_cycles == pytest.approx(costs.least_product, rel=CLOSE)
        front = [(each.energy_pj, float(each.latency_cycles)) for each in find_front(*case)]
        assert np.array(front) == pytest.approx(np.array(costs.front), rel=CLOSE)


@pytest.mark.parametrize("flow", sorted(set(DATAFLOWS) - {"unconstrained"}))
def test_none_of_a_dataflow_costs_less(flow: str) -> None:
    seen = 0
    for seed in range(200, 230):
        layer, accelerator, table = case = awkward_case(seed)
        sizes = {d: frozenset(divisors(n) if d in KERNEL else tile_sizes(n)) for d, n in layer.dims.items()}
        if layer.points > POINTS or table.idle_power_w > 0.0:
            continue
        least = all_costs(*case, DATAFLOWS[flow], sizes=sizes).least_energy
        if least == np.inf:
            with pytest.raises(NothingFitsError):
                find_mapping(*case, dataflow=flow)
            continue
        found = find_mapping(*case, dataflow=flow)
        assert found.energy_pj == pytest.approx(least, rel=CLOSE)
        assert violations(DATAFLOWS[flow], layer, accelerator, found.mapping) == ()
        seen += 1
    assert seen > 5


LAYERS = (
    convolution("attention", g=3, m=197, c=64, p=197, q=1),
    convolution("alexnet", m=96, c=3, p=55, q=55, r=11, s=11, stride=(4, 4)),
    convolution("fire", m=64, c=16, p=55, q=55, r=3, s=3),
    convolution("vocabulary", m=30522, c=128, p=128, q=1),
)


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_real_layers_cost_no_more_than_with_whole_tiles(layer: Layer) -> None:
    read = read_accelerator("eyeriss")
    whole = find_mapping(layer, read.accelerator, read.table, partial=False)
    found = find_mapping(layer, read.accelerator, read.table)
    assert found.energy_pj <= whole.energy_pj * (1 + CLOSE)
    assert found.optimal
    if layer.name == "attention":
        assert found.energy_pj < 0.6 * whole.energy_pj


def test_one_dim_on_many_levels_has_room_for_all_its_loops() -> None:
    # six memories and two arrays: more loops of the only dim than there are levels
    read = read_accelerator("simba")
    layer = convolution("line", m=1, c=1, p=2039, q=1)
    for objective in ("energy", "latency"):
        found = find_mapping(layer, read.accelerator, read.table, objective=objective)
        assert problems(layer, read.accelerator, found.mapping) == ()
        assert found.counts == replay(layer, read.accelerator, found.mapping)


def test_uneven_mappings_cost_no_more_than_even_ones_with_partial_tiles() -> None:
    for seed in range(20):
        case = awkward_case(seed)
        costs = every_cost(case, timed=False)
        if costs is not None and case[0].name != "slides":
            found = find_mapping(*case, uneven=True)
            assert found.energy_pj <= costs.least_energy * (1 + CLOSE)
            assert found.lower_bound_pj <= found.energy_pj


def sabotaged(monkeypatch: pytest.MonkeyPatch, seed: int, name: str, value: float) -> tuple[float, float]:
    """The least energy of a case, and what the search says when one of its tables about partial tiles is wrong."""
    right = find_mapping(*awkward_case(seed)).energy_pj
    made = search_lattice.partial_tables

    def wrong(*arguments: Any) -> dict[str, Any]:
        found = made(*arguments)
        found[name][...] = value
        return found

    monkeypatch.setattr(search_lattice, "partial_tables", wrong)
    return right, find_mapping(*awkward_case(seed)).energy_pj


def test_orders_that_let_instances_wait_have_to_be_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    right, wrong = sabotaged(monkeypatch, 2041, "returns", 0)
    assert wrong > right * (1 + CLOSE)
