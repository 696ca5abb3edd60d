"""The law can fail: each way of spoiling the one-dimensional sums is found out by its random cases."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, find, settings
from hypothesis import strategies as st

from energysim.hardware.accelerator import Accelerator
from energysim.mapping import counts, positions
from energysim.mapping.counts import count
from energysim.mapping.nest import Mapping
from energysim.mapping.positions import PASSED, SHARED, Dim
from energysim.mapping.replay import replay
from energysim.workload.layer import Layer
from tests.mapping.triples import halo_triples, triples

Rank = tuple[Dim, ...]
true_sums = positions.held_and_kept


def renamed(old: int, new: int) -> Callable[[Rank], tuple[int, int]]:
    """Loops of one part taken for another."""

    def sums(rank: Rank) -> tuple[int, int]:
        return true_sums(tuple((c, n, tuple((b, new if p == old else p) for b, p in loops)) for c, n, loops in rank))

    return sums


def nothing_kept(rank: Rank) -> tuple[int, int]:
    held, kept = true_sums(rank)
    return held, kept if rank[0][0] == 0 else 0


def no_tails(rank: Rank) -> tuple[int, int]:
    """Partial last tiles counted as whole ones."""
    whole = []
    for coefficient, _, loops in rank:
        size = 1
        for bound, _ in loops:
            size *= bound
        whole.append((coefficient, size, loops))
    return true_sums(tuple(whole))


SABOTAGES = {
    "multicast taken for forwarding": (renamed(SHARED, PASSED), halo_triples()),
    "forwarding taken for multicast": (renamed(PASSED, SHARED), halo_triples()),
    "nothing kept": (nothing_kept, triples()),
    "partial tiles taken for whole": (no_tails, triples()),
}


@pytest.mark.parametrize("name", SABOTAGES)
def test_the_law_finds_it_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spoilt, strategy = SABOTAGES[name]
    monkeypatch.setattr(counts, "held_and_kept", spoilt)
    check: st.SearchStrategy[tuple[Layer, Accelerator, Mapping]] = strategy
    quick = settings(
        max_examples=300,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    found = find(check, lambda triple: count(*triple) != replay(*triple), settings=quick)
    monkeypatch.setattr(counts, "held_and_kept", true_sums)
    assert count(*found) == replay(*found)
