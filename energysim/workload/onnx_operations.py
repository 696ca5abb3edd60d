"""What each ONNX operation is as a layer: translated into the ATen operation it equals, or made here.

An operation that PyTorch has too goes through the maker of `torch_operations`, so that both roads give equal layers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from types import MappingProxyType
from typing import Any

from energysim.workload.layer import Layer
from energysim.workload.operations import Operand, Shape, batch_norm, elementwise, linear, matmul, reduction
from energysim.workload.several import Part, movement
from energysim.workload.torch_operations import LAYERS, Call, channel_norm


@dataclass(frozen=True, slots=True)
class OnnxCall:
    """One operation: layer name, op, attributes, inputs (None: left out), their values where known, result shapes."""

    name: str
    op: str
    attributes: Mapping[str, Any]
    inputs: tuple[Operand | None, ...]
    data: tuple[Any, ...]
    results: tuple[Shape, ...]
    opset: int = 17

    @property
    def operands(self) -> tuple[Operand, ...]:
        """Inputs with elements, each once."""
        return tuple({each.key: each for each in self.inputs if each is not None and each.elements}.values())

    def operand(self, place: int) -> Operand:
        """An input that the operation cannot be without."""
        given = self.optional(place)
        if given is None:
            raise ValueError(f"input {place + 1} of {self.op} is missing")
        return given

    def optional(self, place: int) -> Operand | None:
        """An input that may be left out."""
        return self.inputs[place] if place < len(self.inputs) else None

    def known(self, place: int, attribute: str = "", default: Any = None) -> Any:
        """The values of an input that older opsets have as an attribute."""
        if place < len(self.data) and self.data[place] is not None:
            return self.data[place].tolist()
        return self.attributes.get(attribute, default)


Maker = Callable[[OnnxCall], Layer | tuple[Part, ...] | None]


def aten(call: OnnxCall, op: str, **arguments: Any) -> Layer | None:
    """The layer of the ATen operation that this one equals; None when its maker has no layer for these shapes."""
    maker = LAYERS.get(op)
    return None if maker is None else maker(Call(call.name, op, arguments, call.results[:1]))


def _axes_of(weight: Operand) -> int:
    return max(1, len(weight.shape) - 2)


def _window(call: OnnxCall, axes: int) -> dict[str, Any]:
    """Stride and dilation as lists."""
    given = {"stride": call.attributes.get("strides"), "dilation": call.attributes.get("dilations")}
    return {key: list(value or [1] * axes) for key, value in given.items()}


def make_conv(call: OnnxCall) -> Layer | None:
    """MACs: outputs x input channels of a group x window."""
    first, weight = {"QLinearConv": (0, 3)}.get(call.op, (0, 1))
    return _convolved(call, call.operand(first), call.operand(weight))


def _convolved(call: OnnxCall, source: Operand, weight: Operand, transposed: bool = False) -> Layer | None:
    axes, groups = _axes_of(weight), int(call.attributes.get("group", 1))
    if len(weight.shape) < 3 or len(source.shape) != len(weight.shape) or groups < 1 or weight.shape[0] % groups:
        return None
    op = f"conv_transpose{axes}d" if transposed else f"conv{axes}d"
    return aten(call, op, input=source, weight=weight, groups=groups, **_window(call, axes))


def make_conv_transpose(call: OnnxCall) -> Layer | None:
    """MACs: inputs x output channels of a group x window."""
    return _convolved(call, call.operand(0), call.operand(1), transposed=True)


def make_deform_conv(call: OnnxCall) -> Layer | None:
    """MACs of the convolution; the sampling between four neighbours is not counted."""
    return _convolved(call, call.operand(0), call.operand(1))


def make_gemm(call: OnnxCall) -> Layer | None:
    """MACs: rows x columns x inner size; the addend runs inside."""
    first, second = call.operand(0), call.operand(1)
    (n, m), transposed = call.results[0], call.attributes.get("transA", 0)
    c = first.shape[0 if transposed else 1]
    if second.constant != first.constant:
        return linear(call.name, n=n, m=m, c=c) if second.constant else linear(call.name, n=m, m=n, c=c)
    shaped = replace(first, shape=(n, c)), replace(second, shape=(c, m))
    return aten(call, "mm", self=shaped[0], mat2=shaped[1])


def make_matmul(call: OnnxCall) -> Layer | None:
    """MACs: rows x columns x inner size, for each matrix of a batch."""
    first, second = {"QLinearMatMul": (0, 3)}.get(call.op, (0, 1))
    a, b = call.operand(first), call.operand(second)
    if not a.shape or not b.shape:
        return None
    layer = aten(call, "matmul", self=a, other=b)
    if layer is not None or min(len(a.shape), len(b.shape)) < 2:
        return layer
    batch = prod(call.results[0][:-2])  # both are spread over the batch: each product reads its own
    return matmul(call.name, {"G": batch, "P": a.shape[-2], "C": a.shape[-1], "M": b.shape[-1]})


def make_einsum(call: OnnxCall) -> Layer | None:
    """MACs: the product of all index sizes, for two operands."""
    operands = call.operands
    equation = _spelled_out(str(call.attributes.get("equation", "")), operands)
    terms, _, result = equation.partition("->")
    if len(operands) == 1 and len(set(terms)) == len(terms) == len(operands[0].shape):
        axes = [i for i, letter in enumerate(terms) if letter not in result]
        return make_reduced(call.name, "sum", operands[0].shape, axes) if axes else make_moved(call)
    if len(operands) != 2 or terms.count(",") != 1:
        return None
    return aten(call, "einsum", equation=equation, tensors=list(operands))


def _spelled_out(equation: str, operands: Sequence[Operand]) -> str:
    """An equation with its result, and with letters in place of an ellipsis."""
    terms, arrow, result = equation.replace(" ", "").partition("->")
    if not arrow:
        letters = terms.replace(",", "").replace(".", "")
        once = "".join(sorted(each for each in set(letters) if letters.count(each) == 1))
        result = ("..." if "..." in terms else "") + once
    free = [chr(code) for code in range(ord("A"), ord("z") + 1) if chr(code).isalpha() and chr(code) not in equation]
    written = []
    longest = 0
    for term, operand in zip(terms.split(","), operands, strict=False):
        count = max(0, len(operand.shape) - len(term) + 3) if "..." in term else 0
        longest = max(longest, count)
        written.append(term.replace("...", "".join(free[:count][::-1])))
    return ",".join(written) + "->" + result.replace("...", "".join(free[:longest][::-1]))


def make_pool(call: OnnxCall) -> Layer | None:
    """One operation for each window element (a power more for LpPool)."""
    kernel = list(call.attributes.get("kernel_shape", ()))
    axes = len(kernel)
    kind = "max_pool" if call.op == "MaxPool" else "avg_pool"
    strides = list(call.attributes.get("strides") or [1] * axes)
    dilations = list(call.attributes.get("dilations") or [1] * axes)
    layer = aten(call, f"{kind}{axes}d", self=call.operand(0), kernel_size=kernel, stride=strides, dilation=dilations)
    return _times(layer, 2, "lp_pool") if call.op == "LpPool" else layer


def _times(layer: Layer | None, ops: int, op: str) -> Layer | None:
    return None if layer is None else replace(layer, op=op, ops_per_point=ops)


def make_global_pool(call: OnnxCall) -> Layer | None:
    """One operation for each element read (a power more for GlobalLpPool)."""
    axes = len(call.operand(0).shape) - 2
    op = "adaptive_max_pool" if call.op == "GlobalMaxPool" else "adaptive_avg_pool"
    layer = aten(call, f"{op}{axes}d", self=call.operand(0), output_size=[1] * axes)
    if layer is None:
        places = range(2, len(call.operand(0).shape))
        layer = reduction(call.name, "max_pool" if "Max" in call.op else "average_pool", call.operand(0).shape, places)
    return _times(layer, 2, "lp_pool") if call.op == "GlobalLpPool" else layer


REDUCTIONS = MappingProxyType(
    {
        "ReduceMean": ("mean", 1),
        "ReduceSum": ("sum", 1),
        "ReduceMax": ("amax", 1),
        "ReduceMin": ("amin", 1),
        "ReduceProd": ("prod", 1),
        "ReduceL1": ("l1_norm", 2),
        "ReduceL2": ("l2_norm", 2),
        "ReduceSumSquare": ("sum_square", 2),
        "ReduceLogSum": ("log_sum", 1),
        "ReduceLogSumExp": ("log_sum_exp", 2),
        "ArgMax": ("argmax", 1),
        "ArgMin": ("argmin", 1),
    }
)
"""Reduction to its plainer name and its operations for each element read."""


def make_reduce(call: OnnxCall) -> Layer | None:
    """One operation for each element read; two where it is squared, made absolute or an exponential first."""
    name, ops = REDUCTIONS[call.op]
    shape = call.operand(0).shape
    if call.op.startswith("Arg"):
        axes: Any = [call.attributes.get("axis", 0)]
    else:
        axes = call.known(1, "axes")
    if axes in (None, []) and call.attributes.get("noop_with_empty_axes"):
        return elementwise(call.name, name, shape, call.operands[:1], ops)
    if name in LAYERS and (layer := aten(call, name, self=call.operand(0), dim=list(axes or []))) is not None:
        return layer
    places = [axis % max(1, len(shape)) for axis in axes or range(len(shape))]
    return _times(make_reduced(call.name, name, shape, places), ops, name)


def make_reduced(name: str, op: str, shape: Shape, axes: Sequence[int]) -> Layer | None:
    """A reduction; where there are more axes than dims, neighbours that are both kept or both reduced become one."""
    layer = reduction(name, op, shape, axes)
    if layer is not None:
        return layer
    merged: list[int] = []
    reduced: list[bool] = []
    for axis, size in enumerate(shape):
        if reduced and reduced[-1] == (axis in axes):
            merged[-1] *= size
        else:
            merged.append(size)
            reduced.append(axis in axes)
    return reduction(name, op, tuple(merged), [axis for axis, gone in enumerate(reduced) if gone])


def make_batch_normalisation(call: OnnxCall) -> Layer | None:
    """A multiplication and an addition for each element; folded where a convolution or product comes before."""
    shape = call.operand(0).shape
    if len(shape) < 2:
        return None
    positions = shape[2:] if len(shape) == 4 else (1, prod(shape[2:]))
    return batch_norm(call.name, {"N": shape[0], "M": shape[1], "P": positions[0], "Q": positions[1]})


def make_lrn(call: OnnxCall) -> Layer | None:
    """One operation for each element of the window over channels."""
    if len(call.results[0]) < 3:
        return None
    return channel_norm(Call(call.name, "lrn", {}, call.results), int(call.attributes.get("size", 1)))


def make_normal(op: str) -> Callable[[OnnxCall], Layer | None]:
    """A maker of normalisations, as ATen's."""

    def make(call: OnnxCall) -> Layer | None:
        """Operations for each element: 5 (mean, variance, scale, shift), 4 without a mean."""
        names = ("input", "weight", "bias")
        arguments = {name: call.optional(i) for i, name in enumerate(names)}
        return aten(call, op, **{name: each for name, each in arguments.items() if each is not None})

    return make


