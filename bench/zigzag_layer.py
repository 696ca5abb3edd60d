"""Runs inside ZigZag's own environment: layers on one of its shipped accelerators; prints what it found as JSON.

Reads from standard input {"hardware": "tpu_like", "layers": [{"dims": {N, G, M, C, P, Q, R, S}, "stride": [u, v]}]};
8-bit weights, inputs and final outputs, 16-bit partial sums. Seconds are CPU, imports left out.
"""

import json
import logging
import sys
import tempfile
import time
from pathlib import Path

import yaml
import zigzag
from zigzag.api import get_hardware_performance_zigzag

DIMS = {"N": "B", "G": "G", "M": "K", "C": "C", "P": "OY", "Q": "OX", "R": "FY", "S": "FX"}
WIDTH = 64  # bits of one DRAM access, in both shipped accelerators


def described(number, asked):
    """One layer in ZigZag's words; groups only where there are some, as its own parser does."""
    (down, across), dims = asked["stride"], {DIMS[d]: n for d, n in asked["dims"].items()}
    if dims["G"] == 1:
        del dims["G"]
    g = "[g]" if "G" in dims else ""
    return {
        "id": number,
        "name": f"layer{number}",
        "operator_type": "Conv",
        "equation": f"O[b]{g}[k][oy][ox]+=W{g}[k][c][fy][fx]*I[b]{g}[c][iy][ix]",
        "dimension_relations": [f"ix={across}*ox+1*fx", f"iy={down}*oy+1*fy"],
        "loop_dims": list(dims),
        "loop_sizes": list(dims.values()),
        "operand_precision": {"O": 16, "O_final": 8, "W": 8, "I": 8},
        "operand_source": {"I": number, "W": number},
    }


def loops(levels):
    """ZigZag's loops of one operand, innermost level and innermost loop first, as plain lists."""
    return [[[str(dim), size] for dim, size in level] for level in levels]


def answer(cost):
    """What the cost model says of one layer's best mapping, and that mapping."""
    dram = {str(operand): str(levels[-1]) for operand, levels in cost.memory_word_access.items()}
    words = {
        operand: sum(int(n) for n in moves.replace(",", "").replace(")", "").split() if n.isdigit())
        for operand, moves in dram.items()
    }
    return {
        "macs": int(cost.layer.total_mac_count),
        "elements": {str(operand): int(n) for operand, n in cost.layer.operand_size_elem.items()},
        "dram_bits": {operand: n * WIDTH for operand, n in words.items()},
        "energy_pj": float(cost.energy_total),
        "latency_cycles": float(cost.latency_total2),
        "temporal": {str(o): loops(levels) for o, levels in cost.temporal_mapping.mapping_dic_stationary.items()},
        "spatial": {
            str(axis): [[str(dim), size] for dim, size in single.items()]
            for axis, single in cost.layer.spatial_mapping.items()
        },
    }


asked = json.load(sys.stdin)
hardware = asked.get("hardware", "tpu_like")
logging.disable(logging.CRITICAL)
inputs = Path(zigzag.__file__).parent / "inputs"
with tempfile.TemporaryDirectory() as folder:
    workload, mapping = Path(folder) / "workload.yaml", inputs / "mapping" / f"{hardware}.yaml"
    workload.write_text(yaml.safe_dump([described(i, layer) for i, layer in enumerate(asked["layers"])]))
    if not mapping.exists():
        mapping = Path(folder) / "mapping.yaml"
        links = {"O": "O", "W": "I2", "I": "I1"}
        mapping.write_text(yaml.safe_dump([{"name": "default", "memory_operand_links": links}]))
    start = time.process_time()
    *_, found = get_hardware_performance_zigzag(
        str(workload),
        str(inputs / "hardware" / f"{hardware}.yaml"),
        str(mapping),
        opt="energy",
        dump_folder=folder,
        pickle_filename=f"{folder}/found.pickle",
        loma_show_progress_bar=False,
    )
    seconds = time.process_time() - start
layers = [answer(cost) for cost, *_ in found[0][1]]
print(json.dumps({"cpu_s": seconds, "version": getattr(zigzag, "__version__", ""), "layers": layers}))
