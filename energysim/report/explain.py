"""Why a number is what it is: a layer's loop nest, and count x price = energy with the source of each price."""

from collections.abc import Iterator, Sequence
from math import inf
from typing import TYPE_CHECKING

from energysim.costs.break_even import break_even
from energysim.costs.encodings import encoding_lines
from energysim.costs.ledger import Entry
from energysim.costs.prices import bits_moved
from energysim.costs.result import LayerEstimate
from energysim.hardware.accelerator import Accelerator, EnergyTable, Price
from energysim.mapping.constraints import Restriction, SpreadLimit, TileLimit, placed, reached
from energysim.mapping.counts import PARTIAL, count
from energysim.mapping.distinct import products, why_no_products
from energysim.mapping.headroom import axis_uses, rooms
from energysim.mapping.nest import Loop, Mapping, Storage
from energysim.mapping.search_rivals import rivals
from energysim.mapping.sharing import tile_in
from energysim.report.tables import new_table
from energysim.report.text import BETTER, SPACES, clean, joules, percent, si
from energysim.workload.layer import Layer

if TYPE_CHECKING:
    from rich.console import RenderableType


def explanation(
    layer: Layer,
    accelerator: Accelerator,
    table: EnergyTable,
    row: LayerEstimate,
    entries: Sequence[Entry],
    constraints: Sequence[Restriction] = (),
    objective: str = "energy",
    uneven: bool = False,
) -> "Iterator[RenderableType]":
    """The layer, its nest, its ledger with sources, what limits it, its time: everything its energy is made of."""
    from rich.text import Text

    yield Text(
        f"{clean(layer.name)} on {clean(accelerator.name)}: {joules(row.energy_pj)}, {si(row.latency_s, 's')}",
        style="bold",
    )
    sizes = "  ".join(f"{dim} {size}" for dim, size in layer.dims.items() if size > 1) or "one point"
    work = si(row.macs, "MACs") if row.macs else si(row.ops, "ops")
    yield Text(f"{clean(layer.op)}: {sizes}; {work}, {si(row.full_adders, 'full adders')}")
    if layer.fused:
        yield Text(f"runs inside, free of charge: {', '.join(clean(name) for name in layer.fused)}")
    yield Text()
    yield Text("Loop nest, outermost first", style="bold")
    for line in nest_lines(layer, accelerator, row):
        yield Text(line)
    yield Text()
    yield from _ledger_table(row, entries, table)
    yield Text()
    yield Text("What holds it back, and the next-best orders", style="bold")
    for line in limit_lines(accelerator, layer, row.mapping):
        yield Text(line)
    for line in constraint_lines(layer, row.mapping, constraints):
        yield Text(line)
    for line in rival_lines(layer, accelerator, table, row.mapping):
        yield Text(line)
    yield Text()
    sharing = sharing_lines(layer, accelerator, table, row.mapping)
    if sharing:
        yield Text("Shared weights", style="bold")
        for line in sharing:
            yield Text(line)
        yield Text()
    yield Text("Time: the slowest sets the pace", style="bold")
    for line in time_lines(row, accelerator, table, objective, uneven):
        yield Text(line)


def nest_lines(layer: Layer, accelerator: Accelerator, row: LayerEstimate) -> list[str]:
    """The loop nest as indented text: what each memory holds, temporal loops, and spatial loops marked as such.

    Outputs have the width of partial sums where any pass through.
    """
    mapping, counts = row.mapping, row.counts
    lines: list[str] = []
    depth, memory = 0, ""
    tensors = {tensor.name: tensor for tensor in layer.tensors}
    for i, item in enumerate(mapping.nest):
        if isinstance(item, Storage):
            tensor = tensors[item.tensor]
            elements = tensor.elements(mapping.tile(i, layer.dims))
            sums = any(PARTIAL in roles for roles in counts.get(item.memory, {}).values())
            width = float(tensor.partial_bits if sums and tensor.partial_bits else tensor.bits)
            if tensor.codebook is not None:
                width = bits_moved(layer, accelerator, item.memory, tensor.name)
            said = f"{clean(item.tensor)} {elements:,} x {width:.3g} bits"
            if item.memory == memory:
                lines[-1] += f", {said}"
            else:
                lines.append(f"{'  ' * depth}[{clean(item.memory)}] holds {said}")
            memory = item.memory
            continue
        memory = ""
        way = "for" if item.axis is None else "spread"
        where = "" if item.axis is None else f" on {clean(item.axis)}, all at once"
        lines.append(f"{'  ' * depth}{way} {item.dim} in {item.bound}{where}")
        depth += 1
    spread = _spread(mapping)
    instances = accelerator.instances(accelerator.compute.name)
    lines.append(f"{'  ' * depth}{clean(accelerator.compute.name)}: {spread:,} of {instances:,} at work")
    return lines


