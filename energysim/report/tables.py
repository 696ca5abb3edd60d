"""An estimate on the terminal: where the energy goes, layer by layer, and why."""

from collections.abc import Iterator, Sequence
from shlex import quote
from typing import TYPE_CHECKING

from energysim.costs.result import IDLE, Estimate, LayerEstimate, Totals
from energysim.report.text import bar, clean, column, joules, percent, si

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

BAR_CELLS = 12
COLOURS = ("red", "yellow", "cyan", "green", "blue", "magenta")


Command = tuple[str, str]
"""How a model and what it runs on were called on the command line: what stands before and after a layer's name."""


def print_estimate(console: "Console", result: Estimate, command: Command | None = None) -> None:
    """Print layers, totals and what they say, last the warnings; `command` is offered to explain a layer."""
    for part in estimate_parts(result, command, ascii_only=console.options.ascii_only):
        console.print(part, soft_wrap=False)


def estimate_parts(
    result: Estimate, command: Command | None = None, *, ascii_only: bool = False
) -> "Iterator[RenderableType]":
    """The layer table, the component table, and the sentences under them."""
    from rich.text import Text

    yield layer_table(result, ascii_only)
    yield Text()
    yield component_table(result, ascii_only)
    yield Text()
    for line in sentences(result, command):
        yield Text(line)
    for warning in result.warnings:
        yield Text(f"warning: {clean(warning)}", style="yellow")


def parts_of(result: Estimate) -> tuple[str, ...]:
    """Components that take energy, outermost first, static energy last."""
    taking = result.totals.energy_by_component_pj
    return tuple(name for name in (*result.components, IDLE) if name in taking)


