"""Layer graphs as YAML: exact round trip, defaults, and a clear line for every mistake."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from energysim.errors import InputError
from energysim.workload.encoding import ENCODINGS
from energysim.workload.graph import Edge, LayerGraph
from energysim.workload.layer import DIMS, Layer, Rank, Tensor, convolution
from energysim.workload.operations import Operand, elementwise, linear, matmul, pooling, reduction, traffic
from energysim.workload.yaml_format import from_yaml, to_yaml


def read(folder: Path, text: str | bytes) -> LayerGraph:
    path = folder / "net.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return from_yaml(path)


def test_one_line_says_what_a_layer_is(tmp_path: Path) -> None:
    graph = read(
        tmp_path,
        """
model: two
layers:
- {name: conv1, op: convolution, dims: {M: 64, C: 3, P: 112, Q: 112, R: 7, S: 7}, stride: [2, 2], fused: [relu]}
- {name: fc, op: linear, dims: {M: 10, C: 64}, parameters: 650}
""",
    )
    conv1 = convolution("conv1", m=64, c=3, p=112, q=112, r=7, s=7, stride=(2, 2), fused=("relu",))
    fc = replace(linear("fc", n=1, m=10, c=64), parameters=650)
    assert graph == LayerGraph("two", (conv1, fc), (Edge("conv1", "fc", 64 * 112 * 112),))


def every_kind() -> LayerGraph:
    layers = (
        convolution("plain", m=4, c=3, p=8, q=8, r=3, s=3, stride=(2, 1), dilation=(1, 3), bias=True),
        convolution("up", g=2, m=2, c=2, p=8, q=8, r=2, s=2, stride=(2, 2), transposed=True),
        pooling("pool", "max_pool", {"M": 4, "P": 5, "Q": 5, "R": 3, "S": 3}, (3, 3), (2, 1)),
        elementwise("scale", "mul", (1, 4, 5, 5), [Operand((1, 4, 5, 5), key="a"), Operand((4, 1, 1), True, "b")]),
        elementwise("sum", "add", (1, 4, 5, 5), [Operand((1, 4, 5, 5), key="a"), Operand((1, 4, 5, 5), key="b")]),
        elementwise("five", "relu", (1, 2, 2, 5, 5), [Operand((1, 2, 2, 5, 5))]),
        matmul("product", {"G": 3, "P": 4, "C": 5, "M": 6}, second="CM"),
        reduction("total", "sum", (2, 3, 4), (1,)),
        traffic("odd", "cumsum", [(3, 5)], [Operand((3, 4)), Operand((2, 3), True)]),
        linear("last", n=7, m=3, c=2),
    )
    made = tuple(layer for layer in layers if layer is not None)
    assert len(made) == len(layers)
    edges = (Edge("plain", "up", 256), Edge("plain", "sum", 100), Edge("pool", "sum", 7), Edge("odd", "last", 15))
    return LayerGraph("no", made, edges, ("odd: 'cumsum' is unknown: yes", "8e-2"))


def test_every_kind_of_layer_comes_back_equal(tmp_path: Path) -> None:
    graph = every_kind()
    assert read(tmp_path, to_yaml(graph, "where it is from\nand why")) == graph


names = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp")), min_size=1, max_size=8)
formats = st.fixed_dictionaries(
    {
        "bits": st.integers(1, 64),
        "density": st.floats(0, 1),
        "encoding": st.sampled_from(sorted(ENCODINGS)),
        "partial_bits": st.integers(0, 128),
    }
)
coefficients = st.integers(1, 9)


@st.composite
def layers(draw: st.DrawFn, name: str) -> Layer:
    """Any layer at all: random ranks over random dims."""
    dims = draw(st.dictionaries(st.sampled_from(DIMS), st.integers(1, 99), min_size=1))
    labels = draw(st.lists(names, max_size=3, unique=True))
    roles = [draw(st.sampled_from(("weight", "input"))) for _ in labels]
    tensors = []
    for label, role in [*zip(labels, roles, strict=True), ("result", "output")]:
        order = draw(st.permutations(sorted(dims)))
        ranks = []
        while order:
            here, order = order[:2], order[2:]
            terms = tuple((dim, draw(coefficients)) for dim in here)
            ranks.append(Rank(draw(st.sampled_from(("H", "x y", here[0]))), terms))
        tensors.append(Tensor("result_" if role == "output" else label + "'", role, tuple(ranks), **draw(formats)))
    unit = draw(st.sampled_from(("mac", "op")))
    op = draw(st.sampled_from(("convolution", "add", "softmax", "Schicht 1")))
    return Layer(name, op, dims, tuple(tensors), unit, draw(coefficients), draw(st.integers(0, 10**9)), ("a b", "{c}"))


@st.composite
def graphs(draw: st.DrawFn) -> LayerGraph:
    labels = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    made = tuple(draw(layers(label)) for label in labels)
    pairs = [(a, b) for i, b in enumerate(labels) for a in labels[:i]]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    edges = tuple(Edge(a, b, draw(st.integers(0, 10**9))) for a, b in chosen)
    return LayerGraph(draw(names), made, edges, tuple(draw(st.lists(names, max_size=2))))


@settings(max_examples=200, derandomize=True)
@given(graph=graphs())
def test_any_graph_comes_back_equal(tmp_path_factory: pytest.TempPathFactory, graph: LayerGraph) -> None:
    folder = tmp_path_factory.mktemp("any")
    assert read(folder, to_yaml(graph)) == graph


def test_names_are_cleaned(tmp_path: Path) -> None:
    graph = read(tmp_path, 'model: "a\\u202eb"\nlayers:\n- {name: "c\\x1b[1m", op: relu, dims: {M: 2}}\n')
    assert (graph.name, graph.layers[0].name) == ("ab", "c[1m")


LAYER = "- {name: a, op: relu, dims: {M: 2}}"
HEAD = "model: x\nlayers:\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEAD + "- {name: a, op: relu, dims: {M: 0}}", "net.yaml:3: M must be an integer of at least 1, not 0"),
        (HEAD + "- {name: a, op: relu, dims: {M: 2.5}}", "net.yaml:3: M must be an integer of at least 1, not 2.5"),
        (HEAD + "- {name: a, op: relu, dims: {K: 2}}", "net.yaml:3: unknown dim field 'K'"),
        (HEAD + "- {name: a, op: relu, dim: {M: 2}}", "net.yaml:3: unknown layer field 'dim'; did you mean 'dims'?"),
        (HEAD + "- {op: relu, dims: {M: 2}}", "net.yaml:3: layer field 'name' is missing"),
        (HEAD + "- {name: a, name: b}", "net.yaml:3: key 'name' was given before, on line 3"),
        (HEAD + LAYER + "\n" + LAYER, "two layers are named 'a'"),
        (HEAD + LAYER + "\n- {name: b, op: relu, from: [aa]}", "net.yaml:4: unknown layer"),
        (HEAD + LAYER + "\n- {name: b, op: relu, from: [aa]}", "did you mean 'a'?"),
        (HEAD + "- {name: a, op: relu, from: [b]}\n- {name: b, op: relu}", "net.yaml:3: unknown layer"),
        (
            HEAD + "- {name: a, op: relu, formats: {inptu: {bits: 8}}}",
            "net.yaml:3: unknown tensor 'inptu'; did you",
        ),
        (HEAD + "- {name: a, op: relu, formats: {input: {bits: 65}}}", "net.yaml:3: bits must be an integer"),
        (HEAD + "- {name: a, op: relu, formats: {input: {density: 1.5}}}", "net.yaml:3: density must be a number"),
        (HEAD + "- {name: a, op: relu, formats: {input: {encoding: zip}}}", "net.yaml:3: unknown encoding 'zip'"),
        (HEAD + "- {name: a, op: relu, tensors: {input: {ranks: [M]}}}", "net.yaml:3: layer 'a': needs exactly one"),
        (HEAD + "- {name: a, op: relu, stride: [2]}", "net.yaml:3: stride must be a list of at least 2"),
        (HEAD + "-\t{name: a}", "net.yaml:3: tab"),
        ("model: x\nlayers: {}", "net.yaml:2: layers must be a list"),
        ("model: x\nlayers: []", "net.yaml:2: layers must be a list of at least 1"),
        ("model: x", "net.yaml:1: model field 'layers' is missing"),
        ("- a", "net.yaml:1: model must be a mapping"),
        ("", "net.yaml:1: holds nothing"),
        (b"model: \xff\xfe", "net.yaml:1: not UTF-8"),
        ("model: *x\nlayers: []", "net.yaml:1: alias"),
    ],
)
def test_mistakes_are_named_with_file_and_line(tmp_path: Path, text: str | bytes, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    assert expected in str(caught.value)


def test_several_mistakes_are_reported_together(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, HEAD + "- {name: a, op: relu, dims: {M: -1}}\n- {name: b, opp: relu}\n")
    assert len(str(caught.value).splitlines()) == 2