def sharing_lines(layer: Layer, accelerator: Accelerator, table: EnergyTable, mapping: Mapping) -> list[str]:
    """How weights with a codebook rest, move and run, and from where on it would pay to share products."""
    lines = [f"  {line}" for line in encoding_lines(layer, accelerator)]
    found = products(layer, accelerator)
    if found is None:
        why = why_no_products(layer)
        shares = accelerator.sharing is not None and accelerator.sharing.style == "product"
        return lines + ([f"  products are not shared: {why}; weights are looked up"] if lines and shares else [])
    whole = found.multiplications(dict(layer.dims)) // found.block
    asked = layer.points // found.block
    lines.append(f"  {asked:,} products asked for; with all outputs in one unit {whole:,} would be different")
    tile = tile_in(mapping, accelerator.memories[-1].name, layer)
    counts = count(layer, accelerator, mapping)
    point = break_even(layer, accelerator, table, mapping, counts, found.requests(tile))
    if point is None:
        return lines
    verdict = "pays" if point.pays else "does not pay"
    needed = f"it pays from {point.needed:.3g} uses on"
    if not 1.0 < point.needed < inf:
        needed = "no number of uses would do" if point.needed == inf else "even one use would do"
    lines.append(
        f"  {point.multiplications:,} of {point.dense:,} multiplications left; a product is used {point.uses:.3g} times"
    )
    lines.append(f"  {needed}, so sharing products {verdict} here")
    if 1.0 < point.needed < inf:
        held = f"{tile['M']:,} of {layer.dims['M']:,} output channels in a unit"
        lines.append(f"  break-even at {point.clusters:,} centroids used alike, with {held}")
    return lines


def limit_lines(accelerator: Accelerator, layer: Layer, mapping: Mapping) -> list[str]:
    """For each memory below the outermost and each array axis, whether its limit is reached."""
    lines = []
    for room in rooms(layer, accelerator, mapping):
        name = clean(f"{room.memory} {room.part}".strip())
        capacity = "" if room.capacity_bits is None else f" of {room.capacity_bits:,}"
        grows = ", ".join(f"{dim} to {size}" for dim, size in room.grows.items())
        state = "full: no tile can grow" if room.full else f"room for {grows}" if grows else "holds all it could use"
        lines.append(f"  {name}: {room.used_bits:,}{capacity} bits; {state}")
    for use in axis_uses(accelerator, mapping):
        state = "used up" if use.full else "not used up"
        lines.append(f"  {clean(use.axis)}: {use.used:,} of {use.size:,} instances; {state}")
    return lines


def constraint_lines(layer: Layer, mapping: Mapping, constraints: Sequence[Restriction]) -> list[str]:
    """Every constraint of the user's; for limits, what the mapping has and whether that is the most allowed."""
    lines = []
    for each in constraints:
        have = reached(each, layer, mapping)
        state = "" if have is None else f": {have:,}"
        if have is not None and isinstance(each, (TileLimit, SpreadLimit)) and have < layer.dims[each.dim]:
            state += ", no more allowed" if have == each.at_most else ""
        lines.append(f"  asked by {clean(placed(each))}{state}")
    return lines


def rival_lines(layer: Layer, accelerator: Accelerator, table: EnergyTable, mapping: Mapping) -> list[str]:
    """For each memory's block of loops, what the best order with another tensor kept still would cost."""
    lines = []
    for rival in rivals(layer, accelerator, table, mapping):
        still, other = (clean(" and ".join(names)) or "nothing" for names in (rival.still, rival.other_still))
        sign = "+" if rival.more_pj >= 0 else "-"
        lines.append(
            f"  {clean(rival.memory)} keeps {still} still; keeping {other} still instead (loops "
            f"{' '.join(rival.order)}): {sign}{abs(rival.more_pj):,.1f} pJ ({sign}{abs(rival.share) * 100:.3g} %)"
        )
    return lines


def time_lines(
    row: LayerEstimate,
    accelerator: Accelerator,
    table: EnergyTable,
    objective: str = "energy",
    uneven: bool = False,
) -> list[str]:
    """Cycles of every component, the latency, and the energy that idle power takes meanwhile."""
    longest = max(len(clean(name)) for name in row.cycles_by_component)
    lines = [
        f"  {clean(name):<{longest}}  {cycles:>16,.1f} cycles{'  <- sets the pace' if name == row.bound_by else ''}"
        for name, cycles in row.cycles_by_component.items()
    ]
    lines.append(
        f"  {row.latency_cycles:,} cycles at {si(accelerator.clock_hz, 'Hz')} = {si(row.latency_s, 's')}; "
        f"compute units busy {percent(row.utilisation) or '0'} % of their steps"
    )
    for name, moved in row.traffic_bits.items():
        bits = sum(moved.values())
        more = f", {bits / row.compulsory_bits:.2f} x compulsory" if name == accelerator.memories[0].name else ""
        lines.append(f"  {clean(name)} moves {si(bits / 8, 'B')}{more}")
    if table.idle_power_w:
        lines.append(
            f"  idle power {si(table.idle_power_w, 'W')} x {si(row.latency_s, 's')} = {joules(row.static_energy_pj)}"
        )
    proof = f"proven that none {BETTER[objective]}"
    if not row.optimal:
        proof = f"not proven that none {BETTER[objective]}: the least energy is {joules(row.lower_bound_pj)} or more"
    lines.append(f"  mapping: {joules(row.energy_pj)}; among {SPACES[uneven]} within dataflow and constraints, {proof}")
    return lines


