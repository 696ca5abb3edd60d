"""Shapes and types of what ONNX nodes give, node by node, by the inference functions of the `onnx` package."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from energysim.errors import ModelReadError
from energysim.workload.graph import clean_name
from energysim.workload.onnx_file import first_line, import_onnx
from energysim.workload.onnx_types import FLOAT, Value, checked_shape
from energysim.workload.operations import Shape

if TYPE_CHECKING:
    import onnx

TOLD_ELEMENTS = 1 << 12
"""Known elements of an input up to which the inference is told them."""
DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})
"""Domains whose operations are in our table by their plain names."""
TRAINING = "ai.onnx.preview.training"
LIKE_FIRST = frozenset(
    {
        "GroupNormalization",
        "MeanVarianceNormalization",
        "InstanceNormalization",
        "BatchNormalization",
        "Scaler",
        "Normalizer",
        "Imputer",
        "Adam",
        "Adagrad",
        "Momentum",
    }
)
"""Operations without an inference function whose result has the shape of their first input."""

Typed = tuple[int, Shape | None]


class Inference:
    """What is known of the results of nodes: from the operation, from the file, or assumed."""

    def __init__(self, model: "onnx.ModelProto", dims: Mapping[str, int]) -> None:
        """`dims` binds symbolic sizes."""
        self.onnx = import_onnx()
        self.dims = dims
        self.opsets = {entry.domain: entry.version for entry in model.opset_import}
        self._imports = list(model.opset_import)
        self._ir_version = max(int(model.ir_version), 3)
        self._schemas: dict[tuple[str, str], Any] = {}
        self.said: dict[str, Any] = {}
        """Types that the file itself gives, by name of the value."""

    def hear(self, graph: "onnx.GraphProto") -> None:
        """Take note of the types that a graph gives for its values."""
        self.said |= {each.name: each.type for each in (*graph.value_info, *graph.output)}

    def opset(self, domain: str = "") -> int:
        """The version of a domain's operations; the newest where the model does not say."""
        version = self.opsets.get(domain, self.opsets.get("ai.onnx") if not domain else None)
        return int(version) if version else int(self.onnx.defs.onnx_opset_version())

    def schema(self, node: "onnx.NodeProto") -> Any:
        """The schema of a node's operation, or None."""
        key = (node.domain, node.op_type)
        if key not in self._schemas:
            domain = "" if node.domain == "ai.onnx" else node.domain
            try:
                self._schemas[key] = self.onnx.defs.get_schema(node.op_type, self.opset(domain), domain)
            except Exception:  # SchemaError, or a version that is no number of one
                self._schemas[key] = None
        return self._schemas[key]

    def results(self, node: "onnx.NodeProto", inputs: Sequence[Value | None]) -> tuple[list[Typed], bool]:
        """Element type and shape of each result (None: not a tensor, or not known), and whether any is only assumed.

        Raises ModelReadError where the inputs contradict the operation.
        """
        inferred = self._inferred(node, inputs)
        found: list[Typed] = []
        assumed = False
        for place, name in enumerate(node.output):
            given = inferred.get(name)
            element_type, sizes = _sizes(given)
            told_type, told = self._told(name)
            if sizes is None or (told is not None and len(told) == len(sizes)):
                sizes = (
                    told
                    if sizes is None
                    else [a if a is not None else b for a, b in zip(sizes, told or [], strict=True)]
                )
            shape, guess = self._complete(node, place, sizes, inputs)
            assumed |= guess and bool(name)
            found.append((element_type or told_type or _first_type(inputs), shape))
        return found, assumed

    def _inferred(self, node: "onnx.NodeProto", inputs: Sequence[Value | None]) -> Mapping[str, Any]:
        schema = self.schema(node)
        if schema is None or any(each is not None and each.shape is None and each.items is None for each in inputs):
            return {}
        inputs = [_scalar(each) for each in inputs] if node.op_type == "Range" else inputs
        types = {name: each.proto() for name, each in zip(node.input, inputs, strict=True) if each is not None}
        known = {
            name: self.onnx.numpy_helper.from_array(np.asarray(each.data, order="C"))
            for name, each in zip(node.input, inputs, strict=True)
            if each is not None and each.data is not None and each.data.size <= TOLD_ELEMENTS
        }
        infer = self.onnx.shape_inference.infer_node_outputs
        try:
            found: Mapping[str, Any] = infer(
                schema, node, types, known, opset_imports=self._imports, ir_version=self._ir_version
            )
        except Exception as error:  # InferenceError, ValidationError, or what protobuf raises
            raise contradiction(node, error) from None
        return found

    def _told(self, name: str) -> tuple[int, list[int | None] | None]:
        given = self.said.get(name)
        element_type, sizes = _sizes(given)
        if given is None or sizes is None:
            return element_type, sizes
        for place, dim in enumerate(given.tensor_type.shape.dim):
            if sizes[place] is None and dim.dim_param in self.dims:
                sizes[place] = self.dims[dim.dim_param]
        return element_type, sizes

    def _complete(
        self, node: "onnx.NodeProto", place: int, sizes: list[int | None] | None, inputs: Sequence[Value | None]
    ) -> tuple[Shape | None, bool]:
        """A shape without gaps, and whether a gap had to be filled with the most it can be."""
        if sizes is not None and None not in sizes:
            return checked_shape([size for size in sizes if size is not None], node.output[place]), False
        first = next((each for each in inputs if each is not None and each.shape is not None), None)
        if first is None or first.shape is None:
            return None, False
        if node.op_type in LIKE_FIRST and place == 0:
            return first.shape, False
        most = _most(node.op_type, first.shape, inputs)
        if sizes is None:
            return (first.shape if most is None else most), True
        if most is None or len(most) != len(sizes):
            most = tuple(
                first.shape[i] if len(first.shape) == len(sizes) else first.elements for i in range(len(sizes))
            )
        return checked_shape(
            [b if a is None else a for a, b in zip(sizes, most, strict=True)], node.output[place]
        ), True


