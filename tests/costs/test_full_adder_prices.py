"""Compute priced by full adders: a 4 x 8-bit MAC costs what its adders cost, everywhere the price is used."""

from dataclasses import replace
from math import fsum

import numpy as np
import pytest

from energysim.costs.full_adders import full_adders
from energysim.costs.least import least_energy_pj
from energysim.costs.ledger import ledger
from energysim.costs.prices import energy_by_key
from energysim.errors import InputError
from energysim.estimate import estimate
from energysim.hardware.accelerator import EnergyTable, Price
from energysim.hardware.read import DescribedAccelerator, parse_accelerator, read_accelerator, to_yaml
from energysim.mapping.counts import count
from energysim.workload.encoding import Indices
from energysim.workload.graph import LayerGraph
from energysim.workload.layer import Layer, convolution
from energysim.workload.operations import pooling
from energysim.workload.planned import with_clusters
from energysim.workload.precision import Bits, parse_bits, with_bits
from energysim.workload.read import read_model
from energysim.yaml_nodes import load
from tests.costs.examples import machine, mapping, matmul, prices


def by_adder(gated: bool = False) -> EnergyTable:
    """The prices of the example, 0.5 pJ a full adder."""
    table = dict(prices().prices)
    for action in ("mac", "op", *(["gated"] * gated)):
        table["mac", action, "*"] = Price(0.5, "chosen for adders", "table", None, True)
    return EnergyTable(table, 0.0, "chosen for idling", "published")


def at(bits: Bits, layer: Layer) -> Layer:
    return with_bits(LayerGraph("a", (layer,)), bits).layers[0]


def test_a_dot_product_costs_its_full_adders() -> None:
    # 4 outputs of 2 terms at 4 x 8 bits: 2*32 products + (8 + 4 + 1 - 1) = 76 adders each
    layer, accelerator = at(Bits(4, 8), matmul()), machine()
    assert full_adders(layer) == 4 * 76
    nest = mapping(layer, accelerator)
    counts = count(layer, accelerator, nest)
    energies = energy_by_key(counts, layer, accelerator, by_adder(), nest)
    assert energies["mac", "mac", "compute"] == pytest.approx(0.5 * 4 * 76)
    lines = ledger(layer, accelerator, by_adder(), nest, counts)
    (mac,) = [entry for entry in lines if entry.component == "mac"]
    assert (mac.count, mac.full_adders, mac.bits) == (8, 38.0, 0.0)
    assert mac.energy_pj == pytest.approx(mac.count * mac.full_adders * mac.price.pj)
    assert all(entry.full_adders == 0.0 for entry in lines if entry is not mac)


def test_suppressed_operations_by_adder_too() -> None:
    layer, accelerator = at(Bits(4, 8), matmul(density=0.25)), machine(gates=frozenset({"input"}))
    layer = replace(layer, tensors=tuple(replace(t, density=0.25 if t.role == "input" else 1) for t in layer.tensors))
    nest = mapping(layer, accelerator)
    for gated, pj in ((True, 0.5 * 38), (False, 0.25)):
        (mac,) = [
            entry
            for entry in ledger(layer, accelerator, by_adder(gated), nest, count(layer, accelerator, nest))
            if entry.component == "mac"
        ]
        assert mac.gated_pj == pj
        assert mac.energy_pj == pytest.approx(8 * (0.25 * 0.5 * 38 + 0.75 * pj))


def test_plain_operations_cost_an_adder_a_bit() -> None:
    layer = at(Bits(8, 8), pooling("pool", "max_pool", {"M": 2, "P": 2, "Q": 2, "R": 2, "S": 2}, (2, 2)))
    chip = read_accelerator("eyeriss_full_adders")
    row = estimate(LayerGraph("a", (layer,)), chip).layers[0]
    assert row.energy_by_component_pj["mac"]["compute"] == pytest.approx(2 * 16 * 8 * 0.005786)


