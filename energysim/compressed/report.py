"""How far a shared weight is from what it was: mean squared error, SQNR, cosine, distinct values, bits."""

from math import frexp, isfinite, ldexp, log10, sqrt
from typing import Any

import numpy as np

from energysim.compressed.huffman import entropy_bits
from energysim.compressed.model import Clustered, Values, WeightReport

BLOCK = 1 << 18
"""Weights that are compared at once."""


def weight_report(name: str, original: Values, tensor: Clustered, notes: tuple[str, ...] = ()) -> WeightReport:
    """Compare a weight (any float dtype of numpy, the tensor's shape) with what is left of it."""
    restored = tensor.restored()
    before, after = original.reshape(-1), restored.reshape(-1)
    noise = signal = kept = both = 0.0
    largest = max(float(np.abs(as_floats(x)).max()) for x in (before, after))
    # By a power of two near 1, as squares of very small numbers would vanish; a file may hold NaN and infinities.
    exponent = frexp(largest)[1] if isfinite(largest) else 0
    for start in range(0, after.size, BLOCK):
        part = slice(start, start + BLOCK)
        with np.errstate(all="ignore"):
            was, now = (np.ldexp(as_floats(x[part]).astype(np.float64), -exponent) for x in (before, after))
            both, signal, kept = both + float(was @ now), signal + float(was @ was), kept + float(now @ now)
            was -= now
            noise += float(was @ was)
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
        ldexp(noise / after.size, 2 * exponent),
        10 * log10(signal / noise) if noise and signal else None,
        both / (sqrt(signal) * sqrt(kept)) if signal and kept else None,
        int(np.unique(as_floats(after)).size),
        tensor.index_bits,
        entropy_bits(counts),
        notes,
    )


def _same_bits(one: Values, other: Values) -> bool:
    bits = f"u{one.itemsize}"
    return np.array_equal(np.ascontiguousarray(one).view(bits), np.ascontiguousarray(other).view(bits))


def as_floats(carried: Values) -> Any:
    """Values that numpy can calculate with; bfloat16, which travels as 16-bit integers, becomes float32."""
    if carried.dtype == np.uint16:
        return (carried.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return carried
