"""AlexNet on the Eyeriss chip: counts and time against what was measured, and the bound that measured latency sets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from energysim.calibration.chip_mapping import Costs, chip_mappings
from energysim.calibration.chip_rows import NOT_MEASURED, chip_layers, chip_measurements, chip_predictions
from energysim.calibration.chip_time import chip_time, passes
from energysim.calibration.fit import calibrate
from energysim.calibration.predicted import predicted_layer
from energysim.calibration.references import rows_by
from energysim.hardware.read import read_accelerator
from energysim.mapping.counts import count
from energysim.mapping.nest import Loop, Mapping, Storage
from energysim.workload.layer import convolution

EYERISS = read_accelerator("eyeriss")
MEASURED = rows_by("eyeriss_alexnet", "layer")
LAYERS = chip_layers(EYERISS)


def test_time_and_nonzero_macs_as_measured_bound_what_prediction_can_reach() -> None:
    # The issue: two coefficients reach 3.5 % with each layer left out and 2.4 % in sample.
    energy = np.array([row.energy_pj for row in chip_measurements().rows])
    zeros = [float(MEASURED[row.name]["zeros_in_ifmap_percent"]) / 100 for row in LAYERS]
    macs = [row.layer.macs * (1 - zero) for row, zero in zip(LAYERS, zeros, strict=True)]
    features = np.column_stack([[row.time_s for row in chip_measurements().rows], np.array(macs) * 1e-12]) * 1e12
    relative = features / energy[:, None]
    errors = relative @ nnls(relative, np.ones(5))[0] - 1
    left_out = [relative[i] @ nnls(np.delete(relative, i, 0), np.ones(4))[0] - 1 for i in range(5)]
    assert np.abs(left_out).mean() == pytest.approx(0.035, abs=0.001)
    assert np.abs(errors).mean() == pytest.approx(0.024, abs=0.001)


@pytest.mark.parametrize("row", LAYERS, ids=lambda row: row.name)
def test_counts_before_prices(row: object) -> None:
    assert isinstance(row, type(LAYERS[0]))
    real = MEASURED[row.name]
    assert row.active_pes == int(real["active_pes"])
    # rounded to 0.1 MB: equal, when what DRAM fills in is left out
    assert row.global_buffer_mb == pytest.approx(float(real["global_buffer_mb"]), abs=0.055)
    assert row.dram_mb == pytest.approx(float(real["dram_mb"]), rel=0.06)
    assert row.time.processing_s * 1e3 == pytest.approx(float(real["processing_latency_ms"]), rel=0.06)
    assert row.time.total_s * 1e3 == pytest.approx(float(real["total_latency_ms"]), rel=0.10)


def test_conv3_ran_as_conv4_and_conv5_did() -> None:
    # By table III (q=4, r=1) partial sums visit the buffer 64 times, by q=3, r=2 only 43 times: 69 MB against 50.
    published = {row.name: row for row in chip_layers(EYERISS, as_run=False)}
    assert published["CONV3"].global_buffer_mb == pytest.approx(69.2, abs=0.1)
    assert published["CONV4"].global_buffer_mb == LAYERS[3].global_buffer_mb


def test_time_worked_by_hand() -> None:
    # M=8, C=4, 4x4 outputs, 3x3 kernels: rows of kernels on 3 PE rows, output rows on 4 columns; a PE holds 2 channels
    # x 3 x 4 filters. Outside: 2 blocks of filters, 2 of channels: 4 passes; in each 4 output columns.
    layer = convolution("conv", m=8, c=4, p=4, q=4, r=3, s=3)
    outer = [Loop("M", 2), Loop("C", 2)]
    nest = [Storage("dram", t.name) for t in layer.tensors] + outer
    nest += [Storage("global_buffer", "input"), Storage("global_buffer", "output"), Loop("Q", 4)]
    nest += [Loop("R", 3, "pe.y"), Loop("P", 4, "pe.x")]
    nest += [*(Storage("spad", t.name) for t in layer.tensors), Loop("C", 2), Loop("S", 3), Loop("M", 4)]
    mapping = Mapping(tuple(nest))
    time = chip_time(layer, EYERISS.accelerator, mapping, count(layer, EYERISS.accelerator, mapping))
    assert passes(layer, mapping) == 4
    assert time.mac_cycles == 4 * 4 * 2 * 3 * 4  # passes x columns x channels x kernel x filters
    assert time.weight_cycles == 8 * 4 * 9 / 4  # every weight once, 4 words a cycle
    assert time.ramp_cycles == 4 * 6 * 3 * 2  # passes x (4 + 3 - 1) rows x 3 words x 2 channels, a word a cycle
    assert time.bus_wait_cycles == 0
    # inputs 4 x 6 x 6 twice (a block of filters each), outputs 8 x 4 x 4, 16 bits over 19.2 bits a cycle
    assert time.exposed_dram_cycles == pytest.approx((2 * 4 * 36 + 128) * 16 / 19.2)
    assert time.total_s > time.processing_s


def test_one_word_a_cycle_of_inputs_bounds_a_pass() -> None:
    # One filter in a PE: each input word meets 3 x 1 weights; the input bus, not the MACs, sets the pace.
    layer = convolution("thin", m=1, c=1, p=14, q=14, r=3, s=3)
    nest = [Storage("dram", t.name) for t in layer.tensors]
    nest += [Storage("global_buffer", "input"), Storage("global_buffer", "output"), Loop("Q", 14)]
    nest += [
        Loop("R", 3, "pe.y"),
        Loop("P", 14, "pe.x"),
        *(Storage("spad", t.name) for t in layer.tensors),
        Loop("S", 3),
    ]
    mapping = Mapping(tuple(nest))
    time = chip_time(layer, EYERISS.accelerator, mapping, count(layer, EYERISS.accelerator, mapping))
    busy = 14 * 3 + 9 / 4 + 16 * 3  # columns x kernel, 9 weights by 4, the first 16 x 3 window
    assert time.mac_cycles + time.weight_cycles + time.ramp_cycles == busy
    assert time.bus_wait_cycles == 16 * 16 - busy  # all 16 x 16 inputs, a word a cycle


def test_the_targets_from_predicted_counts_and_latency() -> None:
    measurements = chip_measurements()
    calibration = calibrate(
        chip_predictions(EYERISS), measurements.rows, EYERISS, excluded=NOT_MEASURED, time_model="row_stationary_chip"
    )
    assert len(calibration.coefficients) <= 3
    assert calibration.left_out <= 0.07  # each layer left out, the form chosen without it too
    assert calibration.in_sample <= 0.06  # the target of 5 % is missed by CONV5: docs/calibration.md
    assert all(abs(row.nominal_error) > 0.4 for row in calibration.rows)  # nominal prices know no clock


def test_the_chips_own_form_is_found_for_layers_nobody_published() -> None:
    # Told nothing of table III, the choice costs no more than the published mapping, by the price it is chosen by, and
    # its time is that of the chip: five layers within 10 %, together within 2 %.
    measurements = chip_measurements()
    calibration = calibrate(
        chip_predictions(EYERISS), measurements.rows, EYERISS, excluded=NOT_MEASURED, time_model="row_stationary_chip"
    )
    costs = Costs((calibration.static_w or 0) * 1e12 / 200e6, 9.36, 312.0)
    times = []
    for row in LAYERS:
        forms = [
            predicted_layer(row.name, row.layer, EYERISS, mapping, "row_stationary_chip")
            for mapping in chip_mappings(row.layer, EYERISS.accelerator, costs)
        ]
        assert forms
        whole = [calibration.energy_pj(form) + form.energy_by_component_pj["dram"] for form in forms]
        published = predicted_layer(row.name, row.layer, EYERISS, row.mapping, "row_stationary_chip")
        ours = calibration.energy_pj(published) + published.energy_by_component_pj["dram"]
        assert min(whole) <= 1.02 * ours
        best = forms[whole.index(min(whole))]
        times.append(best.time_s)
        assert best.time_s * 1e3 == pytest.approx(float(MEASURED[row.name]["total_latency_ms"]), rel=0.10)
    assert sum(times) * 1e3 == pytest.approx(115.3, rel=0.02)


def test_the_chips_form_does_not_apply_to_everything() -> None:
    costs = Costs(800.0, 9.36, 312.0)
    linear = convolution("fc", m=10, c=20, p=1, q=1, op="linear")
    dilated = convolution("d", m=4, c=4, p=5, q=5, r=3, s=3, dilation=(2, 2))
    tall = convolution("t", m=4, c=4, p=5, q=5, r=13, s=3)
    assert [chip_mappings(layer, EYERISS.accelerator, costs) for layer in (linear, dilated, tall)] == [(), (), ()]


@settings(max_examples=40)
@given(
    st.integers(1, 40), st.integers(1, 40), st.integers(1, 30), st.integers(1, 30), st.integers(1, 5), st.integers(1, 3)
)
def test_every_form_is_legal_and_does_all_the_work(m: int, c: int, p: int, q: int, r: int, n: int) -> None:
    layer = convolution("any", n=n, m=m, c=c, p=p, q=q, r=r, s=min(r, 3))
    for mapping in chip_mappings(layer, EYERISS.accelerator, Costs(800.0, 9.36, 312.0)):
        counts = count(layer, EYERISS.accelerator, mapping)  # raises where it is not legal
        assert counts.values["mac", "mac", "compute"] == layer.macs
