"""One way in for every kind of model: `read_model`."""

import importlib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from energysim.errors import InputError, ModelReadError, nearest, unknown
from energysim.packaged import packaged
from energysim.workload.graph import LayerGraph, clean_name
from energysim.workload.precision import with_precision
from energysim.workload.yaml_format import from_yaml


def read_model(
    reference: Any,
    *,
    batch: int = 1,
    bits: int | str | Path | None = None,
    example_inputs: Sequence[Any] | Mapping[str, Any] | None = None,
    name: str | None = None,
    fold_batchnorm: bool = True,
    fuse_activations: bool = True,
    compressed: Any = None,
    dims: Mapping[str, int] | None = None,
    trips: int | None = None,
    read_weights: bool = False,
    sequence: int | None = None,
    decode: bool = False,
) -> LayerGraph:
    """The layer graph of a model, `batch` times as large in N, at given bits (see `with_precision`).

    `compressed`, a compressed file or model, says how its weights are shared (see `with_compressed`).
    BatchNorm is folded and activations are fused into the layer before them unless told otherwise (torch and ONNX).
    `dims` gives sizes to the symbolic dims of a model file, `trips` says how often loops run whose length it does not
    say, `read_weights` reads the weights too, for the share of them that is zero (ONNX).
    `sequence` is how many tokens a model of transformers reads; with `decode` it reads one, after so many in its cache.

    `reference` is the name of a packaged network, a model file, "package.module:function" (which returns a LayerGraph,
    a configuration of transformers, or a torch module and its example inputs), a torch module (with `example_inputs`, a
    tuple or by name), a torch.export.ExportedProgram, a configuration or model of transformers, or a LayerGraph.
    Raises InputError (UnknownNameError, ModelReadError) when it cannot be read.
    """
    options = Options(example_inputs, name, fold_batchnorm, fuse_activations, dims or {}, trips, read_weights)
    options = replace(options, sequence=sequence, decode=decode)
    graph = _read(reference, options).with_batch(batch)
    if compressed is not None:
        from energysim.workload.compressed_weights import with_compressed

        graph = with_compressed(graph, compressed)
    return graph if bits is None else with_precision(graph, bits)


@dataclass(frozen=True, slots=True)
class Options:
    """How a torch module or a model file is to be read; a layer graph has been read already."""

    example_inputs: Sequence[Any] | Mapping[str, Any] | None = None
    name: str | None = None
    fold_batchnorm: bool = True
    fuse_activations: bool = True
    dims: Mapping[str, int] = field(default_factory=dict)
    trips: int | None = None
    read_weights: bool = False
    sequence: int | None = None
    decode: bool = False

    def of_graph(self, graph: LayerGraph) -> LayerGraph:
        """The graph itself; raises InputError where it would have to be taken apart again."""
        if not (self.fold_batchnorm and self.fuse_activations):
            raise InputError(
                f"model '{graph.name}': is a layer graph, in which BatchNorm is folded and activations are fused "
                "already; give the torch module as package.module:function"
            )
        if self.dims or self.trips is not None or self.read_weights:
            asked = "dims" if self.dims else "trips" if self.trips is not None else "weights to be read"
            raise InputError(f"model '{graph.name}': is a layer graph, which has no {asked}; an ONNX file may")
        self.without_tokens(graph.name, "a layer graph")
        return graph

    def without_tokens(self, name: str, what: str) -> None:
        """Raises InputError where tokens are asked for of what is no model of transformers."""
        if self.sequence is not None or self.decode:
            raise InputError(
                f"model '{name}': is {what}; only configurations of transformers have a sequence to choose"
            )

    @property
    def of_torch(self) -> dict[str, Any]:
        """What every reader of PyTorch is told."""
        return {"fold_batchnorm": self.fold_batchnorm, "fuse_activations": self.fuse_activations}


def _read(reference: Any, options: Options) -> LayerGraph:
    if isinstance(reference, Path):
        return _from_file(reference, options)
    return _from_text(reference, options) if isinstance(reference, str) else _from_object(reference, options)


def _from_text(reference: str, options: Options) -> LayerGraph:
    networks = packaged("models")
    if reference in networks:
        return options.of_graph(from_yaml(networks[reference]))
    if is_function(reference):
        return _from_function(reference, options)
    if Path(reference).suffix in READERS or Path(reference).exists() or "/" in reference:
        return _from_file(Path(reference), options)
    raise unknown("model", clean_name(reference), networks)


def _from_object(reference: Any, options: Options) -> LayerGraph:
    if isinstance(reference, LayerGraph):
        return options.of_graph(reference)
    if _of_transformers(reference) and options.example_inputs is None:
        return _from_transformers(reference, options)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(reference, torch.export.ExportedProgram):
        return _from_program(reference, options)
    if torch is None or not isinstance(reference, torch.nn.Module):
        raise ModelReadError(f"not a model: {type(reference).__name__}; give a name, a file, a torch module or a graph")
    if options.example_inputs is None:
        raise ModelReadError(
            f"model '{type(reference).__name__}': a torch module needs example_inputs, a tuple of tensors"
        )
    return _from_module(reference, options.example_inputs, options)


def _from_module(module: Any, example_inputs: Sequence[Any] | Mapping[str, Any], options: Options) -> LayerGraph:
    from energysim.workload.from_torch import from_torch

    name = clean_name(options.name or type(module).__name__)
    options.without_tokens(name, "a torch module with its example inputs")
    return from_torch(module, example_inputs, name=name, **options.of_torch)


def _of_transformers(reference: Any) -> bool:
    """Whether something is a configuration or a model of transformers, which nobody has who has not imported it."""
    transformers = sys.modules.get("transformers")
    return transformers is not None and isinstance(
        reference, transformers.PretrainedConfig | transformers.PreTrainedModel
    )


