"""The ledger of the machine worked on paper in `examples`: every line is count x price."""

from math import fsum

import pytest

from energysim.costs.ledger import Entry, counts_by_component, energy_by_component, ledger
from energysim.costs.prices import energy_by_key
from energysim.errors import InputError
from energysim.hardware.accelerator import EnergyTable
from energysim.mapping.counts import count
from tests.costs.examples import machine, mapping, matmul, prices


def entries(density: float = 1.0, gates: frozenset[str] = frozenset()) -> tuple[Entry, ...]:
    layer, accelerator = matmul(density), machine(gates=gates)
    nest = mapping(layer, accelerator)
    return ledger(layer, accelerator, prices(), nest, count(layer, accelerator, nest))


def test_energy_on_paper() -> None:
    assert energy_by_component(entries()) == {
        "dram": {"input": 200.0, "weight": 800.0, "output": 400.0},
        "pe": {"input": 8.0, "output": 8.0, "weight": 16.0},
        # weights: 8 filled + 8 read; inputs: 4 + 8; outputs: 4 written + 4 drained; partial sums: 4 + 4
        "spad": {"weight": 16.0, "input": 12.0, "output": 8.0, "partial_sum": 8.0},
        "mac": {"compute": 8.0},
    }


def test_gating_suppresses_macs_and_what_they_read_and_write() -> None:
    found = energy_by_component(entries(density=0.5, gates=frozenset({"input"})))
    # half of 8 MACs at 1 pJ, the other half gated at 0.25 pJ
    assert found["mac"] == {"compute": 4 * 1.0 + 4 * 0.25}
    # fills and drains stay; what the MAC reads and writes is halved
    assert found["spad"] == {"weight": 8 + 4.0, "input": 4 + 4.0, "output": 4 + 2.0, "partial_sum": 2.0 + 2.0}
    assert found["dram"] == {"input": 200.0, "weight": 800.0, "output": 400.0}


@pytest.mark.parametrize("density", [1.0, 0.37])
def test_every_line_is_count_times_price(density: float) -> None:
    for entry in entries(density, frozenset({"input"})):
        per_element = entry.price.pj * entry.active_share
        if entry.price.width_bits:
            per_element *= entry.bits / entry.price.width_bits
        if entry.gated:
            per_element += entry.gated.pj * (1 - entry.active_share)
        assert entry.energy_pj == pytest.approx(entry.count * per_element, rel=1e-12)


def test_the_ledger_holds_all_energy_and_all_counts() -> None:
    layer, accelerator = matmul(), machine()
    nest = mapping(layer, accelerator)
    counts = count(layer, accelerator, nest)
    found = ledger(layer, accelerator, prices(), nest, counts)
    energies = energy_by_key(counts, layer, accelerator, prices(), nest)
    assert fsum(entry.energy_pj for entry in found) == fsum(energies.values())
    assert sum(entry.count for entry in found) == sum(counts.values.values())
    assert counts_by_component(found)["spad"]["read"] == {"weight": 8, "input": 8, "partial_sum": 4}
    assert [entry.component for entry in found] == sorted(
        (entry.component for entry in found), key=["dram", "pe", "spad", "mac"].index
    )


def test_a_missing_price_is_named() -> None:
    layer, accelerator = matmul(), machine()
    nest = mapping(layer, accelerator)
    table = EnergyTable({key: price for key, price in prices().prices.items() if key[0] != "spad"})
    with pytest.raises(InputError, match=r"no price for spad\.(read|write) of "):
        ledger(layer, accelerator, table, nest, count(layer, accelerator, nest))
