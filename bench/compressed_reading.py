"""A compressed ResNet-50, read and estimated, beside the dense one: `python -m bench.compressed_reading`.

Rows of convolutions on 16 centroids, at random: time depends on how many indices there are, not on what they say.
"""

import tempfile
from pathlib import Path
from statistics import median

import numpy as np

from bench.__main__ import whole_process
from energysim.compressed.file import write_compressed
from energysim.compressed.model import Clustered, CompressedModel
from energysim.granularity import Granularity
from energysim.workload.compressed_weights import AXES
from energysim.workload.layer import Layer
from energysim.workload.read import read_model

RUNS = 5
CLUSTERS = 16


def shape_of(layer: Layer) -> tuple[int, ...]:
    """The shape that torch gives a layer's weight."""
    groups, outputs, inputs, *kernel = (layer.dims[d] for d in AXES)
    whole = (groups * outputs, inputs)
    return whole if layer.op == "linear" else (*whole, *kernel)


def compressed(name: str) -> CompressedModel:
    """All weights of a packaged network on random rows."""
    random = np.random.default_rng(0)
    granularity = Granularity("row")
    tensors = {}
    for layer in read_model(name).layers:
        if layer.macs and layer.parameters:
            shape = shape_of(layer)
            count, length = granularity.sample_shape(shape)
            codebook = random.normal(size=(1, CLUSTERS, length)).astype(np.float32)
            indices = random.integers(0, CLUSTERS, count).astype(np.uint32)
            tensors[f"{layer.name}.weight"] = Clustered(codebook, indices, shape, "F32", granularity, coding="huffman")
    return CompressedModel(tensors, name=name)


def main() -> None:
    """Medians of cold processes, dense and compressed in turns."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows16.safetensors"
        write_compressed(path, compressed("resnet50"))
        for accelerator in ("eyeriss", "eyeriss_storage"):
            common = ["energysim", "estimate", "resnet50", "--on", accelerator, "--bits", "8", "--no-cache"]
            ways = {"dense": common, "compressed": [*common, "--compressed", str(path)]}
            runs: dict[str, list[float]] = {way: [] for way in ways}
            for _ in range(RUNS):
                for way, arguments in ways.items():
                    runs[way].append(whole_process(arguments)["cpu_s"])
            dense, shared = median(runs["dense"]), median(runs["compressed"])
            print(f"{accelerator}: dense {dense:.2f} CPU s, compressed {shared:.2f} CPU s, {shared / dense:.2f} x")


if __name__ == "__main__":
    main()
