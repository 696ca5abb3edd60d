"""The compressed model file: one safetensors file, its header a JSON text under "energysim" in the metadata.

For a clustered tensor `w` the file holds `w::codebooks`, the parts of its coding (`w::indices`, ...), and perhaps
`w::scale`; other tensors stand under their own names. docs/decisions/compressed-file.md says why.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from math import prod
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np

from energysim.compressed.codings import CODINGS, Parts
from energysim.compressed.container import read_container, shown, write_container
from energysim.compressed.model import (
    TENSOR_KINDS,
    Clustered,
    CompressedModel,
    Dense,
    WeightReport,
    block_shape,
    zero_of,
)
from energysim.errors import InputError
from energysim.granularity import parse_granularity

FORMAT = 1
"""Version of the file; a reader refuses what is newer."""

KEY = "energysim"
SEPARATOR = "::"

SMALL_ELEMENTS = 1 << 26
LARGEST_EXPANSION = 1 << 10
"""A file's tensors may have so many elements, or so many for each of its bytes: a few bytes cannot claim all memory."""


def parts_of(tensor: Clustered) -> Parts:
    """The indices of a tensor as its coding writes them."""
    if tensor.coding not in CODINGS:
        raise InputError(f"unknown coding '{shown(tensor.coding)}'; known: {', '.join(CODINGS)}")
    return CODINGS[tensor.coding].encode(tensor.indices, tensor.clusters, tensor.zero)


def write_compressed(path: str | Path, model: CompressedModel) -> int:
    """Write a compressed model and return the file's bytes; the old file stays until the new one is whole.

    Raises InputError for a model that cannot be coded, OutputError when the file cannot be written.
    """
    stored: dict[str, Dense] = {}
    described: dict[str, dict[str, Any]] = {}
    for name, tensor in model.tensors.items():
        if isinstance(tensor, Dense):
            pieces, entry = {name: tensor}, {"kind": tensor.kind}
        else:
            pieces, entry = _pieces(name, tensor), _entry(tensor)
        if taken := pieces.keys() & stored.keys():
            raise InputError(f"two tensors would stand under the name '{shown(min(taken))}'")
        stored |= pieces
        described[name] = entry
    header = {
        "format": FORMAT,
        "tool": model.tool,
        "model": model.name,
        "recipe": model.recipe,
        "tensors": described,
        "ties": dict(model.ties),
        "report": [asdict(line) for line in model.report],
        "notes": list(model.notes),
    }
    header["sha256"] = _hash(header, stored)
    return write_container(path, stored, {KEY: json.dumps(header, allow_nan=False, separators=(",", ":"))})


def _pieces(name: str, tensor: Clustered) -> dict[str, Dense]:
    pieces = {f"{name}{SEPARATOR}codebooks": Dense(tensor.codebooks, tensor.dtype)}
    for part, values in parts_of(tensor).items():
        pieces[f"{name}{SEPARATOR}{part}"] = Dense(values, CODINGS[tensor.coding].parts[part])
    if tensor.scale is not None:
        pieces[f"{name}{SEPARATOR}scale"] = Dense(tensor.scale, "F32")
    return pieces


def _entry(tensor: Clustered) -> dict[str, Any]:
    entry = {"kind": tensor.kind, "shape": list(tensor.shape), "granularity": str(tensor.granularity)}
    return entry | {
        "coding": tensor.coding,
        "axis": tensor.axis,
        "axes": list(tensor.axes),
        "scaled": tensor.scale is not None,
    }


def _hash(header: Mapping[str, Any], stored: Mapping[str, Dense]) -> str:
    """SHA-256 over the header without its hash, and every tensor's name, dtype, shape and bytes."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True, separators=(",", ":")).encode())
    for name in sorted(stored):
        tensor = stored[name]
        digest.update(json.dumps([name, tensor.dtype, list(tensor.shape)]).encode("utf-8", "surrogatepass"))
        digest.update(np.ascontiguousarray(tensor.values).tobytes())
    return digest.hexdigest()


def is_compressed(metadata: Mapping[str, str]) -> bool:
    """Whether a safetensors file's metadata say that it is a compressed model of ours."""
    return KEY in metadata


def read_compressed(path: str | Path) -> CompressedModel:
    """The compressed model in a file; raises InputError, naming file, tensor and number, for whatever is not sound.

    Nothing in the file is executed; sizes, indices and code words are checked against each other and the file's bytes.
    """
    stored, metadata = read_container(path)
    try:
        if not is_compressed(metadata):
            raise InputError("a safetensors file, but not a compressed model of energysim; see `energysim compress`")
        return _model(stored, metadata[KEY])
    except InputError as error:
        raise InputError(f"{shown(path, 4096)}: {error}") from None
    except MemoryError:
        raise InputError(f"{shown(path, 4096)}: the tensors it tells of do not fit in memory") from None


def _model(stored: dict[str, Dense], text: str) -> CompressedModel:
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the header is not JSON ({shown(error)})") from None
    if not isinstance(header, dict) or type(header.get("format")) is not int:
        raise InputError("the header has no format number")
    if header["format"] != FORMAT:
        raise InputError(f"format {header['format']}; this version of energysim reads format {FORMAT}")
    _check_types(header)
    said = header.pop("sha256")
    if _hash(header, stored) != said:
        raise InputError("altered: the contents do not match the hash in the header")
    room = max(SMALL_ELEMENTS, LARGEST_EXPANSION * sum(tensor.values.nbytes for tensor in stored.values()))
    left = dict(stored)
    tensors: dict[str, Dense | Clustered] = {}
    for name, entry in header["tensors"].items():
        try:
            tensors[name] = _tensor(name, entry, left, room)
        except InputError as error:
            raise InputError(f"tensor '{shown(name)}': {error}") from None
        room -= prod(tensors[name].shape)
    if left:
        raise InputError(f"tensor '{shown(min(left))}' is not in the header's list")
    return CompressedModel(
        tensors,
        header["model"],
        header["ties"],
        header["recipe"],
        header["tool"],
        tuple(map(_report_line, header["report"])),
        tuple(map(str, header["notes"])),
    )


