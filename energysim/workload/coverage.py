"""How much of a network was understood, rests on an assumption, or is unknown: in operations, MACs and bits moved."""

from collections.abc import Mapping, Sequence
from typing import Any

from energysim.workload.graph import LayerGraph
from energysim.workload.layer import Layer

KINDS = ("understood", "assumed", "unknown")


def coverage(graph: LayerGraph) -> dict[str, Any]:
    """By kind, `operations` (layers and what runs inside them), `macs`, `ops` and compulsory `bits`; and `assumptions`
    made and modules `unreached`, by name.

    Assumed are layers whose amount of work an assumption decides; unknown are those of which only the traffic is known.
    """
    unknown, assumed = set(graph.unknown), set(graph.assumed)
    parts: dict[str, list[Layer]] = {kind: [] for kind in KINDS}
    for layer in graph.layers:
        kind = "unknown" if layer.name in unknown else "assumed" if layer.name in assumed else "understood"
        parts[kind].append(layer)
    return {
        **{kind: _sums(layers) for kind, layers in parts.items()},
        "assumptions": list(graph.assumptions),
        "unreached": list(graph.unreached),
    }


def _sums(layers: Sequence[Layer]) -> dict[str, int]:
    return {
        "operations": sum(1 + len(layer.fused) for layer in layers),
        "macs": sum(layer.macs for layer in layers),
        "ops": sum(layer.ops for layer in layers),
        "bits": sum(layer.compulsory_bits for layer in layers),
    }


def coverage_lines(found: Mapping[str, Any]) -> list[str]:
    """What `coverage` found, in sentences; none for an empty mapping."""
    if not found:
        return []
    operations = {kind: found[kind]["operations"] for kind in KINDS}
    total = sum(operations.values())
    macs = sum(found[kind]["macs"] for kind in KINDS)
    size = sum(found[kind]["bits"] for kind in KINDS)
    if operations["understood"] == total:
        lines = [f"all {total:,} operations are understood"]
    else:
        each = [
            f"{operations[kind]:,} {word} ({_share(found[kind]['macs'], macs)} of MACs, "
            f"{_share(found[kind]['bits'], size)} of bytes)"
            for kind, word in (("understood", "understood"), ("assumed", "by assumption"), ("unknown", "unknown"))
            if operations[kind]
        ]
        lines = [f"of {total:,} operations {', '.join(each)}"]
    if found["assumptions"]:
        lines.append(f"assumed: {'; '.join(found['assumptions'])}")
    if found["unreached"]:
        names = found["unreached"]
        more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
        lines.append(f"never reached: {', '.join(names[:5])}{more}")
    return lines


def _share(part: int, whole: int) -> str:
    share = 100 * part / whole if whole else 0.0
    if share in (0, 100) or 1 <= share <= 99:
        return f"{share:.0f} %"
    return f"{share:.1f} %" if 0.05 <= share <= 99.95 else "<0.1 %" if share < 1 else ">99.9 %"
