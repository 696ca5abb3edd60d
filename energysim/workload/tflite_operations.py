"""TFLite operations as the ONNX operations that they equal; images lie channels last in the one, first in the other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from energysim.workload.onnx_file import import_onnx
from energysim.workload.torch_operations import words

if TYPE_CHECKING:
    import onnx

Shape = tuple[int, ...]

OPTIONS = MappingProxyType(
    {
        "CONV_2D": "Conv2DOptions",
        "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
        "TRANSPOSE_CONV": "TransposeConvOptions",
        "FULLY_CONNECTED": "FullyConnectedOptions",
        "MAX_POOL_2D": "Pool2DOptions",
        "AVERAGE_POOL_2D": "Pool2DOptions",
        "L2_POOL_2D": "Pool2DOptions",
        "ADD": "AddOptions",
        "SUB": "SubOptions",
        "MUL": "MulOptions",
        "DIV": "DivOptions",
        "CONCATENATION": "ConcatenationOptions",
        "BATCH_MATMUL": "BatchMatMulOptions",
        "GATHER": "GatherOptions",
    }
)
"""Tables of options, by operation, where options are read."""

LAST, FIRST = (0, 3, 1, 2), (0, 2, 3, 1)
"""Channels moved to the front, and back behind height and width."""


@dataclass(slots=True)
class Step:
    """One TFLite operation: names and shapes of its inputs and results, options, and values of constants."""

    kind: str
    label: str
    inputs: list[str]
    outputs: list[str]
    shapes: Mapping[str, Shape]
    values: Mapping[str, Any]
    option: Callable[[str, Any], Any]
    nodes: "list[onnx.NodeProto]" = field(default_factory=list)
    constants: "list[onnx.TensorProto]" = field(default_factory=list)

    def add(self, op: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        """Append an ONNX node; the name of its result."""
        result = output or f"{self.label}/{len(self.nodes)}"
        name = f"{self.label}.{len(self.nodes)}" if self.nodes else self.label
        given = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append(import_onnx().helper.make_node(op, list(inputs), [result], name, **given))
        return result

    def number(self, values: Sequence[int] | int) -> str:
        """A stored tensor of integers."""
        import numpy as np

        name = f"{self.label}/c{len(self.constants)}"
        self.constants.append(import_onnx().numpy_helper.from_array(np.asarray(values, np.int64), name))
        return name

    def known(self, place: int) -> list[int]:
        """The values of a constant input; raises KeyError where they are computed."""
        found: list[int] = self.values[self.inputs[place]].reshape(-1).tolist()
        return found

    def reshaped(self, source: str, shape: Shape, output: str = "") -> str:
        """The same elements in another shape."""
        return self.add("Reshape", [source, self.number(shape)], output, allowzero=1)

    def activated(self, source: str) -> None:
        """The fused activation of an operation, then its result."""
        kind = self.option("FusedActivationFunction", 0)
        op = {1: "Relu", 3: "Clip", 4: "Tanh"}.get(kind, "Relu" if kind else "Identity")
        if op == "Clip":
            import numpy as np

            bounds = []
            for i, value in enumerate((0.0, 6.0)):
                bounds.append(f"{self.label}/b{i}")
                self.constants.append(import_onnx().numpy_helper.from_array(np.asarray(value, np.float32), bounds[-1]))
            self.add(op, [source, *bounds], self.outputs[0])
        else:
            self.add(op, [source], self.outputs[0])


def _image(step: Step, name: str) -> str:
    """An image with its channels in front of height and width."""
    return step.add("Transpose", [name], perm=LAST)


def _window(step: Step) -> dict[str, Any]:
    return {
        "strides": [step.option("StrideH", 1), step.option("StrideW", 1)],
        "auto_pad": "VALID" if step.option("Padding", 0) else "SAME_UPPER",
    }


def _convolution(step: Step) -> None:
    depthwise = step.kind == "DEPTHWISE_CONV_2D"
    kernel = step.add("Transpose", [step.inputs[1]], perm=(3, 0, 1, 2) if depthwise else LAST)
    operands = [_image(step, step.inputs[0]), kernel, *(name for name in step.inputs[2:3] if name)]
    made = step.add(
        "Conv",
        operands,
        dilations=[step.option("DilationHFactor", 1), step.option("DilationWFactor", 1)],
        group=step.shapes[step.inputs[0]][-1] if depthwise else 1,
        **_window(step),
    )
    step.activated(step.add("Transpose", [made], perm=FIRST))


def _transposed_convolution(step: Step) -> None:
    """Inputs are the result's shape, a kernel (outputs, height, width, inputs), the image, perhaps a bias."""
    kernel = step.add("Transpose", [step.inputs[1]], perm=(3, 0, 1, 2))
    operands = [_image(step, step.inputs[2]), kernel, *(name for name in step.inputs[3:4] if name)]
    window = {**_window(step), "auto_pad": None, "output_shape": list(step.shapes[step.outputs[0]][1:3])}
    made = step.add("ConvTranspose", operands, **window)
    step.activated(step.add("Transpose", [made], perm=FIRST))


