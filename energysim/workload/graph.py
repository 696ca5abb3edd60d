"""The noun `LayerGraph`: layers and the activations that flow between them."""

import unicodedata
from collections.abc import Mapping as Map
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from energysim.errors import InputError
from energysim.workload.layer import Layer

if TYPE_CHECKING:
    import networkx


HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that names from models are cleaned of: control, bidirectional and other unseen characters."""


def clean_name(text: str) -> str:
    """The text without unseen characters; "unnamed" when nothing is left."""
    return "".join(char for char in text if unicodedata.category(char) not in HIDDEN) or "unnamed"


@dataclass(frozen=True, slots=True)
class Edge:
    """`elements` activations written by layer `source` and read by `target` (concatenation: one edge per part)."""

    source: str
    target: str
    elements: int


@dataclass(frozen=True, slots=True)
class LayerGraph:
    """A network: layers in topological order, edges between them by name, and what the reader had to assume.

    `warnings` are what may be wrong, `assumptions` what was decided by convention, `unreached` the modules that no
    result needs, `unknown` the layers of which only the traffic is known, `assumed` those whose amount of work an
    assumption decides. Edges are kept in the order of their targets, then of their sources.
    """

    name: str
    layers: tuple[Layer, ...]
    edges: tuple[Edge, ...] = ()
    warnings: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    unreached: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.layers:
            raise InputError(f"model '{self.name}': has no layers")
        order: dict[str, int] = {}
        for i, layer in enumerate(self.layers):
            if layer.name in order:
                raise InputError(f"model '{self.name}': two layers are named '{layer.name}'")
            order[layer.name] = i
        if len({(edge.source, edge.target) for edge in self.edges}) != len(self.edges):
            raise InputError(f"model '{self.name}': two edges join the same two layers")
        for edge in self.edges:
            for end in (edge.source, edge.target):
                if end not in order:
                    raise InputError(f"model '{self.name}': an edge names layer '{end}', which does not exist")
            if order[edge.source] >= order[edge.target]:
                raise InputError(
                    f"model '{self.name}': edge {edge.source} -> {edge.target} runs backwards or in a circle"
                )
        edges = sorted(self.edges, key=lambda edge: (order[edge.target], order[edge.source]))
        object.__setattr__(self, "edges", tuple(edges))

    @property
    def macs(self) -> int:
        """Dense multiply-accumulates of all layers."""
        return sum(layer.macs for layer in self.layers)

    @property
    def parameters(self) -> int:
        """Trained numbers of all layers."""
        return sum(layer.parameters for layer in self.layers)

    def networkx(self) -> "networkx.DiGraph[str]":
        """A networkx view: nodes carry `layer`, edges carry `elements`."""
        import networkx

        graph: networkx.DiGraph[str] = networkx.DiGraph(name=self.name)
        for layer in self.layers:
            graph.add_node(layer.name, layer=layer)
        for edge in self.edges:
            graph.add_edge(edge.source, edge.target, elements=edge.elements)
        return graph

    def with_layers(self, changed: Map[str, Layer]) -> "LayerGraph":
        """The same graph with some layers replaced, by name."""
        layers = tuple(changed.get(layer.name, layer) for layer in self.layers)
        return replace(self, layers=layers)

    def with_batch(self, batch: int) -> "LayerGraph":
        """The same network on a batch: dim N of every layer and all edges are multiplied. Raises InputError below 1."""
        if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
            raise InputError(f"batch is {batch}; it must be an integer of at least 1")
        layers = tuple(replace(y, dims={**y.dims, "N": y.dims["N"] * batch}) for y in self.layers)
        edges = tuple(replace(edge, elements=edge.elements * batch) for edge in self.edges)
        return replace(self, layers=layers, edges=edges)


def same_work(layer: Layer) -> tuple[Any, ...]:
    """A key under which layers ask for the same work: everything but their names and parameters."""
    return (tuple(layer.dims.items()), layer.tensors, layer.unit, layer.ops_per_point)
