"""A layer's mapping as `energysim map` prints it: the nest, its energy and what is proven; a user's own beside it."""

from collections.abc import Mapping as Map
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from energysim.costs.result import LayerEstimate
from energysim.estimate import estimate_layer, named_layer
from energysim.hardware.accelerator import Accelerator
from energysim.hardware.read import DescribedAccelerator
from energysim.mapping.constraints import Constraints, violations
from energysim.mapping.counts import count
from energysim.mapping.mapping_yaml import to_yaml
from energysim.mapping.nest import Mapping
from energysim.mapping.search import SearchResult, find_front
from energysim.mapping.timeloop import to_timeloop
from energysim.report.explain import nest_lines
from energysim.report.text import BETTER, SPACES, clean, joules, percent
from energysim.workload.graph import LayerGraph
from energysim.workload.layer import Layer
from energysim.workload.read import read_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType


def own_estimate(
    layer: Layer, accelerator: DescribedAccelerator, found: SearchResult, mapping: Mapping
) -> LayerEstimate:
    """A layer under a mapping of the user's own; raises MappingError when it is not legal.

    Its lower bound is what no mapping at all goes below: it may lie outside the space that the search proved.
    """
    counts = count(layer, accelerator.accelerator, mapping)
    own = replace(found, mapping=mapping, counts=counts, lower_bound_pj=0.0, optimal=False)
    return estimate_layer(layer, accelerator, own)[0]


def mapping_text(layer: Layer, accelerator: Accelerator, row: LayerEstimate, form: str) -> str:
    """A row's mapping as "yaml" or "timeloop" text; raises MappingError where Timeloop cannot say it."""
    return to_yaml(row.mapping) if form == "yaml" else to_timeloop(layer, accelerator, row.mapping)


def mapping_parts(
    layer: Layer,
    accelerator: Accelerator,
    row: LayerEstimate,
    best: LayerEstimate | None = None,
    constraints: Constraints | None = None,
    objective: str = "energy",
    uneven: bool = False,
) -> "Sequence[RenderableType]":
    """The nest, and in words its energy, use and proof; where `best` is given, how far `row` is above it.

    Then too, which of the constraints `row` does not meet.
    """
    from rich.text import Text

    head = f"{clean(layer.name)} on {clean(accelerator.name)}: {joules(row.energy_pj)} ({row.energy_pj:,.1f} pJ)"
    busy = f"compute units busy {percent(row.utilisation) or '0'} % of their steps, {row.latency_cycles:,} cycles"
    lines = [*nest_lines(layer, accelerator, row), "", busy]
    if best is None:
        lines.append(_proof(row, objective, SPACES[uneven]))
    else:
        broken = violations(constraints, layer, accelerator, row.mapping, uneven=uneven) if constraints else ()
        lines += [
            *_count_lines(row),
            *(f"not met: {clean(why)}" for why in broken),
            *_comparison(row, best, SPACES[uneven]),
        ]
    return [Text(head, style="bold"), *map(Text, lines)]


def _proof(row: LayerEstimate, objective: str, space: str) -> str:
    if row.optimal:
        return f"proven: among {space} within dataflow and constraints, none {BETTER[objective]}"
    least = f"no energy is below {row.lower_bound_pj:,.1f} pJ"
    return f"not proven that among {space} within dataflow and constraints none {BETTER[objective]}; {least}"


def front_parts(
    model: LayerGraph, layer: str, accelerator: DescribedAccelerator, asked: Map[str, Any]
) -> "Sequence[RenderableType]":
    """A table of every mapping of a layer that no other one beats in both energy and latency."""
    from rich.text import Text

    graph = read_model(model, batch=asked["batch"], bits=asked["bits"])
    work = named_layer(graph, layer)
    options = {name: asked[name] for name in ("dataflow", "constraints", "time_budget_s", "uneven")}
    facts = accelerator.accelerator
    found = find_front(work, facts, accelerator.table, **options)
    rows = [estimate_layer(work, accelerator, each)[0] for each in found]
    head = f"{clean(layer)} on {clean(facts.name)}: {len(rows)} mappings that none beats in both energy and latency"
    lines = [f"{'energy pJ':>20}  {'cycles':>14}  busy %  bound by"]
    for row in rows:
        proof = "" if row.optimal else "  not proven"
        busy = percent(row.utilisation) or "0"
        lines.append(f"{row.energy_pj:>20,.1f}  {row.latency_cycles:>14,}  {busy:>6}  {clean(row.bound_by)}{proof}")
    return [Text(head, style="bold"), *map(Text, lines)]


def _count_lines(row: LayerEstimate) -> list[str]:
    """Every count: elements moved, or operations done."""
    return [
        f"  {clean(component)} {action} {clean(role)}: {number:,}"
        for component, actions in row.counts.items()
        for action, roles in actions.items()
        for role, number in roles.items()
        if number
    ]


def _comparison(row: LayerEstimate, best: LayerEstimate, space: str) -> list[str]:
    """How far a mapping is above the best one found and above what that search proved."""
    lines = [f"best found by the search: {best.energy_pj:,.1f} pJ; this mapping: {_away(row, best.energy_pj)}"]
    lines.append(
        f"lower bound of {space}: {best.lower_bound_pj:,.1f} pJ; this mapping: {_away(row, best.lower_bound_pj)}"
    )
    if row.energy_pj < best.lower_bound_pj:
        lines.append("it is below that bound, so it is not of the space, dataflow and constraints that were searched")
    return lines


def _away(row: LayerEstimate, pj: float) -> str:
    """As in "12.5 pJ (3.10 %) above"."""
    difference = row.energy_pj - pj
    if abs(difference) <= 1e-9 * max(row.energy_pj, pj):
        return "equal"
    share = f" ({abs(difference) / pj:.2%})".replace("%", " %") if pj else ""
    return f"{abs(difference):,.1f} pJ{share} {'above' if difference > 0 else 'below'}"
