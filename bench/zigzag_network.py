"""Whole networks by ZigZag and by us, on its shipped accelerators: `make peers`, or `python -m bench.zigzag_network`.

Writes reports/zigzag_network.json; `python -m bench.peer` renders it. Layers of equal work run once in both tools.
ZigZag's best mappings are translated into our `Mapping` and priced by our counts.
"""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from math import prod
from pathlib import Path
from typing import Any

from energysim.costs.prices import energy_by_key
from energysim.hardware.accelerator import Memory
from energysim.hardware.read import DescribedAccelerator, read_accelerator
from energysim.mapping.counts import count
from energysim.mapping.nest import Loop, Mapping, Storage, problems
from energysim.mapping.search import find_mapping
from energysim.workload.graph import same_work
from energysim.workload.layer import Layer
from energysim.workload.read import read_model

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "reports" / "zigzag_network.json"
HARDWARE = ("tpu_like", "eyeriss_like")
NETWORKS = ("alexnet", "resnet18")
BITS = "w8a8p16"
DIM = {"B": "N", "G": "G", "K": "M", "C": "C", "OY": "P", "OX": "Q", "FY": "R", "FX": "S"}
TENSOR = {"W": "weight", "I": "input", "O": "output"}


def interpreter() -> Path:
    """ZigZag's own Python."""
    return Path(os.environ.get("ENERGYSIM_ZIGZAG", ROOT / ".peers" / "zigzag" / "bin" / "python"))


