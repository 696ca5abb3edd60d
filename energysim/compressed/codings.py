"""How indices are written in a compressed file: a table of codings, each an encoder, a decoder and its parts.

`fixed`: ceil(log2 K) bits each. `huffman`: a canonical Huffman bitstream. `run_length`: for a centroid at zero, the
gaps between the other indices at a few bits each, as in Deep Compression (Han16, section 3), and those indices.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from energysim.compressed import huffman
from energysim.compressed.bits import Integers, pack, packed_bytes, unpack, width_bits
from energysim.errors import InputError

Parts = Mapping[str, NDArray[np.uint8] | NDArray[np.uint16]]
"""Arrays of one dimension by name: what a coding puts into the file for one tensor's indices."""

GAP_BITS = range(1, 17)
"""Widths that a gap between non-zero indices may have."""


@dataclass(frozen=True, slots=True)
class Coding:
    """One way to write `indices` (n,) below K of which `zero` is the centroid at zero (-1: there is none)."""

    encode: Callable[[Integers, int, int], Parts]
    decode: Callable[[Parts, int, int, int], NDArray[np.uint32]]
    bits: Callable[[Integers, int, int], int]
    """What `coded_bits` of the encoded indices would be, without encoding them."""
    parts: Mapping[str, str]
    """Name to safetensors dtype of every part."""


def _fixed(indices: Integers, clusters: int, zero: int) -> Parts:
    return {"indices": pack(indices, width_bits(clusters))}


def _fixed_bits(indices: Integers, clusters: int, zero: int) -> int:
    return 8 * packed_bytes(indices.size, width_bits(clusters))


def _from_fixed(parts: Parts, count: int, clusters: int, zero: int) -> NDArray[np.uint32]:
    return unpack(parts["indices"].view(np.uint8), width_bits(clusters), count)


def _huffman(indices: Integers, clusters: int, zero: int) -> Parts:
    lengths = huffman.code_lengths(np.bincount(indices, minlength=clusters))
    stream, blocks = huffman.encode(indices, lengths)
    return {"indices": stream, "block_bits": blocks, "code_lengths": lengths}


def _huffman_bits(indices: Integers, clusters: int, zero: int) -> int:
    counts = np.bincount(indices, minlength=clusters)
    lengths = huffman.code_lengths(counts)
    stream = (int((counts * lengths).sum()) + 7) // 8
    return 8 * (stream + 2 * -(-indices.size // huffman.BLOCK) + lengths.size)


def _from_huffman(parts: Parts, count: int, clusters: int, zero: int) -> NDArray[np.uint32]:
    lengths = parts["code_lengths"].view(np.uint8)
    if lengths.size != clusters:
        raise InputError(f"{lengths.size} code lengths for {clusters} centroids")
    return huffman.decode(parts["indices"].view(np.uint8), parts["block_bits"].view(np.uint16), lengths, count)


def _gaps(indices: Integers, zero: int, bits: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Zeros before each entry, below 2^bits, and its index: a longer run has fillers, which are zeros themselves."""
    places = np.flatnonzero(indices != zero)
    runs = np.diff(places, prepend=-1) - 1
    fillers = runs >> bits
    where = np.arange(places.size) + np.cumsum(fillers)
    total = places.size + int(fillers.sum())
    gaps, entries = np.full(total, (1 << bits) - 1), np.full(total, zero)
    gaps[where] = runs & ((1 << bits) - 1)
    entries[where] = indices[places]
    return gaps, entries


def _best_gap(indices: Integers, clusters: int, zero: int) -> tuple[int, int]:
    """The width of a gap that takes the fewest bits, and the number of entries that it gives."""
    runs = np.diff(np.flatnonzero(indices != zero), prepend=-1) - 1
    entries = {bits: runs.size + int((runs >> bits).sum()) for bits in GAP_BITS}
    best = min(GAP_BITS, key=lambda bits: entries[bits] * (bits + width_bits(clusters)))
    return best, entries[best]


def _run_length_bits(indices: Integers, clusters: int, zero: int) -> int:
    bits, entries = _best_gap(indices, clusters, zero)
    return 8 * (packed_bytes(entries, width_bits(clusters)) + packed_bytes(entries, bits) + 24)


def _run_length(indices: Integers, clusters: int, zero: int) -> Parts:
    if zero < 0:
        raise InputError("run lengths need a centroid at zero")
    bits, _ = _best_gap(indices, clusters, zero)
    gaps, entries = _gaps(indices, zero, bits)
    header = np.frombuffer(np.array([bits, entries.size, indices.size], "<u8").tobytes(), np.uint8)
    return {"indices": pack(entries, width_bits(clusters)), "gaps": pack(gaps, bits), "gap_header": header}


def _from_run_length(parts: Parts, count: int, clusters: int, zero: int) -> NDArray[np.uint32]:
    if zero < 0:
        raise InputError("run lengths without a centroid at zero")
    if parts["gap_header"].size != 24:
        raise InputError("the run lengths' header has not 24 bytes")
    bits, entries, told = (int(x) for x in np.frombuffer(parts["gap_header"].tobytes(), "<u8"))
    if bits not in GAP_BITS or entries > count or told != count:
        raise InputError(f"{entries} run lengths of {bits} bits, told to be of {told} indices, for {count}")
    gaps = unpack(parts["gaps"].view(np.uint8), bits, entries)
    places = np.cumsum(gaps.astype(np.int64) + 1) - 1
    if entries and int(places[-1]) >= count:
        raise InputError(f"run lengths reach index {places[-1]} of {count}")
    indices = np.full(count, zero, np.uint32)
    indices[places] = unpack(parts["indices"].view(np.uint8), width_bits(clusters), entries)
    return indices


CODINGS: Mapping[str, Coding] = MappingProxyType(
    {
        "fixed": Coding(_fixed, _from_fixed, _fixed_bits, {"indices": "U8"}),
        "huffman": Coding(
            _huffman, _from_huffman, _huffman_bits, {"indices": "U8", "block_bits": "U16", "code_lengths": "U8"}
        ),
        "run_length": Coding(
            _run_length, _from_run_length, _run_length_bits, {"indices": "U8", "gaps": "U8", "gap_header": "U8"}
        ),
    }
)


def coded_bits(parts: Parts) -> int:
    """Bits that the parts take in a file, code tables and block lengths included."""
    return sum(part.nbytes for part in parts.values()) * 8


def smallest(indices: Integers, clusters: int, zero: int) -> str:
    """The name of the coding that takes the fewest bits; of several, the first of `CODINGS`."""
    usable = [name for name in CODINGS if zero >= 0 or name != "run_length"]
    return min(usable, key=lambda name: CODINGS[name].bits(indices, clusters, zero))
