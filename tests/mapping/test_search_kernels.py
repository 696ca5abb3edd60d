"""The compiled kernel and the same sources as plain Python go the same way, step by step, without a warning."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import pytest

from energysim.hardware.read import read_accelerator
from energysim.mapping import search, search_climb
from energysim.mapping.dataflows import dataflow
from energysim.mapping.search import Limits, find_front, find_mapping
from energysim.mapping.search_problem import Problem
from energysim.mapping.search_space import Lattice
from energysim.mapping.search_tables import Tables
from energysim.mapping.tilings import bypasses
from energysim.workload.layer import DIMS, convolution
from tests.mapping.brute import all_costs
from tests.mapping.cases import awkward_case, passing_case, random_case, random_product
from tests.mapping.plain import plain_modules
from tests.mapping.test_search_brute import Case, strided

PLAIN = plain_modules()
TREE: Any = PLAIN["search_climb"].Climb

CASES = [*(random_case(seed, 60) for seed in range(2000, 2012)), *map(random_product, range(3))]
CASES += [strided(seed, transposed=seed % 2 == 0) for seed in range(2000, 2006)]
CASES += [awkward_case(seed) for seed in range(2000, 2012) if awkward_case(seed)[0].points < 60]


def results(case: Case) -> list[Any]:
    """Every objective and the front, and a search cut short; without the seconds."""
    found = [find_mapping(*case, objective=objective) for objective in search.OBJECTIVES]
    found += [*find_front(*case), find_mapping(*case, limits=Limits(nodes=5))]
    return [replace(result, seconds=0.0) for result in found]


def test_plain_python_takes_the_same_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = nodes = 0
    for case in CASES:
        if not len(all_costs(*case)):
            continue
        compiled = results(case)
        with monkeypatch.context() as patch:
            patch.setattr(search, "Tree", TREE)
            assert results(case) == compiled
        compared += 1
        nodes += compiled[0].nodes
    assert compared > 15
    assert nodes > 300


def test_plain_python_anneals_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """In deep hierarchies chance is drawn the same way, and worse mappings are taken for a while in both."""
    described = read_accelerator("simba")
    case = (convolution("conv", m=24, c=20, p=7, q=7, r=3, s=3), described.accelerator, described.table)
    compiled = find_mapping(*case, limits=Limits(nodes=1))
    worse = []

    class Watched(TREE):  # type: ignore[misc]
        def try_move(self, limit: float) -> float:
            before = self.cost_at[self.levels]
            found: float = super().try_move(limit)
            worse.append(before < found < float("inf"))
            return found

    monkeypatch.setattr(search, "Tree", Watched)
    assert replace(find_mapping(*case, limits=Limits(nodes=1)), seconds=0.0) == replace(compiled, seconds=0.0)
    assert sum(worse) > 20


def test_chance_is_even() -> None:
    """Three draws in a row reach every corner of a cube of 4 about as often; low bits of the generator would not."""
    climb = TREE.__new__(TREE)
    climb.seed = 12345
    seen = Counter(tuple(climb.random(4) for _ in range(3)) for _ in range(6_400))
    assert len(seen) == 64
    assert max(seen.values()) < 2 * min(seen.values())
    drawn = [climb.chance() for _ in range(1_000)]
    assert 0.0 <= min(drawn) < 0.01
    assert 0.99 < max(drawn) < 1.0


@pytest.mark.parametrize("cases", [random_case, passing_case])
def test_a_limit_that_is_known_before_rows_are_made_loses_nothing(cases: Callable[[int], Case]) -> None:
    # first visits of outputs read nothing back: what lies outside a row may cost less than nothing
    found = 0
    for seed in range(30):
        layer, accelerator, table = cases(seed)
        lattice = Lattice(layer, tuple(layer.dims[d] for d in DIMS))
        for bypass in bypasses(layer, accelerator):
            tables = Tables(Problem(layer, accelerator, table, dataflow("unconstrained", ()), bypass, lattice))
            if not tables.problem.fits[0][-1]:
                continue
            free, limited = (search.ready(tables, 0.0, inf) for _ in range(2))
            free.start()
            free.search(50_000, inf, 0)
            limited.limit(1.01 * free.best_pj)
            limited.start()
            limited.search(50_000, inf, 0)
            assert limited.best_pj == pytest.approx(free.best_pj, rel=1e-9)
            found += free.best_pj < inf
    assert found > 20


def test_two_kernels_are_compared() -> None:
    compiled = Path(search_climb.__file__).suffix
    if compiled == ".py":
        pytest.skip("the kernels are not compiled here")
    assert search.Tree is search_climb.Climb
    assert search.Tree is not TREE
    assert Path(TREE.search.__code__.co_filename).suffix == ".py"


def test_no_two_settings_of_a_window_share_a_number() -> None:
    """The hash stands for the whole setting: among hundreds of thousands there is no collision."""
    windows = PLAIN["search_windows"].Windows()
    seen = set[int]()
    number = 0
    for u in (1, 2, 3):
        for v in (0, 1, 2):
            for p in range(1, 15):
                for r in range(1, 8):
                    windows.begin(u, v, p, r)
                    begun = windows.code
                    for bound in range(1, 12):
                        windows.begin(u, v, p, r)
                        assert windows.code == begun
                        windows.spread(u * p, bound, 0)
                        for shift in range(12):
                            seen.add(windows.mixed(windows.code, shift))
                            number += 1
    assert len(seen) == number
