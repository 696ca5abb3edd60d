"""Reference data that ships with energysim: a CSV of numbers, and beside it a YAML card that says what they are."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType

from energysim.errors import unknown
from energysim.yaml_fields import Field, ListOf, MapOf, Record, Text, read_fields
from energysim.yaml_nodes import load, shown

REFERENCE = Path(__file__).resolve().parent / "reference"

KINDS = ("measurement", "model", "parameters")
"""What a reference holds: what was measured, what another model says, or how a measured workload was run."""

_TEXT = Text()
CARD = Record(
    "card",
    {
        "title": Field(_TEXT, "one line"),
        "kind": Field(Text(choices=KINDS), "whether anything was measured"),
        "source": Field(_TEXT, "who published it, and who transcribed it"),
        "licence": Field(_TEXT, "under which it may be copied"),
        "measured": Field(_TEXT, "what was measured, and how"),
        "not_in_the_number": Field(ListOf(_TEXT), "what one might think is included and is not"),
        "columns": Field(MapOf(_TEXT), "every column of the CSV: its meaning and unit"),
        "doubts": Field(ListOf(_TEXT), "what is known to be uncertain"),
        "accelerator": Field(_TEXT, "the packaged accelerator it is about", None),
    },
)


@dataclass(frozen=True, slots=True)
class Reference:
    """Reference data and its card; `rows` are text by column, `sha256` is that of the CSV's bytes."""

    name: str
    title: str
    kind: str
    source: str
    licence: str
    measured: str
    not_in_the_number: tuple[str, ...]
    columns: Mapping[str, str]
    doubts: tuple[str, ...]
    accelerator: str | None
    rows: tuple[Mapping[str, str], ...]
    sha256: str


def reference_names() -> tuple[str, ...]:
    """Names of all reference data, sorted."""
    return tuple(sorted(path.stem for path in REFERENCE.glob("*.yaml")))


def read_reference(name: str) -> Reference:
    """The reference data of a name with its card; raises UnknownNameError."""
    if name not in reference_names():
        raise unknown("reference", shown(name), reference_names())
    card = read_fields(load(REFERENCE / f"{name}.yaml"), CARD)
    content = (REFERENCE / f"{name}.csv").read_bytes()
    lines = content.decode("utf-8").splitlines()
    rows = csv.DictReader(line for line in lines if not line.startswith("#"))
    return Reference(
        name=name,
        title=card["title"],
        kind=card["kind"],
        source=card["source"],
        licence=card["licence"],
        measured=card["measured"],
        not_in_the_number=tuple(card["not_in_the_number"]),
        columns=MappingProxyType(dict(card["columns"])),
        doubts=tuple(card["doubts"]),
        accelerator=card["accelerator"],
        rows=tuple(MappingProxyType(row) for row in rows),
        sha256=sha256(content).hexdigest(),
    )


def rows_by(name: str, column: str) -> dict[str, Mapping[str, str]]:
    """The rows of a reference by what stands in one column."""
    return {row[column]: row for row in read_reference(name).rows}
