"""The compressed file: what is written comes back bit for bit; whatever is wrong with a file is one clear line."""

import json
import os
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from energysim.compressed import file as compressed_file
from energysim.compressed.codings import CODINGS
from energysim.compressed.container import parse_container, read_container, write_container
from energysim.compressed.file import KEY, read_compressed, read_state, write_compressed, write_state
from energysim.compressed.model import CARRIERS, Clustered, CompressedModel, Dense, WeightReport, block_shape
from energysim.errors import InputError, OutputError
from energysim.granularity import Granularity, parse_granularity


def clustered(shape: tuple[int, ...], granularity: str, clusters: int, **more: Any) -> Clustered:
    cut, blocks = parse_granularity(granularity), more.pop("blocks", 1)
    count, length = cut.sample_shape(block_shape(shape, blocks, more.get("axis", 0), more.get("axes", ())))
    random = np.random.default_rng(length * clusters)
    codebooks = random.normal(size=(blocks, clusters, length)).astype(np.float32)
    codebooks[:, 0] = 0
    indices = random.integers(0, clusters, blocks * count).astype(np.uint32)
    return Clustered(codebooks, indices, shape, "F32", cut, **more)


def small() -> CompressedModel:
    scale = np.arange(8, dtype=np.float32)
    tensors = {
        "conv.weight": clustered((4, 3, 3, 3), "row", 7, kind="convolution", coding="huffman"),
        "conv.bias": Dense(np.arange(4, dtype=np.float32), "F32", "bias"),
        "odd.weight": clustered((5, 7), "vector:4", 6, kind="linear", coding="run_length"),
        "grouped.weight": clustered((6, 10), "scalar", 5, kind="linear", blocks=3),
        "transposed.weight": clustered((3, 8, 2, 2), "filter/transposed", 4, axis=1, scale=scale),
        "half": Dense(np.array([[0x3F80, 0x7FC1]], "<u2"), "BF16"),
        "batches": Dense(np.array(7, "<i8"), "I64"),
        "none": Dense(np.empty((0, 3), np.float32), "F32"),
        "flag": Dense(np.array([True, False]), "BOOL"),
    }
    line = WeightReport("conv.weight", 36, 7, 3, 0.25, None, 0.5, 9, 3, 2.5, ("a note",))
    ties, recipe = {"tied.weight": "conv.weight"}, {"method": "rows"}
    return CompressedModel(tensors, "small", ties, recipe, "energysim test", (line,), ("not shared: fc",))


def same(a: Dense, b: Dense) -> bool:
    return (a.dtype, a.shape, a.kind) == (b.dtype, b.shape, b.kind) and a.values.tobytes() == b.values.tobytes()


def test_restored_by_hand() -> None:
    # Pairs: codebook (1, 2), (3, 4), (5, 6); five elements are three pairs, the last one the 4th and 5th element.
    codebook = np.array([[[1, 2], [3, 4], [5, 6]]], np.float32)
    weight = Clustered(codebook, np.array([2, 0, 1], np.uint32), (5,), "F32", Granularity("vector", 2))
    assert weight.restored().tolist() == [5, 6, 1, 2, 4]
    # Two blocks of the second axis, a codebook and a scale each: column j is what block j picks, times j + 1.
    codebooks = np.array([[[1], [2]], [[10], [20]]], np.float32)
    scale = np.array([1, 2], np.float32)
    picks = np.array([0, 1, 1, 0], np.uint32)
    both = Clustered(codebooks, picks, (2, 2), "F32", Granularity("scalar"), axis=1, scale=scale)
    assert both.restored().tolist() == [[1, 40], [2, 20]]
    # Pairs down the columns of a 2 x 3 weight.
    turned = Clustered(codebook, np.array([2, 0, 1], np.uint32), (2, 3), "F32", Granularity("vector", 2), axes=(1, 0))
    assert turned.restored().tolist() == [[5, 1, 3], [6, 2, 4]]


