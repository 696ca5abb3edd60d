"""How the mapping search grows: `python -m reports.search_growth` writes reports/search_growth.md and .png.

Each search runs in a process of its own with one thread, stopped after 30 s. CPU seconds are of the search alone, peak
memory is the process's. The synthetic hierarchies have made-up round prices that fall inward.
"""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from energysim.errors import InputError
from energysim.hardware.accelerator import Accelerator, Array, Axis, Compute, EnergyTable, Memory, Price
from energysim.hardware.read import read_accelerator
from energysim.mapping.search import find_mapping
from energysim.workload.layer import ROLES, Layer, convolution

TARGET = Path(__file__).with_suffix(".md")
LIMIT_S = 30
SHARED = {2: (20,), 3: (20, 13), 4: (22, 17, 13), 5: (23, 20, 17, 13), 6: (24, 22, 20, 17, 13)}
"""Storage levels, DRAM included, to log2 of the bits of each memory on chip, outermost first."""

Case = tuple[Layer, Accelerator, EnergyTable]


def hierarchy(on_chip: tuple[int, ...], arrays: tuple[tuple[int, int], ...]) -> tuple[Accelerator, EnergyTable]:
    """DRAM, memories shared by all roles, and arrays of x by y: the last one outside the innermost memory, and so on.

    A 16-bit access costs 200 pJ in DRAM and 2^((bits - 13) / 4) pJ on chip; a transfer 0.5 pJ, a MAC 1 pJ.
    """
    levels: list[Memory | Array] = [Memory("dram", None, frozenset(ROLES), 16)]
    prices = {("dram", action, "*"): 200.0 for action in ("read", "write")}
    for i, log2_bits in enumerate(on_chip):
        n = i - (len(on_chip) - len(arrays))
        if n >= 0:
            x, y = arrays[n]
            levels.append(Array(f"array{n}", (Axis("x", x), Axis("y", y))))
            prices[f"array{n}", "transfer", "*"] = 0.5
        levels.append(Memory(f"memory{i}", 2**log2_bits, frozenset(ROLES), 16))
        prices |= {(f"memory{i}", action, "*"): 2 ** ((log2_bits - 13) / 4) for action in ("read", "write")}
    prices |= {("mac", action, "*"): 1.0 for action in ("mac", "op")}
    table = EnergyTable({key: Price(pj, "made up", "default", 16) for key, pj in prices.items()})
    return Accelerator("synthetic", "made up", tuple(levels), Compute(), 1e9), table


def on_eyeriss(layer: Layer) -> Case:
    """A layer on the packaged Eyeriss."""
    described = read_accelerator("eyeriss")
    return layer, described.accelerator, described.table


def cases() -> dict[str, dict[str, Case]]:
    """Cases by section and by what varies."""
    resnet = convolution("3x3", m=64, c=64, p=56, q=56, r=3, s=3)
    wide = convolution("wide", m=256, c=256, p=32, q=32, r=3, s=3)
    awkward = {
        "3x3, all dims 13": convolution("l", m=13, c=13, p=13, q=13, r=3, s=3),
        "3x3, all dims 17": convolution("l", m=17, c=17, p=17, q=17, r=3, s=3),
        "matmul 197 x 768 x 768": convolution("l", m=768, c=768, p=197, q=1),
        "7x7 stride 2, 224 x 224": convolution("l", m=64, c=3, p=112, q=112, r=7, s=7, stride=(2, 2)),
        "3x3, 224 x 224": convolution("l", m=64, c=64, p=224, q=224, r=3, s=3),
        "matmul 4096 x 4096 x 4096": convolution("l", m=4096, c=4096, p=4096, q=1),
        "matmul 4096 x 4096, one row": convolution("l", m=4096, c=4096, p=1, q=1),
        "1x1, 64 to 256, 56 x 56": convolution("l", m=256, c=64, p=56, q=56),
        "depthwise 3x3, 96, 112 x 112": convolution("l", g=96, m=1, c=1, p=112, q=112, r=3, s=3),
        "240x240x60x60x5x5": convolution("l", m=240, c=240, p=60, q=60, r=5, s=5),
        "a dim M of 2^20": convolution("l", m=2**20, c=64, p=1, q=1),
        "a dim P of 2^20": convolution("l", m=64, c=64, p=2**20, q=1),
        "a prime dim P of 1,048,573": convolution("l", m=64, c=64, p=1_048_573, q=1),
    }
    return {
        "Layer size (3x3, 56 x 56, as many channels in as out, on `eyeriss`)": {
            str(k): on_eyeriss(convolution("l", m=k, c=k, p=56, q=56, r=3, s=3)) for k in (8, 16, 32, 64, 128, 256, 512)
        },
        "Storage levels (ResNet 3x3, 64 channels, 56 x 56; one 16 x 16 array)": {
            str(n): (resnet, *hierarchy(on_chip, ((16, 16),))) for n, on_chip in SHARED.items()
        },
        "Arrays (the same layer; four storage levels; arrays of 4 x 4)": {
            str(n): (resnet, *hierarchy(SHARED[4], ((4, 4),) * n)) for n in range(4)
        },
        "Awkward sizes on `eyeriss`": {name: on_eyeriss(layer) for name, layer in awkward.items()},
        "Awkward hierarchies (three storage levels; 3x3, 256 channels, 32 x 32)": {
            "array 1 x 1": (wide, *hierarchy(SHARED[3], ((1, 1),))),
            "array 32 x 32": (wide, *hierarchy(SHARED[3], ((32, 32),))),
            "array 128 x 128": (wide, *hierarchy(SHARED[3], ((128, 128),))),
            "spads of 128 KiB": (wide, *hierarchy((24, 20), ((16, 16),))),
            "spads of 32 bytes": (wide, *hierarchy((20, 8), ((16, 16),))),
        },
    }


