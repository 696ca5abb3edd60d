"""Twelve mappings small enough to count on paper; each number is derived in the comment beside it."""

from energysim.hardware.accelerator import Accelerator, Array, Axis, Compute, Memory
from energysim.mapping.counts import PARTIAL, Counts, count
from energysim.mapping.nest import Loop, Mapping, Storage
from energysim.mapping.replay import replay
from energysim.workload.layer import ROLES, Layer, convolution

EVERY = frozenset(ROLES)
NONE = frozenset[str]()


def machine(array: Array | None = None, spad_keeps: frozenset[str] = EVERY) -> Accelerator:
    """DRAM, perhaps an array, a spad, a MAC."""
    levels = [Memory("dram", None, EVERY, 16), *([array] if array else []), Memory("spad", None, spad_keeps, 16)]
    return Accelerator("hand", "worked on paper", tuple(levels), Compute(), 1e9)


def row_of_three(multicast: frozenset[str] = NONE, forwarding: frozenset[str] = NONE, reduction: bool = False) -> Array:
    """Three processing elements in a row."""
    return Array("pe", (Axis("x", 3),), multicast, forwarding, reduction)


def run(layer: Layer, accelerator: Accelerator, outer: str, inner: str = "", spread: str = "") -> Counts:
    """Counts of loops written like "M2 C3", by both roads: `outer` over `spread` over the spad over `inner`."""

    def loops(text: str, axis: str | None = None) -> list[Loop]:
        return [Loop(word[0], int(word[1:]), axis) for word in text.split()]

    nest = [*(Storage("dram", t.name) for t in layer.tensors), *loops(outer), *loops(spread, "pe.x")]
    nest += [Storage("spad", t.name) for t in layer.tensors if t.role in accelerator.memories[-1].keeps]
    mapping = Mapping((*nest, *loops(inner)))
    counts = count(layer, accelerator, mapping)
    assert counts == replay(layer, accelerator, mapping)
    return counts


def matmul(n: int, m: int, c: int) -> Layer:
    """`n` rows times an m x c weight."""
    return convolution("matmul", n=n, m=m, c=c, p=1, q=1)


def test_weight_stationary() -> None:
    # M2 C3 outside, N4 innermost: each of the 6 weights comes once; the loop over N changes nothing for it.
    counts = run(matmul(4, 2, 3), machine(), "M2 C3 N4").values
    assert counts["dram", "read", "weight"] == 6
    # Inputs: a new one at each of the 24 steps. Outputs: N inside C, so each of 8 leaves and returns for every c:
    # 24 writes, of which 8 are finished; 24 - 8 first visits = 16 are read back.
    assert counts["dram", "read", "input"] == 24
    assert counts["dram", "write", "output"] == 8
    assert counts["dram", "write", PARTIAL] == 16
    assert counts["dram", "read", PARTIAL] == 16


def test_output_stationary() -> None:
    # N4 M2 outside, C3 innermost: each output stays until it is done: 8 writes, nothing read back.
    counts = run(matmul(4, 2, 3), machine(), "N4 M2 C3").values
    assert counts["dram", "write", "output"] == 8
    assert ("dram", "read", PARTIAL) not in counts
    # The MAC adds into the spad 24 times; the 8 first additions read nothing.
    assert counts["spad", "write", "output"] + counts["spad", "write", PARTIAL] == 24
    assert counts["spad", "read", PARTIAL] == 16


def test_sliding_window() -> None:
    # One row, P4 R3: the spad holds the 3 inputs of one output; each step along P brings 1 new word: 3 + 3 * 1 = 6.
    row = convolution("row", m=1, c=1, p=4, q=1, r=3)
    assert run(row, machine(), "P4", "R3").values["dram", "read", "input"] == 6
    # With R outside P and nothing else held, every one of the 12 steps needs another word, except where the step from
    # (r, p=3) to (r+1, p=0) meets: input r+3 to r+1: never the same. 12 reads.
    assert run(row, machine(), "R3 P4").values["dram", "read", "input"] == 12


def test_stride_larger_than_the_kernel() -> None:
    # Windows of 2 every 3 inputs: no overlap and gaps never read: 4 outputs x 2 words.
    row = convolution("row", m=1, c=1, p=4, q=1, r=2, stride=(3, 1))
    assert run(row, machine(), "P4", "R2").values["dram", "read", "input"] == 8
    # The whole row at once touches the same 8 words, not the span of 11.
    assert run(row, machine(), "", "P4 R2").values["dram", "read", "input"] == 8


