"""Comparisons: every model at every compression and bits on every accelerator, each the same pure estimate."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import fsum
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from energysim import __version__
from energysim.costs.result import IDLE, Estimate
from energysim.errors import EnergysimError, InputError, unknown
from energysim.estimate import Progress, estimate
from energysim.explore.front import unbeaten
from energysim.hardware.accelerator import Accelerator
from energysim.hardware.read import DescribedAccelerator, read_accelerator
from energysim.mapping.constraints import Restriction
from energysim.mapping.search_cache import SearchCache
from energysim.workload.graph import LayerGraph
from energysim.workload.planned import cluster_rate, planned_sharing
from energysim.workload.read import read_model

if TYPE_CHECKING:
    import pandas

DENSE = "dense"
"""The compression of a model as it is."""

COMPRESSED = ".safetensors"
"""Suffix of compressed files."""

OWN = "own"
"""The bits of a model as it says itself."""


@dataclass(frozen=True, slots=True)
class Point:
    """One combination and its estimate; `bits` and `compression` are as they were asked for.

    `accelerator_facts`: what it was estimated on. `cluster_rate`: K / N over the shared weights, None without any.
    """

    model: str
    compression: str
    bits: str
    accelerator: str
    estimate: Estimate
    accelerator_facts: Accelerator
    cluster_rate: float | None = None

    @property
    def names(self) -> tuple[str, str, str, str]:
        """What tells this combination from others: model, compression, bits, accelerator."""
        return self.model, self.compression, self.bits, self.accelerator

    @property
    def energy_pj(self) -> float:
        """Of the whole network."""
        return self.estimate.totals.energy_pj

    @property
    def latency_s(self) -> float:
        """Seconds, all layers one after the other."""
        return self.estimate.totals.latency_s

    @property
    def edp_js(self) -> float:
        """Energy-delay product, joule seconds."""
        return self.energy_pj * 1e-12 * self.latency_s

    @property
    def size_bits(self) -> int:
        """Weights at rest."""
        return self.estimate.totals.weight_bits

    @property
    def energy_by_component_pj(self) -> dict[str, float]:
        """pJ by component, outermost first, static energy last."""
        taking = self.estimate.totals.energy_by_component_pj
        names = (name for name in (*self.estimate.components, IDLE) if name in taking)
        return {name: fsum(taking[name].values()) for name in names}


ORDERS: Mapping[str, Callable[[Point], float]] = MappingProxyType(
    {
        "energy": lambda point: point.energy_pj,
        "latency": lambda point: point.latency_s,
        "edp": lambda point: point.edp_js,
        "size": lambda point: float(point.size_bits),
        "given": lambda point: 0.0,
    }
)
"""What points can be sorted by, least first; `given` leaves them as they were asked for."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Points in the order in which they were asked for; ratios are to the first of them."""

    points: tuple[Point, ...]

    @property
    def first(self) -> Point:
        """What the others are compared with."""
        return self.points[0]

    @property
    def front(self) -> frozenset[int]:
        """Positions of the points that no other beats: none takes at most as much energy and time, and less of one."""
        return unbeaten([(point.energy_pj, point.latency_s) for point in self.points])

    def order(self, by: str = "energy") -> list[int]:
        """Positions of the points, least first; raises UnknownNameError for an order that is none."""
        if by not in ORDERS:
            raise unknown("order", by, ORDERS)
        return sorted(range(len(self.points)), key=lambda i: ORDERS[by](self.points[i]))

    def label(self, point: Point) -> str:
        """What sets a point apart from the others, in words: only what differs among them."""
        differs = [len(set(values)) > 1 for values in zip(*(each.names for each in self.points), strict=True)]
        said = [name for name, told in zip(point.names, differs, strict=True) if told]
        return ", ".join(said) or point.model

    def rows(self, by: str = "energy") -> list[dict[str, Any]]:
        """One flat row per point: names, energy, time, EDP, size, ratios to the first, Pareto, energy by component."""
        front, first = self.front, self.first
        rows: list[dict[str, Any]] = []
        for i in self.order(by):
            point = self.points[i]
            names: dict[str, Any] = dict(zip(("model", "compression", "bits", "accelerator"), point.names, strict=True))
            numbers: dict[str, Any] = {
                "energy_pj": point.energy_pj,
                "latency_s": point.latency_s,
                "edp_js": point.edp_js,
                "size_bits": point.size_bits,
                "cluster_rate": point.cluster_rate,
                "energy_ratio": _ratio(point.energy_pj, first.energy_pj),
                "latency_ratio": _ratio(point.latency_s, first.latency_s),
                "edp_ratio": _ratio(point.edp_js, first.edp_js),
                "size_ratio": _ratio(point.size_bits, first.size_bits),
                "pareto": i in front,
                "proven": all(row.optimal for row in point.estimate.layers),
                "lower_bound_pj": point.estimate.totals.lower_bound_pj,
                "macs": point.estimate.totals.macs,
            }
            parts = {f"energy_by_component_pj.{name}": pj for name, pj in point.energy_by_component_pj.items()}
            rows.append(names | numbers | parts)
        return rows

    def to_frame(self, by: str = "energy") -> "pandas.DataFrame":
        """The rows; the energy of a component that an accelerator does not have is 0."""
        import pandas

        frame = pandas.DataFrame(self.rows(by))
        parts = [column for column in frame.columns if column.startswith("energy_by_component_pj.")]
        frame[parts] = frame[parts].fillna(0.0)
        return frame

    def to_csv(self, by: str = "energy") -> str:
        """The rows; a cell is empty where an accelerator does not have the component."""
        rows = self.rows(by)
        text = io.StringIO()
        writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()

    def to_json(self, by: str = "energy") -> str:
        """The rows with what they came from: sorted keys, no times of the clock; equal inputs give equal bytes."""
        points = [self.points[i] for i in self.order(by)]
        rows = [
            row
            | {
                "options": dict(point.estimate.options),
                "model_sha256": point.estimate.model_sha256,
                "accelerator_sha256": point.estimate.accelerator_sha256,
                "warnings": list(point.estimate.warnings),
            }
            for point, row in zip(points, self.rows(by), strict=True)
        ]
        data = {"points": rows, "first": list(self.first.names), "sorted_by": by, "version": __version__}
        return json.dumps(data, sort_keys=True, indent=2, allow_nan=False) + "\n"


