"""One DKM layer's loop on numbers, below n x k work: soft assignments are smooth functions of the weight.

`A_j(w) = softmax_j(-(w - c_j)^2 / tau)` is known at nodes only. Sums over weights become sums over nodes with masses,
and what every weight needs is read back by interpolation. Nodes are the distinct values of 16-bit weights (eDKM's
uniquification: nothing is approximated), or a grid of cubic interpolation that is fine enough for 32 bits
(`soft_nodes`): the error at the middle of every cell, where it is greatest, is measured.
docs/decisions/soft-assignment.md has the bound.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from energysim.clustering.soft_nodes import BLOCK, Nodes, soft_assignments
from energysim.clustering.threads import one_thread


class SoftScalars(torch.autograd.Function):
    """Soft weights (n,) of weights (n,), whose loop over `nodes` has gone along `path` (r + 1, k)."""

    @staticmethod
    @one_thread()
    def forward(ctx: Any, weights: Tensor, nodes: Nodes, path: Tensor, masses: Tensor, temperature: float) -> Tensor:
        """Read every weight's soft centroid from the table at the nodes."""
        ctx.save_for_backward(weights, path, masses)
        ctx.nodes, ctx.temperature = nodes, temperature
        soft = torch.empty_like(weights)
        # Filled in place: small results kept between blocks would keep all of the blocks' memory from being used again.
        table = torch.empty(1, len(nodes.places), dtype=torch.float64, device=path.device)
        for rows, shares in _shares(nodes.places, path[-2], temperature):
            table[0, rows] = path[-1] @ shares
        nodes.read(weights, table, soft)
        return soft

    @staticmethod
    @one_thread()
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Sum the gradient at the nodes, walk the iterations back there, and read what each weight gets."""
        weights, path, masses = ctx.saved_tensors
        nodes, temperature = ctx.nodes, ctx.temperature
        given = gradients[0].contiguous()
        tables = _back(nodes, nodes.gathered(weights, given), path, masses, temperature)
        of_weights = torch.empty_like(weights)
        nodes.read(weights, tables, of_weights, given)
        return of_weights, None, None, None, None


def _shares(places: Tensor, centroids: Tensor, temperature: float) -> Iterator[tuple[slice, Tensor]]:
    """Soft assignments (k, rows) of numbers (m,), in 64 bits, a block at a time."""
    rows = max(128, BLOCK // len(centroids))
    for start in range(0, len(places), rows):
        yield (
            slice(start, start + rows),
            soft_assignments(places[start : start + rows] - centroids[:, None], temperature),
        )


@one_thread()
def scalar_path(
    nodes: Nodes, centroids: Tensor, temperature: float, iterations: int, epsilon: float
) -> tuple[Tensor, Tensor] | None:
    """Centroids (r + 1, k) of the r iterations taken and their masses (r, k), in 64 bits.

    None where a centroid is too far out for the nodes to say where it goes.
    """
    path, masses = [centroids.double()], []
    for _ in range(iterations):
        sums, mass = torch.zeros_like(path[0]), torch.zeros_like(path[0])
        for rows, shares in _shares(nodes.places, path[-1], temperature):
            mass += shares @ nodes.mass[rows]
            sums += shares @ (nodes.mass[rows] * nodes.places[rows])
        if float(mass.min()) < nodes.least_mass:
            return None
        path.append(torch.where(mass > 0, sums / mass, path[-1]))
        masses.append(mass)
        if float((path[-1] - path[-2]).abs().max()) <= epsilon:
            break
    return torch.stack(path), torch.stack(masses)


def _back(nodes: Nodes, given: Tensor, path: Tensor, masses: Tensor, temperature: float) -> Tensor:
    """Tables (2, m): the slope of the soft weight, and what a weight's part in all the centroids adds.

    `given` (m,) is the gradient of the soft weights, summed at the nodes.
    """
    tables = torch.zeros(2, len(nodes.places), dtype=torch.float64, device=path.device)
    of_centroids = torch.zeros_like(path[-1])
    for rows, shares in _shares(nodes.places, path[-2], temperature):
        of_centroids += shares @ given[rows]
    for i in reversed(range(len(masses))):
        before, after = path[i], path[i + 1]
        pull = torch.where(masses[i] > 0, of_centroids / masses[i], 0.0)
        of_centroids = torch.where(masses[i] > 0, 0.0, of_centroids)
        for rows, shares in _shares(nodes.places, before, temperature):
            places, mass = nodes.places[rows], nodes.mass[rows]
            mean = before @ shares
            # Few arrays of a block at once, worked on in place.
            toward = (places - after[:, None]).mul_(pull[:, None])
            part = toward * shares
            pulled = part.sum(dim=0)
            tables[1, rows] += pull @ shares + (before @ part - mean * pulled) * (2 / temperature)
            moved = toward.sub_(pulled).mul_(mass)
            if i == len(masses) - 1:
                soft = after @ shares
                tables[0, rows] = ((before * after) @ shares - mean * soft) * (2 / temperature)
                moved.add_(torch.sub(after[:, None], soft, out=part).mul_(given[rows]))
            of_nodes = moved.mul_(shares).mul_(torch.sub(places, before[:, None], out=part))
            of_centroids += of_nodes.sum(dim=1) * (2 / temperature)
    return tables
