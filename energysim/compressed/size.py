"""How large a compressed model is, and by whose convention: `size_report`, `CONVENTIONS`.

A published compression ratio means little without its convention: what is counted (BatchNorm? biases?), and how indices
are coded (entropy, log2 K, whole bits). METHODS.md, sections 3 and 4, of the papers; each convention names its source.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import log2
from types import MappingProxyType

import numpy as np

from energysim.compressed.bits import width_bits
from energysim.compressed.codings import CODINGS
from energysim.compressed.huffman import entropy_bits
from energysim.compressed.model import Clustered, CompressedModel
from energysim.errors import InputError, unknown

MIB_BITS = 8 * 2**20

WEIGHTS = ("convolution", "linear", "embedding")
"""Kinds of tensors that are weights."""


@dataclass(frozen=True, slots=True)
class TensorSize:
    """What one tensor takes: `elements` of `element_bits`; N `samples` of `length`, K `clusters` (0: it is dense).

    `entropy_bits` is per index, -sum p log2 p; `coded_bits` is what the file's coding takes, tables included.
    """

    name: str
    kind: str
    elements: int
    element_bits: int = 32
    samples: int = 0
    clusters: int = 0
    length: int = 1
    blocks: int = 1
    entropy_bits: float = 0.0
    coded_bits: int = 0
    coding: str = ""
    scale_bits: int = 0

    @property
    def is_clustered(self) -> bool:
        """Whether it has a codebook."""
        return self.clusters > 0

    @property
    def dense_bits(self) -> int:
        """Uncompressed."""
        return self.elements * self.element_bits

    @property
    def fixed_bits(self) -> int:
        """All indices at ceil(log2 K) bits."""
        return self.samples * width_bits(self.clusters) if self.is_clustered else 0

    @property
    def entropy_total_bits(self) -> float:
        """All indices by an ideal code."""
        return self.samples * self.entropy_bits

    @property
    def codebook_bits(self) -> int:
        """All centroids, in the weight's own precision, and the scales of channels."""
        return self.blocks * self.clusters * self.length * self.element_bits + self.scale_bits

    @property
    def file_bits(self) -> int:
        """As the file holds it: coded indices and codebook, or all its elements."""
        return self.coded_bits + self.codebook_bits if self.is_clustered else self.dense_bits


