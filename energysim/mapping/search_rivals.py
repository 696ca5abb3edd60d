"""The next-best order: what it would cost to keep other tensors still in the innermost loop of a memory's block."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from energysim.costs.prices import unit_prices
from energysim.hardware.accelerator import Accelerator, EnergyTable
from energysim.mapping.counts import Counts, count_many
from energysim.mapping.nest import Loop, Mapping, Storage
from energysim.mapping.search_orders import orders
from energysim.mapping.sharing import executed
from energysim.workload.layer import Layer

Run = tuple[int, int]
"""First position of some temporal loops that stand together in a nest, and the position behind them."""


@dataclass(frozen=True, slots=True)
class Rival:
    """Another order (outermost first) of one memory's temporal loops, at the same tiles.

    `still` and `other_still`: tensors that the innermost loop does not touch, now and in the other order; `more_pj` is
    what the other order takes beyond this one in dynamic energy, `share` the same relative to this one.
    """

    memory: str
    order: tuple[str, ...]
    still: tuple[str, ...]
    other_still: tuple[str, ...]
    more_pj: float
    share: float


def rivals(layer: Layer, accelerator: Accelerator, table: EnergyTable, mapping: Mapping) -> tuple[Rival, ...]:
    """For each block of temporal loops the cheapest order with other tensors still in its innermost loop, if any.

    A block is all loops between two marks or spatial loops, and belongs to the innermost memory marked outside it;
    blocks with two loops over one dim are left out.
    """
    mapping = Mapping(tuple(x for x in mapping.nest if isinstance(x, Storage) or x.bound > 1))
    now = _energy(layer, accelerator, table, mapping)
    found = []
    for memory, (start, end) in _runs(mapping, accelerator):
        loops = {x.dim: x for x in mapping.nest[start:end] if isinstance(x, Loop)}
        if len(loops) < end - start:
            continue
        still = _still(layer, mapping.nest[end - 1])
        best: tuple[float, tuple[str, ...]] | None = None
        for order in _orders(layer, tuple(loops)):
            if _still(layer, loops[order[-1]]) == still:
                continue
            nest = (*mapping.nest[:start], *(loops[d] for d in order), *mapping.nest[end:])
            pj = _energy(layer, accelerator, table, Mapping(nest))
            best = min(best or (pj, order), (pj, order))
        if best is not None:
            pj, order = best
            other = _still(layer, loops[order[-1]])
            found.append(Rival(memory, order, still, other, pj - now, (pj - now) / now if now else 0.0))
    return tuple(found)


def _runs(mapping: Mapping, accelerator: Accelerator) -> Iterator[tuple[str, Run]]:
    """Each block of temporal loops with the memory that it belongs to."""
    rank = {memory.name: i for i, memory in enumerate(accelerator.memories)}
    memory, start = accelerator.memories[0].name, 0
    for i, item in enumerate((*mapping.nest, Storage(accelerator.memories[0].name, ""))):
        if isinstance(item, Loop) and item.axis is None:
            continue
        if i > start:
            yield memory, (start, i)
        start = i + 1
        if isinstance(item, Storage):
            memory = max(memory, item.memory, key=rank.__getitem__)


def _still(layer: Layer, innermost: Loop | Storage) -> tuple[str, ...]:
    """Tensors that a loop does not touch."""
    return tuple(t.name for t in layer.tensors if isinstance(innermost, Loop) and innermost.dim not in t.dims)


def _orders(layer: Layer, dims: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Orders worth a look for each choice of the innermost dim: of the others, none as good as another."""
    for last in dims:
        rest = tuple(d for d in dims if d != last)
        seen = []
        for tensor in layer.tensors:
            sums = {d for rank in tensor.ranks if len(rank.dims) > 1 for d in rank.dims}
            seen.append((frozenset(tensor.dims - sums) & set(rest), frozenset(sums) & set(rest)))
        yield from ((*order, last) for order in orders(rest, tuple(seen)))


def _energy(layer: Layer, accelerator: Accelerator, table: EnergyTable, mapping: Mapping) -> float:
    """Dynamic energy in pJ of a legal mapping."""
    values, steps = count_many(layer, accelerator, mapping.nest, np.array([[loop.bound for loop in mapping.loops]]))
    dense = Counts({key: int(n[0]) for key, n in values.items() if n[0]}, int(steps[0]))
    counted = executed(layer, accelerator, mapping, dense).values
    prices = unit_prices(layer, accelerator, table, mapping, counted)
    return sum(number * prices[key] for key, number in counted.items())
