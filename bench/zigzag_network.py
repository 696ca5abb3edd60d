"""Whole networks by ZigZag and by us, on its shipped accelerators: `make peers`, or `python -m bench.zigzag_network`.

Writes reports/zigzag_network.json; `python -m bench.peer` renders it. Layers of equal work run once in both tools.
ZigZag's best mappings are priced by our counts, ours by its cost model; its answers are kept and its searches, which
take minutes, run only with `--search` (everywhere) or `--missing` (where it never did).
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from collections.abc import Mapping as Map
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.neighbours import ties
from bench.ours import SPACES, in_even_space, timed
from bench.zigzag_mapping import finished, tensor_by_tensor_pj, to_zigzag, translated
from energysim.costs.prices import energy_by_key
from energysim.hardware.read import DescribedAccelerator, read_accelerator
from energysim.mapping.counts import count
from energysim.mapping.nest import problems
from energysim.workload.graph import same_work
from energysim.workload.layer import Layer
from energysim.workload.read import read_model

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "reports" / "zigzag_network.json"
HARDWARE = ("tpu_like", "eyeriss_like")
NETWORKS = ("alexnet", "resnet18", "mobilenet_v2")
BITS = "w8a8p16"
TIES = 8
"""So many mappings of the same energy by our counts are priced by ZigZag's model too."""


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
    row: dict[str, Any] = {"layer": layer.name, "times": times, "dims": dict(layer.dims), "ours": {}}
    for space in SPACES:
        ours = timed(layer, facts, table, space)
        row["ours"][space] = {
            "cpu_s": ours.cpu_s,
            "energy_pj": ours.found.energy_pj,
            "bound_pj": ours.found.lower_bound_pj,
            "proven": ours.found.optimal,
            "mapping": to_zigzag(described, ours.found.mapping),
        }
        if interpreter().exists():
            alike = ties(layer, facts, table, ours.found, TIES)
            row["ours"][space]["alike"] = [to_zigzag(described, mapping) for mapping in alike]
    row |= {"zigzag_pj": theirs["energy_pj"], "zigzag_mapping": {key: theirs[key] for key in ("temporal", "spatial")}}
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
    even = in_even_space(layer, facts, mapping)
    return row | {"zigzag_our_pj": priced, "marks_moved": moved, "zigzag_even": even}


def by_their_model(hardware: str, rows: list[dict[str, Any]], layers: Map[str, Layer]) -> None:
    """Add to each of our results the least that ZigZag's model says of its mapping and of those that tie with it."""
    given = [
        (row, ours, mapping)
        for row in rows
        for ours in row["ours"].values()
        for mapping in (ours["mapping"], *ours.pop("alike"))
        if mapping
    ]
    asked = [asked_of(layers[row["layer"]]) | {"mapping": mapping} for row, _, mapping in given]
    answers = run_zigzag(hardware, asked)["layers"] if asked else []
    for (_, ours, _), answer in zip(given, answers, strict=True):
        if "energy_pj" in answer:
            ours["zigzag_pj"] = min(answer["energy_pj"], ours.get("zigzag_pj", answer["energy_pj"]))
        else:
            ours["refused"] = answer["refused"]


def searched(network: str, hardware: str, only: int | None = None) -> dict[str, Any]:
    """Both tools on the distinct layers of a network (or so many of the smallest): seconds, energies, mappings."""
    described = read_accelerator(ROOT / "bench" / "hardware" / f"{hardware}.yaml")
    layers = [layer for layer in read_model(network, bits=BITS).layers if layer.unit == "mac"]
    times = Counter(map(same_work, layers))
    alone = list({same_work(layer): layer for layer in reversed(layers)}.values())[::-1]
    if only is not None:
        alone = sorted(alone, key=lambda layer: layer.macs)[:only]
    theirs = run_zigzag(hardware, [asked_of(layer) for layer in alone])
    rows = [
        compared(layer, times[same_work(layer)], described, found)
        for layer, found in zip(alone, theirs["layers"], strict=True)
    ]
    by_their_model(hardware, rows, {layer.name: layer for layer in alone})
    date = datetime.now(UTC).date().isoformat()
    return {"zigzag_cpu_s": theirs["cpu_s"], "version": theirs["version"], "date": date, "layers": rows}


def again(network: str, hardware: str, run: dict[str, Any]) -> dict[str, Any]:
    """Our side anew, beside ZigZag's answers as they are; ZigZag prices our mappings where it is there."""
    described = read_accelerator(ROOT / "bench" / "hardware" / f"{hardware}.yaml")
    layers = {layer.name: layer for layer in read_model(network, bits=BITS).layers}
    rows = []
    for row in run["layers"]:
        theirs = row["zigzag_mapping"] | {"energy_pj": row["zigzag_pj"]}
        rows.append(compared(layers[row["layer"]], row["times"], described, theirs))
    if interpreter().exists():
        by_their_model(hardware, rows, layers)
    else:
        for before, row in zip(run["layers"], rows, strict=True):
            for space, ours in row["ours"].items():
                old = before.get("ours", {}).get(space, {})
                if old.get("mapping") == ours["mapping"]:
                    ours |= {key: old[key] for key in ("zigzag_pj", "refused") if key in old}
    return run | {"layers": rows}


def line(name: str, run: dict[str, Any]) -> str:
    """A network in one line."""
    spent = {space: sum(row["ours"][space]["cpu_s"] for row in run["layers"]) for space in SPACES}
    return f"{name}: ZigZag {run['zigzag_cpu_s']:.1f} CPU s, ours " + ", ".join(
        f"{k} {s:.2f}" for k, s in spent.items()
    )


def run(chosen: Iterable[str] = (), *, search: bool = False, missing: bool = False) -> dict[str, Any]:
    """Both tools on every network and accelerator, or on those chosen by name; written after each, and returned.

    ZigZag searches everywhere with `search`, where it never did with `missing`; our side is always done anew.
    """
    results: dict[str, Any] = json.loads(TARGET.read_text()) if TARGET.exists() else {}
    named, done = set(chosen), {}
    if not interpreter().exists():
        print(f"ZigZag skipped: none at {interpreter()}; `make peers` installs it, or set ENERGYSIM_ZIGZAG to it")
    for network in sorted(named - {*HARDWARE}) or NETWORKS:
        for hardware in sorted(named & {*HARDWARE}) or HARDWARE:
            name = f"{network} on {hardware}"
            if interpreter().exists() and (search or (missing and name not in results)):
                results[name] = searched(network, hardware)
            elif name in results:
                results[name] = again(network, hardware, results[name])
            else:
                print(f"{name}: skipped, never searched by ZigZag (`--missing` does it)")
                continue
            done[name] = results[name]
            print(line(name, results[name]), flush=True)
            TARGET.write_text(json.dumps(results, indent=1) + "\n")
    return done


if __name__ == "__main__":
    flags = {"--search", "--missing"}
    run(set(sys.argv[1:]) - flags, search="--search" in sys.argv, missing="--missing" in sys.argv)
