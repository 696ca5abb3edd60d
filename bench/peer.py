"""The same layers counted by a peer, for real: `make peers`. Writes reports/peer.md.

ZigZag runs in its own environment (`make peers`, or its interpreter in ENERGYSIM_ZIGZAG) and is never imported here.
MACs and compulsory traffic must be equal; ZigZag's own mapping then reaches that traffic or moves more.
"""

import json
import sys
from typing import Any

from bench.zigzag_network import ROOT, TARGET, asked_of, interpreter, run_zigzag
from energysim.workload.layer import convolution

LAYERS = {
    "3x3, 28x28": ({"M": 64, "C": 32, "P": 28, "Q": 28, "R": 3, "S": 3}, 1),
    "1x1, 14x14": ({"M": 128, "C": 64, "P": 14, "Q": 14, "R": 1, "S": 1}, 1),
    "3x3 stride 2, 14x14": ({"M": 128, "C": 64, "P": 14, "Q": 14, "R": 3, "S": 3}, 2),
    "fully connected": ({"M": 1000, "C": 512, "P": 1, "Q": 1, "R": 1, "S": 1}, 1),
}


def main() -> None:
    """Run the peer on each layer, compare, print and write the table; ends with 1 on a disagreement."""
    if not interpreter().exists():
        print(f"skipped: no ZigZag at {interpreter()}; `make peers` installs it, or set ENERGYSIM_ZIGZAG to it")
        return
    layers = [
        convolution(name, **{d.lower(): n for d, n in dims.items()}, stride=(stride, stride))
        for name, (dims, stride) in LAYERS.items()
    ]
    answers = run_zigzag("tpu_like", [asked_of(layer) for layer in layers])["layers"]
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
    for layer, theirs in zip(layers, answers, strict=True):
        ours = [t.elements(layer.dims) for t in layer.tensors]
        peers = [theirs["elements"][key] for key in "WIO"]
        agree &= layer.macs == theirs["macs"] and ours == peers
        moved = sum(theirs["dram_bits"].values())
        sizes = (" + ".join(f"{n:,}" for n in numbers) for numbers in (ours, peers))
        lines.append(
            f"| {layer.name} | {layer.macs:,} | {theirs['macs']:,} | {' | '.join(sizes)} "
            f"| {sum(ours) * 8:,} | {moved:,} |"
        )
    lines += ["", f"MACs and compulsory elements {'are equal on all layers' if agree else 'DIFFER'}.", ""]
    if TARGET.exists():
        lines += networks(json.loads(TARGET.read_text()))
    print("\n".join(lines))
    (ROOT / "reports" / "peer.md").write_text("\n".join(lines))
    sys.exit(0 if agree else 1)


def networks(results: dict[str, Any]) -> list[str]:
    """The section on whole networks, from what `bench.zigzag_network` wrote."""
    lines = [
        "## Whole networks",
        "",
        "Made by `python -m bench.zigzag_network`: layers of equal work once, one tool after the other, CPU",
        "seconds without imports (one thread). Energies are of the whole network. *By our counts* prices ZigZag's own",
        "best mapping with our counts; *same layers* is our mapping on the layers where ZigZag's is legal here. ZigZag",
        "searches uneven tilings with padded tiles and the spread of its mapping file; ours are even, by divisors.",
        "*Dearest*: the layer where ours is most above ZigZag's, both by our counts. Our side may be of a later run",
        "(`python -m bench.zigzag_network ours`) than ZigZag's.",
        "Not legal here: a buffer that holds a tile inside loops where another tensor's register holds its own.",
        "",
        "| network | ZigZag CPU s | ours | times less | ZigZag, its model uJ | ours, our counts uJ | legal here "
        "| ZigZag by our counts uJ | ours, same layers uJ | layers where ours is not dearer | dearest |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, run in results.items():
        rows = run["layers"]
        legal = [row for row in rows if "zigzag_mapping_our_pj" in row]
        seconds = sum(row["our_cpu_s"] for row in rows)
        cells = (
            f"{run['zigzag_cpu_s']:.1f} | {seconds:.2f} | {run['zigzag_cpu_s'] / seconds:.0f}",
            f"{micro(rows, 'zigzag_pj')} | {micro(rows, 'our_pj')} | {len(legal)} of {len(rows)}",
            f"{micro(legal, 'zigzag_mapping_our_pj')} | {micro(legal, 'our_pj')}",
            f"{sum(row['our_pj'] <= row['zigzag_mapping_our_pj'] * (1 + 1e-9) for row in legal)} of {len(legal)}",
            f"{max((row['our_pj'] / row['zigzag_mapping_our_pj'] - 1 for row in legal), default=0.0):+.1%}",
        )
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, ""]


def micro(rows: list[dict[str, Any]], key: str) -> str:
    """The sum of a field over layers, each as often as the network has it, from pJ to uJ."""
    return f"{sum(row[key] * row['times'] for row in rows) / 1e6:,.0f}" if rows else "none"


if __name__ == "__main__":
    main()
