"""One block of code words after the other out of a Huffman bitstream (compiled: huffman_words.pxd).

Not compiled it would take minutes for a large file: `huffman.decode` then goes through all blocks at once in numpy.
"""

from typing import Any

COMPILED = not __file__.endswith(".py")


def decode_blocks(
    stream: Any, ends: Any, order: Any, first: Any, before: Any, limits: Any, table: Any, out: Any, block: int
) -> int:
    """Fills `out` (n,) with symbols; 0 when done, 1 past the stream, 2 for no code word, 3 for a block's wrong end.

    `stream` has three bytes to spare, `ends` are the blocks' ends in bits; `limits[n]` is the first 24-bit window, read
    from the left, whose code word is longer than n bits. `table`: for the first 12 bits of a window, 32 * symbol + its
    length where its word is no longer than they are, else 0.
    """
    count = len(out)
    longest = len(limits) - 1
    last = len(stream) - 4
    at = 0
    i = 0
    for b in range(len(ends)):
        stop = min(i + block, count)
        while i < stop:
            byte = at >> 3
            if byte > last:
                return 1
            window = (stream[byte] << 24) | (stream[byte + 1] << 16) | (stream[byte + 2] << 8) | stream[byte + 3]
            window = (window << (at & 7)) >> 8 & 0xFFFFFF
            known = table[window >> 12]
            if known:
                out[i] = known >> 5
                at += known & 31
                i += 1
                continue
            length = 0
            while length <= longest and window >= limits[length]:
                length += 1
            if length > longest:
                return 2
            out[i] = order[(window >> (longest - length)) - first[length] + before[length]]
            at += length
            i += 1
        if at != ends[b]:
            return 3
    return 0
