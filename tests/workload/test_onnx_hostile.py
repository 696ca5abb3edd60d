"""ONNX files that are broken or mean ill: one clear line each, soon, in little memory, and nothing outside is read."""

import os
import random
import resource
from pathlib import Path
from time import process_time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from energysim.errors import EnergysimError, ModelReadError
from energysim.workload.from_onnx import from_onnx
from energysim.workload.onnx_file import varint
from tests.workload.onnx_build import model, node, saved, stored, typed, zeros

MUTATIONS = 1000 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 150
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


def refusal(path: Path, **options: object) -> str:
    with pytest.raises(ModelReadError) as caught:
        from_onnx(path, **options)  # type: ignore[arg-type]
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def mutated(data: bytes, seed: int) -> bytes:
    """Bits flipped, the end cut off, a piece left out or said twice."""
    draw, changed = random.Random(seed), bytearray(data)
    kind, at = draw.randrange(6), draw.randrange(len(data))
    if kind <= 2:
        for _ in range(draw.choice((1, 1, 2, 4, 16))):
            changed[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    elif kind == 3:
        del changed[at:]
    elif kind == 4:
        del changed[at : at + draw.randrange(1, 64)]
    else:
        changed[at:at] = changed[at : at + draw.randrange(1, 200)]
    return bytes(changed)


@pytest.mark.parametrize("name", ["light_squeezenet", "light_shufflenet"])
def test_mutations_of_real_files_never_crash(name: str, tmp_path: Path) -> None:
    data, path = (LIGHT / f"{name}.onnx").read_bytes(), tmp_path / "mutated.onnx"
    assert from_onnx(LIGHT / f"{name}.onnx").macs > 10**8
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in range(MUTATIONS // 2):
        path.write_bytes(mutated(data, seed))
        began = process_time()
        try:
            from_onnx(path, read_weights=seed % 3 == 0)
        except EnergysimError as error:
            assert "\n" not in str(error), seed  # noqa: PT017
        assert process_time() - began < 10, seed
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # KiB: 1 GB


def test_mutations_of_a_graph_with_quantisation_loops_and_weights(tmp_path: Path) -> None:
    body = helper.make_graph(
        [node("MatMul", "state w", "next"), node("Identity", "go", "on")],
        "body",
        [typed("i", [], TensorProto.INT64), typed("go", [], TensorProto.BOOL), typed("state", [4, 4])],
        [onnx.ValueInfoProto(name="on"), onnx.ValueInfoProto(name="next")],
    )
    nodes = [
        node("QuantizeLinear", "x s z", "q"),
        node("DequantizeLinear", "q s z", "d"),
        node("Loop", "n _ d", "l", body=body),
        node("Shape", "l", "t"),
        node("Expand", "half t", "e"),
        node("Concat", "l e", "c", axis=1),
        node("Split", "c", "p r", axis=1),
        node("Pad", "p pads", "o"),
        node("LayerNormalization", "o g"),
    ]
    constants = [stored("s", 0.1), stored("z", 0, np.int8), stored("n", 3, np.int64), stored("half", [0.5])]
    constants += [zeros("w", 4, 4), stored("pads", [0, 1, 0, 1], np.int64), zeros("g", 6)]
    path = saved(tmp_path / "whole.onnx", model(nodes, [typed("x", [4, 4])], constants))
    assert from_onnx(path).macs == 3 * 64
    data = path.read_bytes()
    for seed in range(MUTATIONS):
        path.write_bytes(mutated(data, seed))
        try:
            from_onnx(path, read_weights=True)
        except EnergysimError as error:
            assert "\n" not in str(error), seed  # noqa: PT017


@pytest.mark.parametrize("data", [b"", b"\x00", b"PK\x03\x04" + bytes(30), b"not a model at all", bytes(1000)])
def test_what_is_no_model_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(data)
    assert refusal(path)


def test_field_that_declares_four_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(b"\x3a" + varint(4 << 30) + b"\x0a\x00")
    assert "a field at byte 0 declares 4,294,967,296 bytes; 2 are left" in refusal(path)
    tensor = b"\x4a" + varint(4 << 30) + bytes(9)
    graph = b"\x2a" + varint(len(tensor)) + tensor
    path.write_bytes(b"\x3a" + varint(len(graph)) + graph)
    assert "declares 4,294,967,296 bytes; 9 are left" in refusal(path)


def test_circle_is_named(tmp_path: Path) -> None:
    nodes = [node("Add", "x b", "a"), node("Relu", "a", "b"), node("Relu", "b")]
    message = refusal(saved(tmp_path / "a.onnx", model(nodes, [typed("x", [2])])))
    assert "the graph runs in a circle through node 'a' (Add)" in message


def test_nodes_out_of_order_are_sorted(tmp_path: Path) -> None:
    nodes = [node("Sigmoid", "b"), node("MatMul", "a w", "b"), node("Relu", "x", "a")]
    graph = from_onnx(saved(tmp_path / "a.onnx", model(nodes, [typed("x", [2, 2])], [zeros("w", 2, 2)])))
    assert [layer.op for layer in graph.layers] == ["relu", "linear"]


def test_shapes_that_contradict(tmp_path: Path) -> None:
    made = model([node("MatMul", "x w")], [typed("x", [2, 3])], [zeros("w", 4, 5)])
    assert "node 'y' (MatMul): its inputs contradict each other" in refusal(saved(tmp_path / "a.onnx", made))


def test_missing_initialiser(tmp_path: Path) -> None:
    made = model([node("Conv", "x w")], [typed("x", [1, 3, 8, 8])])
    message = refusal(saved(tmp_path / "a.onnx", made))
    assert "node 'y' (Conv) reads 'w', which no node, input or initialiser gives" in message


def test_missing_output_and_second_maker(tmp_path: Path) -> None:
    made = model([node("Relu", "x", "a")], [typed("x", [2])])
    assert "the graph gives 'y', which no node" in refusal(saved(tmp_path / "a.onnx", made))
    made = model([node("Relu", "x"), node("Abs", "x")], [typed("x", [2])])
    assert "two nodes, inputs or initialisers give 'y'" in refusal(saved(tmp_path / "a.onnx", made))


def test_huge_shapes_cost_no_memory(tmp_path: Path) -> None:
    sizes = stored("sizes", [1 << 20, 1 << 20, 1 << 20], np.int64)
    made = model([node("Expand", "x sizes", "a"), node("Relu", "a")], [typed("x", [1])], [sizes])
    assert "impossible shape" in refusal(saved(tmp_path / "a.onnx", made))
    wide = model(
        [node("Expand", "x sizes", "a"), node("Relu", "a")], [typed("x", [1])], [stored("sizes", [1 << 40], np.int64)]
    )
    assert from_onnx(saved(tmp_path / "a.onnx", wide)).layers[0].ops == 1 << 40


def test_functions_that_multiply_are_refused(tmp_path: Path) -> None:
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    made = model([helper.make_node("f40", ["x"], ["y"], domain="local")], [typed("x", [2])], domains=["local"])
    for i in range(1, 41):
        inside = [
            helper.make_node(f"f{i - 1}", [a], [b], domain="local") if i > 1 else node("Relu", a, b)
            for a, b in (("a", "t"), ("t", "b"))
        ]
        made.functions.append(helper.make_function("local", f"f{i}", ["a"], ["b"], inside, imports))
    assert "written out, have more than 200,000 nodes" in refusal(saved(tmp_path / "a.onnx", made))
    made.functions[0].node[0].op_type, made.functions[0].node[0].domain = "f40", "local"
    assert "calls itself" in refusal(saved(tmp_path / "a.onnx", made))


def test_subgraphs_nested_too_deeply(tmp_path: Path) -> None:
    graph = helper.make_graph([node("Relu", "x", "y0")], "g", [], [onnx.ValueInfoProto(name="y0")])
    for i in range(1, 30):
        made = node("If", "c", f"y{i}", then_branch=graph, else_branch=graph) if i < 8 else None
        made = made or node("If", "c", f"y{i}", then_branch=graph)
        graph = helper.make_graph([made], "g", [], [onnx.ValueInfoProto(name=f"y{i}")])
        graph.doc_string = "x" * 600
    whole = model(list(graph.node), [typed("x", [2]), typed("c", [], TensorProto.BOOL)], outputs=["y29"])
    assert "nested" in refusal(saved(tmp_path / "a.onnx", whole))


def outside(tmp_path: Path, location: str, **more: str) -> Path:
    folder = tmp_path / "model"
    folder.mkdir(exist_ok=True)
    weight = zeros("w", 4, 4)
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in ({"location": location} | more).items():
        weight.external_data.add(key=key, value=value)
    return saved(folder / "a.onnx", model([node("MatMul", "x w")], [typed("x", [2, 4])], [weight]))


def test_external_data_are_not_opened_unless_asked_for(tmp_path: Path) -> None:
    for location in ("weights.bin", "../secret", "/etc/passwd"):
        assert from_onnx(outside(tmp_path, location)).macs == 32


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("../secret", "outside the model's folder"),
        ("/etc/passwd", "outside the model's folder"),
        ("inner/../../secret", "outside the model's folder"),
        ("", "outside the model's folder"),
        ("absent", "is not there"),
        ("link", "is a link"),
        ("linked/secret", "is a link"),
        ("inner", "not a regular file"),
        ("pipe", "not a regular file"),
    ],
)
def test_external_data_must_be_regular_files_inside_the_folder(tmp_path: Path, location: str, said: str) -> None:
    path = outside(tmp_path, location)
    (tmp_path / "secret").write_bytes(bytes(64))
    (path.parent / "link").symlink_to(tmp_path / "secret")
    (path.parent / "linked").symlink_to(tmp_path)
    (path.parent / "inner").mkdir()
    os.mkfifo(path.parent / "pipe")
    assert said in refusal(path, read_weights=True)


