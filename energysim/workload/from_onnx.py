"""From an ONNX file to a layer graph: shapes and types are read, weights stay in the file."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from energysim.errors import EnergysimError, InputError, ModelReadError
from energysim.workload.graph import Edge, LayerGraph, clean_name
from energysim.workload.onnx_file import first_line, read_structure

if TYPE_CHECKING:
    import onnx

    from energysim.workload.onnx_graph import GraphReader
    from energysim.workload.onnx_weights import Measured

NO_DIMS: Mapping[str, int] = MappingProxyType({})
MOST_NODES = 200_000
"""Nodes that a model may have when the functions it defines are written out."""


def from_onnx(
    path: str | Path,
    *,
    name: str | None = None,
    dims: Mapping[str, int] = NO_DIMS,
    trips: int | None = None,
    read_weights: bool = False,
    fold_batchnorm: bool = True,
    fuse_activations: bool = True,
) -> LayerGraph:
    """The layer graph of an ONNX model (opset 7 to 23 and newer, as far as the installed `onnx` package goes).

    `dims` binds symbolic sizes by name, or by input and axis ("x.0"); `trips` is how often loops run whose length the
    graph does not say. Only shapes and types are read, unless `read_weights` asks for the zeros among the weights:
    external data, too, then, from regular files in the model's folder. Parameters are initialisers of more
    than one number, floats or quantised, each counted once where it is first used. Raises ModelReadError.
    """
    read = read_onnx(path, name=name, dims=dims, trips=trips, folds=fold_batchnorm, fuses=fuse_activations)
    return with_weight_densities(read, measure_weights(read)) if read_weights else read.graph


@dataclass(frozen=True, slots=True)
class ReadModel:
    """A layer graph with the model it comes from, and the names of values and initialisers there.

    `weights` and `operands` say by layer and tensor which initialisers or which value it reads, `results` by layer
    which value it computes.
    """

    path: Path
    model: "onnx.ModelProto"
    graph: LayerGraph
    weights: Mapping[str, Mapping[str, frozenset[str]]]
    operands: Mapping[str, Mapping[str, str]]
    results: Mapping[str, str]


def read_onnx(
    path: str | Path,
    *,
    name: str | None = None,
    dims: Mapping[str, int] = NO_DIMS,
    trips: int | None = None,
    folds: bool = True,
    fuses: bool = True,
) -> ReadModel:
    """As `from_onnx`, with the names by which the model's own weights and values are found."""
    path = Path(path)
    _check_dims(dims, trips)
    return read_parsed(read_structure(path), path, name=name, dims=dims, trips=trips, folds=folds, fuses=fuses)


def read_parsed(
    model: "onnx.ModelProto",
    path: Path,
    *,
    name: str | None = None,
    dims: Mapping[str, int] = NO_DIMS,
    trips: int | None = None,
    folds: bool = True,
    fuses: bool = True,
    widths: Mapping[str, int] = NO_DIMS,
) -> ReadModel:
    """The same of a model that is in memory; `widths` are bits of values by name, where their types do not say."""
    try:
        reader = _walked(model, dims, trips, folds, fuses, widths)
        work = reader.work
        if not work.layers:
            raise ModelReadError("no operation computes anything from the inputs")
        graph = LayerGraph(
            clean_name(name or path.stem),
            tuple(work.layers),
            tuple(Edge(source, target, n) for (source, target), n in work.edges.items() if n),
            warnings=tuple(dict.fromkeys(work.warnings)),
            assumptions=tuple(dict.fromkeys(work.assumptions)),
            unreached=reader.unreached(),
            unknown=tuple(dict.fromkeys(work.unknown)),
            assumed=tuple(dict.fromkeys(work.assumed)),
        )
    except EnergysimError as error:
        raise ModelReadError(f"{clean_name(str(path))}: {error}") from error
    except RecursionError:
        raise ModelReadError(f"{clean_name(str(path))}: its graphs are nested too deeply") from None
    results = {work.layers[number - 1].name: value for number, value in reader.results.items() if number}
    return ReadModel(path, model, graph, reader.weights, reader.operands, results)


