"""Full adders against the published numbers and against counting on paper."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from energysim.costs.full_adders import full_adders, full_adders_of_dot_product
from energysim.errors import InputError
from energysim.workload.layer import Layer, Rank, Tensor, convolution


@pytest.mark.parametrize(
    ("length", "weight_bits", "input_bits", "expected"),
    [
        # 576*16*16 = 147,456; 575 * (16 + 16 + 10 - 1) = 23,575
        (576, 16, 16, 171_031),
        # 576*8*8 = 36,864; 575 * (8 + 8 + 10 - 1) = 14,375
        (576, 8, 8, 51_239),
        # 4*2*3 = 24; 3 * (3 + 2 + 2 - 1) = 18
        (4, 2, 3, 42),
        # one product: nothing to add
        (1, 5, 7, 35),
        # 785*8*8 = 50,240; 784 * (8 + 8 + 10 - 1) = 19,600: a dense layer of 784 inputs and a bias
        (785, 8, 8, 69_840),
    ],
)
def test_dot_products(length: int, weight_bits: int, input_bits: int, expected: int) -> None:
    assert full_adders_of_dot_product(length, weight_bits, input_bits) == expected


def test_less_than_one_term_or_bit_is_refused() -> None:
    for wrong in ((0, 8, 8), (4, 0, 8), (4, 8, -1)):
        with pytest.raises(InputError, match="at least 1"):
            full_adders_of_dot_product(*wrong)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 5), st.integers(1, 5), st.integers(1, 3))
def test_a_convolution_is_its_outputs_times_a_dot_product(m: int, c: int, p: int, q: int, r: int) -> None:
    layer = convolution("c", m=m, c=c, p=p, q=q, r=r, s=r, n=2)
    assert full_adders(layer) == 2 * m * p * q * full_adders_of_dot_product(c * r * r, 16, 16)


def test_groups_reduce_over_their_own_channels_only() -> None:
    # 4 groups of 1 channel, 3x3: 4 * 25 outputs, each a dot product of 9 terms
    layer = convolution("depthwise", g=4, m=1, c=1, p=5, q=5, r=3, s=3)
    assert full_adders(layer) == 100 * full_adders_of_dot_product(9, 16, 16)


def test_transposed_convolution_counts_its_own_products_and_additions() -> None:
    # 2x2 inputs, 2x2 kernel, stride 1: 16 products into 3x3 outputs, so 7 additions; mean length 16/9, adders for 2
    layer = convolution("up", m=1, c=1, p=2, q=2, r=2, s=2, transposed=True)
    assert full_adders(layer) == 16 * 16 * 16 + 7 * (16 + 16 + 1 - 1)


def test_a_plain_operation_costs_one_full_adder_a_bit() -> None:
    # pooling 2x2 over 3 channels of 4x4 outputs: 3*16*4 comparisons of 8 bits
    one = {d: Rank(d, ((d, 1),)) for d in "MPQRS"}
    window = (Rank("H", (("P", 2), ("R", 1))), Rank("W", (("Q", 2), ("S", 1))))
    tensors = (
        Tensor("input", "input", (one["M"], *window), 8),
        Tensor("output", "output", tuple(one[d] for d in "MPQ"), 8),
    )
    layer = Layer("pool", "max_pool", {"M": 3, "P": 4, "Q": 4, "R": 2, "S": 2}, tensors, unit="op")
    assert full_adders(layer) == 3 * 16 * 4 * 8
