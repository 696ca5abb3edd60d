"""Timeloop problem files (YAML): one affine loop nest, given by its shape and the sizes of an instance of it."""

import re
from pathlib import Path
from types import MappingProxyType

from energysim.errors import InputError, ModelReadError, unknown
from energysim.workload.affine import Space, Terms, nest_layer
from energysim.workload.foreign_nodes import field, integer, items, wrong
from energysim.workload.graph import LayerGraph, clean_name
from energysim.yaml_nodes import Node, load

KNOWN = MappingProxyType({dim: dim for dim in "NGMCPQRS"} | {"K": "M"})
"""Dims that are called alike; K is what others call M."""
WEIGHT = re.compile(r"weight|filter|kernel", re.IGNORECASE)


def is_timeloop(root: Node) -> bool:
    """Whether a YAML file is a Timeloop problem."""
    return isinstance(root.value, dict) and "problem" in root.value


def from_timeloop(path: str | Path) -> LayerGraph:
    """The one layer of a Timeloop problem (v3 and v0.4, its shape written out); raises InputError with file and line.

    The data space that is read and written is the output; weights are those called so (weight, filter, kernel), or the
    second input where none is.
    """
    path = Path(path)
    problem = load(path)["problem"]
    shape, instance = field(problem, "shape"), field(problem, "instance")
    if not isinstance(shape.value, dict):
        raise wrong(shape, "shape names another file; write the shape itself")
    loops = {str(each.value): 1 for each in items(field(shape, "dimensions"))}
    coefficients = {}
    for each in items(shape["coefficients"]) if "coefficients" in shape.value else ():
        coefficients[str(field(each, "name").value)] = integer(field(each, "default"), 0)
    if not isinstance(instance.value, dict):
        raise wrong(instance, "instance must be a mapping of sizes")
    for name, node in instance.value.items():
        if name in coefficients:
            coefficients[name] = integer(node, 0)
        elif name in loops:
            loops[name] = integer(node, 1)
        elif name not in ("densities", "version"):
            raise wrong(node, str(unknown("dimension or coefficient", name, [*loops, *coefficients])))
    spaces = items(field(shape, "data-spaces" if "data-spaces" in shape.value else "data_spaces"))
    name = clean_name(str(shape["name"].value)) if "name" in shape.value else "problem"
    try:
        layer = nest_layer(name, _op(name), loops, _spaces(spaces, loops, coefficients), known=KNOWN)
        return LayerGraph(clean_name(path.stem.removesuffix(".problem")), (layer,))
    except InputError as error:
        raise ModelReadError(f"{clean_name(str(path))}: {error}") from None


def _op(name: str) -> str:
    plain = name.lower().replace("_", "-")
    return "convolution" if "conv" in plain or plain.startswith("cnn") else "affine"


def _spaces(nodes: list[Node], loops: dict[str, int], coefficients: dict[str, int]) -> list[Space]:
    names = [str(field(each, "name").value) for each in nodes]
    writes = [bool({"read-write", "read_write"} & set(each.value)) for each in nodes if isinstance(each.value, dict)]
    inputs = [name for name, written in zip(names, writes, strict=True) if not written]
    weights = {name for name in inputs if WEIGHT.search(name)}
    second = inputs[1] if not weights and len(inputs) > 1 else ""
    spaces, seen = [], {"weight": 0, "input": 0}
    for node, name, written in zip(nodes, names, writes, strict=True):
        indices = tuple(_index(each, loops, coefficients) for each in items(field(node, "projection")))
        role = "output" if written else "weight" if name in weights or name == second else "input"
        stem = "weight" if name in weights else "input"
        label = "output"
        if not written:
            seen[stem] += 1
            label = stem if seen[stem] == 1 else f"{stem}_{seen[stem]}"
        spaces.append(Space(label, role, indices))
    return spaces


def _index(node: Node, loops: dict[str, int], coefficients: dict[str, int]) -> Terms:
    """One index: a list of products, each a dimension and perhaps a coefficient."""
    terms = []
    for each in items(node):
        factors = [str(factor.value) for factor in items(each)]
        dimensions = [factor for factor in factors if factor in loops]
        scales = [factor for factor in factors if factor not in loops]
        if len(dimensions) != 1 or any(factor not in coefficients for factor in scales):
            misnamed = next((factor for factor in scales if factor not in coefficients), " ".join(factors))
            raise wrong(each, str(unknown("dimension or coefficient", misnamed, [*loops, *coefficients])))
        scale = 1
        for factor in scales:
            scale *= coefficients[factor]
        if scale:
            terms.append((dimensions[0], scale))
    if not terms:
        raise wrong(node, "an index of a projection must have a dimension")
    return tuple(terms)
