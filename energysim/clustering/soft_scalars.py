"""One DKM layer's loop on numbers, below n x k work: soft assignments are smooth functions of the weight.

`A_j(w) = softmax_j(-(w - c_j)^2 / tau)` is known at nodes only. Sums over weights become sums over nodes with masses,
and what every weight needs is read back by interpolation. Nodes are the distinct values of 16-bit weights (eDKM's
uniquification: nothing is approximated), or a grid of cubic interpolation that is fine enough for 32 bits: the
error at the middle of every cell, where it is greatest, is measured on the very tables that are read.
docs/decisions/soft-assignment.md has the bound.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, floor, log2
from typing import Any

import torch
from torch import Tensor

from energysim.clustering.threads import one_thread

BLOCK = 1 << 14
"""Weights, and node-by-centroid entries, that are worked on at once."""
CUBIC = torch.tensor(
    [[0.0, -2.0, 3.0, -1.0], [6.0, -3.0, -6.0, 3.0], [0.0, 6.0, 3.0, -3.0], [0.0, -1.0, 0.0, 1.0]],
    dtype=torch.float64,
).div_(6)
"""Powers of t (columns) in the weights of the nodes -1, 0, 1, 2 about a cell: Lagrange's cubic."""
FRACTION = 32
"""Grid steps within the distance over which a soft assignment changes."""
ROUNDING = 2.0**-25
"""Half a unit in the last place of a soft assignment in 32 bits."""
LEAST_MASS = 1e-2
"""A centroid with less than this part of one weight is too far out for interpolation."""


class SoftScalars(torch.autograd.Function):
    """Soft weights (n,) of weights (n,), whose loop over `nodes` has gone along `path` (r + 1, k)."""

    @staticmethod
    @one_thread()
    def forward(ctx: Any, weights: Tensor, nodes: "Nodes", path: Tensor, masses: Tensor, temperature: float) -> Tensor:
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
        yield slice(start, start + rows), _softmax(places[start : start + rows] - centroids[:, None], temperature)


def _softmax(distances: Tensor, temperature: float) -> Tensor:
    """Soft assignments (k, rows) of signed distances to centroids, which are overwritten."""
    return torch.softmax(distances.mul_(distances).mul_(-1 / temperature), dim=0)