def _linear(step: Step) -> None:
    width = step.shapes[step.inputs[1]][-1]
    rows = step.reshaped(step.inputs[0], (-1, width))
    bias = [name for name in step.inputs[2:3] if name]
    made = step.add("Gemm", [rows, step.inputs[1], *bias], transB=1)
    step.activated(step.reshaped(made, step.shapes[step.outputs[0]]))


def _pooling(step: Step) -> None:
    op = {"MAX_POOL_2D": "MaxPool", "AVERAGE_POOL_2D": "AveragePool"}.get(step.kind, "LpPool")
    kernel = [step.option("FilterHeight", 1), step.option("FilterWidth", 1)]
    made = step.add(op, [_image(step, step.inputs[0])], kernel_shape=kernel, **_window(step))
    step.activated(step.add("Transpose", [made], perm=FIRST))


def _plain(op: str, **attributes: Any) -> Callable[[Step], None]:
    """An operation that has the same operands in both."""

    def translate(step: Step) -> None:
        step.add(op, step.inputs, step.outputs[0], **attributes)

    return translate


def _binary(op: str) -> Callable[[Step], None]:
    def translate(step: Step) -> None:
        step.activated(step.add(op, step.inputs))

    return translate


def _first(op: str, **attributes: Any) -> Callable[[Step], None]:
    """An operation of which only the first operand counts."""

    def translate(step: Step) -> None:
        step.add(op, step.inputs[:1], step.outputs[0], **attributes)

    return translate


def _reshape(step: Step) -> None:
    step.reshaped(step.inputs[0], step.shapes[step.outputs[0]], step.outputs[0])


def _transpose(step: Step) -> None:
    step.add("Transpose", step.inputs[:1], step.outputs[0], perm=step.known(1))


def _concat(step: Step) -> None:
    step.activated(step.add("Concat", step.inputs, axis=step.option("Axis", 0)))


def _pack(step: Step) -> None:
    """Values side by side along a new axis: the one of the result that the values do not have."""
    result, one = step.shapes[step.outputs[0]], step.shapes[step.inputs[0]]
    axis = next(i for i in range(len(result)) if (*result[:i], *result[i + 1 :]) == one)
    grown = [step.reshaped(name, (*one[:axis], 1, *one[axis:])) for name in step.inputs]
    step.add("Concat", grown, step.outputs[0], axis=axis)


def _split(step: Step) -> None:
    place = 0 if step.kind == "SPLIT" else 2
    source = step.inputs[1 if step.kind == "SPLIT" else 0]
    (axis,) = step.known(place)
    sizes = step.number([step.shapes[name][axis] for name in step.outputs])
    node = import_onnx().helper.make_node("Split", [source, sizes], step.outputs, step.label, axis=axis)
    step.nodes.append(node)


def _slice(step: Step) -> None:
    begin, size = step.known(1), step.known(2)
    ends = [start + length if length >= 0 else 1 << 31 for start, length in zip(begin, size, strict=True)]
    step.add("Slice", [step.inputs[0], step.number(begin), step.number(ends)], step.outputs[0])


def _pad(step: Step) -> None:
    pairs = step.known(1)
    step.add("Pad", [step.inputs[0], step.number([*pairs[::2], *pairs[1::2]])], step.outputs[0])


def _reduction(op: str) -> Callable[[Step], None]:
    def translate(step: Step) -> None:
        keeps = len(step.shapes[step.outputs[0]]) == len(step.shapes[step.inputs[0]])
        step.add(op, [step.inputs[0], step.number(step.known(1))], step.outputs[0], keepdims=int(keeps))

    return translate


def _mean(step: Step) -> None:
    """A mean over height and width is a pooling of the whole image."""
    shape, axes = step.shapes[step.inputs[0]], sorted(axis % 4 for axis in step.known(1))
    if len(shape) == 4 and axes == [1, 2]:
        made = step.add("GlobalAveragePool", [_image(step, step.inputs[0])])
        step.reshaped(made, step.shapes[step.outputs[0]], step.outputs[0])
    else:
        _reduction("ReduceMean")(step)


def _resize(mode: str) -> Callable[[Step], None]:
    def translate(step: Step) -> None:
        n, height, width, channels = step.shapes[step.outputs[0]]
        made = step.add(
            "Resize", [_image(step, step.inputs[0]), "", "", step.number([n, channels, height, width])], mode=mode
        )
        step.add("Transpose", [made], step.outputs[0], perm=FIRST)

    return translate