def _from_transformers(reference: Any, options: Options) -> LayerGraph:
    from energysim.workload.from_transformers import from_transformers

    return from_transformers(
        reference, name=options.name, sequence=options.sequence, decode=options.decode, **options.of_torch
    )


def _config(path: Path, options: Options) -> LayerGraph:
    from energysim.workload.from_transformers import read_config

    return _from_transformers(read_config(path), options)


def _pt2(path: Path, options: Options) -> LayerGraph:
    from energysim.workload.from_pt2 import from_pt2

    options.without_tokens(options.name or path.stem, "an exported program")
    return from_pt2(path, name=options.name, dims=options.dims, **options.of_torch)


def _from_program(program: Any, options: Options) -> LayerGraph:
    from energysim.workload.from_pt2 import from_program

    name = options.name or "exported_program"
    options.without_tokens(name, "an exported program")
    return from_program(program, name=name, dims=options.dims, **options.of_torch)


def _yaml(path: Path, options: Options) -> LayerGraph:
    """Our own YAML, a Timeloop problem or a ZigZag workload, told by what is in it."""
    from energysim.workload.from_timeloop import from_timeloop, is_timeloop
    from energysim.workload.from_zigzag import from_zigzag, is_zigzag
    from energysim.yaml_nodes import MAXIMUM_BYTES, load

    text = path.read_bytes() if path.is_file() and path.stat().st_size < MAXIMUM_BYTES else b""
    if b"problem" in text or b"equation" in text:
        root = load(path)
        if is_timeloop(root):
            return options.of_graph(from_timeloop(path))
        if is_zigzag(root):
            return options.of_graph(from_zigzag(path))
    return options.of_graph(from_yaml(path))


def _tflite(path: Path, options: Options) -> LayerGraph:
    from energysim.workload.from_tflite import from_tflite

    if options.dims or options.trips is not None or options.read_weights:
        raise InputError(f"{clean_name(str(path))}: sizes, trips and weights are options of .onnx files")
    return from_tflite(path, fold_batchnorm=options.fold_batchnorm, fuse_activations=options.fuse_activations)


def _scalesim(path: Path, options: Options) -> LayerGraph:
    from energysim.workload.from_scalesim import from_scalesim

    return options.of_graph(from_scalesim(path))


def _onnx(path: Path, options: Options) -> LayerGraph:
    from energysim.workload.from_onnx import from_onnx

    return from_onnx(
        path,
        name=options.name,
        dims=options.dims,
        trips=options.trips,
        read_weights=options.read_weights,
        fold_batchnorm=options.fold_batchnorm,
        fuse_activations=options.fuse_activations,
    )


PICKLES = (".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt", ".joblib")
"""Suffixes of files that run code when they are loaded, or that hold weights without the operations."""


def _pickle(path: Path, options: Options) -> LayerGraph:
    from energysim.workload.archive import refusal_of_pickle

    raise refusal_of_pickle(path)


READERS: Mapping[str, Callable[[Path, Options], LayerGraph]] = MappingProxyType(
    {
        ".yaml": _yaml,
        ".yml": _yaml,
        ".onnx": _onnx,
        ".json": _config,
        ".pt2": _pt2,
        ".csv": _scalesim,
        ".tflite": _tflite,
        **dict.fromkeys(PICKLES, _pickle),
    }
)
"""File suffix to the reader of such files."""


def _from_file(path: Path, options: Options) -> LayerGraph:
    reader = READERS.get(path.suffix.lower())
    if reader is not None:
        if not path.exists():
            near = sorted(each.name for each in path.parent.glob(f"*{path.suffix}")) if path.parent.is_dir() else []
            raise InputError(f"{clean_name(str(path))}: no such file{nearest(path.name, near)}")
        return reader(path, options)
    what = f"'{path.suffix}' files" if path.suffix else "files without suffix"
    known = ", ".join(sorted(set(READERS) - set(PICKLES)))
    raise ModelReadError(f"{clean_name(str(path))}: no reader for {what}; known: {known}")


def is_function(reference: str) -> bool:
    """Whether a reference is package.module:function."""
    return re.fullmatch(r"\w+(\.\w+)*:\w+", reference) is not None


def call_function(reference: str) -> Any:
    """What a function of an importable module returns; the current directory is importable meanwhile.

    Raises UnknownNameError for a function that is not there, ModelReadError for whatever goes wrong inside.
    """
    where, _, label = reference.partition(":")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        importlib.invalidate_caches()
        module = importlib.import_module(where)
        function = getattr(module, label, None)
        if not callable(function):
            functions = [each for each in dir(module) if callable(getattr(module, each)) and not each.startswith("_")]
            raise unknown(f"function of {where}", label, functions)
        return function()
    except InputError:
        raise
    except Exception as error:
        said = next(iter(str(error).splitlines()), "")
        raise ModelReadError(f"{clean_name(reference)}: {type(error).__name__}: {clean_name(said)}") from error
    finally:
        sys.path.remove(here)


def _from_function(reference: str, options: Options) -> LayerGraph:
    made = call_function(reference)
    if isinstance(made, LayerGraph):
        return options.of_graph(made)
    if _of_transformers(made):
        return _from_transformers(made, replace(options, name=options.name or name_of(reference)))
    if not (isinstance(made, tuple) and len(made) == 2):
        raise ModelReadError(
            f"{clean_name(reference)}: returned a {type(made).__name__}; "
            "it must return a torch module and its example inputs, or a LayerGraph"
        )
    return _from_module(made[0], made[1], replace(options, name=options.name or name_of(reference)))


def name_of(reference: str) -> str:
    """The name of what a package.module:function gives: that of its module."""
    return reference.partition(":")[0].rpartition(".")[2]
