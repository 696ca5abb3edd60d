"""Forms fitted to AlexNet and held against VGG-16, and VGG-16 by the road that a user takes."""

import pytest

from energysim.calibration.apply import apply_calibration, interval_of_zeros
from energysim.calibration.chip_rows import held_out_measurements, held_out_predictions
from energysim.calibration.held_out import forms_held_out, held_out_without_zeros
from energysim.calibration.references import rows_by
from energysim.calibration.relu_zeros import SHARE, SPREAD
from energysim.calibration.validation import chip_calibration
from energysim.estimate import estimate
from energysim.hardware.read import read_accelerator
from energysim.workload.graph import LayerGraph
from energysim.workload.precision import with_density
from energysim.workload.read import read_model

EYERISS = read_accelerator("eyeriss")


def test_the_form_that_is_chosen_is_that_of_the_list() -> None:
    forms = {each.form: each for each in forms_held_out(EYERISS)}
    calibration = chip_calibration()
    chosen = forms[", ".join(c.name for c in calibration.coefficients)]
    assert calibration.strength == 0
    assert chosen.in_sample == pytest.approx(calibration.in_sample)
    # the form is given here, chosen there without the row too
    assert chosen.left_out <= calibration.left_out + 1e-12
    rows, measured = held_out_predictions(EYERISS), held_out_measurements().rows
    errors = [abs(calibration.energy_pj(row) / real.energy_pj - 1) for row, real in zip(rows, measured, strict=True)]
    assert chosen.layers == pytest.approx(sum(errors) / len(errors))
    assert chosen.layers_at_measured_time < chosen.layers < 0.09


@pytest.mark.parametrize("dataflow", ["unconstrained", "row_stationary"])
def test_estimate_with_a_calibration_says_the_same(dataflow: str) -> None:
    names = ("conv3_1", "conv4_2", "conv5_1")
    whole = read_model("vgg16", batch=3)
    graph = LayerGraph("part", tuple(layer for layer in whole.layers if layer.name in names))
    zeros = {
        name: float(row["zeros_in_ifmap_percent"]) / 100 for name, row in rows_by("eyeriss_vgg16", "layer").items()
    }
    densities = {
        "conv3_1": {"input": 1 - zeros["CONV3-1"], "output": 1 - zeros["CONV3-2"]},
        "conv4_2": {"input": 1 - zeros["CONV4-2"], "output": 1 - zeros["CONV4-3"]},
        "conv5_1": {"input": 1 - zeros["CONV5-1"], "output": 1 - zeros["CONV5-2"]},
    }
    graph = with_density(graph, densities)
    calibrated = apply_calibration(estimate(graph, EYERISS, dataflow=dataflow), graph, EYERISS, chip_calibration())
    published = {row.name: row for row in held_out_predictions(EYERISS)}
    for row, name in zip(calibrated.layers, ("CONV3-1", "CONV4-2", "CONV5-1"), strict=True):
        assert row.energy_pj == pytest.approx(chip_calibration().energy_pj(published[name]))
        assert row.time_s == pytest.approx(published[name].time_s)
    assert (calibrated.own_form, calibrated.assumed_zeros, calibrated.warnings) == (3, 0, ())


def test_another_dataflow_is_not_overruled() -> None:
    graph = LayerGraph("part", tuple(y for y in read_model("alexnet").layers if y.name == "conv3"))
    result = estimate(graph, EYERISS, dataflow="weight_stationary")
    calibrated = apply_calibration(result, graph, EYERISS, chip_calibration())
    assert calibrated.own_form == 0
    assert any("used with weight_stationary" in line for line in calibrated.warnings)


def test_without_zeros_the_sum_is_near_and_layers_are_further() -> None:
    calibration, measured = chip_calibration(), held_out_measurements().rows
    rows = held_out_without_zeros(EYERISS)
    energies = [calibration.energy_pj(rows[row.name]) for row in measured]
    assert sum(energies) == pytest.approx(sum(row.energy_pj for row in measured), rel=0.03)
    assert max(abs(ours / row.energy_pj - 1) for ours, row in zip(energies, measured, strict=True)) < 0.35
    sparser = held_out_without_zeros(EYERISS, SHARE + SPREAD)
    for row in measured:
        value, low, high = interval_of_zeros((rows[row.name],), (sparser[row.name],), calibration)
        assert low < row.energy_pj < high
        narrow = calibration.interval((rows[row.name],))
        moved = 1.645 * (value - calibration.energy_pj(sparser[row.name]))
        assert high - value == pytest.approx(((narrow[2] - value) ** 2 + moved**2) ** 0.5)
        assert high > narrow[2] or row.name == "CONV1-1"


def test_how_far_from_a_half_alexnets_zeros_lie() -> None:
    shares = [float(rows_by("eyeriss_alexnet", "layer")[f"CONV{i}"]["zeros_in_ifmap_percent"]) for i in (2, 3, 4, 5)]
    assert (sum((share / 100 - SHARE) ** 2 for share in shares) / 4) ** 0.5 == pytest.approx(SPREAD, abs=0.005)
