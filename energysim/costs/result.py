"""The nouns of the answer: an `Estimate` is rows of `LayerEstimate`; totals are exact sums of the rows."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from collections.abc import Mapping as Map
from dataclasses import dataclass, field, fields
from math import fsum
from typing import TYPE_CHECKING, Any, Self

from energysim.errors import InputError
from energysim.mapping.nest import Loop, Mapping, Storage

if TYPE_CHECKING:
    import pandas

IDLE, STATIC = "idle", "static"
"""The component and role under which static energy stands among the others."""

NESTED = {
    "dims": 1,
    "traffic_bits": 2,
    "cycles_by_component": 1,
    "energy_by_component_pj": 2,
    "counts": 3,
}
"""Nested fields of a row and how many keys deep they are: each becomes one flat column per path."""


@dataclass(frozen=True, slots=True)
class UsedPrice:
    """A price that an estimate paid: pJ per access of `width_bits`, or per operation where that is None.

    `per_full_adder`: for each full adder of the operation.
    """

    component: str
    action: str
    role: str
    pj: float
    width_bits: int | None
    tier: str
    source: str
    per_full_adder: bool = False


@dataclass(frozen=True, slots=True)
class LayerEstimate:
    """One layer's energy, time and counts under its mapping.

    `energy_by_component_pj`: component to role to pJ, static energy as "idle" to "static". `counts`: component to
    action to role to elements or operations. No mapping of the space searched (even mappings, of the dataflow)
    takes less than `lower_bound_pj`; `optimal`: the energy is that bound. `utilisation` is the share of compute units
    at work in a step. `compulsory_bits` counts each tensor once; `traffic_bits` what each memory really reads and
    writes. `active_share` is the share of operations that zeros do not suppress.
    """

    name: str
    op: str
    dims: Map[str, int]
    macs: int
    ops: int
    full_adders: int
    weight_bits: int
    compulsory_bits: int
    traffic_bits: Map[str, Map[str, float]]
    latency_cycles: int
    latency_s: float
    cycles_by_component: Map[str, float]
    bound_by: str
    utilisation: float
    active_share: float
    optimal: bool
    lower_bound_pj: float
    energy_by_component_pj: Map[str, Map[str, float]]
    counts: Map[str, Map[str, Map[str, int]]]
    mapping: Mapping

    @property
    def energy_pj(self) -> float:
        """Energy of the layer, static part included: the exactly rounded sum of its components and roles."""
        return fsum(pj for roles in self.energy_by_component_pj.values() for pj in roles.values())

    @property
    def static_energy_pj(self) -> float:
        """The part that idle power takes while the layer runs."""
        return self.energy_by_component_pj.get(IDLE, {}).get(STATIC, 0.0)

    def to_row(self) -> dict[str, Any]:
        """One flat row: nested fields as `field.key.key` columns, the mapping as JSON."""
        row: dict[str, Any] = {"name": self.name, "op": self.op, "energy_pj": self.energy_pj}
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name in NESTED:
                row |= {f"{each.name}.{path}": leaf for path, leaf in _leaves(value, NESTED[each.name])}
            elif each.name == "mapping":
                row["mapping"] = json.dumps(_plain_mapping(value))
            else:
                row[each.name] = value
        return row

    def to_plain(self) -> dict[str, Any]:
        """The JSON object of this layer."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        return plain | {"energy_pj": self.energy_pj, "mapping": _plain_mapping(self.mapping)}

    @classmethod
    def from_plain(cls, plain: Map[str, Any]) -> Self:
        """The layer that `to_plain` wrote."""
        values = {field.name: plain[field.name] for field in fields(cls)}
        return cls(**values | {"mapping": _read_mapping(plain["mapping"])})

    @classmethod
    def from_row(cls, row: Map[str, str]) -> Self:
        """The layer that `to_row` wrote, from the text cells of a CSV row."""
        plain: dict[str, Any] = {"mapping": json.loads(row["mapping"])}
        for each in fields(cls):
            if each.name in NESTED:
                leaf = int if each.name in ("dims", "counts") else float
                plain[each.name] = _nest(row, each.name, NESTED[each.name], leaf)
            elif each.type is bool:
                plain[each.name] = row[each.name] == "True"
            elif each.name != "mapping":
                plain[each.name] = each.type(row[each.name])  # type: ignore[operator]
        return cls.from_plain(plain)


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over all layers; floats are exactly rounded, so that their order does not matter."""

    energy_pj: float
    static_energy_pj: float
    lower_bound_pj: float
    latency_cycles: int
    latency_s: float
    macs: int
    ops: int
    full_adders: int
    weight_bits: int
    compulsory_bits: int
    energy_by_component_pj: Map[str, Map[str, float]]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a model costs on an accelerator, layer by layer, stamped with everything needed to compute it again.

    `components` lists the accelerator's parts outermost first; `options` are the resolved options; `prices` are all
    prices paid; `coverage` says how much of the model was understood (see `energysim.workload.coverage`).
    """

    model: str
    accelerator: str
    batch: int
    layers: tuple[LayerEstimate, ...]
    components: tuple[str, ...]
    prices: tuple[UsedPrice, ...]
    warnings: tuple[str, ...]
    options: Map[str, Any]
    model_sha256: str
    accelerator_sha256: str
    version: str
    coverage: Map[str, Any] = field(default_factory=dict)

    @property
    def totals(self) -> Totals:
        """Sums over the layers."""
        rows = self.layers
        return Totals(
            energy_pj=fsum(row.energy_pj for row in rows),
            static_energy_pj=fsum(row.static_energy_pj for row in rows),
            lower_bound_pj=fsum(row.lower_bound_pj for row in rows),
            latency_cycles=sum(row.latency_cycles for row in rows),
            latency_s=fsum(row.latency_s for row in rows),
            macs=sum(row.macs for row in rows),
            ops=sum(row.ops for row in rows),
            full_adders=sum(row.full_adders for row in rows),
            weight_bits=sum(row.weight_bits for row in rows),
            compulsory_bits=sum(row.compulsory_bits for row in rows),
            energy_by_component_pj=_sum_components(rows),
        )

    @property
    def default_prices(self) -> tuple[UsedPrice, ...]:
        """The prices paid that nobody gave a source for: a default stood in."""
        return tuple(price for price in self.prices if price.tier == "default")

    def to_json(self) -> str:
        """The estimate as JSON: sorted keys, ASCII, no times; equal inputs give equal bytes."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        plain["layers"] = [layer.to_plain() for layer in self.layers]
        plain["prices"] = [{f.name: getattr(price, f.name) for f in fields(price)} for price in self.prices]
        plain["totals"] = {field.name: getattr(self.totals, field.name) for field in fields(Totals)}
        return json.dumps(plain, sort_keys=True, indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The estimate that `to_json` wrote; raises InputError on anything else."""
        try:
            plain = json.loads(text)
            values = {each.name: plain[each.name] for each in fields(cls)}
            values["layers"] = tuple(LayerEstimate.from_plain(layer) for layer in plain["layers"])
            values["prices"] = tuple(UsedPrice(**price) for price in plain["prices"])
            return cls(**values | {name: tuple(plain[name]) for name in ("components", "warnings")})
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise InputError(f"not the JSON of an estimate: {_reason(error)}") from error

    def to_csv(self) -> str:
        """One CSV row per layer; a cell is empty where a layer has no such number."""
        rows = [{"model": self.model, "accelerator": self.accelerator, "batch": self.batch} for _ in self.layers]
        flat = [row | layer.to_row() for row, layer in zip(rows, self.layers, strict=True)]
        text = io.StringIO()
        writer = csv.DictWriter(text, _columns(flat), lineterminator="\n")
        writer.writeheader()
        writer.writerows(flat)
        return text.getvalue()

    def to_frame(self) -> "pandas.DataFrame":
        """One row per layer, the columns of the CSV; energies and counts that a layer does not have are 0."""
        import pandas

        rows = [layer.to_row() for layer in self.layers]
        frame = pandas.DataFrame(rows, columns=_columns(rows))
        numbers = [column for column in frame.columns if column.split(".")[0] in NESTED]
        whole = [column for column in numbers if column.split(".")[0] in ("dims", "counts")]
        frame[numbers] = frame[numbers].fillna(0)
        return frame.astype(dict.fromkeys(whole, "int64"))


