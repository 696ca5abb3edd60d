"""Runs inside ZigZag's own environment: one convolution on its shipped `tpu_like`; prints what it counted as JSON.

Reads from standard input {"dims": {M, C, P, Q, R, S}, "stride": u}; 8-bit weights, inputs and final outputs.
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

asked = json.load(sys.stdin)
dims, stride = asked["dims"], asked["stride"]
layer = {
    "id": 0,
    "name": "layer",
    "operator_type": "Conv",
    "equation": "O[b][k][oy][ox]+=W[k][c][fy][fx]*I[b][c][iy][ix]",
    "dimension_relations": [f"ix={stride}*ox+1*fx", f"iy={stride}*oy+1*fy"],
    "loop_dims": ["B", "K", "C", "OY", "OX", "FY", "FX"],
    "loop_sizes": [1, *(dims[d] for d in "MCPQRS")],
    "operand_precision": {"O": 16, "O_final": 8, "W": 8, "I": 8},
    "operand_source": {"I": 0, "W": 0},
}
logging.disable(logging.CRITICAL)
inputs = Path(zigzag.__file__).parent / "inputs"
with tempfile.TemporaryDirectory() as folder:
    workload = Path(folder) / "workload.yaml"
    workload.write_text(yaml.safe_dump([layer]))
    start = time.process_time()
    *_, found = get_hardware_performance_zigzag(
        str(workload),
        str(inputs / "hardware" / "tpu_like.yaml"),
        str(inputs / "mapping" / "tpu_like.yaml"),
        opt="energy",
        dump_folder=folder,
        pickle_filename=f"{folder}/found.pickle",
        loma_show_progress_bar=False,
    )
    seconds = time.process_time() - start
cost = found[0][1][0][0]
width = 64  # bits of one DRAM access of `tpu_like`
outermost = {str(operand): levels[-1] for operand, levels in cost.memory_word_access.items()}
traffic = {
    name: sum(int(n) for n in str(moves).replace(",", "").replace(")", "").split() if n.isdigit())
    for name, moves in outermost.items()
}
elements = {str(operand): int(n) for operand, n in cost.layer.operand_size_elem.items()}
answer = {
    "macs": int(cost.layer.total_mac_count),
    "elements": elements,
    "dram_bits": {k: v * width for k, v in traffic.items()},
}
print(json.dumps({**answer, "cpu_s": seconds, "version": getattr(zigzag, "__version__", "")}))
