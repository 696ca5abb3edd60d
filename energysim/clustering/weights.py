"""A PyTorch module seen as weights by name, and its tensors as numpy arrays that carry the same bits."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from energysim.clustering.recipe import Weight
from energysim.compressed.model import CARRIERS, Dense
from energysim.errors import InputError

DTYPES = {
    **{torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"},
    **{torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2", torch.complex64: "C64", torch.bool: "BOOL"},
    **{torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8"},
    **{torch.uint64: "U64", torch.uint32: "U32", torch.uint16: "U16", torch.uint8: "U8"},
}
"""torch's dtype to the name of safetensors."""

_CARRIED = {"BF16": torch.int16, "F8_E4M3": torch.uint8, "F8_E5M2": torch.uint8}
_TORCH = {name: dtype for dtype, name in DTYPES.items()}

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_ATTENTION = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def own_type(module: nn.Module) -> type[nn.Module]:
    """The class of a module as it was before `parametrize` put its own in front."""
    return type(module).__mro__[1] if parametrize.is_parametrized(module) else type(module)


def _is_input_major(module: nn.Module) -> bool:
    """Whether it is the linear layer of GPT-2 in `transformers`, `Conv1D`, whose weight is (inputs, outputs)."""
    kind = own_type(module)
    return (kind.__module__, kind.__name__) == ("transformers.pytorch_utils", "Conv1D")


def _kind(module: nn.Module) -> str:
    """Convolution, linear or embedding; empty for a module whose weight recipes do not know."""
    if isinstance(module, (*_CONVOLUTIONS, *_TRANSPOSED)):
        return "convolution"
    if isinstance(module, (nn.Linear, nn.MultiheadAttention)) or _is_input_major(module):
        return "linear"
    return "embedding" if isinstance(module, (nn.Embedding, nn.EmbeddingBag)) else ""


def _parameters(module: nn.Module) -> Iterator[str]:
    """Names of a module's own weights."""
    for name in _ATTENTION if isinstance(module, nn.MultiheadAttention) else ("weight",):
        # A parametrized weight is not looked at: that would compute it, and move DKM's centroids in training.
        if parametrize.is_parametrized(module, name) or isinstance(getattr(module, name, None), Tensor):
            yield name


def weights_of(model: nn.Module) -> list[Weight]:
    """The weights of a model that a recipe may share, in the order of its modules; tied ones under their first name."""
    found: list[Weight] = []
    seen: set[object] = set()
    for layer, module in model.named_modules():
        kind = _kind(module)
        for parameter in _parameters(module) if kind else ():
            tensor = raw_weight(module, parameter)
            if identity(tensor) in seen:
                continue
            seen.add(identity(tensor))
            ours = our_parametrization(module, parameter)
            if ours is not None:
                found.append(ours.about)
                continue
            name = f"{layer}.{parameter}" if layer else parameter
            transposed = isinstance(module, _TRANSPOSED) or _is_input_major(module)
            groups = int(getattr(module, "groups", 1)) if transposed else 1
            shape = tuple(tensor.shape)
            found.append(Weight(name, layer, kind, shape, own_type(module).__name__, "", transposed, groups))
    return _placed(found, f"model '{type(model).__name__}'")


def our_parametrization(module: nn.Module, name: str = "") -> Any:
    """The parametrization that `prepare` put on a weight (or on any of the module's), or None; it has an `about`."""
    if not parametrize.is_parametrized(module):
        return None
    lists = dict(module.get_submodule("parametrizations").named_children())
    for each in [lists[name]] if name in lists else [] if name else lists.values():
        for parametrization in each.children():
            if isinstance(getattr(parametrization, "about", None), Weight):
                return parametrization
    return None


def plain_state(model: nn.Module) -> dict[str, Any]:
    """The state dict under the names it had before `prepare`: a weight is what is trained for it."""
    ours: dict[str, str] = {}
    for layer, module in model.named_modules():
        for name in module.get_submodule("parametrizations")._modules if parametrize.is_parametrized(module) else ():
            if our_parametrization(module, name) is not None:
                dot = f"{layer}." if layer else ""
                ours[f"{dot}parametrizations.{name}."] = f"{dot}{name}"
    state: dict[str, Any] = {}
    for key, value in model.state_dict(keep_vars=True).items():
        inside = next((prefix for prefix in ours if key.startswith(prefix)), None)
        if inside is None:
            state[key] = value
        elif key == f"{inside}original":
            state[ours[inside]] = value
    return state


