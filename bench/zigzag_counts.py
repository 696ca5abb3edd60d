"""The same layers counted by ZigZag, for real: `make peers`. Writes reports/zigzag_counts.json.

MACs and compulsory traffic must be equal; ZigZag's own mapping then reaches that traffic or moves more.
"""

import json
import sys

from bench.zigzag_network import ROOT, asked_of, interpreter, run_zigzag
from energysim.workload.layer import convolution

TARGET = ROOT / "reports" / "zigzag_counts.json"
LAYERS = {
    "3x3, 28x28": ({"M": 64, "C": 32, "P": 28, "Q": 28, "R": 3, "S": 3}, 1),
    "1x1, 14x14": ({"M": 128, "C": 64, "P": 14, "Q": 14, "R": 1, "S": 1}, 1),
    "3x3 stride 2, 14x14": ({"M": 128, "C": 64, "P": 14, "Q": 14, "R": 3, "S": 3}, 2),
    "fully connected": ({"M": 1000, "C": 512, "P": 1, "Q": 1, "R": 1, "S": 1}, 1),
}


def main() -> None:
    """Run ZigZag on each layer and compare; ends with 1 on a disagreement."""
    if not interpreter().exists():
        print(f"ZigZag skipped: none at {interpreter()}; `make peers` installs it, or set ENERGYSIM_ZIGZAG to it")
        return
    layers = [
        convolution(name, **{d.lower(): n for d, n in dims.items()}, stride=(stride, stride))
        for name, (dims, stride) in LAYERS.items()
    ]
    answers = run_zigzag("tpu_like", [asked_of(layer) for layer in layers])["layers"]
    rows = [
        {
            "layer": layer.name,
            "macs": layer.macs,
            "elements": [t.elements(layer.dims) for t in layer.tensors],
            "compulsory_bits": sum(t.elements(layer.dims) for t in layer.tensors) * 8,
            "zigzag_macs": theirs["macs"],
            "zigzag_elements": [theirs["elements"][key] for key in "WIO"],
            "zigzag_dram_bits": sum(theirs["dram_bits"].values()),
        }
        for layer, theirs in zip(layers, answers, strict=True)
    ]
    TARGET.write_text(json.dumps(rows, indent=1) + "\n")
    agree = all(r["macs"] == r["zigzag_macs"] and r["elements"] == r["zigzag_elements"] for r in rows)
    print(f"MACs and compulsory elements {'are equal on all layers' if agree else 'DIFFER'}")
    sys.exit(0 if agree else 1)


if __name__ == "__main__":
    main()
