"""Fitting prices: on silicon whose prices are known, and on data that cannot fix them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from energysim.calibration.calibration import TIME
from energysim.calibration.diagnosis import condition_number
from energysim.calibration.fit import _values_without, calibrate, solve
from energysim.calibration.measurements import Measured
from energysim.calibration.predicted import Predicted
from energysim.errors import InputError
from energysim.hardware.accelerator import EnergyTable
from tests.calibration.silicon import EYERISS, TRUTH, coverage, drawn, fitted, measured, true_pj


def test_noiseless_silicon_gives_its_prices_back() -> None:
    random = np.random.default_rng(0)
    rows = drawn(random, 12)
    calibration = calibrate(rows, measured(random, rows, 0.0), EYERISS, excluded=("dram",))
    values = {each.name: each.value for each in calibration.coefficients}
    assert values == pytest.approx(TRUTH, rel=1e-6)
    assert calibration.left_out < 1e-6


def test_intervals_cover_nine_of_ten() -> None:
    # 500 repeats cover 0.9 (make validation); a binomial of 60 lies within 0.8 to 0.98 with 99 %.
    inside, prices = coverage(60, 12, 0.05)
    assert 0.8 <= inside <= 0.98
    assert all(share >= 0.75 for share in prices.values())


def test_counts_that_rise_together_are_flagged() -> None:
    random = np.random.default_rng(1)
    told = fitted(random, 12, 0.02)
    alike = fitted(random, 12, 0.02, same=1.0)
    assert not any("from global_buffer" in line or "global_buffer from spad" in line for line in told.remarks)
    assert any("cannot tell global_buffer from spad" in line for line in alike.remarks)


def test_condition_number_of_equal_and_of_right_angled_columns() -> None:
    assert condition_number(np.array([[1.0, 2.0], [2.0, 4.0], [1.0, 2.0]])) == float("inf")
    assert condition_number(np.array([[5.0, 0.0], [0.0, 0.1], [0.0, 0.0]])) == pytest.approx(1.0)


def test_two_rows_by_hand() -> None:
    # One price for all of it: rows of 1 and 2 pJ measured as 3 and 4: a = 1/3, 1/2; x = (a sum)/(a a) = (5/6)/(13/36).
    rows = tuple(Predicted(f"r{i}", {"mac": pj}, 0.0) for i, pj in enumerate((1.0, 2.0)))
    calibration = calibrate(rows, [Measured("r0", 3.0), Measured("r1", 4.0)], EYERISS, max_coefficients=1)
    (scale,) = calibration.coefficients
    assert scale.name == "scale"
    assert scale.value == pytest.approx(30 / 13)
    # left out: from the other row alone, 3 x 2 = 6 against 4, and 2 x 1 against 3
    assert [row.left_out_pj for row in calibration.rows] == pytest.approx([2.0, 6.0])


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.floats(0.0, 10.0))
def test_no_price_is_negative_and_the_prior_draws_to_one(seed: int, strength: float) -> None:
    random = np.random.default_rng(seed)
    design, target = random.uniform(0, 1, (6, 3)), np.ones(6)
    form = ((TIME, ()), ("compute", ("mac",)), ("movement", ("pe",)))
    values = solve(form, design, target, strength)
    assert (values >= 0).all()
    tight = solve(form, design, target, 1e9)
    assert tight[1:] == pytest.approx([1.0, 1.0], abs=1e-6)


def test_a_solution_is_no_worse_than_its_neighbours() -> None:
    random = np.random.default_rng(2)
    form = ((TIME, ()), ("compute", ("mac",)), ("movement", ("pe",)))
    for _ in range(30):
        design, target = random.uniform(0, 1, (5, 3)), random.uniform(-1, 1, 5)

        def loss(x: object, design: object = design, target: object = target) -> float:
            return float(np.sum((design @ x - target) ** 2) + 0.1 * np.sum((x[1:] - 1) ** 2))  # type: ignore[operator, index]

        best = solve(form, design, target, 0.1)
        for _ in range(20):
            near = np.maximum(0.0, best + random.normal(0, 0.05, 3))
            assert loss(best) <= loss(near) + 1e-12


def test_the_result_is_an_energy_table_of_the_same_keys() -> None:
    calibration = fitted(np.random.default_rng(3), 12, 0.02)
    table = calibration.table(EYERISS)
    assert isinstance(table, EnergyTable)
    assert table.prices.keys() == EYERISS.table.prices.keys()
    assert table.idle_power_w == calibration.static_w
    for key, price in EYERISS.table.prices.items():
        assert table.prices[key].pj == pytest.approx(price.pj * calibration.factor(key[0]))
        assert table.prices[key].tier == ("table" if key[0] == "dram" else "measured")


def test_energy_is_the_sum_of_what_the_table_prices() -> None:
    random = np.random.default_rng(4)
    calibration = fitted(random, 12, 0.0)
    (row,) = drawn(random, 1)
    assert calibration.energy_pj(row) == pytest.approx(true_pj(row), rel=1e-6)
    both, low, high = calibration.interval((row, row))
    assert both == pytest.approx(2 * true_pj(row), rel=1e-6)
    assert low <= both <= high


def test_rows_that_err_apart_are_surer_together() -> None:
    calibration = fitted(np.random.default_rng(5), 12, 0.1)
    rows = drawn(np.random.default_rng(6), 1) * 16
    one, low, high = calibration.interval(rows[:1])
    many, lowest, highest = calibration.interval(rows)
    assert (highest - lowest) / many < 0.6 * (high - low) / one


def test_measured_time_prices_time_and_errors_stay_those_of_predicted_time() -> None:
    random = np.random.default_rng(7)
    rows = drawn(random, 12)
    real = tuple(replace(each, time_s=row.time_s) for each, row in zip(measured(random, rows, 0.0), rows, strict=True))
    late = tuple(replace(row, time_s=row.time_s * 1.5) for row in rows)
    calibration = calibrate(late, real, EYERISS, excluded=("dram",))
    assert calibration.static_w == pytest.approx(TRUTH[TIME], rel=1e-6)
    assert calibration.in_sample > 0.01


def test_networks_are_left_out_whole() -> None:
    random = np.random.default_rng(8)
    rows = tuple(replace(row, network=f"net{i % 3}") for i, row in enumerate(drawn(random, 12)))
    calibration = calibrate(rows, measured(random, rows, 0.03), EYERISS, excluded=("dram",))
    assert calibration.left_out_networks is not None
    assert 0 < calibration.left_out_networks < 0.2
    assert fitted(random, 12, 0.03).left_out_networks is None


def test_equal_inputs_give_equal_answers() -> None:
    assert fitted(np.random.default_rng(9), 8, 0.05) == fitted(np.random.default_rng(9), 8, 0.05)


def many(rows: int) -> tuple[tuple[Predicted, ...], tuple[Measured, ...]]:
    random = np.random.default_rng(0)
    estimates = drawn(random, rows)
    return estimates, measured(random, estimates, 0.01)


def test_fewer_rows_than_coefficients() -> None:
    with pytest.raises(InputError, match="4 rows cannot fix 6 coefficients; ask for at most 3"):
        calibrate(*many(4), EYERISS, max_coefficients=6)
    with pytest.raises(InputError, match="1 row cannot fix a price"):
        calibrate(*many(1), EYERISS)
    with pytest.raises(InputError, match="--max-coefficients is 0"):
        calibrate(*many(4), EYERISS, max_coefficients=0)


def test_equal_counts() -> None:
    (row,) = drawn(np.random.default_rng(0), 1)
    rows = tuple(replace(row, name=f"r{i}") for i in range(4))
    real = tuple(Measured(each.name, 1e9) for each in rows)
    with pytest.raises(InputError, match="all 4 rows have equal counts: they fix one price at most"):
        calibrate(rows, real, EYERISS)
    assert len(calibrate(rows, real, EYERISS, max_coefficients=1).coefficients) == 1


@pytest.mark.parametrize("energy", [0.0, -1.0, float("nan"), float("inf")])
def test_energies_that_cannot_be(energy: float) -> None:
    estimates, real = many(3)
    with pytest.raises(InputError, match="must be above 0"):
        calibrate(estimates, (replace(real[0], energy_pj=energy), *real[1:]), EYERISS)


def test_names_that_do_not_match() -> None:
    estimates, real = many(3)
    with pytest.raises(InputError, match="unknown estimated row 'rwo0'; did you mean 'row0'"):
        calibrate(estimates, (replace(real[0], name="rwo0"), *real[1:]), EYERISS)
    with pytest.raises(InputError, match="unknown component of eyeriss 'drum'; did you mean 'dram'"):
        calibrate(estimates, real, EYERISS, excluded=("drum",))


@pytest.mark.parametrize("strength", [0.0, 0.1])
def test_fits_without_a_row_are_those_of_the_other_rows(strength: float) -> None:
    random = np.random.default_rng(11)
    form = ((TIME, ()), ("compute", ("mac",)), ("movement", ("pe",)))
    for _ in range(20):
        design, target = random.uniform(0, 1, (6, 3)), random.uniform(0, 1, 6)
        for i, values in enumerate(_values_without(form, design, target, strength)):
            anew = solve(form, np.delete(design, i, 0), np.delete(target, i), strength)
            assert values == pytest.approx(anew, abs=1e-7)