def contradiction(node: "onnx.NodeProto", error: Exception) -> ModelReadError:
    """A node whose inputs or attributes do not fit together."""
    return ModelReadError(f"node {label(node)}: its inputs contradict each other: {first_line(error)}")


def label(node: "onnx.NodeProto") -> str:
    """A node by name, or by what it gives, and its operation."""
    name = node.name or next((each for each in node.output if each), "")
    return f"'{clean_name(name)}' ({clean_name(node.op_type)})"


def _scalar(value: Value | None) -> Value | None:
    """A single number as one, in whatever shape it is held."""
    if value is None or value.elements != 1 or not value.shape:
        return value
    data = None if value.data is None else value.data.reshape(())
    return replace(value, shape=(), data=data, type_proto=None)


def _first_type(inputs: Sequence[Value | None]) -> int:
    return next((each.element_type for each in inputs if each is not None), FLOAT)


def _sizes(given: Any) -> tuple[int, list[int | None] | None]:
    if given is None or not given.HasField("tensor_type"):
        return 0, None
    tensor = given.tensor_type
    if not tensor.HasField("shape"):
        return tensor.elem_type, None
    return tensor.elem_type, [dim.dim_value if _fixed(dim) else None for dim in tensor.shape.dim]


def _fixed(dim: Any) -> bool:
    return bool(dim.HasField("dim_value")) and dim.dim_value >= 0


def _most(op: str, shape: Shape, inputs: Sequence[Value | None]) -> Shape | None:
    """The largest result of an operation whose result depends on values."""
    elements = prod(shape)
    if op == "NonZero":
        return (max(1, len(shape)), elements)
    if op == "Unique":
        return (elements,)
    if op == "NonMaxSuppression" and len(inputs) > 1 and inputs[1] is not None and inputs[1].shape is not None:
        boxes, scores = shape, inputs[1].shape
        limit = inputs[2].data if len(inputs) > 2 and inputs[2] is not None else None
        kept = boxes[1] if limit is None else min(boxes[1], max(0, int(np.reshape(limit, -1)[0])))
        return (prod(scores[:2]) * kept, 3)
    return None
