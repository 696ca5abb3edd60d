"""The comparison with brute force can fail: it does when an order class is missing or a bound is too high."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from energysim.errors import NothingFitsError
from energysim.hardware.accelerator import Accelerator, Array, Axis, Compute, EnergyTable, Memory, Price
from energysim.mapping import search
from energysim.mapping.search import find_mapping
from energysim.mapping.search_problem import Problem
from energysim.workload.layer import Layer, convolution
from tests.hand.tiny import machine
from tests.mapping.brute import Costs, all_costs
from tests.mapping.cases import EVERY, passing_case, random_case, random_product
from tests.mapping.plain import plain_modules
from tests.mapping.test_search_brute import strided

Case = tuple[Layer, Accelerator, EnergyTable]
Known = list[tuple[Case, Costs]]

Tree: Any = plain_modules()["search_climb"].Climb


class Proof(Tree):  # type: ignore[misc]
    """The proof alone, told what the best mapping costs: a dive would find that mapping whatever the bounds say."""

    best_pj_known = 0.0

    def search(self, most_nodes: int, until: float, any_will_do: int) -> None:
        self.most_nodes, self.until, self.any_will_do = most_nodes, until, any_will_do
        self.limit_pj = min(self.limit_pj, self.best_pj_known * (1 + 1e-6))
        self.narrow()
        self.width, self.open_pj = 0, float("inf")
        self.expand(1, self.root_pj, 1)


def known(cases: Iterator[Case]) -> Known:
    """Cases that have a mapping, with the costs of all of them."""
    return [(case, costs) for case in cases if len(costs := all_costs(*case))]


@pytest.fixture(scope="module")
def cases() -> Known:
    """Random layers, of which many have windows."""
    return known(random_case(seed, 60) for seed in range(300, 345))


@pytest.fixture(scope="module")
def windows() -> Known:
    """Layers of which all have windows, some with gaps."""
    return known(strided(seed, transposed=seed % 3 == 0) for seed in range(100, 140))


@pytest.fixture(scope="module")
def products() -> Known:
    """Matrix products on small memories: orders matter most."""
    return known(random_product(seed) for seed in range(24))


def missed(cases: Known, tree: Any, monkeypatch: pytest.MonkeyPatch, objective: str = "energy") -> int:
    """In how many cases a search with this tree does not find the least energy, or the fewest cycles."""
    monkeypatch.setattr(search, "Tree", tree)
    right = 0
    for case, costs in cases:
        tree.best_pj_known = costs.least_energy
        with suppress(NothingFitsError):
            found = find_mapping(*case, objective=objective, partial=False)
            if objective == "latency":
                right += (found.latency_cycles, found.energy_pj) == pytest.approx(costs.fastest, rel=1e-9)
            else:
                right += found.energy_pj == pytest.approx(costs.least_energy, rel=1e-9)
    return len(cases) - right


@pytest.fixture(scope="module")
def deep() -> Known:
    """Layers on three or four memories, with tensors that pass some of them by."""
    return known(passing_case(seed) for seed in range(40))


@pytest.mark.parametrize("tree", [Tree, Proof])
def test_untouched_it_misses_nothing(
    tree: Any, cases: Known, windows: Known, products: Known, deep: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in (cases, windows, products, deep):
        assert missed(each, type("Untouched", (tree,), {}), monkeypatch) == 0
    assert missed(cases, Tree, monkeypatch, "latency") == 0
    assert len(cases) + len(windows) + len(products) > 90


def without(unwanted: Callable[[Any, int], bool]) -> Any:
    """The whole search, dives and all, without the orders whose innermost loop is unwanted (where others are left)."""

    class Fewer(Tree):  # type: ignore[misc]
        def make_classes(self, mask: int) -> None:
            super().make_classes(mask)
            first, last = self.class_start[mask], self.class_end[mask]
            kept = [n for n in range(first, last) if not unwanted(self, self.classes[n, self.dims - 1])]
            for place, n in enumerate(kept or range(first, last)):
                self.copy_class(n, first + place)
            self.class_total = self.class_end[mask] = first + len(kept or range(first, last))

    return Fewer


@pytest.mark.parametrize("role", ["weight", "input", "output"])
def test_without_the_orders_that_keep_one_tensor_still_it_misses(
    role: str, products: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    # one word of each tensor on chip, and one tensor dear to move: only its innermost loop can save that
    layer = convolution("matmul", m=2, c=3, p=5, q=1)
    accelerator, table = machine((1, 1, 1))
    dear = {("dram", action, role): Price(1000.0, "test", "table", 16) for action in ("read", "write")}
    by_hand = known(iter([(layer, accelerator, EnergyTable({**table.prices, **dear}))]))
    number = [t.role for t in layer.tensors].index(role)
    tree = without(lambda tree, d: tree.tensors == 3 and tree.touches[number, d] == 0)
    assert missed(by_hand, tree, monkeypatch) == 1
    assert missed(products, tree, monkeypatch) > 0


def test_without_the_orders_that_slide_it_misses(windows: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    assert missed(windows, without(lambda tree, d: bool((tree.touches[:, d] == 2).any())), monkeypatch) > 0


class OneSequence(Tree):  # type: ignore[misc]
    """Whatever touches a tensor ends what it sees, windows or not: sequences that slide are all alike."""

    def closes(self, t: int, d: int) -> int:
        return int(self.touches[t, d] != 0)


def test_without_sequences_that_slide_it_misses(windows: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    assert missed(windows, OneSequence, monkeypatch) > 0


class OwnTooHigh(Proof):
    def own(self, *row: Any) -> float:
        return float(1.2 * super().own(*row))


class NearTooHigh(Proof):
    def near(self, *row: Any) -> float:
        return float(1.2 * super().near(*row))


class InsideTooHigh(Proof):
    def gather(self, level: int) -> None:
        super().gather(level)
        self.inside[level - 1] *= 1.2


class OutsideTooHigh(Proof):
    def reach_out(self, level: int) -> None:
        super().reach_out(level)
        self.outside[level + 1] *= 1.2


class RunTooShort(Proof):
    def look_outward(self, level: int) -> None:
        super().look_outward(level)
        self.run_on[level] = 1.0


class NarrowTooFar(Proof):
    def narrow(self) -> int:
        limit, self.limit_pj = self.limit_pj, 0.9 * self.limit_pj
        left = super().narrow()
        self.limit_pj = limit
        return int(left)


class FreshTooMuch(Proof):
    def fill_fresh(self, place: int, *loops: Any) -> None:
        super().fill_fresh(place, *loops)
        self.window[place] = 1.0


class BeyondTooHigh(Proof):
    def find_deep(self) -> None:
        super().find_deep()
        self.deep_pj *= 2.0


class NeverHeld(Proof):
    def gather_low(self, level: int) -> None:
        super().gather_low(level)
        self.held[:, level - 1] = float("inf")


SABOTAGE = [OwnTooHigh, NearTooHigh, InsideTooHigh, OutsideTooHigh, RunTooShort, NarrowTooFar, FreshTooMuch]


@pytest.mark.parametrize("tree", SABOTAGE)
def test_with_a_bound_too_high_it_misses(
    tree: Any, cases: Known, windows: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert missed(windows if tree is FreshTooMuch else cases, tree, monkeypatch) > 0


class LentTooHigh(Tree):  # type: ignore[misc]
    """What a choice of bypasses would find, as another one tells it."""

    def borrow(self, lender: Any) -> float:
        return float(2.0 * super().borrow(lender))


@pytest.mark.parametrize("tree", [BeyondTooHigh, NeverHeld, LentTooHigh])
def test_with_deep_tensors_brought_too_often_it_misses(tree: Any, deep: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    assert missed(deep, tree, monkeypatch) > 0


class TooSlow(Tree):  # type: ignore[misc]
    """Cycles of what is not yet complete are too many."""

    def cycles(self, level: int) -> float:
        return float((1.2 if level < self.levels else 1.0) * super().cycles(level))


def test_with_a_bound_on_cycles_too_high_it_misses(cases: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    assert missed(cases, TooSlow, monkeypatch, "latency") > 0


def blind(problem: Problem) -> Accelerator:
    """The accelerator of a problem with every axis open to all dims."""
    levels = tuple(
        replace(x, axes=tuple(replace(a, dims=None) for a in x.axes)) if isinstance(x, Array) else x
        for x in problem.accelerator.levels
    )
    return replace(problem.accelerator, levels=levels)


def test_a_wrong_mirror_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = convolution("layer", m=1, c=1, p=2, q=2)
    array = Array("row", (Axis("x", 2, frozenset("P")),), frozenset(["weight"]), frozenset(), True)
    levels = (Memory("dram", None, EVERY, 16), array, Memory("word", 48, EVERY, 16))
    accelerator = Accelerator("rows", "test", levels, Compute(), 1e9)
    moves = [("dram", "read"), ("dram", "write"), ("word", "read"), ("word", "write"), ("row", "transfer")]
    prices = {(where, action, "*"): Price(10.0 * (where == "dram"), "test", "table", 16) for where, action in moves}
    table = EnergyTable({("mac", "mac", "compute"): Price(1.0, "test", "table"), **prices}, idle_power_w=1.0)
    one = known(iter([(layer, accelerator, table)]))
    # 4 inputs, 4 outputs and a weight at 10 pJ, 4 MACs at 1, and 2 steps of 1 W at 1 GHz: 1,000 pJ each
    assert one[0][1].least_energy == pytest.approx(90 + 4 + 2000)
    assert missed(one, Proof, monkeypatch) == 0
    whole = Problem.mirror.func  # type: ignore[attr-defined]
    monkeypatch.setattr(Problem, "mirror", property(lambda self: whole(replace(self, accelerator=blind(self)))))
    assert missed(one, Proof, monkeypatch) == 1
