"""Canonical Huffman codes, optimal up to a longest word: lengths from counts, and a bitstream that decodes in parallel.

The stream is cut into blocks of 1,024 symbols whose lengths in bits are stored: numpy then decodes all blocks side by
side, one symbol of each at a time. Sources: Huffman, 1952; package-merge: Larmore and Hirschberg, JACM 1990.
"""

import numpy as np
from numpy.typing import NDArray

from energysim.compressed import huffman_words
from energysim.compressed.bits import Bytes, Integers
from energysim.errors import InputError

LONGEST_BITS = 24
"""Of one code word: with the 7 bits before it that share its first byte, it still fits in four bytes."""

SHORT_BITS = 12
"""Code words of so many bits are found in a table."""

BLOCK = 1024
"""Symbols of one block; its length in bits is at most 24,576 and fits in 16."""


FAILURES = {
    1: "a block of coded symbols runs past the end of the stream",
    2: "bits that are no code word",
    3: "a block of coded symbols does not end where it should",
}
"""What can be wrong with a bitstream, by the number that `decode_blocks` gives it."""


def entropy_bits(counts: Integers) -> float:
    """Bits per symbol of an ideal code, H = -sum p log2 p, for symbols that occur so often."""
    used = counts[counts > 0].astype(np.float64)
    total = used.sum()
    return float(abs((used * (np.log2(total) - np.log2(used))).sum() / total)) if used.size else 0.0


