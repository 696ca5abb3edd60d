"""Constraints of the user's own: a mapping worked on paper, what breaks them, what contradicts what, and why not."""

from dataclasses import replace
from math import prod
from random import Random
from typing import Any, get_args

import pytest

from energysim.errors import InputError, NothingFitsError, UnknownNameError
from energysim.estimate import estimate
from energysim.hardware.accelerator import Memory
from energysim.hardware.read import read_accelerator
from energysim.mapping.constraints import (
    WHOLE,
    AxisDims,
    DimAxes,
    Residence,
    Restriction,
    SpreadLimit,
    TileLimit,
    Untiled,
    check_restrictions,
    violations,
)
from energysim.mapping.dataflows import dataflow
from energysim.mapping.nest import Loop, Mapping, even
from energysim.mapping.search import Limits, SearchResult, find_mapping
from energysim.mapping.search_cache import search_key
from energysim.mapping.search_problem import Problem
from energysim.mapping.search_space import Lattice
from energysim.mapping.search_tables import Tables
from energysim.mapping.tilings import bypasses
from energysim.workload.graph import LayerGraph
from energysim.workload.layer import DIMS, ROLES, Layer, convolution
from tests.costs.examples import machine, mapping, matmul, prices
from tests.mapping import test_constraints_brute as brute

EYERISS = read_accelerator("eyeriss")
CONV = convolution("conv", m=32, c=16, p=14, q=14, r=3, s=3)


def search(*asked: Restriction, layer: Layer = CONV, flow: str = "unconstrained") -> SearchResult:
    return find_mapping(layer, EYERISS.accelerator, EYERISS.table, dataflow=flow, constraints=asked)


def broken(mapped: Mapping, asked: Restriction) -> tuple[str, ...]:
    return violations(dataflow("unconstrained", [asked]), CONV, EYERISS.accelerator, mapped)


def test_constraints_that_leave_one_mapping() -> None:
    # M is 4: 2 loops in DRAM, 2 instances, a tile of 1; C is 2 and whole: the mapping that tests/costs/examples counts
    asked = (TileLimit("spad", "M", 1, 1), SpreadLimit("pe", "M", 2, 2), TileLimit("spad", "C", WHOLE))
    result = find_mapping(matmul(), machine(), prices(), constraints=asked)
    assert result.mapping == mapping(matmul(), machine())
    # DRAM (10 + 4) * 100, array 16 * 2, spads (12 + 4 + 20 + 8) * 1, 8 MACs
    assert result.energy_pj == 1400 + 32 + 44 + 8
    assert result.optimal
    # free, the spad of one instance takes all, and less crosses the array
    assert find_mapping(matmul(), machine(), prices()).energy_pj < result.energy_pj


def test_violations_name_each_constraint() -> None:
    blocks = {
        "dram": (Loop("M", 2), Loop("P", 14)),
        "global_buffer": (Loop("Q", 7), Loop("C", 4)),
        "pe": (Loop("Q", 2, "pe.x"), Loop("C", 4, "pe.y")),
        "spad": (Loop("M", 16), Loop("R", 3), Loop("S", 3)),
    }
    mapped = even(EYERISS.accelerator, CONV, blocks, {"global_buffer": frozenset(["weight"])})
    for asked, said in (
        (TileLimit("spad", "M", WHOLE), "the tile of M in spad is 16, but 'spad holds M whole'"),
        (TileLimit("spad", "M", 1, 8), "the tile of M in spad is 16, but 'the tile of M in spad is at most 8'"),
        (TileLimit("global_buffer", "Q", 1, 7, "a:3"), "Q in global_buffer is 14, but a:3 (the tile of Q in global"),
        (SpreadLimit("pe", "C", 8), "C is spread over 4 on pe, but 'C is spread over at least 8 on pe'"),
        (Untiled("global_buffer", "Q"), "global_buffer has a loop over Q, but 'global_buffer has no loop over Q'"),
        (AxisDims("pe", "y", frozenset("MR")), "C is spread on pe.y, but 'pe.y takes M, R only'"),
        (DimAxes("pe", "Q", frozenset("y")), "Q is spread on pe.x, but 'Q is spread on y of pe only'"),
        (Residence("global_buffer", "weight", True), "weight bypasses global_buffer, but 'global_buffer keeps weight'"),
        (Residence("global_buffer", "input", False), "keeps input, but 'input bypasses global_buffer'"),
    ):
        (why,) = broken(mapped, asked)
        assert said in why
    for met in (
        TileLimit("spad", "M", 16, 16),
        TileLimit("spad", "N", 4),  # one image is all there are
        SpreadLimit("pe", "C", 2, 4),
        Untiled("global_buffer", "P"),
        AxisDims("pe", "y", frozenset("C")),
        DimAxes("pe", "Q", frozenset("x")),
        Residence("global_buffer", "weight", False),
    ):
        assert broken(mapped, met) == ()


