"""The comparison with brute force can fail: it does when an order class is missing or a bound is too high."""

from collections.abc import Callable
from typing import Any

import pytest

from energysim.errors import NothingFitsError
from energysim.hardware.accelerator import EnergyTable, Price
from energysim.mapping import search_orders
from energysim.mapping.search import find_mapping
from energysim.mapping.search_bounds import Bounds
from energysim.workload.layer import convolution
from tests.hand.tiny import machine
from tests.mapping.brute import bypass_choices, least_energy
from tests.mapping.test_search import case

SEEDS = [seed for seed in range(600, 660) if len(case(seed)[1].memories) == 2]


@pytest.fixture(scope="module")
def optima() -> dict[int, float]:
    """The least energy of each case by brute force."""
    found = {}
    for seed in SEEDS:
        layer, accelerator, table = case(seed)
        found[seed] = least_energy(layer, accelerator, table, bypass_choices(layer, accelerator))[0]
    return found


def missed(optima: dict[int, float]) -> int:
    """In how many cases the search returns more than the least energy."""
    worse = 0
    for seed, best in optima.items():
        try:
            worse += find_mapping(*case(seed)).energy_pj > best * (1 + 1e-9)
        except NothingFitsError:
            assert best == float("inf")
    return worse


def test_untouched_it_misses_nothing(optima: dict[int, float]) -> None:
    assert missed(optima) == 0


@pytest.mark.parametrize("role", ["weight", "input", "output"])
def test_without_the_orders_that_keep_one_tensor_still_it_misses(role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # one word of each tensor on chip, and one tensor dear to move: only its innermost loop can save that
    layer = convolution("matmul", m=2, c=3, p=5, q=1)
    accelerator, table = machine((1, 1, 1))
    dear = {("dram", action, role): Price(1000.0, "test", "table", 16) for action in ("read", "write")}
    table = EnergyTable({**table.prices, **dear})
    best, _ = least_energy(layer, accelerator, table, [{}])
    assert find_mapping(layer, accelerator, table).energy_pj == best
    whole: Callable[..., Any] = search_orders.Exact._orders

    def fewer(self: search_orders.Exact, active: tuple[str, ...], level: int) -> Any:
        dims = self.problem.lattice.dims
        touched = {d for t in self.problem.layer.tensors if t.role == role for d in t.dims}
        found = whole(self, active, level)
        kept = found[[dims[order[-1]] in touched for order in found]]
        return kept if len(kept) else found

    monkeypatch.setattr(search_orders.Exact, "_orders", fewer)
    assert find_mapping(layer, accelerator, table).energy_pj > best


def test_with_a_bound_too_high_it_misses(optima: dict[int, float], monkeypatch: pytest.MonkeyPatch) -> None:
    edge = Bounds.edge
    monkeypatch.setattr(Bounds, "edge", lambda self, rows, outer: 1.5 * edge(self, rows, outer))
    assert missed(optima) > 0