def planned_size(
    name: str, kind: str, elements: int, *, clusters: int = 0, length: int = 1, zero_share: float = 0.0
) -> TensorSize:
    """The size of an fp32 tensor before there are any weights: samples of `length`, each of K centroids as likely.

    With a `zero_share` (0 to 1) that part of the samples has the centroid at zero, the rest is spread evenly: the
    entropy is then the largest that such a tensor can have. K = 0 leaves it dense.
    """
    if elements < 0 or clusters < 0 or length < 1 or not 0 <= zero_share <= 1:
        raise InputError(f"'{name}': {elements} elements, {clusters} clusters of length {length} cannot be")
    if not clusters:
        return TensorSize(name, kind, elements)
    samples = -(-elements // length)
    others = clusters - 1 if zero_share else clusters
    shares = ([zero_share] if zero_share else []) + [(1 - zero_share) / others] * others
    entropy = -sum(p * log2(p) for p in shares if p)
    fixed = samples * width_bits(clusters)
    return TensorSize(name, kind, elements, 32, samples, clusters, length, 1, entropy, fixed, "fixed")


def size_report(model: CompressedModel) -> "SizeReport":
    """Sizes of all tensors of a compressed model, each counted once."""
    rows = []
    for name, tensor in model.tensors.items():
        if isinstance(tensor, Clustered):
            counts = np.bincount(tensor.indices, minlength=tensor.clusters)
            rows.append(
                TensorSize(
                    name,
                    tensor.kind,
                    tensor.elements,
                    tensor.codebooks.itemsize * 8,
                    tensor.samples,
                    tensor.clusters,
                    tensor.length,
                    tensor.blocks,
                    entropy_bits(counts),
                    CODINGS[tensor.coding].bits(tensor.indices, tensor.clusters, tensor.zero),
                    tensor.coding,
                    tensor.scale.nbytes * 8 if tensor.scale is not None else 0,
                )
            )
        else:
            rows.append(TensorSize(name, tensor.kind, tensor.values.size, tensor.values.itemsize * 8))
    return SizeReport(tuple(rows))


@dataclass(frozen=True, slots=True)
class SizeReport:
    """Sizes tensor by tensor; totals by part, and size and ratio by every convention of `CONVENTIONS`."""

    rows: tuple[TensorSize, ...]

    def totals_bits(self) -> dict[str, float]:
        """Bits of each part: indices by three codings, codebooks, what is dense by kind, all as the file holds it."""
        weights = [row for row in self.rows if row.kind in WEIGHTS and not row.is_clustered]
        return {
            "indices, fixed length": sum(row.fixed_bits for row in self.rows),
            "indices, entropy": sum(row.entropy_total_bits for row in self.rows),
            "indices, as coded": sum(row.coded_bits for row in self.rows),
            "codebooks": sum(row.codebook_bits for row in self.rows),
            "dense weights": sum(row.dense_bits for row in weights),
            "biases": self._dense_of("bias"),
            "normalisation": self._dense_of("normalisation"),
            "other": self._dense_of("other"),
            "file": sum(row.file_bits for row in self.rows),
            "uncompressed": sum(row.dense_bits for row in self.rows),
        }

    def _dense_of(self, kind: str) -> int:
        return sum(row.dense_bits for row in self.rows if row.kind == kind and not row.is_clustered)

    def size_bits(self, convention: str) -> float:
        """The compressed size by a convention, in bits; UnknownNameError for a name that is none."""
        return sum(map(_convention(convention).compressed_bits, self.rows))

    def ratio(self, convention: str) -> float:
        """The compression ratio by a convention (NaN when it counts nothing of this model)."""
        size = self.size_bits(convention)
        return sum(map(_convention(convention).dense_bits, self.rows)) / size if size else float("nan")

    def coverage(self) -> tuple[int, int, float]:
        """Weight tensors with a codebook, weight tensors in all, and the former's share of all uncompressed bits."""
        weights = [row for row in self.rows if row.kind in WEIGHTS or row.is_clustered]
        done = [row for row in weights if row.is_clustered]
        total = sum(row.dense_bits for row in self.rows)
        return len(done), len(weights), sum(row.dense_bits for row in done) / total if total else 0.0


@dataclass(frozen=True, slots=True)
class Convention:
    """One way to count a model: bits of a tensor before and after; `about` says what is counted and who does so."""

    about: str
    dense_bits: Callable[[TensorSize], float]
    compressed_bits: Callable[[TensorSize], float]


def _of_kinds(kinds: Iterable[str], bits: Callable[[TensorSize], float]) -> Callable[[TensorSize], float]:
    """What a tensor of these kinds takes; others are not counted."""
    counted = frozenset(kinds)
    return lambda row: bits(row) if row.kind in counted else 0


def _dense(row: TensorSize) -> float:
    return row.dense_bits


def _entropy(row: TensorSize) -> float:
    return row.codebook_bits + row.entropy_total_bits if row.is_clustered else row.dense_bits


def _fixed(row: TensorSize) -> float:
    return row.codebook_bits + row.fixed_bits if row.is_clustered else row.dense_bits


def _file(row: TensorSize) -> float:
    return row.file_bits


def _han_dense(row: TensorSize) -> float:
    return row.dense_bits if row.is_clustered else 0


def _han_compressed(row: TensorSize) -> float:
    return row.samples * log2(row.clusters) + row.codebook_bits if row.is_clustered else 0


_BIASED = (*WEIGHTS, "bias")
_WITH_NORMS = (*_BIASED, "normalisation")

CONVENTIONS: Mapping[str, Convention] = MappingProxyType(
    {
        "deepk": Convention(
            "DeepK (arXiv:1806.09228, code): codebooks, indices by entropy, biases, dense layers; no BatchNorm",
            _of_kinds(_BIASED, _dense),
            _of_kinds(_BIASED, _entropy),
        ),
        "deepk_fixed": Convention(
            "as deepk, but indices at ceil(log2 K) bits", _of_kinds(_BIASED, _dense), _of_kinds(_BIASED, _fixed)
        ),
        "han16": Convention(
            "Han16 (arXiv:1510.00149, eq. 1): shared layers only, n b / (n log2 k + k b), log2 k not rounded",
            _han_dense,
            _han_compressed,
        ),
        "dkm": Convention(
            "DKM (arXiv:2108.12659): weights only, indices at ceil(log2 K) bits and tables; no BatchNorm, no bias",
            _of_kinds(WEIGHTS, _dense),
            _of_kinds(WEIGHTS, _fixed),
        ),
        "dkm_whole": Convention(
            "as dkm, with biases and BatchNorm dense on both sides",
            _of_kinds(_WITH_NORMS, _dense),
            _of_kinds(_WITH_NORMS, _fixed),
        ),
        "file": Convention("everything in the file as it is coded there, its JSON header apart", _dense, _file),
    }
)
"""Name to convention."""


def _convention(name: str) -> Convention:
    if name not in CONVENTIONS:
        raise unknown("convention", name, CONVENTIONS)
    return CONVENTIONS[name]
