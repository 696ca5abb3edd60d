"""Input stationary by hand: a 2x2 matrix times a 2x2 matrix (M = C = P = 2), one word of each tensor on chip."""

from energysim.mapping.constraints import violations
from energysim.mapping.dataflows import DATAFLOWS
from energysim.mapping.search import find_mapping
from energysim.workload.layer import convolution
from tests.hand.tiny import OUTPUTS, machine, moved


def test_input_stationary() -> None:
    layer = convolution("matmul", m=2, c=2, p=2, q=1)
    accelerator, table = machine((1, 1, 1))
    result = find_mapping(layer, accelerator, table, dataflow="input_stationary")
    # M does not touch the input, so M is the innermost loop: each of the 4 inputs is fetched once and meets both
    # filters. weight[m, c] and output[m, p] change at each of the 8 steps; 4 of the 8 visits to outputs come back.
    assert moved(result.counts, "dram", "read", "input") == 4
    assert moved(result.counts, "dram", "read", "weight") == 8
    assert moved(result.counts, "dram", "write", *OUTPUTS) == 8
    assert moved(result.counts, "dram", "read", *OUTPUTS) == 4
    # as weight stationary with weight and input exchanged
    assert result.energy_pj == 2400 + 52 + 8
    assert violations(DATAFLOWS["input_stationary"], layer, accelerator, result.mapping) == ()
