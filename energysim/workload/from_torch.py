"""From a PyTorch module to a layer graph, through `torch.export`: the module's code runs once on fake tensors."""

import io
import logging
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from energysim.errors import ModelReadError
from energysim.workload.graph import Edge, LayerGraph, clean_name
from energysim.workload.torch_graph import GraphReader, all_known
from energysim.workload.torch_quantised import plain

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

    from energysim.workload.exported_graph import Program


def from_torch(
    module: "torch.nn.Module",
    example_inputs: Sequence[Any] | Mapping[str, Any],
    *,
    name: str,
    fold_batchnorm: bool = True,
    fuse_activations: bool = True,
) -> LayerGraph:
    """The layer graph of an `nn.Module` run in evaluation mode on example inputs (or by name), whose batch is dim N.

    Parameters are counted as torch counts them, each once, those of a folded BatchNorm in the layer it is folded
    into. An unknown operation is costed as its traffic, with a warning. Raises ModelReadError where export fails.
    """
    name = clean_name(name)
    module, weight_bits = plain(module) if hasattr(module, "named_parameters") else (module, {})
    program = _export(module, example_inputs, name)
    first: dict[int, str] = {}
    tied = {label: first.setdefault(id(y), label) for label, y in module.named_parameters(remove_duplicate=False)}
    parts = {path.rpartition(".")[0] for path, _ in module.named_modules(remove_duplicate=False) if path}
    whole = {path for path, _ in module.named_modules(remove_duplicate=False)} - parts
    return read_program(
        program,
        name,
        whole.__contains__,
        tied,
        fold_batchnorm=fold_batchnorm,
        fuse_activations=fuse_activations,
        weight_bits=weight_bits,
    )


def read_program(
    program: "ExportedProgram | Program",
    name: str,
    has_no_parts: Callable[[str], bool],
    tied: Mapping[str, str],
    *,
    fold_batchnorm: bool,
    fuse_activations: bool,
    weight_bits: Mapping[str, int] = MappingProxyType({}),
) -> LayerGraph:
    """The layer graph of an exported program (see `GraphReader`). Raises ModelReadError."""
    reader = GraphReader(program, has_no_parts, tied, fold_batchnorm, fuse_activations, weight_bits)
    try:
        reader.read()
    except ModelReadError as error:
        raise ModelReadError(f"model '{name}': {error}") from None
    edges = tuple(Edge(source, target, n) for (source, target), n in reader.edges.items())
    if not reader.layers:
        raise ModelReadError(f"model '{name}': no operation computes anything from the example inputs")
    return LayerGraph(
        name,
        tuple(reader.layers),
        edges,
        tuple(reader.warnings),
        assumptions=reader.assumptions(),
        unreached=reader.unreached(),
        unknown=tuple(reader.unknown),
        assumed=tuple(dict.fromkeys(name for names in reader.assumed.values() for name in names)),
    )


def _export(
    module: "torch.nn.Module", example_inputs: Sequence[Any] | Mapping[str, Any], name: str
) -> "ExportedProgram":
    import torch

    if not isinstance(module, torch.nn.Module):
        raise ModelReadError(f"model '{name}': expected a torch.nn.Module, got {type(module).__name__}")
    modes = {part: part.training for part in module.modules()}
    keywords = dict(example_inputs) if isinstance(example_inputs, Mapping) else {}
    inputs: Any = () if keywords else example_inputs
    inputs = (inputs,) if isinstance(inputs, torch.Tensor) else tuple(inputs)
    try:
        with quietly():
            program = torch.export.export(module.eval(), inputs, keywords, strict=False)
            if not all_known(program):
                program = program.run_decompositions({})
    except Exception as error:
        raise ModelReadError(f"model '{name}': {reason(error)}") from error
    finally:
        for part, training in modes.items():
            part.training = training
    return program


@contextmanager
def quietly() -> Iterator[None]:
    """Nothing that libraries log, warn of or print to standard error reaches the user."""
    logged = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # torch logs whole tracebacks of what it raises, and warns of its own insides
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):  # torch prints the graph it gave up on
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logged)


def reason(error: Exception) -> str:
    """One line: what went wrong in an export, in which line of the user's code, and the remedy."""
    import torch

    inside = str(Path(torch.__file__).parent)
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        f for f in frames if not f.filename.startswith(inside) and f.filename != __file__ and Path(f.filename).exists()
    ]
    where = f" at {own[-1].filename}:{own[-1].lineno} `{own[-1].line}`" if own else ""
    kind = type(error).__name__
    if "DataDependent" in kind or "data-dependent" in str(error):
        return (
            f"cannot be exported, its path depends on the values of a tensor{where}; "
            "use torch.where there, or move the decision out of forward()"
        )
    said = next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")
    return (
        f"cannot be exported by torch.export{where}: {kind}: {clean_name(said)}; "
        "check that forward() runs on the example inputs and uses torch operations only"
    )
