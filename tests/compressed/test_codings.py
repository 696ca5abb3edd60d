"""Packed bits, Huffman codes and run lengths: worked on paper, against a textbook Huffman, and on random indices."""

import heapq
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from energysim.compressed import huffman
from energysim.compressed.bits import pack, unpack, width_bits
from energysim.compressed.codings import CODINGS, coded_bits, smallest
from energysim.errors import InputError


def test_three_bits_each_by_hand() -> None:
    # 5 0 7 2 -> 101 000 111 010, padded: 10100011 1010 0000
    packed = pack(np.array([5, 0, 7, 2]), 3)
    assert packed.tolist() == [0b10100011, 0b10100000]
    assert unpack(packed, 3, 4).tolist() == [5, 0, 7, 2]


def test_width() -> None:
    assert [width_bits(k) for k in (1, 2, 3, 4, 5, 16, 17, 256, 257)] == [0, 1, 2, 2, 3, 4, 5, 8, 9]


def test_pack_refuses_what_does_not_fit() -> None:
    with pytest.raises(InputError, match="from 0 to 8 do not fit in 3 bits"):
        pack(np.array([0, 8]), 3)
    with pytest.raises(InputError, match="1 bytes do not hold 3 numbers of 3 bits"):
        unpack(np.zeros(1, np.uint8), 3, 3)


def test_padding_must_be_zero() -> None:
    with pytest.raises(InputError, match="bits after the last number are not 0"):
        unpack(np.array([0b10100011, 0b10100001], np.uint8), 3, 4)


def test_canonical_code_by_hand() -> None:
    # a 5, b 2, c 1, d 1: Huffman joins c+d, then b+(cd), then a: lengths 1 2 3 3, words 0, 10, 110, 111.
    lengths = huffman.code_lengths(np.array([5, 2, 1, 1]))
    assert lengths.tolist() == [1, 2, 3, 3]
    # a b d a -> 0 10 111 0 -> 0101110 and one 0 of padding; one block of 7 bits
    stream, blocks = huffman.encode(np.array([0, 1, 3, 0]), lengths)
    assert (stream.tolist(), blocks.tolist()) == ([0b01011100], [7])
    assert huffman.decode(stream, blocks, lengths, 4).tolist() == [0, 1, 3, 0]


def test_entropy_by_hand() -> None:
    # 1/2, 1/4, 1/8, 1/8: 1/2*1 + 1/4*2 + 2 * 1/8*3 = 1.75 bits
    assert huffman.entropy_bits(np.array([4, 2, 1, 1, 0])) == pytest.approx(1.75, abs=1e-15)
    assert huffman.entropy_bits(np.array([7])) == 0
    assert huffman.entropy_bits(np.array([0])) == 0


def textbook_cost(counts: list[int]) -> int:
    """Bits of a Huffman coded text: the sum of all joins (Huffman, 1952)."""
    queue, cost = [c for c in counts if c], 0
    heapq.heapify(queue)
    while len(queue) > 1:
        joined = heapq.heappop(queue) + heapq.heappop(queue)
        cost += joined
        heapq.heappush(queue, joined)
    return cost


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=300).filter(lambda c: sum(map(bool, c)) > 1))
def test_lengths_are_optimal_and_fill_the_code(counts: list[int]) -> None:
    lengths = huffman.code_lengths(np.array(counts))
    assert int((lengths * np.array(counts)).sum()) == textbook_cost(counts)
    assert sum(2.0 ** -int(n) for n in lengths if n) == 1  # Kraft: no code word is wasted


def test_longest_word_is_limited_and_still_optimal() -> None:
    fibonacci = [1, 1]
    while len(fibonacci) < 45:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    lengths = huffman.code_lengths(np.array(fibonacci))
    assert lengths.max() == huffman.LONGEST_BITS
    assert sum(2.0 ** -int(n) for n in lengths) == 1
    # Small enough to try all: counts 1 1 2 3 5 with words of at most 3 bits.
    counts = np.array([1, 1, 2, 3, 5])
    kraft = [n for n in itertools.product((1, 2, 3), repeat=5) if sum(2.0**-x for x in n) <= 1]
    assert int((huffman.code_lengths(counts, 3) * counts).sum()) == min(
        int((np.array(n) * counts).sum()) for n in kraft
    )


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("count", [0, 1, 2, 1023, 1024, 1025, 66_000])
@pytest.mark.parametrize("clusters", [1, 2, 3, 16, 200, 1000])
def test_every_coding_gives_the_indices_back(coding: str, count: int, clusters: int) -> None:
    random = np.random.default_rng(count * clusters)
    skewed = np.minimum(random.geometric(0.2, count) - 1, clusters - 1)
    for indices in (random.integers(0, clusters, count), skewed):
        parts = CODINGS[coding].encode(indices, clusters, 0)
        assert {p: {"uint8": "U8", "uint16": "U16"}[v.dtype.name] for p, v in parts.items()} == CODINGS[coding].parts
        assert np.array_equal(CODINGS[coding].decode(parts, count, clusters, 0), indices)
        assert CODINGS[coding].bits(indices, clusters, 0) == coded_bits(parts)


