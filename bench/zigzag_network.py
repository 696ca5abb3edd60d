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
from collections.abc import Mapping as Map
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.zigzag_mapping import finished, tensor_by_tensor_pj, to_zigzag, translated
from energysim.costs.prices import energy_by_key
from energysim.hardware.read import DescribedAccelerator, read_accelerator
from energysim.mapping.counts import count
from energysim.mapping.nest import problems
from energysim.mapping.search import find_mapping
from energysim.workload.graph import same_work
from energysim.workload.layer import Layer
from energysim.workload.read import read_model

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "reports" / "zigzag_network.json"
HARDWARE = ("tpu_like", "eyeriss_like")
NETWORKS = ("alexnet", "resnet18", "mobilenet_v2")
BITS = "w8a8p16"


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
        "our_mapping": to_zigzag(described, ours.mapping),
        "zigzag_pj": theirs["energy_pj"],
        "zigzag_mapping": {key: theirs[key] for key in ("temporal", "spatial")},
    }
    try:
        row["zigzag_by_tensor_pj"] = tensor_by_tensor_pj(layer, described, theirs)
        mapping, moved = translated(layer, described, theirs)
    except ValueError as error:
        return row | {"refused": str(error)}
    wrong = problems(layer, facts, mapping)
    if wrong:
        narrow = not problems(finished(layer), facts, mapping)
        cause = "finished outputs kept narrow" if narrow else "marks on either side of the array" if moved else "other"
        return row | {"refused": "; ".join(wrong), "cause": cause}
    counts = count(layer, facts, mapping)
    priced = sum(energy_by_key(counts, layer, facts, table, mapping).values())
    return row | {"zigzag_mapping_our_pj": priced, "marks_moved": moved}


def by_their_model(hardware: str, rows: list[dict[str, Any]], layers: Map[str, Layer]) -> None:
    """Add to each row what ZigZag's cost model says of our mapping, or why it does not take it."""
    given = [row for row in rows if row["our_mapping"]]
    asked = [asked_of(layers[row["layer"]]) | {"mapping": row["our_mapping"]} for row in given]
    for row, answer in zip(given, run_zigzag(hardware, asked)["layers"] if asked else [], strict=True):
        row.update({"our_mapping_zigzag_pj": answer["energy_pj"]} if "energy_pj" in answer else answer)


def again(results: dict[str, Any], chosen: set[str]) -> None:
    """Search anew on our side what is written there, beside ZigZag's answers as they are."""
    for name, run in results.items():
        network, hardware = name.split(" on ")
        if chosen and not {network, hardware, name} & chosen:
            continue
        described = read_accelerator(ROOT / "bench" / "hardware" / f"{hardware}.yaml")
        layers = {layer.name: layer for layer in read_model(network, bits=BITS).layers}
        rows = [
            compared(
                layers[row["layer"]], row["times"], described, row["zigzag_mapping"] | {"energy_pj": row["zigzag_pj"]}
            )
            for row in run["layers"]
        ]
        if interpreter().exists():
            by_their_model(hardware, rows, layers)
        run["layers"] = rows
        print(f"{name}: ours {sum(row['our_cpu_s'] for row in rows):.2f} CPU s", flush=True)


def main() -> None:
    """Run both tools on every network and accelerator, or on those named (earlier results stay); write after each.

    With the argument `ours` only our side is done again (for the networks and accelerators named after it).
    """
    if sys.argv[1:2] == ["ours"]:
        known: dict[str, Any] = json.loads(TARGET.read_text())
        again(known, set(sys.argv[2:]))
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
            by_their_model(hardware, rows, {layer.name: layer for layer in alone})
            results[f"{network} on {hardware}"] = {
                "zigzag_cpu_s": theirs["cpu_s"],
                "version": theirs["version"],
                "date": datetime.now(UTC).date().isoformat(),
                "layers": rows,
            }
            ours = sum(row["our_cpu_s"] for row in rows)
            print(f"{network} on {hardware}: ZigZag {theirs['cpu_s']:.1f} CPU s, ours {ours:.2f}", flush=True)
            TARGET.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
