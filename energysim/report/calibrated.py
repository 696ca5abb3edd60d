"""References, calibrations and calibrated estimates as tables and sentences."""

from collections.abc import Iterator
from math import isinf
from typing import TYPE_CHECKING

from energysim.calibration.apply import CalibratedEstimate, CalibratedLayer
from energysim.calibration.calibration import TIME, Calibration
from energysim.calibration.references import Reference
from energysim.report.tables import new_table
from energysim.report.text import clean, in_one_unit, joules, scale_of, si

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

SURE = "(90 %)"


def references_table(references: "list[Reference]") -> "Table":
    """One row per reference: what it is, how many rows, whose."""
    from rich.text import Text

    table = new_table()
    for name in ("reference", "kind", "rows", "accelerator", "title"):
        table.add_column(name, justify="right" if name == "rows" else "left", overflow="fold")
    for each in references:
        cells = each.name, each.kind, str(len(each.rows)), each.accelerator or "", each.title
        table.add_row(*(Text(clean(cell)) for cell in cells))
    return table


def reference_parts(reference: Reference) -> "Iterator[RenderableType]":
    """The card of a reference, then its data."""
    from rich.text import Text

    yield Text(f"{reference.name}: {clean(reference.title)}", style="bold")
    said = {
        "kind": (reference.kind,),
        "source": (reference.source,),
        "licence": (reference.licence,),
        "measured": (reference.measured,),
        "not in the number": reference.not_in_the_number,
        "doubts": reference.doubts,
        "accelerator": (reference.accelerator or "",),
        "SHA-256": (reference.sha256,),
    }
    for name, texts in said.items():
        for text in filter(None, texts):
            yield Text(f"{name}: {clean(text)}")
    for name, text in reference.columns.items():
        yield Text(f"column {name}: {clean(text)}")
    yield Text()
    table = new_table()
    for name in reference.columns:
        table.add_column(name, justify="left" if name in _WORDS else "right", overflow="fold")
    for row in reference.rows:
        table.add_row(*(Text(clean(row[name])) for name in reference.columns))
    yield table


_WORDS = frozenset({"layer", "network", "round", "organisation", "system", "benchmark", "processor", "software"})


def interval_text(layer: CalibratedLayer) -> str:
    """As in "8.02 mJ [7.4, 8.7] (90 %)": three digits of the energy, its interval to the same place but one."""
    scale, prefix = scale_of(layer.energy_pj * 1e-12, "J")
    ends = [end * 1e-12 / scale for end in (layer.low_pj, layer.high_pj)]
    places = max(0, len(joules(layer.energy_pj).split()[0].partition(".")[2]) - 1)
    low, high = (f"{end:.{places}f}" for end in ends)
    return f"{joules(layer.energy_pj).split()[0]} {prefix}J [{low}, {high}] {SURE}"