def compare(
    models: Any,
    accelerators: Any,
    *,
    bits: Any = None,
    compression: Any = None,
    sort: str = "energy",
    batch: int = 1,
    dataflow: str = "unconstrained",
    constraints: Sequence[Restriction] = (),
    objective: str = "energy",
    time_budget_s: float | None = None,
    cache: SearchCache | None = None,
    jobs: int = 1,
    uneven: bool = False,
) -> "pandas.DataFrame":
    """`compared` as a tidy DataFrame: one row per combination, sorted by energy, latency, edp or size, or as given.

    Each of `models`, `accelerators`, `bits` and `compression` is one value or a sequence of them; the rest is as in
    `estimate`. Columns carry their units; `pareto` marks what no other row beats in both energy and latency.
    """
    _sortable(sort)
    return compared(
        models,
        accelerators,
        bits=bits,
        compression=compression,
        batch=batch,
        dataflow=dataflow,
        constraints=constraints,
        objective=objective,
        time_budget_s=time_budget_s,
        cache=cache,
        jobs=jobs,
        uneven=uneven,
    ).to_frame(sort)


def compared(
    models: Any,
    accelerators: Any,
    *,
    bits: Any = None,
    compression: Any = None,
    batch: int = 1,
    dataflow: str = "unconstrained",
    constraints: Sequence[Restriction] = (),
    objective: str = "energy",
    time_budget_s: float | None = None,
    cache: SearchCache | None = None,
    jobs: int = 1,
    uneven: bool = False,
    progress: Progress | None = None,
    reading: Mapping[str, Any] = MappingProxyType({}),
) -> Comparison:
    """Every combination of models, compressions, bits and accelerators, estimated, in that nesting.

    Models are what `read_model` takes (with `reading`, its options), accelerators what `read_accelerator` takes, or
    already read. A `compression` is `dense` (or None), a compressed file or model, or `rate=0.1`: kernel rows of all
    convolutions shared at this cluster rate, with no weights known. "MODEL+FILE.safetensors" is a model so compressed.
    `time_budget_s` (seconds) is for all combinations, in equal parts; the rest is as in `estimate`.
    Raises InputError for nothing to compare and for a name that is there twice, and what `estimate` raises, with the
    combination before it.
    """
    graphs = _named([(None, _read(each, reading)) for each in _many(models)], "model")
    machines = [
        each if isinstance(each, DescribedAccelerator) else read_accelerator(each) for each in _many(accelerators)
    ]
    chips = _named([(None, each) for each in machines], "accelerator")
    widths = _named([(OWN if each is None else str(each), each) for each in _many(bits)], "bits")
    ways = _named([(_name_of_way(each), each) for each in _many(compression)], "compression")
    compressed = {(model, way): _compressed(graphs[model], ways[way]) for model in graphs for way in ways}
    for graph, width in product(compressed.values(), widths.values()):
        read_model(graph, bits=width)
    combinations = list(product(graphs, ways, widths, chips))
    points = []
    for done, (model, way, width, chip) in enumerate(combinations):
        if progress:
            progress(done, len(combinations))
        try:
            result = estimate(
                compressed[model, way],
                chips[chip],
                dataflow=dataflow,
                constraints=constraints,
                batch=batch,
                bits=widths[width],
                objective=objective,
                time_budget_s=None if time_budget_s is None else time_budget_s / len(combinations),
                cache=cache,
                jobs=jobs,
                uneven=uneven,
            )
        except EnergysimError as error:
            what = f"{model}, {way}, {width} bits on {chip}"
            raise type(error)(f"{what}: {error}") from error
        rate = cluster_rate(compressed[model, way])
        points.append(Point(model, way, width, chip, result, chips[chip].accelerator, rate))
    return Comparison(tuple(points))


