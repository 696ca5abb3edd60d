"""Uneven mappings: the search against every one of them, against closed forms, and beside the even search."""

from contextlib import suppress
from itertools import permutations, product
from math import prod
from random import Random

import pytest

from energysim.errors import InputError, NothingFitsError
from energysim.hardware.accelerator import Accelerator, Compute, EnergyTable, Memory, Price
from energysim.hardware.read import read_accelerator
from energysim.mapping.constraints import (
    AxisDims,
    DimAxes,
    Residence,
    SpreadLimit,
    TileLimit,
    Untiled,
    check_restrictions,
    violations,
)
from energysim.mapping.dataflows import dataflow
from energysim.mapping.merging import windows
from energysim.mapping.nest import Loop, Mapping, Storage, problems
from energysim.mapping.replay import replay
from energysim.mapping.search import Limits, SearchResult, find_mapping
from energysim.mapping.search_problem import Problem
from energysim.mapping.search_space import Lattice, divisors, primes
from energysim.mapping.search_tables import Tables
from energysim.mapping.search_uneven_tables import UnevenTables
from energysim.workload.layer import Layer, convolution
from tests.mapping.brute import all_costs, bypass_choices
from tests.mapping.brute_uneven import interleaved, least_uneven, skeletons
from tests.mapping.cases import EVERY, random_accelerator, random_layer, random_prices
from tests.mapping.plain import plain_modules
from tests.mapping.test_constraints_brute import least_energy, restriction
from tests.mapping.test_search import two_levels

ROUNDING = 1e-9


def factors(number: int) -> int:
    """Number of prime factors."""
    found = 0
    while number > 1:
        number //= primes(number)[0]
        found += 1
    return found


def case(seed: int, memories: int, most: int) -> tuple[Layer, Accelerator, EnergyTable] | None:
    """A random tiny layer, hierarchy and prices; None where it has too many mappings to look at all."""
    random = Random(seed)
    layer = random_layer(random, 60)
    accelerator = random_accelerator(random, memories)
    table = random_prices(random, accelerator)
    loops = sum(factors(size) for size in layer.dims.values())
    choices = bypass_choices(layer, accelerator)
    if loops > most or sum(1 for bypass in choices for _ in skeletons(layer, accelerator, bypass)) > 12:
        return None
    return layer, accelerator, table


def compare(layer: Layer, accelerator: Accelerator, table: EnergyTable) -> bool | None:
    """Whether uneven mappings take less than even ones, once search and brute force agree; None: nothing fits."""
    choices = bypass_choices(layer, accelerator)
    even = all_costs(layer, accelerator, table).least_energy
    best = min(even, least_uneven(layer, accelerator, table, choices)[0])
    if best == float("inf"):
        with pytest.raises(NothingFitsError):
            find_mapping(layer, accelerator, table, uneven=True, partial=False)
        return None
    result = find_mapping(layer, accelerator, table, uneven=True, partial=False)
    assert problems(layer, accelerator, result.mapping) == ()
    assert result.energy_pj == pytest.approx(best, rel=ROUNDING)
    assert result.lower_bound_pj <= best * (1 + ROUNDING)
    assert result.optimal
    return best < even * (1 - ROUNDING)


def matmul(n: int, m: int, c: int) -> Layer:
    """N x C inputs times C x M weights."""
    return convolution("matmul", n=n, m=m, c=c, p=1, q=1)


