"""Where a peer counts one mapping differently than we do: small layers, each run literally by `replay`.

`python -m bench.model_differences` writes reports/model_differences.json; `python -m bench.peer` renders it. Each case
is one mapping and one count on which the models part; what each peer leaves out or adds is said in words.
"""

import json
from dataclasses import dataclass
from typing import Any

from bench.accelforge_layers import ROOT, by_action, run_accelforge
from bench.accelforge_layers import interpreter as accelforge
from bench.accelforge_words import specification, to_nodes
from bench.zigzag_mapping import to_zigzag
from bench.zigzag_network import BITS, asked_of, run_zigzag
from bench.zigzag_network import interpreter as zigzag
from energysim.hardware.read import read_accelerator
from energysim.mapping.counts import count
from energysim.mapping.nest import Loop, Mapping, Storage
from energysim.mapping.replay import replay
from energysim.workload.graph import LayerGraph
from energysim.workload.layer import Layer, convolution
from energysim.workload.precision import parse_bits, with_bits

TARGET = ROOT / "reports" / "model_differences.json"


@dataclass(frozen=True, slots=True)
class Difference:
    """A mapping (its nest as words, outermost first) and the read or write that a peer counts in its own way."""

    peer: str
    what: str
    hardware: str
    layer: Layer
    nest: str
    key: str


SMALL = convolution("small", m=4, c=4, p=4, q=4, r=3, s=3)
EIGHT_BIT = with_bits(
    LayerGraph("one", (convolution("small", m=8, c=2, p=4, q=4, r=3, s=3),)), parse_bits(BITS)
).layers[0]

DIFFERENCES = (
    Difference(
        "AccelForge",
        "A weight stays in its register while a loop advances that stands outside another tensor's mark of the buffer; "
        "AccelForge fetches it again at each step.",
        "nvdla_forge",
        SMALL,
        "[buffer weight] P4 [buffer input] [buffer output] M4:pe.x C4:pe.y R3:pe.y S3:pe.y [register weight] Q4",
        "register weight write",
    ),
    Difference(
        "AccelForge",
        "A window slides along one loop only, the one right outside its tile; what the next loop out leaves in the "
        "buffer is fetched again.",
        "shared_buffer",
        SMALL,
        "C2 P2 [buffer input] Q2 [buffer weight] [buffer output] M4 C2 R3 S3 P2 Q2",
        "dram input read",
    ),
    Difference(
        "AccelForge",
        "A partial sum that comes back is added once to what the array sums; AccelForge writes it to every instance "
        "that adds into it.",
        "eyeriss_forge",
        convolution("pointwise", m=4, c=16, p=4, q=4),
        "[buffer input] [buffer weight] [buffer output] C4 P4 Q4 C4:pe.y [input_spad input] [weight_spad weight] M4 "
        "[output_spad output]",
        "output_spad output write",
    ),
    Difference(
        "ZigZag",
        "Rows of the input stay in the buffer while the kernel's rows advance outside it; ZigZag fetches every row "
        "again.",
        "tpu_like",
        EIGHT_BIT,
        "R3 [sram_2MB input] [sram_2MB output] P4 Q4 M8:pe.d1 C2:pe.d2 [rf_128B weight] S3 [rf_2B output]",
        "dram input read",
    ),
)


def nested(difference: Difference) -> Mapping:
    """The mapping that a difference writes in words, its tensors resting in DRAM."""
    nest: list[Loop | Storage] = [Storage("dram", tensor.name) for tensor in difference.layer.tensors]
    for word in difference.nest.replace("[", "[ ").replace("]", " ]").split(" ]"):
        *before, mark = word.rsplit("[", 1) if "[" in word else (word, "")
        for loop in (before[0] if before else "").split():
            bound, _, axis = loop[1:].partition(":")
            nest.append(Loop(loop[0], int(bound), axis or None))
        if mark.strip():
            memory, tensor = mark.split()
            nest.append(Storage(memory, tensor))
    return Mapping(tuple(nest))


def compared(difference: Difference) -> dict[str, Any]:
    """One count by our closed form, by replay, and by the peer where it is there."""
    read = read_accelerator(ROOT / "bench" / "hardware" / f"{difference.hardware}.yaml")
    mapping, layer, key = nested(difference), difference.layer, difference.key
    row: dict[str, Any] = {
        "peer": difference.peer,
        "what": difference.what,
        "hardware": difference.hardware,
        "dims": {d: n for d, n in layer.dims.items() if n > 1},
        "nest": difference.nest,
        "key": key,
        "ours": by_action(layer, count(layer, read.accelerator, mapping)).get(key, 0),
        "replay": by_action(layer, replay(layer, read.accelerator, mapping)).get(key, 0),
    }
    if difference.peer == "AccelForge" and accelforge().exists():
        text = specification(layer, read.accelerator, read.table)
        answer = run_accelforge(text, mappings=[to_nodes(layer, mapping)])
        assert answer is not None
        row["theirs"] = answer["priced"][0].get("actions", {}).get(key)
    if difference.peer == "ZigZag" and zigzag().exists():
        asked = asked_of(layer) | {"mapping": to_zigzag(read, mapping)}
        (cost,) = run_zigzag(difference.hardware, [asked])["layers"]
        row["theirs"] = cost["dram_bits"]["I"] / layer.tensors[1].bits if "dram_bits" in cost else None
    return row


def main() -> None:
    """Count every case and write the file; a peer that is not there keeps what it said last."""
    known = {(row["peer"], row["nest"]): row for row in json.loads(TARGET.read_text())} if TARGET.exists() else {}
    rows = []
    for difference in DIFFERENCES:
        row = compared(difference)
        row.setdefault("theirs", known.get((row["peer"], row["nest"]), {}).get("theirs"))
        print(f"{row['peer']}: {row['key']}: ours {row['ours']:,}, replay {row['replay']:,}, theirs {row['theirs']}")
        rows.append(row)
    TARGET.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
