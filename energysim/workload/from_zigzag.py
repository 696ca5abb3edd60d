"""ZigZag workload files (YAML): a list of layers, each an equation over loops with sizes, precisions and sources."""

import re
from pathlib import Path
from types import MappingProxyType
from typing import Any

from energysim.errors import InputError, ModelReadError, unknown
from energysim.workload.affine import Space, Terms, nest_layer
from energysim.workload.foreign_nodes import field, integer, items, mapping, wrong
from energysim.workload.graph import Edge, LayerGraph, clean_name
from energysim.workload.layer import Layer
from energysim.yaml_nodes import Node, load

KNOWN = MappingProxyType(
    {"B": "N", "N": "N", "G": "G", "K": "M", "C": "C", "OY": "P", "OX": "Q", "FY": "R", "FX": "S", "D": "P"}
)
"""Which of our dims ZigZag's loops are."""
OPS = MappingProxyType({"conv": "convolution", "gemm": "matmul", "add": "add", "pooling": "average_pool"})
OPERAND = re.compile(r"([A-Za-z]\w*)((?:\[\w+\])+)")
TERM = re.compile(r"(?:(\d+)\*)?([a-z]\w*)")


def is_zigzag(root: Node) -> bool:
    """Whether a YAML file is a ZigZag workload."""
    first = root.value[0].value if isinstance(root.value, list) and root.value else None
    return isinstance(first, dict) and "equation" in first


def from_zigzag(path: str | Path) -> LayerGraph:
    """The layers of a ZigZag workload with their bits and the flows between them; raises InputError with file and line.

    An operand whose source is the layer itself, or that is listed as constant, is a weight.
    """
    path = Path(path)
    root = load(path)
    layers: dict[int, Layer] = {}
    edges: list[Edge] = []
    for node in root.value if isinstance(root.value, list) else ():
        number = integer(field(node, "id"), 0)
        if number in layers:
            raise wrong(node, f"two layers have the id {number}")
        try:
            layer, sources = _layer(node, number)
        except InputError as error:
            raise error if str(error).startswith(node.file) else wrong(node, str(error)) from None
        for source, elements in sources.items():
            if source in layers:
                written = layers[source].output.elements(layers[source].dims)
                edges.append(Edge(layers[source].name, layer.name, min(elements, written)))
        layers[number] = layer
    try:
        return LayerGraph(clean_name(path.stem), tuple(layers.values()), tuple(edges))
    except InputError as error:
        raise ModelReadError(f"{clean_name(str(path))}: {error}") from None


def _layer(node: Node, number: int) -> tuple[Layer, dict[int, int]]:
    """A layer, and elements by id of the layer that it reads them from."""
    kind = str(node["operator_type"].value) if "operator_type" in mapping(node) else "layer"
    name = clean_name(str(node["name"].value)) if "name" in mapping(node) else f"{clean_name(kind)}_{number}"
    names, sizes = (items(field(node, key)) for key in ("loop_dims", "loop_sizes"))
    if len(names) != len(sizes):
        raise wrong(node, f"has {len(names)} loop_dims and {len(sizes)} loop_sizes")
    loops = {str(y.value).upper(): integer(size, 1) for y, size in zip(names, sizes, strict=True)}
    equation = str(field(node, "equation").value).replace(" ", "")
    result, _, terms = equation.partition("+=" if "+=" in equation else "=")
    operands = OPERAND.findall(terms)
    written = OPERAND.fullmatch(result)
    if written is None or not operands:
        raise wrong(node, f"equation '{clean_name(equation[:80])}' cannot be read; write O[k]+=W[k][c]*I[c]")
    relations = _relations(node)
    bits = {key: integer(each, 0) for key, each in _optional(node, "operand_precision").items()}
    sources = _optional(node, "operand_source")
    constant = (
        {str(y.value) for y in items(node["constant_operands"])} if "constant_operands" in mapping(node) else set()
    )
    product = "*" in terms and kind.lower() not in ("pooling", "maxpool", "averagepool", "add")
    spaces: list[Space] = []
    read: dict[str, str] = {}
    seen = {"weight": 0, "input": 0}
    for label, indices in operands:
        if bits.get(label) == 0:
            continue  # a pooling's window, which holds no numbers
        from_here = _source(sources.get(label)) in (number, None)
        weight = label in constant or (from_here and label not in ("I", "A", "X"))
        stem = "weight" if weight else "input"
        seen[stem] += 1
        tensor = stem if seen[stem] == 1 else f"{stem}_{seen[stem]}"
        role = "weight" if weight or (product and seen["input"] == 2) else "input"
        spaces.append(Space(tensor, role, _indices(node, indices, relations, loops), bits.get(label, 16)))
        read[label] = tensor
    final = bits.get("O_final", bits.get(written[1], 16))
    partial = bits.get(written[1], 0)
    indices = _indices(node, written[2], relations, loops)
    spaces.append(Space("output", "output", indices, final, partial if partial != final else 0))
    op = OPS.get(kind.lower(), kind.lower())
    layer = nest_layer(name, op, loops, spaces, known=KNOWN, unit="mac" if product else "op")
    elements = {t.name: t.elements(layer.dims) for t in layer.tensors}
    flows: dict[int, int] = {}
    for label, tensor in read.items():
        source = _source(sources.get(label))
        if source is not None and source != number:
            flows[source] = flows.get(source, 0) + elements[tensor]
    return layer, flows


def _relations(node: Node) -> dict[str, str]:
    """Indices that are sums: `ix=1*ox+1*fx`."""
    relations = {}
    for each in items(node["dimension_relations"]) if "dimension_relations" in mapping(node) else ():
        left, equals, right = str(each.value).replace(" ", "").partition("=")
        if not equals:
            raise wrong(each, f"dimension relation '{clean_name(str(each.value)[:80])}' cannot be read; write ix=ox+fx")
        relations[left] = right
    return relations


def _indices(node: Node, text: str, relations: dict[str, str], loops: dict[str, int]) -> tuple[Terms, ...]:
    indices = []
    for name in re.findall(r"\[(\w+)\]", text):
        terms = []
        for part in relations.get(name, name).split("+"):
            match = TERM.fullmatch(part.lower())
            if match is None or match[2].upper() not in loops:
                raise wrong(node, str(unknown("loop", clean_name(part[:40]), loops)))
            terms.append((match[2].upper(), int(match[1] or 1)))
        indices.append(tuple(term for term in terms if term[1]))
    return tuple(index for index in indices if index)


def _source(node: Node | None) -> int | None:
    value: Any = None if node is None else node.value
    if isinstance(value, list):
        value = value[0].value if value else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _optional(node: Node, name: str) -> dict[str, Node]:
    return mapping(node[name]) if name in mapping(node) else {}