@one_thread()
def scalar_path(
    nodes: "Nodes", centroids: Tensor, temperature: float, iterations: int, epsilon: float
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


def _back(nodes: "Nodes", given: Tensor, path: Tensor, masses: Tensor, temperature: float) -> Tensor:
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


@dataclass(frozen=True, slots=True)
class Distinct:
    """Nodes at the distinct values, `places` (m,), of 16-bit weights; `number` (65536,) finds a value's node."""

    places: Tensor
    mass: Tensor
    number: Tensor
    least_mass: float = 0.0

    def gathered(self, weights: Tensor, of_weights: Tensor) -> Tensor:
        """Sum (m,) of a number per weight at each node."""
        total = torch.zeros_like(self.places)
        for rows in _blocks(weights):
            total.index_add_(0, self.number[_codes(weights[rows])], of_weights[rows].double())
        return total

    def read(self, weights: Tensor, tables: Tensor, out: Tensor, scale: Tensor | None = None) -> None:
        """Into `out` (n,), the table (1, m); or two tables (2, m), the first times `scale` (n,) plus the second."""
        values = tables.float()
        for rows in _blocks(weights):
            found = values[:, self.number[_codes(weights[rows])]]
            out[rows] = found[0] if scale is None else found[0] * scale[rows] + found[1]


@dataclass(frozen=True, slots=True)
class Grid:
    """Nodes at whole multiples of 2^-`level`, from `first` on, for cubic interpolation of 32-bit weights."""

    places: Tensor
    mass: Tensor
    level: int
    first: int
    least_mass: float = LEAST_MASS

    def gathered(self, weights: Tensor, of_weights: Tensor) -> Tensor:
        """Sum (m,) of a number per weight at the nodes: the adjoint of `read`."""
        return _spread(weights, of_weights, self.level, self.first, len(self.places))

    def read(self, weights: Tensor, tables: Tensor, out: Tensor, scale: Tensor | None = None) -> None:
        """Into `out` (n,), the table (1, m); or two tables (2, m), the first times `scale` (n,) plus the second."""
        cells = len(self.places) - 3
        windows = torch.stack([tables[:, i : i + cells] for i in range(4)])
        powers = torch.einsum("op,otm->tpm", CUBIC.to(tables.device), windows).float().contiguous()
        for rows in _blocks(weights):
            cell, inside = _cells(weights[rows], self.level, self.first)
            found = [_polynomial(table, cell, inside) for table in powers]
            out[rows] = found[0] if scale is None else found[0].mul_(scale[rows]).add_(found[1])


Nodes = Distinct | Grid


@one_thread()
def distinct(weights: Tensor) -> Distinct:
    """Nodes for 16-bit weights (n,): no more than there are numbers of 16 bits."""
    counts = torch.zeros(1 << 16, dtype=torch.int64, device=weights.device)
    for rows in _blocks(weights):
        counts += torch.bincount(_codes(weights[rows]), minlength=1 << 16)
    used = counts.nonzero()[:, 0]
    number = torch.zeros_like(counts)
    number[used] = torch.arange(len(used), device=used.device)
    values = (used - (1 << 15)).to(torch.int16).view(weights.dtype)
    return Distinct(values.double(), counts[used].double(), number)


@one_thread()
def grid(weights: Tensor, centroids: Tensor, temperature: float) -> Grid | None:
    """A grid for 32-bit weights (n,), or None where it would not be much smaller than the weights.

    A soft assignment changes over `tau / (2 D)`, D being the widest gap of the centroids or their soft reach. The
    error of interpolation is measured in the middle of every cell, and the grid refined to below rounding.
    """
    low, high = (float(bound) for bound in torch.aminmax(weights))
    rising = centroids.double().sort().values
    widest = max(float(rising.diff().max()) if len(rising) > 1 else 0.0, (2 * temperature) ** 0.5)
    level = ceil(log2(FRACTION * 2 * widest / temperature))
    for finer in range(level, level + 3):
        step = 2.0**-finer if abs(finer) < 100 else 0.0
        if not step or (high - low) / step > len(weights) / 8 or max(-low, high) / step >= 2**22:
            return None
        first, last = floor(low / step) - 1, floor(high / step) + 2
        places = torch.arange(first, last + 1, dtype=torch.float64, device=weights.device) * step
        if _interpolation_error(places, step, rising, temperature) <= ROUNDING:
            return Grid(places, _spread(weights, None, finer, first, len(places)), finer, first)
    return None


def _interpolation_error(places: Tensor, step: float, centroids: Tensor, temperature: float) -> float:
    """Greatest error of any interpolated soft assignment in the middle of any cell."""
    worst, rows = 0.0, max(128, BLOCK // len(centroids))
    for start in range(0, len(places) - 3, rows):
        block = places[start : start + rows + 3]
        known = _softmax(block - centroids[:, None], temperature)
        exact = _softmax(block[1:-2] + step / 2 - centroids[:, None], temperature)
        read = (known[:, 1:-2] + known[:, 2:-1]).mul_(9).sub_(known[:, :-3]).sub_(known[:, 3:]).div_(16)
        worst = max(worst, float(read.sub_(exact).abs_().max()))
    return worst


def _blocks(weights: Tensor) -> Iterator[slice]:
    return (slice(start, start + BLOCK) for start in range(0, len(weights), BLOCK))


def _codes(weights: Tensor) -> Tensor:
    """16-bit numbers as whole numbers from 0 to 65535."""
    return weights.view(torch.int16).long().add_(1 << 15)


def _cells(weights: Tensor, level: int, first: int) -> tuple[Tensor, Tensor]:
    """Cell (n,) and place within it, 0 to 1; steps are powers of two, so that both are exact in 32 bits."""
    steps = weights * 2.0**level
    below = steps.floor()
    return below.int().sub_(first + 1), steps.sub_(below)


def _polynomial(powers: Tensor, cell: Tensor, inside: Tensor) -> Tensor:
    value = powers[3].index_select(0, cell)
    for power in (2, 1, 0):
        value = value.mul_(inside).add_(powers[power].index_select(0, cell))
    return value


def _spread(weights: Tensor, of_weights: Tensor | None, level: int, first: int, count: int) -> Tensor:
    """Sum (count,) of a number per weight, or of 1, at the nodes, by the cubic's weights."""
    moments = torch.zeros(4, count - 3, dtype=torch.float64, device=weights.device)
    for rows in _blocks(weights):
        cell, inside = _cells(weights[rows], level, first)
        powers = inside.double()
        term = torch.ones_like(powers) if of_weights is None else of_weights[rows].double()
        for power in range(4):
            moments[power].index_add_(0, cell, term)
            if power < 3:
                term = term * powers
    spread = CUBIC.to(weights.device) @ moments
    total = moments.new_zeros(count)
    for node in range(4):
        total[node : node + count - 3] += spread[node]
    return total
