"""Output stationary by hand: a 2x2 matrix times a 2x2 matrix (M = C = P = 2), one word of each tensor on chip."""

from energysim.mapping.constraints import violations
from energysim.mapping.dataflows import DATAFLOWS
from energysim.mapping.search import find_mapping
from energysim.workload.layer import convolution
from tests.hand.tiny import OUTPUTS, machine, moved


def test_output_stationary() -> None:
    layer = convolution("matmul", m=2, c=2, p=2, q=1)
    accelerator, table = machine((1, 1, 1))
    result = find_mapping(layer, accelerator, table, dataflow="output_stationary")
    # C, the sum, is the innermost loop: for m, for p (or p, m): for c. Each output is finished before it leaves.
    # output: 4 words written once, nothing read back; weight[m, c] and input[c, p] change at each of the 8 steps.
    assert moved(result.counts, "dram", "write", "output") == 4
    assert moved(result.counts, "dram", "write", "partial_sum") == 0
    assert moved(result.counts, "dram", "read", *OUTPUTS) == 0
    assert moved(result.counts, "dram", "read", "weight") == 8
    assert moved(result.counts, "dram", "read", "input") == 8
    # DRAM 20 x 100; spad: filled 8 + 8, drained 4, read 8 + 8, written 8, read back 8 - 4: 48 x 1; 8 MACs x 1.
    assert result.energy_pj == 2000 + 48 + 8
    assert violations(DATAFLOWS["output_stationary"], layer, accelerator, result.mapping) == ()
