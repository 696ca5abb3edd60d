"""A warm process: CPU milliseconds of the search per distinct layer, and accelerator variants per minute.

`python -m bench.warm` prints JSON; `make bench` runs it in a process of its own, whose peak memory it reports.
"""

import json
import time
from dataclasses import replace
from statistics import median
from typing import Any

from energysim.hardware.accelerator import Accelerator, EnergyTable, Memory
from energysim.hardware.read import read_accelerator
from energysim.mapping.search import find_mapping
from energysim.workload.graph import same_work
from energysim.workload.layer import Layer
from energysim.workload.read import read_model

NETWORKS = ("resnet18", "resnet50", "mobilenet_v2", "googlenet")
ACCELERATOR = "eyeriss"
SHARES = (0.5, 0.75, 1.25, 1.5, 2.0)
"""Variants of the sweep: the global buffer's capacity, partitions included, times these."""


def distinct(network: str) -> list[Layer]:
    """Layers of a network, equal work once."""
    return list({same_work(layer): layer for layer in read_model(network).layers}.values())


def seconds(layer: Layer, facts: Accelerator, table: EnergyTable) -> tuple[float, bool]:
    """CPU seconds of one search, and whether its result is proven."""
    start = time.process_time()
    found = find_mapping(layer, facts, table)
    return time.process_time() - start, found.optimal


def variant(facts: Accelerator, share: float) -> Accelerator:
    """The accelerator with another capacity of its largest bounded memory."""
    largest = max((m for m in facts.memories if m.capacity_bits), key=lambda m: m.capacity_bits or 0)
    changed = replace(
        largest,
        capacity_bits=int((largest.capacity_bits or 0) * share),
        partitions={role: int(bits * share) for role, bits in largest.partitions.items()},
    )
    levels = tuple(changed if isinstance(x, Memory) and x.name == largest.name else x for x in facts.levels)
    return replace(facts, levels=levels)


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
    """Variants of the accelerator, every distinct layer of ResNet-50 on each."""
    layers = distinct("resnet50")
    spent = [sum(seconds(layer, variant(facts, share), table)[0] for layer in layers) for share in SHARES]
    return {
        "variants": len(SHARES),
        "layers": len(layers),
        "cpu_s_per_variant": median(spent),
        "variants_per_cpu_minute": 60.0 / median(spent),
    }


def main() -> None:
    """Warm up on AlexNet, measure, print JSON."""
    read = read_accelerator(ACCELERATOR)
    for layer in distinct("alexnet"):
        find_mapping(layer, read.accelerator, read.table)
    layers = per_layer(read.accelerator, read.table)
    print(json.dumps({"layers": layers, "sweep": sweep(read.accelerator, read.table)}))


if __name__ == "__main__":
    main()
