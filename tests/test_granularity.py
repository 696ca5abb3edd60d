"""Samples of weights: worked shapes, the way back, remainders, transposed convolutions, refusals."""

import numpy as np
import pytest
import torch

from energysim.errors import InputError, UnknownNameError
from energysim.granularity import KINDS, Granularity, parse_granularity

SHAPES = {
    "conv1d": (6, 4, 5),
    "conv2d": (6, 4, 3, 5),
    "conv3d": (2, 4, 3, 2, 5),
    "linear": (7, 10),
    "embedding": (11, 6),
    "bias": (5,),
    "scalar": (),
    "empty": (0, 4, 3, 3),
}


def counting(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)


@pytest.mark.parametrize(
    ("kind", "shape", "expected"),
    [
        ("row", (6, 4, 3, 5), (6 * 4 * 3, 5)),  # METHODS §1: N = m*c*s vectors of the kernel's width
        ("slice", (6, 4, 3, 5), (24, 15)),
        ("filter", (6, 4, 3, 5), (6, 60)),
        ("scalar", (6, 4, 3, 5), (360, 1)),
        ("row", (6, 4, 1, 1), (24, 1)),  # a 1x1 convolution: scalar k-means
        ("row", (6, 4, 5), (24, 5)),
        ("row", (2, 4, 3, 2, 5), (48, 5)),
        ("slice", (2, 4, 3, 2, 5), (8, 30)),
        ("row", (7, 10), (70, 1)),
        ("slice", (7, 10), (70, 1)),
        ("filter", (7, 10), (7, 10)),
        ("filter", (5,), (5, 1)),
    ],
)
def test_worked_shapes(kind: str, shape: tuple[int, ...], expected: tuple[int, int]) -> None:
    assert Granularity(kind).sample_shape(shape) == expected
    assert Granularity(kind).samples(counting(shape)).shape == expected


def test_a_row_is_a_row_of_a_kernel_slice() -> None:
    weight = counting((2, 2, 3, 3))
    assert Granularity("row").samples(weight)[4].tolist() == weight[0, 1, 1].tolist()


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("granularity", [*(k for k in KINDS if k != "vector"), "vector:1", "vector:4", "vector:7"])
def test_restore_undoes_samples(granularity: str, shape: tuple[int, ...], library: str) -> None:
    g, weight = parse_granularity(granularity), counting(shape)
    given = torch.from_numpy(weight.copy()) if library == "torch" else weight.copy()
    samples = g.samples(given)
    assert tuple(samples.shape) == g.sample_shape(shape)
    assert type(samples) is type(given)
    back = g.restore(samples, shape)
    assert tuple(back.shape) == shape
    assert np.array_equal(np.asarray(back), weight)
    assert np.array_equal(np.asarray(given), weight)


def test_a_remainder_is_the_last_whole_vector_again() -> None:
    # 10 weights in vectors of 4: 0..3, 4..7, and for the last two, 6..9: no value that is not in the weight.
    g, weight = Granularity("vector", 4), counting((2, 5))
    assert g.samples(weight).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [6, 7, 8, 9]]
    # On the way back only its last two count.
    changed = np.array([[0, 1, 2, 3], [4, 5, 6, 7], [-1, -1, 80, 90]], dtype=np.float32)
    assert g.restore(changed, (2, 5)).reshape(-1).tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 80, 90]


def test_a_weight_shorter_than_the_vector_is_repeated() -> None:
    g = Granularity("vector", 7)
    assert g.samples(counting((3,))).tolist() == [[2, 0, 1, 2, 0, 1, 2]]
    assert g.restore(g.samples(counting((3,))), (3,)).tolist() == [0, 1, 2]


def test_transposed_convolution_axis_1_and_groups() -> None:
    # ConvTranspose2d(4, 6, 3, groups=2): weight (4, 3, 3, 3). Output 4 is in group 1, its place there is 1, and its
    # inputs are 2 and 3.
    weight = torch.nn.ConvTranspose2d(4, 6, 3, groups=2).weight.detach()
    g = Granularity("filter", transposed=True, groups=2)
    assert g.sample_shape(tuple(weight.shape)) == (6, 18)
    assert torch.equal(g.samples(weight)[4], weight[2:4, 1].reshape(-1))
    assert torch.equal(g.restore(g.samples(weight), tuple(weight.shape)), weight)


@pytest.mark.parametrize("kind", [*(k for k in KINDS if k != "vector"), "vector:5"])
@pytest.mark.parametrize("layer", [torch.nn.ConvTranspose1d, torch.nn.ConvTranspose2d, torch.nn.ConvTranspose3d])
def test_transposed_convolutions_come_back(kind: str, layer: type) -> None:
    weight = layer(4, 6, 3, groups=2).weight.detach()
    before = weight.clone()
    g = parse_granularity(f"{kind}/transposed:2")
    assert torch.equal(g.restore(g.samples(weight), tuple(weight.shape)), before)
    assert torch.equal(weight, before)


def test_gradients_flow_through() -> None:
    weight = torch.arange(10.0, requires_grad=True)
    g = Granularity("vector", 4)
    g.restore(g.samples(weight) * 3, (10,)).sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [3.0] * 10


@pytest.mark.parametrize("text", ["row", "scalar", "slice", "filter", "vector:4", "vector:1", "row/transposed:1"])
def test_text_comes_back(text: str) -> None:
    assert str(parse_granularity(text)) == text


def test_wrong_names_and_numbers() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'filter'"):
        parse_granularity("filters")
    with pytest.raises(InputError, match="only vectors have a length"):
        parse_granularity("row:4")
    with pytest.raises(InputError, match="at least 1, not 0"):
        parse_granularity("vector:0")
    with pytest.raises(InputError, match="no granularity"):
        parse_granularity("vector:-2")
    with pytest.raises(InputError, match="groups matter"):
        Granularity("row", groups=2)
    with pytest.raises(InputError, match="no transposed weight of 3 groups"):
        parse_granularity("row/transposed:3").sample_shape((4, 6, 3))
    with pytest.raises(InputError, match=r"has 24 x 5 samples by row, not 5 x 24"):
        Granularity("row").restore(np.zeros((5, 24)), (6, 4, 5))
