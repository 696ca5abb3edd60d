"""Where soft assignments of numbers are known, so that every number can read its own: distinct values, or a grid.

A grid of one step is as fine everywhere as it must be where assignments change fastest. Where centroids are far apart
for the temperature they change in narrow zones about the middles only: a refined grid has its fine cells there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, floor, log, log2

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
REACH = 20
"""Units away from where it changes at which of a soft assignment exp(-20) = 2e-9 is left to change."""
LEAST_MASS = 1e-2
"""A centroid with less than this part of one weight is too far out for interpolation."""


def soft_assignments(distances: Tensor, temperature: float) -> Tensor:
    """Soft assignments (k, rows) of signed distances to centroids, which are overwritten."""
    return torch.softmax(distances.mul_(distances).mul_(-1 / temperature), dim=0)


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
class Finer:
    """How the cells (q,) of a grid are divided."""

    parts: Tensor
    """Fine cells of each cell, a power of two (q,), in 32-bit floats."""
    begin: Tensor
    """Number of its first fine cell (q,)."""
    nodes: Tensor
    """The first of the four nodes of every fine cell; each coarse cell has nodes of its own, beyond both its ends."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Nodes for cubic interpolation of 32-bit weights at whole multiples of 2^-`level`, from `first` on; or refined."""

    places: Tensor
    mass: Tensor
    level: int
    first: int
    finer: Finer | None = None
    least_mass: float = LEAST_MASS

    def gathered(self, weights: Tensor, of_weights: Tensor) -> Tensor:
        """Sum (m,) of a number per weight at the nodes: the adjoint of `read`."""
        return _spread(weights, of_weights, self.level, self.first, len(self.places), self.finer)

    def read(self, weights: Tensor, tables: Tensor, out: Tensor, scale: Tensor | None = None) -> None:
        """Into `out` (n,), the table (1, m); or two tables (2, m), the first times `scale` (n,) plus the second."""
        cells = len(self.places) - 3
        if self.finer is None:
            windows = torch.stack([tables[:, i : i + cells] for i in range(4)])
        else:
            windows = torch.stack([tables.index_select(1, self.finer.nodes + i) for i in range(4)])
        powers = torch.einsum("op,otm->tpm", CUBIC.to(tables.device), windows).float().contiguous()
        for rows in _blocks(weights):
            cell, inside = _cells(weights[rows], self.level, self.first, self.finer)
            found = [_polynomial(table, cell, inside) for table in powers]
            out[rows] = found[0] if scale is None else found[0].mul_(scale[rows]).add_(found[1])

    def error(self, path: Tensor, temperature: float) -> float:
        """Greatest error of any interpolated soft assignment to any of the centroids (r, k), in the middles of cells.

        Of a refined grid.
        """
        if self.finer is None:
            raise ValueError("a grid of one step is measured when it is made")
        worst, rows = 0.0, max(128, BLOCK // path.shape[1])
        for start in range(0, len(self.finer.nodes), rows):
            firsts = self.finer.nodes[start : start + rows]
            low = int(firsts[0])
            block, local = self.places[low : int(firsts[-1]) + 4], firsts - low
            middles = (block[local + 1] + block[local + 2]) / 2
            for centroids in path:
                known = soft_assignments(block - centroids[:, None], temperature)
                exact = soft_assignments(middles - centroids[:, None], temperature)
                read = known.index_select(1, local + 1).add_(known.index_select(1, local + 2)).mul_(9)
                read.sub_(known.index_select(1, local)).sub_(known.index_select(1, local + 3)).div_(16)
                worst = max(worst, float(read.sub_(exact).abs_().max()))
        return worst


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


@one_thread()
def refined(weights: Tensor, path: Tensor, temperature: float, fraction: int = FRACTION) -> Grid | None:
    """A grid for 32-bit weights (n,) that is fine where assignments to any of the centroids (r, k) change, or None.

    Between neighbours at a distance g they change about the middle like a logistic function of w / u, u = tau / 2g, and
    die away as exp(-|w - middle| / u): steps double whenever a cubic's error allows, and 20 u away nothing is left.
    `Grid.error` says how good it is. None where it would not be much smaller than the weights.
    """
    low, high = (float(bound) for bound in torch.aminmax(weights))
    rising = path.sort(dim=1).values
    gaps, middles = rising.diff(dim=1), (rising[:, 1:] + rising[:, :-1]) / 2
    apart = gaps.amin(dim=0) > 0
    if not bool(apart.any()):
        return None
    unit = temperature / (2 * gaps.amin(dim=0)[apart])
    widest = gaps.amax(dim=0)[apart].clamp_min((2 * temperature) ** 0.5)
    first, last = middles.amin(dim=0)[apart], middles.amax(dim=0)[apart]
    # Beyond the neighbours' middles nothing is left of either of the two.
    ends = (first - REACH * unit)[:-1], (last + REACH * unit)[1:]
    edge = torch.full_like(unit[:1], float("inf"))
    since, until = torch.cat((-edge, ends[0])), torch.cat((ends[1], edge))
    zones = torch.stack((first, last, unit, temperature / (2 * fraction * widest), since, until))
    best, most = None, len(weights) / 8
    coarsest = floor(-log2(32 * float(unit.min())))
    for level in range(coarsest, coarsest + 4):
        step = 2.0**-level if abs(level) < 100 else 0.0
        if not step or 4 * (high - low) / step > most or max(-low, high) / step >= 2**22:
            break
        begin = torch.arange(floor(low / step), floor(high / step) + 1, dtype=torch.float64, device=path.device) * step
        parts = _parts(begin, step, zones)
        if float(parts.sum()) + 3 * len(parts) < most:
            best, most = (level, begin, parts), float(parts.sum()) + 3 * len(parts)
    if best is None:
        return None
    level, begin, parts = best
    step, counts = 2.0**-level, parts.long()
    owner = torch.repeat_interleave(torch.arange(len(parts), device=path.device), counts + 3)
    base = torch.cumsum(counts + 3, 0) - counts - 3
    number = torch.arange(len(owner), device=path.device) - base[owner]
    places = begin[owner] + (number - 1) * (step / parts[owner])
    nodes = (number < counts[owner]).nonzero()[:, 0]
    finer = Finer(parts.float(), (torch.cumsum(counts, 0) - counts).int(), nodes)
    before = floor(low / step) - 1
    return Grid(places, _spread(weights, None, level, before, len(places), finer), level, before, finer)


def _parts(begin: Tensor, step: float, zones: Tensor) -> Tensor:
    """Into how many parts, powers of two (q,), each cell from `begin` (q,) on must be divided."""
    first, last, unit, fine, since, until = zones[:, :, None]
    parts = torch.ones_like(begin)
    rows = max(64, BLOCK // len(unit))
    for start in range(0, len(begin), rows):
        block = begin[start : start + rows]
        away = torch.maximum(block - last, first - block - step).clamp_min_(0).div_(unit)
        # A cubic's error grows with the fourth power of its step: 16 times less is left every log(16) units.
        needed = (away / log(16)).floor_().exp2_().mul_(fine)
        # Farther away only the nodes beside a cell must not reach back.
        needed = torch.where(away > REACH, (away - (REACH - 3)) * unit, needed)
        needed = needed.masked_fill_((block > until) | (block + step < since), step).amin(dim=0).clamp_max_(step)
        parts[start : start + rows] = (step / needed).log2_().ceil_().clamp_(0, 24).exp2_()
    return parts


def _interpolation_error(places: Tensor, step: float, centroids: Tensor, temperature: float) -> float:
    """Greatest error of any interpolated soft assignment in the middle of any cell."""
    worst, rows = 0.0, max(128, BLOCK // len(centroids))
    for start in range(0, len(places) - 3, rows):
        block = places[start : start + rows + 3]
        known = soft_assignments(block - centroids[:, None], temperature)
        exact = soft_assignments(block[1:-2] + step / 2 - centroids[:, None], temperature)
        read = (known[:, 1:-2] + known[:, 2:-1]).mul_(9).sub_(known[:, :-3]).sub_(known[:, 3:]).div_(16)
        worst = max(worst, float(read.sub_(exact).abs_().max()))
    return worst


def _blocks(weights: Tensor) -> Iterator[slice]:
    return (slice(start, start + BLOCK) for start in range(0, len(weights), BLOCK))


def _codes(weights: Tensor) -> Tensor:
    """16-bit numbers as whole numbers from 0 to 65535."""
    return weights.view(torch.int16).long().add_(1 << 15)


def _cells(weights: Tensor, level: int, first: int, finer: Finer | None) -> tuple[Tensor, Tensor]:
    """Cell (n,) and place within it, 0 to 1; steps are powers of two, so that both are exact in 32 bits."""
    steps = weights * 2.0**level
    below = steps.floor()
    cell, inside = below.int().sub_(first + 1), steps.sub_(below)
    if finer is None:
        return cell, inside
    inside.mul_(finer.parts.index_select(0, cell))
    below = inside.floor()
    return finer.begin.index_select(0, cell).add_(below.int()), inside.sub_(below)


def _polynomial(powers: Tensor, cell: Tensor, inside: Tensor) -> Tensor:
    value = powers[3].index_select(0, cell)
    for power in (2, 1, 0):
        value = value.mul_(inside).add_(powers[power].index_select(0, cell))
    return value


def _spread(
    weights: Tensor, of_weights: Tensor | None, level: int, first: int, count: int, finer: Finer | None = None
) -> Tensor:
    """Sum (count,) of a number per weight, or of 1, at the nodes, by the cubic's weights."""
    cells = count - 3 if finer is None else len(finer.nodes)
    moments = torch.zeros(4, cells, dtype=torch.float64, device=weights.device)
    for rows in _blocks(weights):
        cell, inside = _cells(weights[rows], level, first, finer)
        powers = inside.double()
        term = torch.ones_like(powers) if of_weights is None else of_weights[rows].double()
        for power in range(4):
            moments[power].index_add_(0, cell, term)
            if power < 3:
                term = term * powers
    spread = CUBIC.to(weights.device) @ moments
    total = moments.new_zeros(count)
    for node in range(4):
        if finer is None:
            total[node : node + cells] += spread[node]
        else:
            total.index_add_(0, finer.nodes + node, spread[node])
    return total
