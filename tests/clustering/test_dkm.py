"""The DKM layer against a plain autograd reference, METHODS' worked example, and what users of others report."""

import pytest
import torch
from torch import Tensor

from energysim.clustering.dkm import DKM
from energysim.clustering.soft_scalars import SoftScalars, distinct, grid, scalar_path
from energysim.clustering.soft_vectors import SoftVectors
from energysim.errors import InputError, UnknownNameError

WORKED = torch.tensor([-0.10, -0.08, 0.01, 0.02, 0.09, 0.11])


def plain(weights: Tensor, centroids: Tensor, temperature: float, iterations: int, epsilon: float = 0.0) -> Tensor:
    """DKM §3 as it is written, every matrix kept: soft weights (n, d)."""
    for _ in range(iterations):
        distances = -((weights[:, None] - centroids) ** 2).sum(dim=-1)
        shares = torch.softmax(distances / temperature, dim=1)
        moved = (shares.T @ weights) / shares.sum(dim=0)[:, None]
        shift = (moved - centroids).abs().max()
        centroids = moved
        if shift <= epsilon:
            break
    return shares @ centroids


def started(layer: DKM, centroids: Tensor) -> DKM:
    layer.centroids[: len(centroids)] = centroids
    layer.in_use.fill_(len(centroids))
    return layer


def test_worked_example() -> None:
    # METHODS §3, to its printed digits: five iterations from (-.05, .05) at tau = 2e-3.
    layer = started(DKM(1, temperature=2e-3, iterations=1, epsilon=0, seed=0), torch.tensor([[-0.05], [0.05]]))
    path = []
    for _ in range(5):
        soft = layer(WORKED)
        path.append([round(x, 4) for x in layer.centroids[:, 0].tolist()])
    assert path == [[-0.0732, 0.0623], [-0.0833, 0.0591], [-0.0874, 0.0581], [-0.0883, 0.0579], [-0.0885, 0.0578]]
    assert [round(x, 4) for x in soft.tolist()] == [-0.0885, -0.0885, 0.0543, 0.0570, 0.0578, 0.0578]
    whole = started(DKM(1, temperature=2e-3, epsilon=0, seed=0), torch.tensor([[-0.05], [0.05]]))
    assert torch.allclose(whole(WORKED), soft, atol=1e-7)
    assert [round(x, 4) for x in whole.centroids[:, 0].tolist()] == path[-1]
