"""Post-training sharing in one call: every weight that a recipe names becomes a codebook and indices."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from energysim import __version__
from energysim.clustering.kmeans import FewerClustersWarning, kmeans
from energysim.clustering.recipe import Recipe, Sharing, Weight
from energysim.clustering.recipe_read import RecipeLike, as_recipe
from energysim.clustering.regulariser import sparse_kmeans
from energysim.clustering.weights import (
    DTYPES,
    check_tensor,
    guessed_kind,
    guessed_weights,
    identity,
    kinds_of,
    own_type,
    plain_state,
    to_dense,
    weights_of,
)
from energysim.compressed.codings import smallest
from energysim.compressed.model import FLOATING, Clustered, CompressedModel, Dense, WeightReport, zero_of
from energysim.compressed.report import weight_report
from energysim.errors import InputError
from energysim.granularity import Granularity

TOLERANCE = 1e-5
"""Of k-means where nothing is trained afterwards: a tenth of its default, as what it leaves is lost for good."""
LARGEST = 1e150
"""Magnitude of a weight of 64 bits that can be shared."""
Progress = Callable[[int, int], None]
"""Called with weights done and weights in all."""


def share(
    model: nn.Module | Mapping[str, Tensor],
    recipe: RecipeLike,
    *,
    name: str = "",
    progress: Progress | None = None,
) -> CompressedModel:
    """Cluster the weights of a model, or of a state dict, as a recipe says, without training; it is not changed.

    The result has every tensor of the state dict, tied weights once. `recipe` may be a line, a YAML file or a mapping.
    Raises InputError naming the weight that cannot be shared: NaN or infinite, integer, sparse, without values.
    """
    recipe = as_recipe(recipe)
    if isinstance(model, nn.Module):
        weights, state, kinds = weights_of(model), plain_state(model), kinds_of(model)
    else:
        weights, state = guessed_weights(model), dict(model)
        kinds = {
            key: guessed_kind(key, tuple(value.shape)) for key, value in state.items() if isinstance(value, Tensor)
        }
    name = name or (own_type(model).__name__ if isinstance(model, nn.Module) else "model")
    recipe.check_names(weights)
    plan = {weight.name: (weight, recipe.sharing_of(weight)) for weight in weights}
    shared: dict[str, tuple[Clustered, WeightReport]] = {}
    wanted = [(weight, sharing) for weight, sharing in plan.values() if sharing is not None]
    for done, (weight, sharing) in enumerate(wanted):
        if progress is not None:
            progress(done, len(wanted))
        if weight.name in state and weight.elements:
            shared[weight.name] = share_weight(state[weight.name], weight, sharing, recipe.seed, recipe.coding)
    if progress is not None:
        progress(len(wanted), len(wanted))
    if not shared:
        raise InputError(f"recipe '{recipe.text}' shares none of the {len(weights)} weights of '{name}'")
    return assembled(name, state, kinds, shared, recipe, weights)


def assembled(
    name: str,
    state: Mapping[str, Any],
    kinds: Mapping[str, str],
    shared: Mapping[str, tuple[Clustered, WeightReport]],
    recipe: Recipe,
    weights: list[Weight],
) -> CompressedModel:
    """A compressed model from shared weights and what is left of the state dict, with notes on what stayed dense."""
    tensors: dict[str, Dense | Clustered] = {}
    ties: dict[str, str] = {}
    kept: dict[object, str] = {}
    for key, value in state.items():
        check_tensor(key, value)
        if key in shared or identity(value) not in kept:
            kept[identity(value)] = key
    for key, value in state.items():
        if kept[identity(value)] != key:
            ties[key] = kept[identity(value)]
            continue
        tensors[key] = shared[key][0] if key in shared else to_dense(key, value, kinds.get(key, "other"))
    left = [weight.name for weight in weights if weight.name not in shared]
    notes = (*recipe.notes, *([f"not shared: {', '.join(left)}"] if left else []))
    content = {"text": recipe.text, "method": recipe.method, "seed": recipe.seed, "content": dict(recipe.plain)}
    report = tuple(line for _, line in shared.values())
    return CompressedModel(tensors, name, ties, content, f"energysim {__version__}", report, notes)


def share_weight(
    tensor: Tensor, weight: Weight, sharing: Sharing, seed: int, coding: str
) -> tuple[Clustered, WeightReport]:
    """One weight by k-means: its codebooks and indices, and how far they are from it."""
    values = checked(tensor, weight)
    axis, blocks = blocks_of(weight, sharing)
    scale = channel_scale(values, weight, sharing, axis)
    working = values.double() if values.dtype == torch.float64 else values.float()
    if scale is not None:
        working = working / scale
    granularity, axes = sharing.cut(weight), sharing.axes(weight)
    books, labels = [], []
    notes: list[str] = []
    for block in working.chunk(blocks, axis):
        samples = granularity.samples(block.permute(axes) if axes else block)
        try:
            book, label, said = _cluster(samples, sharing.clusters_of(len(samples)), sharing.zero_share, seed)
        except InputError as error:
            raise InputError(f"weight '{weight.name}': {error}") from None
        books.append(book)
        labels.append(label)
        notes += said
    return clustered(tensor, weight, granularity, books, labels, coding, axis, scale, tuple(dict.fromkeys(notes)), axes)


def clustered(
    tensor: Tensor,
    weight: Weight,
    granularity: Granularity,
    books: list[Tensor],
    labels: list[Tensor],
    coding: str,
    axis: int = 0,
    scale: Tensor | None = None,
    notes: tuple[str, ...] = (),
    axes: tuple[int, ...] = (),
) -> tuple[Clustered, WeightReport]:
    """Codebooks and labels of a weight's blocks as a `Clustered` in the weight's own dtype, with its report."""
    most = max(len(book) for book in books)
    padded = [torch.cat([book, book[-1:].expand(most - len(book), -1)]) for book in books]
    dtype = DTYPES[tensor.dtype]
    codebooks = to_dense(weight.name, torch.stack(padded).to(tensor.dtype)).values
    together = torch.cat(labels) if len(labels) > 1 else labels[0]
    indices = together.cpu().numpy().astype(np.uint32)
    along = None if scale is None else scale.flatten().cpu().numpy()
    if coding == "smallest":
        coding = smallest(indices, most, zero_of(codebooks))
    shape = tuple(tensor.shape)
    made = Clustered(codebooks, indices, shape, dtype, granularity, weight.kind, coding, axis, along, axes)
    return made, weight_report(weight.name, to_dense(weight.name, tensor).values, made, notes)


def checked(tensor: Tensor, weight: Weight) -> Tensor:
    """The values of a weight that can be shared; raises InputError naming it otherwise."""
    values = check_tensor(weight.name, tensor)
    dtype = DTYPES[values.dtype]
    if dtype not in FLOATING:
        raise InputError(f"weight '{weight.name}' is {dtype}; only {', '.join(FLOATING)} can be shared")
    if bad := int((~torch.isfinite(values)).sum()):
        raise InputError(f"weight '{weight.name}': {bad} of {values.numel()} values are NaN or infinite")
    if values.dtype == torch.float64 and values.numel() and float(values.abs().max()) > LARGEST:
        raise InputError(f"weight '{weight.name}': values beyond {LARGEST:g} have no squares to compare in 64 bits")
    return values


def blocks_of(weight: Weight, sharing: Sharing) -> tuple[int, int]:
    """The axis of a weight's output channels, and how many codebooks they have."""
    axis = 1 if weight.transposed else 0
    if sharing.channels_per_codebook is None and not sharing.per_channel_scale:
        return axis, 1
    if weight.groups > 1:
        raise InputError(f"weight '{weight.name}': a transposed convolution of groups has no single axis of channels")
    channels = weight.shape[axis]
    each = sharing.channels_per_codebook or channels
    if channels % each:
        raise InputError(f"weight '{weight.name}': {channels} output channels do not divide into groups of {each}")
    return axis, channels // each


def channel_scale(values: Tensor, weight: Weight, sharing: Sharing, axis: int) -> Tensor | None:
    """The largest magnitude of each output channel (1 for zeros), shaped to divide the weight; None where not asked."""
    if not sharing.per_channel_scale:
        return None
    others = [i for i in range(values.ndim) if i != axis]
    largest = values.float().abs().amax(others, keepdim=True)
    return torch.where(largest > 0, largest, torch.ones_like(largest))


def _cluster(samples: Tensor, k: int, zero_share: float, seed: int) -> tuple[Tensor, Tensor, list[str]]:
    """Centroids and labels of samples, and what is odd; with a zero share, the first centroid is exactly zero."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewerClustersWarning)
        if zero_share:
            result = sparse_kmeans(samples, k, zero_share=zero_share, seed=seed, tolerance=TOLERANCE)
        else:
            result = kmeans(samples, k, seed=seed, tolerance=TOLERANCE)
    fewer = len(result.centroids) < k
    notes = [f"{k} centroids asked, {len(result.centroids)} distinct samples: fewer kept"] if fewer else []
    return result.centroids, result.labels.int().cpu(), notes
