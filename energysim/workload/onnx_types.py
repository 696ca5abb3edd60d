"""Values of an ONNX graph while it is read: shapes and types, what is known of their elements, who computed them."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from energysim.errors import ModelReadError
from energysim.workload.graph import clean_name
from energysim.workload.onnx_file import import_onnx
from energysim.workload.operations import Operand, Shape

if TYPE_CHECKING:
    import onnx

KNOWN_ELEMENTS = 1 << 16
"""Elements of a tensor up to which its values are followed."""
FOLLOWED_ELEMENTS = 1 << 25
"""Elements of a tensor up to which the layer that computed each of them is followed."""
LARGEST_ELEMENTS = 1 << 45
MOST_AXES = 32

FLOAT = 1
QUANTISED = MappingProxyType({2: 8, 3: 8, 4: 16, 5: 16, 21: 4, 22: 4, 25: 2, 26: 2})
"""Bits of the integer types that quantised tensors have, by TensorProto.DataType."""
NARROW_FLOATS = MappingProxyType({17: 8, 18: 8, 19: 8, 20: 8, 23: 4, 24: 8})
WIDTHS = MappingProxyType({**QUANTISED, **NARROW_FLOATS})
FLOATS = frozenset({1, 10, 11, 14, 15, 16}) | frozenset(NARROW_FLOATS)
SUM_BITS = 32
"""Integer products are summed in int32."""
NUMPY = MappingProxyType(
    {
        1: np.float32,
        2: np.uint8,
        3: np.int8,
        4: np.uint16,
        5: np.int16,
        6: np.int32,
        7: np.int64,
        9: np.bool_,
        10: np.float16,
        11: np.float64,
        12: np.uint32,
        13: np.uint64,
    }
)
"""Element types whose values are followed."""


@dataclass(slots=True)
class Value:
    """One value of a graph.

    `stored` names the initialisers it is computed from; None says that it is computed from inputs of the network.
    `owner` has its shape and holds, for each element, the number (from 1) of the layer that computed it, 0 for nobody.
    `source` is the value it is another name of; `bits` is its width where the graph says so (0: it does not).
    """

    name: str
    shape: Shape | None = None
    element_type: int = FLOAT
    stored: frozenset[str] | None = None
    data: Any = None
    owner: Any = None
    bits: int = 0
    source: "Value | None" = None
    uses: int = 0
    items: "tuple[Value, ...] | None" = None
    type_proto: "onnx.TypeProto | None" = None

    @property
    def elements(self) -> int:
        """Number of elements; 0 where the shape is not known."""
        return 0 if self.shape is None else prod(self.shape)

    @property
    def operand(self) -> Operand | None:
        """As a layer reads it."""
        return None if self.shape is None else Operand(self.shape, self.stored is not None, self.name)

    def proto(self) -> "onnx.TypeProto":
        """Its type as the shape inference of the onnx package takes it."""
        if self.type_proto is None:
            self.type_proto = type_proto(self.element_type, self.shape)
        return self.type_proto


def type_proto(element_type: int, shape: Shape | None) -> "onnx.TypeProto":
    """A tensor type."""
    made: onnx.TypeProto = import_onnx().TypeProto()
    made.tensor_type.elem_type = element_type
    if shape is not None:
        made.tensor_type.shape.SetInParent()
        for size in shape:
            made.tensor_type.shape.dim.add().dim_value = size
    return made


def nobody(shape: Shape, number: int = 0) -> Any:
    """Owners that are all one layer; takes no memory for its elements."""
    return np.broadcast_to(np.int32(number), shape)


def uniform(owner: Any) -> int | None:
    """The one layer that computed all elements, or None."""
    if any(stride and size > 1 for stride, size in zip(owner.strides, owner.shape, strict=True)) or not owner.size:
        return None
    return int(owner.flat[0])


def flow(owner: Any) -> dict[int, int]:
    """Elements by number of the layer that computed them, those of nobody left out."""
    one = uniform(owner)
    if one is not None:
        return {one: owner.size} if one else {}
    counts = np.bincount(owner.reshape(-1)).tolist()
    return {number: elements for number, elements in enumerate(counts) if elements and number}


def checked_shape(sizes: list[int], name: str) -> Shape:
    """A shape that is one; raises ModelReadError for sizes below 0, too many axes or too many elements."""
    if len(sizes) > MOST_AXES or any(size < 0 for size in sizes) or prod(sizes) > LARGEST_ELEMENTS:
        shown = " x ".join(map(str, sizes[:8]))
        raise ModelReadError(f"'{clean_name(name)}' has the impossible shape {shown}{' ...' if len(sizes) > 8 else ''}")
    return tuple(sizes)


def bound_shape(given: "onnx.TypeProto", name: str, dims: Mapping[str, int]) -> Shape | None:
    """The shape of an input with its symbolic sizes bound; None where it has no shape. Raises ModelReadError for a size
    that nothing binds, and names the option that does.
    """
    if not given.tensor_type.HasField("shape"):
        return None
    sizes = []
    for place, dim in enumerate(given.tensor_type.shape.dim):
        label = dim.dim_param or f"{name}.{place}"
        label = label if label in dims else f"{name}.{place}" if f"{name}.{place}" in dims else label
        if dim.HasField("dim_value") and dim.dim_value > 0:
            sizes.append(dim.dim_value)
        elif label in dims:
            sizes.append(dims[label])
        elif dim.HasField("dim_value") and dim.dim_value == 0 and not dim.dim_param:
            sizes.append(0)
        else:
            shown = clean_name(label)
            raise ModelReadError(
                f"axis {place} of input '{clean_name(name)}' has no fixed size ('{shown}'): "
                f"give it one with --dim {shown}=1 (in Python dims={{'{shown}': 1}})"
            )
    return checked_shape(sizes, name)


def array_of(tensor: "onnx.TensorProto") -> Any:
    """The elements of a small tensor that is in the file, or None."""
    onnx = import_onnx()
    if tensor.doc_string or tensor.data_type not in NUMPY or prod(tensor.dims) > KNOWN_ELEMENTS:
        return None
    if tensor.data_location == 1 or any(size < 0 for size in tensor.dims):
        return None
    try:
        return onnx.numpy_helper.to_array(tensor)
    except Exception:  # the package raises whatever numpy does; the shape is all that is needed
        return None


def attributes_of(node: "onnx.NodeProto") -> dict[str, Any]:
    """Attributes as plain values; tensors as arrays where they are small, graphs as they are."""
    onnx = import_onnx()
    found: dict[str, Any] = {}
    for each in node.attribute:
        if each.type == onnx.AttributeProto.TENSOR:
            found[each.name] = array_of(each.t)
            continue
        try:
            value = onnx.helper.get_attribute_value(each)
        except ValueError:
            continue
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        found[each.name] = value if isinstance(value, str | int | float) or each.type in (5, 10) else _plain(value)
    return found


def _plain(value: Any) -> Any:
    try:
        return list(value)
    except TypeError:
        return value
