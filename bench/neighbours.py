"""Random neighbours of found mappings, counted and priced: `python -m bench.neighbours [NETWORK [ACCELERATOR]]`.

An independent test of the search on layers far too large for brute force. A neighbour moves prime factors of dims
between loops (in time at any memory, in space on any axis), exchanges loops of one memory, sends a tensor past a memory
or back, or, with `uneven`, moves a storage mark past a loop. A legal neighbour cheaper than the result shows that the
result is not the best of its space; one cheaper than its `lower_bound_pj` shows that the bound is wrong: a bug.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.ours import SPACES, timed
from energysim.costs.latency import static_energy_pj
from energysim.costs.prices import unit_prices
from energysim.hardware.accelerator import Accelerator, EnergyTable
from energysim.hardware.read import read_accelerator
from energysim.mapping.counts import count, count_many
from energysim.mapping.nest import Loop, Mapping, Storage, problems
from energysim.mapping.search import SearchResult, energy_pj
from energysim.workload.graph import same_work
from energysim.workload.layer import Layer
from energysim.workload.read import read_model

Nest = list[Loop | Storage]
NEAR = 1e-9
"""Relative difference below which two energies are one."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A legal mapping near a found one that costs less, pJ; `bug`: less than what was proven to be the least."""

    mapping: Mapping
    energy_pj: float
    bug: bool


def cheaper_neighbours(
    layer: Layer,
    accelerator: Accelerator,
    table: EnergyTable,
    found: SearchResult,
    *,
    rounds: int = 20,
    batch: int = 500,
    seed: int = 0,
    uneven: bool = False,
) -> list[Neighbour]:
    """Legal neighbours of a result that cost less, cheapest first: `rounds` nests of `batch` factorisations each."""
    random = np.random.default_rng(seed)
    better: dict[Mapping, Neighbour] = {}
    limit = found.energy_pj * (1 - NEAR)
    for _ in range(rounds):
        nest = _disturbed(layer, accelerator, found.mapping, random, uneven)
        nest = _with_all_slots(layer, accelerator, nest, random, uneven)
        bounds = _factorisations(layer, nest, batch, random)
        energies = _energies(layer, accelerator, table, nest, bounds)
        for row in np.flatnonzero(energies < limit):
            mapping = _mapping(nest, bounds[row])
            if problems(layer, accelerator, mapping) or mapping in better:
                continue
            # priced once more by the plain road, so that nothing rests on this module's own sums
            exact = energy_pj(layer, accelerator, table, mapping, count(layer, accelerator, mapping))
            if exact < limit:
                better[mapping] = Neighbour(mapping, exact, exact < found.lower_bound_pj * (1 - NEAR))
    return sorted(better.values(), key=lambda each: each.energy_pj)


def ties(layer: Layer, accelerator: Accelerator, table: EnergyTable, found: SearchResult, most: int) -> list[Mapping]:
    """Up to `most` neighbours that cost what the result costs: another model may tell them apart."""
    wider = replace(found, energy_pj=found.energy_pj * (1 + 3 * NEAR))
    near = cheaper_neighbours(layer, accelerator, table, wider, rounds=8, batch=100)
    return [each.mapping for each in near if abs(each.energy_pj / found.energy_pj - 1) < NEAR][:most]


def _disturbed(
    layer: Layer, accelerator: Accelerator, mapping: Mapping, random: np.random.Generator, uneven: bool
) -> Nest:
    """A mapping's nest after none to two changes of order, bypass or (uneven) marks; it need not be legal."""
    nest = list(mapping.nest)
    changes = [_exchanged, _bypassed, *([_mark_moved] if uneven else [])]
    for _ in range(int(random.integers(0, 3))):
        nest = changes[int(random.integers(0, len(changes)))](layer, accelerator, nest, random)
    return nest


def _exchanged(layer: Layer, accelerator: Accelerator, nest: Nest, random: np.random.Generator) -> Nest:
    """Two temporal loops of one run between marks or spread loops change places."""
    runs = [run for run in _runs(nest) if len(run) > 1]
    if not runs:
        return nest
    run = runs[int(random.integers(0, len(runs)))]
    a, b = random.choice(run, 2, replace=False)
    nest = list(nest)
    nest[a], nest[b] = nest[b], nest[a]
    return nest


