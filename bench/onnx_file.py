"""How long an ONNX file of 102 MB takes to become a layer graph, and how much memory beyond a file of 16 kB.

`python -m bench.onnx_file` exports ResNet-50 from PyTorch, then runs `energysim inspect` on both in fresh processes.
"""

import logging
import os
import subprocess
import sys
import tempfile
import warnings
from importlib.util import find_spec
from pathlib import Path
from statistics import median

RUNS = 5


def run(path: Path) -> tuple[float, float]:
    """CPU seconds and peak MB of one fresh process."""
    command = [sys.executable, "-m", "energysim", "inspect", str(path), "--format", "json"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"failed: {' '.join(command)}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def export(path: str) -> None:
    """Write ResNet-50, with weights."""
    import torch

    from models.resnet50 import build

    module, inputs = build()
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module.eval(), inputs, path, dynamo=False)


def main() -> None:
    """Print medians; the peak of a process begins with its parent's size, so this one stays small."""
    package = find_spec("onnx")
    assert package is not None
    assert package.origin is not None
    small = Path(package.origin).parent / "backend" / "test" / "data" / "light" / "light_squeezenet.onnx"
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "resnet50.onnx"
        subprocess.run([sys.executable, "-m", "bench.onnx_file", str(large)], check=True)
        seconds, memory = zip(*(run(large) for _ in range(RUNS)), strict=True)
        without = median(run(small)[1] for _ in range(RUNS))
        size = large.stat().st_size / 2**20
    more = median(memory) - without
    print(f"{size:.0f} MB file: {median(seconds):.2f} CPU s, {median(memory):.0f} MB peak")
    print(f"{more:.0f} MB beyond a file of 16 kB, {more / size:.2f} x the file")


if __name__ == "__main__":
    export(sys.argv[1]) if sys.argv[1:] else main()
