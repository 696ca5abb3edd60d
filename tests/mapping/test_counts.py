"""Counting many mappings at once, large numbers, and what the closed form must not forget."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from energysim.hardware.accelerator import Accelerator, Compute, Memory
from energysim.mapping.counts import PARTIAL, UNIT, Counts, count, count_many
from energysim.mapping.nest import Loop, Mapping, Storage, problems
from energysim.mapping.positions import FREE, INSIDE, OWN, PASSED, RESET, SHARED, _held_and_kept_by_masks, held_and_kept
from energysim.workload.layer import ROLES, Layer, convolution
from tests.mapping.triples import triples


@settings(max_examples=60)
@given(triples(), st.data())
def test_many_at_once_are_the_same_as_one_by_one(
    triple: tuple[Layer, Accelerator, Mapping], data: st.DataObject
) -> None:
    layer, accelerator, mapping = triple
    rows = [[loop.bound for loop in mapping.loops]]
    for _ in range(4):
        row = [data.draw(st.integers(1, loop.bound + 1)) for loop in mapping.loops]
        changed = _with_bounds(mapping, row)
        if not problems(layer, accelerator, changed):
            rows.append(row)
    values, steps = count_many(layer, accelerator, mapping.nest, np.array(rows).reshape(len(rows), -1), chunk=2)
    for i, row in enumerate(rows):
        one = count(layer, accelerator, _with_bounds(mapping, row))
        assert Counts({key: n[i] for key, n in sorted(values.items()) if n[i]}, steps[i]) == one


def _with_bounds(mapping: Mapping, bounds: list[int]) -> Mapping:
    left = iter(bounds)
    return Mapping(tuple(Loop(x.dim, next(left), x.axis) if isinstance(x, Loop) else x for x in mapping.nest))


loops = st.lists(st.tuples(st.integers(1, 4), st.sampled_from((FREE, RESET, SHARED, PASSED))), max_size=4)


@given(loops, st.integers(1, 4), st.booleans(), st.integers(0, 5), st.integers(1, 3))
def test_one_dim_shortcut_equals_sets(
    outer: list[tuple[int, int]], tile: int, own: bool, less: int, coefficient: int
) -> None:
    outer = [*outer, (tile, INSIDE)]
    if own:
        free = [i for i, (bound, part) in enumerate(outer) if part == FREE and bound > 1]
        if free:
            outer[free[-1]] = (outer[free[-1]][0], OWN)
            outer = [(b, RESET if p == FREE and i > free[-1] else p) for i, (b, p) in enumerate(outer)]
    size = max(1, int(np.prod([bound for bound, _ in outer])) - less)
    rank = (coefficient, size, tuple(outer))
    assert held_and_kept((rank,)) == _held_and_kept_by_masks((rank,))


def test_counts_beyond_64_bits_stay_exact() -> None:
    # A matmul of three dims of 2^22: 2^66 MACs, each of which reads a weight from the only memory.
    side = 1 << 22
    layer = convolution("huge", n=side, m=side, c=side, p=1, q=1)
    memory = Memory("dram", None, frozenset(ROLES), 16)
    accelerator = Accelerator("one", "test", (memory,), Compute(), 1e9)
    nest = (*(Storage("dram", t.name) for t in layer.tensors), Loop("N", side), Loop("M", side), Loop("C", side))
    counts = count(layer, accelerator, Mapping(nest))
    assert counts.values["dram", "read", "weight"] == 1 << 66
    assert counts.values["mac", "mac", UNIT] == 1 << 66
    assert counts.values["dram", "read", PARTIAL] == (1 << 66) - (1 << 44)
    assert counts.steps == 1 << 66
    values, _ = count_many(layer, accelerator, nest, np.array([[side, side, side]]))
    assert values["dram", "read", "weight"][0] == 1 << 66


def test_a_mapping_without_loops_is_one_step() -> None:
    layer = convolution("point", m=1, c=1, p=1, q=1)
    accelerator = Accelerator("one", "test", (Memory("dram", None, frozenset(ROLES), 16),), Compute(), 1e9)
    counts = count(layer, accelerator, Mapping(tuple(Storage("dram", t.name) for t in layer.tensors)))
    expected = {("dram", "read", "input"): 1, ("dram", "read", "weight"): 1, ("dram", "write", "output"): 1}
    assert counts == Counts({**expected, ("mac", "mac", UNIT): 1}, 1)


def test_no_mappings_at_all() -> None:
    layer = convolution("point", m=2, c=1, p=1, q=1)
    accelerator = Accelerator("one", "test", (Memory("dram", None, frozenset(ROLES), 16),), Compute(), 1e9)
    nest = (*(Storage("dram", t.name) for t in layer.tensors), Loop("M", 2))
    values, steps = count_many(layer, accelerator, nest, np.empty((0, 1), dtype=np.int64))
    assert len(steps) == 0
    assert all(len(n) == 0 for n in values.values())