def closed_form(n: int, m: int, c: int, words: int) -> int:
    """Least DRAM words of a matmul over one shared buffer, marks at any depth (MAPPER: no halo, two levels).

    Each dim is irrelevant to one tensor: N to the weights, M to the inputs, C to the outputs. The tensor marked
    outermost moves once; the tile of the next spares its own dim A steps, that of the innermost one B.
    """
    tensors = {"weight": (m * c, n), "input": (n * c, m), "output": (n * m, c)}
    best = None
    for first, second, third in permutations(tensors):
        (size1, _), (size2, n2), (size3, n3) = (tensors[name] for name in (first, second, third))
        for a, b in product(divisors(n2), divisors(n3)):
            if a * b + b + 1 <= words:
                moved = {first: size1, second: size2 * n2 // a, third: size3 * n3 // b}
                moved["output"] = 2 * moved["output"] - n * m
                total = sum(moved.values())
                best = total if best is None else min(best, total)
    assert best is not None
    return best


@pytest.mark.parametrize(
    ("n", "m", "c", "words"),
    [
        (196, 128, 64, 512),
        (196, 128, 64, 8192),
        (49, 512, 256, 1000),
        (1, 1000, 512, 300),
        (60, 60, 48, 33),
        (97, 64, 90, 7),
    ],
)
def test_two_levels_without_windows_are_a_closed_form(n: int, m: int, c: int, words: int) -> None:
    layer, (accelerator, table) = matmul(n, m, c), two_levels(words)
    result = find_mapping(layer, accelerator, table, uneven=True, partial=False)
    moved = sum(k for (where, _, _), k in result.counts.values.items() if where == "dram")
    assert result.optimal
    # every DRAM word is a buffer word too (206 pJ); a MAC takes 1 pJ and moves 4 words but for first sums
    fixed = n * m * c * (1 + 4 * 6) - n * m * 6
    assert result.energy_pj == pytest.approx(206 * closed_form(n, m, c, words) + fixed, rel=1e-12)
    assert moved == closed_form(n, m, c, words)


def least_in_three_levels(sizes: tuple[int, int, int], words: tuple[int, int], prices: tuple[float, float]) -> float:
    """Least pJ of what crosses into two memories below DRAM, marks of both at any depth, by cost and then by room.

    `sizes` are N, M, C. A tensor's cost depends on how much of its own dim lies inside its two marks; what the others'
    tiles take follows from the order of the six marks.
    """
    names = ("weight", "input", "output")
    whole = {"weight": sizes[1] * sizes[2], "input": sizes[0] * sizes[2], "output": sizes[0] * sizes[1]}
    size = dict(zip(names, sizes, strict=True))
    choices = []
    for name in names:
        for outer in divisors(size[name]):
            for inner in divisors(outer):
                moved = [whole[name] * size[name] // tile for tile in (outer, inner)]
                if name == "output":
                    moved = [2 * n - whole[name] for n in moved]
                choices.append((name, (outer, inner), moved[0] * prices[0] + moved[1] * prices[1]))
    by_name = [[(tiles, pj) for name, tiles, pj in choices if name == wanted] for wanted in names]
    combined = sorted((sum(pj for _, pj in each), [tiles for tiles, _ in each]) for each in product(*by_name))
    orders = list(interleaved([[Storage("1", name), Storage("2", name)] for name in names]))
    for pj, tiles in combined:
        inside = {(name, level): tiles[i][level] for i, name in enumerate(names) for level in (0, 1)}
        for order in orders:
            held = [0, 0]
            for place, mark in enumerate(order):
                others = [name for name in names if name != mark.tensor]
                held[int(mark.memory) - 1] += prod(
                    next((inside[m.tensor, int(m.memory) - 1] for m in order[place:] if m.tensor == name), 1)
                    for name in others
                )
            if held[0] <= words[0] and held[1] <= words[1]:
                return pj
    raise AssertionError("nothing fits")


@pytest.mark.parametrize(
    ("sizes", "words"),
    [((8, 6, 12), (40, 9)), ((16, 16, 16), (100, 12)), ((7, 9, 10), (30, 4)), ((12, 5, 18), (25, 16))],
)
def test_three_levels_without_windows(sizes: tuple[int, int, int], words: tuple[int, int]) -> None:
    n, m, c = sizes
    every = [
        Memory("dram", None, EVERY, 16),
        Memory("a", words[0] * 16, EVERY, 16),
        Memory("b", words[1] * 16, EVERY, 16),
    ]
    prices = {("mac", "mac", "compute"): Price(1.0, "test", "table")}
    for memory, pj in (("dram", 100.0), ("a", 10.0), ("b", 2.0)):
        for action in ("read", "write"):
            prices[memory, action, "*"] = Price(pj, "test", "table", 16)
    accelerator = Accelerator("three", "test", tuple(every), Compute(), 1e9)
    result = find_mapping(matmul(n, m, c), accelerator, EnergyTable(prices), uneven=True)
    fixed = n * m * c * (1 + 4 * 2) - n * m * 2
    least = least_in_three_levels(sizes, words, (100.0 + 10.0, 10.0 + 2.0))
    assert result.energy_pj == pytest.approx(least + fixed, rel=1e-12)
    assert result.optimal


def brute_seeds(window: bool, memories: int, most: int, start: int, number: int) -> list[int]:
    """Seeds of the first cases with or without sliding windows that brute force can do."""
    found, seed = [], start
    while len(found) < number:
        each = case(seed, memories, most)
        if each is not None and bool(windows(each[0])) == window:
            found.append(seed)
        seed += 1
    return found


@pytest.mark.parametrize("part", range(4))
def test_nothing_uneven_is_better_without_windows(part: int) -> None:
    better = []
    for memories, most, number in ((2, 3, 64), (3, 3, 40)):
        for seed in brute_seeds(False, memories, most, 0, number)[part::4]:
            each = case(seed, memories, most)
            assert each is not None
            better.append(compare(*each))
    assert len(better) == 26
    assert better.count(None) < 5


def test_uneven_is_better_where_a_word_more_of_room_counts() -> None:
    # by the closed form, whose even like asks A B + A + B words of the buffer instead of A B + B + 1
    better = 0
    for n, m, c, words in ((60, 60, 48, 33), (97, 64, 90, 7), (12, 12, 12, 7), (30, 18, 20, 17)):
        layer, nouns = matmul(n, m, c), two_levels(words)
        even, uneven = find_mapping(layer, *nouns), find_mapping(layer, *nouns, uneven=True)
        assert uneven.energy_pj <= even.energy_pj
        better += uneven.energy_pj < even.energy_pj
    assert better > 1


@pytest.mark.parametrize("part", range(2))
def test_nothing_uneven_is_better_with_windows(part: int) -> None:
    found = 0
    for memories, most, number in ((2, 3, 30), (3, 3, 10)):
        for seed in brute_seeds(True, memories, most, 1000, number)[part::2]:
            each = case(seed, memories, most)
            assert each is not None
            found += compare(*each) is not None
    assert found > 15


def checked(layer: Layer, accelerator: Accelerator, table: EnergyTable, limits: Limits | None = None) -> SearchResult:
    """An uneven search whose mapping is legal and whose energy is not above the even one."""
    even = find_mapping(layer, accelerator, table)
    result = find_mapping(layer, accelerator, table, uneven=True, limits=limits)
    assert problems(layer, accelerator, result.mapping) == ()
    assert result.lower_bound_pj <= result.energy_pj <= even.energy_pj * (1 + ROUNDING)
    assert result.optimal == (result.lower_bound_pj >= result.energy_pj * (1 - ROUNDING))
    return result


@pytest.mark.parametrize(
    ("dims", "words", "energy"),
    [
        # M, C, P = Q, R = S over one shared buffer; the even optima are in test_search
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


def test_a_stride_two_layer_gains_on_eyeriss() -> None:
    # layer3.0.conv1 of ResNet-18: all outputs stay in the buffer, outside of inputs that pass through in parts
    layer = convolution("conv", m=256, c=128, p=14, q=14, r=3, s=3, stride=(2, 2))
    described = read_accelerator("eyeriss")
    result = checked(layer, described.accelerator, described.table, Limits(5_000_000))
    assert result.optimal
    assert result.energy_pj < 0.97 * find_mapping(layer, described.accelerator, described.table).energy_pj
    first = next(x for x in result.mapping.nest if isinstance(x, Storage) and x.memory == "global_buffer")
    assert first.tensor == "output"


def test_what_it_finds_is_replayed() -> None:
    replayed = uneven = 0
    for seed in range(2000, 2040):
        each = case(seed, 2, 5)
        if each is None:
            continue
        layer, accelerator, table = each
        try:
            result = checked(layer, accelerator, table)
        except NothingFitsError:
            continue
        assert replay(layer, accelerator, result.mapping).values == result.counts.values
        replayed += 1
        below = [i for i, x in enumerate(result.mapping.nest) if isinstance(x, Storage) and x.memory == "m1"]
        uneven += bool(below) and below != list(range(below[0], below[0] + len(below)))
    assert replayed > 10
    assert uneven > 0


def test_limits_and_budgets_leave_a_bound_that_holds() -> None:
    layer = convolution("conv", m=64, c=64, p=28, q=28, r=3, s=3)
    described = read_accelerator("eyeriss")
    short = checked(layer, described.accelerator, described.table, Limits(500))
    longer = checked(layer, described.accelerator, described.table, Limits(15_000))
    assert not short.optimal
    assert short.lower_bound_pj <= longer.energy_pj
    assert longer.energy_pj <= short.energy_pj
    nouns = described.accelerator, described.table
    cut = find_mapping(layer, *nouns, uneven=True, time_budget_s=1e-6)
    assert cut.cut_short
    assert cut.lower_bound_pj <= longer.energy_pj


def test_dataflows_restrict_uneven_mappings_too() -> None:
    layer = convolution("conv", m=8, c=4, p=6, q=6, r=3, s=3)
    described = read_accelerator("eyeriss")
    nouns = described.accelerator, described.table
    for name in ("row_stationary", "weight_stationary", "output_stationary", "input_stationary"):
        even = find_mapping(layer, *nouns, dataflow=name)
        result = find_mapping(layer, *nouns, dataflow=name, uneven=True)
        assert violations(dataflow(name), layer, described.accelerator, result.mapping) == ()
        assert result.energy_pj <= even.energy_pj * (1 + ROUNDING)


def test_constraints_of_every_kind_restrict_uneven_mappings_too() -> None:
    kinds, better = set(), 0
    for seed in range(120):
        each = case(seed, 2 + seed % 2, 3)
        if each is None:
            continue
        layer, accelerator, table = each
        random = Random(seed)
        asked = tuple(restriction(random, layer, accelerator) for _ in range(random.choice([1, 2, 3])))
        with suppress(InputError):
            check_restrictions(asked, accelerator)
            kinds |= {type(x) for x in asked}
            constraints = dataflow("unconstrained", asked)
            choices = bypass_choices(layer, accelerator)
            even = least_energy(layer, accelerator, table, constraints)
            best = min(even, least_uneven(layer, accelerator, table, choices, constraints)[0])
            if best == float("inf"):
                with pytest.raises(NothingFitsError):
                    find_mapping(layer, accelerator, table, uneven=True, constraints=asked)
                continue
            result = find_mapping(layer, accelerator, table, uneven=True, constraints=asked)
            assert result.energy_pj == pytest.approx(best, rel=ROUNDING), (seed, asked)
            assert violations(constraints, layer, accelerator, result.mapping, uneven=True) == ()
            better += best > find_mapping(layer, accelerator, table, uneven=True).energy_pj * (1 + ROUNDING)
    assert kinds == {TileLimit, Untiled, Residence, SpreadLimit, AxisDims, DimAxes}
    assert better > 3


def test_marks_inside_an_array_that_hands_words_on_are_found() -> None:
    # outputs stand right inside the array, inputs inside loops of the same memory
    each = case(295, 3, 3)
    assert each is not None
    layer, accelerator, table = each
    assert any(array.forwarding for array in accelerator.arrays)
    asked = (TileLimit("m2", "R", 1, 1), Untiled("m0", "P"))
    result = find_mapping(layer, accelerator, table, uneven=True, constraints=asked)
    best = least_uneven(
        layer, accelerator, table, bypass_choices(layer, accelerator), dataflow("unconstrained", asked)
    )[0]
    assert result.energy_pj == pytest.approx(best, rel=ROUNDING)
    assert best < find_mapping(layer, accelerator, table, constraints=asked).energy_pj


def test_a_limit_on_tiles_and_loops_binds_what_its_dim_touches() -> None:
    layer, (accelerator, _) = matmul(2, 2, 2), two_levels(8)
    names = {t.role: t.name for t in layer.tensors}
    marks = {role: Storage("buffer", name) for role, name in names.items()}
    outer = [Storage("dram", name) for name in names.values()]
    # inputs know nothing of M: they stand outside its loop, weights and outputs inside, with one M each
    nest = Mapping((*outer, marks["input"], Loop("M", 2), marks["weight"], marks["output"], Loop("N", 2), Loop("C", 2)))
    assert problems(layer, accelerator, nest) == ()

    def broken(asked: TileLimit | Untiled, uneven: bool) -> bool:
        return bool(violations(dataflow("unconstrained", (asked,)), layer, accelerator, nest, uneven=uneven))

    for asked in (TileLimit("buffer", "M", 1, 1), Untiled("dram", "C"), Untiled("dram", "M")):
        assert not broken(asked, uneven=True)
    # judged as one tile of the buffer, that of its first mark has both
    assert broken(TileLimit("buffer", "M", 1, 1), uneven=False)
    # the loop over M belongs to the buffer as soon as it is marked; but what it holds there has no M
    assert broken(Untiled("buffer", "M"), uneven=False)
    assert not broken(Untiled("buffer", "M"), uneven=True)
    assert broken(Untiled("buffer", "C"), uneven=True)
    assert broken(TileLimit("buffer", "N", 1, 1), uneven=True)


def test_a_bound_too_high_is_noticed() -> None:
    modules = plain_modules()
    bounds = modules["search_uneven_bounds"].UnevenBounds
    honest = bounds.rest
    wrong = 0
    for lie in (0.0, 0.3):
        bounds.rest = lambda self, *a, lie=lie: honest(self, *a) * (1 + lie)
        for words in (7, 17, 33):
            layer, (accelerator, table) = matmul(12, 12, 20), two_levels(words)
            limit = find_mapping(layer, accelerator, table).energy_pj * 1.01
            problem = Problem(
                layer, accelerator, table, dataflow("unconstrained"), (), Lattice(layer, tuple(layer.dims.values()))
            )
            tree = modules["search_uneven_tree"].UnevenTree(UnevenTables(Tables(problem)).searchable(0.0))
            tree.bounds(limit)
            tree.find(1 << 40, float("inf"), 0)
            best = find_mapping(layer, accelerator, table, uneven=True).energy_pj
            wrong += tree.best_pj != pytest.approx(best, rel=ROUNDING)
        assert (wrong > 0) == (lie > 0)
