"""The energy of a full adder against the published operators it comes from."""

from dataclasses import replace
from math import prod

import pytest

from energysim.hardware.full_adder_energy import operators, pj_per_full_adder
from energysim.hardware.read import read_accelerator


def test_one_full_adder() -> None:
    # 0.03/8 = 3.75, 0.1/32 = 3.125, 0.2/64 = 3.125, 3.1/1024 = 3.0273 fJ
    assert pj_per_full_adder() == pytest.approx(prod((3.75, 3.125, 3.125, 3100 / 1024)) ** 0.25 * 1e-3)
    assert pj_per_full_adder(65, 1.0) == pytest.approx(pj_per_full_adder() * 65 / 45 / 0.81)


def test_published_operators_within_fourteen_percent() -> None:
    found = {(one.operation, one.bits): one for one in operators()}
    published = {("add", 8): 0.03, ("add", 32): 0.1, ("multiply", 8): 0.2, ("multiply", 32): 3.1}
    assert {key: one.published_pj for key, one in found.items()} == published
    assert [one.full_adders for one in found.values()] == [8, 32, 64, 1024]
    assert max(abs(one.error) for one in found.values()) < 0.14
    # told by the three others: farther off, as it must be
    assert all(abs(one.held_out_error) > abs(one.error) for one in found.values())
    assert max(abs(one.held_out_error) for one in found.values()) < 0.18


def test_eyeriss_full_adders_is_eyeriss_with_other_arithmetic() -> None:
    chip, adders = read_accelerator("eyeriss"), read_accelerator("eyeriss_full_adders")
    same = {"name": chip.name, "source": chip.accelerator.source}
    assert replace(adders.accelerator, **same) == chip.accelerator
    own = {key: price for key, price in adders.table.prices.items() if key[0] == "mac"}
    assert {key: price for key, price in chip.table.prices.items() if key[0] != "mac"} == {
        key: price for key, price in adders.table.prices.items() if key not in own
    }
    assert all(price.per_full_adder for price in own.values())
    for price in own.values():
        assert price.pj == pytest.approx(pj_per_full_adder(65, 1.0), rel=1e-4)


def test_the_report_is_of_this_code() -> None:
    from reports.full_adders import TARGET, rendered

    assert TARGET.read_text() == rendered()