def calibration_parts(calibration: Calibration) -> "Iterator[RenderableType]":
    """What was fitted, how well each row is met, and what the data cannot say."""
    from rich.text import Text

    table = new_table(f"Fitted to {clean(calibration.data)}: {len(calibration.rows)} rows")
    for name, justify in (("coefficient", "left"), ("value", "right"), ("90 %", "left"), ("bootstrap", "left")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    table.add_column("prices", overflow="fold")
    for each in calibration.coefficients:
        ends = (f"{low:.3g} to {high:.3g}" for low, high in _ends(each))
        priced = "power that flows all the time" if each.name == TIME else ", ".join(each.components)
        table.add_row(each.name, f"{each.value:.3g} {each.unit}", *ends, Text(clean(priced)))
    yield table
    names = [row.name for row in calibration.rows]
    measured, unit = in_one_unit([row.measured_pj * 1e-12 for row in calibration.rows], "J")
    table = new_table("Row by row: error of nominal prices, in sample, and left out")
    for name in ("row", f"measured {unit}", "nominal", "in sample", "left out", "leverage"):
        table.add_column(name, justify="left" if name == "row" else "right", no_wrap=True)
    for name, value, row in zip(names, measured, calibration.rows, strict=True):
        errors = (f"{error:+.1%}" for error in (row.nominal_error, row.error, row.left_out_error))
        table.add_row(Text(clean(name)), value, *errors, f"{row.leverage:.2f}")
    yield Text()
    yield table
    for line in calibration_sentences(calibration):
        yield Text(line)
    for line in calibration.remarks:
        yield Text(f"note: {clean(line)}", style="yellow")


def _ends(each: "object") -> "tuple[tuple[float, float], tuple[float, float]]":
    from energysim.calibration.calibration import Coefficient

    assert isinstance(each, Coefficient)  # noqa: S101
    return (each.low, each.high), (each.bootstrap_low, each.bootstrap_high)


def calibration_sentences(calibration: Calibration) -> list[str]:
    """How good it is, and where it holds."""
    rows = len(calibration.rows)
    nominal = sum(abs(row.nominal_error) for row in calibration.rows) / rows
    condition = "infinite" if isinf(calibration.condition) else f"{calibration.condition:.1f}"
    found = [
        f"mean absolute error of {rows} rows: each left out {calibration.left_out:.1%}, in sample "
        f"{calibration.in_sample:.1%}, nominal prices {nominal:.1%}; {len(calibration.coefficients)} fitted, prior "
        f"{calibration.strength:g}, condition number {condition}",
    ]
    if calibration.left_out_networks is not None:
        found.append(f"whole networks left out: {calibration.left_out_networks:.1%}")
    if calibration.conformal is not None:
        found.append(f"jackknife half width (90 %, no assumption on the noise): {calibration.conformal:.1%}")
    scope = calibration.scope
    bits = ", ".join(map(str, scope.bits))
    node = f"{scope.technology_nm:g} nm" if scope.technology_nm else "unknown node"
    found.append(
        f"holds for {clean(scope.accelerator)}, {node}, dataflow {clean(scope.dataflow)}, {bits} bits; time by "
        f"{calibration.time_model}"
    )
    if calibration.excluded:
        found.append(f"not in the measured number: {', '.join(map(clean, calibration.excluded))} (nominal prices stay)")
    return found


def calibrated_parts(calibrated: CalibratedEstimate) -> "Iterator[RenderableType]":
    """Layer by layer with intervals, the total, and what it rests on."""
    from rich.text import Text

    rows = (*calibrated.layers, calibrated.total)
    every = [value for row in rows for value in (row.energy_pj, row.low_pj, row.high_pj, row.uncalibrated_pj)]
    texts, unit = in_one_unit([value * 1e-12 for value in every], "J")
    times, time_unit = in_one_unit([row.time_s for row in rows], "s")
    others = ", ".join(map(clean, calibrated.excluded))
    table = new_table(f"Calibrated on {clean(calibrated.calibration.data)}" + (f", without {others}" if others else ""))
    table.add_column("layer", overflow="ellipsis")
    heads = [f"energy {unit}", "90 % from", "to", f"time {time_unit}", *([f"{others} {unit}"] if others else [])]
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    for i, row in enumerate(rows):
        energy, low, high, other = texts[4 * i : 4 * i + 4]
        if row is calibrated.total:
            table.add_section()
        table.add_row(Text(clean(row.name)), energy, low, high, times[i], *([other] if others else []))
    yield table
    for line in calibrated_sentences(calibrated):
        yield Text(line)
    for line in calibrated.warnings:
        yield Text(f"warning: {clean(line)}", style="yellow")


def calibrated_sentences(calibrated: CalibratedEstimate) -> list[str]:
    """The answer with its interval, and what it does not hold."""
    total, calibration = calibrated.total, calibrated.calibration
    count, layers = calibrated.own_form, len(calibrated.layers)
    own = f", but {count} of {layers} layers in the chip's own form" if count else ""
    others = ", ".join(map(clean, calibrated.excluded))
    found = [f"{interval_text(total)}{f' without {others}' if others else ''}, {si(total.time_s, 's')}"]
    if others:
        found.append(f"{others} at nominal prices, not calibrated: {joules(total.uncalibrated_pj)}")
    if calibrated.assumed_zeros:
        found.append(
            f"no zeros are given: half of the inputs that come from ReLU taken as zeros, {calibrated.assumed_zeros} of "
            f"{layers} layers, a quarter more or fewer in the interval; a file of densities (--bits FILE) replaces that"
        )
    found.append(
        f"mappings are chosen by calibrated prices{own}; {len(calibration.rows)} rows of {clean(calibration.data)}, "
        f"each left out met within {calibration.left_out:.1%} on average"
    )
    return found
