"""Write models/<name>.yaml from models/<name>.py: `python models/export.py [name ...]`, all without a name."""

import importlib.util
import sys
from pathlib import Path

import torch

from energysim.workload.from_torch import from_torch
from energysim.workload.from_transformers import from_transformers
from energysim.workload.graph import LayerGraph
from energysim.workload.yaml_format import to_yaml

FOLDER = Path(__file__).resolve().parent


def defined() -> list[str]:
    """Names of all networks that have a definition."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "export")


def exported(name: str) -> tuple[LayerGraph, str]:
    """The layer graph of a definition and its YAML; weights are never made (device "meta")."""
    spec = importlib.util.spec_from_file_location(f"models_{name}", FOLDER / f"{name}.py")
    if spec is None or spec.loader is None or not (FOLDER / f"{name}.py").is_file():
        raise SystemExit(f"no definition models/{name}.py; known: {', '.join(defined())}")
    definition = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(definition)
    with torch.device("meta"):
        made, given = definition.build()
    if isinstance(made, torch.nn.Module):
        graph = from_torch(made, given, name=name)
    else:
        graph = from_transformers(made, name=name, **given)
    about = (definition.__doc__ or "").strip().splitlines()[0]
    comment = (
        f"{about}\nWritten by: python models/export.py {name}\n{graph.macs:,} MACs, {graph.parameters:,} parameters"
    )
    return graph, to_yaml(graph, comment)


if __name__ == "__main__":
    for network in sys.argv[1:] or defined():
        (FOLDER / f"{network}.yaml").write_text(exported(network)[1], encoding="utf-8")
