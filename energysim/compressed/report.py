"""How far a shared weight is from what it was: mean squared error, SQNR, cosine, distinct values, bits."""

from math import isfinite, log10, sqrt
from typing import Any

import numpy as np

from energysim.compressed.huffman import entropy_bits
from energysim.compressed.model import Clustered, Values, WeightReport


def weight_report(name: str, original: Values, tensor: Clustered, notes: tuple[str, ...] = ()) -> WeightReport:
    """Compare a weight (any float dtype of numpy, the tensor's shape) with what is left of it."""
    restored = tensor.restored()
    was, now = (as_floats(x).ravel().astype(np.float64) for x in (original, restored))
    noise, signal, kept = float(((was - now) ** 2).sum()), float((was**2).sum()), float((now**2).sum())
    if restored.tobytes() == original.tobytes():
        noise = 0.0  # also where values are not finite
    if not isfinite(signal):
        signal = 0.0
    counts = np.bincount(tensor.indices, minlength=tensor.clusters)
    return WeightReport(
        name,
        tensor.samples,
        tensor.clusters,
        tensor.length,
        noise / was.size,
        10 * log10(signal / noise) if noise and signal else None,
        float(was @ now) / (sqrt(signal) * sqrt(kept)) if signal and kept else None,
        int(np.unique(now).size),
        tensor.index_bits,
        entropy_bits(counts),
        notes,
    )


def as_floats(carried: Values) -> Any:
    """Values that numpy can calculate with; bfloat16, which travels as 16-bit integers, becomes float32."""
    if carried.dtype == np.uint16:
        return (carried.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return carried