def test_external_data_must_lie_inside_their_file(tmp_path: Path) -> None:
    for offset, length, said in (
        ("0", "60", "its shape and type need 64"),
        ("4096", "64", "which has only 100"),
        ("-1", "64", "which has only 100"),
        ("x", "64", "is no number"),
    ):
        path = outside(tmp_path, "w.bin", offset=offset, length=length)
        (path.parent / "w.bin").write_bytes(bytes(100))
        assert said in refusal(path, read_weights=True)
    path = outside(tmp_path, "w.bin", offset="36", length="64")
    (path.parent / "w.bin").write_bytes(bytes(96) + b"\x00\x00\x80\x3f")
    assert from_onnx(path, read_weights=True).layers[0].tensor("weight").density == 1 / 16  # type: ignore[union-attr]


def test_stored_data_must_be_as_many_as_the_shape_asks_for(tmp_path: Path) -> None:
    weight = zeros("w", 4, 4)
    weight.raw_data = bytes(60)
    made = model([node("MatMul", "x w")], [typed("x", [2, 4])], [weight])
    assert "not as many as its shape needs" in refusal(saved(tmp_path / "a.onnx", made), read_weights=True)
    large = zeros("w", 400, 400)
    large.raw_data = bytes(60_000)
    made = model([node("MatMul", "x w")], [typed("x", [2, 400])], [large])
    assert "60,000 bytes of data; its shape and type need 640,000" in refusal(
        saved(tmp_path / "a.onnx", made), read_weights=True
    )


@pytest.mark.parametrize("dims", [{"x.0": 0}, {"x.0": -1}, {"x.0": True}, {"x.0": 1 << 40}])
def test_dims_that_are_none(tmp_path: Path, dims: dict[str, int]) -> None:
    path = saved(tmp_path / "a.onnx", model([node("Relu", "x")], [typed("x", [None, 2])]))
    with pytest.raises(EnergysimError, match="must be an integer of at least 1"):
        from_onnx(path, dims=dims)
