"""The papers' metrics on the terminal and as JSON."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from energysim.costs.metrics import LayerMetrics, Metrics
from energysim.report.tables import NAME_CELLS, new_table
from energysim.report.text import clean, in_one_unit, percent, si

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import RenderableType
    from rich.table import Table

COLUMNS: "tuple[tuple[str, str, Callable[[LayerMetrics], float]], ...]" = (
    ("MACs", "", lambda row: row.macs),
    ("full adders", "", lambda row: row.full_adders),
    ("at least", "", lambda row: row.least_full_adders),
    ("weight\nuses", "b", lambda row: row.weight_cost_bits),
    ("index\nuses", "b", lambda row: row.index_cost_bits),
    ("activation\nuses", "b", lambda row: row.activation_cost_bits),
    ("weights\nstored", "B", lambda row: row.stored_weight_bits / 8),
    ("compulsory\ntraffic", "B", lambda row: row.compulsory_bits / 8),
    ("DeepK total\nMAC units", "", lambda row: row.mac_units),
)
"""Head, unit and number of each column."""


def metrics_json(found: Metrics, options: dict[str, object]) -> str:
    """Rows, totals and what was asked, as JSON: sorted keys, whole numbers of bits and full adders."""
    data = {
        "model": found.model,
        "options": options,
        "exact": list(found.exact),
        "layers": [asdict(row) for row in found.layers],
        "totals": {key: value for key, value in asdict(found.total).items() if key not in ("name", "op")},
    }
    return json.dumps(data, sort_keys=True, indent=2, allow_nan=False) + "\n"


def metrics_parts(found: Metrics, said: str = "") -> "Iterator[RenderableType]":
    """One row per layer with MACs or weights, the totals, and DeepK's total in parts; `said` is what was asked."""
    from rich.text import Text

    yield metrics_table(found, said)
    yield Text()
    for line in sentences(found):
        yield Text(line)


def metrics_table(found: Metrics, said: str = "") -> "Table":
    """Numbers of a column in one unit; columns with nothing in them, or nothing of their own, are left out."""
    from rich.text import Text

    total = found.total
    shown = [row for row in found.layers if row.macs or row.stored_weight_bits]
    every = [*shown, total]
    table = new_table(f"{clean(found.model)}{said}")
    table.add_column("layer", max_width=NAME_CELLS, no_wrap=True, overflow="ellipsis")
    cells = []
    for head, unit, number in COLUMNS:
        values = [float(number(row)) for row in every]
        if not any(values) or (head == "at least" and total.least_full_adders == total.full_adders):
            continue
        texts, prefix = in_one_unit(values, unit)
        table.add_column(f"{head}\n{prefix}", justify="right", no_wrap=True)
        cells.append([text if value else "" for text, value in zip(texts, values, strict=True)])
    table.add_column("%", justify="right")
    for i, row in enumerate(every):
        if row is total:
            table.add_section()
        share = percent(row.mac_units / total.mac_units) if total.mac_units and row is not total else ""
        name = Text(clean(row.name))
        table.add_row(name, *(column[i] for column in cells), share, style="bold" if row is total else "")
    return table


def sentences(found: Metrics) -> list[str]:
    """DeepK's total in parts, and what stored weights and compulsory traffic are."""
    total = found.total
    moved = {
        "weights": total.weight_cost_bits,
        "indices": total.index_cost_bits,
        "activations": total.activation_cost_bits,
    }
    adders = total.mac_units - sum(moved.values()) * 6 / 32
    parts = [f"{adders:.4g} full adders"]
    parts += [f"{bits * 6 / 32:.4g} {name}" for name, bits in moved.items() if bits]
    said = [
        f"DeepK's total, in 16-bit MACs of the layer's own dot product: {total.mac_units:.4g} = {' + '.join(parts)}"
    ]
    if found.exact:
        said.append(
            f"full adders of {len(found.exact)} of {len(found.layers)} layers follow from their indices: a product of "
            "a shared sample and an input is computed once"
        )
    if total.least_mac_units < total.mac_units:
        said.append(
            f"at least {total.least_mac_units:.4g}, if all weights that meet an activation are shared; "
            "which of the two it is depends on the indices"
        )
    said.append(
        f"weights at rest take {si(total.stored_weight_bits / 8, 'B')}; every weight, input and output once "
        f"{si(total.compulsory_bits / 8, 'B')}"
    )
    return said
