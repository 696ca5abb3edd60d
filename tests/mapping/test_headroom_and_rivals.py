"""Which limits a mapping has reached, and what other orders cost: a 2 x 2 x 2 matrix product, worked by hand."""

from itertools import permutations

import pytest

from energysim.costs.prices import energy_by_key
from energysim.hardware.accelerator import Accelerator, EnergyTable
from energysim.mapping.counts import count
from energysim.mapping.headroom import AxisUse, axis_uses, rooms
from energysim.mapping.nest import Loop, Mapping, even
from energysim.mapping.search_rivals import rivals
from energysim.workload.layer import Layer, convolution
from tests.hand.tiny import machine

LAYER = convolution("product", m=2, c=2, p=2, q=1, r=1, s=1)
"""weight (M, C), input (C, P), output (M, P); 8 MACs."""


def outside(*dims: str) -> dict[str, tuple[Loop, ...]]:
    return {"dram": tuple(Loop(d, 2) for d in dims)}


def test_a_partition_is_full_where_no_dim_that_it_holds_can_grow() -> None:
    accelerator, _ = machine((2, 2, 1))
    found = {room.part: room for room in rooms(LAYER, accelerator, even(accelerator, LAYER, outside("M", "P", "C")))}
    # One word of each. C = 2 takes 2 weights of 2 and 2 inputs of 2; M = 2 or P = 2 takes 2 outputs, and there is room
    # for one.
    assert {part: room.used_bits for part, room in found.items()} == {"weight": 16, "input": 16, "output": 16}
    assert {part: room.capacity_bits for part, room in found.items()} == {"weight": 32, "input": 32, "output": 16}
    assert {part: dict(room.grows) for part, room in found.items()} == {
        "weight": {"C": 2},
        "input": {"C": 2},
        "output": {},
    }
    assert [part for part, room in found.items() if room.full] == ["output"]


def test_a_memory_that_holds_everything_is_not_full() -> None:
    accelerator, _ = machine((4, 4, 4))
    inside = even(accelerator, LAYER, {"spad": (Loop("M", 2), Loop("P", 2), Loop("C", 2))})
    for room in rooms(LAYER, accelerator, inside):
        assert (room.used_bits, room.capacity_bits) == (64, 64)
        assert room.whole
        assert not room.full


def test_axes_are_used_up_or_not() -> None:
    accelerator, _ = machine((1, 1, 1), x=4, y=2)
    spread = even(accelerator, LAYER, outside("P") | {"pe": (Loop("M", 2, "pe.x"), Loop("C", 2, "pe.y"))})
    x, y = axis_uses(accelerator, spread)
    assert (x, x.full) == (AxisUse("pe.x", 2, 4), False)
    assert (y, y.full) == (AxisUse("pe.y", 2, 2), True)


def test_the_next_best_order() -> None:
    accelerator, table = machine((1, 1, 1))
    (rival,) = rivals(LAYER, accelerator, table, even(accelerator, LAYER, outside("M", "P", "C")))
    # C innermost keeps the output still: 8 weights and 8 inputs come in, 4 outputs go out: 20 words between DRAM (100)
    # and scratchpad (1). The 8 MACs (1 each) read 8 weights, 8 inputs, 4 partial sums and write 8: 28 accesses at 1.
    now = 20 * 101 + 28 + 8
    # M or P innermost keeps input or weight still: 4 + 8 words come in, 8 outputs go out and 4 come back: 24 words.
    assert rival.memory == "dram"
    assert rival.still == ("output",)
    assert rival.other_still in (("weight",), ("input",))
    assert rival.more_pj == pytest.approx(24 * 101 - 20 * 101)
    assert rival.share == pytest.approx(404 / now)


def test_a_worse_order_has_a_cheaper_rival() -> None:
    accelerator, table = machine((1, 1, 1))
    (rival,) = rivals(LAYER, accelerator, table, even(accelerator, LAYER, outside("M", "C", "P")))
    assert rival.still == ("weight",)
    assert rival.other_still == ("output",)
    assert rival.order[-1] == "C"
    assert rival.more_pj == pytest.approx(-404)


def test_no_other_order_is_cheaper_than_the_rival() -> None:
    layer = convolution("conv", m=2, c=2, p=4, q=1, r=3, s=1)
    accelerator, table = machine((2, 4, 2))
    for first in permutations("MCPR"):
        block = tuple(Loop(d, layer.dims[d]) for d in first)
        mapping = even(accelerator, layer, {"dram": block})
        now = energy(layer, accelerator, table, mapping)
        # the innermost loop decides which tensor stays: M the input, C and R the output, P the weight
        still = {"M": "input", "C": "output", "R": "output", "P": "weight"}
        others = [
            energy(layer, accelerator, table, even(accelerator, layer, {"dram": order}))
            for order in permutations(block)
            if still[order[-1].dim] != still[first[-1]]
        ]
        (rival,) = rivals(layer, accelerator, table, mapping)
        assert rival.still == (still[first[-1]],)
        assert rival.more_pj == pytest.approx(min(others) - now), first


def energy(layer: Layer, accelerator: Accelerator, table: EnergyTable, mapping: Mapping) -> float:
    counts = count(layer, accelerator, mapping)
    return sum(energy_by_key(counts, layer, accelerator, table, mapping).values())


def test_one_loop_has_no_other_order() -> None:
    accelerator, table = machine((2, 4, 4))
    blocks = outside("M") | {"spad": (Loop("P", 2), Loop("C", 2))}
    # The block of the scratchpad has rivals, the one loop over M in DRAM has none.
    assert [rival.memory for rival in rivals(LAYER, accelerator, table, even(accelerator, LAYER, blocks))] == ["spad"]
