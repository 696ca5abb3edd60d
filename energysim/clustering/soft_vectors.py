"""One DKM layer's loop on vectors, streamed: soft assignments are recomputed in backward, never kept (DKM §3).

All gradients are those of the whole unrolled loop. Matrices of a block lie centroid by centroid (k x rows), which
makes every sum over centroids a sum of long rows; sums over samples are taken in 64 bits between blocks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import log
from typing import Any

import torch
from torch import Tensor

from energysim.clustering.threads import one_thread

BLOCK_ENTRIES = 1 << 17
"""Soft assignments held at once: half a megabyte, which stays in a core's cache."""
LOG2_E = 1 / log(2)
"""Logits are in powers of two: `exp2` takes a quarter of the time of `exp`."""
TINY = torch.finfo(torch.float64).tiny


class SoftVectors(torch.autograd.Function):
    """`(soft samples (n, d), last centroids (k, d))` of samples (n, d), first centroids (k, d), and the settings.

    `noise_seed` is None, or seeds Gumbel noise on the logits, drawn anew for every iteration. The centroids that
    come out carry no gradient; the soft samples' gradient runs through all iterations.
    """

    @staticmethod
    @one_thread()
    def forward(
        ctx: Any,
        samples: Tensor,
        centroids: Tensor,
        temperature: float,
        iterations: int,
        epsilon: float,
        noise_seed: int | None,
    ) -> tuple[Tensor, Tensor]:
        """Iterate until no centroid moves by more than `epsilon`, then give every sample its soft centroid."""
        path, masses, d = [centroids], [], samples.shape[1]
        for iteration in range(iterations):
            sums = centroids.new_zeros(len(centroids), d + 1, dtype=torch.float64)
            for block in _Blocks(samples, path[-1], temperature, _noise(noise_seed, iteration)):
                sums += block.shares @ (block.samples * block.inverse).T
            sums, mass = sums[:, :d], sums[:, d]
            moved = torch.where(mass[:, None] > 0, sums / mass[:, None].clamp_min(TINY), path[-1].double())
            path.append(moved.to(centroids))
            masses.append(mass)
            if float((path[-1] - path[-2]).abs().max()) <= epsilon:
                break
        soft = torch.empty_like(samples)
        blocks = _Blocks(samples, path[-2], temperature, _noise(noise_seed, len(masses) - 1))
        for block in blocks:
            soft[block.rows] = (path[-1].T @ block.shares).mul_(block.inverse).T
        ctx.save_for_backward(samples, *path, *masses)
        ctx.temperature, ctx.noise_seed = temperature, noise_seed
        ctx.mark_non_differentiable(path[-1])
        return soft, path[-1]

    @staticmethod
    @one_thread()
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Walk the iterations back, with the soft assignments computed anew."""
        samples, *rest = ctx.saved_tensors
        iterations = len(rest) // 2
        path, masses = rest[: iterations + 1], rest[iterations + 1 :]
        given = gradients[0].contiguous()
        of_samples = torch.zeros_like(samples)
        of_centroids = torch.zeros_like(path[-1], dtype=torch.float64)
        blocks = _Blocks(samples, path[-2], ctx.temperature, _noise(ctx.noise_seed, iterations - 1))
        for block in blocks:
            of_centroids += block.shares @ (given[block.rows].T * block.inverse).T
        for i in reversed(range(iterations)):
            noise = _noise(ctx.noise_seed, i)
            alive = masses[i][:, None] > 0
            pull = torch.where(alive, of_centroids / masses[i][:, None].clamp_min(TINY), 0.0)
            kept = torch.where(alive, 0.0, of_centroids)
            upstream = given if i == iterations - 1 else None
            back = _back if samples.shape[1] > 1 else _back_scalar
            of_centroids = kept + back(
                samples, path[i], path[i + 1], pull.to(samples), upstream, of_samples, ctx.temperature, noise
            )
        return of_samples, None, None, None, None, None


def _noise(seed: int | None, iteration: int) -> torch.Generator | None:
    return None if seed is None else torch.Generator().manual_seed(seed + iteration)


@dataclass(frozen=True, slots=True)
class _Block:
    """Some samples with a one below each (d + 1, rows), and their soft assignments."""

    rows: slice
    samples: Tensor
    shares: Tensor
    """Soft assignments (k, rows) before division."""
    inverse: Tensor
    """One over their sums (rows,)."""


class _Blocks:
    """Soft assignments of all samples, block by block, in buffers that the next block overwrites."""

    def __init__(self, samples: Tensor, centroids: Tensor, temperature: float, noise: torch.Generator | None) -> None:
        self.samples, self.centroids, self.noise = samples, centroids, noise
        self.size = min(len(samples), max(16, BLOCK_ENTRIES // len(centroids)))
        scale = LOG2_E / temperature
        self.factors = torch.cat((centroids * (2 * scale), (centroids * centroids).sum(1, keepdim=True) * -scale), 1)
        self.scale = scale

    def __iter__(self) -> Iterator[_Block]:
        d = self.samples.shape[1]
        held = self.samples.new_empty(len(self.centroids), self.size)
        ones = self.samples.new_ones(d + 1, self.size)
        for start in range(0, len(self.samples), self.size):
            rows = slice(start, min(start + self.size, len(self.samples)))
            count = rows.stop - start
            if count < self.size:
                held, ones = held.new_empty(len(held), count), ones.new_ones(d + 1, count)
            ones[:d] = self.samples[rows].T
            if d == 1:
                # The difference itself, not its expansion: nothing cancels where the temperature is low.
                torch.sub(ones[:1], self.centroids, out=held)
                held.mul_(held).mul_(-self.scale)
            else:
                torch.mm(self.factors, ones, out=held)
            if self.noise is not None:
                uniform = torch.rand(held.shape, generator=self.noise, dtype=held.dtype).to(held.device)
                uniform.clamp_min_(torch.finfo(held.dtype).tiny)
                held.sub_(uniform.log_().neg_().log_(), alpha=LOG2_E)
            held.sub_(held.amax(dim=0)).exp2_()
            yield _Block(rows, ones, held, held.sum(dim=0).reciprocal_())


def _back(
    samples: Tensor,
    before: Tensor,
    after: Tensor,
    pull: Tensor,
    upstream: Tensor | None,
    of_samples: Tensor,
    temperature: float,
    noise: torch.Generator | None,
) -> Tensor:
    """Add one iteration's gradient to `of_samples` and return that of the centroids `before` it, in 64 bits.

    `pull` (k, d) is the gradient of the centroids `after` over their mass; `upstream` (n, d) that of the soft
    samples, where the iteration is the last.
    """
    d = samples.shape[1]
    total = before.new_zeros(len(before), d + 1, dtype=torch.float64)
    factors = torch.cat((pull, -(pull * after).sum(dim=1, keepdim=True)), dim=1)
    if upstream is not None:
        factors = torch.cat((factors, after), dim=1)
    outward = torch.cat((before.T * (2 / temperature), pull.T), dim=1)
    blocks = _Blocks(samples, before, temperature, noise)
    both = before.new_empty(2, len(before), blocks.size)
    for block in blocks:
        inputs = block.samples if upstream is None else torch.cat((block.samples, upstream[block.rows].T))
        if both.shape[2] != inputs.shape[1]:
            both = both.new_empty(2, len(before), inputs.shape[1])
        of_logits, shares = both
        torch.mul(block.shares, block.inverse, out=shares)
        torch.mm(factors, inputs, out=of_logits)
        of_logits.sub_(torch.linalg.vecdot(shares, of_logits, dim=0)).mul_(shares)
        of_samples[block.rows] += (outward @ both.reshape(-1, inputs.shape[1])).T
        total += of_logits @ block.samples.T
    return (total[:, :d] - before * total[:, d:]) * (2 / temperature)


def _back_scalar(
    samples: Tensor,
    before: Tensor,
    after: Tensor,
    pull: Tensor,
    upstream: Tensor | None,
    of_samples: Tensor,
    temperature: float,
    noise: torch.Generator | None,
) -> Tensor:
    """`_back` where d = 1, by differences: many centroids lie close together and far from zero, and products cancel.

    To the gradient of the soft assignments of a sample any number may be added; with -x for the soft weight,
    `pull (x - after) + upstream after` is `(x - after) (pull - upstream)`.
    """
    total = before.new_zeros(len(before), 1, dtype=torch.float64)
    for block in _Blocks(samples, before, temperature, noise):
        place = block.samples[:1]
        shares = block.shares.mul_(block.inverse)
        of_shares = (place - after).mul_(pull if upstream is None else pull - upstream[block.rows].T)
        of_logits = of_shares.sub_(torch.linalg.vecdot(shares, of_shares, dim=0)).mul_(shares)
        pushed = of_logits.mul_(place - before).mul_(2 / temperature)
        of_samples[block.rows] += (pull.T @ shares - pushed.sum(dim=0)).T
        total += pushed.sum(dim=1, keepdim=True)
    return total
