"""Dims that no tensor tells apart are one: what is merged, and that mappings split back into equal counts."""

from dataclasses import replace
from random import Random

import pytest

from energysim.hardware.accelerator import Array
from energysim.hardware.read import read_accelerator
from energysim.mapping.constraints import AxisDims, Restriction, TileLimit, Untiled
from energysim.mapping.counts import count
from energysim.mapping.dataflows import DATAFLOWS, dataflow
from energysim.mapping.merging import merging
from energysim.mapping.nest import Loop, even, problems
from energysim.mapping.search_space import divisors
from energysim.workload.layer import Layer, convolution
from tests.mapping.cases import random_case
from tests.mapping.shared import machine, random_shared

EYERISS = read_accelerator("eyeriss").accelerator
FREE = dataflow("unconstrained")


def classes(layer: Layer, *restrictions: Restriction, flow: str = "unconstrained") -> set[str]:
    """What is merged, each class as letters."""
    found = merging(layer, EYERISS, dataflow(flow, restrictions))
    return {"".join(dims) for dims in found.classes} if found else set()


def test_positions_of_a_1x1_convolution_are_one_dim() -> None:
    layer = convolution("one", n=2, m=8, c=4, p=6, q=10, stride=(2, 2))
    found = merging(layer, EYERISS, FREE)
    assert found is not None
    assert found.classes == (("N", "P", "Q"),)
    assert {d: n for d, n in found.layer.dims.items() if n > 1} == {"N": 120, "M": 8, "C": 4}
    assert [t.elements(found.layer.dims) for t in found.layer.tensors] == [
        t.elements(layer.dims) for t in layer.tensors
    ]


def test_windows_and_tensors_tell_dims_apart() -> None:
    # P and R move one index; kernels of one column leave Q and S apart from them, and N alone
    assert classes(convolution("rows", n=2, m=8, c=4, p=6, q=6, r=3)) == {"NQ"}
    assert classes(convolution("both", n=2, m=8, c=4, p=6, q=6, r=3, s=3)) == set()
    # C and R are summed over alike once the window does not move
    assert classes(convolution("dense", m=8, c=4, p=1, q=1, r=3, s=3)) == {"CRS"}
    assert classes(convolution("matrix", m=8, c=4, p=5, q=1)) == set()


def test_constraints_tell_dims_apart() -> None:
    layer = convolution("one", n=2, m=8, c=4, p=6, q=10)
    assert classes(layer, TileLimit("spad", "P", 1, 2)) == {"NQ"}
    assert classes(layer, Untiled("spad", "N")) == {"PQ"}
    assert classes(layer, AxisDims("pe", "x", frozenset("PQM"))) == {"PQ"}
    assert classes(layer, flow="weight_stationary") == {"NPQ"}
    assert classes(layer, flow="row_stationary") == set()


def test_axes_tell_dims_apart() -> None:
    cut = [
        replace(level, axes=(replace(level.axes[0], dims=frozenset("MQ")), level.axes[1]))
        if isinstance(level, Array)
        else level
        for level in EYERISS.levels
    ]
    found = merging(convolution("one", n=2, m=8, c=4, p=6, q=10), replace(EYERISS, levels=tuple(cut)), FREE)
    assert found is not None
    assert found.classes == (("N", "P"),)


def test_shared_products_stay_as_they_are() -> None:
    random = Random(3)
    accelerator, _ = machine(random)
    for _ in range(20):
        assert merging(random_shared(random), accelerator, FREE) is None


@pytest.mark.parametrize("first", range(0, 400, 100))
def test_a_mapping_splits_into_one_of_equal_counts(first: int) -> None:
    compared = 0
    for seed in range(first, first + 100):
        layer, accelerator, _ = random_case(seed, 150)
        found = merging(layer, accelerator, DATAFLOWS["unconstrained"])
        if found is None:
            continue
        random = Random(seed)
        for _ in range(6):
            blocks = random_blocks(random, found.layer, [level.name for level in accelerator.levels])
            for array in accelerator.arrays:
                axis = random.choice(array.axes)
                loops = [x for x in blocks[array.name] if axis.dims is None or x.dim in axis.dims]
                blocks[array.name] = tuple(replace(x, axis=f"{array.name}.{axis.name}") for x in loops)
            mapping = even(accelerator, found.layer, covering(found.layer, blocks, accelerator.levels[0].name))
            if problems(found.layer, accelerator, mapping):
                continue
            split = found.split(mapping)
            assert problems(layer, accelerator, split) == ()
            assert count(layer, accelerator, split) == count(found.layer, accelerator, mapping)
            compared += 1
    assert compared > 20


def random_blocks(random: Random, layer: Layer, names: list[str]) -> dict[str, tuple[Loop, ...]]:
    """Loops of random divisors for every level but the outermost, in random order."""
    left = dict(layer.dims)
    blocks: dict[str, list[Loop]] = {name: [] for name in names}
    for name in names[1:]:
        for d in random.sample(sorted(left), len(left)):
            factor = random.choice(divisors(left[d])) if random.random() < 0.5 else 1
            if factor > 1:
                blocks[name].append(Loop(d, factor))
                left[d] //= factor
    return {name: tuple(loops) for name, loops in blocks.items()}


def covering(layer: Layer, blocks: dict[str, tuple[Loop, ...]], outermost: str) -> dict[str, tuple[Loop, ...]]:
    """The blocks, with what is left of every dim in the outermost memory."""
    left = dict(layer.dims)
    for loop in (loop for loops in blocks.values() for loop in loops):
        left[loop.dim] //= loop.bound
    return blocks | {outermost: tuple(Loop(d, n) for d, n in left.items() if n > 1)}