def test_a_loop_of_a_memory_that_holds_nothing_belongs_to_the_next_outside() -> None:
    pool = replace(matmul(), tensors=tuple(t for t in matmul().tensors if t.role != "weight"), unit="op")
    weights = Memory("weights", 64, frozenset(["weight"]), 16)
    accelerator = replace(machine(), levels=(*machine().levels[:2], weights, machine().levels[2]))
    mapped = even(accelerator, pool, {"weights": (Loop("M", 4),), "spad": (Loop("C", 2),)})
    for memory, number in (("weights", 0), ("dram", 1)):
        asked = dataflow("unconstrained", [Untiled(memory, "M"), TileLimit("weights", "M", WHOLE)])
        assert len(violations(asked, pool, accelerator, mapped)) == number


@pytest.mark.parametrize(
    "asked",
    [
        TileLimit("spad", "S", WHOLE),
        TileLimit("spad", "M", 4, 4),
        DimAxes("pe", "P", frozenset("x")),
        Untiled("global_buffer", "P"),
        Residence("global_buffer", "weight", True),
    ],
    ids=str,
)
def test_a_constraint_restricts_a_real_layer_and_never_gains(asked: Restriction) -> None:
    free, result = search(), search(asked)
    assert broken(result.mapping, asked) == ()
    assert result.energy_pj >= free.energy_pj * (1 - 1e-9)
    assert result.lower_bound_pj <= result.energy_pj
    if not broken(free.mapping, asked):
        assert result.energy_pj == pytest.approx(free.energy_pj, rel=1e-9)


@pytest.mark.parametrize("flow", ["unconstrained", "row_stationary"])
def test_what_a_mapping_has_as_constraints_finds_it_again(flow: str) -> None:
    free = search(flow=flow)
    asked: list[Restriction] = []
    for i, item in enumerate(free.mapping.nest):
        if not isinstance(item, Loop) and item.memory != "dram":
            asked += [TileLimit(item.memory, d, n, n) for d, n in free.mapping.tile(i, CONV.dims).items()]
    for d in DIMS:
        n = prod(loop.bound for loop in free.mapping.loops if loop.dim == d and loop.axis)
        asked.append(SpreadLimit("pe", d, n, n))
    again = search(*asked)
    assert again.energy_pj == pytest.approx(free.energy_pj, rel=1e-9)
    assert again.optimal


def test_constraints_and_dataflow_hold_together() -> None:
    asked = TileLimit("spad", "M", 1, 8)
    result = search(asked, flow="row_stationary")
    both = dataflow("row_stationary", [asked])
    assert violations(both, CONV, EYERISS.accelerator, result.mapping) == ()
    assert result.energy_pj >= search(flow="row_stationary").energy_pj


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (TileLimit("spadd", "M", 2), "unknown memory 'spadd'; did you mean 'spad'?"),
        (Untiled("pe", "M"), "unknown memory 'pe'"),
        (TileLimit("spad", "X", 2), "unknown dim 'X'; known: C, D, G, M, N, P, Q, R, S, T"),
        (SpreadLimit("pee", "M", 2), "unknown array 'pee'; did you mean 'pe'?"),
        (AxisDims("pe", "z", frozenset("M")), "unknown axis of pe 'z'; known: x, y"),
        (AxisDims("pe", "x", frozenset("MZ")), "unknown dim 'Z'"),
        (DimAxes("pe", "M", frozenset("xw")), "unknown axis of pe 'w'"),
        (Residence("spad", "wieght", True), "unknown role 'wieght'; did you mean 'weight'?"),
    ],
)
def test_unknown_names_offer_the_nearest(asked: Restriction, said: str) -> None:
    for one in (asked, replace(asked, where="my.yaml:7")):
        with pytest.raises(UnknownNameError) as caught:
            search(one)
        assert str(caught.value).startswith((f"{one.where}: " if one.where else "") + said)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Residence("spad", "weight", False, "a:1"), "a:1: weight may not bypass spad of eyeriss"),
        (TileLimit("dram", "M", 2, 2, "a:1"), "a:1: dram is the outermost memory of eyeriss: it holds all dims whole"),
        (TileLimit("spad", "M", 4, 2, "a:1"), "a:1: M: at_least 4 is above at_most 2"),
        (TileLimit("spad", "M", 0), "a limit must be an integer of at least 1, not 0"),
        (SpreadLimit("pe", "M", 1, True), "a limit must be an integer of at least 1, not True"),
    ],
)
def test_what_can_never_be_met_is_refused(asked: Restriction, said: str) -> None:
    with pytest.raises(InputError) as caught:
        search(asked)
    assert str(caught.value) == said


