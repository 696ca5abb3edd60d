"""The noun `LayerGraph`: what it refuses, the order it keeps, and its views."""

import pytest

from energysim.errors import InputError
from energysim.workload.graph import Edge, LayerGraph, clean_name
from energysim.workload.layer import Layer
from energysim.workload.operations import linear
from energysim.workload.read import read_model


def three() -> tuple[Layer, ...]:
    return tuple(linear(name, n=1, m=2, c=2) for name in "abc")


@pytest.mark.parametrize(
    ("layers", "edges", "expected"),
    [
        ((), (), "has no layers"),
        ((*three(), three()[0]), (), "two layers are named 'a'"),
        (three(), (Edge("a", "d", 2),), "an edge names layer 'd'"),
        (three(), (Edge("b", "a", 2),), "b -> a runs backwards or in a circle"),
        (three(), (Edge("a", "a", 2),), "a -> a runs backwards or in a circle"),
        (three(), (Edge("a", "b", 2), Edge("a", "b", 1)), "two edges join the same two layers"),
    ],
)
def test_unsound_graphs_are_refused(layers: tuple[Layer, ...], edges: tuple[Edge, ...], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        LayerGraph("net", layers, edges)


def test_order_in_which_edges_are_given_does_not_matter() -> None:
    edges = (Edge("a", "c", 1), Edge("b", "c", 2), Edge("a", "b", 3))
    graph = LayerGraph("net", three(), edges)
    assert graph == LayerGraph("net", three(), edges[::-1])
    assert graph.edges == (edges[2], edges[0], edges[1])


def test_networkx_view_carries_layers_and_elements() -> None:
    graph = read_model("resnet18")
    view = graph.networkx()
    assert list(view) == [layer.name for layer in graph.layers]
    assert sum(data["layer"].macs for _, data in view.nodes(data=True)) == graph.macs
    assert sum(data["elements"] for *_, data in view.edges(data=True)) == sum(edge.elements for edge in graph.edges)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [("a.b c", "a.b c"), ("\x1b[1mred\n", "[1mred"), ("\u202egnp", "gnp"), ("\u200b", "unnamed"), ("é漢", "é漢")],
)
def test_unseen_characters_are_taken_out_of_names(text: str, cleaned: str) -> None:
    assert clean_name(text) == cleaned
