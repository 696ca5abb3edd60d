"""Nearest centroids of many short vectors: neighbours in space share one box, and a box rules most centroids out.

Samples are sorted along a space-filling curve (Morton 1966) and cut into leaves of equal count. For a leaf, centroid z
is out of the question when even the corner of its box nearest to z is nearer to another (Kanungo et al., *An efficient
k-means clustering algorithm*, PAMI 2002). What is left is a handful per leaf, tried on all of its samples: the
assignment is that of trying all centroids.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

LEAF = 64
"""Samples in a leaf."""
GROUP = 4096
"""Pairs of a leaf and a centroid that are worked on at once."""
SPAN = 16
"""Leaves in a branch, which rules out most centroids for all of them at once."""
MOST_DIMENSIONS = 4
"""Beyond these, boxes rule out too little."""
SLACK = 1e-5
"""Relative rounding of squared distances in 32 bits, generously: a centroid within it stays in question."""


class Leaves:
    """Samples (n, d) with weights (n,), arranged once for many assignments."""

    def __init__(self, points: Tensor, weights: Tensor | None) -> None:
        count, d = points.shape
        self.middle = points.mean(dim=0)
        centred = points - self.middle
        self.order = _along_the_curve(centred)
        leaves = -(-count // LEAF)
        padded = torch.cat((self.order, self.order[-1:].expand(leaves * LEAF - count)))
        self.points = centred[padded].reshape(leaves, LEAF, d).transpose(1, 2).contiguous()
        """(leaves, d, LEAF), about the samples' mean; the last sample fills up the last leaf, with no weight."""
        mass = points.new_ones(len(padded)) if weights is None else weights[padded].clone()
        mass[count:] = 0
        self.weighted = torch.cat((self.points, self.points.new_ones(leaves, 1, LEAF)), 1).mul_(mass.view(-1, 1, LEAF))
        """(leaves, d + 1, LEAF): what is summed, the weight last."""
        self.totals = self.weighted.sum(dim=2, dtype=torch.float64)
        branches = -(-leaves // SPAN)
        members = torch.arange(branches * SPAN, device=points.device).view(branches, SPAN)
        self.own = members < leaves
        """What is a member of its branch, and not the last leaf again to fill it up."""
        self.members = members.clamp(max=leaves - 1)
        self.low, self.high = self.points.amin(dim=2)[self.members], self.points.amax(dim=2)[self.members]
        self.count = count

    def step(self, centroids: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted sums (k, d) and weights (k,) of the samples nearest to each centroid, in 64 bits."""
        k, d = centroids.shape
        total = self.totals.new_zeros(k, d + 1)
        taken = torch.empty_like(self.weighted[: GROUP // 2])
        for leaves, table, scores in self._scored(centroids):
            if scores is None:
                total.index_add_(0, table[:, 0], self.totals[leaves])
                continue
            hits = first_hits(scores)
            torch.index_select(self.weighted, 0, leaves, out=taken[: len(leaves)])
            sums = hits @ taken[: len(leaves)].transpose(1, 2)
            total.index_add_(0, table.reshape(-1), sums.reshape(-1, d + 1).double())
        return total[:, :d] + total[:, d:] * self.middle, total[:, d]

    def labels(self, centroids: Tensor) -> Tensor:
        """The nearest centroid (n,) of every sample."""
        found = torch.empty(len(self.points), LEAF, dtype=torch.int64, device=centroids.device)
        for leaves, table, scores in self._scored(centroids):
            found[leaves] = table.expand(-1, LEAF) if scores is None else table.gather(1, argmin(scores))
        unsorted = torch.empty(self.count, dtype=torch.int64, device=centroids.device)
        unsorted[self.order] = found.reshape(-1)[: self.count]
        return unsorted

    def _scored(self, centroids: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        """Leaves (l,), the centroids in question (l, m), and their scores (l, m, LEAF), None where there is but one.

        A score is the squared distance less the sample's own square.
        """
        centred = centroids - self.middle
        squares = (centred * centred).sum(dim=1)
        held = squares.new_empty(max(GROUP, 2 * len(centroids)) * LEAF)
        taken = torch.empty_like(self.points[: GROUP // 2])
        for leaves, table, real in self._in_question(centred, squares):
            scores = None
            if table.shape[1] > 1:
                # Into memory that is held: fresh pages would cost several times the arithmetic.
                scores = held[: table.numel() * LEAF].view(*table.shape, LEAF)
                torch.index_select(self.points, 0, leaves, out=taken[: len(leaves)])
                own = squares[table].masked_fill_(~real, torch.inf)[..., None]
                torch.baddbmm(own, centred[table], taken[: len(leaves)], alpha=-2, out=scores)
            yield leaves, table, scores

    def _in_question(self, centroids: Tensor, squares: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Leaves and the centroids that may be nearest to a sample of theirs, in tables as of `_tables`."""
        branches = len(self.members)
        branch_of, centroid_of = [], []
        for start in range(0, branches, 128):
            rows = slice(start, start + 128)
            boxes = self.low[rows].amin(dim=1, keepdim=True), self.high[rows].amax(dim=1, keepdim=True)
            kept = _possible(*boxes, centroids[None], squares[None])[:, 0]
            branch, centroid = kept.nonzero().unbind(1)
            branch_of.append(branch + start)
            centroid_of.append(centroid)
        leaf_of, of_leaf = [], []
        for chosen, table, real in _tables(torch.cat(branch_of), torch.cat(centroid_of), branches, 1 << 12):
            kept = _possible(self.low[chosen], self.high[chosen], centroids[table], squares[table])
            kept &= real[:, None] & self.own[chosen][:, :, None]
            branch, member, place = kept.nonzero().unbind(1)
            leaf_of.append(self.members[chosen[branch], member])
            of_leaf.append(table[branch, place])
        leaf, centroid = torch.cat(leaf_of), torch.cat(of_leaf)
        order = leaf.argsort(stable=True)
        yield from _tables(leaf[order], centroid[order], len(self.points), GROUP)


def _possible(low: Tensor, high: Tensor, centroids: Tensor, squares: Tensor) -> Tensor:
    """Which centroids (b, m, d) may be the nearest to some place in each box (b, n, d): true or false (b, n, m).

    Against the one nearest to the middle, z is not when `|x - best|^2 < |x - z|^2` at every corner x of the box.
    """
    middle, half = (low + high) / 2, (high - low) / 2
    scores = squares[:, None] - 2 * (middle @ centroids.transpose(1, 2))
    least, best = scores.min(dim=2, keepdim=True)
    gap = torch.zeros_like(scores)
    for axis in range(low.shape[2]):
        places = centroids[:, None, :, axis].expand_as(scores)
        gap.addcmul_((places - places.gather(2, best)).abs_(), half[..., axis, None], value=2)
    own = (middle * middle).sum(dim=2, keepdim=True)
    possible: Tensor = scores - least <= gap.add_(squares[:, None] + own, alpha=SLACK)
    return possible


def _tables(owner: Tensor, item: Tensor, owners: int, entries: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Items of every owner (sorted) as tables: owners (l,), items (l, w), and which of these are real (l, w).

    Widths are powers of two; beyond an owner's own, its last item is repeated.
    """
    counts = torch.bincount(owner, minlength=owners)
    begins, widest = counts.cumsum(0) - counts, int(counts.max())
    width = 1
    while width < 2 * widest:
        chosen = ((counts <= width) & (counts > width // 2)).nonzero()[:, 0]
        places = torch.arange(width, device=owner.device)
        size = len(chosen) if width == 1 else entries // width
        for part in torch.split(chosen, max(1, size)) if len(chosen) else ():
            real = places < counts[part][:, None]
            yield part, item[begins[part][:, None] + torch.minimum(places, counts[part][:, None] - 1)], real
        width *= 2


def first_hits(scores: Tensor) -> Tensor:
    """One where `scores` (b, k, n) are least along k, the first among equals, and zero elsewhere; overwrites them."""
    least = scores.amin(dim=1, keepdim=True)
    columns = scores.shape[0] * scores.shape[2]
    torch.eq(scores, least, out=scores)
    if scores.sum(dtype=torch.float64) != columns:
        batch, column = (scores.sum(dim=1) != 1).nonzero().unbind(1)
        first = scores[batch, :, column].argmax(dim=1)
        scores[batch, :, column] = 0
        scores[batch, first, column] = 1
    return scores


def argmin(scores: Tensor) -> Tensor:
    """First place (b, n) of the least of `scores` (b, k, n) along k, which it overwrites: faster than a search."""
    places = torch.arange(scores.shape[1], dtype=scores.dtype, device=scores.device).expand(len(scores), 1, -1)
    return torch.bmm(places, first_hits(scores))[:, 0].long()


def _along_the_curve(centred: Tensor) -> Tensor:
    """Order (n,) of the samples along Morton's curve, fine where most of them are."""
    d = centred.shape[1]
    bits = min(10, 30 // d)
    reach = (4 * centred.std(dim=0, correction=0)).clamp_min(torch.finfo(centred.dtype).tiny)
    code = torch.zeros(len(centred), dtype=torch.int32, device=centred.device)
    for axis in range(d):
        place = ((centred[:, axis] / reach[axis]).clamp_(-1, 1).add_(1) * ((1 << (bits - 1)) - 0.5)).int()
        for bit in range(bits):
            code |= ((place >> bit) & 1) << (bit * d + axis)
    return code.argsort(stable=True)
