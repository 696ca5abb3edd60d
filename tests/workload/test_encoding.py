"""Expected sizes of coded tensors, worked by hand."""

import pytest

from energysim.workload.encoding import ENCODINGS, dense, run_length


def test_dense_is_its_width_whatever_the_zeros() -> None:
    assert dense(8, 0.1) == dense(8, 1.0) == 8.0


def test_run_length_of_half_zeros() -> None:
    # A pair covers (1 - 0.5^32) / 0.5 = 2 elements (to 10 digits); a pair is 64/3 bits at 16 bits: 10.667 per element.
    assert run_length(16, 0.5) == pytest.approx(64 / 3 / 2, rel=1e-9)


def test_run_length_of_nothing_but_zeros() -> None:
    # 31 zeros and a value, itself zero: 32 elements a pair.
    assert run_length(16, 0.0) == pytest.approx(64 / 3 / 32)


def test_what_would_grow_stays_raw() -> None:
    # Without zeros a pair covers one element: 21.3 bits instead of 16. Raw it is, from 75 % non-zeros up.
    assert run_length(16, 1.0) == 16.0
    assert run_length(16, 0.76) == 16.0
    assert run_length(16, 0.74) < 16.0


def test_no_coding_beats_itself_with_fewer_zeros() -> None:
    for name, bits_moved in ENCODINGS.items():
        sizes = [bits_moved(8, density / 20) for density in range(21)]
        assert sizes == sorted(sizes), name


def test_bitmap_of_a_quarter() -> None:
    # one bit for each element, 8 more for one in four: 1 + 8/4
    assert ENCODINGS["bitmap"](8, 0.25) == 3.0
    assert ENCODINGS["bitmap"].metadata_bits(8, 0.25) == 1.0
    assert ENCODINGS["bitmap"].stored(8, 0.25) == 0.25


def test_relative_index_of_half_zeros() -> None:
    # An entry covers (1 - 0.5^16) / 0.5 = 1.99997 elements with 8 + 4 bits; at no density it fills every 16th.
    assert ENCODINGS["relative_index"](8, 0.5) == pytest.approx(12 / ((1 - 0.5**16) / 0.5))
    assert ENCODINGS["relative_index"](8, 0.0) == 12 / 16
    assert ENCODINGS["relative_index"].metadata_bits(8, 1.0) == 4.0


def test_a_tensor_left_raw_has_no_metadata_and_an_entry_for_each_element() -> None:
    assert run_length.metadata_bits(16, 0.9) == 0.0
    assert run_length.stored(16, 0.9) == 1.0
    assert run_length.stored(16, 0.5) == pytest.approx(0.5 / (1 - 0.5**32))
