"""Shared weights executed: the worked example, the closed form against its definition, the convolution itself."""

import os
from itertools import islice
from random import Random
from typing import Any

import numpy as np
import pytest

from energysim.hardware.accelerator import Accelerator, Compute, Memory, Sharing
from energysim.mapping.counts import LOOK_UP, PARTIAL, PRODUCT, UNIT, count
from energysim.mapping.distinct import AXES, products
from energysim.mapping.nest import Loop, Mapping, even, problems
from energysim.mapping.replay_sharing import replay_products, replay_storage
from energysim.workload.layer import DIMS, Layer, convolution
from tests.mapping.shared import EVERY, every_mapping, machine, random_shared, shared

CASES = int(os.environ.get("SHARING_CASES", "100"))


def unit(products_held: int = 64) -> Accelerator:
    """DRAM and one unit with a scratchpad, a codebook and room for products."""
    levels = (Memory("dram", None, EVERY, 16), Memory("spad", None, EVERY, 16))
    sharing = Sharing("product", "spad", 1 << 20, products_held)
    return Accelerator("unit", "by hand", levels, Compute(), 1e9, sharing=sharing)


def inside(layer: Layer, accelerator: Accelerator) -> Mapping:
    """Everything inside the scratchpad."""
    return even(accelerator, layer, {"spad": tuple(Loop(d, layer.dims[d]) for d in DIMS)})


def worked() -> Layer:
    """METHODS, section 5: filter 0 has rows (A, B), filter 1 has rows (A, A); a 3x3 input."""
    layer = convolution("worked", m=2, c=1, p=2, q=2, r=2, s=2)
    a, b = 0, 1
    return shared(layer, "row", np.array([[a, b], [a, a]]).reshape(1, 2, 1, 2, 1), 2)


def test_the_worked_example_of_methods() -> None:
    layer, accelerator = worked(), unit()
    counted = count(layer, accelerator, inside(layer, accelerator)).values
    # U = 1, 2, 2 products at the three input rows, each of Q = 2 outputs and S = 2 multiplications
    assert counted["mac", "multiply", UNIT] == (1 + 2 + 2) * 2 * 2 == 20
    assert counted["products", "write", PRODUCT] == 10
    # M C R P Q = 16 accumulations, 8 of them first writes; 10 additions inside products
    assert counted["products", "read", PRODUCT] == 16
    assert counted["mac", "add", UNIT] == 10 + 16 - 8 == 18
    assert counted["codebook", LOOK_UP, "weight"] == counted["spad", "read", "input"] == 20
    assert counted["spad", "read", PARTIAL] == 8
    assert ("mac", "mac", UNIT) not in counted


def test_one_filter_in_a_tile_shares_less() -> None:
    # With one filter in the unit at a time: filter 0 asks for A, then A and B, then B; filter 1 for A three times.
    layer, accelerator = worked(), unit()
    blocks = {"dram": (Loop("M", 2),), "spad": tuple(Loop(d, layer.dims[d]) for d in "PQRS")}
    nest = even(accelerator, layer, blocks)
    assert count(layer, accelerator, nest).values["mac", "multiply", UNIT] == (1 + 2 + 1 + 3) * 2 * 2


def test_products_that_do_not_fit_are_not_legal() -> None:
    layer = worked()
    (why,) = problems(layer, unit(1), inside(layer, unit(1)))
    assert why == "one input asks for 2 products at once, a unit holds 1"


def test_a_cut_sample_is_not_legal() -> None:
    layer, accelerator = worked(), unit()
    nest = even(accelerator, layer, {"dram": (Loop("S", 2),), "spad": tuple(Loop(d, layer.dims[d]) for d in "MPQR")})
    assert problems(layer, accelerator, nest) == ("a sample spans 2 of S, which the tile of spad cuts",)


@pytest.mark.parametrize("seed", range(CASES))
def test_counts_are_those_of_the_definition_and_the_sums_those_of_a_convolution(seed: int) -> None:
    random = Random(seed)
    layer = random_shared(random)
    accelerator, _ = machine(random)
    found = products(layer, accelerator)
    assert found is not None
    generator = np.random.default_rng(seed)
    centroids = generator.integers(-100, 100, (found.codebook.clusters, found.block))
    if found.indices.zero >= 0:
        centroids[found.indices.zero] = 0
    source = next(t for t in layer.tensors if t.role == "input")
    shape = [1 + sum(c * (layer.dims[d] - 1) for d, c in rank.terms) for rank in source.ranks]
    inputs = generator.integers(-100, 100, shape)
    outputs = convolved(layer, whole_weight(layer, found, centroids), inputs)
    for nest in islice(every_mapping(layer, accelerator, random), 2):
        literal, sums = replay_products(found, accelerator, nest, centroids, inputs)
        closed = count(layer, accelerator, nest)
        assert dict(closed.values) == dict(literal.values)
        assert sums == outputs


def whole_weight(layer: Layer, found: Any, centroids: Any) -> Any:
    """The weight (G, M, C, R, S), sample by sample."""
    weight = np.zeros([layer.dims[d] for d in AXES], dtype=np.int64)
    spans = [found.sample.get(d, 1) for d in AXES]
    for place in np.ndindex(*found.indices.values.shape):
        corner = tuple(slice(i * n, (i + 1) * n) for i, n in zip(place, spans, strict=True))
        weight[corner] = centroids[found.indices.values[place]].reshape(spans)
    return weight


def convolved(layer: Layer, weight: Any, inputs: Any) -> dict[tuple[int, ...], int]:
    """The convolution by torch, in whole numbers, by place of the output (N, G, M, P, Q)."""
    import torch

    (_, (_, u), (_, v)) = (None, *[(r.terms[0]) for r in layer.tensors[1].ranks[3:]])
    dilation = [r.terms[1][1] for r in layer.tensors[1].ranks[3:]]
    n, g, c, h, w = inputs.shape
    given = torch.from_numpy(inputs.reshape(n, g * c, h, w)).double()
    groups, m, c, r, s = weight.shape
    kernels = torch.from_numpy(weight.reshape(groups * m, c, r, s)).double()
    made = torch.nn.functional.conv2d(given, kernels, stride=(u, v), dilation=dilation, groups=groups)
    made = made.reshape(n, groups, m, *made.shape[2:]).long()
    return {place: int(made[place]) for place in np.ndindex(*made.shape)}


@pytest.mark.parametrize("seed", range(30))
def test_looking_up_counts_what_its_definition_counts(seed: int) -> None:
    random = Random(seed)
    layer = random_shared(random, points=150)
    accelerator, _ = machine(random, "storage")
    for nest in islice(every_mapping(layer, accelerator, random), 2):
        assert dict(count(layer, accelerator, nest).values) == dict(replay_storage(layer, accelerator, nest).values)
