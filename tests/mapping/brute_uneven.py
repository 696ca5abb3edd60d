"""Every uneven mapping of a tiny layer, by brute force: shares only the nouns and `count_many` with the search."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import permutations, product

import numpy as np

from energysim.costs.prices import unit_prices
from energysim.hardware.accelerator import Accelerator, EnergyTable, Memory
from energysim.mapping.constraints import Constraints, violations
from energysim.mapping.counts import count_many
from energysim.mapping.nest import Loop, Mapping, Storage, problems
from energysim.workload.layer import Layer
from tests.mapping.brute import Costs, latencies, nest_of, splits

Place = tuple[int, str | None]
"""Position in a skeleton (marks and places for loops), and the axis for spatial loops."""


def interleaved(chains: list[list[Storage]]) -> Iterator[tuple[Storage, ...]]:
    """All orders of marks in which each tensor's go from outer to inner memory."""
    if not any(chains):
        yield ()
        return
    for i, chain in enumerate(chains):
        if chain:
            for rest in interleaved([c[1:] if j == i else c for j, c in enumerate(chains)]):
                yield (chain[0], *rest)


def skeletons(
    layer: Layer, accelerator: Accelerator, bypass: dict[str, frozenset[str]]
) -> Iterator[list[Storage | list[Place]]]:
    """Nests as marks with places between them where one loop of each dim may stand: temporal (None) or on an axis."""
    segments: list[list[Memory]] = [[]]
    axes: list[list[str]] = [[]]
    for level in accelerator.levels[1:]:
        if isinstance(level, Memory):
            segments[-1].append(level)
        else:
            segments.append([])
            axes.append([f"{level.name}.{axis.name}" for axis in level.axes])
    orders = []
    for memories in segments:
        kept = lambda m, t: t.role in m.keeps and t.name not in bypass.get(m.name, frozenset())  # noqa: E731
        chains = [[Storage(m.name, t.name) for m in memories if kept(m, t)] for t in layer.tensors]
        orders.append(list(interleaved(chains)))
    outermost = accelerator.memories[0].name
    for choice in product(*orders):
        found: list[Storage | list[Place]] = [Storage(outermost, t.name) for t in layer.tensors]
        for n, marks in enumerate(choice):
            if n:
                found += [[(0, axis)] for axis in axes[n]]
            empty = bool(segments[n]) and not any(mark.memory == segments[n][0].name for mark in marks)
            if n == 0 or empty:
                found.append([(0, None)])
            for mark in marks:
                found += [mark, [(0, None)]]
        yield found


def nests(
    layer: Layer, accelerator: Accelerator, bypass: dict[str, frozenset[str]]
) -> Iterator[tuple[Mapping, np.ndarray]]:
    """Nests with an array of bounds, one row for each legal way to split the dims; loops of bound 1 are left out."""
    dims = [d for d, size in layer.dims.items() if size > 1]
    for skeleton in skeletons(layer, accelerator, bypass):
        places = [i for i, item in enumerate(skeleton) if isinstance(item, list)]
        axis_of = {i: item[0][1] for i, item in enumerate(skeleton) if isinstance(item, list)}
        grouped: dict[tuple[tuple[int, str], ...], list[dict[tuple[int, str], int]]] = defaultdict(list)
        for split in product(*(list(splits(layer.dims[d], len(places))) for d in dims)):
            bounds = {(i, d): row[n] for d, row in zip(dims, split, strict=True) for n, i in enumerate(places)}
            active = {key: bound for key, bound in bounds.items() if bound > 1}
            nest: list[Storage | Loop] = []
            for i, item in enumerate(skeleton):
                loops = [Loop(d, active[i, d], axis_of[i]) for d in dims if (i, d) in active]
                nest += [item] if isinstance(item, Storage) else loops
            if not problems(layer, accelerator, Mapping(tuple(nest))):
                grouped[tuple(sorted(active))].append(active)
        for keys, members in grouped.items():
            here = {i: [d for j, d in keys if j == i] for i in places}
            free = [i for i in places if axis_of[i] is None and i != places[-1] and len(here[i]) > 1]
            for chosen in product(*(permutations(here[i]) for i in free)):
                ordered = here | dict(zip(free, map(list, chosen), strict=True))
                loops_at = {i: [Loop(d, 2, axis_of[i]) for d in ordered[i]] for i in places}
                whole: list[Storage | Loop] = []
                for i, item in enumerate(skeleton):
                    whole += [item] if isinstance(item, Storage) else loops_at[i]
                columns = [(i, d) for i in places for d in ordered[i]]
                rows = np.array([[m[key] for key in columns] for m in members], dtype=np.int64)
                if touched(layer, whole):
                    yield Mapping(tuple(whole)), rows.reshape(len(members), len(columns))


def touched(layer: Layer, nest: list[Storage | Loop]) -> bool:
    """Whether the nearest loop outside every mark, up to the next array, is over a dim of its tensor."""
    dims = {tensor.name: tensor.dims for tensor in layer.tensors}
    for i, mark in enumerate(nest):
        if isinstance(mark, Storage):
            outer = next((x for x in reversed(nest[:i]) if isinstance(x, Loop)), None)
            if outer is not None and outer.axis is None and outer.dim not in dims[mark.tensor]:
                return False
    return True


def uneven_costs(
    layer: Layer,
    accelerator: Accelerator,
    table: EnergyTable,
    bypasses: list[dict[str, frozenset[str]]],
    asked: Constraints | None = None,
) -> Costs:
    """Energy and latency of all uneven mappings (that meet some constraints)."""
    energies, times = [np.zeros(0)], [np.zeros(0)]
    for bypass in bypasses:
        for mapping, every in nests(layer, accelerator, bypass):
            bounds = every
            if asked is not None:
                good = [
                    not violations(asked, layer, accelerator, nest_of(mapping, row), uneven=True)
                    for row in every.tolist()
                ]
                bounds = every[np.array(good)]
                if not len(bounds):
                    continue
            values, steps = count_many(layer, accelerator, mapping.nest, bounds)
            prices = unit_prices(layer, accelerator, table, mapping, values)
            cycles = latencies(layer, accelerator, mapping, bounds, values, steps)
            energy = cycles * (table.idle_power_w / accelerator.clock_hz * 1e12)
            energies.append(energy + sum(values[key] * prices[key] for key in values))
            times.append(cycles)
    return Costs(np.concatenate(energies), np.concatenate(times))


def least_uneven(
    layer: Layer,
    accelerator: Accelerator,
    table: EnergyTable,
    bypasses: list[dict[str, frozenset[str]]],
    asked: Constraints | None = None,
) -> tuple[float, int]:
    """The least energy in pJ over all uneven mappings (that meet some constraints), and how many there are."""
    costs = uneven_costs(layer, accelerator, table, bypasses, asked)
    return costs.least_energy, len(costs)