def layers_from_csv(text: str) -> tuple[LayerEstimate, ...]:
    """The layers that `Estimate.to_csv` wrote; raises InputError on anything else."""
    try:
        return tuple(LayerEstimate.from_row(row) for row in csv.DictReader(io.StringIO(text)))
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise InputError(f"not the CSV of an estimate: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def _sum_components(rows: Sequence[LayerEstimate]) -> dict[str, dict[str, float]]:
    parts: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        for component, roles in row.energy_by_component_pj.items():
            for role, pj in roles.items():
                parts.setdefault(component, {}).setdefault(role, []).append(pj)
    return {component: {role: fsum(pj) for role, pj in roles.items()} for component, roles in parts.items()}


def _plain_mapping(mapping: Mapping) -> list[dict[str, Any]]:
    """Outermost first: `{memory, tensor}` is a storage mark, `{dim, bound, axis}` a loop (axis null: temporal)."""
    return [
        {"memory": item.memory, "tensor": item.tensor}
        if isinstance(item, Storage)
        else {"dim": item.dim, "bound": item.bound, "axis": item.axis}
        for item in mapping.nest
    ]


def _read_mapping(items: Iterable[Map[str, Any]]) -> Mapping:
    return Mapping(tuple(Storage(**item) if "memory" in item else Loop(**item) for item in items))


def _columns(rows: Sequence[Map[str, Any]]) -> list[str]:
    """All columns of some rows: fields in their order, the nested ones of a field together and sorted."""
    found = dict.fromkeys(column for row in rows for column in row)
    order = list(dict.fromkeys(column.split(".")[0] for column in found))
    return sorted(found, key=lambda column: (order.index(column.split(".")[0]), column))


def _leaves(value: Map[str, Any], depth: int) -> list[tuple[str, Any]]:
    if depth == 1:
        return list(value.items())
    return [(f"{key}.{path}", leaf) for key, inner in value.items() for path, leaf in _leaves(inner, depth - 1)]


def _nest(row: Map[str, str], field: str, depth: int, leaf: type) -> dict[str, Any]:
    """The nested field whose flat columns `_leaves` made; a component's own name may hold dots."""
    nested: dict[str, Any] = {}
    for column, cell in row.items():
        if cell and column.startswith(field + "."):
            *keys, last = column[len(field) + 1 :].rsplit(".", depth - 1)
            inner = nested
            for key in keys:
                inner = inner.setdefault(key, {})
            inner[last] = leaf(cell)
    return nested
