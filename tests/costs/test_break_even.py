"""Where sharing products starts to pay: worked by hand, and a layer on each side."""

from dataclasses import replace
from math import inf

import numpy as np
import pytest

from energysim.costs.break_even import BreakEven, break_even, clusters_at_most
from energysim.hardware.accelerator import Accelerator, EnergyTable, Price
from energysim.mapping.counts import count
from energysim.mapping.distinct import products
from energysim.mapping.search import energy_pj, find_mapping
from energysim.mapping.sharing import tile_in
from energysim.workload.layer import Layer, convolution
from tests.mapping.shared import shape_of, shared
from tests.mapping.test_sharing import inside, unit


def table(multiply: float = 10.0) -> EnergyTable:
    """1 pJ for every 16-bit access, `multiply` and 1 pJ for arithmetic, 100 for DRAM."""
    names = ("spad", "codebook", "products", "dram")
    prices = {
        (name, action, "*"): Price(100.0 if name == "dram" else 1.0, "by hand", "table", 16)
        for name in names
        for action in ("read", "write")
    }
    for action, pj in (("mac", multiply + 1.0), ("multiply", multiply), ("add", 1.0), ("op", 1.0)):
        prices["mac", action, "*"] = Price(pj, "by hand", "table")
    return EnergyTable(prices)


def case(clusters: int, channels: int = 16) -> Layer:
    layer = convolution("layer", m=channels, c=2, p=4, q=4, r=3, s=3)
    rows = np.random.default_rng(1).integers(0, clusters, shape_of(layer, "row"))
    return shared(layer, "row", rows, clusters)


def point_of(layer: Layer, accelerator: Accelerator, prices: EnergyTable) -> BreakEven:
    nest = inside(layer, accelerator)
    found = products(layer, accelerator)
    assert found is not None
    requests = found.requests(tile_in(nest, "spad", layer))
    point = break_even(layer, accelerator, prices, nest, count(layer, accelerator, nest), requests)
    assert point is not None
    return point


def test_uses_needed_by_hand() -> None:
    # A product of 3 weights: 3 x (multiply 10 + look-up 1 + input 1), 2 additions, a write of 34 bits at 1/16 a bit.
    # A use: a read of 34 bits, an addition, a partial sum written and read. Looked up: 3 x (11 + 1 + 1 + 1 + 1).
    product = 3 * 12 + 2 + 34 / 16
    use = 34 / 16 + 1 + 2
    point = point_of(case(4), unit(), table())
    assert point.needed == pytest.approx(product / (45 - use))


def test_a_use_that_costs_more_than_looking_up_never_pays() -> None:
    prices = dict(table(0.0).prices) | {("products", "read", "*"): Price(100.0, "by hand", "table", 16)}
    point = point_of(case(2), unit(), EnergyTable(prices))
    assert point.needed == inf
    assert not point.pays


@pytest.mark.parametrize(("clusters", "pays"), [(2, True), (4096, False)])
def test_a_case_on_each_side(clusters: int, pays: bool) -> None:
    layer, accelerator = case(clusters), unit(4096)
    dear = {("products", action, "*"): Price(2.0, "by hand", "table", 16) for action in ("read", "write")}
    prices = EnergyTable(dict(table(0.5).prices) | dear)
    sharing = accelerator.sharing
    assert sharing is not None
    looks_up = replace(accelerator, sharing=replace(sharing, style="storage", products=0))
    assert point_of(layer, accelerator, prices).pays == pays
    # the same nest on both, and the best one of each
    nest = inside(layer, accelerator)
    energies = [energy_pj(layer, each, prices, nest, count(layer, each, nest)) for each in (accelerator, looks_up)]
    assert (energies[0] < energies[1]) == pays
    best = [find_mapping(layer, each, prices).energy_pj for each in (accelerator, looks_up)]
    assert (best[0] < best[1]) == pays


def test_clusters_at_most_by_hand() -> None:
    # Of 2 centroids 16 requests ask for 2 (1 - 1/2^16) = 1.99997: 8.0001 uses each; of 3 for 2.995: 5.34.
    assert clusters_at_most(16, 8.0) == 2
    assert clusters_at_most(16, 5.4) == 2
    assert clusters_at_most(16, 5.3) == 3
    assert clusters_at_most(16, 16.1) == 0
    assert clusters_at_most(16, 16.0) == 1
