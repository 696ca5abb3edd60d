"""The nouns of a compressed model: tensors kept as they are, and tensors as codebooks with an index for each sample.

numpy only. A dtype goes by its safetensors name ("F32", "BF16"), as what numpy lacks travels as integers of its width.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from energysim.compressed.bits import width_bits
from energysim.errors import InputError, unknown
from energysim.granularity import Granularity

Values = NDArray[Any]

CARRIERS: Mapping[str, str] = MappingProxyType(
    {
        **{"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "F8_E4M3": "|u1", "F8_E5M2": "|u1"},
        **{"I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1", "BOOL": "|b1", "C64": "<c8"},
        **{"U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1"},
    }
)
"""Safetensors dtype to the numpy dtype whose array carries its bits."""

FLOATING = ("F64", "F32", "F16", "BF16")
"""Dtypes of weights that can be clustered."""

TENSOR_KINDS = ("convolution", "linear", "embedding", "bias", "normalisation", "other")
"""What a tensor is to its layer: conventions of counting size differ by it."""

LARGEST_CLUSTERS = 1 << 24


@dataclass(frozen=True, slots=True)
class Dense:
    """A tensor as it is; `values` are in the dtype's carrier."""

    values: Values
    dtype: str
    kind: str = "other"

    def __post_init__(self) -> None:
        _check_dtype(self.dtype, self.values, "values")
        _check_kind(self.kind)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the tensor."""
        return self.values.shape

    def restored(self) -> Values:
        """The values."""
        return self.values


@dataclass(frozen=True, slots=True)
class Clustered:
    """A weight whose samples are rows of a codebook.

    `codebooks` is (blocks, K, d) in the carrier of `dtype`: the weight is cut into equal blocks along `axis`, each of
    them, its axes put in the order `axes` (none: as they are), into samples by `granularity`. `indices` (samples,)
    counts block after block. `scale` (F32, one for each slice of `axis`) multiplies what the codebooks give. `coding`
    names how the file writes the indices.
    """

    codebooks: Values
    indices: NDArray[np.uint32]
    shape: tuple[int, ...]
    dtype: str
    granularity: Granularity
    kind: str = "other"
    coding: str = "fixed"
    axis: int = 0
    scale: NDArray[np.float32] | None = None
    axes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _check_dtype(self.dtype, self.codebooks, "codebooks")
        _check_kind(self.kind)
        if self.dtype not in FLOATING:
            raise InputError(f"weights of dtype {self.dtype} cannot be clustered; {', '.join(FLOATING)} can")
        if self.codebooks.ndim != 3 or 0 in self.codebooks.shape or self.clusters > LARGEST_CLUSTERS:
            raise InputError(f"codebooks of shape {self.codebooks.shape}; expected (blocks, K, d), none 0")
        if (
            min(self.shape, default=0) < 1
            or not 0 <= self.axis < len(self.shape)
            or self.shape[self.axis] % self.blocks
        ):
            raise InputError(f"shape {self.shape} cannot be cut into {self.blocks} equal blocks along axis {self.axis}")
        if self.axes and sorted(self.axes) != list(range(len(self.shape))):
            raise InputError(f"axes {self.axes} are no order of the {len(self.shape)} axes of shape {self.shape}")
        count, length = self.granularity.sample_shape(self.block_shape)
        if length != self.length or self.indices.shape != (self.blocks * count,):
            has = f"{self.indices.size} indices of samples of {self.length}"
            raise InputError(f"{has}; shape {self.shape} has {self.blocks * count} of {length} by {self.granularity}")
        if int(self.indices.max()) >= self.clusters:
            raise InputError(f"index {self.indices.max()} of {self.clusters} centroids")
        if self.scale is not None and (self.scale.shape != (self.shape[self.axis],) or self.scale.dtype != np.float32):
            raise InputError(f"scales of shape {self.scale.shape} do not fit a {self.dtype} weight {self.shape}")

    @property
    def blocks(self) -> int:
        """Equal parts of the weight, each with a codebook of its own."""
        return int(self.codebooks.shape[0])

    @property
    def block_shape(self) -> tuple[int, ...]:
        """The shape of one block, its axes in the order in which it is cut into samples."""
        return block_shape(self.shape, self.blocks, self.axis, self.axes)

    @property
    def clusters(self) -> int:
        """K, the centroids of one codebook."""
        return int(self.codebooks.shape[1])

    @property
    def length(self) -> int:
        """Elements of one sample."""
        return int(self.codebooks.shape[2])

    @property
    def elements(self) -> int:
        """Of the weight."""
        return prod(self.shape)

    @property
    def samples(self) -> int:
        """N, over all blocks."""
        return int(self.indices.size)

    @property
    def index_bits(self) -> int:
        """Bits of one index of fixed length."""
        return width_bits(self.clusters)

    @property
    def zero(self) -> int:
        """The index that stands for a sample of zeros (+0) in every block, or -1."""
        return zero_of(self.codebooks)

    def restored(self) -> Values:
        """The weight, each sample replaced by its centroid, in the carrier of its dtype."""
        per_block = self.indices.reshape(self.blocks, -1)
        parts = [
            self.granularity.restore(codebook[indices], self.block_shape)
            for codebook, indices in zip(self.codebooks, per_block, strict=True)
        ]
        if self.axes:
            parts = [part.transpose(np.argsort(self.axes)) for part in parts]
        whole = np.concatenate(parts, self.axis) if len(parts) > 1 else parts[0]
        if self.scale is not None:
            along = [-1 if axis == self.axis else 1 for axis in range(len(self.shape))]
            if self.dtype == "BF16":
                whole = _to_bf16(bf16_floats(whole) * self.scale.reshape(along))
            else:
                whole = (whole * self.scale.reshape(along)).astype(self.codebooks.dtype)
        return np.ascontiguousarray(whole)


def bf16_floats(carried: NDArray[np.uint16]) -> NDArray[np.float32]:
    """bfloat16, which travels as 16-bit integers, as 32-bit floats."""
    return (carried.astype(np.uint32) << np.uint32(16)).view(np.float32)


def _to_bf16(numbers: NDArray[np.float32]) -> NDArray[np.uint16]:
    """32-bit floats as bfloat16 in 16-bit integers: to the nearest, of two the even one."""
    bits = np.ascontiguousarray(numbers).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))) >> np.uint32(16)
    return np.where(np.isnan(numbers), np.uint32(0x7FC0), rounded).astype(np.uint16)


def block_shape(shape: tuple[int, ...], blocks: int, axis: int, axes: tuple[int, ...] = ()) -> tuple[int, ...]:
    """The shape of one of the equal blocks that a weight is cut into along an axis, then its axes put in an order."""
    block = [size // blocks if i == axis else size for i, size in enumerate(shape)]
    return tuple(block[i] for i in axes or range(len(shape)))


@dataclass(frozen=True, slots=True)
class WeightReport:
    """One weight: N `samples` on K `clusters`, and its error; `sqnr_db` is None without error, `cosine` for zeros.

    SQNR is 10 log10(sum w^2 / sum (w - w')^2). `bits` are of an index, fixed and by entropy; `notes` say what was odd.
    """

    name: str
    samples: int
    clusters: int
    length: int
    mse: float
    sqnr_db: float | None
    cosine: float | None
    distinct_values: int
    index_bits: int
    entropy_bits: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CompressedModel:
    """Tensors by name in the order of their state dict, names that stand for the same tensor, and what made it.

    `ties` maps further names of a tensor to the name it is kept under. `recipe` is what JSON can hold. `report` has a
    line for each shared weight where it is known what it was before; `notes` say what else one should know.
    """

    tensors: Mapping[str, Dense | Clustered]
    name: str = "model"
    ties: Mapping[str, str] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    tool: str = ""
    report: tuple[WeightReport, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for other, kept in self.ties.items():
            if other in self.tensors:
                raise InputError(f"'{other}' is both a tensor and another name of '{kept}'")
            if kept not in self.tensors:
                raise InputError(f"'{other}' stands for tensor '{kept}', which is not there")

    def clustered(self) -> Iterator[tuple[str, Clustered]]:
        """The tensors that have a codebook, in order."""
        for name, tensor in self.tensors.items():
            if isinstance(tensor, Clustered):
                yield name, tensor

    def state(self) -> dict[str, Dense]:
        """Every name with its whole tensor; tied names share one."""
        whole = {
            n: t if isinstance(t, Dense) else Dense(t.restored(), t.dtype, t.kind) for n, t in self.tensors.items()
        }
        return whole | {other: whole[kept] for other, kept in self.ties.items()}


def zero_of(codebooks: Values) -> int:
    """The index of the first centroid that is +0 throughout, in every block, or -1."""
    found = np.flatnonzero(~codebooks.view(f"u{codebooks.itemsize}").any(axis=(0, 2)))
    return int(found[0]) if found.size else -1


def _check_dtype(dtype: str, values: Values, what: str) -> None:
    if dtype not in CARRIERS:
        raise unknown("dtype", dtype, CARRIERS)
    if values.dtype != np.dtype(CARRIERS[dtype]):
        raise InputError(f"{what} of dtype {dtype} must come as {np.dtype(CARRIERS[dtype])}, not {values.dtype}")


def _check_kind(kind: str) -> None:
    if kind not in TENSOR_KINDS:
        raise unknown("kind of tensor", kind, TENSOR_KINDS)
