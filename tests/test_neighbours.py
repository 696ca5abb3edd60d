"""Neighbours of found mappings: none is cheaper than a proven result, and the checker itself is not blind."""

from dataclasses import replace

import pytest

from bench.neighbours import cheaper_neighbours
from energysim.hardware.accelerator import Accelerator, EnergyTable, Memory
from energysim.hardware.read import read_accelerator
from energysim.mapping.counts import count
from energysim.mapping.nest import Loop, even, problems
from energysim.mapping.search import SearchResult, energy_pj, find_mapping
from energysim.workload.layer import Layer, convolution

LAYERS = {
    "3x3": convolution("3x3", m=64, c=32, p=28, q=28, r=3, s=3),
    "strided": convolution("strided", m=32, c=48, p=14, q=14, r=3, s=3, stride=(2, 2)),
    "1x1": convolution("1x1", m=96, c=64, p=14, q=14),
    "depthwise": convolution("depthwise", g=48, m=1, c=1, p=28, q=28, r=3, s=3),
    "matmul": convolution("matmul", n=16, m=120, c=84, p=1, q=1),
}


def slow_mapping(layer: Layer, accelerator: Accelerator, table: EnergyTable, found: SearchResult) -> SearchResult:
    """A legal mapping far from the best: every loop at the outermost memory; claimed proven."""
    blocks = {accelerator.memories[0].name: tuple(Loop(d, n) for d, n in layer.dims.items() if n > 1)}
    mapping = even(accelerator, layer, blocks)
    assert problems(layer, accelerator, mapping) == ()
    counts = count(layer, accelerator, mapping)
    energy = energy_pj(layer, accelerator, table, mapping, counts)
    return replace(found, mapping=mapping, counts=counts, energy_pj=energy, lower_bound_pj=energy, optimal=True)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("accelerator", ["eyeriss", "nvdla"])
def test_no_neighbour_of_a_result_beats_what_is_proven(name: str, accelerator: str) -> None:
    described = read_accelerator(accelerator)
    found = find_mapping(LAYERS[name], described.accelerator, described.table)
    near = cheaper_neighbours(LAYERS[name], described.accelerator, described.table, found, rounds=6, batch=200)
    assert not [each for each in near if each.bug]
    assert not (found.optimal and near)


@pytest.mark.parametrize("uneven", [False, True])
def test_a_poor_mapping_with_a_false_proof_is_found_out(uneven: bool) -> None:
    layer, described = LAYERS["3x3"], read_accelerator("eyeriss")
    found = find_mapping(layer, described.accelerator, described.table)
    poor = slow_mapping(layer, described.accelerator, described.table, found)
    near = cheaper_neighbours(layer, described.accelerator, described.table, poor, rounds=6, batch=100, uneven=uneven)
    assert near
    assert all(each.bug and each.energy_pj < poor.energy_pj for each in near)
    assert [each.energy_pj for each in near] == sorted(each.energy_pj for each in near)


def test_sending_a_tensor_past_a_memory_is_among_the_neighbours() -> None:
    # On Eyeriss weights may pass the global buffer; the poor mapping keeps them there.
    layer, described = LAYERS["1x1"], read_accelerator("eyeriss")
    found = find_mapping(layer, described.accelerator, described.table)
    poor = slow_mapping(layer, described.accelerator, described.table, found)
    near = cheaper_neighbours(layer, described.accelerator, described.table, poor, rounds=12, batch=50)
    buffer = next(m for m in described.accelerator.memories if isinstance(m, Memory) and m.bypassable)
    assert {buffer.name in each.mapping.keepers("weight") for each in near} == {False, True}


def test_the_same_seed_gives_the_same_neighbours() -> None:
    layer, described = LAYERS["1x1"], read_accelerator("eyeriss")
    found = find_mapping(layer, described.accelerator, described.table)
    poor = slow_mapping(layer, described.accelerator, described.table, found)
    arguments = (layer, described.accelerator, described.table, poor)
    one, two = (cheaper_neighbours(*arguments, rounds=3, batch=50, seed=7) for _ in range(2))
    assert one == two
    assert one
