"""Speed and size of energysim on this machine, beside its peers: `make bench`, `make bench ARGS=--full`.

Prints tables and writes reports/bench.json. Whole commands run in fresh processes with one thread; CPU and wall seconds
and peak memory are the operating system's, medians of several runs. Mappings per second are counted in this process;
searches in a warm process are `bench.warm`'s. Peers search a few layers in this same run where they are installed
(`make peers` installs them), all of them with `--full`; then reports/peer.md is written anew.
"""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, Any

import numpy as np

from bench import accelforge_layers, peer, zigzag_network
from energysim.hardware.read import read_accelerator
from energysim.mapping.counts import count_many
from energysim.mapping.nest import Loop, Storage
from energysim.workload.layer import convolution
from energysim.workload.read import read_model

RUNS = 5
QUICK_LAYERS = 3
COMMANDS = {
    "energysim --help": ("--help",),
    "estimate alexnet on eyeriss": ("estimate", "alexnet", "--on", "eyeriss", "--no-cache"),
    "estimate resnet18 on eyeriss": ("estimate", "resnet18", "--on", "eyeriss", "--no-cache"),
    "estimate resnet50 on eyeriss": ("estimate", "resnet50", "--on", "eyeriss", "--no-cache"),
    "the same in two processes": ("estimate", "resnet50", "--on", "eyeriss", "--no-cache", "--jobs", "2"),
    "the same from the cache": ("estimate", "resnet50", "--on", "eyeriss"),
    "estimate mobilenet_v2 on eyeriss": ("estimate", "mobilenet_v2", "--on", "eyeriss", "--no-cache"),
    "estimate googlenet on eyeriss": ("estimate", "googlenet", "--on", "eyeriss", "--no-cache"),
    "estimate distilbert on eyeriss": ("estimate", "distilbert", "--on", "eyeriss", "--no-cache"),
    "estimate resnet18 on eyeriss, uneven": ("estimate", "resnet18", "--on", "eyeriss", "--no-cache", "--uneven"),
    "estimate resnet50 on simba": ("estimate", "resnet50", "--on", "simba", "--no-cache"),
}


def whole_process(arguments: Sequence[str], output: IO[str] | None = None) -> dict[str, float]:
    """CPU and wall seconds and peak megabytes of a module's command in a fresh process with one thread."""
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        stdout=subprocess.DEVNULL if output is None else output,
        env={**os.environ, **one_thread},
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"python -m {' '.join(arguments)} ended with {process.returncode}")
    return {"cpu_s": usage.ru_utime + usage.ru_stime, "wall_s": wall, "peak_mb": usage.ru_maxrss / 1024}


def warm() -> dict[str, Any]:
    """What `bench.warm` measures in a process of its own, and that process's peak memory."""
    with TemporaryFile("w+") as written:
        usage = whole_process(["bench.warm"], written)
        written.seek(0)
        found: dict[str, Any] = json.load(written)
    print(f"{'one warm process, CPU ms of the search, distinct layers':56} {'median':>8} {'max':>8} {'proven':>9}")
    for network, of in found["layers"].items():
        name, proven = f"{network} on eyeriss, slowest {of['slowest']}", f"{of['proven']} of {of['layers']}"
        print(f"{name:56} {of['median_ms']:8.1f} {of['max_ms']:8.1f} {proven:>9}")
    swept, uneven = found["sweep"], found["uneven"]
    name = f"CPU s for {swept['variants']:,} accelerator variants, resnet50"
    alone = f"one by one {swept['one_by_one_cpu_s_each']:.2f} s each, {swept['one_by_one']} tried"
    print(f"{name:56} {swept['cpu_s']:8.1f}   {swept['searches']:,} searches; {alone}, {swept['unequal']} unequal")
    gap = f"{uneven['proven']} of {uneven['layers']} layers proven, at most {uneven['above_bound']:.1%} above the least"
    print(f"{'CPU s of resnet18 on eyeriss, uneven':56} {uneven['cpu_s']:8.2f}   {gap}")
    print(f"{'peak MB of that process':56} {usage['peak_mb']:8.0f}")
    return found | {"peak_mb": usage["peak_mb"]}