def test_a_role_that_is_not_kept_cannot_be() -> None:
    with pytest.raises(InputError, match="a:1: global_buffer of simba does not keep weight"):
        check_restrictions([Residence("global_buffer", "weight", True, "a:1")], read_accelerator("simba").accelerator)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Residence("global_buffer", "weight", True, "a:1"), Residence("global_buffer", "weight", False, "a:2")),
        (TileLimit("spad", "M", 4, None, "a:1"), TileLimit("spad", "M", 1, 3, "a:2")),
        (SpreadLimit("pe", "M", 1, 2, "a:1"), SpreadLimit("pe", "M", 3, 3, "a:2")),
    ],
)
def test_two_that_exclude_each_other_are_named(one: Restriction, other: Restriction) -> None:
    with pytest.raises(InputError) as caught:
        search(TileLimit("spad", "S", WHOLE), one, other)
    assert str(caught.value) == f"a:1 ({one}) and a:2 ({other}) exclude each other"


def why(*asked: Restriction, layer: Layer = CONV, flow: str = "unconstrained") -> str:
    with pytest.raises(NothingFitsError) as caught:
        search(*asked, layer=layer, flow=flow)
    return str(caught.value).removeprefix(f"layer '{layer.name}' on eyeriss: nothing fits: ")


def test_two_that_exclude_each_other_on_a_layer_are_named_and_no_third() -> None:
    idle = TileLimit("spad", "S", WHOLE, where="a:1"), Untiled("global_buffer", "N", "a:2")
    whole, small = TileLimit("spad", "M", WHOLE, where="a:3"), TileLimit("global_buffer", "M", 1, 16, "a:4")
    assert why(*idle, whole, small, layer=convolution("conv", m=24, c=8, p=4, q=4)) == (
        "no tiling of M (24 points) is left, under a:3 (spad holds M whole) and "
        "a:4 (the tile of M in global_buffer is at most 16), which exclude each other"
    )
    # a layer of 16 filters meets both
    assert search(*idle, whole, small, layer=convolution("conv", m=16, c=8, p=4, q=4)).optimal
    spread = SpreadLimit("pe", "R", 3, 3)
    assert why(*idle, spread, DimAxes("pe", "R", frozenset())).endswith(
        "'R is spread over 3 on pe' and 'R is spread on no axis of pe only', which exclude each other"
    )
    assert "under dataflow row_stationary and 'the tile of P in spad is at least 2', which" in why(
        *idle, TileLimit("spad", "P", 2), flow="row_stationary"
    )


def test_one_that_cannot_be_met_is_named_with_the_size() -> None:
    assert why(Untiled("global_buffer", "N"), TileLimit("spad", "M", 5, 5, "a:4")) == (
        "no tiling of M (32 points) is left, under a:4 (the tile of M in spad is 5)"
    )
    # 256 is more than 12 x 14; M has 512 points, so it is not met by all of them either
    assert why(SpreadLimit("pe", "M", 256), layer=convolution("wide", m=512, c=1, p=1, q=1)).startswith(
        "no tiling of M (512 points) is left, under 'M is spread over at least 256 on pe'"
    )