def test_round_trip_is_bit_for_bit(tmp_path: Path) -> None:
    model = small()
    size = write_compressed(tmp_path / "a.energysim", model)
    assert size == (tmp_path / "a.energysim").stat().st_size
    back = read_compressed(tmp_path / "a.energysim")
    assert (back.name, back.ties, back.recipe, back.tool) == (model.name, model.ties, model.recipe, model.tool)
    assert (back.report, back.notes) == (model.report, model.notes)
    assert list(back.tensors) == list(model.tensors)
    before, after = model.state(), back.state()
    assert before.keys() == after.keys()
    assert all(same(before[name], after[name]) for name in before)
    assert after["tied.weight"] is after["conv.weight"]
    for (name, was), (_, now) in zip(model.clustered(), back.clustered(), strict=True):
        assert np.array_equal(was.indices, now.indices), name
        assert (was.coding, was.granularity, was.axis, was.kind) == (now.coding, now.granularity, now.axis, now.kind)
    write_compressed(tmp_path / "b.energysim", back)
    assert (tmp_path / "a.energysim").read_bytes() == (tmp_path / "b.energysim").read_bytes()


@settings(max_examples=60)
@given(st.data())
def test_any_shape_granularity_and_coding_round_trips(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=4)))
    axis = data.draw(st.integers(0, len(shape) - 1))
    blocks = data.draw(st.sampled_from([b for b in (1, 2, 3) if shape[axis] % b == 0]))
    cuts = ["row", "scalar", "slice", "filter", "vector:2", "vector:5"]
    cut = data.draw(st.sampled_from(cuts + ["row/transposed", "filter/transposed"] * (len(shape) > 2)))
    coding = data.draw(st.sampled_from(sorted(CODINGS)))
    axes = data.draw(st.one_of(st.just(()), st.permutations(range(len(shape))).map(tuple)))
    clusters = data.draw(st.integers(1, 20))
    tensor = clustered(shape, cut, clusters, axis=axis, blocks=blocks, coding=coding, axes=axes)
    path = tmp_path_factory.mktemp("any") / "f"
    write_compressed(path, CompressedModel({"w": tensor}))
    assert read_compressed(path).state()["w"].values.tobytes() == tensor.restored().tobytes()


def test_the_safetensors_library_reads_what_we_write_and_we_what_it_writes(tmp_path: Path) -> None:
    model = small()
    write_compressed(tmp_path / "ours", CompressedModel({n: t for n, t in model.tensors.items() if t.dtype != "BF16"}))
    theirs = safetensors.numpy.load_file(tmp_path / "ours")  # refuses gaps, overlaps, wrong sizes
    assert theirs["conv.bias"].tolist() == [0, 1, 2, 3]
    assert theirs["conv.weight::codebooks"].shape == (1, 7, 3)
    arrays = {"a": np.eye(3, dtype=np.float16), "b": np.array(5, np.int64), "c": np.zeros((0, 2), np.uint8)}
    safetensors.numpy.save_file(arrays, tmp_path / "theirs", {"key": "value"})
    tensors, metadata = read_container(tmp_path / "theirs")
    assert metadata == {"key": "value"}
    assert {name: (t.dtype, t.values.tolist()) for name, t in tensors.items()} == {
        "a": ("F16", np.eye(3).tolist()),
        "b": ("I64", 5),
        "c": ("U8", []),
    }


def test_plain_state(tmp_path: Path) -> None:
    state = {name: tensor for name, tensor in small().state().items() if tensor.dtype != "BF16"}
    write_state(tmp_path / "state.safetensors", state)
    plain = safetensors.numpy.load_file(tmp_path / "state.safetensors")
    assert plain.keys() == state.keys()
    assert all(np.array_equal(plain[name], state[name].values) for name in state)
    write_compressed(tmp_path / "compressed", small())
    assert read_state(tmp_path / "compressed").keys() == small().state().keys()
    assert read_state(tmp_path / "state.safetensors").keys() == state.keys()