def _runs(nest: Nest) -> Iterator[list[int]]:
    """Positions of neighbouring temporal loops."""
    run: list[int] = []
    for i, item in enumerate(nest):
        if isinstance(item, Loop) and item.axis is None:
            run.append(i)
        elif run:
            yield run
            run = []
    if run:
        yield run


def _bypassed(layer: Layer, accelerator: Accelerator, nest: Nest, random: np.random.Generator) -> Nest:
    """One tensor passes a memory that allows it, or is held there again."""
    options = [
        Storage(memory.name, tensor.name)
        for memory in accelerator.memories[1:]
        for tensor in layer.tensors
        if tensor.role in memory.bypassable & memory.keeps
    ]
    if not options:
        return nest
    mark = options[int(random.integers(0, len(options)))]
    if mark in nest:
        return [item for item in nest if item != mark]
    beside = [i for i, item in enumerate(nest) if isinstance(item, Storage) and item.memory == mark.memory]
    place = beside[-1] if beside else _place_of(accelerator, nest, mark.memory)
    return [*nest[:place], mark, *nest[place:]]


def _place_of(accelerator: Accelerator, nest: Nest, memory: str) -> int:
    """Where the first mark of a memory may stand: inside all that belongs to levels outside it."""
    rank = {level.name: i for i, level in enumerate(accelerator.levels)}
    for i, item in enumerate(nest):
        level = item.memory if isinstance(item, Storage) else (item.axis or "").rsplit(".", 1)[0]
        if rank.get(level, -1) > rank[memory]:
            return i
    return len(nest)


def _mark_moved(layer: Layer, accelerator: Accelerator, nest: Nest, random: np.random.Generator) -> Nest:
    """One mark, not of the outermost memory, changes places with its neighbour; memories keep their order."""
    outermost = accelerator.memories[0].name
    marks = [i for i, item in enumerate(nest) if isinstance(item, Storage) and item.memory != outermost]
    i = marks[int(random.integers(0, len(marks)))]
    j = i + (1 if random.integers(0, 2) else -1)
    if not 0 < j < len(nest):
        return nest
    rank = {level.name: n for n, level in enumerate(accelerator.levels)}
    moved = list(nest)
    moved[i], moved[j] = moved[j], moved[i]
    order = [rank[item.memory] for item in moved if isinstance(item, Storage)]
    return moved if order == sorted(order) else nest


def _with_all_slots(
    layer: Layer, accelerator: Accelerator, nest: Nest, random: np.random.Generator, uneven: bool
) -> Nest:
    """The nest with a loop of every dim inside each memory and on every axis that takes it, those missing of one step.

    Inside a memory is inside its last mark, or with `uneven` inside each of its marks.
    """
    active = [d for d, size in layer.dims.items() if size > 1]
    nest = _spread(active, accelerator, nest)
    result: Nest = []
    i = 0
    while i < len(nest):
        item = nest[i]
        result.append(item)
        i += 1
        follower = nest[i] if i < len(nest) else None
        same = isinstance(item, Storage) and isinstance(follower, Storage) and follower.memory == item.memory
        if isinstance(item, Storage) and (uneven or not same):
            end = _run_end(nest, i)
            run, i = nest[i:end], end
            for d in active:
                if all(not isinstance(x, Loop) or x.dim != d for x in run):
                    run.insert(int(random.integers(0, len(run) + 1)), Loop(d, 1))
            result += run
    return result


def _run_end(nest: Nest, start: int) -> int:
    """Where the temporal loops that begin at `start` end."""
    end = start
    while end < len(nest) and (item := nest[end]) and isinstance(item, Loop) and item.axis is None:
        end += 1
    return end


def _spread(active: list[str], accelerator: Accelerator, nest: Nest) -> Nest:
    """The nest with every allowed dim on every axis, at the array's place."""
    for array in accelerator.arrays:
        present = [i for i, x in enumerate(nest) if isinstance(x, Loop) and (x.axis or "").startswith(f"{array.name}.")]
        place = present[-1] + 1 if present else _place_of(accelerator, nest, array.name)
        there = {(nest[i].dim, nest[i].axis) for i in present}  # type: ignore[union-attr]
        missing = [
            Loop(d, 1, f"{array.name}.{axis.name}")
            for axis in array.axes
            for d in active
            if (axis.dims is None or d in axis.dims) and (d, f"{array.name}.{axis.name}") not in there
        ]
        nest = [*nest[:place], *missing, *nest[place:]]
    return nest


