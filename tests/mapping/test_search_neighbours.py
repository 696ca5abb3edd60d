"""Real layers are too large for brute force: there, no step away from a mapping that is proven makes it better."""

from collections.abc import Iterator
from itertools import combinations

import pytest

from energysim.hardware.accelerator import Accelerator
from energysim.hardware.read import read_accelerator
from energysim.mapping.counts import count
from energysim.mapping.nest import Loop, Mapping, even, problems
from energysim.mapping.search import energy_pj, find_mapping
from energysim.workload.layer import DIMS, Layer, convolution
from tests.mapping.brute import slots

LAYERS = {
    "conv1": convolution("conv1", m=64, c=3, p=112, q=112, r=7, s=7, stride=(2, 2)),
    "conv4_x": convolution("conv4_x", m=256, c=256, p=14, q=14, r=3, s=3),
    "downsample": convolution("downsample", m=128, c=64, p=28, q=28, stride=(2, 2)),
    "depthwise": convolution("depthwise", g=96, m=1, c=1, p=56, q=56, r=3, s=3, stride=(2, 2)),
    "dilated": convolution("dilated", m=32, c=16, p=30, q=30, r=3, s=3, dilation=(2, 2)),
    "transposed": convolution("transposed", m=16, c=32, p=15, q=15, r=4, s=4, stride=(2, 2), transposed=True),
    "linear": convolution("linear", m=1000, c=512, p=1, q=1),
}

Blocks = dict[str, tuple[Loop, ...]]


def blocks_of(accelerator: Accelerator, mapping: Mapping) -> Blocks:
    """The loops of each memory and array of an even mapping, all dims in each, those without a loop outermost."""
    blocks: Blocks = {level.name: () for level in accelerator.levels}
    memory = accelerator.memories[0].name
    for item in mapping.nest:
        if not isinstance(item, Loop):
            memory = item.memory
        else:
            name = memory if item.axis is None else item.axis.rsplit(".", 1)[0]
            blocks[name] += (item,)
    for name, axis in slots(accelerator):
        have = {loop.dim for loop in blocks[name] if loop.axis == axis}
        blocks[name] = (*(Loop(d, 1, axis) for d in DIMS if d not in have), *blocks[name])
    return blocks


def changed(blocks: Blocks, name: str, i: int, bound: int) -> Blocks:
    """The same with the bound of one loop replaced."""
    loops = list(blocks[name])
    loops[i] = Loop(loops[i].dim, bound, loops[i].axis)
    return {**blocks, name: tuple(loops)}


def neighbours(accelerator: Accelerator, blocks: Blocks) -> Iterator[Blocks]:
    """Mappings with one prime factor of one dim in another place, or with two loops of one memory exchanged."""
    places = [(name, i) for name, loops in blocks.items() for i in range(len(loops))]
    for (one, i), (other, j) in ((a, b) for pair in combinations(places, 2) for a, b in (pair, pair[::-1])):
        here, there = blocks[one][i], blocks[other][j]
        if here.dim == there.dim:
            for prime in (2, 3, 5, 7):
                if here.bound % prime == 0:
                    moved = changed(blocks, one, i, here.bound // prime)
                    yield changed(moved, other, j, there.bound * prime)
        if one == other and here.axis is there.axis is None and i < j and here.bound > 1 and there.bound > 1:
            loops = list(blocks[one])
            loops[i], loops[j] = there, here
            yield {**blocks, one: tuple(loops)}


@pytest.mark.parametrize("hardware", ["eyeriss", "simba", "tpu_v1"])
@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_no_step_away_is_better(layer: Layer, hardware: str) -> None:
    described = read_accelerator(hardware)
    accelerator, table = described.accelerator, described.table
    result = find_mapping(layer, accelerator, table)
    looked = 0
    for blocks in neighbours(accelerator, blocks_of(accelerator, result.mapping)):
        mapping = even(accelerator, layer, blocks)
        if problems(layer, accelerator, mapping):
            continue
        energy = energy_pj(layer, accelerator, table, mapping, count(layer, accelerator, mapping))
        # what is not proven may be beaten, never its bound
        assert energy >= (result.energy_pj if result.optimal else result.lower_bound_pj) * (1 - 1e-9)
        looked += 1
    assert looked > 0 or hardware == "eyeriss"
    assert result.lower_bound_pj <= result.energy_pj
