"""The same layers counted by a peer, for real: `make peers`. Writes reports/peer.md.

ZigZag runs in its own environment (`make peers`, or its interpreter in ENERGYSIM_ZIGZAG) and is never imported here.
MACs and compulsory traffic must be equal; ZigZag's own mapping then reaches that traffic or moves more.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from energysim.workload.layer import convolution

ROOT = Path(__file__).resolve().parent.parent
LAYERS = {
    "3x3, 28x28": ({"M": 64, "C": 32, "P": 28, "Q": 28, "R": 3, "S": 3}, 1),
    "1x1, 14x14": ({"M": 128, "C": 64, "P": 14, "Q": 14, "R": 1, "S": 1}, 1),
    "3x3 stride 2, 14x14": ({"M": 128, "C": 64, "P": 14, "Q": 14, "R": 3, "S": 3}, 2),
    "fully connected": ({"M": 1000, "C": 512, "P": 1, "Q": 1, "R": 1, "S": 1}, 1),
}


def main() -> None:
    """Run the peer on each layer, compare, print and write the table; ends with 1 on a disagreement."""
    peer = Path(os.environ.get("ENERGYSIM_ZIGZAG", ROOT / ".peers" / "zigzag" / "bin" / "python"))
    if not peer.exists():
        print(f"skipped: no ZigZag at {peer}; `make peers` installs it, or set ENERGYSIM_ZIGZAG to its interpreter")
        return
    lines = [
        "# The same layers counted by ZigZag",
        "",
        "Made by `make peers`: ZigZag (PyPI `zigzag-dse`) in its own environment, on its shipped `tpu_like`, 8-bit",
        "weights, inputs and finished outputs. Elements are what each tool says a layer touches; DRAM bits are what",
        "ZigZag's own best mapping moves, beside our compulsory traffic (the least any mapping can move).",
        "",
        "| layer | MACs | ZigZag | weights + inputs + outputs | ZigZag | compulsory bits | ZigZag's DRAM bits |",
        "|---|---|---|---|---|---|---|",
    ]
    agree = True
    for name, (dims, stride) in LAYERS.items():
        asked = json.dumps({"dims": dims, "stride": stride})
        done = subprocess.run(
            [peer, ROOT / "bench" / "zigzag_layer.py"], input=asked, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"ZigZag failed on {name}: {done.stderr.strip().splitlines()[-1]}")
        theirs = json.loads(done.stdout.strip().splitlines()[-1])
        lower = {d.lower(): n for d, n in dims.items()}
        layer = convolution(name, **lower, stride=(stride, stride))
        ours = [t.elements(layer.dims) for t in layer.tensors]
        peers = [theirs["elements"][key] for key in "WIO"]
        agree &= layer.macs == theirs["macs"] and ours == peers
        moved = sum(theirs["dram_bits"].values())
        sizes = (" + ".join(f"{n:,}" for n in numbers) for numbers in (ours, peers))
        lines.append(
            f"| {name} | {layer.macs:,} | {theirs['macs']:,} | {' | '.join(sizes)} | {sum(ours) * 8:,} | {moved:,} |"
        )
    lines += ["", f"MACs and compulsory elements {'are equal on all layers' if agree else 'DIFFER'}.", ""]
    print("\n".join(lines))
    (ROOT / "reports" / "peer.md").write_text("\n".join(lines))
    sys.exit(0 if agree else 1)


if __name__ == "__main__":
    main()
