"""ONNX files without their weights: a walk over the protobuf wire format that leaves large payloads in the file.

What is handed to the `onnx` package is the model with every large payload cut out; the place of a payload in the file
stands in the tensor's doc_string instead (no doc_string of the file itself is kept), so weights can be read later.
"""

import mmap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from energysim.errors import InputError, ModelReadError
from energysim.workload.graph import clean_name

if TYPE_CHECKING:
    import onnx

Buffer = mmap.mmap | bytes

KEPT_BYTES = 16 << 10
"""Payloads up to this size stay: shapes, axes and indices are among them."""
WHOLE_BYTES = 512
"""Messages up to this size, but initialisers, are copied without a look inside."""
STRUCTURE_BYTES = 256 << 20
"""The most that may remain of a file without its payloads."""
NESTING = 24
"""Subgraphs within subgraphs."""

INSIDE: Mapping[str, Mapping[int, str]] = MappingProxyType(
    {
        "model": {7: "graph", 25: "function"},
        "graph": {1: "node", 5: "tensor", 15: "sparse"},
        "function": {7: "node", 11: "attribute"},
        "node": {5: "attribute"},
        "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
        "sparse": {1: "tensor", 2: "tensor"},
    }
)
"""Message to its fields that may hold payloads, by field number and as which message (onnx.proto)."""
PAYLOADS = frozenset((4, 5, 6, 7, 9, 10, 11))
"""Fields of TensorProto that hold elements; 9 is raw_data."""
RAW_DATA, DOC_STRING = 9, 12
MARK = "payload"


@dataclass(slots=True)
class _Walk:
    """One walk over a file; `kept` is what remains of it so far."""

    data: Buffer
    kept: int = 0
    nesting: int = field(default=0)

    def message(self, kind: str, start: int, end: int) -> bytes:
        """What remains of a message."""
        if kind == "tensor":
            return self._tensor(start, end)
        self.nesting += 1
        if self.nesting > NESTING:
            raise ModelReadError(f"its graphs are nested more than {NESTING} deep")
        inside = INSIDE[kind]
        parts: list[bytes] = []
        copied = start  # what is copied as it is begins here
        for number, wire, at, begin, stop in fields(self.data, start, end):
            if number not in inside or wire != 2:
                continue
            if stop - begin <= WHOLE_BYTES and kind != "model" and (kind, inside[number]) != ("graph", "tensor"):
                continue
            parts.append(self._copy(copied, at))
            part = self.message(inside[number], begin, stop)
            parts += (varint(number << 3 | 2), varint(len(part)), part)
            copied = stop
        parts.append(self._copy(copied, end))
        self.nesting -= 1
        return b"".join(parts)

    def _copy(self, start: int, end: int) -> bytes:
        self.kept += end - start
        if self.kept > STRUCTURE_BYTES:
            raise ModelReadError(f"holds more than {STRUCTURE_BYTES >> 20} MiB beside its weights")
        return self.data[start:end]

    def _tensor(self, start: int, end: int) -> bytes:
        found = list(fields(self.data, start, end))
        payload = sum(stop - at for number, _, at, _, stop in found if number in PAYLOADS)
        if payload <= KEPT_BYTES:
            return b"".join(self._copy(at, stop) for number, _, at, _, stop in found if number != DOC_STRING)
        parts = [self._copy(at, stop) for number, _, at, _, stop in found if number not in PAYLOADS | {DOC_STRING}]
        places = [(number, begin, stop - begin) for number, _, _, begin, stop in found if number in PAYLOADS]
        number, begin, length = places[0] if len(places) == 1 else (0, 0, 0)
        mark = f"{MARK}:{number}:{begin}:{length}:{start}:{end}".encode()
        return b"".join((*parts, varint(DOC_STRING << 3 | 2), varint(len(mark)), mark))


def fields(data: Buffer, start: int, end: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Fields of a message: number, wire type, where it starts, where its content starts and ends.

    Raises ModelReadError, with the byte, for a field that is no field or runs beyond its message.
    """
    at = start
    while at < end:
        key, begin = _varint(data, at, end)
        number, wire = key >> 3, key & 7
        if wire == 2:
            length, begin = _varint(data, begin, end)
            stop = begin + length
        elif wire == 0:
            _, stop = _varint(data, begin, end)
        elif wire in (1, 5):
            stop = begin + (8 if wire == 1 else 4)
        else:
            raise ModelReadError(f"not an ONNX model, or damaged: no field of one starts at byte {at:,}")
        if not number or number >= 1 << 29:
            raise ModelReadError(f"not an ONNX model, or damaged: no field of one starts at byte {at:,}")
        if stop > end:
            raise ModelReadError(
                f"cut off or damaged: a field at byte {at:,} declares {stop - begin:,} bytes; {end - begin:,} are left"
            )
        yield number, wire, at, begin, stop
        at = stop


def _varint(data: Buffer, at: int, end: int) -> tuple[int, int]:
    value = 0
    for i in range(10):
        if at + i >= end:
            break
        byte = data[at + i]
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return value, at + i + 1
    raise ModelReadError(f"cut off or damaged: a number that starts at byte {at:,} does not end")


def varint(value: int) -> bytes:
    """A number as protobuf writes it."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


@contextmanager
def mapped(path: Path) -> Iterator[Buffer]:
    """The bytes of a regular file, mapped rather than read; raises InputError where there is none."""
    where = clean_name(str(path))
    if not path.is_file():
        raise InputError(f"{where}: no such file" if not path.exists() else f"{where}: not a regular file")
    with path.open("rb") as file:
        if not path.stat().st_size:
            raise ModelReadError(f"{where}: the file is empty")
        # not closed by us: arrays on it may outlive the block; it goes when they do
        yield mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def read_structure(path: Path) -> "onnx.ModelProto":
    """The model in a file without its large payloads; raises ModelReadError with the file and what is wrong in it."""
    package = import_onnx()
    with mapped(path) as data:
        kept = _structure(data, clean_name(str(path)))
    model: onnx.ModelProto = package.ModelProto()
    try:
        model.ParseFromString(kept)
    except Exception as error:  # DecodeError of whichever protobuf is installed
        raise ModelReadError(f"{clean_name(str(path))}: not an ONNX model, or damaged: {first_line(error)}") from None
    return model


def _structure(data: Buffer, where: str) -> bytes:
    try:
        return _Walk(data).message("model", 0, len(data))
    except ModelReadError as error:
        raise ModelReadError(f"{where}: {error}") from None


def import_onnx() -> Any:
    """The `onnx` package; raises InputError that says how to get it."""
    try:
        import onnx
        import onnx.shape_inference
    except ImportError:
        raise InputError("reading ONNX models needs the onnx package: pip install 'energysim[onnx]'") from None
    return onnx


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return clean_name(next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__))