def raw_weight(module: nn.Module, name: str) -> Tensor:
    """A weight as it is trained: for a parametrized one, what lies under the parametrization."""
    if parametrize.is_parametrized(module, name):
        original = getattr(module.get_submodule(f"parametrizations.{name}"), "original", None)
        if isinstance(original, Tensor):
            return original
    tensor: Tensor = getattr(module, name)
    return tensor


def identity(tensor: Tensor) -> object:
    """Equal for tensors that are the same memory seen in the same way: tied ones."""
    if tensor.is_meta or not tensor.numel() or tensor.layout is not torch.strided:
        return id(tensor)
    return (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())


def kinds_of(model: nn.Module) -> dict[str, str]:
    """What each tensor of a model's state dict is, by the names it had before `prepare`."""
    kinds = {}
    for name in plain_state(model):
        layer, _, own = name.rpartition(".")
        kinds[name] = tensor_kind(model.get_submodule(layer), own)
    return kinds


def tensor_kind(module: nn.Module, name: str) -> str:
    """What a tensor is to its module, in the words of `energysim.compressed.model.TENSOR_KINDS`."""
    if isinstance(module, _NORMS) or "Norm" in own_type(module).__name__:
        return "other" if name == "num_batches_tracked" else "normalisation"
    if name.endswith("bias"):
        return "bias"
    return _kind(module) if name in _parameters(module) and _kind(module) else "other"


def guessed_kind(name: str, shape: tuple[int, ...]) -> str:
    """What a tensor probably is, from its name and shape alone."""
    words = name.lower()
    if "running_" in words or "norm" in words or ".bn" in f".{words}":
        return "other" if words.endswith("num_batches_tracked") else "normalisation"
    if words.endswith("bias"):
        return "bias"
    if len(shape) == 2:
        return "embedding" if "embed" in words else "linear"
    return "convolution" if 3 <= len(shape) <= 5 else "other"


def guessed_weights(state: Mapping[str, Any]) -> list[Weight]:
    """The weights of a state dict without its model: names, kinds and places as far as names and shapes tell."""
    found: list[Weight] = []
    seen: set[object] = set()
    for name, tensor in state.items():
        kind = guessed_kind(name, tuple(tensor.shape)) if isinstance(tensor, Tensor) else "other"
        if kind in ("convolution", "linear", "embedding") and identity(tensor) not in seen:
            seen.add(identity(tensor))
            found.append(Weight(name, name.rpartition(".")[0] or name, kind, tuple(tensor.shape)))
    return _placed(found, "the state dict")


def _placed(found: list[Weight], model: str) -> list[Weight]:
    """The weights with the first and the last one marked."""
    if not found:
        raise InputError(f"{model} has no convolution, linear or embedding weights")
    if len(found) == 1:
        return [replace(found[0], place="only")]
    return [replace(found[0], place="first"), *found[1:-1], replace(found[-1], place="last")]


def check_tensor(name: str, tensor: Any) -> Tensor:
    """The tensor, detached, on the CPU; raises InputError naming it when a file cannot hold it."""
    if not isinstance(tensor, Tensor):
        raise InputError(f"'{name}' is a {type(tensor).__name__}; a compressed model holds tensors only")
    if tensor.is_meta:
        raise InputError(f"'{name}' is on the meta device and has no values")
    if tensor.layout is not torch.strided:
        raise InputError(f"'{name}' is sparse ({tensor.layout}); make it dense first")
    if tensor.is_quantized or tensor.dtype not in DTYPES:
        raise InputError(
            f"'{name}' is {str(tensor.dtype).removeprefix('torch.')}, which a compressed model cannot hold"
        )
    return tensor.detach().cpu()


def to_dense(name: str, tensor: Any, kind: str = "other") -> Dense:
    """A tensor as an array that carries its bits (a copy); raises InputError naming what cannot be."""
    tensor = check_tensor(name, tensor)
    dtype = DTYPES[tensor.dtype]
    carried = tensor.contiguous().resolve_conj().resolve_neg()
    carried = carried.view(_CARRIED[dtype]) if dtype in _CARRIED else carried
    return Dense(carried.clone().numpy().view(CARRIERS[dtype]), dtype, kind)


def to_tensor(dense: Dense) -> Tensor:
    """The torch tensor of the same bits (a copy)."""
    if dense.dtype in _CARRIED:
        carrier = torch.from_numpy(dense.values.view("<i2" if dense.dtype == "BF16" else "u1").copy())
        return carrier.view(_TORCH[dense.dtype])
    return torch.from_numpy(dense.values.copy())


def to_tensors(state: Mapping[str, Dense]) -> dict[str, Tensor]:
    """A state dict of torch tensors; names with one array get one tensor."""
    made = {id(dense): to_tensor(dense) for dense in state.values()}
    return {name: made[id(dense)] for name, dense in state.items()}
