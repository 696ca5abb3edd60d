"""Runs inside AccelForge's own environment: searches a layer's best mapping, or prices given ones; prints JSON.

Reads from standard input {"spec": AccelForge's own YAML, "search": true or false, "cpu_limit_s": seconds or null,
"mappings": [[node, ...], ...]}. A node is ["storage", memory, tensor], ["temporal", dim, tile] or
["spatial", dim, tile, axis, holder], outermost first, `tile` the size left inside. Seconds are CPU, imports left out.
"""

import json
import resource
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import accelforge
from accelforge.frontend.mapper.metrics import Metrics
from accelforge.frontend.mapping import Compute, Mapping, Spatial, Storage, Temporal
from accelforge.mapper.FFM.main import map_workload_to_arch

EINSUM = "output"
COLUMN = "<SEP>"


def plain(mapping):
    """A mapping's nodes as plain lists, loops of one step left out."""
    nodes = []
    for node in mapping.nodes:
        if isinstance(node, Storage):
            nodes += [["storage", node.component, str(tensor)] for tensor in node.tensors]
        elif isinstance(node, Spatial):
            nodes.append(["spatial", str(node.rank_variable), int(node.tile_shape), str(node.name), node.component])
        elif isinstance(node, Temporal):
            nodes.append(["temporal", str(node.rank_variable), int(node.tile_shape)])
    return nodes


def built(nodes):
    """A mapping of AccelForge's from plain lists."""
    made = []
    for kind, *rest in nodes:
        if kind == "storage":
            made.append(Storage(component=rest[0], tensors=[rest[1]]))
        elif kind == "temporal":
            made.append(Temporal(rank_variable=rest[0], tile_shape=rest[1]))
        else:
            made.append(Spatial(rank_variable=rest[0], tile_shape=rest[1], name=rest[2], component=rest[3]))
    return Mapping(nodes=[*made, Compute(einsum=EINSUM, component="mac")])


def searched(spec):
    """The best mapping by energy with the library's own (exhaustive) settings, in one process."""
    start, wall = time.process_time(), time.perf_counter()
    found = map_workload_to_arch(spec, print_progress=False, eval_in_detail=False)
    seconds, wall = time.process_time() - start, time.perf_counter() - wall
    best = found.data.sort_values(f"Total{COLUMN}energy").iloc[0]
    return {
        "cpu_s": seconds,
        "wall_s": wall,
        "energy_pj": float(best[f"Total{COLUMN}energy"]),
        "mapping": plain(best[f"Total{COLUMN}mapping"](_for_model=True)),
    }


def priced(text, nodes):
    """Energy and actions of one given mapping under AccelForge's model, or why it takes none of it."""
    spec = read(text)
    spec.model.metrics = Metrics.all_metrics()
    spec.mapping = built(nodes)
    try:
        row = spec.evaluate_mapping().data.iloc[0]
    except Exception as error:  # whatever it is, the other mappings are still to be priced
        return {"refused": f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"}
    actions = {}
    for name, value in row.items():
        _, *parts = name.split(COLUMN)
        if parts[:1] == ["action"]:
            actions[" ".join(parts[1:])] = float(value)
    return {"energy_pj": float(row[f"Total{COLUMN}energy"]), "actions": actions}


def peak_mb():
    """The most memory this process ever had, in MB; getrusage would begin with what its parent had."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def read(text):
    """AccelForge's specification from its text."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spec.yaml"
        path.write_text(text)
        return accelforge.Spec.from_yaml(str(path))


asked = json.load(sys.stdin)
if asked.get("cpu_limit_s"):
    limit = int(asked["cpu_limit_s"] + time.process_time())
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
accelforge.set_n_parallel_jobs(1)
answer = {"version": version("accelforge")}
if asked.get("search"):
    answer |= searched(read(asked["spec"]))
    answer["peak_mb"] = peak_mb()
answer["priced"] = [priced(asked["spec"], nodes) for nodes in asked.get("mappings", [])]
print(json.dumps(answer))
