"""Safetensors files with every bound checked at reading, and written whole or not at all.

The format (huggingface/safetensors, README): 8 bytes with the length of a JSON header, the header, then the tensors'
bytes without gaps. Read and written here, not by the library, so that mistakes are told by file, tensor and number.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from energysim.compressed.model import CARRIERS, Dense, Values
from energysim.errors import InputError, OutputError

LARGEST_HEADER = 100_000_000
"""Bytes; the limit of the library."""

LARGEST_BYTES = 1 << 36
"""No file, and no tensor once decoded, may be larger (64 GiB)."""


def shown(text: object, length: int = 100) -> str:
    """A name out of a file made fit to print: one line, hidden characters escaped, not too long."""
    raw = str(text)
    cut = raw if len(raw) <= length else raw[:length] + "..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in cut)


def read_container(path: str | Path) -> tuple[dict[str, Dense], dict[str, str]]:
    """Tensors and metadata of a safetensors file; raises InputError naming the file and what is wrong where."""
    where = shown(path, 4096)
    try:
        size = Path(path).stat().st_size
        if not Path(path).is_file():
            what = "is a directory, not a file" if Path(path).is_dir() else "is not a regular file"
            raise InputError(f"{where}: {what}")
        if size > LARGEST_BYTES:
            raise InputError(f"{where}: is larger than 64 GiB")
        content = np.fromfile(path, np.uint8)
    except FileNotFoundError:
        raise InputError(f"{where}: no such file") from None
    except (OSError, ValueError, MemoryError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error or "out of memory"
        raise InputError(f"{where}: cannot be read: {reason}") from None
    try:
        return parse_container(content)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def parse_container(content: Values) -> tuple[dict[str, Dense], dict[str, str]]:
    """Tensors and metadata of a safetensors file's bytes; the tensors are views of them."""
    if content.size < 8:
        raise InputError(f"not a safetensors file: {content.size} bytes")
    length = int.from_bytes(content[:8].tobytes(), "little")
    if length > LARGEST_HEADER:
        raise InputError("not a safetensors file: its header would be larger than 100 MB")
    if length > content.size - 8:
        raise InputError(f"truncated: the header has {length} bytes, the file {content.size}")
    header = _header(content[8 : 8 + length].tobytes())
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise InputError("__metadata__ in the header must map texts to texts")
    data = content[8 + length :]
    spans = {name: _span(name, entry) for name, entry in header.items()}
    reached = 0
    for name in sorted(spans, key=lambda name: (spans[name][2], spans[name][3])):
        _, _, begin, end = spans[name]
        if begin != reached:
            raise InputError(f"tensor '{shown(name)}' begins at byte {begin} of the data; expected {reached}")
        reached = end
    if reached != data.size:
        what = "truncated: " if reached > data.size else ""
        raise InputError(f"{what}the header tells of {reached} bytes of data, the file has {data.size}")
    return {name: _tensor(name, data, *spans[name]) for name in header}, metadata


def _header(raw: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise InputError(f"the header names '{shown(key)}' twice")
            found[key] = value
        return found

    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not a safetensors file: its header is not JSON ({shown(error)})") from None
    if not isinstance(header, dict):
        raise InputError("not a safetensors file: its header is not a JSON object")
    return header


def _span(name: str, entry: Any) -> tuple[str, tuple[int, ...], int, int]:
    """Dtype, shape, and the first and last byte of a tensor, from its line in the header."""
    where = f"tensor '{shown(name)}'"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise InputError(f"{where}: must have dtype, shape and data_offsets, no more")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in CARRIERS:
        raise InputError(f"{where}: unknown dtype '{shown(dtype)}'; known: {', '.join(CARRIERS)}")
    if not _naturals(shape) or len(shape) > 32:
        raise InputError(f"{where}: shape {shown(shape)} is not a list of sizes")
    if not _naturals(offsets) or len(offsets) != 2:
        raise InputError(f"{where}: data_offsets {shown(offsets)} are not two positions")
    needed, (begin, end) = prod(shape) * np.dtype(CARRIERS[dtype]).itemsize, offsets
    if end - begin != needed:
        raise InputError(f"{where}: {dtype} of shape {shown(shape)} needs {needed} bytes, has {end - begin}")
    return dtype, tuple(shape), begin, end


def _naturals(value: Any) -> bool:
    return isinstance(value, list) and all(type(x) is int and 0 <= x < 1 << 62 for x in value)


def _tensor(name: str, data: Values, dtype: str, shape: tuple[int, ...], begin: int, end: int) -> Dense:
    raw = data[begin:end]
    if dtype == "BOOL" and raw.size and int(raw.max()) > 1:
        raise InputError(f"tensor '{shown(name)}': bytes that are neither true nor false")
    return Dense(raw.view(CARRIERS[dtype]).reshape(shape), dtype)


def container(tensors: Mapping[str, Dense], metadata: Mapping[str, str]) -> Iterator[bytes | memoryview]:
    """The bytes of a safetensors file, piece by piece; widest dtypes first, so that all are aligned."""
    order = sorted(tensors, key=lambda name: (-tensors[name].values.itemsize, name))
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    begin = 0
    for name in order:
        tensor = tensors[name]
        end = begin + tensor.values.nbytes
        header[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [begin, end]}
        begin = end
    try:
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        raise InputError("a tensor's name has half a character (a surrogate escape)") from None
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for name in order:
        yield np.ascontiguousarray(tensors[name].values).tobytes()


def write_container(path: str | Path, tensors: Mapping[str, Dense], metadata: Mapping[str, str]) -> int:
    """Write a safetensors file and return its bytes; an old file stays as it was until the new one is whole.

    Raises OutputError when it cannot be written (disk full, no permission), and leaves nothing half written.
    """
    target = Path(path)
    where = shown(path, 4096)
    if target.is_dir():
        raise OutputError(f"{where}: is a directory; give a file name")
    part = None
    try:
        target = target.resolve()
        if target.exists() and not target.is_file():
            raise OutputError(f"{where}: is not a regular file")
        part = target.with_name(f".{target.name[:200]}.{os.getpid()}.part")
        size = 0
        with part.open("xb") as file:
            for piece in container(tensors, metadata):
                size += file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
        part = None
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise OutputError(f"{where}: cannot be written: {reason}") from error
    finally:
        if part is not None:
            with suppress(OSError):
                part.unlink(missing_ok=True)
    return size
