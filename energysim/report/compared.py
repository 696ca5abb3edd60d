"""A comparison on the terminal: a row for each combination, its parts, and which of them none beats."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from energysim.explore.compare import Comparison
from energysim.report.tables import NAME_CELLS, new_table
from energysim.report.text import bar, clean, clean_lines, in_one_unit, joules, percent, si

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

WIDE = 300.0
"""Largest value over smallest, beyond which a column is not in one unit."""

NAMES = ("model", "compression", "bits", "accelerator")


def rendered_comparison(found: Comparison, form: str, by: str = "energy") -> str:
    """The comparison as "json", "csv" or "table" text, names in it cleaned of unseen characters."""
    from energysim.report.show import plain

    if form == "json":
        return found.to_json(by)
    if form == "csv":
        return clean_lines(found.to_csv(by))
    return plain(comparison_parts(found, by))


def comparison_parts(found: Comparison, by: str = "energy") -> "Iterator[RenderableType]":
    """The table, the sentences under it, last the warnings, each once."""
    from rich.text import Text

    yield comparison_table(found, by)
    yield Text()
    for line in sentences(found):
        yield Text(line)
    warnings = dict.fromkeys(warning for point in found.points for warning in point.estimate.warnings)
    for warning in warnings:
        yield Text(f"warning: {clean(warning)}", style="yellow")


def comparison_table(found: Comparison, by: str = "energy") -> "Table":
    """One row per point, sorted: energy, ratio to the first, shares of the components, time, EDP, size; * Pareto."""
    from rich.text import Text

    points = [found.points[i] for i in found.order(by)]
    rows = found.rows(by)
    differs = [name for name in NAMES if len({row[name] for row in rows}) > 1] or ["model"]
    table = new_table(_heading(found, differs))
    for name in differs:
        table.add_column(name, max_width=NAME_CELLS, no_wrap=True, overflow="ellipsis")
    columns = [[Text(clean(str(row[name]))) for row in rows] for name in differs]
    units = (
        ("energy", "energy_pj", 1e-12, "J"),
        ("time", "latency_s", 1.0, "s"),
        ("EDP", "edp_js", 1.0, "Js"),
        ("size", "size_bits", 1 / 8, "B"),
    )
    for head, key, scale, unit in units:
        texts, prefix = _cells([row[key] * scale for row in rows], unit)
        table.add_column(f"{head}\n{prefix}", justify="right", no_wrap=True, style="bold" if head == "energy" else "")
        columns.append([Text(text) for text in texts])
        if head == "energy":
            table.add_column("x\nfirst", justify="right", no_wrap=True)
            columns.append([Text("" if row["energy_ratio"] is None else f"{row['energy_ratio']:.3f}") for row in rows])
            table.add_column("", no_wrap=True)
            most = max(row["energy_pj"] for row in rows) or 1.0
            columns.append([Text(bar(row["energy_pj"] / most, 10), style="red") for row in rows])
            for name in dict.fromkeys(name for point in points for name in point.energy_by_component_pj):
                table.add_column("\n".join([*clean(name).split("_"), "%"]), justify="right", no_wrap=True)
                parts = [point.energy_by_component_pj.get(name, 0.0) / (point.energy_pj or 1.0) for point in points]
                columns.append([Text(percent(part)) for part in parts])
    table.add_column("", no_wrap=True)
    columns.append([Text("*" * row["pareto"] + " first" * (points[i] is found.first)) for i, row in enumerate(rows)])
    for cells in zip(*columns, strict=True):
        table.add_row(*cells)
    return table


def _cells(values: list[float], unit: str) -> tuple[list[str], str]:
    """Values in one unit, or each in its own where one unit would leave small ones without digits."""
    if max(values) > WIDE * min(values):
        return [si(value, unit) for value in values], ""
    return in_one_unit(values, unit)


def sentences(found: Comparison) -> list[str]:
    """What the stars mean, the least energy and the least time, and how sure the searches are."""
    order = found.order("energy")
    least, first = found.points[order[0]], found.first
    said = ["*: no other row takes at most as much energy and time, and less of one"]
    if least is not first and first.energy_pj:
        ratio = least.energy_pj / first.energy_pj
        of = f"{clean(found.label(first))}, {joules(first.energy_pj)}"
        said.append(
            f"least energy: {clean(found.label(least))}, {joules(least.energy_pj)}, {ratio:.3f} x the first ({of})"
        )
    fastest = found.points[found.order("latency")[0]]
    if fastest is not least and fastest.latency_s < least.latency_s:
        said.append(f"least time: {clean(found.label(fastest))}, {si(fastest.latency_s, 's')}")
    unproven = [point for point in found.points if not all(row.optimal for row in point.estimate.layers)]
    if unproven:
        gaps = [
            point.energy_pj / point.estimate.totals.lower_bound_pj - 1
            for point in unproven
            if point.estimate.totals.lower_bound_pj
        ]
        worst = f", by at most {max(gaps):.2%}" if gaps and min(gaps) >= 0 else ""
        said.append(
            f"of {len(unproven)} of {len(found.points)} rows the mappings are not proven best: there may be less{worst}"
        )
    return said


def _heading(found: Comparison, differs: list[str]) -> str:
    """What all rows have in common."""
    same = dict(zip(NAMES, found.first.names, strict=True))
    options = found.first.estimate.options
    said = [clean(same["model"])] * ("model" not in differs)
    said += [clean(same["compression"])] * ("compression" not in differs and same["compression"] != "dense")
    said += [f"{clean(same['bits'])} bits"] * ("bits" not in differs and same["bits"] != "own")
    said += [f"on {clean(same['accelerator'])}"] * ("accelerator" not in differs)
    said += [f"batch {found.first.estimate.batch}", f"dataflow {clean(str(options['dataflow']))}"]
    said += ["with constraints"] * bool(options.get("constraints"))
    said += [f"mappings by {options['objective']}"] * (options["objective"] != "energy")
    return ", ".join(said)