def make_embedding(call: OnnxCall) -> Layer | None:
    """The rows that are looked up, not the table; of a computed tensor, the elements that are taken."""
    table, indices = call.operand(0), call.operand(1)
    if call.op == "Gather" and table.constant and len(table.shape) == 2 and call.attributes.get("axis", 0) == 0:
        return aten(call, "embedding", weight=table, indices=indices)
    return aten(call, "gather", input=table, index=indices)


def make_pointwise(op: str, ops: int = 1, places: Sequence[int] | None = None) -> Callable[[OnnxCall], Layer | None]:
    """A maker of element-wise layers: as ATen's, if it is one of its operations."""

    def make(call: OnnxCall) -> Layer | None:
        """Operations for each element of the result."""
        operands = call.operands if places is None else [each for i in places if (each := call.optional(i)) is not None]
        if op in LAYERS and ops == 1:
            layer = aten(call, op, **{f"input_{i}": operand for i, operand in enumerate(operands)})
        else:
            layer = elementwise(call.name, op, call.results[0], operands, ops)
        if layer is None:  # more axes than dims, or operands that do not broadcast: laid out flat
            flat = [replace(each, shape=(each.elements,)) for each in operands]
            whole = prod(call.results[0])
            fits = all(each.elements in (1, whole) for each in flat)
            layer = elementwise(call.name, op, (whole,), flat, ops) if fits else None
        return layer

    return make


