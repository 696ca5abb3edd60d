"""One thread for the small tensors of these tests: workers of the test run share the cores already."""

from collections.abc import Iterator

import pytest

from energysim.clustering.threads import one_thread


@pytest.fixture(autouse=True)
def single_thread() -> Iterator[None]:
    """Every test of this folder runs on one thread."""
    with one_thread():
        yield
