"""What is in a model: its layer graph, and on demand what its weights are and how many activations are zero."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from energysim.errors import InputError
from energysim.workload.graph import LayerGraph, clean_name
from energysim.workload.read import call_function, is_function, name_of, read_model

if TYPE_CHECKING:
    from energysim.workload.onnx_weights import Measured

SHARED_AT_MOST = 1 / 4
"""Distinct values a weight, at most, for weights to count as shared already."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """A layer graph, by layer and tensor what weights are, and the density of tensors that were computed once."""

    graph: LayerGraph
    weights: Mapping[str, Mapping[str, "Measured"]]
    activations: Mapping[str, Mapping[str, float]]

    @property
    def shared(self) -> tuple[str, ...]:
        """Layers whose weights take few distinct values: shared or quantised already."""
        found = []
        for name, tensors in self.weights.items():
            known = [y for y in tensors.values() if y.elements > 1 and y.distinct is not None]
            if any(1 < y.distinct <= y.elements * SHARED_AT_MOST for y in known if y.distinct):
                found.append(name)
        return tuple(found)


def inspect_model(
    reference: str,
    *,
    read_weights: bool = False,
    inputs: str | Path | None = None,
    dims: Mapping[str, int] | None = None,
    trips: int | None = None,
    fold_batchnorm: bool = True,
    fuse_activations: bool = True,
) -> Inspection:
    """What is in a model that `read_model` reads.

    `read_weights` measures the weights, `inputs` (a .npz file of arrays by input name) runs the model once and measures
    zeros; both become densities of the graph. Either is for ONNX files and functions that return a torch module.
    Raises InputError.
    """
    if reference.lower().endswith(".onnx"):
        return _of_onnx(reference, read_weights, inputs, dims or {}, trips, (fold_batchnorm, fuse_activations))
    if is_function(reference) and (read_weights or inputs is not None):
        return _of_module(reference, read_weights, inputs, (fold_batchnorm, fuse_activations))
    if read_weights or inputs is not None:
        raise InputError(
            f"{clean_name(reference)}: weights and activations are measured of .onnx files and package.module:function"
        )
    graph = read_model(
        reference, dims=dims, trips=trips, fold_batchnorm=fold_batchnorm, fuse_activations=fuse_activations
    )
    return Inspection(graph, {}, {})


def _of_onnx(
    reference: str,
    read_weights: bool,
    inputs: str | Path | None,
    dims: Mapping[str, int],
    trips: int | None,
    options: tuple[bool, bool],
) -> Inspection:
    from energysim.workload.from_onnx import measure_weights, read_onnx, with_weight_densities

    arrays: dict[str, Any] = {}
    if inputs is not None:
        from energysim.workload.activations import dims_of_arrays, read_arrays

        arrays = read_arrays(inputs)
        dims = {**dims_of_arrays(reference, arrays), **dims}
    read = read_onnx(reference, dims=dims, trips=trips, folds=options[0], fuses=options[1])
    weights = measure_weights(read) if read_weights else {}
    graph = with_weight_densities(read, weights)
    activations: Mapping[str, Mapping[str, float]] = {}
    if inputs is not None:
        from energysim.workload.activations import onnx_densities

        activations = onnx_densities(read, arrays)
    return Inspection(with_densities(graph, activations), weights, activations)


def _of_module(reference: str, read_weights: bool, inputs: str | Path | None, options: tuple[bool, bool]) -> Inspection:
    made = call_function(reference)
    if isinstance(made, LayerGraph) or not (isinstance(made, Sequence) and len(made) == 2):
        raise InputError(f"{clean_name(reference)}: has no torch module whose weights or activations could be measured")
    module, example = made
    folds, fuses = options
    name = name_of(reference)
    graph = read_model(module, example_inputs=example, name=name, fold_batchnorm=folds, fuse_activations=fuses)
    weights: dict[str, dict[str, Measured]] = {}
    if read_weights:
        from energysim.workload.onnx_weights import measured

        state = {key: value.detach().cpu() for key, value in module.state_dict().items()}
        for layer in graph.layers:
            value = state.get(f"{layer.name}.weight")
            if value is not None and any(tensor.name == "weight" for tensor in layer.tensors):
                weights[layer.name] = {"weight": measured(value.float().numpy())}
        found = {name: {key: y.density for key, y in tensors.items()} for name, tensors in weights.items()}
        graph = with_densities(graph, found)
    activations: Mapping[str, Mapping[str, float]] = {}
    if inputs is not None:
        from energysim.workload.activations import read_arrays, torch_densities

        activations = torch_densities(module, example, graph, read_arrays(inputs))
    return Inspection(with_densities(graph, activations), weights, activations)


def with_densities(graph: LayerGraph, densities: Mapping[str, Mapping[str, float]]) -> LayerGraph:
    """The graph with densities by layer and tensor name."""
    changed = {}
    for layer in graph.layers:
        known = densities.get(layer.name, {})
        tensors = tuple(replace(y, density=known[y.name]) if y.name in known else y for y in layer.tensors)
        changed[layer.name] = replace(layer, tensors=tensors)
    return graph.with_layers(changed)