def code_lengths(counts: Integers, longest: int = LONGEST_BITS) -> NDArray[np.uint8]:
    """Bits of each symbol's code word, 0 for a symbol that does not occur; a lone symbol has 1.

    The sum of counts x lengths is the least possible with no word longer than `longest` (package-merge).
    """
    lengths = np.zeros(counts.size, np.uint8)
    used = np.flatnonzero(counts)
    if used.size < 2:
        lengths[used] = 1
        return lengths
    if used.size > 1 << longest:
        raise InputError(f"{used.size} symbols have no code of at most {longest} bits")
    order = used[np.argsort(counts[used], kind="stable")]
    items = counts[order].astype(np.int64)
    level, is_item = items, [np.ones(items.size, bool)]
    for _ in range(longest - 1):
        pairs = level[: level.size // 2 * 2].reshape(-1, 2).sum(1)
        both = np.concatenate([items, pairs])
        sort = np.argsort(both, kind="stable")
        level = both[sort]
        is_item.append(sort < items.size)
    chosen = 2 * items.size - 2
    for flags in reversed(is_item):
        taken = int(flags[:chosen].sum())
        lengths[order[:taken]] += 1
        chosen = 2 * (chosen - taken)
    return lengths


def _canonical(lengths: Bytes) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Symbols in code order, the first code word of each length, and how many symbols have shorter words.

    Raises InputError for lengths that are no code: too long, or more words than there is room for.
    """
    if lengths.size and int(lengths.max()) > LONGEST_BITS:
        raise InputError(f"a code word of {lengths.max()} bits; the longest may have {LONGEST_BITS}")
    per_length = np.bincount(lengths, minlength=LONGEST_BITS + 1).astype(np.int64)
    per_length[0] = 0
    first = np.zeros(LONGEST_BITS + 1, np.int64)
    for length in range(1, LONGEST_BITS + 1):
        first[length] = (first[length - 1] + per_length[length - 1]) << 1
        if first[length] + per_length[length] > 1 << length:
            raise InputError(f"the code has more words of {length} bits than there is room for")
    before = np.cumsum(per_length) - per_length
    order = np.argsort(lengths, kind="stable")[lengths.size - int(per_length.sum()) :]
    return order.astype(np.int64), first, before


def _short_words(order: NDArray[np.int64], lengths: Bytes) -> NDArray[np.int64]:
    """For every 12 bits that begin with a code word 32 * its symbol + its length; 0 where the word is longer."""
    words = lengths[order].astype(np.int64)
    short = words <= SHORT_BITS
    found = np.repeat(order[short] * 32 + words[short], 1 << (SHORT_BITS - words[short]))
    table = np.zeros(1 << SHORT_BITS, np.int64)
    table[: found.size] = found
    return table


def encode(symbols: Integers, lengths: Bytes) -> tuple[Bytes, NDArray[np.uint16]]:
    """The bitstream of `symbols` (n,) and the bits of each of its blocks; every symbol must have a code word."""
    order, first, before = _canonical(lengths)
    words = np.zeros(lengths.size, np.int64)
    words[order] = np.arange(order.size) - before[lengths[order]] + first[lengths[order]]
    pieces: list[Bytes] = []
    blocks: list[NDArray[np.int64]] = []
    left = np.empty(0, np.uint8)
    step = BLOCK * 64
    for start in range(0, symbols.size, step):
        chunk = symbols[start : start + step]
        bits = lengths[chunk].astype(np.int64)
        if not bits.all():
            raise InputError("a symbol has no code word")
        ends = np.cumsum(bits) + left.size
        stream = np.zeros(int(ends[-1]), np.uint8)
        stream[: left.size] = left
        for place in range(int(bits.max())):
            here = bits > place
            stream[(ends - bits)[here] + place] = words[chunk][here] >> (bits[here] - 1 - place) & 1
        blocks.append(np.add.reduceat(bits, np.arange(0, bits.size, BLOCK)))
        whole = stream.size if start + step >= symbols.size else stream.size // 8 * 8
        pieces.append(np.packbits(stream[:whole]))
        left = stream[whole:]
    lens = np.concatenate(blocks) if blocks else np.empty(0, np.int64)
    return np.concatenate(pieces) if pieces else np.empty(0, np.uint8), lens.astype(np.uint16)


def decode(stream: Bytes, block_bits: NDArray[np.uint16], lengths: Bytes, count: int) -> NDArray[np.uint32]:
    """The `count` symbols of a bitstream; raises InputError when stream, blocks and code do not agree in every bit."""
    order, first, before = _canonical(lengths)
    n_blocks = -(-count // BLOCK)
    ends = np.cumsum(block_bits.astype(np.int64))
    total = int(ends[-1]) if ends.size else 0
    if block_bits.size != n_blocks or stream.size != (total + 7) // 8:
        raise InputError(f"{stream.size} bytes in {block_bits.size} blocks do not hold {count} coded symbols")
    if not count:
        return np.empty(0, np.uint32)
    padded = np.concatenate([stream, np.zeros(4, np.uint8)]).astype(np.uint32)
    # Code words of one length, aligned left in 24 bits, end below the first of the next length: a search finds it.
    per_length = np.diff(np.append(before, order.size))
    limits = (first + per_length) << (LONGEST_BITS - np.arange(LONGEST_BITS + 1))
    limits = np.maximum.accumulate(limits)
    if huffman_words.COMPILED:
        symbols = np.empty(count, np.uint32)
        padded = np.concatenate([stream, np.zeros(3, np.uint8)])
        code = order, first, before, limits, _short_words(order, lengths)
        failed = huffman_words.decode_blocks(padded, ends, *code, symbols, BLOCK)
        if failed:
            raise InputError(FAILURES[failed])
        return symbols
    out = np.zeros((n_blocks, BLOCK), np.uint32)
    at = ends - block_bits
    last = count - (n_blocks - 1) * BLOCK
    for i in range(min(count, BLOCK)):
        here = at[: n_blocks if i < last else n_blocks - 1]
        byte = here >> 3
        if int(byte.max()) >= stream.size:
            raise InputError(FAILURES[1])
        window = padded[byte] << 24 | padded[byte + 1] << 16 | padded[byte + 2] << 8 | padded[byte + 3]
        window = window << (here & 7).astype(np.uint32) >> np.uint32(32 - LONGEST_BITS)
        length = np.searchsorted(limits, window, side="right")
        if int(length.max()) > LONGEST_BITS:
            raise InputError(FAILURES[2])
        out[: here.size, i] = order[(window >> (LONGEST_BITS - length)) - first[length] + before[length]]
        here += length
    if not np.array_equal(at, ends):
        raise InputError(FAILURES[3])
    return out.ravel()[:count]