def make_variadic(op: str) -> Callable[[OnnxCall], Layer | None]:
    """A maker of element-wise layers over any number of operands."""

    def make(call: OnnxCall) -> Layer | None:
        """One operation for each element and input but the first."""
        return make_pointwise(op, max(1, len(call.operands) - 1 + (call.op == "Mean")))(call)

    return make


def make_clip(call: OnnxCall) -> Layer | None:
    """One operation for each element."""
    bounds = call.known(1, "min"), call.known(2, "max")
    return make_pointwise("hardtanh" if bounds == (0, 6) else "clamp", places=(0,))(call)


def make_prelu(call: OnnxCall) -> Layer | None:
    """One operation for each element; a vector of slopes belongs to the channels where it does not to the last axis."""
    first, slope = call.operand(0), call.operand(1)
    axes = len(first.shape)
    if len(slope.shape) == 1 and axes > 2 and slope.shape[0] == first.shape[1] != first.shape[-1]:
        slope = replace(slope, shape=(*slope.shape, *(1,) * (axes - 2)))
    return elementwise(call.name, "prelu", call.results[0], [first, slope])


def make_moved(call: OnnxCall) -> Layer:
    """Traffic: every operand read once, every result written once."""
    return movement(call.name, house_name(call.op), [shape for shape in call.results if prod(shape)], call.operands)


def house_name(op: str) -> str:
    """An ONNX name as the house writes op names: GatherElements -> gather_elements."""
    letters = (
        f"_{c.lower()}" if c.isupper() and i and not op[i - 1].isupper() else c.lower() for i, c in enumerate(op)
    )
    return "".join(letters)


def make_updated(call: OnnxCall) -> Layer | None:
    """Traffic: what is put is read and written, with its indices; the rest of the tensor stays where it is."""
    return aten(call, "scatter", **{f"input_{i}": each for i, each in enumerate(call.operands)})
