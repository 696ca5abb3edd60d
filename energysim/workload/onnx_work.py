"""What a walk over an ONNX graph has found so far, and how layers get the widths that the graph gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from energysim.workload.layer import Layer
from energysim.workload.onnx_infer import DOMAINS
from energysim.workload.onnx_table import OPERATIONS, Operation
from energysim.workload.onnx_types import SUM_BITS, Value

if TYPE_CHECKING:
    import onnx

READ_PLACES: Mapping[str, tuple[int, ...]] = {
    **dict.fromkeys(
        ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Clip", "Resize", "Upsample"), (0,)
    ),
    **dict.fromkeys(("CumSum", "CumProd", "TopK", "OneHot", "DFT", "ReduceMean", "ReduceSum", "ReduceMax"), (0,)),
    **dict.fromkeys(("ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp"), (0,)),
    "ReduceSumSquare": (0,),
    "QLinearConv": (0, 3, 8),
    "QLinearMatMul": (0, 3),
    "ConvInteger": (0, 1),
    "MatMulInteger": (0, 1),
    "BatchNormalization": (0, 1, 2),
    "NonMaxSuppression": (0, 1),
}
"""Which inputs hold elements that are worked on; others say how (axes, scales, bounds). All, of other operations."""


@dataclass(slots=True)
class Work:
    """What has been found so far."""

    layers: list[Layer] = field(default_factory=list)
    edges: dict[tuple[str, str], int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    written: list[int] = field(default_factory=list)
    uncounted: dict[str, int] = field(default_factory=dict)
    assumed: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    assumptions: list[str] = field(default_factory=list)
    free: int = 0

    def copy(self) -> "Work":
        """The same, to be gone on with on another path."""
        return replace(
            self,
            layers=list(self.layers),
            edges=dict(self.edges),
            warnings=list(self.warnings),
            written=list(self.written),
            uncounted=dict(self.uncounted),
            assumed=list(self.assumed),
            assumptions=list(self.assumptions),
            unknown=list(self.unknown),
        )

    @property
    def points(self) -> int:
        """Points of all layers."""
        return sum(layer.points for layer in self.layers)


def operation_of(node: "onnx.NodeProto") -> Operation | None:
    """The line of our table for a node, or None."""
    if node.domain in DOMAINS:
        return OPERATIONS.get(node.op_type)
    return OPERATIONS.get(f"{node.domain}.{node.op_type}")


def constant(attributes: Mapping[str, Any]) -> list[Any] | None:
    """The value of a Constant node."""
    for name, kind in (
        ("value_float", np.float32),
        ("value_floats", np.float32),
        ("value_int", np.int64),
        ("value_ints", np.int64),
    ):
        if name in attributes:
            return [np.asarray(attributes[name], kind)]
    value = attributes.get("value")
    return None if value is None else [value]


def labelled(reads: Sequence[Value]) -> dict[str, Value]:
    """Operands by the names that makers of layers give their tensors: input, input_2, ... and weight, weight_2, ..."""
    seen = {"weight": 0, "input": 0}
    found: dict[str, Value] = {}
    for value in {id(each): each for each in reads}.values():
        stem = "input" if value.stored is None else "weight"
        seen[stem] += 1
        found[stem if seen[stem] == 1 else f"{stem}_{seen[stem]}"] = value
    return found


def stored_names(reads: Sequence[Value]) -> dict[str, frozenset[str]]:
    """Tensor of a layer to the initialisers that it is computed from."""
    return {label: value.stored for label, value in labelled(reads).items() if value.stored}


def with_result_bits(layer: Layer, bits: int) -> Layer:
    """The layer with a result of so many bits, summed in int32 where there are sums."""
    partial = SUM_BITS if layer.unit == "mac" and 0 < bits < SUM_BITS else 0
    tensors = (replace(y, bits=bits, partial_bits=partial) if y.role == "output" else y for y in layer.tensors)
    return replace(layer, tensors=tuple(tensors))


def formatted(layer: Layer, reads: Sequence[Value], out_bits: int) -> Layer:
    """The layer with the widths that the graph itself gives for its operands and its result."""
    bits = {label: value.bits for label, value in labelled(reads).items()}
    if not out_bits and not any(bits.values()):
        return layer
    tensors = []
    for tensor in layer.tensors:
        if tensor.role == "output":
            partial = SUM_BITS if layer.unit == "mac" and 0 < out_bits < SUM_BITS else 0
            changed = replace(tensor, bits=out_bits or tensor.bits, partial_bits=partial)
        else:
            changed = replace(tensor, bits=bits.get(tensor.name) or tensor.bits)
        tensors.append(changed)
    return replace(layer, tensors=tuple(tensors))
