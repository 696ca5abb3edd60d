"""What is in a model, on the terminal and as JSON."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from energysim.report.tables import new_table
from energysim.report.text import clean, percent, si
from energysim.workload.coverage import coverage, coverage_lines
from energysim.workload.inspection import Inspection
from energysim.workload.layer import Layer

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


def inspection_parts(found: Inspection) -> "Iterator[RenderableType]":
    """Layers by kind, what was measured layer by layer, and what was understood, assumed, unknown."""
    from rich.text import Text

    yield kinds_table(found)
    yield Text()
    if found.weights or found.activations:
        yield measured_table(found)
        yield Text()
    for line in inspection_lines(found):
        yield Text(line)
    for warning in found.graph.warnings:
        yield Text(f"warning: {clean(warning)}", style="yellow")


def kinds_table(found: Inspection) -> "Table":
    """One row per op: layers, MACs, plain operations, trained numbers, widths of weights and activations."""
    from rich.text import Text

    table = new_table(clean(found.graph.name))
    for head in ("op", "layers", "MACs", "ops", "parameters", "weight bits", "activation bits"):
        table.add_column(head, justify="left" if head == "op" else "right", no_wrap=True)
    for kind, layers in by_kind(found).items():
        cells = (f"{sum(each):,}" for each in zip(*((y.macs, y.ops, y.parameters) for y in layers), strict=True))
        weights = sorted({t.bits for y in layers for t in y.tensors if t.role == "weight"})
        others = sorted({t.bits for y in layers for t in y.tensors if t.role != "weight"})
        table.add_row(Text(clean(kind)), str(len(layers)), *cells, *(", ".join(map(str, y)) for y in (weights, others)))
    return table


def by_kind(found: Inspection) -> dict[str, list[Layer]]:
    """Layers by op, the op with the most MACs first."""
    kinds: dict[str, list[Layer]] = {}
    for layer in found.graph.layers:
        kinds.setdefault(layer.op, []).append(layer)
    return dict(sorted(kinds.items(), key=lambda item: (-sum(y.macs for y in item[1]), -sum(y.ops for y in item[1]))))


def measured_table(found: Inspection) -> "Table":
    """One row per layer of which weights or activations were looked at."""
    from rich.text import Text

    table = new_table()
    for head in ("layer", "weights", "distinct", "zero %", "input zero %", "output zero %"):
        table.add_column(head, justify="left" if head == "layer" else "right", no_wrap=True)
    for layer in found.graph.layers:
        weights, zeros = found.weights.get(layer.name, {}), found.activations.get(layer.name, {})
        if not weights and not zeros:
            continue
        first = next(iter(weights.values()), None)
        cells = ["", "", ""]
        if first is not None:
            many = "many" if first.distinct is None else f"{first.distinct:,}"
            cells = [f"{first.elements:,}", many, percent(1 - first.density) or "0"]
        cells += [(percent(1 - zeros[key]) or "0") if key in zeros else "" for key in ("input", "output")]
        table.add_row(Text(clean(layer.name)), *cells)
    return table


def inspection_lines(found: Inspection) -> list[str]:
    """Sums, coverage, and weights that are shared already, in sentences."""
    graph = found.graph
    counts = f"{si(graph.macs, 'MACs')}, {si(sum(y.ops for y in graph.layers), 'ops')}"
    lines = [f"{len(graph.layers):,} layers, {counts}, {graph.parameters:,} parameters"]
    lines += [clean(line) for line in coverage_lines(coverage(graph))]
    if found.shared:
        names = ", ".join(clean(name) for name in found.shared[:5])
        more = f" and {len(found.shared) - 5} more" if len(found.shared) > 5 else ""
        lines.append(f"weights that take few values already: {names}{more}; see energysim compress --recipe found")
    return lines


def inspection_json(found: Inspection) -> str:
    """The same as JSON: sorted keys, ASCII."""
    graph = found.graph
    plain: dict[str, Any] = {
        "model": graph.name,
        "macs": graph.macs,
        "ops": sum(layer.ops for layer in graph.layers),
        "parameters": graph.parameters,
        "kinds": {kind: len(layers) for kind, layers in by_kind(found).items()},
        "coverage": coverage(graph),
        "unknown": list(graph.unknown),
        "assumed": list(graph.assumed),
        "warnings": list(graph.warnings),
        "shared": list(found.shared),
        "layers": [_layer(found, layer) for layer in graph.layers],
    }
    return json.dumps(plain, sort_keys=True, indent=2, allow_nan=False) + "\n"


def _layer(found: Inspection, layer: Layer) -> dict[str, Any]:
    weights = {
        name: {"elements": y.elements, "nonzero": y.nonzero, "distinct": y.distinct}
        for name, y in found.weights.get(layer.name, {}).items()
    }
    tensors = {
        y.name: {"elements": y.elements(layer.dims), "bits": y.bits, "density": y.density} for y in layer.tensors
    }
    sums = {"macs": layer.macs, "ops": layer.ops, "parameters": layer.parameters}
    return {"name": layer.name, "op": layer.op, **sums, "tensors": tensors, "weights": weights}
