"""Our clustering beside coremltools, faiss and scikit-learn: `make bench-clustering`, reports/clustering_bench.md.

Every case runs in a process of its own with one thread, ours and theirs in turn, on the same numbers; peers live in
.peers/clustering and are skipped with a line where they are not installed.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
PEERS = Path(os.environ.get("ENERGYSIM_CLUSTERING_PEERS", ROOT / ".peers" / "clustering" / "bin" / "python"))
TARGET = ROOT / "reports" / "clustering_bench.md"
COMMON = {"seed": 0, "repeats": 3, "initialise": False, "backward": True}
CONV = {"n": 2_359_296, "tau": 1e-4, "iterations": 3}
"""512 x 512 x 3 x 3 weights."""
DKM_CASES: dict[str, dict[str, Any]] = {
    "4 bits, d = 1": {**CONV, "d": 1, "k": 16},
    "2 bits, d = 1": {**CONV, "d": 1, "k": 4},
    "4 bits, d = 4": {**CONV, "n": 589_824, "d": 4, "k": 16},
    "2 bits, d = 1, initialisation alone": {
        **CONV, "d": 1, "k": 4, "iterations": 1, "initialise": True, "backward": False, "repeats": 1
    },
}  # fmt: skip
OURS_ONLY: dict[str, dict[str, Any]] = {
    "4 bits, d = 1, initialisation and one iteration": {
        **CONV, "d": 1, "k": 16, "iterations": 1, "initialise": True, "backward": False
    },
    "ResNet50's largest, 8 bits, d = 8, 5 iterations": {
        "n": 294_912, "d": 8, "k": 256, "tau": 8e-5, "iterations": 5, "repeats": 1
    },
    "8 bits, d = 1, 5 iterations": {**CONV, "d": 1, "k": 256, "tau": 1e-5, "iterations": 5, "repeats": 1},
}  # fmt: skip
KMEANS_CASES: dict[str, dict[str, Any]] = {
    f"786,432 x 3, K = {k}": {"n": 786_432, "d": 3, "k": k, "iterations": 20} for k in (64, 512)
}
EXACT_CASES: dict[str, dict[str, Any]] = {
    f"2,359,296 x 1, K = {k:,}": {"n": 2_359_296, "d": 1, "k": k, "iterations": 1, "repeats": 1}
    for k in (4, 16, 256, 2048, 65536)
}

PER_TENSOR = {"n_bits": 4, "granularity": "per_tensor"}
FOUR_BITS = {"recipe": "scalars:bits=4", "coremltools": PER_TENSOR}
UNROUNDED = {**FOUR_BITS, "coremltools": PER_TENSOR | {"enable_fast_kmeans_mode": False}}
ALONG_OUTPUTS = {"method": "dkm", "default": {"bits": 4, "dim": 4, "vector_axis": 0}}
"""Vectors as coremltools cuts them: of one weight in each of four output channels."""
SHARE_CASES: dict[str, dict[str, Any]] = {
    "ResNet-18, 4 bits": FOUR_BITS,
    "ResNet-18, 4 bits, its rounding off": UNROUNDED,
    "ResNet-18, 4 bits for vectors of 4": {"recipe": ALONG_OUTPUTS, "coremltools": PER_TENSOR | {"cluster_dim": 4}},
    "ResNet-18 of 7 distinct values, 4 bits": {**FOUR_BITS, "values": 7},
    "ResNet-18 of 7 distinct values, 4 bits, its rounding off": {**UNROUNDED, "values": 7},
    "ResNet-18 of 7 distinct values, found": {"recipe": "found", "values": 7},
    "an embedding of 30,522 x 768, 4 bits": {**FOUR_BITS, "rows": 30_522},
    "DistilBERT (67 million parameters), 4 bits": {**FOUR_BITS, "network": "distilbert"},
    "DistilBERT, its rounding off": {**UNROUNDED, "network": "distilbert"},
}  # fmt: skip
"""Whole networks after training: found is ours alone."""


def run(what: str, who: str, case: dict[str, Any]) -> tuple[dict[str, float], dict[str, Any]] | None:
    """Figures and arrays of one case, or None, with a line, where it did not run."""
    python = Path(sys.executable) if who == "energysim" else PEERS
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with TemporaryDirectory() as folder:
        asked, answer = Path(folder) / "case.json", Path(folder) / "answer.npz"
        asked.write_text(json.dumps({**COMMON, **case, "what": what, "who": who}))
        program = [str(python), "-W", "ignore", str(ROOT / "bench" / "clustering_case.py"), str(asked), str(answer)]
        done = subprocess.run(
            program,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **one_thread, "PYTHONPATH": str(ROOT)},
        )
        if done.returncode:
            print(f"{who} did not run {case}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
            return None
        with np.load(answer) as arrays:
            return json.loads(done.stdout.strip().splitlines()[-1]), dict(arrays)


def figures(found: dict[str, float]) -> str:
    """CPU seconds and megabytes as two cells."""
    return f"{found['cpu_s']:.2f} | {found['peak_mb']:.0f}"


def distance(ours: np.ndarray, theirs: np.ndarray) -> str:
    """Norm of the difference over the norm of theirs."""
    ours, theirs = ours.astype(np.float64).ravel(), theirs.astype(np.float64).ravel()
    return f"{np.linalg.norm(ours - theirs) / np.linalg.norm(theirs):.1e}" if theirs.size else "-"


def dkm_rows(peers: bool) -> list[str]:
    """The DKM cases as lines of a table."""
    lines = []
    for name, case in {**DKM_CASES, **OURS_ONLY}.items():
        ours = run("dkm", "energysim", case)
        theirs = run("dkm", "coremltools", case) if peers and name in DKM_CASES else None
        if ours is None:
            continue
        line = f"| {name} | {figures(ours[0])} | "
        if theirs is None:
            lines.append(line + "- | - | - | - | - |")
            continue
        ratio = theirs[0]["cpu_s"] / ours[0]["cpu_s"]
        same = (
            "- | -"
            if case.get("initialise")
            else " | ".join(distance(ours[1][key], theirs[1][key]) for key in ("soft", "gradient"))
        )
        lines.append(line + f"{figures(theirs[0])} | {ratio:.1f} | {same} |")
    return lines


def kmeans_rows(peers: bool) -> list[str]:
    """The k-means cases as lines of a table."""
    lines = []
    for name, case in {**KMEANS_CASES, **EXACT_CASES}.items():
        cells = []
        for who in ("energysim", "faiss", "scikit-learn"):
            wanted = who == "energysim" or (peers and name in KMEANS_CASES)
            repeats = {"repeats": 1} if who == "scikit-learn" else {}
            found = run("kmeans", who, {**case, **repeats}) if wanted else None
            cells.append("- | -" if found is None else f"{found[0]['cpu_s']:.2f} | {float(found[1]['inertia']):.6g}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def share_rows(peers: bool) -> list[str]:
    """Sharing after training as lines of a table."""
    lines = []
    for name, case in SHARE_CASES.items():
        cells = []
        for who in ("energysim", "coremltools"):
            wanted = who == "energysim" or (peers and "coremltools" in case)
            found = run("share", who, {**case, "repeats": 1}) if wanted else None
            cells.append(f"{figures(found[0])} | {float(found[1]['inertia']):.4g}" if found else "- | - | -")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def regulariser_rows() -> list[str]:
    """The penalties beside a training step, as lines of a table."""
    lines = []
    for batch in (8, 32):
        for variant in ("relaxed", "hard"):
            found = run("regulariser", "energysim", {"variant": variant, "batch": batch})
            if found is not None:
                step = float(found[1]["step_cpu_s"])
                share = 100 * found[0]["cpu_s"] / step
                lines.append(f"| {variant}, {batch} images | {found[0]['cpu_s']:.3f} | {step:.2f} | {share:.1f} |")
    return lines


def main() -> None:
    """Run all cases, print and write the tables."""
    peers = PEERS.exists()
    if not peers:
        print(f"peers skipped: no interpreter at {PEERS}; `make bench-clustering` installs them")
    lines = [
        "# Clustering beside its peers",
        "",
        "Made by `make bench-clustering`: one thread, a process per case, median CPU seconds of three (one for the",
        "long ones), megabytes at the peak above the level before the call, results and gradients included.",
        "",
        "## DKM layer, forward and backward",
        "",
        "coremltools starts from the same centroids, with as many iterations, pruning switched off. Soft weights",
        "and gradients differ by the norm of the difference over that of coremltools'. With d = 1 that is coremltools'",
        "rounding: its distances come from `cdist` in 32 bits. Ours is within 1e-7 of a 64-bit reference, see tests.",
        "",
        "| case | ours, CPU s | MB | coremltools, CPU s | MB | ratio | soft weights differ | gradients differ |",
        "|---|---|---|---|---|---|---|---|",
        *dkm_rows(peers),
        "",
        "## k-means",
        "",
        "Twenty Lloyd iterations over all samples for vectors; for scalars (the last rows) the exact optimum.",
        "",
        "| samples | ours, CPU s | inertia | faiss, CPU s | inertia | scikit-learn, CPU s | inertia |",
        "|---|---|---|---|---|---|---|",
        *kmeans_rows(peers),
        "",
        "## Whole networks after training",
        "",
        "`share` and coremltools' PostTrainingPalettizer; lost is the sum of squared errors. By default coremltools",
        "rounds weights to four decimals first. Vectors run along output channels, as it cuts them, in both.",
        "",
        "| network | ours, CPU s | MB | lost | coremltools, CPU s | MB | lost |",
        "|---|---|---|---|---|---|---|",
        *share_rows(peers),
        "",
        "## Deep k-Means' penalty",
        "",
        "Forward and backward on all convolutions of ResNet-18, 64 clusters each, beside a training step.",
        "",
        "| variant | penalty, CPU s | step, CPU s | per cent |",
        "|---|---|---|---|",
        *regulariser_rows(),
        "",
    ]
    print("\n".join(lines))
    TARGET.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