def test_partial_last_tile() -> None:
    # 5 outputs in tiles of 2: 2 + 2 + 1. Inputs with R3: 4 words, then +2, then +1: 7, all there are.
    row = convolution("row", m=1, c=1, p=5, q=1, r=3)
    counts = run(row, machine(), "P3", "P2 R3")
    assert counts.values["dram", "read", "input"] == 7
    assert counts.values["mac", "mac", "compute"] == 15
    assert counts.steps == 15


def test_multicast() -> None:
    # 3 rows on 3 elements share each weight: read 2 times from DRAM, written into 3 spads each.
    counts = run(matmul(3, 2, 1), machine(row_of_three(multicast=frozenset({"weight"}))), "M2", spread="N3").values
    assert counts["dram", "read", "weight"] == 2
    assert counts["spad", "fill", "weight"] == 6
    assert counts["pe", "transfer", "weight"] == 6
    # Without multicast each element reads for itself.
    counts = run(matmul(3, 2, 1), machine(row_of_three()), "M2", spread="N3").values
    assert counts["dram", "read", "weight"] == 6


def test_multicast_of_neighbouring_windows() -> None:
    # Outputs 0, 1, 2 on 3 elements with R2 need inputs {0,1}, {1,2}, {2,3}: 4 distinct words, 6 deliveries.
    row = convolution("row", m=1, c=1, p=3, q=1, r=2)
    counts = run(row, machine(row_of_three(multicast=frozenset({"input"}))), "", "R2", spread="P3").values
    assert counts["dram", "read", "input"] == 4
    assert counts["pe", "transfer", "input"] == 6


def test_spatial_reduction() -> None:
    # 3 input channels on 3 elements add into one output: 3 partial sums leave the spads, one sum reaches DRAM.
    counts = run(matmul(1, 1, 3), machine(row_of_three(reduction=True)), "", spread="C3").values
    assert counts["dram", "write", "output"] == 1
    assert counts["spad", "drain", PARTIAL] == 3
    # Without adders on the way DRAM takes three writes and reads back for the second and third.
    counts = run(matmul(1, 1, 3), machine(row_of_three()), "", spread="C3").values
    assert counts["dram", "write", "output"] + counts["dram", "write", PARTIAL] == 3
    assert counts["dram", "read", PARTIAL] == 2


def test_forwarding() -> None:
    # Elements p = 0..2 side by side, r = 0..2 in time: they need inputs {0,1,2}, {1,2,3}, {2,3,4}. Of each next three
    # a neighbour held two one step before: 3 + 1 + 1 = 5.
    row = convolution("row", m=1, c=1, p=3, q=1, r=3)
    both = row_of_three(multicast=frozenset({"input"}), forwarding=frozenset({"input"}))
    assert run(row, machine(both), "R3", spread="P3").values["dram", "read", "input"] == 5
    # With multicast alone a word is read again unless every element that needs it held it: none did: 9.
    only = row_of_three(multicast=frozenset({"input"}))
    assert run(row, machine(only), "R3", spread="P3").values["dram", "read", "input"] == 9


def test_first_visits_read_nothing() -> None:
    # |O| (2 * 3 - 1): C3 outside M2: each of 2 outputs is written 3 times and read back 2 times.
    counts = run(matmul(1, 2, 3), machine(), "C3 M2").values
    writes = counts["dram", "write", "output"] + counts["dram", "write", PARTIAL]
    assert (writes, counts["dram", "read", PARTIAL]) == (6, 4)


def test_bypassed_level() -> None:
    # The spad keeps outputs only: every MAC reads its weight and input from DRAM.
    counts = run(matmul(4, 2, 3), machine(spad_keeps=frozenset({"output"})), "N4 M2 C3").values
    assert counts["dram", "read", "weight"] == 24
    assert counts["dram", "read", "input"] == 24
    assert ("spad", "fill", "weight") not in counts


def test_grouped() -> None:
    # 2 groups of 2 -> 2 channels, one pixel: 8 weights, 4 inputs, 4 outputs; G outermost moves all three.
    layer = convolution("grouped", g=2, m=2, c=2, p=1, q=1)
    counts = run(layer, machine(), "G2", "M2 C2").values
    assert counts["dram", "read", "weight"] == 8
    assert counts["dram", "read", "input"] == 4
    assert counts["dram", "write", "output"] == 4