def test_the_memory_that_binds_is_named_with_the_smallest_tile() -> None:
    # one input of each of 16 channels, 16 bits each, where there is room for 12
    whole = [TileLimit("spad", d, WHOLE, where=f"a:{i}") for i, d in enumerate("CRS")]
    assert why(TileLimit("spad", "N", WHOLE), *whole[1:], whole[0]).startswith(
        "the smallest input tile that spad would have to hold take 256 bits, it has 192, under a:0 (spad holds C whole)"
    )
    # without C, 9 of 12 words are taken
    assert search(*whole[1:]).mapping


def test_the_array_that_binds_is_named() -> None:
    asked = SpreadLimit("pe", "M", 16, 16, "a:1"), SpreadLimit("pe", "C", 16, 16, "a:2")
    assert why(*asked) == (
        "pe (x 14 x y 12) would have to spread M over 16 and C over 16, under "
        "a:1 (M is spread over 16 on pe) and a:2 (C is spread over 16 on pe), which exclude each other"
    )


def test_what_only_all_together_leave_out_names_all() -> None:
    """M and C must each lie in the spad or on the array; either has room for one, so each is met alone."""
    layer = convolution("corner", m=2, c=2, p=1, q=1)
    accelerator = replace(machine(), levels=(*machine().levels[:2], Memory("spad", 48, frozenset(ROLES), 16)))
    asked = Untiled("dram", "M", "a:1"), Untiled("dram", "C", "a:2")
    for one in asked:
        assert find_mapping(layer, accelerator, prices(), constraints=[one]).optimal
    with pytest.raises(NothingFitsError) as caught:
        find_mapping(layer, accelerator, prices(), constraints=asked)
    assert str(caught.value) == (
        "layer 'corner' on paper: nothing fits: no mapping under a:1 (dram has no loop over M) and "
        "a:2 (dram has no loop over C) exists"
    )


def test_a_search_that_forgets_memories_without_loops_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sabotage: where a tile does not tie the level inside it, the comparison with brute force fails."""
    forgetful = Tables._untiled
    monkeypatch.setattr(Tables, "_untiled", lambda self: 0 * forgetful(self))
    with pytest.raises(AssertionError):
        sum(brute.finds_the_best(seed) for seed in range(80))


def test_a_mirror_that_constraints_break_is_no_mirror() -> None:
    layer = convolution("square", m=2, c=2, p=4, q=4)

    def mirror(*asked: Restriction) -> bool:
        (*_, bypass) = bypasses(layer, EYERISS.accelerator)
        lattice = Lattice(layer, tuple(layer.dims[d] for d in DIMS))
        constraints = dataflow("unconstrained", asked)
        return Problem(layer, EYERISS.accelerator, EYERISS.table, constraints, bypass, lattice).mirror is not None

    assert mirror()
    assert not mirror(TileLimit("spad", "P", 2))
    assert mirror(TileLimit("spad", "P", 2), TileLimit("spad", "Q", 2))
    assert not mirror(DimAxes("pe", "P", frozenset("x")))


def test_every_kind_is_compared_with_brute_force() -> None:
    drawn = {type(each) for seed in range(100) for each in brute.case(seed)[-1]}
    assert drawn == set(get_args(Restriction)), "draw the new kind in tests/mapping/test_constraints_brute.py"


@pytest.mark.parametrize("wrong", ["c.yaml", ["spad"], [None], ({"memories": {}},)])
def test_constraints_that_are_none_are_refused(wrong: Any) -> None:
    for run in (
        lambda: find_mapping(CONV, EYERISS.accelerator, EYERISS.table, constraints=wrong),
        lambda: estimate(LayerGraph("one", (CONV,)), EYERISS, constraints=wrong),
    ):
        with pytest.raises(InputError, match="constraints must be what read_constraints returns, not"):
            run()


def test_constraints_are_in_the_key_and_their_place_is_not() -> None:
    nouns = matmul(), machine(), prices()

    def key(*asked: Restriction) -> str:
        return search_key(*nouns, dataflow("unconstrained", asked), "energy", Limits())

    random = Random(0)
    some = [brute.restriction(random, nouns[0], nouns[1]) for _ in range(40)]
    keys = {key(each) for each in some}
    assert len(keys) == len(set(some)) > 15
    assert key() not in keys
    assert key(replace(some[0], where="a:1")) == key(some[0])