def _read(reference: Any, reading: Mapping[str, Any]) -> LayerGraph:
    """A model, or MODEL+FILE.safetensors."""
    if isinstance(reference, str) and "+" in reference and reference.endswith(COMPRESSED):
        model, _, file = reference.partition("+")
        return read_model(model, compressed=file, **reading)
    return read_model(reference, **reading)


def _name_of_way(way: Any) -> str:
    """A compression as it is called in the table: dense, its rate, or its file without folder and suffix."""
    if way is None:
        return DENSE
    if isinstance(way, (str, Path)):
        return Path(way).stem if str(way).endswith(COMPRESSED) else str(way)
    return str(getattr(way, "name", way))


def _compressed(graph: LayerGraph, way: Any) -> LayerGraph:
    """The model at a compression; what is neither `dense` nor `rate=R` is for `read_model` to read or refuse."""
    if way is None or way == DENSE:
        return graph
    if isinstance(way, str) and not way.endswith(COMPRESSED):
        word, _, number = way.partition("=")
        try:
            if word == "rate":
                return planned_sharing(graph, float(number))
        except ValueError:
            raise InputError(f"compression '{way}': '{number}' is no number") from None
        raise InputError(f"unknown compression '{way}': give {DENSE}, rate=0.1, or a compressed file ({COMPRESSED})")
    return read_model(graph, compressed=way)


def _many(values: Any) -> list[Any]:
    """One value or several, as several."""
    if isinstance(values, (list, tuple)):
        return list(values)
    return [values]


def _named(values: Sequence[tuple[str | None, Any]], what: str) -> dict[str, Any]:
    """Values by name, their own where none is given; each name once."""
    if not values:
        raise InputError(f"nothing to compare: no {what} given")
    found: dict[str, Any] = {}
    for name, value in values:
        label = value.name if name is None else name
        if label in found:
            raise InputError(f"duplicate {what} '{label}': every name can be compared once")
        found[label] = value
    return found


def _sortable(by: str) -> None:
    if by not in ORDERS:
        raise unknown("order", by, ORDERS)


def _ratio(value: float, of: float) -> float | None:
    """None where the first is nothing."""
    return value / of if of else None
