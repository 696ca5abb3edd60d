"""Zeros that ReLU leaves where a model says none: half, assumed and said so.

Half of a symmetric distribution is negative. Measured on the Eyeriss chip: 25 to 89 % of the inputs that come from
ReLU, the deeper the more (`eyeriss_alexnet`, `eyeriss_vgg16`).
"""

from dataclasses import dataclass

from energysim.workload.graph import LayerGraph
from energysim.workload.precision import kind, with_density

SHARE = 0.5
SPREAD = 0.24
"""How far from a half the measured share lies, root mean square of AlexNet's conv2 to conv5 (39, 73, 79 and 78 %)."""

ZEROS_STAY = frozenset({"max_pool", "average_pool", "local_response_norm"})


@dataclass(frozen=True, slots=True)
class Assumed:
    """A graph with assumed zeros, and the layers whose inputs have them."""

    graph: LayerGraph
    layers: tuple[str, ...]


def assume_zeros(graph: LayerGraph, share: float = SHARE) -> Assumed:
    """Zeros for activations that come from ReLU, pooled or normalised too; the graph as it is if it says any."""
    if any(t.density < 1.0 for layer in graph.layers for t in layer.tensors if kind(t) != "weight"):
        return Assumed(graph, ())
    sources: dict[str, list[str]] = {}
    for edge in graph.edges:
        sources.setdefault(edge.target, []).append(edge.source)
    positive: set[str] = set()
    densities: dict[str, dict[str, float]] = {}
    for layer in graph.layers:
        before = sources.get(layer.name, [])
        fed = bool(before) and all(name in positive for name in before)
        relu = any("relu" in name.lower() for name in (layer.op, *layer.fused))
        if relu or (fed and layer.op in ZEROS_STAY):
            positive.add(layer.name)
            densities.setdefault(layer.name, {})["output"] = 1.0 - share
        if fed:
            densities.setdefault(layer.name, {})["input"] = 1.0 - share
    return Assumed(with_density(graph, densities), tuple(name for name, by in densities.items() if "input" in by))
