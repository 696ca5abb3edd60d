"""Prices from measurements: relative least squares, no price below zero, shrunk towards the nominal table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from energysim.calibration.calibration import CONFIDENCE, TIME, Calibration, Coefficient, Row, Scope, feature
from energysim.calibration.diagnosis import ILL_CONDITIONED, condition_number, remarks_on
from energysim.calibration.measurements import Measured
from energysim.calibration.predicted import Predicted
from energysim.errors import InputError, unknown
from energysim.hardware.read import DescribedAccelerator

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Folds = list[tuple[NDArray[np.intp], NDArray[np.intp]]]

STRENGTHS = (0.0, 0.001, 0.01, 0.1, 1.0, 10.0)
"""Ridge strengths to choose from: the weight of (factor - 1)^2 beside the sum of squared relative errors."""

DEFAULT_COEFFICIENTS = 3
FOLDED_ABOVE = 20
"""Rows above which the reported errors leave out tenths instead of single rows."""

BOOTSTRAPS = 200
SCALE = "scale"

Columns = tuple[tuple[str, tuple[str, ...]], ...]
"""A form: the name of each coefficient and the components it prices. Components in none keep their nominal prices."""


def calibrate(
    estimates: Sequence[Predicted],
    measurements: Sequence[Measured],
    described: DescribedAccelerator,
    *,
    max_coefficients: int | None = None,
    excluded: Sequence[str] = (),
    dataflow: str = "unconstrained",
    bits: Sequence[int] = (16,),
    time_model: str = "double_buffered",
    data: str = "measurements",
    data_sha256: str = "",
    seed: int = 0,
) -> Calibration:
    """Fit the prices of an accelerator to measurements of what was estimated, row by row, matched by name.

    The form (time alone, one factor for all prices, one for compute and one for movement, one a component) and the
    strength of the prior are those with the least mean absolute left-out error among the forms of at most
    `max_coefficients` (default 3) whose prices do not trade against each other. Where every row has a measured time,
    the price of time is fitted on it; errors and intervals are always those of predicted time. Raises InputError for
    fewer rows than coefficients, unmatched names, equal rows.
    """
    from energysim import __version__

    problem = _Problem.of(estimates, measurements, described, frozenset(excluded))
    forms = _forms(problem, described, max_coefficients)
    choice = _choose(problem, forms)
    fit = _Fit.of(problem, *choice)
    left_out = _left_out(problem, forms, choice, problem.folds())
    networks = _networks_left_out(problem, forms, choice)
    relative = fit.residuals(problem)
    noise, freedom = fit.noise(relative)
    coefficients = _coefficients(problem, fit, noise, freedom, seed)
    errors = left_out / problem.energies - 1.0
    rows = tuple(
        Row(name, float(e), float(n), float(f), float(p), float(h))
        for name, e, n, f, p, h in zip(
            problem.names,
            problem.energies,
            problem.nominal(described.table.idle_power_w),
            fit.predict(problem),
            left_out,
            fit.leverage,
            strict=True,
        )
    )
    facts = described.accelerator
    return Calibration(
        data=data,
        data_sha256=data_sha256,
        scope=Scope(facts.name, described.sha256, facts.technology_nm, dataflow, tuple(sorted(set(bits)))),
        time_model=time_model,
        excluded=tuple(excluded),
        coefficients=coefficients,
        strength=fit.strength,
        covariance=tuple(tuple(float(x) for x in row) for row in fit.covariance),
        noise=noise,
        freedom=freedom,
        rows=rows,
        condition=condition_number(fit.design),
        remarks=remarks_on(problem.component_columns(), fit.design, [name for name, _ in fit.form], fit.leverage, rows),
        left_out_networks=networks,
        conformal=_conformal(errors),
        version=__version__,
    )


@dataclass(frozen=True, slots=True)
class _Problem:
    """Rows matched: what was estimated (`rows`, and `fitted_rows` with the time that was measured) and measured."""

    rows: tuple[Predicted, ...]
    fitted_rows: tuple[Predicted, ...]
    energies: "Floats"
    excluded: frozenset[str]

    @classmethod
    def of(
        cls,
        estimates: Sequence[Predicted],
        measurements: Sequence[Measured],
        described: DescribedAccelerator,
        excluded: frozenset[str],
    ) -> "_Problem":
        import numpy as np

        known = [y.name for y in (*described.accelerator.levels, described.accelerator.compute)]
        for name in sorted(excluded):
            if name not in known:
                raise unknown(f"component of {described.name}", name, known)
        by_name = {row.name: row for row in estimates}
        for measured in measurements:
            if measured.name not in by_name:
                raise unknown("estimated row", measured.name, by_name)
            if not measured.energy_pj > 0 or measured.energy_pj == float("inf"):
                raise InputError(f"'{measured.name}': energy is {measured.energy_pj:g} pJ; it must be above 0")
        rows = tuple(by_name[measured.name] for measured in measurements)
        if len(rows) < 2:
            raise InputError(f"{len(rows)} row cannot fix a price and say how sure it is; at least 2 are needed")
        times = [measured.time_s for measured in measurements]
        timed = all(time is not None for time in times)
        fitted = tuple(
            Predicted(row.name, row.energy_by_component_pj, time if timed and time else row.time_s, row.network)
            for row, time in zip(rows, times, strict=True)
        )
        energies = np.array([measured.energy_pj for measured in measurements])
        return cls(rows, fitted, energies, excluded)

    @property
    def names(self) -> list[str]:
        return [row.name for row in self.rows]

    @property
    def components(self) -> tuple[str, ...]:
        """Those that take energy somewhere and were measured, outermost first."""
        found = dict.fromkeys(name for row in self.rows for name, pj in row.energy_by_component_pj.items() if pj > 0)
        return tuple(name for name in found if name not in self.excluded)

    def columns(self, form: Columns, rows: Sequence[Predicted]) -> "Floats":
        """pJ for a coefficient of 1: rows by coefficients."""
        import numpy as np

        return np.array([[feature(row, *column) for column in form] for row in rows], dtype=float)

    def offset(self, form: Columns) -> "Floats":
        """pJ at nominal prices of the components that a form does not fit."""
        import numpy as np

        fitted = {component for _, components in form for component in components} | self.excluded
        return np.array([sum(row.without(frozenset(fitted)).values()) for row in self.rows])

    def nominal(self, idle_power_w: float) -> "Floats":
        """pJ at nominal prices, excluded components left out."""
        import numpy as np

        time = np.array([row.time_s for row in self.rows])
        return self.offset(()) + idle_power_w * time * 1e12

    def component_columns(self) -> "tuple[tuple[str, ...], Floats]":
        """Every component and time, relative to the measured energy."""
        form: Columns = ((TIME, ()), *((name, (name,)) for name in self.components))
        return tuple(name for name, _ in form), self.columns(form, self.fitted_rows) / self.energies[:, None]

    def subset(self, chosen: "NDArray[np.intp]") -> "_Problem":
        kept = [int(i) for i in chosen]
        return _Problem(
            tuple(self.rows[i] for i in kept),
            tuple(self.fitted_rows[i] for i in kept),
            self.energies[kept],
            self.excluded,
        )

    def folds(self) -> "Folds":
        """Rows to fit and rows to predict: single ones, or tenths when there are many."""
        from sklearn.model_selection import KFold, LeaveOneOut

        splitter = LeaveOneOut() if len(self.rows) <= FOLDED_ABOVE else KFold(10, shuffle=True, random_state=0)
        return list(splitter.split(self.energies))


@dataclass(frozen=True, slots=True)
class _Fit:
    """A form fitted with a strength: coefficients, the relative design, and what follows from it."""

    form: Columns
    strength: float
    values: "Floats"
    design: "Floats"
    covariance: "Floats"
    leverage: "Floats"

    @classmethod
    def of(cls, problem: _Problem, form: Columns, strength: float) -> "_Fit":
        import numpy as np

        design = problem.columns(form, problem.fitted_rows) / problem.energies[:, None]
        target = 1.0 - problem.offset(form) / problem.energies
        values = solve(form, design, target, strength)
        inverse: Floats = np.linalg.pinv(design.T @ design + np.diag(_prior(form, strength))).astype(float)
        leverage = np.einsum("ij,jk,ik->i", design, inverse, design)
        return cls(form, strength, values, design, inverse, leverage)

    def predict(self, problem: _Problem) -> "Floats":
        """pJ of every row from predicted counts and predicted time."""
        predicted: Floats = problem.columns(self.form, problem.rows) @ self.values + problem.offset(self.form)
        return predicted

    def residuals(self, problem: _Problem) -> "Floats":
        """Relative errors, from predicted time."""
        relative: Floats = self.predict(problem) / problem.energies - 1.0
        return relative

    def noise(self, relative: "Floats") -> tuple[float, float]:
        """Relative standard deviation of a row and its degrees of freedom (rows less the trace of the hat matrix)."""
        freedom = max(1.0, len(relative) - float(self.leverage.sum()))
        return float((relative @ relative / freedom) ** 0.5), freedom


def _prior(form: Columns, strength: float) -> list[float]:
    """Ridge weight of each coefficient: factors are drawn towards 1; time and a single scale are free."""
    return [0.0 if name in (TIME, SCALE) else strength for name, _ in form]


def solve(form: Columns, design: "Floats", target: "Floats", strength: float) -> "Floats":
    """The non-negative coefficients of least |design x - target|^2 + strength * sum (factor - 1)^2."""
    import numpy as np
    from scipy.optimize import nnls

    weights = np.sqrt(_prior(form, strength))
    # columns of unit length: watts and factors differ by many orders of magnitude
    scales = np.linalg.norm(design, axis=0)
    scales[scales == 0] = 1.0
    stacked = np.vstack([design, np.diag(weights)]) / scales
    wanted = np.concatenate([target, weights])
    free, *_ = np.linalg.lstsq(stacked, wanted, rcond=None)
    values: Floats = (free if (free >= 0).all() else nnls(stacked, wanted)[0]) / scales
    return values


def _forms(problem: _Problem, described: DescribedAccelerator, asked: int | None) -> list[Columns]:
    """The forms that the rows can bear, fewest coefficients first."""
    import numpy as np

    rows, components = len(problem.rows), problem.components
    if asked is not None and asked < 1:
        raise InputError(f"--max-coefficients is {asked}; it must be at least 1")
    if asked is not None and asked > rows:
        raise InputError(f"{rows} rows cannot fix {asked} coefficients; ask for at most {rows - 1}, or measure more")
    inner = {described.accelerator.compute.name, described.accelerator.memories[-1].name}
    compute = tuple(name for name in components if name in inner)
    movement = tuple(name for name in components if name not in inner)
    time: Columns = ((TIME, ()),)
    forms: list[Columns] = [time, ((SCALE, components),), (*time, ("all", components))]
    if compute and movement:
        forms.append((*time, ("compute", compute), ("movement", movement)))
    forms.append((*time, *((name, (name,)) for name in components)))
    most = min(asked or DEFAULT_COEFFICIENTS, rows - 1)
    kept = [form for form in dict.fromkeys(forms) if len(form) <= most]
    _, columns = problem.component_columns()
    if most > 1 and np.ptp(columns, axis=0).max() <= 1e-9 * np.abs(columns).max():
        raise InputError(f"all {rows} rows have equal counts: they fix one price at most; ask for --max-coefficients 1")
    return kept


def _choose(problem: _Problem, forms: Sequence[Columns]) -> tuple[Columns, float]:
    """The form and strength of least mean absolute left-out error, what is reported; prices that trade against each
    other are not chosen. The smaller form and the stronger prior win ties."""
    import numpy as np

    best: tuple[float, Columns, float] | None = None
    for form in forms:
        columns, offset = problem.columns(form, problem.rows), problem.offset(form)
        design = problem.columns(form, problem.fitted_rows) / problem.energies[:, None]
        target = 1.0 - offset / problem.energies
        free = any(weight > 0 for weight in _prior(form, 1.0))
        for strength in reversed(STRENGTHS if free else STRENGTHS[:1]):
            firm = np.vstack([design, np.diag(np.sqrt(_prior(form, strength)))])
            if best is not None and condition_number(firm) > ILL_CONDITIONED:
                continue
            values = _values_without(form, design, target, strength)
            errors = ((columns * values).sum(axis=1) + offset) / problem.energies - 1.0
            mean = float(abs(errors).mean())
            if best is None or mean < best[0] * (1 - 1e-9):
                best = mean, form, strength
    assert best is not None  # noqa: S101
    return best[1], best[2]


def _values_without(form: Columns, design: "Floats", target: "Floats", strength: float) -> "Floats":
    """The coefficients of the fit without each row, one row each: they follow from the whole fit.

    Where that gives a negative one, or nothing because a row alone carries a coefficient, the rest is fitted anew.
    """
    import numpy as np

    prior = np.array(_prior(form, strength))
    normal = design.T @ design + np.diag(prior)
    lengths = np.sqrt(np.diag(normal))
    sound = bool(lengths.all()) and np.linalg.cond(normal / np.outer(lengths, lengths)) < 1e12
    found = np.full(design.shape, -1.0)
    if sound:
        inverse = np.linalg.inv(normal)
        whole = inverse @ (design.T @ target + prior)
        turned = design @ inverse
        left = 1.0 - (turned * design).sum(axis=1)
        usable = left > 1e-9
        change = turned * ((target - design @ whole) / np.where(usable, left, 1.0))[:, None]
        found = np.where(usable[:, None], whole - change, -1.0)
    for i in np.flatnonzero((found < 0).any(axis=1)):
        found[i] = solve(form, np.delete(design, i, 0), np.delete(target, i), strength)
    return found


def _left_out(problem: _Problem, forms: Sequence[Columns], whole: tuple[Columns, float], folds: "Folds") -> "Floats":
    """pJ of each row from a fit, and a choice of form and strength, that never saw it.

    A single row that is left cannot choose: then the choice of all rows stands.
    """
    import numpy as np

    predicted = np.zeros(len(problem.rows))
    for kept, out in folds:
        rest = problem.subset(kept)
        bearable = [form for form in forms if len(form) < len(rest.rows)]
        chosen = _choose(rest, bearable) if bearable else whole
        predicted[out] = _Fit.of(rest, *chosen).predict(problem.subset(out))
    return predicted


def _networks_left_out(problem: _Problem, forms: Sequence[Columns], whole: tuple[Columns, float]) -> float | None:
    """Mean absolute relative error with whole networks left out, None when there is one network."""
    import numpy as np
    from sklearn.model_selection import LeaveOneGroupOut

    groups = [row.network for row in problem.rows]
    if not 1 < len(set(groups)) < len(groups):
        return None
    folds = [(a, b) for a, b in LeaveOneGroupOut().split(problem.energies, groups=groups) if len(a) > 1]
    if len(folds) < len(set(groups)):
        return None
    return float(np.abs(_left_out(problem, forms, whole, folds) / problem.energies - 1.0).mean())


def _coefficients(problem: _Problem, fit: _Fit, noise: float, freedom: float, seed: int) -> tuple[Coefficient, ...]:
    """Values with their intervals: Student's t on the covariance, and resampled rows."""
    import numpy as np
    from scipy.special import stdtrit

    # the data's word alone: the prior draws the value, its interval must not shrink with it
    data = np.linalg.pinv(fit.design.T @ fit.design)
    width = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * noise * np.sqrt(np.diag(data))
    random, rows = np.random.default_rng(seed), len(problem.rows)
    target = 1.0 - problem.offset(fit.form) / problem.energies
    drawn = [random.integers(0, rows, rows) for _ in range(BOOTSTRAPS)]
    values = np.array([solve(fit.form, fit.design[i], target[i], fit.strength) for i in drawn])
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    return tuple(
        Coefficient(
            name,
            components,
            float(fit.values[i]),
            max(0.0, float(fit.values[i] - width[i])),
            float(fit.values[i] + width[i]),
            float(low[i]),
            float(high[i]),
        )
        for i, (name, components) in enumerate(fit.form)
    )


def _conformal(errors: "Floats") -> float | None:
    """The relative half width that holds a new row with 90 % whatever the noise (jackknife), None below 9 rows."""
    rank = int(-(-(len(errors) + 1) * CONFIDENCE // 1))
    return float(sorted(abs(errors))[rank - 1]) if rank <= len(errors) else None
