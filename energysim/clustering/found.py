"""Weights that are shared already: found in a checkpoint, reported, and converted without changing a bit.

Checkpoints of coremltools' palettizer say how they were made, by buffers such as `conv._COREML_/weight/lut`; in any
others a weight counts as shared when few values, rows, slices or filters repeat.
"""

from collections.abc import Mapping
from math import prod

import numpy as np
import torch
from torch import Tensor

from energysim import __version__
from energysim.clustering.distinct import bits_of, distinct_rows
from energysim.clustering.weights import check_tensor, guessed_kind, identity, to_dense, to_tensor
from energysim.compressed.bits import width_bits
from energysim.compressed.codings import smallest
from energysim.compressed.model import FLOATING, Clustered, CompressedModel, Dense, zero_of
from energysim.compressed.report import weight_report
from energysim.errors import InputError
from energysim.granularity import Granularity

PREFIX = "_COREML_"
MARK = f"{PREFIX}/"

CUTS = (
    *(Granularity(kind) for kind in ("scalar", "row", "slice", "filter")),
    *(Granularity("vector", length) for length in (2, 4, 8, 16)),
)
"""Samples that are tried, besides those a checkpoint tells of."""

WORTH = 0.5
"""A weight is kept as shared when its codebook and indices take at most so much of its dense size."""


def find_shared(
    state: Mapping[str, Tensor], *, name: str = "model", kinds: Mapping[str, str] | None = None
) -> CompressedModel:
    """The compressed model of a state dict in which weights are shared already; every bit stays as it is.

    `kinds` are those of the tensors by name; without them they are guessed from names and shapes. Buffers of
    coremltools are used and left out. Raises InputError when no weight is shared.
    """
    marks = {key for key in state if key.rpartition(".")[2].startswith(MARK)}
    tensors: dict[str, Dense | Clustered] = {}
    ties: dict[str, str] = {}
    kept: dict[object, str] = {}
    report, notes = [], []
    fewest = ""
    for key, value in state.items():
        if key in marks:
            continue
        tensor = check_tensor(key, value)
        if identity(value) in kept:
            ties[key] = kept[identity(value)]
            continue
        kept[identity(value)] = key
        dense = to_dense(key, tensor, (kinds or {}).get(key) or guessed_kind(key, tuple(tensor.shape)))
        tensors[key] = dense
        if dense.dtype not in FLOATING or tensor.ndim < 2 or not tensor.numel():
            continue
        found = _of_coremltools(key, dense, state)
        if isinstance(found, str):
            notes.append(f"{key}: {found}")
        how = "look-up table of coremltools" if isinstance(found, Clustered) else "found"
        shared = found if isinstance(found, Clustered) else smallest_clustering(dense)
        if shared is None:
            fewest = fewest or key
            continue
        tensors[key] = shared
        report.append(weight_report(key, dense.values, shared, (f"{how}: {shared.granularity}",)))
    if not report:
        raise InputError(
            f"model '{name}': no weight is shared: each has about as many values as elements ({fewest}, ...)"
        )
    told = {"text": "found", "method": "found", "seed": 0, "content": {}}
    return CompressedModel(tensors, name, ties, told, f"energysim {__version__}", tuple(report), tuple(notes))


def smallest_clustering(dense: Dense) -> Clustered | None:
    """The weight by the samples, of `CUTS`, that make it smallest; None where none is worth while."""
    best: Clustered | None = None
    least = WORTH * dense.values.nbytes * 8
    for granularity in CUTS:
        samples = np.ascontiguousarray(granularity.samples(dense.values))
        if samples.shape[1] == 1 and granularity.kind != "scalar":
            continue
        # Bits, not values: -0 is not 0, and a NaN is itself. A codebook of `limit` rows alone would be too large.
        limit = 1 + int(least / (8 * samples.itemsize * samples.shape[1]))
        found = distinct_rows(bits_of(samples), limit)
        if found is None:
            continue
        distinct, indices = samples[found[0]], found[1]
        size = len(samples) * width_bits(len(distinct)) + distinct.size * distinct.itemsize * 8
        if size <= least:
            least = size
            kept = indices.astype(np.uint32)
            coding = smallest(kept, len(distinct), zero_of(distinct[None]))
            best = Clustered(distinct[None], kept, dense.shape, dense.dtype, granularity, dense.kind, coding)
    return best


def _of_coremltools(key: str, dense: Dense, state: Mapping[str, Tensor]) -> Clustered | str | None:
    """The weight by its layer's look-up table; a text when the table does not make the weight, None without one."""
    layer, _, parameter = key.rpartition(".")
    prefix = f"{layer}.{MARK}{parameter}/" if layer else f"{MARK}{parameter}/"
    if f"{prefix}lut" not in state:
        return None
    table, scale = state[f"{prefix}lut"], state.get(f"{prefix}palettization_scale")
    axis = state.get(f"{prefix}vector_axis")
    shape = dense.shape
    if table.ndim != len(shape) + 2 or any(size < 1 for size in table.shape):
        return f"its look-up table of shape {tuple(table.shape)} does not fit"
    groups, (clusters, length) = tuple(table.shape[: len(shape)]), table.shape[len(shape) :]
    grouped = [i for i, size in enumerate(groups) if size > 1]
    if len(grouped) > 1 or any(shape[i] % groups[i] for i in grouped):
        return f"its look-up tables {groups} are not along one axis; kept as it is"
    along = grouped[0] if grouped else 0
    return _looked_up(dense, table.reshape(prod(groups), clusters, length), along, scale, axis)


def _looked_up(dense: Dense, table: Tensor, along: int, scale: Tensor | None, axis: Tensor | None) -> Clustered | str:
    """The weight by tables (blocks, K, d), if that gives it back bit for bit."""
    books = to_dense("lut", table)
    axes: tuple[int, ...] = ()
    if axis is not None and table.shape[2] > 1:
        vector = int(axis)
        axes = (*(i for i in range(len(dense.shape)) if i != vector), vector)
    granularity = Granularity("vector", table.shape[2]) if table.shape[2] > 1 else Granularity("scalar")
    scales = None if scale is None else scale.detach().float()
    if scales is not None and scales.numel() != dense.shape[along]:
        return f"its scales of shape {tuple(scales.shape)} are not one per channel; kept as it is"
    values = to_tensor(dense)
    if books.dtype != dense.dtype:
        return f"its look-up table is {books.dtype}, the weight {dense.dtype}; looked for equal values instead"
    scaled = (
        values if scales is None else values / scales.reshape([-1 if i == along else 1 for i in range(values.ndim)])
    )
    labels = []
    for block, book in zip(scaled.chunk(len(table), along), table, strict=True):
        samples = granularity.samples(block.permute(axes) if axes else block)
        labels.append(
            torch.cat([torch.cdist(part.double(), book.double()).argmin(1) for part in samples.split(1 << 16)])
        )
    kept = torch.cat(labels).numpy().astype(np.uint32)
    coding = smallest(kept, table.shape[1], zero_of(books.values))
    flat = None if scales is None else scales.flatten().numpy()
    made = Clustered(books.values, kept, dense.shape, dense.dtype, granularity, dense.kind, coding, along, flat, axes)
    if made.restored().tobytes() != dense.values.tobytes():
        return "its look-up table does not give back its values; looked for equal values instead"
    return made
