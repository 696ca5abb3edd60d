"""The best mapping of layers with shared weights, against every mapping there is; and what must hold whatever it is."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from energysim.errors import InputError
from energysim.hardware.accelerator import Accelerator, EnergyTable
from energysim.mapping.counts import UNIT, count
from energysim.mapping.search import energy_pj, find_mapping
from energysim.workload.layer import Layer, convolution
from tests.mapping.shared import every_mapping, machine, random_shared, shape_of, shared
from tests.mapping.test_sharing import inside, unit


def least_of_all(layer: Layer, accelerator: Accelerator, table: EnergyTable) -> float:
    costs = (
        energy_pj(layer, accelerator, table, nest, count(layer, accelerator, nest))
        for nest in every_mapping(layer, accelerator)
    )
    return min(costs)


def small_case(seed: int, style: str) -> tuple[Layer, Accelerator, EnergyTable]:
    """A case with few mappings."""
    random = Random(seed)
    while True:
        layer = random_shared(random, points=40)
        accelerator, table = machine(random, style, random.choice([2, 1 << 10]))
        if sum(size > 1 for size in layer.dims.values()) <= 3 and len(accelerator.levels) <= 3:
            return layer, accelerator, table


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("style", ["storage", "product"])
def test_no_mapping_is_better(seed: int, style: str) -> None:
    layer, accelerator, table = small_case(seed, style)
    least = least_of_all(layer, accelerator, table)
    found = find_mapping(layer, accelerator, table)
    assert found.lower_bound_pj <= least * (1 + 1e-9)
    assert found.energy_pj == pytest.approx(least, rel=1e-9)
    weight = layer.tensor("weight")
    assert weight is not None
    assert weight.codebook is not None
    if not weight.codebook.zero_share:
        # what units of nothing but zero samples write is not in the bound
        assert found.optimal


def test_fewer_products_held_never_cost_less() -> None:
    random = Random(3)
    layer = shared(
        convolution("layer", m=8, c=2, p=4, q=4, r=3, s=3), "row", np.arange(48).reshape(1, 8, 2, 3, 1) % 6, 6
    )
    accelerator, table = machine(random)
    sharing = accelerator.sharing
    assert sharing is not None
    energies = []
    for held in (1, 2, 4, 8, 64):
        changed = replace(accelerator, sharing=replace(sharing, products=held))
        energies.append(find_mapping(layer, changed, table).energy_pj)
    assert energies == sorted(energies, reverse=True)


def test_all_rows_distinct_needs_the_dense_multiplications() -> None:
    layer = convolution("layer", m=4, c=3, p=5, q=4, r=1, s=3)
    layer = shared(layer, "row", np.arange(12).reshape(shape_of(layer, "row")), 12)
    counted = count(layer, unit(), inside(layer, unit())).values
    assert counted["mac", "multiply", UNIT] == layer.macs


def test_one_output_channel_and_one_kernel_row_multiply_as_often_as_dense() -> None:
    layer = convolution("layer", m=1, c=6, p=5, q=4, r=1, s=3)
    layer = shared(layer, "row", np.zeros(shape_of(layer, "row"), dtype=int), 1)
    counted = count(layer, unit(), inside(layer, unit())).values
    assert counted["mac", "multiply", UNIT] == layer.macs


def test_fewer_clusters_never_multiply_more() -> None:
    layer = convolution("layer", m=16, c=3, p=5, q=4, r=3, s=3)
    rows = np.random.default_rng(0).integers(0, 1 << 20, shape_of(layer, "row"))
    multiplied = []
    for clusters in (1, 2, 4, 16, 64):
        made = shared(layer, "row", rows % clusters, clusters)
        multiplied.append(count(made, unit(), inside(made, unit())).values["mac", "multiply", UNIT])
    assert multiplied == sorted(multiplied)
    assert multiplied[-1] <= layer.macs


@pytest.mark.parametrize("objective", ["latency", "edp"])
def test_what_is_not_searched_with_shared_products_is_refused(objective: str) -> None:
    layer = shared(convolution("layer", m=2, c=1, p=2, q=2), "scalar", np.zeros((1, 2, 1, 1, 1), dtype=int), 1)
    accelerator, table = machine(Random(1))
    with pytest.raises(InputError, match=f"objective '{objective}' is not searched there"):
        find_mapping(layer, accelerator, table, objective=objective)
