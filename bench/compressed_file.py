"""Speed of the compressed file: `python -m bench.compressed_file`, CPU seconds on one thread, medians of 5.

2,359,296 indices (a 512x512x3x3 convolution's weights) at K = 256, skewed to 7 bits of entropy and uniform.
"""

from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np

from bench.__main__ import process_seconds
from energysim.compressed.codings import CODINGS, coded_bits
from energysim.compressed.file import read_compressed, write_compressed
from energysim.compressed.model import Clustered, CompressedModel
from energysim.granularity import Granularity

RUNS = 5
SHAPE = (512, 512, 3, 3)


def seconds(work: Callable[[], object]) -> float:
    """Median CPU seconds of a call."""
    return median(process_seconds(work) for _ in range(RUNS))


def main() -> None:
    """Print a line for each coding: bits per index, seconds to encode and decode, then to write and read a file."""
    random, count = np.random.default_rng(0), 512 * 512 * 9
    cases = {
        "skewed": np.minimum(random.geometric(0.02, count) - 1, 255).astype(np.uint32),
        "uniform": random.integers(0, 256, count).astype(np.uint32),
        "0.2 % not zero": np.where(random.random(count) < 0.002, random.integers(1, 256, count), 0).astype(np.uint32),
    }
    codebook = np.arange(256, dtype=np.float32).reshape(1, 256, 1)
    print(f"{'indices':16} {'coding':12} {'bits':>6} {'encode s':>9} {'decode s':>9} {'write s':>8} {'read s':>7}")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "f"
        for case, indices in cases.items():
            for name, coding in CODINGS.items():
                parts = coding.encode(indices, 256, 0)
                tensor = Clustered(codebook, indices, SHAPE, "F32", Granularity("scalar"), coding=name)
                model = CompressedModel({"w": tensor})
                encode = seconds(lambda coding=coding, indices=indices: coding.encode(indices, 256, 0))
                decode = seconds(lambda coding=coding, parts=parts: coding.decode(parts, count, 256, 0))
                write = seconds(lambda model=model: write_compressed(path, model))
                read = seconds(lambda: read_compressed(path).state())
                bits = coded_bits(parts) / count
                print(f"{case:16} {name:12} {bits:6.3f} {encode:9.3f} {decode:9.3f} {write:8.3f} {read:7.3f}")


if __name__ == "__main__":
    main()