def test_compute_energy_of_a_network_is_its_full_adders_times_the_price() -> None:
    chip = read_accelerator("eyeriss_full_adders")
    result = estimate(read_model("lenet_caffe5"), chip, bits="w4a8")
    assert fsum(result.totals.energy_by_component_pj["mac"].values()) == pytest.approx(
        result.totals.full_adders * 0.005786
    )
    for row in result.layers:
        assert row.lower_bound_pj <= row.energy_pj * (1 + 1e-9)
        assert row.optimal
    assert any(price.per_full_adder for price in result.prices)
    assert type(result).from_json(result.to_json()) == result


def test_more_bits_never_cost_less() -> None:
    chip, graph = read_accelerator("eyeriss_full_adders"), read_model("lenet_caffe5")
    found = {(w, a): estimate(graph, chip, bits=f"w{w}a{a}p16").totals.energy_pj for w in (2, 4, 8) for a in (4, 8, 16)}
    for (w, a), pj in found.items():
        assert all(more >= pj for (v, b), more in found.items() if v >= w and b >= a)


def test_bits_change_fixed_prices_of_operations_not_at_all() -> None:
    layer = matmul()
    accelerator, table = machine(), prices()
    least = {b: least_energy_pj(at(parse_bits(b), layer), accelerator, table) for b in ("8", "16")}
    by = {b: least_energy_pj(at(parse_bits(b), layer), accelerator, by_adder()) for b in ("8", "16")}
    # 8 MACs at 1 pJ give way to 4 outputs' full adders at 0.5 pJ
    assert by["8"] - least["8"] == pytest.approx(0.5 * 4 * (2 * 64 + 16) - 8)
    assert by["16"] - least["16"] == pytest.approx(0.5 * 4 * (2 * 256 + 32) - 8)


def test_the_file_says_per_full_adder_and_reads_back(tmp_path) -> None:
    chip = read_accelerator("eyeriss_full_adders")
    file = tmp_path / "again.yaml"
    file.write_text(to_yaml(chip))
    again = parse_accelerator(load(file), "again")
    assert DescribedAccelerator(again.accelerator, again.table) == DescribedAccelerator(chip.accelerator, chip.table)
    assert chip.table.scaled(2.0).price("mac", "mac", "compute") == replace(
        chip.table.prices["mac", "mac", "*"], pj=2 * 0.005786
    )


def test_a_wrong_per_is_named(tmp_path) -> None:
    text = to_yaml(read_accelerator("eyeriss_full_adders"))
    file = tmp_path / "wrong.yaml"
    file.write_text(text.replace("per: full_adder", "per: full_ader", 1))
    with pytest.raises(InputError, match=r"wrong.yaml:\d+: .*did you mean 'full_adder'"):
        read_accelerator(file)


def test_shared_products_cost_the_full_adders_that_are_left() -> None:
    chip = read_accelerator("eyeriss_products")
    table = dict(chip.table.prices)
    for action in ("mac", "op", "multiply", "add"):
        table["mac", action, "*"] = Price(0.5, "chosen for adders", "table", None, True)
    by_adders = DescribedAccelerator(chip.accelerator, replace(chip.table, prices=table))
    layer = with_clusters(convolution("conv", m=8, c=2, p=4, q=4, r=3, s=3), 4)
    indices = Indices(np.arange(8 * 2 * 3).reshape(1, 8, 2, 3, 1) % 4)
    tensors = (replace(t, codebook=t.codebook and replace(t.codebook, indices=indices)) for t in layer.tensors)
    graph = with_bits(LayerGraph("a", (replace(layer, tensors=tuple(tensors)),)), Bits(4, 8))
    row = estimate(graph, by_adders).layers[0]
    assert row.counts["mac"].keys() == {"add", "multiply"}
    assert row.full_adders < full_adders(graph.layers[0])
    assert row.energy_by_component_pj["mac"]["compute"] == pytest.approx(row.full_adders * 0.5)