_TYPES = {"tool": str, "model": str, "recipe": dict, "tensors": dict, "ties": dict, "report": list, "notes": list}
_CALLED = {str: "a text", dict: "an object", list: "a list"}


def _check_types(header: Mapping[str, Any]) -> None:
    for key, kind in {**_TYPES, "sha256": str}.items():
        if not isinstance(header.get(key), kind):
            raise InputError(f"the header's '{key}' is missing or not {_CALLED[kind]}")
    if not all(isinstance(kept, str) for kept in header["ties"].values()):
        raise InputError("the header's 'ties' must map names to names")


def _sizes(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(i) is int and 0 <= i < 1 << 40 for i in value):
        raise InputError("its shape and axes must be lists of whole numbers")
    return tuple(value)


_REPORTED: dict[str, tuple[type, ...]] = {
    **{"name": (str,), "notes": (list,)},
    **dict.fromkeys(("samples", "clusters", "length", "distinct_values", "index_bits"), (int,)),
    **dict.fromkeys(("mse", "entropy_bits"), (int, float)),
    **dict.fromkeys(("sqnr_db", "cosine"), (int, float, NoneType)),
}


def _report_line(line: Any) -> WeightReport:
    if not isinstance(line, dict) or line.keys() != {each.name for each in fields(WeightReport)}:
        raise InputError("a line of the header's 'report' has not the fields that it should have")
    for key, kinds in _REPORTED.items():
        if not isinstance(line[key], kinds):
            raise InputError(f"the header's 'report': {key} is {shown(line[key])}")
    return WeightReport(**{**line, "notes": tuple(map(str, line["notes"]))})


def _take(name: str, left: dict[str, Dense], dtype: str = "") -> Dense:
    if name not in left:
        raise InputError(f"'{shown(name)}' is missing from the file")
    found = left.pop(name)
    if dtype and found.dtype != dtype:
        raise InputError(f"'{shown(name)}' is {found.dtype}; expected {dtype}")
    return found


def _tensor(name: str, entry: Any, left: dict[str, Dense], room: int) -> Dense | Clustered:
    """One tensor of at most `room` elements, from its line in the header and its parts, which leave `left`."""
    if not isinstance(entry, dict) or entry.get("kind") not in TENSOR_KINDS:
        raise InputError(f"its kind must be one of {', '.join(TENSOR_KINDS)}")
    if "coding" not in entry:
        return replace(_take(name, left), kind=entry["kind"])
    coding, shape, axis = entry["coding"], _sizes(entry.get("shape")), entry.get("axis")
    if not isinstance(coding, str) or coding not in CODINGS:
        raise InputError(f"unknown coding '{shown(coding)}'; known: {', '.join(CODINGS)}")
    if not isinstance(entry.get("granularity"), str) or not isinstance(entry.get("scaled"), bool):
        raise InputError("its granularity must be a text, 'scaled' true or false")
    if type(axis) is not int or not 0 <= axis < len(shape) or prod(shape) > room:
        raise InputError(f"axis {shown(axis)} and shape {shape} of a weight cannot be in a file of this size")
    granularity = parse_granularity(entry["granularity"])
    codebooks = _take(f"{name}{SEPARATOR}codebooks", left)
    if codebooks.values.ndim != 3 or 0 in codebooks.shape:
        raise InputError(f"codebooks of shape {codebooks.shape}; expected (blocks, K, d), none 0")
    parts = {p: _take(f"{name}{SEPARATOR}{p}", left, dtype) for p, dtype in CODINGS[coding].parts.items()}
    if any(part.values.ndim != 1 for part in parts.values()):
        raise InputError("a part of its coding has more than one dimension")
    blocks, clusters, _ = codebooks.shape
    axes = _sizes(entry.get("axes"))
    if axes and sorted(axes) != list(range(len(shape))):
        raise InputError(f"axes {axes} are no order of the {len(shape)} axes of shape {shape}")
    count = blocks * granularity.sample_shape(block_shape(shape, blocks, axis, axes))[0]
    zero = zero_of(codebooks.values)
    indices = CODINGS[coding].decode({p: part.values for p, part in parts.items()}, count, clusters, zero)
    scale = _take(f"{name}{SEPARATOR}scale", left, "F32").values if entry["scaled"] else None
    kind = entry["kind"]
    return Clustered(codebooks.values, indices, shape, codebooks.dtype, granularity, kind, coding, axis, scale, axes)


def read_state(path: str | Path) -> dict[str, Dense]:
    """Every tensor of a compressed model's file, or of a plain safetensors file, whole and by name."""
    stored, metadata = read_container(path)
    return read_compressed(path).state() if is_compressed(metadata) else stored


def write_state(path: str | Path, state: Mapping[str, Dense]) -> int:
    """Write whole tensors as a plain safetensors file (tied names each with their own bytes); returns its bytes."""
    return write_container(path, state, {"format": "pt"})
