"""A warm process: CPU milliseconds of the search per distinct layer, a sweep of 1,000 accelerators, uneven mappings.

`python -m bench.warm` prints JSON; `make bench` runs it in a process of its own, whose peak memory it reports.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from statistics import median
from typing import Any

from energysim.hardware.accelerator import Accelerator, Array, EnergyTable, Memory
from energysim.hardware.read import read_accelerator
from energysim.mapping.search import SearchResult, find_mapping
from energysim.mapping.search_variants import find_on_variants
from energysim.workload.graph import same_work
from energysim.workload.layer import Layer
from energysim.workload.read import read_model

NETWORKS = ("resnet18", "resnet50", "mobilenet_v2", "googlenet")
ACCELERATOR = "eyeriss"
SHARES = tuple(0.25 * n for n in range(2, 12))
"""The sweep: the capacities of global buffer and scratchpad times each of these, and so many columns of the array."""

NEAR = 1e-9
"""Relative difference below which two energies are one."""

COLUMNS = tuple(range(6, 26, 2))
STEP = 50
"""One of so many variants is searched by itself too."""


def by_work(layers: Sequence[Layer]) -> dict[tuple[Any, ...], Layer]:
    """Layers, equal work once."""
    return {same_work(layer): layer for layer in layers}


def distinct(network: str) -> list[Layer]:
    """Layers of a network, equal work once."""
    return list(by_work(read_model(network).layers).values())


def seconds(layer: Layer, facts: Accelerator, table: EnergyTable) -> tuple[float, bool]:
    """CPU seconds of one search, and whether its result is proven."""
    start = time.process_time()
    found = find_mapping(layer, facts, table)
    return time.process_time() - start, found.optimal


def resized(memory: Memory, share: float) -> Memory:
    """A memory with another capacity, partitions included."""
    parts = {role: int(bits * share) for role, bits in memory.partitions.items()}
    return replace(memory, capacity_bits=int((memory.capacity_bits or 0) * share), partitions=parts)


def variant(facts: Accelerator, buffer: float, spad: float, columns: int) -> Accelerator:
    """The accelerator with other capacities of its bounded memories, outer and inner, and another width of array."""
    bounded = [m.name for m in facts.memories[1:]]
    shares = dict(zip(bounded, (buffer, spad), strict=True))
    levels: list[Memory | Array] = []
    for level in facts.levels:
        if isinstance(level, Memory):
            levels.append(resized(level, shares[level.name]) if level.name in shares else level)
        else:
            levels.append(replace(level, axes=(replace(level.axes[0], size=columns), *level.axes[1:])))
    return replace(facts, levels=tuple(levels))


def per_layer(facts: Accelerator, table: EnergyTable) -> dict[str, dict[str, Any]]:
    """For each network: milliseconds the first time a layer is searched and again, what is proven."""
    results = {}
    for network in NETWORKS:
        layers = distinct(network)
        first = [seconds(layer, facts, table) for layer in layers]
        again = [seconds(layer, facts, table)[0] for layer in layers]
        slowest = max(range(len(layers)), key=lambda i: first[i][0])
        results[network] = {
            "layers": len(layers),
            "proven": sum(proven for _, proven in first),
            "median_ms": 1e3 * median(s for s, _ in first),
            "max_ms": 1e3 * max(s for s, _ in first),
            "slowest": layers[slowest].name,
            "again_median_ms": 1e3 * median(again),
            "again_max_ms": 1e3 * max(again),
        }
    return results


def sweep(facts: Accelerator, table: EnergyTable) -> dict[str, Any]:
    """1,000 variants of the accelerator, every distinct layer of ResNet-50 on each; some of them one by one as well."""
    layers = distinct("resnet50")
    grid = [(variant(facts, *each), table) for each in product(SHARES, SHARES, COLUMNS)]
    start = time.process_time()
    found = [find_on_variants(layer, grid) for layer in layers]
    spent = time.process_time() - start
    # an odd offset, so that all three axes vary
    taken = [i % len(grid) for i in range(0, len(grid) * 7, STEP * 7 + 1)][: len(grid) // STEP]
    start = time.process_time()
    alone = [[find_mapping(layer, *grid[i]) for i in taken] for layer in layers]
    one_by_one = (time.process_time() - start) / len(taken)
    results = [[each for each in row if isinstance(each, SearchResult)] for row in found]
    return {
        "variants": len(grid),
        "layers": len(layers),
        "proven": sum(each.optimal for row in results for each in row),
        "searches": sum(each.nodes > 0 for row in results for each in row),
        "cpu_s": spent,
        "one_by_one": len(taken),
        "one_by_one_cpu_s_each": one_by_one,
        "unequal": sum(
            abs(row[i].energy_pj / own.energy_pj - 1) > NEAR
            for row, owns in zip(results, alone, strict=True)
            for i, own in zip(taken, owns, strict=True)
        ),
    }


def uneven(facts: Accelerator, table: EnergyTable) -> dict[str, Any]:
    """ResNet-18 among uneven mappings: CPU seconds, what is proven, how far the sum may be off, its gain on even."""
    layers = read_model("resnet18").layers
    start = time.process_time()
    found = {key: find_mapping(layer, facts, table, uneven=True) for key, layer in by_work(layers).items()}
    spent = time.process_time() - start
    even = {key: find_mapping(layer, facts, table).energy_pj for key, layer in by_work(layers).items()}
    keys = [same_work(layer) for layer in layers]
    energy, bound = sum(found[key].energy_pj for key in keys), sum(found[key].lower_bound_pj for key in keys)
    return {
        "cpu_s": spent,
        "layers": len(layers),
        "proven": sum(found[key].optimal for key in keys),
        "above_bound": energy / bound - 1.0,
        "below_even": 1.0 - energy / sum(even[key] for key in keys),
    }


def main() -> None:
    """Warm up on AlexNet, measure, print JSON."""
    read = read_accelerator(ACCELERATOR)
    for layer in distinct("alexnet"):
        find_mapping(layer, read.accelerator, read.table)
    layers = per_layer(read.accelerator, read.table)
    swept = sweep(read.accelerator, read.table)
    print(json.dumps({"layers": layers, "sweep": swept, "uneven": uneven(read.accelerator, read.table)}))


if __name__ == "__main__":
    main()
