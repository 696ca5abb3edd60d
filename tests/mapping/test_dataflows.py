"""Dataflows: every one has a hand example, restricts the space as it says, and row stationary covers the chip's own."""

from pathlib import Path
from random import Random

import pytest

from energysim.errors import NothingFitsError, UnknownNameError
from energysim.hardware.accelerator import Accelerator, Array, Axis, Compute, Memory
from energysim.mapping.constraints import violations
from energysim.mapping.counts import count
from energysim.mapping.dataflows import DATAFLOWS, dataflow
from energysim.mapping.nest import Loop, Mapping, even, problems
from energysim.mapping.search import find_mapping
from energysim.workload.layer import Layer, convolution
from tests.mapping.cases import random_accelerator, random_layer, random_prices

EVERY = frozenset(("weight", "input", "output"))

# Chen et al., JSSC 2017, Table III: rs, ef, c and filters per group, groups, u, n, e, p, q, r, t
CHIP = {
    "CONV1": (11, 55, 3, 96, 1, 4, 1, 7, 16, 1, 1, 2),
    "CONV2": (5, 27, 48, 128, 2, 1, 1, 27, 16, 2, 1, 1),
    "CONV3": (3, 13, 256, 384, 1, 1, 4, 13, 16, 4, 1, 4),
    "CONV4": (3, 13, 192, 192, 2, 1, 4, 13, 16, 3, 2, 2),
    "CONV5": (3, 13, 192, 128, 2, 1, 4, 13, 16, 3, 2, 2),
}


def chip() -> Accelerator:
    """12 x 14 elements with scratchpads of 224 weights, 12 inputs and 24 partial sums; 100 kB of buffer."""
    parts = {"input": 12 * 16, "weight": 224 * 16, "output": 24 * 16}
    levels = (
        Memory("dram", None, EVERY, 64),
        Memory("buffer", 100 * 1024 * 8, frozenset(("input", "output")), 64),
        Array("pe", (Axis("x", 14), Axis("y", 12))),
        Memory("spad", 260 * 16, EVERY, 16, parts),
    )
    return Accelerator("chip", "JSSC 2017", levels, Compute(), 200e6)


def published(name: str) -> tuple[Layer, Mapping]:
    """A layer of AlexNet at batch 4 and its published mapping as a nest."""
    rs, ef, c, m, g, u, n, e, p, q, r, t = CHIP[name]
    layer = convolution(name, n=4, g=g, m=m, c=c, p=ef, q=ef, r=rs, s=rs, stride=(u, u))
    across = min(e, 14)
    # a set wider than the array is folded: its second strip of columns lies in other rows
    folded = -(-e // across)
    blocks = {
        "dram": (
            Loop("G", g),
            Loop("N", 4 // n),
            Loop("M", m // (p * t)),
            Loop("P", -(-ef // e)),
            Loop("C", c // (q * r)),
        ),
        "buffer": (Loop("N", n), Loop("Q", ef)),
        "pe": (
            Loop("C", r, "pe.y"),
            Loop("M", t, "pe.y" if rs * r * t <= 12 else "pe.x"),
            Loop("P", folded, "pe.y"),
            Loop("P", across, "pe.x"),
            Loop("R", rs, "pe.y"),
        ),
        "spad": (Loop("M", p), Loop("C", q), Loop("S", rs)),
    }
    return layer, even(chip(), layer, blocks)


@pytest.mark.parametrize("name", CHIP)
def test_row_stationary_has_the_mappings_of_the_chip(name: str) -> None:
    layer, mapping = published(name)
    assert problems(layer, chip(), mapping) == ()
    assert violations(DATAFLOWS["row_stationary"], layer, chip(), mapping) == ()
    rs, _, _, _, _, _, _, e, _, _, r, t = CHIP[name]
    # Elements with work: the product of the spatial bounds, but of a folded set only the e columns that exist.
    spread = dict.fromkeys("RPCM", 1)
    for loop in mapping.loops:
        if loop.axis is not None:
            spread[loop.dim] *= loop.bound
    active = spread["R"] * min(spread["P"], e) * spread["C"] * spread["M"]
    assert active == rs * e * r * t == {"CONV1": 154, "CONV2": 135}.get(name, 156)
    # A step lasts as long as its fullest strip: S x p x q steps per element for each of the other loops.
    busy = count(layer, chip(), mapping).steps * active
    assert busy >= layer.macs


@pytest.mark.parametrize("name", DATAFLOWS)
def test_every_dataflow_has_a_hand_example(name: str) -> None:
    path = Path(__file__).parents[1] / "hand" / f"test_{name}.py"
    assert path.exists(), f"no hand example for dataflow '{name}': create tests/hand/test_{name}.py"
    assert len(DATAFLOWS[name].description) > 20


def test_unknown_dataflow_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="unknown dataflow 'row_stationery'; did you mean 'row_stationary'"):
        dataflow("row_stationery")


def test_violations_say_what_is_wrong() -> None:
    layer = convolution("conv", m=2, c=2, p=2, q=2, r=2, s=2)
    blocks = {"dram": (Loop("P", 2), Loop("Q", 2), Loop("C", 2)), "spad": (Loop("M", 2), Loop("R", 2), Loop("S", 2))}
    mapping = even(chip(), layer, blocks)
    assert violations(DATAFLOWS["unconstrained"], layer, chip(), mapping) == ()
    assert violations(DATAFLOWS["row_stationary"], layer, chip(), mapping) == (
        "R is spread over 1 instances, not 2",
        "R is not streamed through the element",
    )
    assert violations(DATAFLOWS["weight_stationary"], layer, chip(), mapping) == (
        "a loop over P stands outside loops of the stationary weight",
        "a loop over Q stands outside loops of the stationary weight",
    )
    assert violations(DATAFLOWS["output_stationary"], layer, chip(), mapping) == ()
    # M lies inside the scratchpads, so no loop outside makes the inputs travel twice
    assert violations(DATAFLOWS["input_stationary"], layer, chip(), mapping) == ()


@pytest.mark.parametrize("name", [n for n in DATAFLOWS if n != "unconstrained"])
def test_a_dataflow_restricts_and_never_gains(name: str) -> None:
    found = 0
    for seed in range(60):
        random = Random(seed)
        layer, accelerator = random_layer(random, 600), random_accelerator(random, random.choice([2, 3]))
        table = random_prices(random, accelerator)
        try:
            free = find_mapping(layer, accelerator, table)
            result = find_mapping(layer, accelerator, table, dataflow=name)
        except NothingFitsError:
            continue
        found += 1
        assert violations(DATAFLOWS[name], layer, accelerator, result.mapping) == ()
        assert result.energy_pj >= free.energy_pj * (1 - 1e-9)
        assert result.lower_bound_pj <= result.energy_pj
    assert found > 40


def test_row_stationary_says_where_a_kernel_row_does_not_fit() -> None:
    layer = convolution("conv", m=4, c=4, p=8, q=8, r=5, s=5)
    small = Memory("register", 64, frozenset(("weight",)), 16)
    accelerator = Accelerator("systolic", "test", (*chip().levels[:3], small), Compute(), 1e9)
    # a row of 5 weights of 16 bits
    with pytest.raises(NothingFitsError, match="register would have to hold take 80 bits, it has 64"):
        find_mapping(layer, accelerator, random_prices(Random(0), accelerator), dataflow="row_stationary")