def test_every_truncation_and_every_altered_byte_is_refused(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    write_compressed(whole, small())
    content = whole.read_bytes()
    broken = tmp_path / "broken"
    for length in [*range(0, len(content), 97), len(content) - 1]:
        broken.write_bytes(content[:length])
        with pytest.raises(InputError, match=r"broken: (not a safetensors file|truncated)"):
            read_compressed(broken)
    for place in range(0, len(content), 31):
        altered = bytearray(content)
        altered[place] ^= 1 + place % 255
        broken.write_bytes(altered)
        with pytest.raises(InputError, match=r"broken: "):
            read_compressed(broken)


def forged(path: Path, change: Callable[[dict[str, Any], dict[str, Dense]], None]) -> str:
    """What is said of a file whose header or tensors were changed by somebody who also mends the hash."""
    write_compressed(path, small())
    stored, metadata = read_container(path)
    header = json.loads(metadata[KEY])
    del header["sha256"]
    change(header, stored)
    header["sha256"] = compressed_file._hash(header, stored)
    write_container(path, stored, {KEY: json.dumps(header)})
    with pytest.raises(InputError) as caught:
        read_compressed(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert "\n" not in said
    return said.removeprefix(f"{path}: ")


def _set(name: str, **values: Any) -> Callable[[dict[str, Any], dict[str, Dense]], None]:
    return lambda header, stored: header["tensors"][name].update(values)


def _store(name: str, values: Any, dtype: str) -> Callable[[dict[str, Any], dict[str, Dense]], None]:
    return lambda header, stored: stored.update({name: Dense(np.array(values, CARRIERS[dtype]), dtype)})


LIES = {
    "larger shape": (_set("odd.weight", shape=[5, 7000]), "tensor 'odd.weight': "),
    "huge shape": (_set("odd.weight", shape=[1 << 39, 1 << 39]), "cannot be in a file of this size"),
    "negative shape": (_set("odd.weight", shape=[-5, 7]), "must be lists of whole numbers"),
    "zero shape": (_set("odd.weight", shape=[0, 7]), "tensor 'odd.weight': "),
    "unknown coding": (_set("odd.weight", coding="zip"), "unknown coding 'zip'; known: fixed, huffman, run_length"),
    "coding without its parts": (_set("odd.weight", coding="huffman"), "'odd.weight::block_bits' is missing"),
    "axis": (_set("transposed.weight", axis=4), "axis 4 and shape (3, 8, 2, 2) of a weight cannot be"),
    "axes": (_set("odd.weight", axes=[0, 2]), "axes (0, 2) are no order of the 2 axes of shape (5, 7)"),
    "granularity": (_set("odd.weight", granularity="rows"), "unknown granularity 'rows'; did you mean 'row'?"),
    "length": (_set("odd.weight", granularity="vector:5"), "tensor 'odd.weight': "),
    "kind": (_set("conv.bias", kind="bais"), "its kind must be one of"),
    "scaled": (_set("conv.weight", scaled=True), "'conv.weight::scale' is missing"),
    "not scaled": (_set("transposed.weight", scaled=False), "'transposed.weight::scale' is not in the header's list"),
    "index": (_store("grouped.weight::indices", [0xFF] * 23, "U8"), "tensor 'grouped.weight': "),
    "fewer indices": (_store("grouped.weight::indices", [0] * 9, "U8"), "9 bytes do not hold 60 numbers of 3 bits"),
    "part's dtype": (_store("grouped.weight::indices", [0] * 23, "I8"), "is I8; expected U8"),
    "part's shape": (_store("grouped.weight::indices", [[0] * 23], "U8"), "more than one dimension"),
    "integer codebook": (
        _store("grouped.weight::codebooks", [[[1], [2], [3], [4], [5]]] * 3, "I32"),
        "of dtype I32 cannot be",
    ),
    "flat codebook": (_store("grouped.weight::codebooks", [1, 2], "F32"), "codebooks of shape (2,)"),
    "empty codebook": (_store("grouped.weight::codebooks", [[[]]], "F32"), "codebooks of shape (1, 1, 0)"),
    "foreign tensor": (_store("extra", [1], "F32"), "tensor 'extra' is not in the header's list"),
    "missing tensor": (lambda header, stored: stored.pop("half"), "tensor 'half': 'half' is missing from the file"),
    "ties": (lambda header, stored: header["ties"].update(x="y"), "'x' stands for tensor 'y', which is not there"),
    "ties of another type": (lambda header, stored: header.update(ties={"x": 1}), "must map names to names"),
    "newer": (lambda header, stored: header.update(format=2), "format 2; this version of energysim reads format 1"),
    "no format": (lambda header, stored: header.pop("format"), "the header has no format number"),
    "no recipe": (lambda header, stored: header.pop("recipe"), "'recipe' is missing or not an object"),
    "report": (lambda header, stored: header["report"][0].update(mse="small"), "'report': mse is small"),
    "report's fields": (lambda header, stored: header["report"][0].pop("mse"), "has not the fields"),
    "scale's length": (_store("transposed.weight::scale", [1], "F32"), "do not fit a F32 weight"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_header_that_lies_is_caught(lie: str, tmp_path: Path) -> None:
    change, message = LIES[lie]
    assert message in forged(tmp_path / "f", change)


def test_a_few_bytes_cannot_claim_all_memory(tmp_path: Path) -> None:
    def claim(header: dict[str, Any], stored: dict[str, Dense]) -> None:
        # One centroid: no index takes a bit, so nothing else would bound the shape.
        stored["w::codebooks"] = Dense(np.ones((1, 1, 1), np.float32), "F32")
        stored["w::indices"] = Dense(np.empty(0, np.uint8), "U8")
        entry = {"kind": "linear", "shape": [1 << 20, 1 << 14], "granularity": "scalar", "coding": "fixed"}
        header["tensors"]["w"] = entry | {"axis": 0, "scaled": False}

    assert "shape (1048576, 16384) of a weight cannot be in a file of this size" in forged(tmp_path / "f", claim)


def raw(header: Any, data: bytes = b"", length: int | None = None) -> str:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    content = struct.pack("<Q", len(text) if length is None else length) + text + data
    with pytest.raises(InputError) as caught:
        parse_container(np.frombuffer(content, np.uint8))
    return str(caught.value)


def entry(**changed: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} | changed


@pytest.mark.parametrize(
    ("header", "data", "message"),
    [
        (b"{", b"", "its header is not JSON"),
        (b"[" * 99_999, b"", "its header is not JSON"),
        (b"\xff\xff", b"", "its header is not JSON"),
        (b"[]", b"", "its header is not a JSON object"),
        (b'{"a":{},"a":{}}', b"", "names 'a' twice"),
        ({"__metadata__": {"a": 1}}, b"", "__metadata__ in the header must map texts to texts"),
        ({"a": 1}, b"", "tensor 'a': must have dtype, shape and data_offsets"),
        ({"a": entry(dtype="F31")}, b"1234", "tensor 'a': unknown dtype 'F31'"),
        ({"a": entry(dtype=["F32"])}, b"1234", "unknown dtype"),
        ({"a": entry(shape=[-1])}, b"1234", "shape [-1] is not a list of sizes"),
        ({"a": entry(shape=[True])}, b"1234", "is not a list of sizes"),
        ({"a": entry(shape=[1 << 61, 1 << 61])}, b"1234", "needs"),
        ({"a": entry(data_offsets=[0])}, b"1234", "are not two positions"),
        ({"a": entry(data_offsets=[4, 0])}, b"1234", "F32 of shape [1] needs 4 bytes, has -4"),
        ({"a": entry(data_offsets=[0, 8])}, b"12345678", "needs 4 bytes, has 8"),
        ({"a": entry(data_offsets=[4, 8])}, b"12345678", "begins at byte 4 of the data; expected 0"),
        ({"a": entry(), "b": entry()}, b"1234", "tensor 'b' begins at byte 0 of the data; expected 4"),
        ({"a": entry()}, b"12345", "tells of 4 bytes of data, the file has 5"),
        ({"a": entry()}, b"12", "truncated: the header tells of 4 bytes of data, the file has 2"),
        ({"a\x1b[31m\n": 1}, b"", "tensor 'a\\x1b[31m\\n'"),
        ({"a": entry(dtype="BOOL", data_offsets=[0, 1])}, b"\x02", "neither true nor false"),
    ],
)
def test_a_broken_safetensors_file_is_refused(header: Any, data: bytes, message: str) -> None:
    assert message in raw(header, data)


def test_header_lengths() -> None:
    assert "header would be larger than 100 MB" in raw({}, length=1 << 40)
    assert "truncated: the header has 99 bytes, the file 10" in raw({}, length=99)


@pytest.mark.parametrize("content", [b"", b"short", b"PK\x03\x04" + b"\0" * 90, b"\x80\x02}q\x00." + b"\0" * 90])
def test_foreign_files(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(InputError, match=r"f: (not a safetensors file|truncated)"):
        read_compressed(tmp_path / "f")


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere: no such file"):
        read_compressed(tmp_path / "nowhere")
    with pytest.raises(InputError, match="is a directory, not a file"):
        read_compressed(tmp_path)
    write_state(tmp_path / "plain", {"a": Dense(np.ones(2, np.float32), "F32")})
    with pytest.raises(InputError, match="but not a compressed model of energysim"):
        read_compressed(tmp_path / "plain")
    with pytest.raises(InputError, match=r"no such file|cannot be read"):
        read_compressed("a\0b")


def test_disk_full_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    write_compressed(path, small())
    old = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="f: cannot be written: No space left on device"):
        write_compressed(path, CompressedModel({"w": clustered((99, 9), "vector:3", 9)}))
    assert path.read_bytes() == old
    assert [each.name for each in tmp_path.iterdir()] == ["f"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_not_a_regular_file() -> None:
    with pytest.raises(OutputError, match="is not a regular file"):
        write_compressed("/dev/full", small())


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs /dev/zero")
def test_a_device_is_not_read() -> None:
    with pytest.raises(InputError, match="/dev/zero: is not a regular file"):
        read_compressed("/dev/zero")


def test_nowhere_to_write(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a directory"):
        write_compressed(tmp_path, small())
    with pytest.raises(OutputError, match="cannot be written: No such file or directory"):
        write_compressed(tmp_path / "no" / "f", small())


def test_names_that_collide_are_refused(tmp_path: Path) -> None:
    tensors = {"w": clustered((4, 4), "scalar", 4), "w::codebooks": Dense(np.ones(2, np.float32), "F32")}
    with pytest.raises(InputError, match="two tensors would stand under the name 'w::codebooks'"):
        write_compressed(tmp_path / "f", CompressedModel(tensors))
    assert not list(tmp_path.iterdir())


JSON = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 1 << 70),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.just([]),
    st.just({}),
) | st.lists(st.integers(-2, 50), max_size=5)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to everything in nested JSON, containers too."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(leaf for key, item in inner for leaf in leaves(item, (*path, key)))]


@settings(max_examples=200)
@given(st.data())
def test_any_change_with_a_mended_hash_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "f"
    write_compressed(path, small())
    stored, metadata = read_container(path)
    header = json.loads(metadata[KEY])
    del header["sha256"]
    where = data.draw(st.sampled_from(leaves(header)[1:]))
    holder = header
    for key in where[:-1]:
        holder = holder[key]
    holder[where[-1]] = data.draw(JSON)
    if data.draw(st.booleans()):
        name = data.draw(st.sampled_from(sorted(stored)))
        size = data.draw(st.integers(0, 40))
        dtype = data.draw(st.sampled_from([stored[name].dtype, "U8", "U16", "F32"]))
        raw = data.draw(st.binary(min_size=8 * size, max_size=8 * size))
        stored[name] = Dense(np.frombuffer(raw, CARRIERS[dtype])[:size], dtype)
    header["sha256"] = compressed_file._hash(header, stored)
    write_container(path, stored, {KEY: json.dumps(header)})
    with suppress(InputError):
        read_compressed(path).state()
