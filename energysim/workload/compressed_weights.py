"""Compressed weights in a layer graph: what hardware sees of a file's codebooks, indices and zeros, measured."""

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from energysim.compressed.codings import CODINGS
from energysim.compressed.file import read_compressed
from energysim.compressed.huffman import entropy_bits
from energysim.compressed.model import Clustered, CompressedModel, Dense
from energysim.compressed.size import WEIGHTS
from energysim.errors import ModelReadError, nearest
from energysim.workload.encoding import Codebook, Indices
from energysim.workload.graph import LayerGraph, clean_name
from energysim.workload.layer import Layer, Tensor
from energysim.workload.precision import kind

AXES = ("G", "M", "C", "R", "S")
"""Dims of a weight, in the order of its elements: (outputs, inputs per group, kernel) with the outputs by groups."""

SHOWN = 5
"""Names of a list that a message shows."""


def with_compressed(graph: LayerGraph, compressed: str | Path | CompressedModel) -> LayerGraph:
    """The graph with the weights of a compressed model: codebooks where it has them, and the share of zeros everywhere.

    A layer's weight is the tensor of its name and ".weight" (or of a name tied to that). The graph is named after both.
    Raises ModelReadError with both lists when weights and layers do not match, InputError when the file is not sound.
    """
    model = compressed if isinstance(compressed, CompressedModel) else read_compressed(compressed)
    label = model.name if isinstance(compressed, CompressedModel) else Path(compressed).stem
    tensors = dict(model.tensors) | {other: model.tensors[kept] for other, kept in model.ties.items()}
    weights = {
        name.removesuffix(".weight"): (name, tensor)
        for name, tensor in tensors.items()
        if isinstance(tensor, Clustered) or (tensor.kind in WEIGHTS and tensor.values.ndim > 1)
    }
    layers = {layer.name: layer for layer in graph.layers if _weight(layer) is not None}
    short = {other.removesuffix(".weight"): kept.removesuffix(".weight") for other, kept in model.ties.items()}
    used = {short.get(name, name) for name in layers} | set(layers)
    _check_names(graph, label, layers, weights, used | {other for other, kept in short.items() if kept in used})
    changed = {
        name: _with_weight(layer, *weights[name], model.name) for name, layer in layers.items() if name in weights
    }
    both = graph.name if graph.name.endswith(f"+{label}") else f"{graph.name}+{label}"
    return replace(graph.with_layers(changed), name=clean_name(both))


def _weight(layer: Layer) -> Tensor | None:
    """The trained weight of a layer; norms and element-wise operations have none to be shared."""
    if not layer.parameters or (layer.unit != "mac" and layer.op != "embedding"):
        return None
    return next((t for t in layer.tensors if kind(t) == "weight"), None)


def _check_names(
    graph: LayerGraph, label: str, layers: Mapping[str, Layer], weights: Mapping[str, Any], used: set[str]
) -> None:
    """Every weight needs its layer (`used` by one, under whatever name), every layer with weights its tensor."""
    lost = [name for name in weights if name not in used]
    missing = [name for name in layers if name not in weights]
    if not lost and not missing:
        return
    said = [f"'{label}' does not fit model '{graph.name}'"]
    if lost:
        said.append(f"weights without a layer: {_listed(lost)}{nearest(lost[0], missing or list(layers))}")
    if missing:
        said.append(f"layers without a weight: {_listed(missing)}{nearest(missing[0], lost or list(weights))}")
    raise ModelReadError("; ".join(said))


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(clean_name(name) for name in names[:SHOWN]) + more


def _with_weight(layer: Layer, name: str, tensor: Clustered | Dense, model: str) -> Layer:
    """The layer with the density of a weight's values and, where it is shared, its codebook."""
    weight = _weight(layer)
    if weight is None:
        return layer
    if prod(tensor.shape) != weight.elements(layer.dims):
        axes = " x ".join(f"{d} {layer.dims[d]}" for d in AXES if layer.dims[d] > 1)
        raise ModelReadError(
            f"'{clean_name(model)}': {clean_name(name)} has shape {tensor.shape}; layer '{layer.name}' has {axes}"
        )
    if isinstance(tensor, Clustered):
        density, codebook = _shared(layer, weight, tensor)
        made = replace(weight, density=density, codebook=codebook)
    else:
        zeros = int(np.count_nonzero(_is_zero(tensor.values, tensor.dtype)))
        made = replace(weight, density=1.0 - zeros / tensor.values.size)
    return replace(layer, tensors=tuple(made if t is weight else t for t in layer.tensors))


