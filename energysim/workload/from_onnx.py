"""From an ONNX file to a layer graph: shapes and types are read, weights stay in the file."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from energysim.errors import EnergysimError, InputError, ModelReadError
from energysim.workload.graph import Edge, LayerGraph, clean_name
from energysim.workload.onnx_file import first_line, read_structure

if TYPE_CHECKING:
    import onnx

    from energysim.workload.onnx_graph import GraphReader

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
    path = Path(path)
    _check_dims(dims, trips)
    model = read_structure(path)
    where = clean_name(str(path))
    try:
        reader = read_graph(model, dims, trips, fold_batchnorm, fuse_activations)
        work = reader.work
        edges = tuple(Edge(source, target, n) for (source, target), n in work.edges.items() if n)
        if not work.layers:
            raise ModelReadError("no operation computes anything from the inputs")
        label = clean_name(name or path.stem)
        graph = LayerGraph(
            label,
            tuple(work.layers),
            edges,
            warnings=tuple(dict.fromkeys(work.warnings)),
            assumptions=tuple(dict.fromkeys(work.assumptions)),
            unreached=reader.unreached(),
            unknown=tuple(dict.fromkeys(work.unknown)),
            assumed=tuple(dict.fromkeys(work.assumed)),
        )
        return _with_densities(graph, reader, path, model) if read_weights else graph
    except EnergysimError as error:
        raise ModelReadError(f"{where}: {error}") from error
    except RecursionError:
        raise ModelReadError(f"{where}: its graphs are nested too deeply") from None


def _with_densities(graph: LayerGraph, reader: "GraphReader", path: Path, model: "onnx.ModelProto") -> LayerGraph:
    """The graph with the share of each weight tensor that is not zero."""
    from energysim.workload.onnx_weights import measure

    used = frozenset[str]().union(*(names for tensors in reader.weights.values() for names in tensors.values()))
    found = measure(path, model, used)
    changed = {}
    for layer in graph.layers:
        names = reader.weights.get(layer.name, {})
        tensors = []
        for tensor in layer.tensors:
            known = [found[each] for each in names.get(tensor.name, ()) if each in found]
            elements = sum(each.elements for each in known)
            density = sum(each.nonzero for each in known) / elements if elements else tensor.density
            tensors.append(replace(tensor, density=density))
        changed[layer.name] = replace(layer, tensors=tuple(tensors))
    return graph.with_layers(changed)


def read_graph(
    model: "onnx.ModelProto", dims: Mapping[str, int], trips: int | None, fold_batchnorm: bool, fuse_activations: bool
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
    scope = Scope(model.graph)
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
