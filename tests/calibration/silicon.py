"""Synthetic silicon: rows whose true prices are known, measured with noise."""

import numpy as np
from numpy.random import Generator

from energysim.calibration.calibration import TIME, Calibration
from energysim.calibration.fit import calibrate
from energysim.calibration.measurements import Measured
from energysim.calibration.predicted import Predicted
from energysim.hardware.read import read_accelerator

TRUTH = {TIME: 0.2, "compute": 1.3, "movement": 0.8}
"""Watts, and factors on the nominal prices of mac and spad, of pe and global_buffer."""

PARTS = {"compute": ("spad", "mac"), "movement": ("global_buffer", "pe")}
EYERISS = read_accelerator("eyeriss")


def drawn(random: Generator, rows: int, *, same: float = 0.0) -> tuple[Predicted, ...]:
    """Rows with independent counts (log-normal, factor e); `same` 1 makes movement a multiple of compute."""
    found = []
    for i in range(rows):
        scale = np.exp(random.normal(0, 1.0))
        compute, movement, time = np.exp(random.normal(0, 0.7, 3)) * scale
        movement = same * compute + (1 - same) * movement
        energy = {
            "global_buffer": 0.5e9 * movement,
            "pe": 0.5e9 * movement,
            "spad": 0.7e9 * compute,
            "mac": 0.3e9 * compute,
        }
        found.append(Predicted(f"row{i}", {"dram": 1e9, **energy}, 5e-3 * time))
    return tuple(found)


def true_pj(row: Predicted) -> float:
    parts = sum(TRUTH[part] * row.energy_by_component_pj[name] for part, names in PARTS.items() for name in names)
    return float(parts + TRUTH[TIME] * row.time_s * 1e12)


def measured(random: Generator, rows: tuple[Predicted, ...], noise: float) -> tuple[Measured, ...]:
    return tuple(Measured(row.name, true_pj(row) * (1 + random.normal(0, noise))) for row in rows)


def fitted(random: Generator, rows: int, noise: float, *, same: float = 0.0) -> Calibration:
    estimates = drawn(random, rows, same=same)
    return calibrate(estimates, measured(random, estimates, noise), EYERISS, excluded=("dram",))


def coverage(repeats: int, rows: int, noise: float, seed: int = 0) -> tuple[float, dict[str, float]]:
    """Share of new measurements, and of true prices, inside their 90 % intervals."""
    random = np.random.default_rng(seed)
    inside, prices = 0, {name: [0, 0] for name in TRUTH}
    for _ in range(repeats):
        calibration = fitted(random, rows, noise)
        (new,) = drawn(random, 1)
        (real,) = measured(random, (new,), noise)
        _, low, high = calibration.interval((new,))
        inside += low <= real.energy_pj <= high
        for each in calibration.coefficients:
            if each.name in prices:
                prices[each.name][0] += each.low <= TRUTH[each.name] <= each.high
                prices[each.name][1] += 1
    return inside / repeats, {name: hit / max(1, n) for name, (hit, n) in prices.items()}
