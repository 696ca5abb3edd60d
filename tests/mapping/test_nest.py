"""What is not a legal mapping, and the words that say so."""

import pytest

from energysim.errors import MappingError
from energysim.hardware.accelerator import Accelerator, Array, Axis, Compute, Memory
from energysim.mapping.counts import count
from energysim.mapping.nest import Loop, Mapping, Storage, even, problems
from energysim.workload.layer import ROLES, Layer, Rank, Tensor, convolution

EVERY = frozenset(ROLES)
LAYER = convolution("conv", m=64, c=3, p=4, q=4, r=3, s=1)
ACCELERATOR = Accelerator(
    "small",
    "test",
    (
        Memory("dram", None, EVERY, 16),
        Memory("buffer", 4096, frozenset({"input", "output"}), 16, bypassable=frozenset({"input"})),
        Array("pe", (Axis("x", 4), Axis("y", 2, frozenset({"C", "R"})))),
        Memory("spad", 0, EVERY, 16, partitions={"weight": 3584, "input": 192, "output": 384}),
    ),
    Compute(),
    1e9,
)
GOOD = {
    "dram": (Loop("M", 16),),
    "buffer": (Loop("P", 4), Loop("Q", 4)),
    "pe": (Loop("C", 3, "pe.x"),),
    "spad": (Loop("M", 4), Loop("R", 3)),
}


def reasons(layer: Layer = LAYER, **changed: tuple[Loop, ...]) -> tuple[str, ...]:
    return problems(layer, ACCELERATOR, even(ACCELERATOR, layer, GOOD | changed))


def test_a_sound_mapping_has_no_problems() -> None:
    assert reasons() == ()


def test_a_tile_larger_than_its_memory() -> None:
    # 64 channels x 3 x 3 weights x 16 bits = 9,216. The buffer holds 64 x 4 x 4 outputs and 3 x 6 x 4 inputs.
    assert reasons(dram=(), spad=(Loop("M", 64), Loop("C", 3), Loop("R", 3)), pe=()) == (
        "tiles are 17,536 bits together, buffer holds 4,096",
        "tile of weight is 9,216 bits, spad holds 3,584",
        "tile of output is 1,024 bits, spad holds 384",
    )


def test_tiles_that_share_a_memory() -> None:
    # 3 channels x 6 x 4 inputs and 64 x 4 x 4 outputs, 16 bits each: 1,152 + 16,384.
    assert reasons(dram=(), buffer=(Loop("M", 16), Loop("P", 4), Loop("Q", 4))) == (
        "tiles are 17,536 bits together, buffer holds 4,096",
    )


def test_two_tensors_of_a_role_share_its_partition() -> None:
    vector = (Rank("M", (("M", 1),)),)
    add = Layer(
        "add",
        "add",
        {"M": 24},
        (Tensor("input", "input", vector), Tensor("input_2", "input", vector), Tensor("output", "output", vector)),
        unit="op",
    )
    # 12 + 12 words of 16 bits where each tensor alone would fit.
    assert reasons(add, dram=(Loop("M", 2),), buffer=(), pe=(), spad=(Loop("M", 12),)) == (
        "tile of input is 384 bits, spad holds 192",
    )


def test_loops_that_do_not_cover_a_dim() -> None:
    assert reasons(dram=(Loop("M", 8),)) == ("loops over M cover 32 of 64",)


def test_steps_that_do_nothing() -> None:
    assert reasons(dram=(Loop("M", 17),)) == ("a loop over M of bound 17 has steps beyond M=64",)
    loops = (*DRAM, *BUFFER, *SPAD, Loop("M", 0), Loop("M", 2))
    assert nest(*loops) == ("a loop over M has a bound below 1",)


def test_an_array_too_small_and_a_dim_not_allowed() -> None:
    assert reasons(pe=(Loop("C", 3, "pe.x"), Loop("R", 3, "pe.x")), spad=(Loop("M", 4),)) == (
        "pe.x is spread over 9 instances, has 4",
    )
    assert reasons(pe=(Loop("C", 3, "pe.x"), Loop("M", 2, "pe.y")), dram=(Loop("M", 8),)) == (
        "M may not be spread on pe.y",
    )


def nest(*items: Loop | Storage) -> tuple[str, ...]:
    return problems(convolution("two", m=2, c=1, p=1, q=1), ACCELERATOR, Mapping(items))


def marks(memory: str, *names: str) -> tuple[Storage, ...]:
    return tuple(Storage(memory, name) for name in names)


DRAM = marks("dram", *ROLES)
BUFFER = marks("buffer", "input", "output")
SPAD = marks("spad", *ROLES)


def test_marks_in_a_wrong_place() -> None:
    two = Loop("M", 2)
    assert nest(*DRAM, *BUFFER, *SPAD, two) == ()
    assert nest(two, *DRAM, *BUFFER, *SPAD) == ("dram must hold every tensor outside all loops",)
    assert "buffer does not keep weight" in nest(*DRAM, *BUFFER, *marks("buffer", "weight"), *SPAD, two)
    assert "output may not bypass buffer" in nest(*DRAM, *marks("buffer", "input"), *SPAD, two)
    assert nest(*DRAM, *marks("buffer", "output"), *SPAD, two) == ()
    assert "weight must rest in dram, the outermost memory" in nest(
        *marks("dram", "input", "output"), *BUFFER, *SPAD, two
    )
    assert "marks of input are not outer to inner: dram, spad, buffer" in nest(
        *DRAM, *marks("spad", *ROLES), *BUFFER, two
    )
    assert "loop over pe.x is on the wrong side of spad of weight" in nest(*DRAM, *BUFFER, *SPAD, Loop("M", 2, "pe.x"))


def test_names_that_do_not_exist() -> None:
    assert nest(*DRAM, *BUFFER, *SPAD, Loop("M", 2, "pe.z")) == ("unknown axis 'pe.z'",)
    assert nest(*DRAM, *BUFFER, *SPAD, *marks("cache", "input"), Loop("M", 2)) == ("unknown memory 'cache'",)


def test_counting_refuses_with_every_reason() -> None:
    with pytest.raises(
        MappingError, match="layer 'conv' on small: loops over M cover 4 of 64; loops over C cover 1 of 3"
    ):
        count(LAYER, ACCELERATOR, even(ACCELERATOR, LAYER, GOOD | {"dram": (), "pe": ()}))
