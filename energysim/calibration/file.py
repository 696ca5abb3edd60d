"""A calibration as a YAML file, and back: what was fitted, on what, how sure, where it holds, and a hash of it all."""

from collections.abc import Sequence
from dataclasses import fields
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Any

from energysim.calibration.calibration import Calibration, Coefficient, Row, Scope
from energysim.calibration.times import TIME_MODELS
from energysim.errors import InputError
from energysim.yaml_fields import Field, Fields, Integer, ListOf, Number, Record, Text, read_fields
from energysim.yaml_nodes import Problems, dump, load

FORMAT = 1
_TEXT, _NUMBER = Text(), Number()
_ANY_NUMBER = Number(minimum=-1e15)

_COEFFICIENT = Record(
    "coefficient",
    {
        "name": Field(_TEXT, "time, or what it prices"),
        "components": Field(ListOf(_TEXT), "components whose nominal prices are multiplied"),
        "value": Field(_NUMBER, "watts of time, else a factor"),
        "low": Field(_NUMBER, "lower end, 90 %"),
        "high": Field(_NUMBER, "upper end, 90 %"),
        "bootstrap_low": Field(_NUMBER, "lower end over resampled rows"),
        "bootstrap_high": Field(_NUMBER, "upper end over resampled rows"),
    },
)
_SCOPE = Record(
    "scope",
    {
        "accelerator": Field(_TEXT, "what it was made on"),
        "accelerator_sha256": Field(_TEXT, "of the accelerator's resolved text"),
        "technology_nm": Field(_NUMBER, "process node", None),
        "dataflow": Field(_TEXT, "restriction of the mappings"),
        "bits": Field(ListOf(Integer(1, 64), minimum_items=1), "bits of operands"),
    },
)
_ROW = Record(
    "row",
    {
        "name": Field(_TEXT, "what was measured"),
        "measured_pj": Field(Number(exclusive=True), "energy"),
        "nominal_pj": Field(_NUMBER, "at nominal prices"),
        "fitted_pj": Field(_NUMBER, "at fitted prices"),
        "left_out_pj": Field(_NUMBER, "from a fit without this row"),
        "leverage": Field(_ANY_NUMBER, "0..1"),
    },
)
CALIBRATION = Record(
    "calibration",
    {
        "energysim_calibration": Field(Integer(1), "format of this file"),
        "version": Field(_TEXT, "of energysim that made it"),
        "data": Field(_TEXT, "name of the measurements"),
        "data_sha256": Field(_TEXT, "of their file"),
        "scope": Field(_SCOPE, "where it holds"),
        "time_model": Field(Text(choices=tuple(TIME_MODELS)), "how time is predicted"),
        "excluded": Field(ListOf(_TEXT), "components that were not in the measured number"),
        "coefficients": Field(ListOf(_COEFFICIENT, minimum_items=1), "what was fitted"),
        "strength": Field(_NUMBER, "of the prior"),
        "covariance": Field(ListOf(ListOf(_ANY_NUMBER)), "of the coefficients, in units of noise squared"),
        "noise": Field(_NUMBER, "relative standard deviation of a row"),
        "freedom": Field(Number(minimum=1), "degrees of freedom"),
        "rows": Field(ListOf(_ROW, minimum_items=1), "the data, fitted and left out"),
        "condition": Field(_ANY_NUMBER, "condition number; -1: infinite"),
        "remarks": Field(ListOf(_TEXT), "what the data cannot say"),
        "left_out_networks": Field(_NUMBER, "mean absolute error by networks left out", None),
        "conformal": Field(_NUMBER, "jackknife half width, 90 %", None),
        "in_sample": Field(_NUMBER, "mean absolute error"),
        "left_out": Field(_NUMBER, "mean absolute error, each row left out"),
        "sha256": Field(_TEXT, "of all lines above it"),
    },
)


def to_text(calibration: Calibration) -> str:
    """The YAML text of a calibration; its last line is the hash of what stands above."""
    plain: dict[str, Any] = {"energysim_calibration": FORMAT, "version": calibration.version}
    for field in fields(Calibration):
        value = getattr(calibration, field.name)
        if field.name != "version" and value is not None:
            plain[field.name] = _plain(value)
    plain["condition"] = calibration.condition if isfinite(calibration.condition) else -1.0
    plain["in_sample"], plain["left_out"] = calibration.in_sample, calibration.left_out
    text = dump(plain)
    return f"{text}sha256: {_hash(text)}\n"


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Coefficient | Scope | Row):
        pairs = ((field.name, getattr(value, field.name)) for field in fields(value))
        return {name: _plain(each) for name, each in pairs if each is not None}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(each) for each in value]
    return value


def read_calibration(path: str | Path) -> tuple[Calibration, tuple[str, ...]]:
    """The calibration in a file, and a warning when it was edited by hand; raises InputError for what it is not."""
    given = read_fields(load(path), CALIBRATION)
    problems = Problems(given.node.file)
    size = len(given["coefficients"])
    if given["energysim_calibration"] != FORMAT:
        problems.add(given.at("energysim_calibration"), f"format {given['energysim_calibration']}; this reads {FORMAT}")
    if len(given["covariance"]) != size or any(len(row) != size for row in given["covariance"]):
        problems.add(given.at("covariance"), f"covariance must be {size} x {size}, one row for each coefficient")
    problems.check()
    text = Path(path).read_text("utf-8-sig").replace("\r\n", "\n")
    above, mark, _ = text.rpartition("sha256: ")
    edited = not mark or _hash(above) != given["sha256"]
    warning = f"{given.node.file}: was edited after energysim wrote it (its hash does not match)"
    return _calibration(given), (warning,) if edited else ()


def _calibration(given: Fields) -> Calibration:
    values = {field.name: given[field.name] for field in fields(Calibration)}
    values["scope"] = Scope(**{**given["scope"], "bits": tuple(given["scope"]["bits"])})
    values["coefficients"] = tuple(
        Coefficient(**{**each, "components": tuple(each["components"])}) for each in given["coefficients"]
    )
    values["covariance"] = tuple(tuple(row) for row in given["covariance"])
    values["rows"] = tuple(Row(**row) for row in given["rows"])
    values["excluded"], values["remarks"] = tuple(given["excluded"]), tuple(given["remarks"])
    values["condition"] = given["condition"] if given["condition"] >= 0 else float("inf")
    known = {component for each in values["coefficients"] for component in each.components}
    clash = known & set(values["excluded"])
    if clash:
        raise InputError(f"{given.node.file}: {', '.join(sorted(clash))} is both fitted and excluded")
    return Calibration(**values)
