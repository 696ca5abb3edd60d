"""What each ATen operation is as a layer: from argument values and shapes alone, torch itself is not needed here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import ceil, log2, prod
from types import MappingProxyType
from typing import Any

from energysim.workload.layer import WINDOWS, Layer, convolution
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
    traffic,
)
from energysim.workload.several import interpolation, movement


def words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


VIEWS = words(
    "view reshape _unsafe_view flatten unflatten permute transpose t numpy_T squeeze unsqueeze expand expand_as slice "
    "select narrow chunk split split_with_sizes unsafe_chunk unsafe_split tensor_split unbind cat concat stack "
    "contiguous clone alias detach dropout feature_dropout alpha_dropout identity to _to_copy lift_fresh "
    "lift_fresh_copy pad constant_pad_nd pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle movedim "
    "swapaxes flip roll native_dropout _reshape_alias view_as ravel type_as repeat tile repeat_interleave unfold "
    "broadcast_to "
    "reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d replication_pad3d "
    "_pad_circular tril triu diagonal view_as_real view_as_complex real imag numpy_T mT hsplit vsplit atleast_2d"
)
"""Operations that only move or rename elements: free, since no new number is computed."""

UNARY = words(
    "relu relu6 hardtanh clamp clamp_min clamp_max leaky_relu prelu elu selu celu gelu silu mish sigmoid tanh softplus "
    "softsign hardswish hardsigmoid hardshrink softshrink threshold log_sigmoid abs neg exp log sqrt rsqrt square pow "
    "reciprocal sign floor ceil round trunc erf erfc sin cos tan asin acos atan sinh cosh asinh acosh atanh log2 log10 "
    "log1p exp2 expm1 logit isnan isinf isfinite nan_to_num logical_not bitwise_not"
)
BINARY = words(
    "add sub rsub mul div maximum minimum floor_divide remainder fmod atan2 where eq ne lt le gt ge logical_and "
    "logical_or logical_xor bitwise_and bitwise_or bitwise_xor masked_fill addcmul addcdiv lerp __and__ __or__ __xor__"
)
FUSABLE = UNARY | BINARY
"""One operation per element; with one computed operand they run inside the layer that computes it."""

NAMES = MappingProxyType(
    {"hardtanh": "relu6", "silu": "swish", "rsub": "sub"}
    | {f"__{op}__": f"logical_{op}" for op in ("and", "or", "xor")}
)
"""Plainer op names for what ATen calls otherwise (hardtanh is what nn.ReLU6 becomes)."""

ROTARY_OPS = 3
"""Operations per element of a rotary embedding: two products, an addition."""

NORMALISATIONS = MappingProxyType(dict.fromkeys(("layer_norm", "group_norm", "instance_norm"), 5) | {"rms_norm": 4})
"""Operations per element: mean, variance (2), scale, shift; a root mean square has no mean."""

POSITIONS, KERNELS = ("".join(axis[place] for axis in WINDOWS) for place in (0, 1))
"""Dims of the axes that windows slide along, depth first: D, P, Q with kernels T, R, S."""

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

    def window(self, argument: str, default: Any = None) -> Shape:
        """A (height, width) or (depth, height, width) argument; one number stands for all, one axis is the width."""
        value = self.arguments.get(argument)
        value = default if value in (None, [], ()) else value
        axes = self.window_axes
        sizes = [value] * axes if isinstance(value, int) else list(value) * (axes if len(value) == 1 else 1)
        return (1,) * (2 - axes) + tuple(int(size) for size in sizes)

    @property
    def window_axes(self) -> int:
        """1 for operations over a sequence, 2 over an image, 3 over a volume."""
        weight = self.arguments.get("weight")
        if isinstance(weight, Operand):
            return len(weight.shape) - 2
        return next((axes for axes in (1, 2, 3) if f"{axes}d" in self.op), 2)

    def image(self, shape: Shape) -> dict[str, int]:
        """A shape as dims: batch N, channels M, height P, width Q and, of a volume, depth D; what is missing is 1."""
        axes = self.window_axes
        lead = shape[:-axes]
        positions = dict(zip(POSITIONS[-axes:], shape[-axes:], strict=True))
        return {"N": prod(lead[:-1]), "M": lead[-1] if lead else 1, "P": 1, "Q": 1} | positions


def _convolution(call: Call) -> Layer | None:
    axes = call.window_axes
    if axes > len(WINDOWS):
        return None
    weight, groups = call.arguments["weight"].shape, call.arguments["groups"]
    transposed = bool(call.arguments.get("transposed", "transpose" in call.op))
    dims = call.image(call.arguments["input"].shape if transposed else call.results[0])
    m, c = (weight[1], weight[0] // groups) if transposed else (weight[0] // groups, weight[1])
    dims |= {"G": groups, "M": m, "C": c} | dict(zip(KERNELS[-axes:], weight[2:], strict=True))
    sizes: dict[str, Any] = {dim.lower(): size for dim, size in dims.items()}
    stride, dilation = (call.window(name, 1) for name in ("stride", "dilation"))
    op = "transposed_convolution" if transposed else "convolution"
    return convolution(call.name, **sizes, stride=stride, dilation=dilation, transposed=transposed, op=op)


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
    axes = call.window_axes
    dims = call.image(call.results[0])
    kernel = call.window("kernel_size")
    stride = tuple(
        step if dims[position] > 1 else 1
        for position, step in zip(POSITIONS[-max(2, axes) :], call.window("stride", kernel), strict=True)
    )
    dims |= dict(zip(KERNELS[-max(2, axes) :], kernel, strict=True))
    op = "max_pool" if "max" in call.op else "average_pool"
    return pooling(call.name, op, dims, stride, call.window("dilation", 1))


def _adaptive_pooling(call: Call) -> Layer | None:
    """Windows as even as the sizes allow: stride in // out, the rest goes to the kernel."""
    axes = max(2, call.window_axes)
    before, dims = call.image(call.operands[0].shape), call.image(call.results[0])
    stride, kernel = [], {}
    for position, window in zip(POSITIONS[-axes:], KERNELS[-axes:], strict=True):
        size, left = before[position], dims[position]
        if left > size:
            return None
        stride.append(size // left if left > 1 else 1)
        kernel[window] = size - (left - 1) * stride[-1]
    op = "max_pool" if "max" in call.op else "average_pool"
    return pooling(call.name, op, dims | kernel, tuple(stride))


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


UPSAMPLING = words(
    "nearest1d nearest2d nearest3d nearest_exact1d nearest_exact2d linear1d bilinear2d bicubic2d trilinear3d"
)


def _embedding(call: Call) -> Layer:
    rows, width = prod(call.arguments["indices"].shape), call.arguments["weight"].shape[1]
    return embedding(call.name, n=rows, m=width)


def _taken(call: Call) -> Layer:
    """Elements taken by computed indices: as many are read as are written, and the indices."""
    first, *indices = call.operands
    taken = replace(first, shape=(min(first.elements, prod(call.results[0])),))
    return movement(call.name, call.op, call.results, (taken, *indices))


def _put(call: Call) -> Layer:
    """Elements put in their places: what is put is read and written, the rest stays where it is."""
    operands = call.operands[1:] or call.operands
    return movement(call.name, call.op, [max((y.shape for y in operands), key=prod)], operands)


def _ordered(call: Call) -> Layer:
    """A comparison with the least of the k kept for each element read, and log2 k more to keep them in order."""
    first, axis = call.operands[0], call.arguments.get("dim", -1)
    kept = max(1, call.results[0][-1 if axis is None else axis])
    layer = traffic(call.name, call.op, call.results, [first])
    return replace(layer, ops_per_point=max(1, ceil(first.elements * (1 + ceil(log2(kept))) / layer.points)))


def _cumulated(call: Call) -> Layer | None:
    return elementwise(call.name, "cumulate", call.results[0], call.operands[:1])


def _interpolation(call: Call) -> Layer | None:
    source = call.operands[0].shape
    taps = next((taps for word, taps in TAPS.items() if word in call.op), None)
    return None if taps is None else interpolation(call.name, "interpolate", source, call.results[0], taps)


TAPS = MappingProxyType({"nearest": 1, "cubic": 4, "linear": 2})
"""Elements of each axis that a result of an interpolation is computed from."""


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
        **dict.fromkeys(words("conv1d conv2d conv3d convolution"), _convolution),
        **dict.fromkeys(words("conv_transpose1d conv_transpose2d conv_transpose3d"), _convolution),
        "linear": _linear,
        "embedding": _embedding,
        **dict.fromkeys(("matmul", "mm", "bmm", "addmm", "baddbmm"), _product),
        "einsum": _einstein_sum,
        **dict.fromkeys(words("max_pool1d max_pool2d max_pool3d max_pool2d_with_indices"), _pooling),
        **dict.fromkeys(words("max_pool3d_with_indices avg_pool1d avg_pool2d avg_pool3d"), _pooling),
        **dict.fromkeys(words("adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d"), _adaptive_pooling),
        **dict.fromkeys(words("_adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool1d"), _adaptive_pooling),
        **dict.fromkeys(words("adaptive_max_pool2d adaptive_max_pool3d"), _adaptive_pooling),
        **dict.fromkeys(words("mean sum amax amin prod argmax argmin any all"), _reduction),
        **dict.fromkeys(words("gather index index_select take take_along_dim _unsafe_index"), _taken),
        **dict.fromkeys(words("index_put index_copy scatter slice_scatter select_scatter masked_scatter"), _put),
        **dict.fromkeys(words("topk sort argsort"), _ordered),
        **dict.fromkeys(words("cumsum cumprod"), _cumulated),
        **dict.fromkeys((f"upsample_{kind}" for kind in UPSAMPLING), _interpolation),
        **dict.fromkeys(("batch_norm", "_native_batch_norm_legit_no_training"), _batch_norm),
        **dict.fromkeys(("softmax", "_softmax", "log_softmax", "_log_softmax"), _softmax),
        **dict.fromkeys(NORMALISATIONS, _normalisation),
        "rotary": lambda call: elementwise(call.name, "rotary", call.results[0], call.operands, ROTARY_OPS),
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
