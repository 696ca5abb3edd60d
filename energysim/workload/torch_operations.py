"""What each ATen operation is as a layer: from argument values and shapes alone, torch itself is not needed here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod
from types import MappingProxyType
from typing import Any

from energysim.workload.layer import Layer, convolution
from energysim.workload.operations import (
    SOFTMAX_OPS,
    Operand,
    Shape,
    batch_norm,
    elementwise,
    embedding,
    linear,
    local_response_norm,
    matmul,
    pooling,
    reduction,
)


def words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


VIEWS = words(
    "view reshape _unsafe_view flatten unflatten permute transpose t numpy_T squeeze unsqueeze expand expand_as slice "
    "select narrow chunk split split_with_sizes unsafe_chunk unsafe_split tensor_split unbind cat concat stack "
    "contiguous clone alias detach dropout feature_dropout alpha_dropout identity to _to_copy lift_fresh "
    "lift_fresh_copy pad constant_pad_nd pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle movedim "
    "swapaxes flip roll native_dropout _reshape_alias view_as ravel"
)
"""Operations that only move or rename elements: free, since no new number is computed."""

UNARY = words(
    "relu relu6 hardtanh clamp clamp_min clamp_max leaky_relu prelu elu selu celu gelu silu mish sigmoid tanh softplus "
    "softsign hardswish hardsigmoid hardshrink softshrink threshold log_sigmoid abs neg exp log sqrt rsqrt square pow "
    "reciprocal sign floor ceil round erf sin cos logical_not bitwise_not"
)
BINARY = words(
    "add sub rsub mul div maximum minimum floor_divide remainder fmod atan2 where eq ne lt le gt ge logical_and "
    "logical_or logical_xor bitwise_and bitwise_or masked_fill addcmul addcdiv lerp"
)
FUSABLE = UNARY | BINARY
"""One operation per element; with one computed operand they run inside the layer that computes it."""

NAMES = MappingProxyType({"hardtanh": "relu6", "silu": "swish", "rsub": "sub"})
"""Plainer op names for what ATen calls otherwise (hardtanh is what nn.ReLU6 becomes)."""

NORMALISATIONS = MappingProxyType(dict.fromkeys(("layer_norm", "group_norm", "instance_norm"), 5) | {"rms_norm": 4})
"""Operations per element: mean, variance (2), scale, shift; a root mean square has no mean."""

PER_CHANNEL = words("prelu group_norm instance_norm")
"""Operations whose vectors belong to the channels, the second axis, where others broadcast along the last."""


@dataclass(frozen=True, slots=True)
class Call:
    """One operation: layer name, ATen op, arguments by their schema names (tensors as `Operand`), result shapes."""

    name: str
    op: str
    arguments: Mapping[str, Any]
    results: tuple[Shape, ...]

    @property
    def operands(self) -> tuple[Operand, ...]:
        """Tensor arguments with elements, each tensor once."""
        found = dict[str, Operand]()
        for value in self.arguments.values():
            for item in value if isinstance(value, list | tuple) else (value,):
                if isinstance(item, Operand) and item.elements:
                    found.setdefault(item.key, item)
        return tuple(found.values())

    def pair(self, argument: str, default: Any = None) -> tuple[int, int]:
        """A (height, width) argument; one number stands for both, one axis is the width."""
        value = self.arguments.get(argument)
        value = default if value in (None, [], ()) else value
        if isinstance(value, int):
            value = (value, value) if "1d" not in self.op else (1, value)
        elif len(value) == 1:
            value = (value[0],) * 2 if self.window_axes == 2 else (1, value[0])
        return (int(value[0]), int(value[1]))

    @property
    def window_axes(self) -> int:
        """1 for operations over a sequence, 2 over an image, 3 over a volume."""
        weight = self.arguments.get("weight")
        if isinstance(weight, Operand):
            return len(weight.shape) - 2
        return next((axes for axes in (1, 2, 3) if f"{axes}d" in self.op), 2)

    def image(self, shape: Shape) -> tuple[int, int, int, int]:
        """A shape as (batch, channels, height, width); what is missing is 1."""
        axes = self.window_axes
        positions = (1,) * (2 - axes) + shape[-axes:]
        lead = shape[:-axes]
        return (prod(lead[:-1]), lead[-1] if lead else 1, positions[0], positions[1])


def _convolution(call: Call) -> Layer | None:
    if call.window_axes > 2:
        return None
    weight, groups = call.arguments["weight"].shape, call.arguments["groups"]
    kernel = (1,) * (4 - len(weight)) + weight[2:]
    transposed = bool(call.arguments.get("transposed", "transpose" in call.op))
    positions = call.arguments["input"].shape if transposed else call.results[0]
    n, _, p, q = call.image(positions)
    m, c = (weight[1], weight[0] // groups) if transposed else (weight[0] // groups, weight[1])
    sizes = {"n": n, "g": groups, "m": m, "c": c, "p": p, "q": q, "r": kernel[0], "s": kernel[1]}
    stride, dilation = (_one_axis(call, name) for name in ("stride", "dilation"))
    op = "transposed_convolution" if transposed else "convolution"
    return convolution(call.name, **sizes, stride=stride, dilation=dilation, transposed=transposed, op=op)


def _one_axis(call: Call, argument: str) -> tuple[int, int]:
    pair = call.pair(argument, 1)
    return (1, pair[1]) if call.window_axes == 1 else pair


def _linear(call: Call) -> Layer:
    vectors, weight = call.arguments["input"].shape, call.arguments["weight"].shape
    return linear(call.name, n=prod(vectors[:-1]), m=weight[0] if len(weight) == 2 else 1, c=weight[-1])


def _product(call: Call) -> Layer | None:
    first, second = [operand for operand in call.arguments.values() if isinstance(operand, Operand)][-2:]
    if second.constant and len(second.shape) <= 2:
        columns = second.shape[1] if len(second.shape) == 2 else 1
        return linear(call.name, n=prod(first.shape[:-1]), m=columns, c=first.shape[-1])
    if first.constant and len(first.shape) == 2 and len(second.shape) > 1:
        return linear(call.name, n=second.elements // second.shape[-2], m=first.shape[0], c=first.shape[1])
    left = (1, *first.shape) if len(first.shape) == 1 else first.shape
    right = (*second.shape, 1) if len(second.shape) == 1 else second.shape
    group = prod(call.results[0]) // (left[-2] * right[-1])
    dims = {"G": group, "P": left[-2], "C": left[-1], "M": right[-1]}
    spread = ["NG" if prod(shape[:-2]) == group or group == 1 else "" for shape in (left, right)]
    if any(not each and prod(shape[:-2]) != 1 for each, shape in zip(spread, (left, right), strict=True)):
        return None
    return matmul(call.name, dims, spread[0] + "PC", spread[1] + "CM")


def _einstein_sum(call: Call) -> Layer | None:
    """A sum over two operands, each letter once in each: a product, batched over the letters that all three have."""
    terms, arrow, result = call.arguments["equation"].replace(" ", "").partition("->")
    letters, operands = terms.split(","), call.arguments["tensors"]
    if not arrow or len(letters) != 2 or any(len(set(term)) != len(term) or "." in term for term in letters):
        return None
    sizes: dict[str, int] = {}
    for term, operand in zip(letters, operands, strict=True):
        sizes |= dict(zip(term, operand.shape, strict=True))
    first, second = (set(term) for term in letters)
    if not first ^ second <= set(result):
        return None
    groups = {"G": first & second & set(result), "P": first - second, "M": second - first}
    groups["C"] = (first & second) - set(result)
    dims = {dim: prod(sizes[letter] for letter in group) for dim, group in groups.items()}
    if dims["G"] == 1 and operands[0].constant != operands[1].constant:
        n, m = (dims["P"], dims["M"]) if operands[1].constant else (dims["M"], dims["P"])
        return linear(call.name, n=n, m=m, c=dims["C"])
    return matmul(call.name, dims)


def _pooling(call: Call) -> Layer | None:
    if call.window_axes > 2:
        return None
    n, m, p, q = call.image(call.results[0])
    kernel = call.pair("kernel_size")
    dims = {"N": n, "M": m, "P": p, "Q": q, "R": kernel[0], "S": kernel[1]}
    op = "max_pool" if "max" in call.op else "average_pool"
    stride = tuple(step if size > 1 else 1 for step, size in zip(call.pair("stride", kernel), (p, q), strict=True))
    return pooling(call.name, op, dims, (stride[0], stride[1]), call.pair("dilation", 1))


def _adaptive_pooling(call: Call) -> Layer | None:
    """Windows as even as the sizes allow: stride in // out, the rest goes to the kernel."""
    if call.window_axes > 2:
        return None
    _, _, height, width = call.image(call.operands[0].shape)
    n, m, p, q = call.image(call.results[0])
    if p > height or q > width:
        return None
    stride = (height // p if p > 1 else 1, width // q if q > 1 else 1)
    kernel = (height - (p - 1) * stride[0], width - (q - 1) * stride[1])
    op = "max_pool" if "max" in call.op else "average_pool"
    return pooling(call.name, op, {"N": n, "M": m, "P": p, "Q": q, "R": kernel[0], "S": kernel[1]}, stride)


def _reduction(call: Call) -> Layer | None:
    shape = call.operands[0].shape
    given = call.arguments.get("dim")
    axes = range(len(shape)) if given in (None, []) else given if isinstance(given, list | tuple) else (given,)
    axes = sorted(axis % max(1, len(shape)) for axis in axes)
    if call.op == "mean" and len(shape) == 4 and axes == [2, 3]:
        dims = {"N": shape[0], "M": shape[1], "R": shape[2], "S": shape[3]}
        return pooling(call.name, "average_pool", dims, (1, 1))
    return reduction(call.name, call.op, shape, axes)


def _batch_norm(call: Call) -> Layer:
    shape = call.arguments["input"].shape
    positions = shape[2:] if len(shape) == 4 else (1, prod(shape[2:]))
    return batch_norm(call.name, {"N": shape[0], "M": shape[1], "P": positions[0], "Q": positions[1]})


def _embedding(call: Call) -> Layer:
    rows, width = prod(call.arguments["indices"].shape), call.arguments["weight"].shape[1]
    return embedding(call.name, n=rows, m=width)


def _elementwise(call: Call) -> Layer | None:
    return elementwise(call.name, NAMES.get(call.op, call.op), call.results[0], _by_channel(call))


def _by_channel(call: Call) -> list[Operand]:
    """Operands; a vector of one number per channel gets axes of size 1 to stand where the channels are."""
    operands, axes = list(call.operands), len(call.results[0])
    if call.op not in PER_CHANNEL or axes < 3:
        return operands
    return [replace(y, shape=(*y.shape, *(1,) * (axes - 2))) if len(y.shape) == 1 else y for y in operands]


def _softmax(call: Call) -> Layer | None:
    return elementwise(call.name, "softmax", call.results[0], call.operands, SOFTMAX_OPS)


def _normalisation(call: Call) -> Layer | None:
    return elementwise(call.name, call.op, call.results[0], _by_channel(call), NORMALISATIONS[call.op])


LAYERS: Mapping[str, Callable[[Call], Layer | None]] = MappingProxyType(
    {
        **dict.fromkeys(("conv1d", "conv2d", "convolution", "conv_transpose1d", "conv_transpose2d"), _convolution),
        "linear": _linear,
        "embedding": _embedding,
        **dict.fromkeys(("matmul", "mm", "bmm", "addmm", "baddbmm"), _product),
        "einsum": _einstein_sum,
        **dict.fromkeys(("max_pool1d", "max_pool2d", "max_pool2d_with_indices"), _pooling),
        **dict.fromkeys(("avg_pool1d", "avg_pool2d"), _pooling),
        **dict.fromkeys(("adaptive_avg_pool1d", "adaptive_avg_pool2d", "_adaptive_avg_pool2d"), _adaptive_pooling),
        **dict.fromkeys(("adaptive_max_pool1d", "adaptive_max_pool2d"), _adaptive_pooling),
        **dict.fromkeys(("mean", "sum", "amax", "amin"), _reduction),
        **dict.fromkeys(("batch_norm", "_native_batch_norm_legit_no_training"), _batch_norm),
        **dict.fromkeys(("softmax", "_softmax", "log_softmax", "_log_softmax"), _softmax),
        **dict.fromkeys(NORMALISATIONS, _normalisation),
        **dict.fromkeys(FUSABLE, _elementwise),
    }
)
"""ATen op to the maker of its layer; None from a maker means that these shapes are beyond it."""


def channel_norm(call: Call, size: int) -> Layer:
    """A local response normalisation over `size` channels of the first operand."""
    shape = call.results[0]
    positions = shape[2:] if len(shape) == 4 else (1, prod(shape[2:]))
    dims = {"N": shape[0], "M": shape[1], "P": positions[0], "Q": positions[1], "C": size}
    return local_response_norm(call.name, dims)
