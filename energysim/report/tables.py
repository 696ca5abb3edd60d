"""An estimate on the terminal: where the energy goes, layer by layer, and why."""

from collections.abc import Iterator
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING

from energysim.costs.result import IDLE, Estimate, LayerEstimate, Totals
from energysim.report.show import PLAIN_WIDTH
from energysim.report.text import BETTER, SPACES, bar, clean, in_one_unit, joules, percent, si
from energysim.workload.coverage import coverage_lines

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.measure import Measurement
    from rich.table import Table

BAR_CELLS = 12
NAME_CELLS = 32
BAR = "bar"
COLOURS = ("red", "yellow", "cyan", "green", "blue", "magenta")


Command = tuple[str, str]
"""How a model and what it runs on were called on the command line: what stands before and after a layer's name."""


def estimate_parts(
    result: Estimate, command: Command | None = None, width: int = PLAIN_WIDTH
) -> "Iterator[RenderableType]":
    """Layers, components, the sentences under them, last the warnings; `command` is offered to explain a layer."""
    from rich.text import Text

    yield layer_table(result, width)
    yield Text()
    yield component_table(result)
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
        padding=(0, 1, 0, 0),
        header_style="bold",
    )


@dataclass(frozen=True, slots=True)
class _Column:
    """A column as text: the lines of its head, its cells; of those with a `spare` number the highest goes first."""

    head: str
    cells: list[str]
    style: str = ""
    left: bool = False
    spare: int = 0

    @property
    def width(self) -> int:
        return min(NAME_CELLS, max(len(line) for text in (self.head, *self.cells) for line in text.split("\n")))


def layer_table(result: Estimate, width: int = PLAIN_WIDTH) -> "Table":
    """One row per layer: energy with a bar, how it divides over components in percent, time, and what bounds it.

    Columns that do not fit `width` are left out, the least telling first.
    """
    from rich.text import Text

    columns = _layer_columns(result)
    while sum(column.width + 2 for column in columns) > width and any(column.spare for column in columns):
        columns.remove(max(columns, key=lambda column: column.spare))
    table = new_table(heading(result))
    for each in columns:
        table.add_column(
            "" if each.head == BAR else each.head,
            justify="left" if each.left else "right",
            style=each.style,
            no_wrap=True,
            overflow="ellipsis",
            min_width=0 if each is columns[0] else each.width,
            max_width=NAME_CELLS,
        )
    largest = max(row.energy_pj for row in result.layers) or 1.0
    for i, row in enumerate((*result.layers, None)):
        if row is None:
            table.add_section()
        share = row.energy_pj / largest if row else 0.0
        cells = (_Bar(share, BAR_CELLS, "red") if each.head == BAR else Text(each.cells[i]) for each in columns)
        table.add_row(*cells, style="" if row else "bold")
    return table


def _layer_columns(result: Estimate) -> list[_Column]:
    """The columns of the layer table, the totals in their last cells."""
    rows, totals = result.layers, result.totals
    every: tuple[LayerEstimate | Totals, ...] = (*rows, totals)
    energies, energy_unit = in_one_unit([row.energy_pj * 1e-12 for row in every], "J")
    times, time_unit = in_one_unit([row.latency_s for row in every], "s")
    macs, macs_unit = in_one_unit([float(row.macs) for row in every], "")
    columns = [
        _Column("layer", [*(clean(row.name) for row in rows), "total"], left=True),
        _Column("op", [*(clean(row.op) for row in rows), ""], left=True, spare=3),
        _Column(
            f"MACs\n{macs_unit}", [text if row.macs else "" for text, row in zip(macs, every, strict=True)], spare=2
        ),
        _Column(f"energy\n{energy_unit}", energies, "bold"),
        _Column(BAR, ["#" * BAR_CELLS], left=True),
    ]
    for i, part in enumerate(parts_of(result)):
        head = "\n".join([*clean(part).split("_"), "%"])
        columns.append(_Column(head, [_share(row, part) for row in every], COLOURS[i % len(COLOURS)]))
    columns.append(_Column(f"time\n{time_unit}", times))
    columns.append(_Column("bound by", [*(clean(row.bound_by) for row in rows), ""], left=True, spare=1))
    columns.append(_Column("busy\n%", [*(percent(row.utilisation) for row in rows), ""], spare=4))
    if not all(row.optimal for row in rows):
        columns.append(_Column("above\nleast", [*("" if y.optimal else _over(y) for y in rows), ""], spare=5))
    return columns


def component_table(result: Estimate) -> "Table":
    """One row per component, outermost first: its energy and which role of data causes it."""
    from rich.text import Text

    totals = result.totals
    parts = parts_of(result)
    sums = [sum(totals.energy_by_component_pj[part].values()) for part in parts]
    energies, unit = in_one_unit([pj * 1e-12 for pj in [*sums, totals.energy_pj]], "J")
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
        shape = _Bar(sums[i] / whole, 2 * BAR_CELLS, COLOURS[i % len(COLOURS)])
        table.add_row(Text(clean(part)), energies[i], percent(sums[i] / whole), shape, said if len(roles) > 1 else "")
    return table


@dataclass(frozen=True, slots=True)
class _Bar:
    """A bar that draws itself in the characters that the console has."""

    share: float
    cells: int
    colour: str

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        from rich.text import Text

        yield Text(bar(self.share, self.cells, options.ascii_only), style=self.colour)

    def __rich_measure__(self, console: "Console", options: "ConsoleOptions") -> "Measurement":
        from rich.measure import Measurement

        return Measurement(self.cells, self.cells)


def heading(result: Estimate) -> str:
    """What was estimated: model, accelerator, batch, bits, dataflow."""
    options = result.options
    bits = f", bits {clean(str(options['bits']))}" if options.get("bits") else ""
    return (
        f"{clean(result.model)} on {clean(result.accelerator)}: batch {result.batch}{bits}, "
        f"dataflow {_restricted(result)}"
    )


def _restricted(result: Estimate) -> str:
    """The dataflow, and that there were constraints."""
    more = ", with constraints" if result.options.get("constraints") else ""
    return clean(str(result.options.get("dataflow", "unconstrained"))) + more


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
    what = "every layer" if proven == len(rows) else f"{proven} of {len(rows)} layers"
    objective = str(result.options["objective"])
    space = SPACES[bool(result.options.get("uneven"))]
    sure = f"for {what} it is proven that among {space} ({_restricted(result)}) none {BETTER[objective]}"
    if proven < len(rows) and objective == "energy":
        over = totals.energy_pj / totals.lower_bound_pj - 1 if totals.lower_bound_pj else 0.0
        sure += f"; the sum is at most {over:.2%} above the least, {joules(totals.lower_bound_pj)} or more"
    found.append(sure)
    return found + [clean(line) for line in coverage_lines(result.coverage)]


def _share(row: LayerEstimate | Totals, part: str) -> str:
    return percent(sum(row.energy_by_component_pj.get(part, {}).values()) / (row.energy_pj or 1.0))


def _over(row: LayerEstimate) -> str:
    """How far above its lower bound an energy lies."""
    over = row.energy_pj / row.lower_bound_pj - 1 if row.lower_bound_pj else 0.0
    return f"+{over:.1%}" if over >= 0.0005 else ""
