"""What each encoding answers in each memory, by hand."""

from dataclasses import replace

import pytest

from energysim.costs.encodings import Resting, encoding_lines, resting
from energysim.hardware.accelerator import Accelerator, Array, Axis, Compute, Memory, Sharing
from energysim.workload.encoding import Codebook
from energysim.workload.layer import Layer, convolution

EVERY = frozenset(("weight", "input", "output"))


def machine(sharing: Sharing | None = None, coded_to: str = "") -> Accelerator:
    levels = (
        Memory("dram", None, EVERY, 16, codings={"input": "run_length"}),
        Memory("buffer", None, EVERY, 16),
        Array("pe", (Axis("x", 2),)),
        Memory("spad", None, EVERY, 16),
    )
    return Accelerator("three", "by hand", levels, Compute(), 1e9, sharing=sharing, coded_to=coded_to)


def layer() -> Layer:
    """4 x 2 weights of 8 bits, a quarter not zero; 2 inputs, half of them not zero, at 16 bits."""
    made = convolution("fc", m=4, c=2, p=1, q=1)
    weight, source, output = made.tensors
    weight = replace(weight, bits=8, density=0.25, encoding="bitmap")
    return replace(made, tensors=(weight, replace(source, density=0.5), output))


def rows(accelerator: Accelerator, given: Layer) -> dict[tuple[str, str], Resting]:
    return {(row.tensor, row.memory): row for row in resting(given, accelerator)}


def test_coded_in_the_outermost_memory_and_dense_inside() -> None:
    found = rows(machine(), layer())
    # a bit for each of 8 weights and 8 bits for one in four: 3 bits each, decoded on the way to the buffer
    assert found["weight", "dram"] == Resting("weight", "dram", "bitmap", 24.0, 3.0, 1.0, 0.25)
    assert found["weight", "buffer"] == Resting("weight", "buffer", "dense", 64.0, 8.0, 0.0, 0.0)
    # Eyeriss' runs of half zeros: 64/3 bits for a pair that covers two elements, 16 of them value
    runs = found["input", "dram"]
    assert (runs.bits_moved, runs.metadata_bits, runs.decodes) == pytest.approx((64 / 6, 16 / 6, 0.5), rel=1e-8)
    assert found["output", "dram"] == Resting("output", "dram", "dense", 64.0, 16.0, 0.0, 0.0)


def test_coded_as_far_as_the_accelerator_says() -> None:
    found = rows(machine(coded_to="buffer"), layer())
    assert found["weight", "dram"].decodes == 0.0
    assert found["weight", "buffer"] == Resting("weight", "buffer", "bitmap", 24.0, 3.0, 1.0, 0.25)
    assert found["weight", "spad"].coding == "dense"


def test_indices_as_far_as_the_codebook() -> None:
    # pairs of weights on 4 centroids: 2 bits an index, 1.5 as the file codes it, one for two elements
    book = Codebook("vector:2", 4, 2, 4, 2, 1.5, coding="huffman", sample=(("C", 2),))
    given = layer()
    given = replace(given, tensors=(replace(given.tensors[0], codebook=book), *given.tensors[1:]))
    accelerator = machine(Sharing("storage", "buffer", 1 << 10))
    found = rows(accelerator, given)
    assert found["weight", "dram"] == Resting("weight", "dram", "indices, huffman", 6.0, 0.75, 0.75, 0.5)
    assert found["weight", "buffer"] == Resting("weight", "buffer", "indices", 8.0, 1.0, 1.0, 0.5)
    assert found["weight", "spad"] == Resting("weight", "spad", "dense", 64.0, 8.0, 0.0, 0.0)
    lines = encoding_lines(given, accelerator)
    assert lines[0].startswith("vector:2: 4 samples of 2 on 4 centroids; codebook 64 bits")
    said = "weight in dram: indices, huffman, 6 bits at rest, 0.75 moved per element, 0.5 decoded per element"
    assert lines[1] == f"{said} on leaving"
    assert len(lines) == 3
    # expanded before it comes where there is no codebook
    assert rows(machine(), given)["weight", "buffer"].coding == "dense"
