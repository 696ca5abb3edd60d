"""Threads are given back, also after an error."""

import pytest
import torch

from energysim.clustering.kmeans import kmeans
from energysim.clustering.threads import one_thread


def test_threads_are_given_back() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
        with pytest.raises(ZeroDivisionError), one_thread():
            raise ZeroDivisionError
        kmeans(torch.randn(2_000, 3, generator=torch.Generator().manual_seed(0)), 20, seed=0)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
