"""A compressed model on the terminal and as data: each weight's error, and its size by every convention."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from math import isnan
from typing import TYPE_CHECKING, Any

from energysim.compressed.model import CompressedModel
from energysim.compressed.size import CONVENTIONS, MIB_BITS, SizeReport, size_report
from energysim.report.tables import NAME_CELLS, new_table
from energysim.report.text import clean, decimals, si

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


def compression_parts(model: CompressedModel) -> "Iterator[RenderableType]":
    """What sharing did to each weight, the sizes, the coverage, the notes."""
    from rich.text import Text

    sizes = size_report(model)
    text = model.recipe.get("text", "")
    yield Text(f"{clean(model.name)}: {clean(str(text))}" if text else clean(model.name))
    if model.report:
        yield weights_table(model)
        yield Text()
    yield from size_parts(model, sizes)


def size_parts(model: CompressedModel, sizes: SizeReport) -> "Iterator[RenderableType]":
    """Where the bits are, sizes by convention, coverage, notes."""
    from rich.text import Text

    yield parts_table(sizes)
    yield Text()
    yield conventions_table(sizes)
    yield Text()
    yield Text(coverage_line(sizes))
    if model.ties:
        yield Text(f"tied, shared once: {', '.join(f'{clean(a)} = {clean(b)}' for a, b in model.ties.items())}")
    for note in model.notes:
        yield Text(f"note: {clean(note)}", style="yellow")


def coverage_line(sizes: SizeReport) -> str:
    """As in "20 of 21 weight tensors shared, 95.6 % of all bytes"."""
    done, of, share = sizes.coverage()
    return f"{done} of {of} weight tensors shared, {share * 100:.1f} % of all bytes"


def weights_table(model: CompressedModel) -> "Table":
    """One row per shared weight."""
    from rich.text import Text

    table = new_table()
    table.add_column("weight", max_width=NAME_CELLS, overflow="fold")
    for name in ("samples", "of", "K", "bits", "entropy", "distinct", "MSE", "SQNR dB", "cosine"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for line in model.report:
        table.add_row(
            Text(clean(line.name)),
            f"{line.samples:,}",
            str(line.length),
            f"{line.clusters:,}",
            str(line.index_bits),
            f"{line.entropy_bits:.2f}",
            f"{line.distinct_values:,}",
            f"{line.mse:.2e}" if line.mse else "0",
            "exact" if line.sqnr_db is None else f"{line.sqnr_db:.1f}",
            "" if line.cosine is None else f"{line.cosine:.4f}",
            Text(clean("; ".join(line.notes))),
        )
    return table


def parts_table(sizes: SizeReport) -> "Table":
    """One row per part of the model: what it takes."""
    table = new_table()
    table.add_column("part", no_wrap=True)
    for name in ("bytes", "MiB"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, bits in sizes.totals_bits().items():
        table.add_row(name, f"{bits / 8:,.0f}", f"{bits / MIB_BITS:.3f}")
    return table


def conventions_table(sizes: SizeReport) -> "Table":
    """One row per convention: size, ratio, and what it counts."""
    table = new_table()
    table.add_column("convention", no_wrap=True)
    for name in ("MiB", "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("counts", overflow="fold")
    for name, convention in CONVENTIONS.items():
        ratio = sizes.ratio(name)
        times = "" if isnan(ratio) else decimals(ratio, 4)
        table.add_row(name, f"{sizes.size_bits(name) / MIB_BITS:.3f}", times, convention.about)
    return table


def compression_data(model: CompressedModel, sizes: SizeReport) -> dict[str, Any]:
    """Everything that is printed, as JSON holds it; sizes in bits, ratios None where a convention counts nothing."""
    done, of, share = sizes.coverage()
    ratios = {name: sizes.ratio(name) for name in CONVENTIONS}
    return {
        "model": model.name,
        "tool": model.tool,
        "recipe": dict(model.recipe),
        "coverage": {"shared_weights": done, "weights": of, "share_of_bytes": share},
        "totals_bits": sizes.totals_bits(),
        "conventions": {
            name: {
                "about": convention.about,
                "size_bits": sizes.size_bits(name),
                "ratio": None if isnan(ratios[name]) else ratios[name],
            }
            for name, convention in CONVENTIONS.items()
        },
        "tensors": [asdict(row) for row in sizes.rows],
        "weights": [asdict(line) for line in model.report],
        "ties": dict(model.ties),
        "notes": list(model.notes),
    }


def rendered_compression(model: CompressedModel, form: str) -> str:
    """The report as text, "json" or "csv" (one line per tensor)."""
    sizes = size_report(model)
    if form == "json":
        return json.dumps(compression_data(model, sizes), indent=2, allow_nan=False) + "\n"
    out = io.StringIO()
    rows = [asdict(row) for row in sizes.rows]
    writer = csv.DictWriter(out, list(rows[0]) if rows else ["name"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def written(path: str, size_bytes: int) -> str:
    """As in "wrote model.energysim, 1.57 MB"."""
    return f"wrote {clean(path)}, {si(size_bytes, 'B')}"