def search(section: str, name: str) -> dict[str, Any]:
    """One search in this process: CPU seconds, peak megabytes, gap; or why there is no mapping."""
    layer, accelerator, table = cases()[section][name]
    start = time.process_time()
    try:
        found = find_mapping(layer, accelerator, table)
    except InputError as error:
        return {"error": str(error)}
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    gap = found.energy_pj / found.lower_bound_pj - 1 if found.lower_bound_pj else None
    return {"cpu_s": seconds, "peak_mb": peak, "gap": gap, "proven": found.optimal, "macs": layer.macs}


def measured(section: str, name: str) -> dict[str, Any]:
    """`search` in a fresh process with one thread; what crashes or takes too long is a result too."""
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    command = [sys.executable, "-m", "reports.search_growth", section, name]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=LIMIT_S, env={**os.environ, **one_thread}
        )
    except subprocess.TimeoutExpired:
        return {"error": f"stopped after {LIMIT_S} s"}
    if done.returncode:
        return {"error": f"ended with {done.returncode}: {done.stderr.strip().splitlines()[-1:]}"}
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def rendered(results: dict[str, dict[str, dict[str, Any]]]) -> str:
    """The report as Markdown."""
    lines = ["# How the mapping search grows", "", *(__doc__ or "").strip().splitlines()[2:], ""]
    every = [row for rows in results.values() for row in rows.values()]
    good = [row for row in every if "error" not in row]
    lines += [
        f"{len(good)} of {len(every)} searches found a mapping, {sum(row['proven'] for row in good)} with a proof that",
        f"none costs less; the slowest took {max(row['cpu_s'] for row in good):.2f} s of CPU time, the largest process",
        f"{max(row['peak_mb'] for row in good):.0f} MB. Without a proof a search stops after a fixed amount of work:",
        "its seconds are then what giving up takes, and its gap (energy above the proven lower bound) is the finding;",
        f"the widest is {max((row['gap'] or 0.0) for row in good):.0%}.",
        "",
        "![CPU seconds against layer size, storage levels and arrays](search_growth.png)",
    ]
    for section, rows in results.items():
        lines += ["", f"## {section}", "", "| | MACs | CPU s | peak MB | proven, or gap |", "|---|---|---|---|---|"]
        for name, row in rows.items():
            if "error" in row:
                lines.append(f"| {name} | | | | {row['error']} |")
                continue
            gap = "no bound" if row["gap"] is None else f"{row['gap']:.2%}"
            proof = "proven" if row["proven"] else gap
            lines.append(f"| {name} | {row['macs']:,} | {row['cpu_s']:.3f} | {row['peak_mb']:.0f} | {proof} |")
    return "\n".join([*lines, ""])


def draw(results: dict[str, dict[str, dict[str, Any]]]) -> None:
    """CPU seconds of the first three sections; a hollow point is not proven."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 3, figsize=(11, 3.2), sharey=True, layout="constrained")
    labels = ("channels", "storage levels", "arrays")
    for panel, label, rows in zip(panels, labels, list(results.values())[:3], strict=True):
        good = [(int(name), row) for name, row in rows.items() if "error" not in row]
        panel.plot([x for x, _ in good], [row["cpu_s"] for _, row in good], color="0.6", zorder=1)
        for x, row in good:
            panel.scatter(x, row["cpu_s"], facecolor="C0" if row["proven"] else "white", edgecolor="C0", zorder=2)
        panel.set(xlabel=label, yscale="log", xscale="log" if label == "channels" else "linear")
        panel.set_xticks([x for x, _ in good], [str(x) for x, _ in good], minor=False)
        panel.set_yticks([0.1, 0.2, 0.5, 1, 2, 5], ["0.1", "0.2", "0.5", "1", "2", "5"])
        panel.minorticks_off()
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("CPU s (hollow: not proven)")
    figure.savefig(TARGET.with_suffix(".png"), dpi=120, metadata={"Software": None})


def main() -> None:
    """Measure every case, or the one named by two arguments."""
    if sys.argv[1:]:
        print(json.dumps(search(*sys.argv[1:3])))
        return
    results = {section: {name: measured(section, name) for name in rows} for section, rows in cases().items()}
    TARGET.write_text(rendered(results))
    draw(results)
    print(rendered(results))


if __name__ == "__main__":
    main()