def _product(step: Step) -> None:
    flips = step.option("AdjX", False), step.option("AdjY", False)
    operands = []
    for name, flip in zip(step.inputs, flips, strict=False):
        axes = len(step.shapes[name])
        perm = [*range(axes - 2), axes - 1, axes - 2]
        operands.append(step.add("Transpose", [name], perm=perm) if flip else name)
    step.add("MatMul", operands, step.outputs[0])


def _argument(op: str) -> Callable[[Step], None]:
    def translate(step: Step) -> None:
        (axis,) = step.known(1)
        step.add(op, step.inputs[:1], step.outputs[0], axis=axis, keepdims=0)

    return translate


def _squared_difference(step: Step) -> None:
    less = step.add("Sub", step.inputs)
    step.add("Mul", [less, less], step.outputs[0])


def _square(step: Step) -> None:
    step.add("Mul", [step.inputs[0], step.inputs[0]], step.outputs[0])


def _reciprocal_root(step: Step) -> None:
    step.add("Reciprocal", [step.add("Sqrt", step.inputs)], step.outputs[0])


def _rescaled(step: Step) -> None:
    """To other steps of quantisation: one multiplication."""
    step.add("Mul", [step.inputs[0], step.number(1)], step.outputs[0])


ALIKE = words("RELU TANH ELU ABS EXP LOG SQRT SIN COS NEG FLOOR CEIL ROUND SIGN EQUAL LESS GREATER")
"""Operations that are called alike and have the same operands."""

STEPS: Mapping[str, Callable[[Step], None]] = MappingProxyType(
    {
        "CONV_2D": _convolution,
        "DEPTHWISE_CONV_2D": _convolution,
        "TRANSPOSE_CONV": _transposed_convolution,
        "FULLY_CONNECTED": _linear,
        "BATCH_MATMUL": _product,
        **dict.fromkeys(("MAX_POOL_2D", "AVERAGE_POOL_2D", "L2_POOL_2D"), _pooling),
        **{name: _binary(name.capitalize()) for name in ("ADD", "SUB", "MUL", "DIV")},
        "MAXIMUM": _plain("Max"),
        "MINIMUM": _plain("Min"),
        "POW": _plain("Pow"),
        "PRELU": _plain("PRelu"),
        "SQUARED_DIFFERENCE": _squared_difference,
        "ADD_N": _plain("Sum"),
        **{
            name: _plain(name.capitalize())
            for name in ("RELU", "TANH", "ELU", "ABS", "EXP", "LOG", "SQRT", "SIN", "COS")
        },
        **{
            name: _plain(name.capitalize())
            for name in ("NEG", "FLOOR", "CEIL", "ROUND", "SIGN", "EQUAL", "LESS", "GREATER")
        },
        **dict.fromkeys(("RELU6", "RELU_N1_TO_1", "RELU_0_TO_1"), _plain("Clip")),
        "LOGISTIC": _plain("Sigmoid"),
        "HARD_SWISH": _plain("HardSwish"),
        "LEAKY_RELU": _plain("LeakyRelu"),
        "GELU": _plain("Gelu"),
        "RSQRT": _reciprocal_root,
        "SQUARE": _square,
        "LOGICAL_NOT": _plain("Not"),
        "LOGICAL_AND": _plain("And"),
        "LOGICAL_OR": _plain("Or"),
        "GREATER_EQUAL": _plain("GreaterOrEqual"),
        "LESS_EQUAL": _plain("LessOrEqual"),
        "NOT_EQUAL": _plain("Equal"),
        **dict.fromkeys(("SELECT", "SELECT_V2"), _plain("Where")),
        "SOFTMAX": _plain("Softmax", axis=-1),
        "LOG_SOFTMAX": _plain("LogSoftmax", axis=-1),
        "L2_NORMALIZATION": _plain("LpNormalization", axis=-1),
        **dict.fromkeys(("RESHAPE", "SQUEEZE", "EXPAND_DIMS"), _reshape),
        "TRANSPOSE": _transpose,
        "CONCATENATION": _concat,
        "PACK": _pack,
        **dict.fromkeys(("SPLIT", "SPLIT_V"), _split),
        "SLICE": _slice,
        **dict.fromkeys(("PAD", "PADV2", "MIRROR_PAD"), _pad),
        "MEAN": _mean,
        "SUM": _reduction("ReduceSum"),
        "REDUCE_MAX": _reduction("ReduceMax"),
        "REDUCE_MIN": _reduction("ReduceMin"),
        "REDUCE_PROD": _reduction("ReduceProd"),
        "ARG_MAX": _argument("ArgMax"),
        "ARG_MIN": _argument("ArgMin"),
        "RESIZE_BILINEAR": _resize("linear"),
        "RESIZE_NEAREST_NEIGHBOR": _resize("nearest"),
        **dict.fromkeys(("CAST", "DEQUANTIZE"), _first("Identity")),
        "QUANTIZE": _rescaled,
    }
)
"""Operation to its translation; those that are not here are costed as traffic."""
