"""Uneven mappings by latency, product and front, with ports and idle power, against every one of them."""

from dataclasses import replace
from math import inf
from random import Random

import numpy as np
import pytest

from energysim.hardware.accelerator import Accelerator, EnergyTable, Memory, Price
from energysim.hardware.read import read_accelerator
from energysim.mapping.dataflows import dataflow
from energysim.mapping.nest import problems
from energysim.mapping.search import OBJECTIVES, Limits, find_front, find_mapping
from energysim.mapping.search_problem import Problem
from energysim.mapping.search_space import Lattice
from energysim.mapping.search_tables import Tables
from energysim.mapping.search_uneven_tables import UnevenTables
from energysim.workload.layer import Layer, convolution
from tests.mapping.brute import Costs, all_costs, bypass_choices
from tests.mapping.brute_uneven import uneven_costs
from tests.mapping.cases import with_bandwidths
from tests.mapping.plain import plain_modules
from tests.mapping.test_search import two_levels
from tests.mapping.test_search_brute import compare
from tests.mapping.test_search_uneven import case, closed_form, matmul

CLOSE = 1e-9
Case = tuple[Layer, Accelerator, EnergyTable]


def timed_case(seed: int) -> Case | None:
    """A random tiny layer on two or three memories, most with narrow ports, some with idle power."""
    each = case(seed, 2 + seed % 2, 3)
    if each is None:
        return None
    layer, accelerator, table = each
    random = Random(seed + 7)
    accelerator = with_bandwidths(random, accelerator)
    prices = dict(table.prices)
    for array in accelerator.arrays:
        # dear spreading: then speed costs energy, and fronts have more than one point
        if random.random() < 0.6:
            prices[array.name, "transfer", "*"] = Price(60.0, "test", "table", 16)
    table = replace(table, prices=prices)
    return layer, accelerator, replace(table, idle_power_w=random.choice([0.0, 0.0, 0.01, 0.3]))


def every_cost(each: Case) -> tuple[Costs, Costs]:
    """Energy and latency of every even mapping, and of every mapping of both spaces."""
    layer, accelerator, table = each
    even = all_costs(layer, accelerator, table)
    more = uneven_costs(layer, accelerator, table, bypass_choices(layer, accelerator))
    energies, times = ((getattr(even, name), getattr(more, name)) for name in ("energy_pj", "cycles"))
    return even, Costs(np.concatenate(energies), np.concatenate(times))


def check(each: Case) -> Costs | None:
    """Asserts that searches by every objective, and the front, are what brute force finds; None where nothing fits."""
    layer, accelerator, table = each
    _, costs = every_cost(each)
    if not len(costs):
        return None
    for objective in OBJECTIVES:
        result = find_mapping(layer, accelerator, table, uneven=True, objective=objective, partial=False)
        assert problems(layer, accelerator, result.mapping) == ()
        compare(objective, result, costs)
        assert result.optimal
        assert result.lower_bound_pj <= costs.least_energy * (1 + CLOSE)
    front = find_front(layer, accelerator, table, uneven=True, partial=False)
    assert [float(r.latency_cycles) for r in front] == [cycles for _, cycles in costs.front]
    assert [r.energy_pj for r in front] == pytest.approx([energy for energy, _ in costs.front], rel=CLOSE)
    assert all(r.optimal for r in front)
    return costs


@pytest.mark.parametrize("part", range(2))
def test_no_uneven_mapping_is_better_by_any_objective(part: int) -> None:
    found, fronts, idle, narrow = 0, 0, 0, 0
    for seed in range(part, 72, 2):
        each = timed_case(seed)
        costs = check(each) if each else None
        if each and costs:
            found, fronts = found + 1, fronts + (len(costs.front) > 1)
            idle += each[2].idle_power_w > 0.0
            narrow += any(m.read_bits_per_cycle or m.write_bits_per_cycle for m in each[1].memories)
    assert found > 3
    assert fronts > 0
    assert idle > 0
    assert narrow > 0


def narrow_dram(words: int, idle_power_w: float = 0.0) -> tuple[Accelerator, EnergyTable]:
    """`two_levels` whose outermost memory takes four cycles for a word, read or written."""
    accelerator, table = two_levels(words)
    outermost = accelerator.levels[0]
    assert isinstance(outermost, Memory)
    outermost = replace(outermost, read_bits_per_cycle=4.0, write_bits_per_cycle=4.0, shared_port=True)
    accelerator = replace(accelerator, levels=(outermost, *accelerator.levels[1:]))
    return accelerator, replace(table, idle_power_w=idle_power_w)


def test_the_fewest_words_of_a_narrow_port_take_the_least_time() -> None:
    # 12 x 12 x 12 over 7 words: A = B = 2 move 144 + 864 + 864 words or more, in four cycles each; steps are 1,728
    layer, nouns = matmul(12, 12, 12), narrow_dram(7)
    words = closed_form(12, 12, 12, 7)
    result = find_mapping(layer, *nouns, uneven=True, objective="latency")
    assert result.latency_cycles == 4 * words
    assert result.optimal
    assert find_mapping(layer, *nouns, objective="latency").latency_cycles > 4 * words
    assert [r.latency_cycles for r in find_front(layer, *nouns, uneven=True)] == [4 * words]


def test_idle_power_is_paid_while_the_port_is_busy() -> None:
    # 1 W at 1 GHz is 1,000 pJ in a cycle; the least words and the least energy without it are the same mapping's
    layer, words = matmul(12, 12, 12), closed_form(12, 12, 12, 7)
    without = find_mapping(layer, *narrow_dram(7), uneven=True)
    result = find_mapping(layer, *narrow_dram(7, 1.0), uneven=True)
    assert result.energy_pj == pytest.approx(without.energy_pj + 1000 * 4 * words, rel=1e-12)
    assert result.optimal


def test_real_layers_are_never_worse_than_even_by_any_objective() -> None:
    described = read_accelerator("simba")
    nouns = described.accelerator, replace(described.table, idle_power_w=0.05)
    layer = convolution("conv", m=32, c=16, p=14, q=14, r=3, s=3)
    short = Limits(300)
    for objective in OBJECTIVES:
        even = find_mapping(layer, *nouns, objective=objective, limits=short)
        result = find_mapping(layer, *nouns, objective=objective, limits=short, uneven=True)
        assert problems(layer, nouns[0], result.mapping) == ()
        goal = {
            "energy": lambda r: r.energy_pj,
            "latency": lambda r: (r.latency_cycles, r.energy_pj * (1 - CLOSE)),
            "edp": lambda r: r.energy_pj * r.latency_cycles,
        }[objective]
        assert goal(result) <= goal(even)


def test_a_bound_on_time_that_is_too_high_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    modules = plain_modules()
    times = modules["search_uneven_times"].UnevenTimes
    honest = times.add_least
    layer, (accelerator, table) = matmul(6, 4, 6), narrow_dram(7)
    lattice = Lattice(layer, tuple(layer.dims.values()))
    tables = UnevenTables(Tables(Problem(layer, accelerator, table, dataflow("unconstrained"), (), lattice)))
    for lie in (0.0, 5.0):
        monkeypatch.setattr(times, "add_least", lambda self, d, k, sign, lie=lie: honest(self, d, k, sign * (1 + lie)))
        tree = modules["search_uneven_tree"].UnevenTree(tables.searchable(0.0))
        tree.cap(4.0 * closed_form(6, 4, 6, 7))
        tree.bounds(inf)
        tree.find(1 << 40, inf, 0)
        assert (tree.best_pj == inf) == (lie > 0)
        assert tree.open_pj == inf