def measure_weights(read: ReadModel) -> dict[str, dict[str, "Measured"]]:
    """By layer and tensor, what its weights are: how many, how many not zero, how many distinct values."""
    from energysim.workload.onnx_weights import measure

    used = frozenset[str]().union(*(names for tensors in read.weights.values() for names in tensors.values()))
    try:
        found = measure(read.path, read.model, used)
    except EnergysimError as error:
        raise ModelReadError(f"{clean_name(str(read.path))}: {error}") from None
    return {
        layer: {
            tensor: found[next(iter(names))]
            for tensor, names in tensors.items()
            if len(names) == 1 and names <= set(found)
        }
        for layer, tensors in read.weights.items()
    }


def with_weight_densities(read: ReadModel, measured: Mapping[str, Mapping[str, "Measured"]]) -> LayerGraph:
    """The graph with the share of each weight tensor that is not zero."""
    changed = {}
    for layer in read.graph.layers:
        known = measured.get(layer.name, {})
        tensors = tuple(replace(y, density=known[y.name].density) if y.name in known else y for y in layer.tensors)
        changed[layer.name] = replace(layer, tensors=tensors)
    return read.graph.with_layers(changed)


def _walked(
    model: "onnx.ModelProto",
    dims: Mapping[str, int],
    trips: int | None,
    fold_batchnorm: bool,
    fuse_activations: bool,
    widths: Mapping[str, int],
) -> "GraphReader":
    """Walk a model whose large payloads are cut out; what was found is in the reader's `work`."""
    import numpy as np

    from energysim.workload.onnx_graph import GraphReader
    from energysim.workload.onnx_infer import Inference
    from energysim.workload.onnx_scope import Scope
    from energysim.workload.onnx_types import NUMPY, WIDTHS, Value, bound_shape, nobody

    model = _written_out(model)
    inference = Inference(model, dims)
    reader = GraphReader(inference, fold_batchnorm, fuse_activations, trips)
    scope = Scope(model.graph, widths=widths)
    inference.hear(model.graph)
    reader.enter(model.graph)
    for given in model.graph.input:
        if given.name in scope.values:
            continue
        if not given.type.HasField("tensor_type"):
            scope.give(given.name, Value(given.name))
            continue
        element_type = given.type.tensor_type.elem_type
        shape = bound_shape(given.type, given.name, dims)
        owner = None if shape is None else nobody(shape)
        value = Value(given.name, shape, element_type, None, owner=owner, bits=WIDTHS.get(element_type, 0))
        if not value.elements and shape is not None and element_type in NUMPY:
            value.data = np.zeros(shape, NUMPY[element_type])  # of nothing, everything is known
        scope.give(given.name, value)
    reader.graph(scope)
    reader.settle_widths(scope)
    for result in model.graph.output:
        scope.find(result.name)
    return reader


def _check_dims(dims: Mapping[str, int], trips: int | None) -> None:
    for label, size in (*dims.items(), *(() if trips is None else (("trips", trips),))):
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size < 1 << 31:
            raise InputError(f"size of '{clean_name(label)}' is {size}; it must be an integer of at least 1")


def _written_out(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """The model with the functions it defines itself written out, if that leaves it at a size that can be read."""
    if not model.functions:
        return model
    from energysim.workload.onnx_scope import check_texts

    for function in model.functions:
        check_texts(function)
    from onnx.inliner import inline_local_functions

    bodies = {(f.domain, f.name): [(node.domain, node.op_type) for node in f.node] for f in model.functions}
    sizes: dict[tuple[str, str], int] = {}

    def size(function: tuple[str, str], inside: tuple[tuple[str, str], ...]) -> int:
        if function in inside:
            raise ModelReadError(f"function '{clean_name(function[1])}' calls itself")
        if function not in sizes:
            sizes[function] = sum(size(each, (*inside, function)) if each in bodies else 1 for each in bodies[function])
        return min(sizes[function], MOST_NODES + 1)

    calls = [(node.domain, node.op_type) for node in model.graph.node]
    if sum(size(each, ()) if each in bodies else 1 for each in calls) > MOST_NODES:
        raise ModelReadError(f"its functions, written out, have more than {MOST_NODES:,} nodes")
    try:
        inlined: onnx.ModelProto = inline_local_functions(model)
    except Exception as error:  # whatever the package raises on functions that are not sound
        raise ModelReadError(f"its functions cannot be written out: {first_line(error)}") from None
    return inlined
