"""Zip archives: what is sound is read, bombs and lies are refused from their directory alone."""

import io
import struct
import zipfile
from contextlib import suppress
from pathlib import Path
from time import process_time

import pytest

from energysim.errors import ModelReadError
from energysim.workload.archive import Archive, Budget, refusal_of_pickle


def zipped(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def refusal(path: Path, budget: Budget | None = None) -> str:
    with pytest.raises(ModelReadError) as caught:
        read_all(path, budget)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def read_all(path: Path, budget: Budget | None = None) -> None:
    with Archive(path, budget) as archive:
        for name in archive.members:
            archive.read(name)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_are_read(tmp_path: Path, method: int) -> None:
    path = zipped(tmp_path / "a.pt2", {"a/model.json": b"{}" * 100, "a/weight": bytes(1000)}, method)
    with Archive(path) as archive:
        assert archive.members == {"a/model.json": 200, "a/weight": 1000}
        assert archive.read("a/model.json") == b"{}" * 100
        assert archive.read("a/weight", at_most=10) == bytes(10)
        with pytest.raises(ModelReadError, match="has no member 'b'"):
            archive.read("b")


def test_members_written_to_a_stream_have_their_sizes_in_the_directory(tmp_path: Path) -> None:
    class Stream(io.RawIOBase):
        """Cannot seek, so zipfile writes sizes behind the data."""

        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            self.data += bytes(data)  # type: ignore[call-overload]
            return len(bytes(data))  # type: ignore[call-overload]

    stream = Stream()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[call-overload]
        archive.writestr("a", b"x" * 5000)
    (tmp_path / "a.pt2").write_bytes(stream.data)
    with Archive(tmp_path / "a.pt2") as opened:
        assert opened.read("a") == b"x" * 5000


def test_bomb_is_refused_within_a_second(tmp_path: Path) -> None:
    path = zipped(tmp_path / "bomb.pt2", {"a": bytes(200 << 20)})
    assert path.stat().st_size < 250_000
    began = process_time()
    assert "times its size; at most 100 times" in refusal(path)
    assert process_time() - began < 1


def test_many_small_members_that_add_up_are_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "bomb.pt2", {f"{i}": bytes(100_000) for i in range(100)})
    assert "times its size" in refusal(path)
    assert "10,000,000 bytes when unpacked; at most 9,000,000" in refusal(path, Budget(unpacked_bytes=9_000_000))


def test_too_many_members_are_refused_before_they_are_listed(tmp_path: Path) -> None:
    path = zipped(tmp_path / "many.pt2", {f"{i}": b"" for i in range(300)})
    assert "declares 300 members; at most 200" in refusal(path, Budget(members=200))
    lying = bytearray(path.read_bytes())
    struct.pack_into("<HH", lying, len(lying) - 14, 3, 3)
    path.write_bytes(lying)
    assert "declares 300 members; at most 200" in refusal(path, Budget(members=200))


def test_overlapping_members_are_refused(tmp_path: Path) -> None:
    data = bytearray(zipped(tmp_path / "over.pt2", {"a": b"1" * 50, "b": b"2" * 50}, zipfile.ZIP_STORED).read_bytes())
    second = data.rfind(b"PK\x01\x02")
    struct.pack_into("<I", data, second + 42, 0)  # both point at the first
    (tmp_path / "over.pt2").write_bytes(data)
    assert "lies over another one" in refusal(tmp_path / "over.pt2")


@pytest.mark.parametrize("by", [-5, 5, 1 << 30])
def test_lying_sizes_are_refused(tmp_path: Path, by: int) -> None:
    data = bytearray(zipped(tmp_path / "lie.pt2", {"a": bytes(range(256)) * 4}).read_bytes())
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = data.find(signature) + offset
        struct.pack_into("<I", data, place, struct.unpack_from("<I", data, place)[0] + by)
    (tmp_path / "lie.pt2").write_bytes(data)
    assert refusal(tmp_path / "lie.pt2")
    only_directory = bytearray(zipped(tmp_path / "lie.pt2", {"a": b"x" * 50}).read_bytes())
    place = only_directory.find(b"PK\x01\x02") + 24
    struct.pack_into("<I", only_directory, place, 51)
    (tmp_path / "lie.pt2").write_bytes(only_directory)
    assert "differs in its header" in refusal(tmp_path / "lie.pt2")


@pytest.mark.parametrize("name", ["../a", "/etc/a", "a/../../b", "..\\a"])
def test_members_outside_are_refused(tmp_path: Path, name: str) -> None:
    assert "outside the archive" in refusal(zipped(tmp_path / "a.pt2", {name: b""}))


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pt2"
    whole = zipped(path, {"a": b"x" * 5000}).read_bytes()
    for data in (b"", b"PK", bytes(100_000), whole[:-30], whole[30:], whole[:40] + whole[50:]):
        path.write_bytes(data)
        assert refusal(path)
    assert "no such file" in refusal(tmp_path / "b.pt2")


def test_flipped_bits_are_refused_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "a.pt2"
    whole = zipped(path, {"a": b"x" * 50, "b": bytes(range(200))}).read_bytes()
    for bit in range(0, 8 * len(whole), 3):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        with suppress(ModelReadError):
            read_all(path)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".pkl"])
def test_pickles_are_refused_with_what_to_use_instead(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"\x80\x04.")
    with pytest.raises(ModelReadError, match=r"run code when they are loaded.*package\.module:function.*\.onnx"):
        raise refusal_of_pickle(path)


def test_checkpoint_asks_for_the_module(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.pt", {"a/data.pkl": b"", "a/data/0": bytes(8)}, zipfile.ZIP_STORED)
    with pytest.raises(ModelReadError, match="not which operations a forward pass does"):
        raise refusal_of_pickle(path)
    with pytest.raises(ModelReadError, match="TorchScript"):
        raise refusal_of_pickle(zipped(tmp_path / "b.pt", {"a/code/__torch__.py": b""}))
