"""Uneven mappings: the search against every one of them, against closed forms, and beside the even search."""

from itertools import permutations, product
from math import prod
from random import Random

import pytest

from energysim.errors import InputError, NothingFitsError
from energysim.hardware.accelerator import Accelerator, Compute, EnergyTable, Memory, Price
from energysim.hardware.read import read_accelerator
from energysim.mapping.constraints import violations
from energysim.mapping.dataflows import dataflow
from energysim.mapping.nest import Storage, problems
from energysim.mapping.replay import replay
from energysim.mapping.search import Limits, SearchResult, find_mapping
from energysim.mapping.search_space import divisors, primes
from energysim.mapping.search_uneven import slides
from energysim.workload.layer import Layer, convolution
from tests.mapping.brute import bypass_choices, least_energy
from tests.mapping.brute_uneven import interleaved, least_uneven
from tests.mapping.cases import EVERY, random_accelerator, random_layer, random_prices
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
    if loops > most or len(bypass_choices(layer, accelerator)) > 2:
        return None
    return layer, accelerator, table


def compare(layer: Layer, accelerator: Accelerator, table: EnergyTable) -> bool | None:
    """Whether uneven mappings take less than even ones, where the search agrees with brute force; None: nothing fits."""
    choices = bypass_choices(layer, accelerator)
    even, _ = least_energy(layer, accelerator, table, choices)
    best = min(even, least_uneven(layer, accelerator, table, choices)[0])
    if best == float("inf"):
        with pytest.raises(NothingFitsError):
            find_mapping(layer, accelerator, table, uneven=True)
        return None
    result = find_mapping(layer, accelerator, table, uneven=True)
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
    [(196, 128, 64, 512), (196, 128, 64, 8192), (49, 512, 256, 1000), (1, 1000, 512, 300), (60, 60, 48, 33), (97, 64, 90, 7)],
)
def test_two_levels_without_windows_are_a_closed_form(n: int, m: int, c: int, words: int) -> None:
    layer, (accelerator, table) = matmul(n, m, c), two_levels(words)
    result = find_mapping(layer, accelerator, table, uneven=True)
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
    every = [Memory("dram", None, EVERY, 16), Memory("a", words[0] * 16, EVERY, 16), Memory("b", words[1] * 16, EVERY, 16)]
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


@pytest.mark.parametrize(
    ("dims", "words", "energy"),
    [
        # M, C, P = Q, R = S; 1x1 kernels by the closed form, the others what the proof ended with
        ((128, 64, 14, 1), 8192, None),
        ((16, 8, 8, 3), 8192, None),
    ],
)
def test_uneven_is_proven_and_never_more_than_even(
    dims: tuple[int, int, int, int], words: int, energy: int | None
) -> None:
    m, c, p, r = dims
    layer = convolution("conv", m=m, c=c, p=p, q=p, r=r, s=r)
    even = find_mapping(layer, *two_levels(words))
    result = find_mapping(layer, *two_levels(words), uneven=True)
    assert result.optimal
    assert result.energy_pj <= even.energy_pj
    assert energy is None or result.energy_pj == energy
