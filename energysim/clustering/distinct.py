"""Distinct samples in near-linear time: rows are told apart by a hash of their bits, which is then checked."""

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.unsignedinteger]
Places = NDArray[np.int64]

BLOCK = 1 << 16
"""Values that are compared at once."""
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio (Knuth, *The Art of Computer Programming* 3, 6.4): odd, its bits well spread."""


def bits_of(values: NDArray[np.floating]) -> Bits:
    """The bits of floating-point rows (N, d) as whole numbers; -0 and 0 are two."""
    found: Bits = np.ascontiguousarray(values).view(f"u{values.itemsize}")
    return found


def distinct_rows(bits: Bits, limit: int | None = None) -> tuple[Places, Places] | None:
    """Rows (m,) that stand for all distinct ones of `bits` (N, d), and which of these each row is (N,).

    They come in rising order, column by column. None, as a rule after a look at some, where there are `limit` or more.
    """
    if limit is not None and len(bits) > 8 * limit and distinct_rows(bits[: 4 * limit], limit) is None:
        return None
    codes = bits[:, 0] if bits.shape[1] == 1 else _hashed(bits)
    rising = np.sort(codes)
    found = rising[np.concatenate(([True], rising[1:] != rising[:-1]))]
    if limit is not None and len(found) >= limit:
        return None
    labels = np.searchsorted(found, codes)
    places = np.zeros(len(found), dtype=np.int64)
    places[labels[::-1]] = np.arange(len(bits) - 1, -1, -1)
    if bits.shape[1] > 1 and not _same(bits, places, labels):
        return _compared(bits, limit)
    order = np.argsort(_text(bits[places])) if bits.shape[1] > 1 else np.arange(len(places))
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return places[order], rank[labels]


def _hashed(bits: Bits) -> Bits:
    """A number for each row (N,): equal for equal rows, and hardly ever for others."""
    codes = np.zeros(len(bits), dtype=np.uint64)
    for column in bits.T:
        codes ^= column
        codes *= MULTIPLIER
        codes ^= codes >> np.uint64(29)
    return codes


def _same(bits: Bits, places: Places, labels: Places) -> bool:
    """Whether every row is the one that stands for it."""
    step = max(1, BLOCK // bits.shape[1])
    parts = (slice(start, start + step) for start in range(0, len(bits), step))
    return all(np.array_equal(bits[part], bits[places[labels[part]]]) for part in parts)


def _compared(bits: Bits, limit: int | None) -> tuple[Places, Places] | None:
    """`distinct_rows` by comparison alone."""
    _, places, labels = np.unique(_text(bits), return_index=True, return_inverse=True)
    return None if limit is not None and len(places) >= limit else (places.astype(np.int64), labels.reshape(-1))


def _text(bits: Bits) -> NDArray[np.void]:
    """Rows as texts of bytes, whose order is that of the rows (N,)."""
    wide = np.ascontiguousarray(bits, dtype=bits.dtype.newbyteorder(">"))
    return wide.view(f"V{wide.shape[1] * wide.itemsize}")[:, 0]
