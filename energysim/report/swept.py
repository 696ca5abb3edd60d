"""A sweep on the terminal: the best variants first, and what was searched for them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from energysim.explore.sweep import Sweep
from energysim.report.tables import NAME_CELLS, new_table
from energysim.report.text import bar, clean, clean_lines, in_one_unit, joules, si

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

SHOWN = 20
"""Variants in a table, unless more are asked for."""


def rendered_sweep(found: Sweep, form: str, by: str = "energy") -> str:
    """The sweep as "json", "csv" or "table" text with all variants, names in it cleaned of unseen characters."""
    from energysim.report.show import plain

    if form == "json":
        return found.to_json(by)
    if form == "csv":
        return clean_lines(found.to_csv(by))
    return plain(sweep_parts(found, by, len(found.points)))


def sweep_parts(found: Sweep, by: str = "energy", most: int = SHOWN) -> "Iterator[RenderableType]":
    """The table, the sentences under it, last the warnings."""
    from rich.text import Text

    yield sweep_table(found, by, most)
    yield Text()
    for line in sentences(found, most):
        yield Text(line)
    for warning in found.warnings:
        yield Text(f"warning: {clean(warning)}", style="yellow")


def sweep_table(found: Sweep, by: str = "energy", most: int = SHOWN) -> "Table":
    """One row per variant, sorted: what was varied, energy, time, EDP; * Pareto."""
    from rich.text import Text

    order, front = found.order(by)[:most], found.front
    points = [found.points[i] for i in order]
    said = f", mappings by {found.objective}" * (found.objective != "energy")
    table = new_table(f"{clean(found.model)} on variants of {clean(found.accelerator)}{said}")
    columns = []
    for n, path in enumerate(found.paths):
        table.add_column("\n".join(clean(path).split(".")), justify="right", max_width=NAME_CELLS)
        columns.append([_number(point.numbers[n]) for point in points])
    for head, values, unit in (
        ("energy", [point.energy_pj * 1e-12 for point in points], "J"),
        ("time", [point.latency_s for point in points], "s"),
        ("EDP", [point.edp_js for point in points], "Js"),
    ):
        texts, prefix = in_one_unit(values, unit)
        table.add_column(f"{head}\n{prefix}", justify="right", no_wrap=True, style="bold" if head == "energy" else "")
        columns.append(["-" if point.misfit else text for point, text in zip(points, texts, strict=True)])
        if head == "energy":
            table.add_column("", no_wrap=True, style="red")
            largest = max(values, default=0.0) or 1.0
            columns.append([bar(value / largest, 10) for value in values])
    table.add_column("", no_wrap=True)
    columns.append(["*" * (i in front) + "nothing fits" * bool(found.points[i].misfit) for i in order])
    for cells in zip(*columns, strict=True):
        table.add_row(*map(Text, cells))
    return table


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:g}"


def sentences(found: Sweep, most: int = SHOWN) -> list[str]:
    """What the stars mean, the spread of energies, what does not fit, how many searches, and how sure they are."""
    fitting = [found.points[i] for i in found.fitting]
    said = ["*: no other variant takes at most as much energy and time, and less of one"]
    if len(found.points) > most:
        said.append(f"{most} of {len(found.points):,} variants shown; --top N shows more, -o FILE.csv has all")
    if fitting:
        energies = [point.energy_pj for point in fitting]
        said.append(f"energy from {joules(min(energies))} to {joules(max(energies))}")
        times = [point.latency_s for point in fitting]
        said[-1] += f", time from {si(min(times), 's')} to {si(max(times), 's')}"
    misfits = [point for point in found.points if point.misfit]
    if misfits:
        said.append(f"nothing fits on {len(misfits):,} variants, first: {clean(misfits[0].misfit)}")
    number = found.layers * len(found.points)
    said.append(f"{number:,} mappings (layers of unequal work x variants) from {found.searches:,} searches")
    unproven = [point for point in fitting if not point.proven]
    if unproven:
        gap = max((point.energy_pj / point.lower_bound_pj - 1 for point in unproven if point.lower_bound_pj), default=0)
        worst = f" by at most {gap:.2%}" if gap > 0 else ""
        said.append(f"on {len(unproven):,} variants not all mappings are proven best: there may be less{worst}")
    return said
