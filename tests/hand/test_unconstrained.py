"""Unconstrained by hand: the least of all orders of a 2x2 matrix times a 2x2 matrix, one word of each on chip."""

from energysim.mapping.search import find_mapping
from energysim.workload.layer import convolution
from tests.hand.tiny import machine


def test_unconstrained() -> None:
    layer = convolution("matmul", m=2, c=2, p=2, q=1)
    accelerator, table = machine((1, 1, 1))
    result = find_mapping(layer, accelerator, table)
    # All tiles are single words, so only the innermost loop matters. P innermost (weight stays) or M innermost
    # (input stays): 24 words of DRAM, 2,460 pJ. C innermost (output stays): 20 words, 2,056 pJ. See the other examples.
    assert result.energy_pj == 2056
    assert result.lower_bound_pj == 2056
    assert result.optimal
