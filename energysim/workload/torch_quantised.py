"""Quantised PyTorch modules as what they compute: plain modules whose numbers are marked with the bits they have."""

import re
from copy import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch.fx import Node

SUM_BITS = 32
"""Bits of the sums of products of quantised numbers: integer accelerators add in 32 bits (Jacob et al., 1712.05877)."""
STORED = 8
"""Bits where a quantised number is stored in a type that does not say: torch.ao's are of 8."""


def bits_of(tensor: Any) -> int:
    """Bits of one number of a quantised tensor; 0 for one that is not quantised.

    Known are torch.ao's quantised types, and subclasses as torchao's, by the range they name or by the type and size of
    what they hold: two numbers of 4 bits in a byte.
    """
    least: Any = getattr(tensor, "quant_min", None)
    most: Any = getattr(tensor, "quant_max", None)
    if isinstance(least, int) and isinstance(most, int) and most > least:
        return int(most - least).bit_length()
    named = re.search(r"int(\d+)$", str(getattr(tensor, "target_dtype", "")))
    if named:
        return int(named[1])
    if hasattr(tensor, "__tensor_flatten__"):
        held = [getattr(tensor, name) for name in tensor.__tensor_flatten__()[0]]
        data = next((each for each in held if each is not None and not each.dtype.is_floating_point), None)
        if data is None:
            return next((bits_of(each) for each in held if hasattr(each, "__tensor_flatten__")), 0)
        held_bits = int(data.numel() * data.element_size() * 8)
        return max(1, held_bits // max(1, int(tensor.numel())))
    if getattr(tensor, "is_quantized", False):
        return int(tensor.element_size()) * 8
    return 0


def plain(module: "torch.nn.Module") -> "tuple[torch.nn.Module, dict[str, int]]":
    """The module with plain parts in the place of quantised ones, and the bits of weights by name; itself without such.

    Nothing is copied but the tree of modules: weights are shared with the original, quantised ones are left out.
    """
    weights = {name: bits for name, tensor in module.named_parameters() if (bits := bits_of(tensor))}
    quantised = {path: part for path, part in module.named_modules() if _is_quantised(part)}
    for path, part in quantised.items():
        weight: Any = getattr(part, "weight", None)
        weights[f"{path}.weight".removeprefix(".")] = bits_of(weight()) if callable(weight) else 0
    if not weights and not quantised:
        return module, {}
    return _twin(module), weights


def _is_quantised(part: "torch.nn.Module") -> bool:
    kind = type(part).__module__
    return kind.startswith(("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized"))


def _twin(part: "torch.nn.Module") -> "torch.nn.Module":
    import torch

    if _is_quantised(part):
        replaced: torch.nn.Module = _replaced(part)
        return replaced
    twin = copy(part)
    twin._modules = {name: _twin(inner) if inner is not None else None for name, inner in part._modules.items()}
    twin._parameters = dict(part._parameters)
    for name, tensor in part._parameters.items():
        if tensor is not None and bits_of(tensor):
            twin._parameters[name] = _empty(tensor.shape, tensor.device)
            if getattr(tensor, "act_quant_kwargs", None) is not None:  # torchao: inputs are rounded as they come
                _marking(twin, inputs=True, outputs=False)
    return twin


def _empty(shape: Any, device: Any) -> "torch.nn.Parameter":
    """A parameter that takes no memory for its numbers."""
    import torch

    return torch.nn.Parameter(torch.zeros((), device=device).expand(shape), requires_grad=False)


def _replaced(part: Any) -> Any:
    """A plain module of the same sizes; its results, or for dynamic ones its inputs, are marked as 8 bits wide."""
    import torch

    nn = torch.nn
    kind, dynamic = type(part).__name__, ".dynamic" in type(part).__module__
    if kind in ("Quantize", "DeQuantize"):
        return _marking(nn.Identity(), inputs=False, outputs=kind == "Quantize")
    if kind in ("Linear", "LinearReLU"):
        inner: Any = nn.Linear(part.in_features, part.out_features, part.bias() is not None, device="meta")
    elif kind.replace("ReLU", "") in ("Conv1d", "Conv2d", "Conv3d"):
        inner = getattr(nn, kind.replace("ReLU", ""))(
            part.in_channels,
            part.out_channels,
            part.kernel_size,
            part.stride,
            part.padding,
            dilation=part.dilation,
            groups=part.groups,
            bias=part.bias() is not None,
            device="meta",
        )
    else:
        return part
    device = part.weight().device
    for name, tensor in list(inner._parameters.items()):
        inner._parameters[name] = None if tensor is None else _empty(tensor.shape, device)
    return _marking(inner, inputs=dynamic, outputs=not dynamic, activation="ReLU" in kind)


def _marking(inner: "torch.nn.Module", *, inputs: bool, outputs: bool, activation: bool = False) -> "torch.nn.Module":
    """A module like `inner`, with its parameters under their own names, that marks its weight and what flows."""
    import torch

    def marked(tensor: "torch.Tensor") -> "torch.Tensor":
        return torch.fake_quantize_per_tensor_affine(tensor, 1.0, 0, -(1 << STORED - 1), (1 << STORED - 1) - 1)

    class Marked(type(inner)):  # type: ignore[misc]
        """The module between its marks."""

        def forward(self, given: "torch.Tensor") -> "torch.Tensor":
            """What the module computes."""
            given = marked(given) if inputs else given
            result = super().forward(given)
            result = torch.relu(result) if activation else result
            return marked(result) if outputs else result

    Marked.__module__, Marked.__qualname__ = type(inner).__module__, type(inner).__qualname__
    inner.__class__ = Marked
    return inner


MARKS = frozenset(
    (
        "fake_quantize_per_tensor_affine",
        "fake_quantize_per_channel_affine",
        "fused_moving_avg_obs_fake_quant",
        "quantized_decomposed.quantize_per_tensor",
        "quantized_decomposed.quantize_per_channel",
    )
)
"""Operations that round numbers to so many levels: free, and the numbers have the bits that the levels need."""

UNMARKS = frozenset(f"quantized_decomposed.dequantize_per_{what}" for what in ("tensor", "channel"))
"""Operations that take such numbers as floats again."""


def width_of(node: "Node") -> int:
    """Bits of what an operation of `MARKS` gives, from the least and the largest level it names; 0 if it does not."""
    names = [each.name for each in node.target._schema.arguments]  # type: ignore[union-attr]
    given = dict(zip(names, node.args, strict=False)) | dict(node.kwargs)
    least, most = given.get("quant_min"), given.get("quant_max")
    return (most - least).bit_length() if isinstance(least, int) and isinstance(most, int) and most > least else 0
