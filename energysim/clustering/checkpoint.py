"""Checkpoints of PyTorch, read without executing anything in them: safetensors, or `torch.load(weights_only=True)`."""

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from energysim.clustering.weights import to_tensors
from energysim.compressed.container import shown
from energysim.compressed.file import read_state
from energysim.errors import InputError

NESTED = ("state_dict", "model_state_dict", "model", "module", "net", "weights")
"""Keys under which training scripts keep the state dict of the model."""


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, or of a compressed model's file; raises InputError naming what is wrong."""
    suffix = Path(path).suffix.lower()
    if suffix not in CHECKPOINTS:
        raise InputError(f"{shown(path, 4096)}: no reader for '{suffix}' files; known: {', '.join(CHECKPOINTS)}")
    return CHECKPOINTS[suffix](Path(path))


def _safetensors(path: Path) -> dict[str, Tensor]:
    return to_tensors(read_state(path))


def _pickled(path: Path) -> dict[str, Tensor]:
    where = shown(path, 4096)
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{where}: no such file") from None
    except pickle.UnpicklingError:
        raise InputError(
            f"{where}: holds more than tensors, or is no checkpoint of PyTorch; nothing in it was executed. "
            "Save model.state_dict(), or better, a safetensors file"
        ) from None
    except Exception as error:
        said = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"{where}: cannot be read: {shown(said)}") from None
    return _state_of(loaded, where)


def _state_of(loaded: Any, where: str) -> dict[str, Tensor]:
    """The state dict in what a checkpoint holds: itself, or what stands under one of the usual keys."""
    found = loaded
    while isinstance(found, Mapping):
        if found and all(isinstance(key, str) for key in found) and any(isinstance(v, Tensor) for v in found.values()):
            return {key: value for key, value in found.items() if isinstance(value, Tensor)}
        inner = [found[key] for key in NESTED if isinstance(found.get(key), Mapping)]
        if not inner:
            break
        found = inner[0]
    keys = f"; its keys: {shown(', '.join(map(str, list(loaded)[:8])))}" if isinstance(loaded, Mapping) else ""
    raise InputError(f"{where}: holds a {type(loaded).__name__}, not a state dict of tensors{keys}")


CHECKPOINTS: Mapping[str, Callable[[Path], dict[str, Tensor]]] = MappingProxyType(
    {".safetensors": _safetensors, ".pt": _pickled, ".pth": _pickled, ".bin": _pickled, ".ckpt": _pickled}
)
"""File suffix to the reader of such files."""
