"""What a node of an exported PyTorch graph says: shapes, arguments by name, module, and who made its elements."""

from math import prod
from typing import TYPE_CHECKING, Any

from energysim.errors import ModelReadError
from energysim.workload.graph import clean_name
from energysim.workload.operations import Operand, Shape
from energysim.workload.torch_patterns import op_name

if TYPE_CHECKING:
    from torch.fx import Node

FOLLOWED_ELEMENTS = 1 << 27
"""Largest results of views on elements of several layers that are followed one by one; larger ones count as traffic."""


def channel_norm_of(node: "Node") -> str:
    """Which call of a local response normalisation an operation belongs to; empty when to none."""
    call, function = node.meta.get("torch_fn") or ("", "")
    return str(call) if function.endswith(".local_response_norm") else ""


def filled(shape: Shape, number: int) -> Any:
    """A tensor of one number that takes no memory for its elements."""
    import torch

    return torch.tensor(number, dtype=torch.int32, device="cpu").expand(shape)


def uniform(owner: Any) -> bool:
    """Whether all elements have one owner, as tensors of `filled` and their views do."""
    return all(stride == 0 or size == 1 for stride, size in zip(owner.stride(), owner.shape, strict=True))


def flow(owner: Any) -> dict[int, int]:
    """Elements by number of the layer that computed them."""
    if not hasattr(owner, "stride") or owner.numel() == 0:
        return {}
    if uniform(owner):
        return {int(owner.flatten()[0]): owner.numel()}
    counts = owner.flatten().bincount().tolist()
    return {number: elements for number, elements in enumerate(counts) if elements}


def shapes_of(node: "Node") -> tuple[Shape, ...]:
    """Shapes of all tensors a node gives."""
    value = node.meta.get("val")
    values = value if isinstance(value, list | tuple) else (value,)
    shapes = tuple(tuple(each.shape) for each in values if hasattr(each, "shape"))
    if not all(isinstance(size, int) for shape in shapes for size in shape):
        raise ModelReadError(
            f"the size of '{clean_name(node.name)}' ({op_name(node)}) depends on the values of a tensor; "
            "give a fixed size, or move that operation out of forward()"
        )
    return shapes


def used_shapes(node: "Node") -> tuple[Shape, ...]:
    """Shapes of the tensors a node gives that are read by others; all when nobody says which."""
    shapes = shapes_of(node)
    taken = {user.args[1] for user in node.users if op_name(user) == "getitem"}
    return tuple(shape for i, shape in enumerate(shapes) if i in taken) or shapes


def module_of(node: "Node") -> tuple[str, str]:
    """Path and class of the module whose forward() called the operation."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    if not stack:
        return ("", "")
    path, kind = stack[-1]
    return (str(path).partition("@")[0], kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}")


def arguments_of(node: "Node", constants: "dict[Node, frozenset[str]]") -> dict[str, Any]:
    """Arguments by their schema names, tensors as operands, defaults filled in."""
    import torch

    def operand(source: "Node") -> Any:
        shapes = shapes_of(source)
        return Operand(shapes[0], source in constants, source.name) if shapes else None

    args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), operand)
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return {str(i): value for i, value in enumerate(args)} | kwargs
    names = {}
    for i, each in enumerate(schema.arguments):
        names[each.name] = args[i] if i < len(args) else kwargs.get(each.name, each.default_value)
    return names


def carried_out(node: "Node", owners: "dict[Node, Any]") -> Any:
    """The result of a view on owner numbers; stored tensors count as nobody's."""
    import torch

    def owner(source: "Node") -> Any:
        known = owners[source] if source in owners else filled(shapes_of(source)[0], 0)
        return known if isinstance(known, tuple) or uniform(known) else known.contiguous()

    if sum(prod(shape) for shape in shapes_of(node)) > FOLLOWED_ELEMENTS:
        raise RuntimeError("too large to be followed element by element")
    args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), owner)
    return node.target(*args, **kwargs)  # type: ignore[operator]
