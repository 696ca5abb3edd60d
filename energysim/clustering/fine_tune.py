"""Sharing after training with the centroids fine-tuned on given data: everything else of the model stays as it is."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn

from energysim.clustering.prepare import finalize, prepare
from energysim.clustering.recipe_read import RecipeLike, as_recipe
from energysim.clustering.weights import our_parametrization
from energysim.compressed.model import CompressedModel
from energysim.errors import InputError


def fine_tune(
    model: nn.Module,
    recipe: RecipeLike,
    batches: Iterable[Any],
    loss: Callable[[nn.Module, Any], Tensor],
    *,
    rate: float = 0.01,
    momentum: float = 0.9,
) -> CompressedModel:
    """`share`, and a step of SGD on the centroids for every batch (Han16, 3.3); the model given is not changed.

    `loss(model, batch)` is a scalar. The model is in `eval()`: batch normalisation keeps its statistics. Raises
    InputError for what `share` refuses, and for a loss that is not finite, with the number of its batch.
    """
    if not (isfinite(rate) and rate > 0):
        raise InputError(f"the rate of fine-tuning must be above zero, not {rate}")
    shared = prepare(model, replace(as_recipe(recipe), method="kmeans")).eval()
    codebooks = [
        parameter
        for module in shared.modules()
        if our_parametrization(module) is not None
        for parameter in module.get_submodule("parametrizations").parameters()
    ]
    trained = list(dict.fromkeys(codebooks))
    optimiser = torch.optim.SGD(trained, rate, momentum=momentum)
    for number, batch in enumerate(batches):
        value = loss(shared, batch)
        if value.numel() != 1 or not bool(torch.isfinite(value)):
            raise InputError(f"batch {number}: the loss is {value.detach().tolist()}; it must be one finite number")
        gradients = torch.autograd.grad(value, trained, allow_unused=True)
        for parameter, gradient in zip(trained, gradients, strict=True):
            parameter.grad = gradient
        optimiser.step()
    return finalize(shared)