def _ledger_table(row: LayerEstimate, entries: Sequence[Entry], table: EnergyTable) -> "Iterator[RenderableType]":
    from rich.text import Text

    sources: dict[tuple[str, str], int] = {}
    lines = _ledger_lines(row, entries, table, sources)
    lines.append(["sum", "", "", "", "", energy_text(row.energy_pj, row), "100", ""])
    heads = ["", "count", "x bits", "x price\npJ/bits", "x active\nshare", "= energy\npJ", "\n%", "\nsource"]
    shown = new_table("Count x price = energy")
    used = [i for i, head in enumerate(heads) if not head or any(line[i] for line in lines)]
    for i in used:
        widest = max(len(line[i]) for line in lines)
        shown.add_column(heads[i], justify="right" if i else "left", no_wrap=bool(i), min_width=widest if i else 0)
    for line in lines:
        if line[0] == "sum":
            shown.add_section()
        shown.add_row(*(Text(line[i]) for i in used), style="bold" if line[0] == "sum" else "")
    yield shown
    for (source, tier), number in sources.items():
        yield Text(f"[{number}] {tier}: {clean(source) or 'no source'}")


def _ledger_lines(
    row: LayerEstimate, entries: Sequence[Entry], table: EnergyTable, sources: dict[tuple[str, str], int]
) -> list[list[str]]:
    """A line for each counted number, for what is gated, and for idle power; `sources` collects the footnotes."""
    lines = []
    whole = row.energy_pj or 1.0
    for entry in entries:
        active = entry.active_share < 1
        count = f"{entry.count:,}"
        gated_pj = entry.gated_pj * entry.count * (1 - entry.active_share)
        done_pj = entry.energy_pj - gated_pj
        lines.append(
            [
                clean(f"{entry.component} {entry.action} {entry.tensor.replace('_', ' ')}"),
                count,
                f"{entry.bits:.6g}" if entry.price.width_bits else _adders(entry, entry.price),
                price_text(entry.price),
                f"{entry.active_share:.6g}" if active else "",
                energy_text(done_pj, row),
                percent(done_pj / whole),
                _mark(sources, entry.price),
            ]
        )
        if entry.gated:
            what = [clean(f"{entry.component} gated"), count, _adders(entry, entry.gated), price_text(entry.gated)]
            share = [f"{1 - entry.active_share:.6g}", energy_text(gated_pj, row), percent(gated_pj / whole)]
            lines.append([*what, *share, _mark(sources, entry.gated)])
    if table.idle_power_w:
        idle = Price(table.idle_power_w, table.idle_power_source, table.idle_power_tier)
        what = ["idle power", f"{row.latency_s:.6g} s", "", f"{idle.pj:.6g} W", ""]
        static = [energy_text(row.static_energy_pj, row), percent(row.static_energy_pj / whole)]
        lines.append([*what, *static, _mark(sources, idle)])
    return lines


def _adders(entry: Entry, price: Price) -> str:
    return f"{entry.full_adders:.6g} FA" if price.per_full_adder else ""


def energy_text(energy_pj: float, row: LayerEstimate) -> str:
    """Picojoules with as many decimals as it takes to check a product by hand."""
    return f"{energy_pj:,.{3 if row.energy_pj < 1e6 else 1}f}"


def price_text(price: Price) -> str:
    """pJ as the table has them: "312/16" for an access of 16 bits, "0.005/FA" a full adder, else one operation."""
    return f"{price.pj:.6g}" + (f"/{price.width_bits}" if price.width_bits else "/FA" * price.per_full_adder)


def _mark(sources: dict[tuple[str, str], int], price: Price) -> str:
    """The number of a source among the footnotes, which it joins at its first use."""
    return f"[{sources.setdefault((price.source, price.tier), len(sources) + 1)}]"


def _spread(mapping: Mapping) -> int:
    """How many compute units the spatial loops put to work at most."""
    at_work = 1
    for item in mapping.nest:
        if isinstance(item, Loop) and item.axis is not None:
            at_work *= item.bound
    return at_work
