"""Weights of ONNX models, read only when asked for: from the file itself, or from regular files in the same folder."""

import mmap
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from energysim.errors import ModelReadError
from energysim.workload.graph import clean_name
from energysim.workload.onnx_file import MARK, RAW_DATA, first_line, import_onnx, mapped
from energysim.workload.onnx_scope import constant_tensors

if TYPE_CHECKING:
    import onnx

STORED = MappingProxyType(
    {1: "<f4", 2: "u1", 3: "i1", 4: "<u2", 5: "<i2", 6: "<i4", 7: "<i8", 9: "u1", 10: "<f2", 11: "<f8", 12: "<u4"}
    | {13: "<u8", 14: "<c8", 15: "<c16", 16: "<u2", 17: "u1", 18: "u1", 19: "u1", 20: "u1", 24: "u1"}
)
"""How raw data of an element type lie in a file; brain floats and floats of 8 bits as their bare bits."""
PACKED = MappingProxyType({21: 4, 22: 4, 23: 4, 25: 2, 26: 2})
"""Bits of the element types of which several share a byte."""
SIGNED_ZERO = MappingProxyType({16: 0x8000, 17: 0x80, 19: 0x80, 23: 0x8})
"""Bare bits of minus zero, where it is a number."""
CHUNK_ELEMENTS = 1 << 20
MOST_DISTINCT = 1 << 16
"""Distinct values up to which they are counted: more is not sharing."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What the elements of a tensor are: how many, how many are not zero, and how many differ (None: too many)."""

    elements: int
    nonzero: int
    distinct: int | None

    @property
    def density(self) -> float:
        """Share of elements that are not zero."""
        return self.nonzero / self.elements if self.elements else 1.0


def measure(path: Path, model: "onnx.ModelProto", names: "frozenset[str] | None" = None) -> dict[str, Measured]:
    """Initialisers of a model that was read without its payloads; raises ModelReadError for data that are not sound."""
    found: dict[str, Measured] = {}
    with mapped(path) as data:
        stored = [(tensor.name, tensor) for tensor in model.graph.initializer]
        for name, tensor in (*stored, *constant_tensors(model.graph)):
            if names is not None and name not in names:
                continue
            try:
                with _elements(path, data, tensor) as elements:
                    if elements is not None:
                        found[name] = measured(elements, SIGNED_ZERO.get(tensor.data_type, 0))
            except (ModelReadError, ValueError) as error:
                raise ModelReadError(f"initialiser '{clean_name(name)}': {first_line(error)}") from None
    return found


def measured(elements: Any, signed_zero: int = 0) -> Measured:
    """What the elements of an array are, a chunk at a time."""
    flat = elements.reshape(-1)
    nonzero, distinct = 0, np.empty(0, flat.dtype)
    many = False
    for start in range(0, flat.size, CHUNK_ELEMENTS):
        chunk = flat[start : start + CHUNK_ELEMENTS]
        zero = np.count_nonzero(chunk == 0) + (np.count_nonzero(chunk == signed_zero) if signed_zero else 0)
        nonzero += chunk.size - zero
        if not many:
            distinct = np.union1d(distinct, chunk)
            many = distinct.size > MOST_DISTINCT
    return Measured(int(flat.size), int(nonzero), None if many else int(distinct.size))


@contextmanager
def _elements(path: Path, data: Any, tensor: "onnx.TensorProto") -> Iterator[Any]:
    """The elements as numbers, or as bare bits; None for types that hold no numbers."""
    kind = tensor.data_type
    if kind not in STORED and kind not in PACKED:
        yield None
        return
    count = prod(tensor.dims)
    size = count * np.dtype(STORED[kind]).itemsize if kind in STORED else -(-count * PACKED[kind] // 8)
    if tensor.data_location == 1:
        with _external(path, tensor, size) as outside:
            yield _unpacked(outside, kind, count)
        return
    mark = tensor.doc_string.split(":")
    if mark[0] == MARK:
        number, begin, length, start, end = (int(each) for each in mark[1:])
        if number == RAW_DATA:
            if length != size:
                raise ModelReadError(f"has {length:,} bytes of data; its shape and type need {size:,}")
            yield _unpacked(np.frombuffer(data, np.uint8, length, begin), kind, count)
            return
        tensor = import_onnx().TensorProto.FromString(data[start:end])
    if not count:
        yield np.empty(0, np.float32)
        return
    try:
        array = import_onnx().numpy_helper.to_array(tensor)
    except Exception:  # whatever numpy says of data that are not as many as the shape asks for
        raise ModelReadError("has no data, or not as many as its shape needs") from None
    yield array if array.dtype.kind in "fiub" else array.view(f"u{array.dtype.itemsize}")


def _unpacked(raw: Any, kind: int, count: int) -> Any:
    if kind in STORED:
        return raw.view(STORED[kind])
    bits = PACKED[kind]
    parts = [raw >> shift & (1 << bits) - 1 for shift in range(0, 8, bits)]
    return np.stack(parts, -1).reshape(-1)[:count]


@contextmanager
def _external(path: Path, tensor: "onnx.TensorProto", size: int) -> Iterator[Any]:
    """Bytes of an initialiser that lie in another file, which must be a regular one inside the model's folder."""
    given: Mapping[str, str] = {entry.key: entry.value for entry in tensor.external_data}
    location = given.get("location", "")
    shown = clean_name(location)
    try:
        offset, length = int(given.get("offset", "0")), int(given.get("length", str(size)))
    except ValueError:
        raise ModelReadError(f"its place in '{shown}' is no number") from None
    if length != size:
        raise ModelReadError(f"has {length:,} bytes in '{shown}'; its shape and type need {size:,}")
    if not size:
        yield np.empty(0, np.uint8)
        return
    descriptor = _open_inside(path.parent, location)
    try:
        whole = os.fstat(descriptor).st_size
        if offset < 0 or offset + length > whole:
            raise ModelReadError(f"bytes {offset:,} to {offset + length:,} of '{shown}', which has only {whole:,}")
        base = offset // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
        data = mmap.mmap(descriptor, offset + length - base, access=mmap.ACCESS_READ, offset=base)
        yield np.frombuffer(data, np.uint8, length, offset - base)
    finally:
        os.close(descriptor)


def _open_inside(folder: Path, location: str) -> int:
    """A descriptor of a regular file inside a folder; raises ModelReadError for anything else, links included."""
    shown = clean_name(location)
    parts = Path(location).parts
    if not parts or "\0" in location or "\\" in location or Path(location).is_absolute() or ".." in parts:
        raise ModelReadError(f"its data lie outside the model's folder, in '{shown}'; they are not read")
    here = folder
    for part in parts:
        here = here / part
        try:
            mode = here.lstat().st_mode
        except (OSError, ValueError):
            raise ModelReadError(f"its data are in '{shown}', which is not there") from None
        if stat.S_ISLNK(mode):
            raise ModelReadError(f"its data are in '{shown}', which is a link; links are not followed")
    if not stat.S_ISREG(mode):
        raise ModelReadError(f"its data are in '{shown}', which is not a regular file")
    try:
        return os.open(here, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError as error:
        raise ModelReadError(f"its data are in '{shown}': {error.strerror or error}") from None
