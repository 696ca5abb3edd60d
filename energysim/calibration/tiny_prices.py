"""MLPerf Tiny, system by system: one price and two prices fitted to three networks, the fourth predicted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from energysim.calibration import tiny
from energysim.calibration.validation import TINY_ON, tiny_classes, tiny_columns

PREDICTORS: Mapping[str, tuple[str, ...]] = {
    "MACs": ("MACs",),
    "full adders": ("full adders",),
    "DeepK total": ("DeepK total",),
    "compulsory traffic": ("compulsory traffic",),
    "estimate": ("estimate",),
    "MACs and compulsory traffic": ("MACs", "compulsory traffic"),
    "estimate: compute and movement": ("estimate, compute", "estimate, movement"),
    "estimate: energy and time": ("estimate", "estimate, time"),
}
"""What is priced, by name: one price each for the first five, two for the others."""


@dataclass(frozen=True, slots=True)
class SystemFit:
    """One submission and predictor: mean absolute relative error of each network left out, and in sample."""

    system: str
    group: str
    predictor: str
    prices: int
    networks: int
    left_out: float
    in_sample: float


def tiny_fits() -> tuple[SystemFit, ...]:
    """Every submission with more networks than prices + 1, under every predictor."""
    found = []
    for system, energies in tiny.systems().items():
        group = tiny_classes()[system]
        columns = tiny_columns(TINY_ON[group])
        for predictor, names in PREDICTORS.items():
            if len(energies) < len(names) + 2:
                continue
            rows = [[columns[name][network] for name in names] for network in energies]
            left_out, in_sample = fitted_errors(rows, list(energies.values()))
            found.append(SystemFit(system, group, predictor, len(names), len(energies), left_out, in_sample))
    return tuple(found)


def fitted_errors(rows: Sequence[Sequence[float]], measured: Sequence[float]) -> tuple[float, float]:
    """Mean absolute relative error of non-negative relative least squares: each row left out, and in sample."""
    import numpy as np
    from scipy.optimize import nnls

    design = np.array(rows, dtype=float) / np.array(measured, dtype=float)[:, None]
    design /= np.linalg.norm(design, axis=0)
    ones = np.ones(len(design))
    errors = [float(abs(design[i] @ nnls(np.delete(design, i, 0), ones[1:])[0] - 1.0)) for i in range(len(design))]
    whole = np.abs(design @ nnls(design, ones)[0] - 1.0)
    return fmean(errors), float(whole.mean())


@dataclass(frozen=True, slots=True)
class PredictorSummary:
    """A predictor over the submissions of a class: mean and median left-out error, and on how many MACs lose to it."""

    group: str
    predictor: str
    prices: int
    submissions: int
    mean_left_out: float
    median_left_out: float
    better_than_macs: int


def summaries(fits: Sequence[SystemFit]) -> tuple[PredictorSummary, ...]:
    """The fits by class and predictor, over the submissions that a predictor could be fitted to: three networks and up
    for one price, four for two."""
    found = []
    for group in TINY_ON:
        macs = {f.system: f.left_out for f in fits if f.predictor == "MACs"}
        for predictor, names in PREDICTORS.items():
            rows = [f for f in fits if f.group == group and f.predictor == predictor]
            if rows:
                errors = [f.left_out for f in rows]
                better = sum(f.left_out < macs[f.system] for f in rows)
                summary = (fmean(errors), median(errors), better)
                found.append(PredictorSummary(group, predictor, len(names), len(rows), *summary))
    return tuple(found)
