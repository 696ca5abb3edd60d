"""The noun `Calibration`: prices fitted to measurements, how sure they are, on what, and where they hold."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import TYPE_CHECKING

from energysim.calibration.predicted import Predicted
from energysim.hardware.accelerator import EnergyTable
from energysim.hardware.read import DescribedAccelerator

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TIME = "time"
"""The coefficient of time: watts that flow whatever happens (clock, leakage, control)."""

CONFIDENCE = 0.9


@dataclass(frozen=True, slots=True)
class Coefficient:
    """One fitted number: watts for time, else what the nominal prices of `components` are multiplied by.

    `low` to `high` is the interval of 90 % from the fit's covariance, `bootstrap_low` to `bootstrap_high` that of
    resampled rows.
    """

    name: str
    components: tuple[str, ...]
    value: float
    low: float
    high: float
    bootstrap_low: float
    bootstrap_high: float

    @property
    def unit(self) -> str:
        """W, or x (a factor)."""
        return "W" if self.name == TIME else "x"


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a calibration holds: the accelerator it was made on (name, SHA-256), node, dataflow, bits of operands."""

    accelerator: str
    accelerator_sha256: str
    technology_nm: float | None
    dataflow: str
    bits: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the data: measured and fitted pJ, that of the fit without this row, its leverage 0..1."""

    name: str
    measured_pj: float
    nominal_pj: float
    fitted_pj: float
    left_out_pj: float
    leverage: float

    @property
    def nominal_error(self) -> float:
        """Nominal / measured - 1."""
        return self.nominal_pj / self.measured_pj - 1.0

    @property
    def error(self) -> float:
        """In sample: fitted / measured - 1."""
        return self.fitted_pj / self.measured_pj - 1.0

    @property
    def left_out_error(self) -> float:
        """Left out: predicted / measured - 1."""
        return self.left_out_pj / self.measured_pj - 1.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """Prices fitted to the rows of some data by relative least squares, shrunk towards the nominal ones.

    Relative variance of a new row with features z (relative to its energy): noise^2 (1 + z' covariance z), Student's t
    with `freedom` degrees. `excluded` components were not in the measured number and keep their nominal prices.
    `strength` is the ridge's; `left_out_networks` the mean absolute error when whole networks are left out (None: one
    network); `conformal` the split-free (jackknife) 90 % half width, None below 9 rows.
    """

    data: str
    data_sha256: str
    scope: Scope
    time_model: str
    excluded: tuple[str, ...]
    coefficients: tuple[Coefficient, ...]
    strength: float
    covariance: tuple[tuple[float, ...], ...]
    noise: float
    freedom: float
    rows: tuple[Row, ...]
    condition: float
    remarks: tuple[str, ...]
    left_out_networks: float | None
    conformal: float | None
    version: str

    @property
    def in_sample(self) -> float:
        """Mean absolute relative error of the fitted rows."""
        return sum(abs(row.error) for row in self.rows) / len(self.rows)

    @property
    def left_out(self) -> float:
        """Mean absolute relative error, each row predicted without it, strength and form chosen without it too."""
        return sum(abs(row.left_out_error) for row in self.rows) / len(self.rows)

    def factor(self, component: str) -> float:
        """What the nominal prices of a component are multiplied by; 1 for one that was not fitted."""
        return next((c.value for c in self.coefficients if component in c.components), 1.0)

    @property
    def static_w(self) -> float | None:
        """Watts of the time coefficient, None when none was fitted."""
        return next((c.value for c in self.coefficients if c.name == TIME), None)

    def table(self, described: DescribedAccelerator) -> EnergyTable:
        """The nominal table with the fitted prices: same type, same keys, the data as source, tier "measured"."""
        said = f"{self.data}, {len(self.rows)} rows, +-{self.left_out:.0%} left out"
        prices = {}
        for key, price in described.table.prices.items():
            fitted = any(key[0] in c.components for c in self.coefficients)
            factor = self.factor(key[0])
            source = f"{price.source}; x {factor:.4g} fitted to {said}"
            prices[key] = replace(price, pj=price.pj * factor, source=source, tier="measured") if fitted else price
        table = described.table
        static = self.static_w
        if static is None:
            return EnergyTable(prices, table.idle_power_w, table.idle_power_source, table.idle_power_tier)
        return EnergyTable(prices, static, f"fitted to {said}", "measured")

    def energy_pj(self, row: Predicted) -> float:
        """Energy of a row in pJ, the excluded components left out."""
        known = row.without(frozenset(self.excluded))
        static = (self.static_w or 0.0) * row.time_s * 1e12
        return static + sum(self.factor(name) * pj for name, pj in known.items())

    def interval(self, rows: Sequence[Predicted], confidence: float = CONFIDENCE) -> tuple[float, float, float]:
        """Energy in pJ of some rows together, and the ends of its predictive interval; rows err independently.

        What all of them share, the fitted prices, errs together. The lower end is never below 0.
        """
        import numpy as np
        from scipy.special import stdtrit

        energies = np.array([self.energy_pj(row) for row in rows])
        total = float(energies.sum())
        features = np.sum([self.features(row) for row in rows], axis=0)
        # a covariance edited by hand may be none
        shared = max(0.0, float(features @ np.array(self.covariance) @ features))
        quantile = float(stdtrit(self.freedom, (1 + confidence) / 2))
        width = quantile * self.noise * sqrt(float(energies @ energies) + shared)
        return total, max(0.0, total - width), total + width

    def features(self, row: Predicted) -> "NDArray[np.float64]":
        """pJ for a coefficient of 1, in their order."""
        import numpy as np

        return np.array([feature(row, c.name, c.components) for c in self.coefficients])


def feature(row: Predicted, name: str, components: Iterable[str]) -> float:
    """pJ of a row for one watt, or for a factor of 1 on the prices of some components."""
    if name == TIME:
        return row.time_s * 1e12
    return sum(row.energy_by_component_pj.get(component, 0.0) for component in components)


def scope_warnings(
    calibration: Calibration, described: DescribedAccelerator, dataflow: str, bits: Iterable[int]
) -> tuple[str, ...]:
    """What is asked of a calibration that it was not made for, one line each."""
    scope, found = calibration.scope, []
    facts = described.accelerator
    if scope.accelerator != facts.name:
        found.append(f"made on {scope.accelerator}, used on {facts.name}")
    elif scope.accelerator_sha256 != described.sha256:
        found.append(f"{facts.name} has changed since it was made")
    if scope.technology_nm != facts.technology_nm:
        found.append(f"made at {_nm(scope.technology_nm)}, used at {_nm(facts.technology_nm)}")
    if scope.dataflow != dataflow:
        found.append(f"made with dataflow {scope.dataflow}, used with {dataflow}")
    other = sorted(set(bits) - set(scope.bits))
    if other:
        known = ", ".join(map(str, scope.bits))
        found.append(f"made at {known} bits, used at {', '.join(map(str, other))}")
    return tuple(f"calibration outside its scope: {each}" for each in found)


def _nm(value: float | None) -> str:
    return "an unknown node" if value is None else f"{value:g} nm"
