"""The search against every mapping there is, against published optima, and in its manners."""

from dataclasses import replace
from math import inf
from random import Random
from typing import Any

import pytest

from energysim.costs.prices import energy_by_key
from energysim.errors import InputError, NothingFitsError, UnknownNameError
from energysim.hardware.accelerator import Accelerator, Compute, EnergyTable, Memory, Price
from energysim.hardware.read import read_accelerator
from energysim.mapping import search
from energysim.mapping.counts import count
from energysim.mapping.nest import problems
from energysim.mapping.replay import replay
from energysim.mapping.search import Limits, SearchResult, bypasses, find_mapping
from energysim.workload.layer import Layer, convolution
from tests.mapping.brute import all_costs
from tests.mapping.cases import EVERY, random_accelerator, random_layer, random_prices


def case(seed: int) -> tuple[Layer, Accelerator, EnergyTable]:
    """A random tiny layer, hierarchy and prices."""
    random = Random(seed)
    memories = random.choice([2, 2, 3])
    layer = random_layer(random, 120 if memories == 2 else 40)
    accelerator = random_accelerator(random, memories)
    return layer, accelerator, random_prices(random, accelerator)


@pytest.mark.parametrize("first", range(0, 80, 20))
def test_nothing_is_better_than_what_it_finds(first: int) -> None:
    for seed in range(first, first + 20):
        layer, accelerator, table = case(seed)
        if len(accelerator.memories) == 3 and sum(size > 1 for size in layer.dims.values()) > 3:
            continue
        best = all_costs(layer, accelerator, table).least_energy
        if best == float("inf"):
            with pytest.raises(NothingFitsError):
                find_mapping(layer, accelerator, table, partial=False)
            continue
        result = find_mapping(layer, accelerator, table, partial=False)
        assert result.energy_pj == pytest.approx(best, rel=1e-9), seed
        assert result.lower_bound_pj <= best * (1 + 1e-9), seed
        assert result.optimal, seed


def test_deeper_hierarchies_with_two_arrays() -> None:
    found = 0
    for seed in range(400, 440):
        random = Random(seed)
        memories = random.choice([3, 4])
        layer, accelerator = random_layer(random, 24), random_accelerator(random, memories)
        table = random_prices(random, accelerator)
        if sum(size > 1 for size in layer.dims.values()) > 5 - memories + 1 or len(bypasses(layer, accelerator)) > 4:
            continue
        best = all_costs(layer, accelerator, table).least_energy
        if best < float("inf"):
            result = find_mapping(layer, accelerator, table, partial=False)
            assert result.energy_pj == pytest.approx(best, rel=1e-9), seed
            assert result.optimal, seed
            found += 1
    assert found > 12


def square(seed: int) -> tuple[Layer, Accelerator, EnergyTable]:
    """A random tiny layer whose rows and columns are alike, with a random hierarchy and prices."""
    random = Random(seed)
    p, r, stride = random.choice([2, 3, 4]), random.choice([1, 1, 2]), random.choice([1, 2])
    m, c = random.choice([(1, 1), (2, 1), (1, 3)])
    layer = convolution("layer", m=m, c=c, p=p, q=p, r=r, s=r, stride=(stride, stride))
    accelerator = random_accelerator(random, 2)
    return layer, accelerator, random_prices(random, accelerator)


def test_mirror_images_are_left_out_only_where_they_cost_the_same() -> None:
    found = {True: 0, False: 0}
    for seed in range(800, 824):
        layer, accelerator, table = square(seed)
        best = all_costs(layer, accelerator, table).least_energy
        if best < float("inf"):
            result = find_mapping(layer, accelerator, table, partial=False)
            assert result.energy_pj == pytest.approx(best, rel=1e-9), seed
            assert result.optimal, seed
            # an axis for P and not for Q tells rows from columns
            found[any(axis.dims for array in accelerator.arrays for axis in array.axes)] += 1
    assert min(found.values()) > 1


def test_a_search_cut_short_still_bounds_from_below() -> None:
    short, cut = Limits(nodes=1), 0
    for seed in range(500, 560):
        layer, accelerator, table = case(seed)
        try:
            best = find_mapping(layer, accelerator, table)
        except NothingFitsError:
            continue
        result = find_mapping(layer, accelerator, table, limits=short)
        assert result.lower_bound_pj <= best.energy_pj * (1 + 1e-9) <= result.energy_pj * (1 + 2e-9), seed
        cut += not result.optimal
    assert cut > 5


def test_a_time_budget_returns_a_mapping_and_a_bound_that_hold() -> None:
    # 64*64*56*56*9 points take far longer to prove than a microsecond
    layer = convolution("conv2_x", m=64, c=64, p=56, q=56, r=3, s=3)
    described = read_accelerator("eyeriss")
    short = find_mapping(layer, described.accelerator, described.table, time_budget_s=1e-6)
    whole = find_mapping(layer, described.accelerator, described.table, time_budget_s=1e6)
    assert short.cut_short
    assert not short.optimal
    assert whole.optimal
    assert not whole.cut_short
    assert short.lower_bound_pj <= whole.energy_pj <= short.energy_pj
    assert 0.0 < short.lower_bound_pj < short.energy_pj
    assert 0 < short.nodes < whole.nodes
    for seconds in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="a time budget must be a number of seconds above 0"):
            find_mapping(layer, described.accelerator, described.table, time_budget_s=seconds)