def _is_zero(values: Any, dtype: str) -> Any:
    """Where values in the carrier of a dtype are zero, of either sign."""
    return values & 0x7FFF == 0 if dtype == "BF16" else values == 0


def _shared(layer: Layer, weight: Tensor, tensor: Clustered) -> tuple[float, Codebook]:
    """The share of elements that are not zero, and the codebook as the hardware sees it."""
    per_block = tensor.indices.reshape(tensor.blocks, -1)
    counts = np.stack([np.bincount(each, minlength=tensor.clusters) for each in per_block])
    zeros = _is_zero(tensor.codebooks, tensor.dtype)
    zero_elements = int((counts * zeros.sum(axis=2)).sum())
    empty = zeros.all(axis=2)
    sample = _sample(layer, weight, tensor)
    codebook = Codebook(
        granularity=str(tensor.granularity),
        clusters=tensor.clusters,
        length=tensor.length,
        samples=tensor.samples,
        index_bits=tensor.index_bits,
        coded_bits=_file_bits(tensor) / tensor.samples,
        blocks=tensor.blocks,
        coding=tensor.coding,
        entropy_bits=entropy_bits(counts.sum(axis=0)),
        zero_share=float((counts * empty).sum() / tensor.samples),
        sample=None if sample is None else tuple(sample.items()),
        indices=None if sample is None else _indices(layer, tensor, sample, empty),
    )
    return 1.0 - zero_elements / (tensor.samples * tensor.length), codebook


def _file_bits(tensor: Clustered) -> int:
    """Bits of all indices as the file codes them, code tables and block lengths included."""
    if tensor.coding == "fixed":
        return tensor.samples * tensor.index_bits
    return CODINGS[tensor.coding].bits(tensor.indices, tensor.clusters, tensor.zero)


def _sample(layer: Layer, weight: Tensor, tensor: Clustered) -> dict[str, int] | None:
    """What a sample spans of the layer's dims; None where samples end inside a kernel or run over its channels."""
    dims, granularity, length = layer.dims, tensor.granularity, tensor.length
    outputs = len(tensor.shape) > 0 and tensor.shape[0] == dims["G"] * dims["M"]
    if granularity.transposed or tensor.axes or tensor.axis != 0 or not outputs or not weight.dims <= set(AXES):
        return None
    if tensor.samples * length != tensor.elements:
        return None
    spans: list[dict[str, int]] = [{}, {"S": dims["S"]}, {"R": dims["R"], "S": dims["S"]}]
    kernel = dims["R"] * dims["S"]
    if length % kernel == 0 and dims["C"] % (length // kernel) == 0:
        spans.append({"C": length // kernel, "R": dims["R"], "S": dims["S"]})
    return next((span for span in spans if prod(span.values()) == length), None)


def _indices(layer: Layer, tensor: Clustered, sample: Mapping[str, int], empty: Any) -> Indices:
    """The indices by the layer's dims; those of different codebooks differ, all zero samples share one."""
    narrow = np.min_scalar_type(tensor.blocks * tensor.clusters - 1)
    numbers = tensor.indices.reshape(tensor.blocks, -1).astype(narrow)
    numbers += (np.arange(tensor.blocks) * tensor.clusters).astype(narrow)[:, None]
    zero = -1
    if empty.any():
        first = np.flatnonzero(empty)
        zero = int(first[0])
        numbers[np.isin(numbers, first)] = zero
    shape = [layer.dims[d] // sample.get(d, 1) for d in AXES]
    return Indices(np.ascontiguousarray(numbers.reshape(shape)), zero)