def new_table(title: str | None = None) -> "Table":
    """An empty table in the house style: no frame, one rule under the head."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    head = None if title is None else Text(title, style="bold")
    return Table(
        title=head,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1),
        header_style="bold",
    )


def layer_table(result: Estimate, ascii_only: bool = False) -> "Table":
    """One row per layer: energy with a bar, how it divides over components in percent, time, and what bounds it."""
    from rich.text import Text

    rows, totals = result.layers, result.totals
    energies, energy_unit = column([*(row.energy_pj * 1e-12 for row in rows), totals.energy_pj * 1e-12], "J")
    times, time_unit = column([*(row.latency_s for row in rows), totals.latency_s], "s")
    work, work_unit = column([*(float(row.macs) for row in rows), float(totals.macs)], "")
    parts = parts_of(result)
    table = new_table(heading(result))
    table.add_column("layer", overflow="ellipsis", no_wrap=True, max_width=32)
    table.add_column("op", overflow="ellipsis", no_wrap=True, max_width=14)
    table.add_column(f"MACs\n{work_unit}", justify="right", no_wrap=True)
    table.add_column(f"energy\n{energy_unit}", justify="right", style="bold")
    table.add_column("", no_wrap=True, min_width=BAR_CELLS)
    for i, part in enumerate(parts):
        head, style = "\n".join([*clean(part).split("_"), "%"]), COLOURS[i % len(COLOURS)]
        table.add_column(head, justify="right", style=style, min_width=4, overflow="fold")
    table.add_column(f"time\n{time_unit}", justify="right")
    table.add_column("bound by", no_wrap=True)
    table.add_column("busy\n%", justify="right")
    if any(not row.optimal for row in rows):
        table.add_column("above\nleast", justify="right", min_width=6)
    largest = max((row.energy_pj for row in rows), default=0.0) or 1.0
    for i, row in enumerate(rows):
        shares = _shares(row, parts)
        table.add_row(
            Text(clean(row.name)),
            Text(clean(row.op)),
            work[i] if row.macs else "",
            energies[i],
            Text(bar(row.energy_pj / largest, BAR_CELLS, ascii_only), style="red"),
            *shares,
            times[i],
            Text(clean(row.bound_by)),
            percent(row.utilisation),
            *([] if row.optimal else [_over(row)]),
        )
    table.add_section()
    table.add_row("total", "", work[-1], energies[-1], "", *_shares(totals, parts), times[-1], "", "", style="bold")
    return table


def component_table(result: Estimate, ascii_only: bool = False) -> "Table":
    """One row per component, outermost first: its energy and which role of data causes it."""
    from rich.text import Text

    totals = result.totals
    parts = parts_of(result)
    sums = [sum(totals.energy_by_component_pj[part].values()) for part in parts]
    energies, unit = column([pj * 1e-12 for pj in [*sums, totals.energy_pj]], "J")
    table = new_table("Where it goes")
    table.add_column("component")
    table.add_column(unit, justify="right", style="bold")
    table.add_column("%", justify="right")
    table.add_column("", no_wrap=True, min_width=2 * BAR_CELLS)
    table.add_column("of which", overflow="fold")
    whole = totals.energy_pj or 1.0
    for i, part in enumerate(parts):
        roles = sorted(totals.energy_by_component_pj[part].items(), key=lambda item: -item[1])
        said = ", ".join(f"{role.replace('_', ' ')} {percent(pj / whole)} %" for role, pj in roles if pj > 0)
        shape = Text(bar(sums[i] / whole, 2 * BAR_CELLS, ascii_only), style=COLOURS[i % len(COLOURS)])
        table.add_row(Text(clean(part)), energies[i], percent(sums[i] / whole), shape, said if len(roles) > 1 else "")
    return table


def heading(result: Estimate) -> str:
    """What was estimated: model, accelerator, batch, bits, dataflow."""
    options = result.options
    bits = f", bits {clean(str(options['bits']))}" if options.get("bits") else ""
    return (
        f"{clean(result.model)} on {clean(result.accelerator)}: batch {result.batch}{bits}, "
        f"dataflow {clean(str(options.get('dataflow', 'unconstrained')))}"
    )


def sentences(result: Estimate, command: Command | None = None) -> list[str]:
    """The answer in words: totals, traffic against the least possible, the heaviest layer, how sure the search is."""
    totals, rows = result.totals, result.layers
    per_mac = f", {totals.energy_pj / totals.macs:.3g} pJ per MAC" if totals.macs else ""
    done = [si(number, unit) for number, unit in ((totals.macs, "MACs"), (totals.ops, "ops")) if number]
    found = [
        f"{joules(totals.energy_pj)} and {si(totals.latency_s, 's')} for {' and '.join(done)}{per_mac}; "
        f"{si(totals.full_adders, 'full adders')}"
    ]
    outer = result.components[0]
    moved = sum(sum(row.traffic_bits.get(outer, {}).values()) for row in rows)
    least = totals.compulsory_bits
    found.append(
        f"{clean(outer)} moves {si(moved / 8, 'B')}, {moved / least:.2f} x the compulsory {si(least / 8, 'B')} "
        f"(every weight, input and output once; weights {si(totals.weight_bits / 8, 'B')})"
    )
    heaviest = max(rows, key=lambda row: row.energy_pj)
    model, rest = command or (quote(result.model), f"--on {quote(result.accelerator)}")
    found.append(
        f"the heaviest layer is {clean(heaviest.name)}, {percent(heaviest.energy_pj / (totals.energy_pj or 1.0))} %; "
        f"why: energysim explain {clean(model)} {clean(quote(heaviest.name))} {clean(rest)}"
    )
    proven = sum(row.optimal for row in rows)
    dataflow = clean(str(result.options.get("dataflow", "unconstrained")))
    what = "every layer's mapping is" if proven == len(rows) else f"{proven} of {len(rows)} mappings are"
    sure = f"{what} proven to be of least energy ({dataflow})"
    if proven < len(rows):
        sure += f"; no mapping takes less than {joules(totals.lower_bound_pj)} in all"
    found.append(sure)
    return found


def _shares(row: LayerEstimate | Totals, parts: Sequence[str]) -> list[str]:
    whole = row.energy_pj or 1.0
    return [percent(sum(row.energy_by_component_pj.get(part, {}).values()) / whole) for part in parts]


def _over(row: LayerEstimate) -> str:
    """How far above its lower bound an energy lies."""
    over = row.energy_pj / row.lower_bound_pj - 1 if row.lower_bound_pj else 0.0
    return f"+{over:.1%}" if over >= 0.0005 else ""
