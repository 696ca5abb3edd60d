"""Distinct rows: what a plain search finds, also where hashes collide."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from energysim.clustering import distinct
from energysim.clustering.distinct import bits_of, distinct_rows
from energysim.clustering.kmeans import kmeans


def test_by_hand() -> None:
    found = distinct_rows(np.array([[2, 1], [0, 9], [2, 1], [2, 0], [0, 9]], np.uint32))
    assert found is not None
    assert [x.tolist() for x in found] == [[1, 3, 0], [2, 0, 2, 1, 0]]


@pytest.mark.parametrize("collide", [False, True])
@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.uint64])
@given(data=st.data())
def test_as_a_plain_search_finds_them(data: st.DataObject, dtype: type[np.unsignedinteger], collide: bool) -> None:
    shape = data.draw(st.tuples(st.integers(1, 60), st.integers(1, 4)))
    high = np.iinfo(dtype).max
    bits = data.draw(arrays(dtype, shape, elements=st.sampled_from([0, 1, 256, high - 255, high])))
    with pytest.MonkeyPatch.context() as patch:
        if collide:
            patch.setattr(distinct, "MULTIPLIER", np.uint64(0))
        patch.setattr(distinct, "BLOCK", 16)
        rows, labels = np.unique(bits, axis=0, return_inverse=True)
        found = distinct_rows(bits)
        assert found is not None
        assert np.array_equal(bits[found[0]], rows)
        assert np.array_equal(found[1], labels.reshape(-1))
        assert distinct_rows(bits, len(rows)) is None
        assert distinct_rows(bits, len(rows) + 1) is not None


def test_the_limit_is_kept_where_the_first_rows_are_few() -> None:
    # 4 * 3 equal rows at the front say nothing about the rest.
    bits = np.concatenate((np.zeros(40, np.uint32), np.arange(40, dtype=np.uint32)))[:, None]
    assert distinct_rows(bits, 3) is None


@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize("fixed_zero", [False, True])
def test_few_distinct_samples_are_their_own_centroids(d: int, fixed_zero: bool) -> None:
    values = torch.tensor([0.3, -0.0, -2.0, 0.0, 0.7])
    points = values[torch.randint(5, (3_000, d), generator=torch.Generator().manual_seed(0))]
    count = 4**d
    result = kmeans(points, count, seed=0, fixed_zero=fixed_zero)
    assert torch.equal(result.centroids[result.labels], points)
    assert result.inertia == 0
    assert result.centroids.shape == (count, d)
    rising = result.centroids[1:] if fixed_zero else result.centroids
    assert rising.tolist() == sorted(rising.tolist())
    assert not fixed_zero or not result.centroids[0].any()
    assert len(torch.unique(result.centroids, dim=0)) == count


def test_bits_tell_zeros_and_nans_apart() -> None:
    values = np.array([[0.0], [-0.0], [np.nan], [np.nan]], np.float32)
    found = distinct_rows(bits_of(values))
    assert found is not None
    assert found[1].tolist() == [0, 2, 1, 1]