def test_run_lengths_by_hand() -> None:
    # 14 zeros, index 3, 2 zeros, index 1; K = 4. Gaps of 4 bits: (14, 3), (2, 1): 2 * (4 + 2) = 12 bits, the least.
    indices = np.array([0] * 14 + [3] + [0] * 2 + [1] + [0] * 5)
    parts = CODINGS["run_length"].encode(indices, 4, 0)
    assert parts["gap_header"].tolist() == [4, *[0] * 7, 2, *[0] * 7, 23, *[0] * 7]
    assert parts["gaps"].tolist() == [0b11100010]
    assert parts["indices"].tolist() == [0b11010000]
    assert CODINGS["run_length"].decode(parts, 23, 4, 0).tolist() == indices.tolist()


def test_smallest_coding() -> None:
    random = np.random.default_rng(0)
    assert smallest(random.integers(0, 256, 50_000), 256, -1) == "fixed"
    assert smallest(np.minimum(random.geometric(0.5, 50_000) - 1, 255), 256, 0) == "huffman"
    sparse = np.where(random.random(50_000) < 0.002, random.integers(1, 256, 50_000), 0)
    assert smallest(sparse, 256, 0) == "run_length"
    huffman_bits = coded_bits(CODINGS["huffman"].encode(sparse, 256, 0))
    assert coded_bits(CODINGS["run_length"].encode(sparse, 256, 0)) < huffman_bits


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([1, 1, 1], "more words of 1 bits than there is room for"),
        ([1, 2, 60], "a code word of 60 bits; the longest may have 24"),
        ([1, 2, 0], "no code word"),
        ([2, 2, 2], "bits that are no code word|does not end|past the end"),
    ],
)
def test_a_code_that_lies_is_refused(lengths: list[int], message: str) -> None:
    stream = np.array([0xFF, 0xFF], np.uint8)
    with pytest.raises(InputError, match=message):
        huffman.decode(stream, np.array([16], np.uint16), np.array(lengths, np.uint8), 9)


@given(st.binary(max_size=40), st.lists(st.integers(0, 40), max_size=3), st.lists(st.integers(0, 26), max_size=9))
def test_any_bytes_decode_or_are_refused(stream: bytes, blocks: list[int], lengths: list[int]) -> None:
    arguments = np.frombuffer(stream, np.uint8), np.array(blocks, np.uint16), np.array(lengths, np.uint8)
    for count in (0, 5, 1500):
        try:
            symbols = huffman.decode(*arguments, count)
        except InputError:
            continue
        assert symbols.size == count
        assert not count or symbols.max() < len(lengths)


@given(st.binary(max_size=20), st.binary(max_size=20), st.integers(0, 17), st.integers(0, 30), st.integers(0, 300))
def test_any_run_lengths_decode_or_are_refused(indices: bytes, gaps: bytes, bits: int, entries: int, n: int) -> None:
    header = np.frombuffer(np.array([bits, entries, n], "<u8").tobytes(), np.uint8)
    given_parts = {"indices": np.frombuffer(indices, np.uint8), "gaps": np.frombuffer(gaps, np.uint8)}
    try:
        decoded = CODINGS["run_length"].decode(given_parts | {"gap_header": header}, n, 16, 3)
    except InputError:
        return
    assert decoded.size == n
    assert not n or decoded.max() < 16


def test_both_decoders_say_the_same_of_sound_and_damaged_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    from energysim.compressed import huffman, huffman_words

    if not huffman_words.COMPILED:
        # Bytes of numpy do not shift as C's do: without a compiler the loop is tried on whole numbers.
        plain = huffman_words.decode_blocks
        monkeypatch.setattr(huffman_words, "decode_blocks", lambda stream, *rest: plain(stream.tolist(), *rest))
    random = np.random.default_rng(5)
    for case in range(60):
        clusters = int(random.integers(2, 40))
        symbols = random.geometric(0.3, int(random.integers(1, 3000))).clip(1, clusters).astype(np.uint32) - 1
        lengths = huffman.code_lengths(np.bincount(symbols, minlength=clusters))
        stream, blocks = huffman.encode(symbols, lengths)
        if case % 2:
            stream = stream.copy()
            stream[int(random.integers(stream.size))] ^= 1 << int(random.integers(8))
        said = []
        for compiled in (True, False):
            monkeypatch.setattr(huffman_words, "COMPILED", compiled)
            try:
                said.append(huffman.decode(stream, blocks, lengths, symbols.size).tolist())
            except InputError:
                said.append(["refused"])
        assert said[0] == said[1]
        assert case % 2 or said[0] == symbols.tolist()