def peers(full: bool) -> dict[str, Any]:
    """The peers beside us in this run: a few layers, or with `full` everything, kept in reports/."""
    live: dict[str, Any] = {}
    if accelforge_layers.interpreter().exists():
        live["accelforge"] = accelforge_layers.run(quick=not full, search=True)
    else:
        print("AccelForge skipped: not installed; `make peers` does it")
    if not zigzag_network.interpreter().exists():
        print("ZigZag skipped: not installed; `make peers` does it")
    elif full:
        live["zigzag"] = zigzag_network.run(search=True)
    else:
        name = f"{QUICK_LAYERS} smallest layers of resnet18 on tpu_like"
        live["zigzag"] = {name: zigzag_network.searched("resnet18", "tpu_like", QUICK_LAYERS)}
        print(zigzag_network.line(name, live["zigzag"][name]))
    peer.write()
    numbers: dict[str, Any] = without_mappings(live)
    return numbers


def without_mappings(value: Any) -> Any:
    """What a peer's run gave, but for the mappings, which reports/ has elsewhere."""
    if isinstance(value, dict):
        return {key: without_mappings(each) for key, each in value.items() if "mapping" not in key or "_pj" in key}
    return [without_mappings(each) for each in value] if isinstance(value, list) else value


def process_seconds(work: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def mappings_per_second(batch: int) -> float:
    """Mappings of a ResNet 3x3 layer on Eyeriss that `count_many` counts per CPU second, tables built included."""
    layer = convolution("conv", m=64, c=64, p=56, q=56, r=3, s=3)
    accelerator = read_accelerator("eyeriss").accelerator
    nest: list[Loop | Storage] = [Storage("dram", t.name) for t in layer.tensors]
    nest += [Loop(d, 1) for d in "MPQC"] + [Storage("global_buffer", name) for name in ("input", "output")]
    nest += [Loop(d, 1) for d in "CMPQ"]
    nest += [Loop("M", 1, "pe.x"), Loop("P", 1, "pe.x"), Loop("C", 1, "pe.y"), Loop("R", 1, "pe.y")]
    nest += [Storage("spad", t.name) for t in layer.tensors] + [Loop(d, 1) for d in "QSRCM"]
    loops = [item for item in nest if isinstance(item, Loop)]
    random, bounds = np.random.default_rng(0), np.ones((batch, len(loops)), dtype=np.int64)
    for d, size in layer.dims.items():
        columns = [k for k, loop in enumerate(loops) if loop.dim == d]
        chains = [[size]]
        for _ in columns[1:]:
            chains = [[*c[:-1], f, c[-1] // f] for c in chains for f in range(1, c[-1] + 1) if c[-1] % f == 0]
        if columns:
            bounds[:, columns] = np.array(chains)[random.integers(0, len(chains), batch)]
    return batch / process_seconds(lambda: count_many(layer, accelerator, tuple(nest), bounds))


def main() -> None:
    """Measure, print, and write reports/bench.json; searches are kept in a cache of the run's own."""
    with TemporaryDirectory() as folder:
        os.environ["ENERGYSIM_CACHE_DIR"] = folder
        # first, while this process is small: a new process's peak begins with its parent's size
        warmed = warm()
        results = measure() | {"warm": warmed}
    results["peers"] = peers("--full" in sys.argv)
    target = Path(__file__).resolve().parent.parent / "reports" / "bench.json"
    target.write_text(json.dumps(results, indent=2) + "\n")
    print(f"written to {target.relative_to(Path.cwd()) if target.is_relative_to(Path.cwd()) else target}")


def measure() -> dict[str, object]:
    """Every command (with the cache, the first of its runs fills it), and what is counted in this process."""
    results: dict[str, object] = {"python": platform.python_version(), "machine": platform.machine(), "runs": RUNS}
    print(f"{'command, cold process, one thread':38} {'CPU s':>8} {'wall s':>8} {'peak MB':>8}   median of {RUNS}")
    for name, arguments in COMMANDS.items():
        runs = [whole_process(["energysim", *arguments]) for _ in range(RUNS)]
        middle = {key: median(run[key] for run in runs) for key in runs[0]}
        results[name] = middle
        print(f"{name:38} {middle['cpu_s']:8.2f} {middle['wall_s']:8.2f} {middle['peak_mb']:8.0f}")
    for name, read in {"accelerator eyeriss": read_accelerator, "network resnet50": read_model}.items():
        seconds = median(process_seconds(lambda read=read, name=name: read(name.split()[1])) for _ in range(9))
        results[f"read {name}, warm"] = seconds
        print(f"{f'CPU milliseconds to read the {name}, warm':50} {seconds * 1e3:14.1f}")
    for batch in (1_000, 100_000, 1_000_000):
        rate = median(mappings_per_second(batch) for _ in range(3))
        results[f"mappings per second, batch {batch}"] = rate
        print(f"{f'mappings counted per CPU second, {batch:,} at once':50} {rate:14,.0f}")
    return results


if __name__ == "__main__":
    main()
