"""How far a shared weight is from what it was: mean squared error, SQNR, cosine, distinct values, bits."""

from math import frexp, isfinite, log10, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from energysim.compressed.huffman import entropy_bits
from energysim.compressed.model import Clustered, Values, WeightReport, bf16_floats

BLOCK = 1 << 18
"""Weights that are compared at once."""


def weight_report(name: str, original: Values, tensor: Clustered, notes: tuple[str, ...] = ()) -> WeightReport:
    """Compare a weight (any float dtype of numpy, the tensor's shape) with what is left of it."""
    restored = tensor.restored()
    before, after = original.reshape(-1), restored.reshape(-1)
    noise = signal = kept = both = 0.0
    largest = max(float(np.abs(as_floats(x)).max()) for x in (before, after))
    # Squares of very small or large numbers vanish or overflow; a file may hold NaN and infinities, too.
    exponent = frexp(largest)[1] if isfinite(largest) else 0
    factor = 1.0 if abs(exponent) < 256 else 2.0 ** max(-1000, min(1000, -exponent))
    for start in range(0, after.size, BLOCK):
        part = slice(start, start + BLOCK)
        with np.errstate(all="ignore"):
            was, now = (as_floats(x[part]).astype(np.float64) for x in (before, after))
            if factor != 1:
                was, now = was * factor, now * factor
            # No dot products: their library's threads wait for each other.
            both, signal, kept = both + (was * now).sum(), signal + (was * was).sum(), kept + (now * now).sum()
            was -= now
            noise += (was * was).sum()
    noise, signal, kept, both = float(noise), float(signal), float(kept), float(both)
    if _same_bits(original, restored):
        noise = 0.0  # also where values are not finite
    if not isfinite(signal):
        signal = 0.0
    counts = np.bincount(tensor.indices, minlength=tensor.clusters)
    return WeightReport(
        name,
        tensor.samples,
        tensor.clusters,
        tensor.length,
        noise / after.size / factor / factor,
        10 * log10(signal / noise) if noise and signal else None,
        both / (sqrt(signal) * sqrt(kept)) if signal and kept else None,
        _distinct_values(tensor, counts, after),
        tensor.index_bits,
        entropy_bits(counts),
        notes,
    )


def _distinct_values(tensor: Clustered, counts: NDArray[np.intp], after: Values) -> int:
    """How many values the weight has: those of the centroids in use, where each is there as a whole."""
    if tensor.blocks == 1 and tensor.scale is None and tensor.samples * tensor.length == tensor.elements:
        after = tensor.codebooks[0][counts > 0]
    return int(np.unique(as_floats(after)).size)


def _same_bits(one: Values, other: Values) -> bool:
    bits = f"u{one.itemsize}"
    return np.array_equal(np.ascontiguousarray(one).view(bits), np.ascontiguousarray(other).view(bits))


def as_floats(carried: Values) -> Any:
    """Values that numpy can calculate with; bfloat16, which travels as 16-bit integers, becomes float32."""
    if carried.dtype == np.uint16:
        return bf16_floats(carried)
    return carried
