"""Statistics of a metric against measurements: equal to SciPy's, held out by hand, and honest about few rows."""

import numpy as np
import pytest
from scipy import stats

from energysim.calibration.correlation import left_out_errors, mean_scores, scores


def drawn(rows: int, seed: int = 0) -> tuple[list[float], list[float]]:
    random = np.random.default_rng(seed)
    x = np.exp(random.normal(0, 1, rows))
    return list(np.round(x, 1) + 0.1), list(x * np.exp(random.normal(0, 0.4, rows)))


@pytest.mark.parametrize("seed", range(5))
def test_statistics_are_those_of_scipy(seed: int) -> None:
    x, y = drawn(15, seed)  # rounded: with ties
    found = scores("m", x, y)
    assert found.n == 15
    assert found["r2"].value == pytest.approx(stats.pearsonr(x, y).statistic ** 2)
    assert found["r2_log"].value == pytest.approx(stats.pearsonr(np.log(x), np.log(y)).statistic ** 2)
    assert found["spearman"].value == pytest.approx(stats.spearmanr(x, y).statistic)
    assert found["kendall"].value == pytest.approx(stats.kendalltau(x, y).statistic)


def test_errors_by_hand() -> None:
    # measured 1, 1, 2 where the metric says 1, 2, 2: shares 1, 2, 1; scale of all (1+2+1)/(1+4+1) = 2/3
    found = scores("m", [1, 2, 2], [1, 1, 2])
    assert found["in_sample"].value == pytest.approx((1 / 3 + 1 / 3 + 1 / 3) / 3)
    # scale without the first 3/5, without the second 1, without the third 3/5: errors 2/5, 1, 2/5
    assert list(left_out_errors(np.array([1.0, 2.0, 2.0]), np.array([1.0, 1.0, 2.0]))) == pytest.approx([0.4, 1.0, 0.4])
    assert found["left_out"].value == pytest.approx(0.6)


def test_intervals_hold_the_value_and_shrink_with_rows() -> None:
    few, many = scores("m", *drawn(8)), scores("m", *drawn(64))
    widths = []
    for found in (few, many):
        for name in ("left_out", "spearman", "kendall", "r2_log", "r2"):
            score = found[name]
            assert score.low is not None
            assert score.high is not None
            assert score.low <= score.value <= score.high  # type: ignore[operator]
        low, high = found["left_out"].low, found["left_out"].high
        widths.append(high - low)  # type: ignore[operator]
    assert widths[1] < 0.6 * widths[0]


def test_a_metric_that_never_changes_or_is_zero_has_no_correlation() -> None:
    flat = scores("flat", [1.0, 1.0, 1.0, 1.0], [1.0, 2.0, 3.0, 4.0])
    assert flat["r2"].value is None
    assert flat["spearman"].value is None
    assert flat["in_sample"].value is not None
    nothing = scores("zero", [0.0, 1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0])
    assert nothing["r2_log"].value is None
    assert nothing["r2"].value == pytest.approx(1.0)


def test_two_points_lie_on_a_line_and_say_nothing() -> None:
    assert scores("m", [1.0, 2.0], [1.0, 5.0])["r2"].value is None


def test_a_scale_changes_nothing() -> None:
    x, y = drawn(12)
    one, other = scores("m", x, y), scores("m", [1e9 * value for value in x], y)
    for name in ("left_out", "spearman", "kendall", "r2_log", "r2", "in_sample"):
        assert one[name].value == pytest.approx(other[name].value)


def test_means_over_devices() -> None:
    parts = [scores("m", *drawn(8, seed)) for seed in range(4)]
    found = mean_scores("m", parts)
    assert found.n == 4
    values = [part["spearman"].value for part in parts]
    assert found["spearman"].value == pytest.approx(np.mean(values))  # type: ignore[arg-type]
    assert min(values) <= found["spearman"].low <= found["spearman"].high <= max(values)  # type: ignore[operator, type-var]
