"""Weight stationary by hand: a 2x2 matrix times a 2x2 matrix (M = C = P = 2), one word of each tensor on chip."""

from energysim.mapping.constraints import violations
from energysim.mapping.dataflows import DATAFLOWS
from energysim.mapping.search import find_mapping
from energysim.workload.layer import convolution
from tests.hand.tiny import OUTPUTS, machine, moved


def test_weight_stationary() -> None:
    layer = convolution("matmul", m=2, c=2, p=2, q=1)
    accelerator, table = machine((1, 1, 1))
    result = find_mapping(layer, accelerator, table, dataflow="weight_stationary")
    # P does not touch the weight, so P is the innermost loop: for m, for c (or c, m): for p.
    # weight: 4 tiles of one word, each fetched once                                       ->  4 reads
    # input[c, p]: changes at each of the 8 steps                                          ->  8 reads
    # output[m, p]: changes at each step, 8 visits to 4 words, of which 4 are first visits ->  8 writes, 4 reads back
    assert moved(result.counts, "dram", "read", "weight") == 4
    assert moved(result.counts, "dram", "read", "input") == 8
    assert moved(result.counts, "dram", "write", *OUTPUTS) == 8
    assert moved(result.counts, "dram", "read", *OUTPUTS) == 4
    # DRAM (4 + 8 + 8 + 4) x 100; spad: filled 4 + 8 + 4, drained 8, read by the MAC 8 + 8, written 8, read back
    # 8 - 4 = 4: 52 x 1; 8 MACs x 1.
    assert result.energy_pj == 2400 + 52 + 8
    assert violations(DATAFLOWS["weight_stationary"], layer, accelerator, result.mapping) == ()
