"""A user's own measurements: a CSV with units in its header, one row for each layer or whole network."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import isfinite
from pathlib import Path

from energysim.errors import InputError, nearest
from energysim.yaml_nodes import Problems, shown

MAXIMUM_BYTES = 1 << 23

ENERGY_PJ = {"pj": 1.0, "nj": 1e3, "uj": 1e6, "mj": 1e9, "j": 1e12}
TIME_S = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
POWER_W = {"uw": 1e-6, "mw": 1e-3, "w": 1.0}
UNITS = {"energy": ENERGY_PJ, "latency": TIME_S, "power": POWER_W}
"""Quantities of a header and the units they come in: `energy_mj`, `latency_ms`, `power_mw`."""

TEXTS = ("model", "layer", "bits")
NUMBERS = ("batch", "input_zeros_percent", "output_zeros_percent")
COLUMNS = (*TEXTS, *NUMBERS, *(f"{quantity}_{unit}" for quantity, units in UNITS.items() for unit in units))


@dataclass(frozen=True, slots=True)
class Measured:
    """One measured thing: energy in pJ, and where it was measured too the time in seconds.

    `network` is the model's name or file, `layer` empty for the whole network; `batch` inputs at once. `zeros` gives
    the share of zeros, 0..1, by role.
    """

    name: str
    energy_pj: float
    time_s: float | None = None
    network: str = ""
    layer: str = ""
    batch: int = 1
    bits: str | None = None
    zeros: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Measurements:
    """The rows of a file or reference, its name and the SHA-256 of its bytes."""

    name: str
    sha256: str
    rows: tuple[Measured, ...]


def read_measurements(path: str | Path) -> Measurements:
    """The measurements in a CSV file; raises InputError with file, line and what is wrong, a line for each mistake.

    Columns: `model`, and `energy_UNIT` or `power_UNIT` with `latency_UNIT`; as wished `layer`, `batch`, `bits`,
    `latency_UNIT`, `input_zeros_percent`, `output_zeros_percent`. Comma, semicolon (then with decimal commas) or tab
    separated; a byte-order mark is skipped; lines that start with # are comments.
    """
    content = _bytes(path)
    file = shown(str(path), 4096)
    problems = Problems(file)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{file}:{line}: not UTF-8 (byte 0x{content[error.start]:02x})") from None
    lines = [(i, line) for i, line in enumerate(text.splitlines(), 1) if line.strip() and not line.startswith("#")]
    if not lines:
        raise InputError(f"{file}:1: holds nothing; the first line names the columns")
    separator = next((each for each in (";", "\t") if each in lines[0][1]), ",")
    cells = [(i, _split(line, separator, file, i)) for i, line in lines]
    head_line, head = cells[0]
    head = [name.strip().lower() for name in head]
    _check_head(head, head_line, problems)
    problems.check()
    rows: list[Measured] = []
    seen: dict[str, int] = {}
    for line, row in cells[1:]:
        if len(row) != len(head):
            problems.add(line, f"{len(row)} cells, the header names {len(head)} columns")
            continue
        measured = _row(dict(zip(head, (cell.strip() for cell in row), strict=True)), line, separator, problems)
        if measured is None:
            continue
        if measured.name in seen:
            problems.add(line, f"'{shown(measured.name)}' was measured before, on line {seen[measured.name]}")
        seen.setdefault(measured.name, line)
        rows.append(measured)
    problems.check()
    if not rows:
        raise InputError(f"{file}:{head_line}: names columns, but no row follows")
    return Measurements(Path(path).name, sha256(content).hexdigest(), tuple(rows))


def _bytes(path: str | Path) -> bytes:
    file = shown(str(path), 4096)
    try:
        if Path(path).is_dir():
            raise InputError(f"{file}: is a directory, not a CSV file")
        with Path(path).open("rb") as stream:
            content = stream.read(MAXIMUM_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"{file}: no such file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > MAXIMUM_BYTES:
        raise InputError(f"{file}: is larger than 8 MiB; no table of measurements is")
    if b"\0" in content:
        raise InputError(f"{file}: not a text (it holds zero bytes); save it as UTF-8")
    return content


def _split(line: str, separator: str, file: str, number: int) -> list[str]:
    try:
        (cells,) = csv.reader(io.StringIO(line), delimiter=separator, strict=True)
    except (csv.Error, ValueError):
        raise InputError(f"{file}:{number}: not CSV; is a quote left open?") from None
    return cells


def _check_head(head: Sequence[str], line: int, problems: Problems) -> None:
    """Note columns that are unknown, double, without unit or missing."""
    for name in head:
        if name in UNITS:
            units = ", ".join(f"{name}_{unit}" for unit in UNITS[name])
            problems.add(line, f"column '{name}' has no unit; write one of {units}")
        elif name not in COLUMNS:
            hint = nearest(name[:100], COLUMNS) or f"; known: {', '.join(COLUMNS)}"
            problems.add(line, f"unknown column '{shown(name)}'{hint}")
        if head.count(name) > 1:
            problems.add(line, f"column '{shown(name)}' is there {head.count(name)} times")
    for quantity in UNITS:
        given = [name for name in head if _quantity(name) == quantity]
        if len(given) > 1:
            problems.add(line, f"columns {' and '.join(given)} both give the {quantity}")
    if problems.found:
        return
    has = {_quantity(name) for name in head}
    if "model" not in head:
        problems.add(line, "column 'model' is missing: the name or file of the network that was measured")
    if "energy" not in has and not {"power", "latency"} <= has:
        problems.add(line, "no energy: give a column energy_mj (or another unit), or power_mw and latency_ms")
    if {"energy", "power"} <= has:
        problems.add(line, "both energy and power are given; leave one out")


def _quantity(name: str) -> str | None:
    """The quantity of a column with a unit."""
    quantity, _, unit = name.rpartition("_")
    return quantity if unit in UNITS.get(quantity, {}) else None


def _row(cells: Mapping[str, str], line: int, separator: str, problems: Problems) -> Measured | None:
    """One row as values; None after noting what is wrong."""
    before = len(problems.found) + problems.more
    values: dict[str, float] = {}
    for name, cell in cells.items():
        quantity = _quantity(name)
        if quantity is not None and (cell or quantity != "latency"):
            value = _number(cell, name, line, separator, problems)
            if value is not None and value <= 0:
                problems.add(line, f"{name} is {shown(cell)}; it must be above 0")
            elif value is not None:
                values[quantity] = value * UNITS[quantity][name.rpartition("_")[2]]
        elif name in NUMBERS and cell:
            value = _number(cell, name, line, separator, problems)
            if value is not None:
                values[name] = value
    batch = values.get("batch", 1.0)
    if batch < 1 or batch != int(batch) or batch > 1 << 20:
        problems.add(line, f"batch is {shown(cells['batch'])}; it must be an integer of at least 1")
    zeros = {}
    for role in ("input", "output"):
        percent = values.get(f"{role}_zeros_percent")
        if percent is not None and not 0 <= percent <= 100:
            problems.add(line, f"{role}_zeros_percent is {percent:g}; it must be 0 to 100")
        elif percent is not None:
            zeros[role] = percent / 100
    if not cells["model"]:
        problems.add(line, "model is empty")
    if "power" in values and "latency" not in values:
        problems.add(line, "power is given without a latency")
    if len(problems.found) + problems.more > before:
        return None
    energy = values["energy"] if "energy" in values else values["power"] * values["latency"] * 1e12
    layer, bits = cells.get("layer", ""), cells.get("bits") or None
    name = " ".join(part for part in (cells["model"], layer, f"x{batch:g}" if batch > 1 else "", bits or "") if part)
    return Measured(name, energy, values.get("latency"), cells["model"], layer, int(batch), bits, zeros)


def _number(cell: str, name: str, line: int, separator: str, problems: Problems) -> float | None:
    text = cell.replace(",", ".") if separator == ";" and re.fullmatch(r"[-+]?\d*,\d+([eE][-+]?\d+)?", cell) else cell
    try:
        value = float(text)
    except ValueError:
        says = f"the text '{shown(cell)}'" if cell else "nothing"
        problems.add(line, f"{name} must be a number, not {says}")
        return None
    if not isfinite(value) or "_" in text:
        problems.add(line, f"{name} is {shown(cell)}; it must be a finite number")
        return None
    return value