def test_what_halving_has_found_is_kept_when_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    described = read_accelerator("eyeriss")
    layer = convolution("layer", m=16, c=8, p=8, q=8, r=3, s=3)
    asked = layer, described.accelerator, described.table
    whole = find_mapping(*asked, objective="latency")
    real = search._Search.least

    def late(self: search._Search, cap: float, **asked: Any) -> Any:
        """Nothing is found again once the least latency is known."""
        return real(self, cap, **asked) if asked.get("any_will_do") or cap == inf else None

    monkeypatch.setattr(search._Search, "least", late)
    short = find_mapping(*asked, objective="latency")
    assert (short.latency_cycles, short.optimal) == (whole.latency_cycles, False)
    assert problems(layer, described.accelerator, short.mapping) == ()


def test_any_time_budget_keeps_the_bound_below_the_optimum() -> None:
    for seed in range(700, 740):
        layer, accelerator, table = case(seed)
        try:
            best = find_mapping(layer, accelerator, table)
        except NothingFitsError:
            continue
        result = find_mapping(layer, accelerator, table, time_budget_s=1e-9)
        assert result.lower_bound_pj <= best.energy_pj * (1 + 1e-9) <= result.energy_pj * (1 + 2e-9), seed
        assert result.optimal == (not result.cut_short), seed


def test_a_real_layer_is_proven_within_seconds() -> None:
    layer = convolution("conv4_x", m=256, c=256, p=14, q=14, r=3, s=3)
    described = read_accelerator("eyeriss")
    result = checked(layer, described.accelerator, described.table)
    assert result.optimal
    # conv4_x keeps at least half of the 168 elements busy
    assert layer.macs / result.counts.steps > 84


def checked(layer: Layer, accelerator: Accelerator, table: EnergyTable) -> SearchResult:
    """A search whose every number is worked out again from its mapping."""
    result = find_mapping(layer, accelerator, table)
    assert problems(layer, accelerator, result.mapping) == ()
    assert result.counts == count(layer, accelerator, result.mapping)
    energy = sum(energy_by_key(result.counts, layer, accelerator, table, result.mapping).values())
    energy += result.counts.steps * table.idle_power_w / accelerator.clock_hz * 1e12
    assert result.energy_pj == pytest.approx(energy, rel=1e-12)
    assert result.optimal == (result.lower_bound_pj >= result.energy_pj * (1 - 1e-9))
    return result


def test_the_energy_is_that_of_the_replayed_mapping() -> None:
    for seed in range(200, 230):
        layer, accelerator, table = case(seed)
        try:
            result = checked(layer, accelerator, table)
        except NothingFitsError:
            continue
        assert replay(layer, accelerator, result.mapping).values == result.counts.values


def two_levels(words: int) -> tuple[Accelerator, EnergyTable]:
    """DRAM at 200 pJ a word over one shared buffer at 6, and a MAC at 1."""
    levels = (Memory("dram", None, EVERY, 16), Memory("buffer", words * 16, EVERY, 16))
    prices = {("mac", "mac", "compute"): Price(1.0, "test", "table")}
    for memory, pj in (("dram", 200.0), ("buffer", 6.0)):
        for action in ("read", "write"):
            prices[memory, action, "*"] = Price(pj, "test", "table", 16)
    return Accelerator("two", "test", levels, Compute(), 1e9), EnergyTable(prices)


@pytest.mark.parametrize(
    ("dims", "words", "energy"),
    [
        # optima that other exact mappers and brute force agree on, the last one better than one of them returns
        ((16, 8, 8, 3), 512, 2_872_000),
        ((16, 8, 8, 3), 8192, 2_450_112),
        ((128, 64, 14, 1), 512, 77_643_776),
        ((128, 64, 14, 1), 8192, 51_117_568),
        ((64, 64, 14, 3), 512, 247_691_264),
    ],
)
def test_known_optima(dims: tuple[int, int, int, int], words: int, energy: int) -> None:
    m, c, p, r = dims
    result = checked(convolution("conv", m=m, c=c, p=p, q=p, r=r, s=r), *two_levels(words))
    assert result.energy_pj == energy
    assert result.optimal


def test_a_buffer_that_holds_everything_moves_everything_once() -> None:
    layer = convolution("conv", m=4, c=3, p=5, q=5, r=3, s=3)
    result = checked(layer, *two_levels(1 << 20))
    moved = sum(n for (where, _, _), n in result.counts.values.items() if where == "dram")
    # 4*3*9 weights + 3*7*7 inputs + 4*5*5 outputs
    assert moved == 108 + 147 + 100


def test_nothing_fits_names_the_memory_and_the_tile() -> None:
    layer = convolution("big", m=4, c=4, p=4, q=4)
    accelerator, table = two_levels(2)
    # one weight, one input and one output of 16 bits are the least that the buffer would hold
    with pytest.raises(
        NothingFitsError, match=r"layer 'big' on two: .* buffer would have to hold take 48 bits, it has 32"
    ):
        find_mapping(layer, accelerator, table)
    small = replace(accelerator, levels=(Memory("dram", 160, EVERY, 16), Memory("buffer", 8192, EVERY, 16)))
    # 16 weights + 64 inputs + 64 outputs of 16 bits
    with pytest.raises(NothingFitsError, match=r"dram would have to hold take 2,304 bits, it has 160"):
        find_mapping(layer, small, table)


def test_unknown_names_offer_the_nearest() -> None:
    layer = convolution("conv", m=2, c=2, p=2, q=2)
    with pytest.raises(UnknownNameError, match="did you mean 'weight_stationary'"):
        find_mapping(layer, *two_levels(64), dataflow="weight-stationary")
    with pytest.raises(UnknownNameError, match="did you mean 'energy'"):
        find_mapping(layer, *two_levels(64), objective="enrgy")


def test_a_layer_of_one_point() -> None:
    result = checked(convolution("one", m=1, c=1, p=1, q=1), *two_levels(3))
    # three words over DRAM and into or out of the buffer, two read and one written by the MAC
    assert result.energy_pj == 3 * 200 + 3 * 6 + 3 * 6 + 1
