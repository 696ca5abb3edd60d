"""The main law: the closed form counts what the replay counts, integer for integer."""

from hypothesis import given

from energysim.hardware.accelerator import Accelerator
from energysim.mapping.counts import count
from energysim.mapping.nest import Mapping, problems
from energysim.mapping.replay import replay
from energysim.workload.layer import Layer
from tests.mapping.triples import triples


@given(triples())
def test_counts_equal_replay(triple: tuple[Layer, Accelerator, Mapping]) -> None:
    layer, accelerator, mapping = triple
    assert problems(layer, accelerator, mapping) == ()
    literal = replay(layer, accelerator, mapping)
    closed = count(layer, accelerator, mapping)
    assert closed.steps == literal.steps
    assert dict(closed.values) == dict(literal.values)