def run_zigzag(hardware: str, asked: list[dict[str, Any]]) -> dict[str, Any]:
    """ZigZag's answers for layers on one of its accelerators; ends the program when ZigZag fails."""
    done = subprocess.run(
        [interpreter(), ROOT / "bench" / "zigzag_layer.py"],
        input=json.dumps({"hardware": hardware, "layers": asked}),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    if done.returncode:
        sys.exit(f"ZigZag failed on {hardware}: {done.stderr.strip().splitlines()[-1]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def asked_of(layer: Layer) -> dict[str, Any]:
    """A convolution's sizes and strides, as the peer's script reads them."""
    data = layer.tensor("input")
    assert data is not None
    steps = {dim: factor for rank in data.ranks for dim, factor in rank.terms}
    return {"dims": dict(layer.dims), "stride": [steps["P"], steps["Q"]]}


def translated(layer: Layer, described: DescribedAccelerator, found: dict[str, Any]) -> tuple[Mapping, bool]:
    """ZigZag's mapping as ours, and whether a mark outside the array had to move outward.

    ZigZag orders temporal loops alone; ours also has the spread loops in the nest, between the marks of what is outside
    and inside the array. An outer mark that stands too far in is moved out: a larger tile, never more traffic above.
    A dim spread wider than its temporal loops leave is cut to what they leave: as many steps, as ZigZag's fractions.
    """
    levels = described.accelerator.levels
    rank = {level.name: i for i, level in enumerate(levels)}
    (array,) = (i for i, level in enumerate(levels) if not isinstance(level, Memory))
    order = [loop for level in found["temporal"]["O"] for loop in level]
    marks: list[tuple[int, Storage]] = []
    for operand, tensor in TENSOR.items():
        blocks = found["temporal"][operand]
        if [loop for level in blocks for loop in level] != order:
            raise ValueError(f"layer '{layer.name}': operands have loops in different orders")
        keepers = [m.name for m in reversed(described.accelerator.memories) if tensor in m.keeps]
        inside = 0
        for memory, block in zip(keepers, blocks, strict=True):
            inside += len(block)
            marks.append((inside, Storage(memory, tensor)))
    border = max((depth for depth, mark in marks if rank[mark.memory] > array), default=0)
    moved = any(depth < border for depth, mark in marks if rank[mark.memory] < array)
    marks = [(max(depth, border) if rank[mark.memory] < array else depth, mark) for depth, mark in marks]
    marks.sort(key=lambda item: (-item[0], rank[item[1].memory]))
    left = {DIM[d]: -(-layer.dims[DIM[d]] // prod(n for o, n in order if o == d)) for d in DIM}
    spread = [
        Loop(DIM[dim], min(int(size), left[DIM[dim]]), f"pe.{axis.lower()}")
        for axis, single in found["spatial"].items()
        for dim, size in single
        if size > 1
    ]
    nest: list[Loop | Storage] = []
    for depth in range(len(order), -1, -1):
        here = [mark for at, mark in marks if at == depth]
        nest += [mark for mark in here if rank[mark.memory] < array]
        nest += spread if depth == border else []
        nest += [mark for mark in here if rank[mark.memory] > array]
        nest += [Loop(DIM[order[depth - 1][0]], int(order[depth - 1][1]))] if depth else []
    return Mapping(tuple(nest)), moved


def compared(layer: Layer, times: int, described: DescribedAccelerator, theirs: dict[str, Any]) -> dict[str, Any]:
    """One layer by both tools: energies in pJ for one of `times` equal layers, our CPU seconds, what is proven."""
    facts, table = described.accelerator, described.table
    start = time.process_time()
    ours = find_mapping(layer, facts, table)
    row = {
        "layer": layer.name,
        "times": times,
        "dims": dict(layer.dims),
        "our_cpu_s": time.process_time() - start,
        "our_pj": ours.energy_pj,
        "our_bound_pj": ours.lower_bound_pj,
        "proven": ours.optimal,
        "zigzag_pj": theirs["energy_pj"],
        "zigzag_mapping": {key: theirs[key] for key in ("temporal", "spatial")},
    }
    try:
        mapping, moved = translated(layer, described, theirs)
        wrong = problems(layer, facts, mapping)
    except ValueError as error:
        return row | {"refused": str(error)}
    if wrong:
        return row | {"refused": "; ".join(wrong)}
    counts = count(layer, facts, mapping)
    priced = sum(energy_by_key(counts, layer, facts, table, mapping).values())
    return row | {"zigzag_mapping_our_pj": priced, "marks_moved": moved}


def again(results: dict[str, Any]) -> None:
    """Search anew what is written there, beside ZigZag's answers as they are."""
    for name, run in results.items():
        network, hardware = name.split(" on ")
        described = read_accelerator(ROOT / "bench" / "hardware" / f"{hardware}.yaml")
        layers = {layer.name: layer for layer in read_model(network, bits=BITS).layers}
        run["layers"] = [
            compared(
                layers[row["layer"]], row["times"], described, row["zigzag_mapping"] | {"energy_pj": row["zigzag_pj"]}
            )
            for row in run["layers"]
        ]


def main() -> None:
    """Run both tools on every network and accelerator, or on those named (earlier results stay); write after each.

    With the argument `ours` only our side is done again.
    """
    if sys.argv[1:] == ["ours"]:
        known: dict[str, Any] = json.loads(TARGET.read_text())
        again(known)
        TARGET.write_text(json.dumps(known, indent=1) + "\n")
        return
    if not interpreter().exists():
        print(f"skipped: no ZigZag at {interpreter()}; `make peers` installs it, or set ENERGYSIM_ZIGZAG to it")
        return
    results: dict[str, Any] = json.loads(TARGET.read_text()) if TARGET.exists() and sys.argv[1:] else {}
    named = set(sys.argv[1:])
    for network in sorted(named - {*HARDWARE}) or NETWORKS:
        for hardware in sorted(named & {*HARDWARE}) or HARDWARE:
            described = read_accelerator(ROOT / "bench" / "hardware" / f"{hardware}.yaml")
            layers = [layer for layer in read_model(network, bits=BITS).layers if layer.unit == "mac"]
            times = Counter(map(same_work, layers))
            alone = list({same_work(layer): layer for layer in reversed(layers)}.values())[::-1]
            theirs = run_zigzag(hardware, [asked_of(layer) for layer in alone])
            rows = [
                compared(layer, times[same_work(layer)], described, found)
                for layer, found in zip(alone, theirs["layers"], strict=True)
            ]
            results[f"{network} on {hardware}"] = {"zigzag_cpu_s": theirs["cpu_s"], "layers": rows}
            ours = sum(row["our_cpu_s"] for row in rows)
            print(f"{network} on {hardware}: ZigZag {theirs['cpu_s']:.1f} CPU s, ours {ours:.2f}", flush=True)
            TARGET.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
