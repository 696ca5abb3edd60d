"""What ships with energysim, as tables: networks, accelerators, and one accelerator's hierarchy."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from energysim.hardware.describe import bits_in_words, hierarchy_rows
from energysim.hardware.read import DescribedAccelerator
from energysim.report.tables import new_table
from energysim.report.text import clean, si
from energysim.workload.graph import LayerGraph

if TYPE_CHECKING:
    from rich.table import Table


def models_table(models: Sequence[LayerGraph]) -> "Table":
    """One row per network: layers, dense MACs, trained numbers."""
    from rich.text import Text

    table = new_table()
    for name, justify in (("model", "left"), ("layers", "right"), ("MACs", "right"), ("parameters", "right")):
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for model in models:
        numbers = str(len(model.layers)), si(model.macs, ""), si(model.parameters, "")
        table.add_row(Text(clean(model.name)), *numbers)
    return table


def accelerators_table(described: Sequence[DescribedAccelerator]) -> "Table":
    """One row per accelerator: size, clock, how far its prices can be trusted, and who says so."""
    from rich.text import Text

    table = new_table()
    table.add_column("accelerator", no_wrap=True)
    for name in ("compute units", "on chip", "clock", "nm"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("weakest price", no_wrap=True)
    table.add_column("source", overflow="fold")
    for one in described:
        facts = one.accelerator
        held = [(m.capacity_bits, m.partitions, facts.instances(m.name)) for m in facts.memories]
        bits = sum((whole + sum(parts.values())) * times for whole, parts, times in held if whole is not None)
        node = f"{facts.technology_nm:g}" if facts.technology_nm else ""
        table.add_row(
            Text(clean(one.name)),
            f"{facts.instances(facts.compute.name):,}",
            bits_in_words(bits),
            si(facts.clock_hz, "Hz"),
            node,
            one.weakest_tier,
            Text(clean(facts.source)),
        )
    return table


def hierarchy_table(described: DescribedAccelerator) -> "Table":
    """One row per level of an accelerator, outermost first."""
    from rich.text import Text

    rows = hierarchy_rows(described)
    table = new_table(f"{clean(described.name)}, outermost first")
    for name in rows[0]:
        table.add_column(name, overflow="fold", justify="right" if name == "instances" else "left")
    for row in rows:
        table.add_row(*(Text(clean(cell)) for cell in row.values()))
    return table
