"""Packed bits, vectorised: numbers of a fixed width, one after the other, the most significant bit first."""

import numpy as np
from numpy.typing import NDArray

from energysim.errors import InputError

Integers = NDArray[np.integer]
Bytes = NDArray[np.uint8]

WIDEST_BITS = 32
"""Of one packed number."""

CHUNK = 1 << 16
"""Numbers packed at once: a multiple of 8, so that every chunk ends on a byte, and little memory is in use."""


def width_bits(count: int) -> int:
    """Bits that tell `count` things apart: ceil(log2 count), 0 for one."""
    return (count - 1).bit_length()


def packed_bytes(count: int, bits: int) -> int:
    """Bytes of `count` numbers of `bits` bits."""
    return (count * bits + 7) // 8


def pack(values: Integers, bits: int) -> Bytes:
    """The bytes of `values` (n,) at `bits` bits each; raises InputError for a value that does not fit."""
    if not 0 <= bits <= WIDEST_BITS:
        raise InputError(f"numbers of {bits} bits cannot be packed; 0 to {WIDEST_BITS} can")
    if values.size and (int(values.min()) < 0 or int(values.max()) >> bits):
        raise InputError(f"numbers from {values.min()} to {values.max()} do not fit in {bits} bits")
    if bits == 8:
        return values.astype(np.uint8)
    packed = np.empty(packed_bytes(values.size, bits), np.uint8)
    shifts = np.arange(bits, dtype=np.uint32)[::-1]
    for start in range(0, values.size, CHUNK):
        chunk = values[start : start + CHUNK].astype(np.uint32)
        done = np.packbits((chunk[:, None] >> shifts & 1).astype(np.uint8))
        packed[start * bits // 8 :][: done.size] = done
    return packed


def unpack(packed: Bytes, bits: int, count: int) -> NDArray[np.uint32]:
    """The `count` numbers of `bits` bits in `packed`; InputError unless it is exactly their bytes, padded by 0."""
    if not 0 <= bits <= WIDEST_BITS or packed.size != packed_bytes(count, bits):
        raise InputError(f"{packed.size} bytes do not hold {count} numbers of {bits} bits")
    if bits == 8:
        return packed.astype(np.uint32)
    padding = packed.size * 8 - count * bits
    if padding and packed[-1] & ((1 << padding) - 1):
        raise InputError("bits after the last number are not 0")
    values = np.zeros(count, np.uint32)
    for start in range(0, count, CHUNK):
        chunk = values[start : start + CHUNK]
        taken = packed[start * bits // 8 :][: packed_bytes(chunk.size, bits)]
        digits = np.unpackbits(taken, count=chunk.size * bits).reshape(chunk.size, bits)
        for place in range(bits):
            chunk |= digits[:, place].astype(np.uint32) << np.uint32(bits - 1 - place)
    return values
