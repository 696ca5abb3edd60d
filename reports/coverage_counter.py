"""MACs of ONNX files as onnx-tool counts them, in an environment of its own: `python coverage_counter.py JOBS.json`.

A job is {"file": ..., "inputs": {name: [shape, numpy type]}}; prints {file: {op: [MACs, results that have a bias]}}.
"""

import contextlib
import io
import json
import sys

import numpy as np
import onnx_tool

COUNTED = ("Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "Einsum", "ConvInteger", "QLinearConv")


def counted(job):
    """By op, MACs, and results of nodes that have a bias."""
    model = onnx_tool.Model(job["file"])
    graph = model.graph
    graph.graph_reorder_nodes()
    graph.shape_infer({name: np.zeros(shape, kind) for name, (shape, kind) in job["inputs"].items()})
    graph.profile()
    found = {}
    for node in graph.nodemap.values():
        if node.op_type in COUNTED:
            biased = 0
            if node.op_type in ("Conv", "ConvTranspose", "Gemm") and len(node.input) > 2:
                biased = int(np.prod(graph.tensormap[node.output[0]].get_shape()))
            before = found.setdefault(node.op_type, [0, 0])
            found[node.op_type] = [before[0] + int(node.macs[0]), before[1] + biased]
    return found


def main():
    """Count every job; what fails has an error in its place."""
    results = {}
    with open(sys.argv[1]) as file:
        jobs = json.load(file)
    for job in jobs:
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                results[job["file"]] = counted(job)
        except Exception as error:
            results[job["file"]] = {"error": f"{type(error).__name__}: {error}"[:100]}
    print(json.dumps(results))


main()
