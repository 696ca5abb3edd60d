"""Runs inside ZigZag's own environment: layers on one of its shipped accelerators; prints what it found as JSON.

Reads from standard input {"hardware": "tpu_like", "layers": [{"dims": {N, G, M, C, P, Q, R, S}, "stride": [u, v]}]};
8-bit weights, inputs and final outputs, 16-bit partial sums. Seconds are CPU, imports left out. A layer with a
"mapping" ({"temporal", "spatial"} as in the answers) is not searched but priced by ZigZag's cost model.
"""

import json
import logging
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import yaml
import zigzag
from zigzag.api import get_hardware_performance_zigzag
from zigzag.datatypes import LayerDim, LayerOperand
from zigzag.mapping.temporal_mapping import TemporalMapping, TemporalMappingType
from zigzag.stages.mapping.temporal_mapping_generator_stage import TemporalMappingGeneratorStage

DIMS = {"N": "B", "G": "G", "M": "K", "C": "C", "P": "OY", "Q": "OX", "R": "FY", "S": "FX"}
WIDTH = 64  # bits of one DRAM access, in both shipped accelerators


def described(number, asked):
    """One layer in ZigZag's words; groups only where there are some, as its own parser does."""
    (down, across), dims = asked["stride"], {DIMS[d]: n for d, n in asked["dims"].items() if d in DIMS}
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


LINKS = {"O": "O", "W": "I2", "I": "I1"}
INPUTS = Path(zigzag.__file__).parent / "inputs"


def run(hardware, layers, mapping, folder):
    """ZigZag's costs of layers, each with its best mapping by energy, and the CPU seconds that took."""
    workload, rules = Path(folder) / "workload.yaml", Path(folder) / "mapping.yaml"
    workload.write_text(yaml.safe_dump([described(i, layer) for i, layer in enumerate(layers)]))
    rules.write_text(yaml.safe_dump(mapping))
    start = time.process_time()
    *_, found = get_hardware_performance_zigzag(
        str(workload),
        str(INPUTS / "hardware" / f"{hardware}.yaml"),
        str(rules),
        opt="energy",
        dump_folder=folder,
        pickle_filename=f"{folder}/found.pickle",
        loma_show_progress_bar=False,
    )
    return [cost for cost, *_ in found[0][1]], time.process_time() - start


def priced(hardware, layer, folder):
    """One layer with a given mapping, or why ZigZag does not take it."""
    given = layer["mapping"]
    spread = {axis: [f"{dim}, {size}" for dim, size in single] or ["K, 1"] for axis, single in given["spatial"].items()}
    levels = {
        LayerOperand(operand): [[(LayerDim(dim), size) for dim, size in level] for level in blocks]
        for operand, blocks in given["temporal"].items()
    }
    generate = TemporalMappingGeneratorStage.generate_temporal_mappings

    def only(stage):
        yield TemporalMapping(levels, stage.layer, TemporalMappingType.UNEVEN)

    TemporalMappingGeneratorStage.generate_temporal_mappings = only
    try:
        mapping = [{"name": "default", "spatial_mapping": spread, "memory_operand_links": LINKS}]
        (cost,), _ = run(hardware, [layer], mapping, folder)
    except Exception as error:  # whatever it is, the other layers are still to be priced
        return {"refused": f"{type(error).__name__}: {error}".splitlines()[0]}
    finally:
        TemporalMappingGeneratorStage.generate_temporal_mappings = generate
    return answer(cost)


def searched(hardware, layers, folder):
    """Every layer's best mapping in one run, under ZigZag's own mapping file where it ships one."""
    shipped = INPUTS / "mapping" / f"{hardware}.yaml"
    mapping = [{"name": "default", "memory_operand_links": LINKS}]
    if shipped.exists():
        mapping = yaml.safe_load(shipped.read_text())
    return run(hardware, layers, mapping, folder)


asked = json.load(sys.stdin)
hardware = asked.get("hardware", "tpu_like")
logging.disable(logging.CRITICAL)
with tempfile.TemporaryDirectory() as folder:
    if any("mapping" in layer for layer in asked["layers"]):
        layers, seconds = [priced(hardware, layer, folder) for layer in asked["layers"]], None
    else:
        costs, seconds = searched(hardware, asked["layers"], folder)
        layers = [answer(cost) for cost in costs]
print(json.dumps({"cpu_s": seconds, "version": version("zigzag-dse"), "layers": layers}))
