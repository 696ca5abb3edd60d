"""Sweeps: one model on every variant of an accelerator, each layer searched once for all variants."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from math import fsum
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from energysim import __version__
from energysim.costs.least import least_energy_pj
from energysim.errors import NothingFitsError, unknown
from energysim.estimate import Progress, warnings_of
from energysim.explore.front import unbeaten
from energysim.hardware.accelerator import Accelerator, EnergyTable
from energysim.hardware.read import DescribedAccelerator
from energysim.hardware.vary import Change, parse_changes, variants
from energysim.mapping.constraints import Restriction
from energysim.mapping.search import is_optimal
from energysim.mapping.search_many import spread_over
from energysim.mapping.search_variants import find_on_variants
from energysim.mapping.sharing import as_run
from energysim.workload.graph import LayerGraph, same_work
from energysim.workload.layer import Layer
from energysim.workload.read import read_model

if TYPE_CHECKING:
    import pandas

SORTS = ("energy", "latency", "edp", "given")
"""What variants can be sorted by, least first; `given` leaves them in the order of the grid."""


@dataclass(frozen=True, slots=True)
class SweptVariant:
    """What the model costs on one variant; `numbers` are those at the varied paths, `misfit` says why nothing fits."""

    numbers: tuple[float, ...]
    energy_pj: float = 0.0
    latency_s: float = 0.0
    lower_bound_pj: float = 0.0
    proven: bool = False
    misfit: str = ""

    @property
    def edp_js(self) -> float:
        """Energy-delay product, joule seconds."""
        return self.energy_pj * 1e-12 * self.latency_s


@dataclass(frozen=True, slots=True)
class Sweep:
    """All variants in the order of the grid; `searches` counts layers searched, of `layers` unequal ones on each."""

    model: str
    accelerator: str
    paths: tuple[str, ...]
    points: tuple[SweptVariant, ...]
    objective: str
    layers: int
    searches: int
    warnings: tuple[str, ...] = ()

    @property
    def fitting(self) -> list[int]:
        """Positions of the variants on which every layer fits."""
        return [i for i, point in enumerate(self.points) if not point.misfit]

    @property
    def front(self) -> frozenset[int]:
        """Positions of the variants that no other beats in both energy and time."""
        fitting = self.fitting
        sizes = [(self.points[i].energy_pj, self.points[i].latency_s) for i in fitting]
        return frozenset(fitting[n] for n in unbeaten(sizes))

    def order(self, by: str = "energy") -> list[int]:
        """Positions, least first, misfits last; raises UnknownNameError for an order that is none."""
        if by not in SORTS:
            raise unknown("order", by, SORTS)
        points = self.points
        keys = {"energy": "energy_pj", "latency": "latency_s", "edp": "edp_js"}
        if by == "given":
            return list(range(len(points)))
        return sorted(range(len(points)), key=lambda i: (bool(points[i].misfit), getattr(points[i], keys[by])))

    def rows(self, by: str = "energy") -> list[dict[str, Any]]:
        """One flat row per variant: its numbers by path, energy, bound, time, EDP, proven, Pareto, misfit."""
        front = self.front
        rows = []
        for i in self.order(by):
            point = self.points[i]
            row: dict[str, Any] = dict(zip(self.paths, point.numbers, strict=True))
            fits = not point.misfit
            row |= {name: getattr(point, name) if fits else None for name in ("energy_pj", "lower_bound_pj")}
            row |= {name: getattr(point, name) if fits else None for name in ("latency_s", "edp_js")}
            rows.append(row | {"proven": point.proven, "pareto": i in front, "misfit": point.misfit})
        return rows

    def to_frame(self, by: str = "energy") -> "pandas.DataFrame":
        """The rows."""
        import pandas

        return pandas.DataFrame(self.rows(by))

    def to_csv(self, by: str = "energy") -> str:
        """The rows; cells are empty where nothing fits."""
        rows = self.rows(by)
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()

    def to_json(self, by: str = "energy") -> str:
        """The rows with what they came from: sorted keys, no times of the clock; equal inputs give equal bytes."""
        said: dict[str, Any] = {
            "model": self.model,
            "accelerator": self.accelerator,
            "objective": self.objective,
            "sorted_by": by,
        }
        said |= {"version": __version__, "layers": self.layers, "searches": self.searches}
        data = said | {"warnings": list(self.warnings), "variants": self.rows(by)}
        return json.dumps(data, sort_keys=True, indent=2, allow_nan=False) + "\n"


def sweep(
    model: LayerGraph,
    accelerator: DescribedAccelerator,
    vary: Mapping[str, Sequence[Change | float | str] | float | str],
    *,
    dataflow: str = "unconstrained",
    constraints: Sequence[Restriction] = (),
    batch: int = 1,
    bits: Any = None,
    objective: str = "energy",
    uneven: bool = False,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Sweep:
    """What `model` costs on every variant of `accelerator`, equal layers once, mappings as in `estimate`.

    `vary`: path in the description to numbers or factors, as in {"global_buffer.capacity_bits": ["x0.5", "x1"],
    "pe.x": [8, 14]}; every combination is a variant, at prices as the description (or a path) gives them. Variants that
    differ in sizes only share what is proven (`find_on_variants`). Raises InputError for what is not known and for a
    variant that is no sound accelerator; where nothing fits on a variant, its row says so.
    """
    graph = read_model(model, batch=batch, bits=bits)
    changes = {path: tuple(_changes(path, values)) for path, values in vary.items()}
    every = list(variants(accelerator, changes))
    machines = [(each.described.accelerator, each.described.table) for each in every]
    defaults = {f"{key[0]}.{key[1]}" for _, table in machines for key, p in table.prices.items() if p.tier == "default"}
    warnings = (*warnings_of(graph, accelerator), *(f"default price: {', '.join(sorted(defaults))}",) * bool(defaults))
    layers = [as_run(layer, accelerator.accelerator) for layer in graph.layers]
    times = dict[Any, int]()
    first = dict[Any, Layer]()
    for layer in layers:
        work = same_work(layer)
        times[work] = times.get(work, 0) + 1
        first.setdefault(work, layer)
    search = partial(
        _on_every, variants=machines, dataflow=dataflow, constraints=constraints, objective=objective, uneven=uneven
    )
    numbers, searches = [], 0
    misfits = [""] * len(every)
    with closing(spread_over(search, list(first.values()), jobs)) as found:
        for done, (work, (costs, made, wrong)) in enumerate(zip(first, found, strict=True)):
            if progress:
                progress(done, len(first))
            numbers.append(np.where(np.isnan(costs), 0.0, costs) * [times[work], times[work], times[work], 1.0])
            searches += made
            for i, why in wrong.items():
                misfits[i] = misfits[i] or why
    points = []
    for i, each in enumerate(every):
        if misfits[i]:
            points.append(SweptVariant(each.numbers, misfit=misfits[i]))
            continue
        energy, bound, cycles, unproven = (fsum(layer[i, n] for layer in numbers) for n in range(4))
        latency = cycles / each.described.accelerator.clock_hz
        points.append(SweptVariant(each.numbers, energy, latency, bound, unproven == 0.0))
    paths = tuple(vary)
    return Sweep(graph.name, accelerator.name, paths, tuple(points), objective, len(first), searches, warnings)


def _changes(path: str, values: Sequence[Change | float | str] | float | str) -> Iterator[Change]:
    """The changes of one path: numbers, factors, or texts of several with commas between."""
    for value in [values] if isinstance(values, (str, int, float)) else values:
        yield from (value,) if isinstance(value, Change) else parse_changes(f"{path}={value}")[1]


def _on_every(
    layer: Layer, *, variants: Sequence[tuple[Accelerator, EnergyTable]], time_budget_s: None = None, **asked: Any
) -> tuple[NDArray[np.float64], int, dict[int, str]]:
    """Energy, bound, cycles and whether unproven by variant; how many were searched; why nothing fits where."""
    found = find_on_variants(layer, variants, **asked)
    wrong = {i: str(each) for i, each in enumerate(found) if isinstance(each, NothingFitsError)}
    costs = np.full((len(found), 4), np.nan)
    made = 0
    for i, each in enumerate(found):
        if not isinstance(each, NothingFitsError):
            bound = (
                each.lower_bound_pj if each.optimal else max(each.lower_bound_pj, least_energy_pj(layer, *variants[i]))
            )
            proven = each.optimal or (asked["objective"] == "energy" and is_optimal(each.energy_pj, bound))
            costs[i] = each.energy_pj, min(bound, each.energy_pj), each.latency_cycles, not proven
            made += each.nodes > 0
    return costs, made, wrong
