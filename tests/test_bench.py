"""What the bench translates from a peer is the peer's mapping, in our nouns."""

import pytest

from bench.zigzag_mapping import translated
from bench.zigzag_network import ROOT, asked_of
from energysim.hardware.read import read_accelerator
from energysim.mapping.counts import count
from energysim.mapping.nest import Loop, Storage, problems
from energysim.workload.graph import LayerGraph
from energysim.workload.layer import convolution
from energysim.workload.precision import parse_bits, with_bits

TPU = read_accelerator(ROOT / "bench" / "hardware" / "tpu_like.yaml")
LAYER = with_bits(
    LayerGraph("one", (convolution("l", m=64, c=48, p=4, q=4, stride=(2, 1)),)), parse_bits("w8a8p16")
).layers[0]
ORDER = [["C", 2], ["OX", 4], ["OY", 4], ["K", 2]]
"""Innermost first. C = 48 is spread over 32 rows in 2 steps: 24 rows at a time."""


def found(sram_of_inputs: int) -> dict[str, object]:
    """The weight's registers span all but K, the sum's only C; inputs enter the SRAM inside so many loops."""
    temporal = {
        "O": [ORDER[:1], ORDER[1:], []],
        "W": [ORDER[:3], ORDER[3:]],
        "I": [ORDER[:sram_of_inputs], ORDER[sram_of_inputs:]],
    }
    return {"temporal": temporal, "spatial": {"D1": [["K", 32]], "D2": [["C", 32]]}}


def test_strides_go_to_the_peer_by_row_and_column() -> None:
    assert asked_of(LAYER)["stride"] == [2, 1]


@pytest.mark.parametrize(("depth", "moved"), [(4, False), (3, False), (1, True)])
def test_a_translated_mapping_is_legal_and_moves_what_the_peer_moves(depth: int, moved: bool) -> None:
    mapping, was_moved = translated(LAYER, TPU, found(depth))
    assert was_moved is moved
    assert problems(LAYER, TPU.accelerator, mapping) == ()
    assert [(x.dim, x.bound) for x in mapping.loops if x.axis] == [("M", 32), ("C", 24)]
    # Registers hold weights for all 16 positions: each of 64 * 48 leaves DRAM once and is written to one register.
    counts = count(LAYER, TPU.accelerator, mapping)
    assert counts.values["dram", "read", "weight"] == 64 * 48
    assert counts.values["rf_128B", "fill", "weight"] == 64 * 48
    # Two steps of C for each of 16 positions and two blocks of K.
    assert counts.steps == 2 * 16 * 2
    # The mark of the SRAM stands outside the array's loops, that of the weights inside: uneven, deeper than the sums'.
    marks = [x.memory for x in mapping.nest if isinstance(x, Storage) and x.tensor == "weight"]
    assert marks == ["dram", "rf_128B"]
    outside = [x for x in mapping.nest[: mapping.nest.index(Storage("rf_128B", "weight"))] if isinstance(x, Loop)]
    assert [x.dim for x in outside if x.axis is None] == ["M"]


def test_operands_in_different_orders_are_refused() -> None:
    answer = found(4)
    answer["temporal"]["I"] = [list(reversed(ORDER)), []]  # type: ignore[index]
    with pytest.raises(ValueError, match="operands have loops in different orders"):
        translated(LAYER, TPU, answer)
