"""Which metric tracks energy, as tables: for the terminal and, as rows of text, for the published report."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from energysim.calibration.correlation import Score, Scores
from energysim.calibration.deepk_design import PUBLISHED_R2, Design
from energysim.calibration.tiny_prices import PredictorSummary
from energysim.calibration.validation import MetricTable
from energysim.report.tables import new_table
from energysim.report.text import clean

if TYPE_CHECKING:
    from rich.console import RenderableType

HEADS = ("metric", "left out", "Spearman", "Kendall", "R2 of logs", "R2", "in sample", "n")
"""Held out first: mean absolute error at one scale fitted to the other rows; last the same at a scale fitted to all."""

Rows = list[tuple[str, ...]]


def scored_rows(found: Sequence[Scores]) -> Rows:
    """One row of text per metric, each statistic with its 90 % interval."""
    return [
        (
            each.metric,
            shown(each["left_out"], percent=True),
            *(shown(each[name]) for name in ("spearman", "kendall", "r2_log", "r2")),
            shown(each["in_sample"], percent=True),
            str(each.n),
        )
        for each in found
    ]


def shown(score: Score, *, percent: bool = False) -> str:
    """A statistic as in "23 % [11, 34]" or "0.83 [0.74, 0.89]"; empty where it is not defined."""
    if score.value is None:
        return ""

    def text(value: float) -> str:
        return f"{value * 100:.0f}" if percent else f"{value:.2f}"

    unit = " %" if percent else ""
    if score.low is None or score.high is None:
        return f"{text(score.value)}{unit}"
    return f"{text(score.value)}{unit} [{text(score.low)}, {text(score.high)}]"


def table_sections(table: MetricTable) -> Iterator[tuple[str, tuple[str, ...], Rows]]:
    """Title, heads and rows of each table of a reference: within a device where there are several, then all rows."""
    if len(set(table.devices)) > 1:
        yield f"{table.says}: within a device, mean over devices (n)", HEADS, scored_rows(table.scored_within())
        yield f"{table.says}: all rows, across devices", HEADS, scored_rows(table.scored())
    else:
        yield table.says, HEADS, scored_rows(table.scored())


PRICE_HEADS = ("systems", "priced", "prices", "left out, mean", "median", "closer than MACs")


def price_rows(found: Sequence[PredictorSummary]) -> Rows:
    """One row per class of systems and predictor."""
    return [
        (
            each.group,
            each.predictor,
            str(each.prices),
            f"{each.mean_left_out:.0%}",
            f"{each.median_left_out:.0%}",
            f"{each.better_than_macs} of {each.submissions}",
        )
        for each in found
    ]


DESIGN_HEADS = ("network", "points", "R2 DeepK total", "R2 cluster rate alone", "Spearman", "left out", "published R2")


def design_rows(designs: Sequence[Design]) -> Rows:
    """One row per network; the rate alone is the control."""
    return [
        (
            each.network,
            str(len(each.rates)),
            shown(each.deepk["r2"]),
            shown(each.rate_alone["r2"]),
            shown(each.deepk["spearman"]),
            shown(each.deepk["left_out"], percent=True),
            f"{PUBLISHED_R2[each.network]:.4f} (against another tool)",
        )
        for each in designs
    ]


def section(title: str, heads: Sequence[str], rows: Rows) -> "Iterator[RenderableType]":
    """One table for the terminal."""
    from rich.text import Text

    table = new_table(clean(title))
    for i, head in enumerate(heads):
        table.add_column(head, justify="left" if i == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(clean(cell)) for cell in row))
    yield table
    yield Text()
