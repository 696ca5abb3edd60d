"""The main law: the closed form counts what the replay counts, integer for integer."""

from hypothesis import given

from energysim.hardware.accelerator import Accelerator
from energysim.mapping.counts import count
from energysim.mapping.nest import Mapping, problems
from energysim.mapping.replay import replay
from energysim.workload.layer import Layer
from tests.mapping.triples import halo_triples, triples


@given(triples())
def test_counts_equal_replay(triple: tuple[Layer, Accelerator, Mapping]) -> None:
    agree(*triple)


@given(halo_triples())
def test_counts_equal_replay_where_sharing_meets_sliding(triple: tuple[Layer, Accelerator, Mapping]) -> None:
    agree(*triple)


def agree(layer: Layer, accelerator: Accelerator, mapping: Mapping) -> None:
    """One triple, both ways."""
    assert problems(layer, accelerator, mapping) == ()
    literal = replay(layer, accelerator, mapping)
    closed = count(layer, accelerator, mapping)
    assert closed.steps == literal.steps
    assert dict(closed.values) == dict(literal.values)