def _factorisations(layer: Layer, nest: Nest, batch: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Bounds of the nest's loops in rows: the nest's own with one to three prime factors moved to other loops."""
    loops = [item for item in nest if isinstance(item, Loop)]
    rows = np.tile(np.array([loop.bound for loop in loops], dtype=np.int64), (batch, 1))
    slots = {d: [k for k, loop in enumerate(loops) if loop.dim == d] for d in layer.dims}
    movable = [d for d, size in layer.dims.items() if size > 1 and len(slots[d]) > 1]
    for row in rows:
        for _ in range(int(random.integers(1, 4))):
            if not movable:
                break
            d = movable[int(random.integers(0, len(movable)))]
            full = [k for k in slots[d] if row[k] > 1]
            if not full:
                continue
            source = full[int(random.integers(0, len(full)))]
            target = slots[d][int(random.integers(0, len(slots[d])))]
            primes = [
                p for p in range(2, int(row[source]) + 1) if row[source] % p == 0 and all(p % q for q in range(2, p))
            ]
            prime = primes[int(random.integers(0, len(primes)))]
            row[source] //= prime
            row[target] *= prime
    return np.unique(rows, axis=0)


def _energies(
    layer: Layer, accelerator: Accelerator, table: EnergyTable, nest: Nest, bounds: NDArray[np.int64]
) -> NDArray[np.float64]:
    """What each row costs in pJ, legal or not."""
    counts, steps = count_many(layer, accelerator, tuple(nest), bounds)
    prices = unit_prices(layer, accelerator, table, Mapping(tuple(nest)), list(counts))
    total = np.array([static_energy_pj(table, int(n) / accelerator.clock_hz) for n in steps])
    for key, n in counts.items():
        total = total + n.astype(np.float64) * prices[key]
    return total


def _mapping(nest: Nest, bounds: NDArray[np.int64]) -> Mapping:
    """The nest with its bounds, loops of one step left out."""
    steps = iter(bounds)
    items = [Loop(x.dim, int(next(steps)), x.axis) if isinstance(x, Loop) else x for x in nest]
    return Mapping(tuple(x for x in items if isinstance(x, Storage) or x.bound > 1))


def main() -> None:
    """Search every distinct layer of a network, look around each result, print what is cheaper; end with 1 on a bug."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", nargs="?", default="resnet18")
    parser.add_argument("accelerator", nargs="?", default="eyeriss")
    parser.add_argument("--bits", default="16")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--uneven", action="store_true", help="search the uneven space, and move storage marks")
    asked = parser.parse_args()
    space = "uneven" if asked.uneven else "even"
    if space not in SPACES:
        sys.exit("this version of the search has no uneven space")
    described = read_accelerator(asked.accelerator)
    layers = list({same_work(x): x for x in read_model(asked.network, bits=asked.bits).layers}.values())
    bugs = beaten = 0
    for layer in layers:
        ours = timed(layer, described.accelerator, described.table, space)
        found = ours.found
        near = cheaper_neighbours(
            layer,
            described.accelerator,
            described.table,
            found,
            rounds=asked.rounds,
            batch=asked.batch,
            seed=asked.seed,
            uneven=asked.uneven,
        )
        bugs += any(each.bug for each in near)
        beaten += bool(near)
        state = "proven" if found.optimal else f"gap {1 - found.lower_bound_pj / found.energy_pj:.1%}"
        print(f"{layer.name}: {found.energy_pj:,.0f} pJ, {state}, {ours.cpu_s:.3f} s", end="")
        if near:
            best = near[0]
            what = "BUG: below its bound" if any(each.bug for each in near) else "cheaper neighbour"
            print(
                f"; {what}: {best.energy_pj:,.0f} pJ ({best.energy_pj / found.energy_pj - 1:+.2%}) {best.mapping.nest}"
            )
        else:
            print()
    print(f"{len(layers)} layers: {beaten} with a cheaper neighbour, {bugs} below their bound")
    sys.exit(1 if bugs else 0)


if __name__ == "__main__":
    main()
