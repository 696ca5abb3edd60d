"""What ONNX operations do to the elements of arrays: moves of any elements, and arithmetic on known ones.

Moves are carried out both on small known tensors (shape arithmetic) and on arrays that name the layer which computed
each element; arithmetic only on small known tensors. The caller checks sizes of results before anything is made.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Applied:
    """One operation on arrays: ONNX op, attributes, inputs (None where left out or not known), results, opset."""

    op: str
    attributes: Mapping[str, Any]
    inputs: Sequence[Array | None]
    results: int
    opset: int

    def given(self, place: int, attribute: str = "", default: Any = None) -> Any:
        """What stands as an input in newer opsets, as an attribute in older ones; numbers become plain lists."""
        if place < len(self.inputs) and self.inputs[place] is not None:
            return self.inputs[place].tolist()  # type: ignore[union-attr]
        return self.attributes.get(attribute, default)

    @property
    def first(self) -> Array:
        """The first input."""
        array = self.inputs[0]
        assert array is not None  # noqa: S101  the walk asks only for what it has
        return array


def _reshape(call: Applied) -> list[Array]:
    asked = call.given(1, "shape", [])
    keeps = not call.attributes.get("allowzero", 0)
    shape = [call.first.shape[i] if size == 0 and keeps else size for i, size in enumerate(asked)]
    return [call.first.reshape(shape)]


def _flatten(call: Applied) -> list[Array]:
    shape, axis = call.first.shape, call.attributes.get("axis", 1)
    axis += len(shape) if axis < 0 else 0
    return [call.first.reshape(prod(shape[:axis]), prod(shape[axis:]))]


def _squeeze(call: Applied) -> list[Array]:
    axes = call.given(1, "axes")
    return [np.squeeze(call.first, None if axes is None else tuple(axes))]


def _unsqueeze(call: Applied) -> list[Array]:
    axes = call.given(1, "axes", [])
    return [np.expand_dims(call.first, tuple(axes) if isinstance(axes, list) else axes)]


def _concat(call: Applied) -> list[Array]:
    return [np.concatenate([array for array in call.inputs if array is not None], call.attributes.get("axis", 1))]


def _split(call: Applied) -> list[Array]:
    axis, sizes = call.attributes.get("axis", 0), call.given(1, "split")
    if sizes is None:
        whole = call.first.shape[axis]
        part = -(-whole // call.results)
        sizes = [part] * (whole // part) + ([whole % part] if whole % part else [])
    return list(np.split(call.first, np.cumsum(sizes)[:-1], axis))


def _slice(call: Applied) -> list[Array]:
    starts, ends = call.given(1, "starts", []), call.given(2, "ends", [])
    axes = call.given(3, "axes") or range(len(starts))
    steps = call.given(4) or [1] * len(starts)
    cut = [slice(None)] * call.first.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        stop = None if step < 0 and end < -call.first.shape[axis] else end
        cut[axis] = slice(start, stop, step)
    return [call.first[tuple(cut)]]


def _gather(call: Applied) -> list[Array]:
    return [np.take(call.first, _index(call), call.attributes.get("axis", 0))]


def _index(call: Applied) -> Array:
    index = call.inputs[1]
    if index is None:
        raise ValueError("its indices are not known")
    return index.astype(np.int64)


def _gather_elements(call: Applied) -> list[Array]:
    return [np.take_along_axis(call.first, _index(call), call.attributes.get("axis", 0))]


def _gather_nd(call: Applied) -> list[Array]:
    index, batch = _index(call), call.attributes.get("batch_dims", 0)
    if batch:
        raise ValueError("batched indices")
    return [call.first[tuple(np.moveaxis(index, -1, 0))]]


def _expand(call: Applied) -> list[Array]:
    asked = call.given(1, "", [])
    return [np.broadcast_to(call.first, np.broadcast_shapes(call.first.shape, tuple(asked)))]


def _pad(call: Applied) -> list[Array]:
    pads, axes = call.given(1, "pads", call.attributes.get("paddings", [])), call.given(3)
    around = [(0, 0)] * call.first.ndim
    for i, axis in enumerate(axes if axes is not None else range(len(pads) // 2)):
        around[axis] = (pads[i], pads[i + len(pads) // 2])
    cut = tuple(slice(max(0, -a), size - max(0, -b)) for (a, b), size in zip(around, call.first.shape, strict=True))
    mode = call.attributes.get("mode", "constant")
    return [np.pad(call.first[cut], [(max(0, a), max(0, b)) for a, b in around], mode)]


def _depth_to_space(call: Applied) -> list[Array]:
    n, c, h, w = call.first.shape
    block = call.attributes.get("blocksize", 1)
    if call.attributes.get("mode", "DCR") == "CRD":
        return [_merged(call.first.reshape(n, c // block**2, block, block, h, w).transpose(0, 1, 4, 2, 5, 3))]
    return [_merged(call.first.reshape(n, block, block, c // block**2, h, w).transpose(0, 3, 4, 1, 5, 2))]


def _merged(blocks: Array) -> Array:
    n, c, h, rows, w, columns = blocks.shape
    return blocks.reshape(n, c, h * rows, w * columns)


def _space_to_depth(call: Applied) -> list[Array]:
    n, c, h, w = call.first.shape
    block = call.attributes.get("blocksize", 1)
    blocks = call.first.reshape(n, c, h // block, block, w // block, block).transpose(0, 3, 5, 1, 2, 4)
    return [blocks.reshape(n, c * block**2, h // block, w // block)]


def _trilu(call: Applied) -> list[Array]:
    upper, place = call.attributes.get("upper", 1), call.given(1, "", 0)
    return [np.triu(call.first, place) if upper else np.tril(call.first, place)]


def _crop(call: Applied) -> list[Array]:
    """CenterCropPad: the middle of each axis, or zeros around it."""
    asked, axes = call.given(1, "", []), call.attributes.get("axes", range(call.first.ndim))
    value = call.first
    for axis, size in zip(axes, asked, strict=True):
        more = size - value.shape[axis]
        if more < 0:
            start = -more // 2
            value = np.take(value, range(start, start + size), axis)
        around = [(0, 0)] * value.ndim
        around[axis] = (max(0, more) // 2, max(0, more) - max(0, more) // 2)
        value = np.pad(value, around)
    return [value]


def _same(call: Applied) -> list[Array]:
    return [call.first]


MOVES: Mapping[str, Callable[[Applied], list[Array]]] = MappingProxyType(
    {
        **dict.fromkeys(("Identity", "Dropout", "Cast", "CastLike", "BitCast"), _same),
        "Reshape": _reshape,
        "Flatten": _flatten,
        "Squeeze": _squeeze,
        "Unsqueeze": _unsqueeze,
        "Transpose": lambda call: [np.transpose(call.first, call.attributes.get("perm"))],
        "Concat": _concat,
        "Split": _split,
        "Slice": _slice,
        "Gather": _gather,
        "GatherElements": _gather_elements,
        "GatherND": _gather_nd,
        "Expand": _expand,
        "Tile": lambda call: [np.tile(call.first, call.given(1, "", []))],
        "Pad": _pad,
        "DepthToSpace": _depth_to_space,
        "SpaceToDepth": _space_to_depth,
        "Trilu": _trilu,
        "CenterCropPad": _crop,
    }
)
"""ONNX op to what it does with the elements of its first input (Concat: of all); the other inputs must be known."""


def _divided(call: Applied) -> list[Array]:
    a, b = _two(call)
    if np.issubdtype(np.result_type(a, b), np.integer):
        exact = np.where(b == 0, 0, np.sign(a) * np.sign(b) * (np.abs(a) // np.maximum(np.abs(b), 1)))
        return [exact.astype(np.result_type(a, b))]
    return [np.asarray(a / b)]


def _two(call: Applied) -> tuple[Array, Array]:
    a, b = call.inputs[0], call.inputs[1]
    assert a is not None and b is not None  # noqa: PT018, S101
    return a, b


def _axes(call: Applied) -> tuple[int, ...] | None:
    axes = call.given(1, "axes")
    if axes in (None, []):
        return () if call.attributes.get("noop_with_empty_axes") else None
    return tuple(axes)


def _reduced(function: Callable[..., Any]) -> Callable[[Applied], list[Array]]:
    def apply(call: Applied) -> list[Array]:
        keep = bool(call.attributes.get("keepdims", 1))
        return [np.asarray(function(call.first, axis=_axes(call), keepdims=keep)).astype(call.first.dtype)]

    return apply


def _folded(function: Callable[..., Any]) -> Callable[[Applied], list[Array]]:
    """A function of two, over all inputs."""

    def apply(call: Applied) -> list[Array]:
        value = call.first
        for other in call.inputs[1:]:
            value = np.asarray(function(value, other))
        return [value]

    return apply


def _range(call: Applied) -> list[Array]:
    start, end, step = (np.reshape(call.given(place), -1)[0] for place in range(3))
    return [np.arange(start, end, step)]


def _where(call: Applied) -> list[Array]:
    other = call.inputs[2]
    assert other is not None  # noqa: S101
    return [np.where(call.first, _two(call)[1], other)]


def _shape(call: Applied) -> list[Array]:
    start, end = call.attributes.get("start", 0), call.attributes.get("end")
    return [np.array(call.first.shape[slice(start, end)], np.int64)]


def _filled(call: Applied) -> list[Array]:
    value = call.attributes.get("value")
    fill = np.zeros(1, np.float32) if value is None else value
    return [np.full(call.given(0), fill.reshape(-1)[0], fill.dtype)]


def _clip(call: Applied) -> list[Array]:
    low, high = call.given(1, "min"), call.given(2, "max")
    return [np.asarray(np.clip(call.first, low, high)).astype(call.first.dtype)]


def _arg(function: Callable[..., Any]) -> Callable[[Applied], list[Array]]:
    def apply(call: Applied) -> list[Array]:
        axis, keep = call.attributes.get("axis", 0), bool(call.attributes.get("keepdims", 1))
        return [np.asarray(function(call.first, axis=axis, keepdims=keep))]

    return apply


def _scatter_nd(call: Applied) -> list[Array]:
    value, index, updates = call.first.copy(), _index(call), call.inputs[2]
    value[tuple(np.moveaxis(index, -1, 0))] = updates
    return [value]


def _one_hot(call: Applied) -> list[Array]:
    index, values = call.first.astype(np.int64), call.inputs[2]
    depth, axis = int(np.reshape(call.given(1), -1)[0]), call.attributes.get("axis", -1)
    hot = np.expand_dims(np.arange(depth), tuple(range(index.ndim))) == np.expand_dims(index % depth, -1)
    assert values is not None  # noqa: S101
    return [np.moveaxis(np.where(hot, values[1], values[0]), -1, axis)]


def _modulo(call: Applied) -> list[Array]:
    a, b = _two(call)
    return [np.asarray(np.fmod(a, b) if call.attributes.get("fmod") else np.mod(a, b))]


ARITHMETIC: Mapping[str, Callable[[Applied], list[Array]]] = MappingProxyType(
    {
        "Shape": _shape,
        "Size": lambda call: [np.array(call.first.size, np.int64)],
        "ConstantOfShape": _filled,
        "Range": _range,
        "Add": _folded(np.add),
        "Sub": _folded(np.subtract),
        "Mul": _folded(np.multiply),
        "Div": _divided,
        "Mod": _modulo,
        "Pow": lambda call: [np.power(*_two(call)).astype(call.first.dtype)],
        "Min": _folded(np.minimum),
        "Max": _folded(np.maximum),
        "Sum": _folded(np.add),
        "Neg": lambda call: [-call.first],
        "Abs": lambda call: [np.abs(call.first)],
        "Sign": lambda call: [np.sign(call.first)],
        "Floor": lambda call: [np.floor(call.first)],
        "Ceil": lambda call: [np.ceil(call.first)],
        "Round": lambda call: [np.round(call.first)],
        "Sqrt": lambda call: [np.sqrt(call.first)],
        "Reciprocal": lambda call: [1 / call.first],
        "Exp": lambda call: [np.exp(call.first)],
        "Log": lambda call: [np.log(call.first)],
        "Clip": _clip,
        "Equal": _folded(np.equal),
        "Less": _folded(np.less),
        "LessOrEqual": _folded(np.less_equal),
        "Greater": _folded(np.greater),
        "GreaterOrEqual": _folded(np.greater_equal),
        "Not": lambda call: [~call.first],
        "And": _folded(np.logical_and),
        "Or": _folded(np.logical_or),
        "Xor": _folded(np.logical_xor),
        "Where": _where,
        "ReduceProd": _reduced(np.prod),
        "ReduceSum": _reduced(np.sum),
        "ReduceMax": _reduced(np.max),
        "ReduceMin": _reduced(np.min),
        "ReduceMean": _reduced(np.mean),
        "ArgMax": _arg(np.argmax),
        "ArgMin": _arg(np.argmin),
        "NonZero": lambda call: [np.array(np.nonzero(np.atleast_1d(call.first)), np.int64)],
        "CumSum": lambda call: [np.cumsum(call.first, int(np.reshape(call.given(1), -1)[0])).astype(call.first.dtype)],
        "ScatterND": _scatter_nd,
        "OneHot": _one_hot,
    }
)
"""ONNX op to its values, where those of all inputs are known."""


def evaluated(call: Applied, element_types: Sequence[Any]) -> list[Array] | None:
    """The values of an operation whose inputs are all known, as the given types; None where it is in no table."""
    apply = MOVES.get(call.op) or ARITHMETIC.get(call.op)
    if apply is None or (call.op == "BitCast") or (call.op == "CumSum" and _unusual_sum(call)):
        return None
    with np.errstate(all="ignore"):
        values = apply(call)
        return [
            np.asarray(y).astype(kind) if kind is not None else y
            for y, kind in zip(values, element_types, strict=False)
        ]


def _unusual_sum(call: Applied) -> bool:
    return bool(call.attributes.get("exclusive") or call.attributes.get("reverse"))
