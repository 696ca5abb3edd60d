"""How well one number tracks another: correlation, rank, and error after one fitted scale, each with its interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

RESAMPLES = 500
CONFIDENCE = 0.9

STATISTICS = ("left_out", "spearman", "kendall", "r2_log", "r2", "in_sample")
"""Held out first: error of each row at a scale fitted to the others; ranks; R^2; error at a scale fitted to all."""


@dataclass(frozen=True, slots=True)
class Score:
    """A statistic and the ends of its 90 % bootstrap interval; None where rows or their spread do not allow it."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Scores:
    """The statistics of a metric against `n` measurements, by name (see `STATISTICS`)."""

    metric: str
    n: int
    by_name: Mapping[str, Score]

    def __getitem__(self, name: str) -> Score:
        return self.by_name[name]

    def to_plain(self) -> dict[str, Any]:
        """The JSON object of these scores."""
        rows = {name: [s.value, s.low, s.high] for name, s in self.by_name.items()}
        return {"metric": self.metric, "n": self.n, **rows}


def scores(metric: str, values: Sequence[float], measured: Sequence[float], seed: int = 0) -> Scores:
    """Score a metric against positive measurements of the same things; rows are resampled for the intervals.

    R^2 is Pearson's r squared, raw and of logarithms (positive metrics only); Spearman's rho and Kendall's tau-b;
    errors are mean absolute relative errors at the scale of least squared relative error.
    """
    import numpy as np

    x, y = np.asarray(values, dtype=float), np.asarray(measured, dtype=float)
    drawn = np.random.default_rng(seed).integers(0, len(x), (RESAMPLES, len(x)))
    found: dict[str, Score] = {}
    for name in STATISTICS:
        if name == "left_out":
            errors = left_out_errors(x, y)
            known = errors if len(x) > 1 and np.isfinite(errors).all() else np.full(len(x), np.nan)
            found[name] = _score(np.array([known.mean()]), known[drawn].mean(axis=1))
        else:
            found[name] = _score(_statistic(name, x[None], y[None]), _statistic(name, x[drawn], y[drawn]))
    return Scores(metric, len(x), found)


def mean_scores(metric: str, parts: Sequence[Scores], seed: int = 0) -> Scores:
    """The means of scores over several devices; the devices are resampled for the intervals. `n` counts them."""
    import numpy as np

    found = {}
    for name in STATISTICS:
        values = np.array([part[name].value for part in parts], dtype=float)
        values = values[np.isfinite(values)]
        if not len(values):
            found[name] = Score(None, None, None)
            continue
        drawn = np.random.default_rng(seed).integers(0, len(values), (RESAMPLES, len(values)))
        found[name] = _score(np.array([values.mean()]), values[drawn].mean(axis=1))
    return Scores(metric, len(parts), found)


def left_out_errors(x: "Floats", y: "Floats") -> "Floats":
    """Relative error of each row at the scale that the others fix: absolute values."""
    import numpy as np

    share = x / y
    first, second = share.sum() - share, (share**2).sum() - share**2
    with np.errstate(all="ignore"):
        errors: Floats = np.abs(share * first / second - 1.0)
    return errors


def _score(value: "Floats", resampled: "Floats") -> Score:
    import numpy as np

    if not np.isfinite(value[0]):
        return Score(None, None, None)
    usable = resampled[np.isfinite(resampled)]
    if len(usable) < RESAMPLES // 2:
        return Score(float(value[0]), None, None)
    low, high = np.quantile(usable, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Score(float(value[0]), float(low), float(high))


def _statistic(name: str, x: "Floats", y: "Floats") -> "Floats":
    """A statistic for each row of samples; not a number where it is not defined."""
    import numpy as np

    with np.errstate(all="ignore"):
        if name == "r2":
            return _pearson(x, y) ** 2
        if name == "r2_log":
            return _pearson(np.log(x), np.log(y)) ** 2
        if name == "kendall":
            return _kendall(x, y)
        if name == "spearman":
            from scipy.stats import rankdata

            return _pearson(rankdata(x, axis=1), rankdata(y, axis=1))
        share = x / y
        scale = share.sum(axis=1) / (share**2).sum(axis=1)
        errors: Floats = np.abs(scale[:, None] * share - 1.0).mean(axis=1)
        return errors


def _pearson(x: "Floats", y: "Floats") -> "Floats":
    import numpy as np

    usable = np.isfinite(x).all(axis=1) & (np.ptp(x, axis=1) > 0) & (np.ptp(y, axis=1) > 0)
    left, right = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    r = (left * right).sum(axis=1) / np.sqrt((left**2).sum(axis=1) * (right**2).sum(axis=1))
    # two points always lie on a line
    spread = np.array([len(np.unique(row)) > 2 for row in x]) if x.shape[1] > 2 else np.zeros(len(x), dtype=bool)
    result: Floats = np.where(usable & spread, r, np.nan)
    return result


def _kendall(x: "Floats", y: "Floats") -> "Floats":
    """Tau-b, ties counted."""
    import numpy as np

    left, right = np.sign(x[:, :, None] - x[:, None]), np.sign(y[:, :, None] - y[:, None])
    both = np.einsum("bij,bij->b", left, right)
    result: Floats = both / np.sqrt(np.einsum("bij,bij->b", left, left) * np.einsum("bij,bij->b", right, right))
    return result
