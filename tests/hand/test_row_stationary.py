"""Row stationary by hand: a 2x2 kernel over a 3x3 input (P = Q = R = S = 2) on 2x2 elements."""

from energysim.mapping.constraints import violations
from energysim.mapping.dataflows import DATAFLOWS
from energysim.mapping.search import find_mapping
from energysim.workload.layer import convolution
from tests.hand.tiny import OUTPUTS, machine, moved


def test_row_stationary() -> None:
    layer = convolution("conv", m=1, c=1, p=2, q=2, r=2, s=2)
    accelerator, table = machine((2, 2, 1), x=2, y=2)
    result = find_mapping(layer, accelerator, table, dataflow="row_stationary")
    # R on y, P on x: element (r, p) holds kernel row r (2 words) and sees input row p + r; Q streams, S runs inside.
    # 16 MACs on 4 elements                                                      -> 4 steps
    # weight: each row goes to both columns at once: 2 rows x 2 words            -> 4 reads, 2 x 4 fills
    # input: rows 0, 1, 2; row 1 goes to elements (0, 1) and (1, 0) at once.
    #   q = 0: 3 rows x 2 words; q = 1: one new word each: 6 + 3                 -> 9 reads, each word once
    #   every element: 2 + 1 words                                               -> 12 fills
    # output: at each q both columns add up their 2 rows                         -> 8 drains, 4 writes, none read back
    counts = result.counts
    assert counts.steps == 4
    assert moved(counts, "dram", "read", "weight") == 4
    assert moved(counts, "spad", "fill", "weight") == 8
    assert moved(counts, "dram", "read", "input") == 9
    assert moved(counts, "spad", "fill", "input") == 12
    assert moved(counts, "spad", "drain", *OUTPUTS) == 8
    assert moved(counts, "dram", "write", *OUTPUTS) == 4
    assert moved(counts, "dram", "read", *OUTPUTS) == 0
    assert violations(DATAFLOWS["row_stationary"], layer, accelerator, result.mapping) == ()
