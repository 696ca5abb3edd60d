"""Layer graphs as YAML: one line per layer, which says only what its op and its place do not imply.

`dims` leaves out dims of 1. `from` names the layers whose results are read, by default the layer before; a mapping
there gives elements that differ from the whole result. `tensors` lists tensors that are not the usual ones of the op
(`ranks`: a dim, or `{H: {P: 2, R: 1}}` for H = 2*P + R); `formats` gives bits, density, encoding and partial_bits
where they are not 16, 1, dense and 0; `parameters` differs from the number of weights where there are biases.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from energysim.errors import InputError, unknown
from energysim.workload.encoding import ENCODINGS, Codebook
from energysim.workload.graph import Edge, LayerGraph, clean_name
from energysim.workload.layer import DIMS, ROLES, WINDOWS, Layer, Rank, Tensor, Window
from energysim.workload.operations import PLAIN, usual
from energysim.yaml_fields import Either, Field, Fields, Integer, ListOf, MapOf, Number, Record, Text, read_fields
from energysim.yaml_nodes import Problems, flow_style, load

CODEBOOK = Record(
    "codebook",
    {
        "granularity": Field(Text(), "what a sample is, as in row, scalar, vector:4"),
        "clusters": Field(Integer(1), "centroids of one codebook"),
        "length": Field(Integer(1), "elements of one sample"),
        "samples": Field(Integer(1), "samples of the weight"),
        "index_bits": Field(Integer(0, 32), "fixed width of an index"),
        "coded_bits": Field(Number(0), "mean bits of an index as the file codes it, its tables included"),
        "blocks": Field(Integer(1), "parts of the weight with a codebook of their own", 1),
        "coding": Field(Text(), "how the file codes indices", "fixed"),
        "entropy_bits": Field(Number(0), "bits per index that no coding of single indices falls below", 0.0),
        "zero_share": Field(Number(0, maximum=1), "share of samples that are zero throughout", 0.0),
        "sample": Field(
            MapOf(Integer(1), keys=Text(choices=DIMS)), "how much of each dim a sample spans; {} for one weight", None
        ),
    },
)
FORMAT = Record(
    "format",
    {
        "bits": Field(Integer(1, 64), "bits per element", 16),
        "density": Field(Number(0, maximum=1), "share of elements that are not zero", 1.0),
        "encoding": Field(Text(choices=tuple(ENCODINGS)), "how the tensor is coded where it rests", "dense"),
        "partial_bits": Field(Integer(0, 128), "bits of a partial sum; 0 means as many as of an output", 0),
        "codebook": Field(CODEBOOK, "how a weight is shared; which sample is which is in the compressed file", None),
    },
)
DIM = Text(choices=DIMS)
ANY_TEXT = Text()
TENSOR = Record(
    "tensor",
    {
        "role": Field(Text(choices=ROLES), "weight, input or output; by default what the name starts with", None),
        "ranks": Field(
            ListOf(Either((DIM, MapOf(MapOf(Integer(1), DIM, minimum_items=1), ANY_TEXT, minimum_items=1)))),
            "indices: a dim, or one name with the dims it is a sum of",
        ),
    },
)
MOST_AXES = len(WINDOWS)
WINDOW = ListOf(Integer(1), minimum_items=2)
LAYER = Record(
    "layer",
    {
        "name": Field(ANY_TEXT, "unique name"),
        "op": Field(ANY_TEXT, "operation, as in convolution, linear, max_pool, add"),
        "dims": Field(
            Record("dim", {dim: Field(Integer(1), f"size of {dim}", 1) for dim in DIMS}), "sizes of the loop nest", {}
        ),
        "stride": Field(WINDOW, "steps of a window: height, width, or depth, height, width", (1, 1)),
        "dilation": Field(WINDOW, "spacing inside a window: height, width, or depth, height, width", (1, 1)),
        "parameters": Field(Integer(0), "trained numbers", None),
        "fused": Field(ListOf(ANY_TEXT), "nodes that run inside the layer", ()),
        "from": Field(Either((ListOf(ANY_TEXT), MapOf(Integer(0), keys=ANY_TEXT))), "layers read from", None),
        "unit": Field(Text(choices=("mac", "op")), "what is done at each point", None),
        "ops_per_point": Field(Integer(0), "plain operations at each point", None),
        "tensors": Field(MapOf(TENSOR, keys=ANY_TEXT, minimum_items=1), "tensors, where they are unusual", None),
        "formats": Field(MapOf(FORMAT, keys=ANY_TEXT), "bits and density by tensor", MappingProxyType({})),
    },
)
NOTES = ("warnings", "assumptions", "unreached", "unknown", "assumed")
GRAPH = Record(
    "model",
    {
        "model": Field(ANY_TEXT, "name of the network"),
        "layers": Field(ListOf(LAYER, minimum_items=1), "layers in topological order"),
        "warnings": Field(ListOf(ANY_TEXT), "what the reader warned of", ()),
        "assumptions": Field(ListOf(ANY_TEXT), "what the reader decided by convention", ()),
        "unreached": Field(ListOf(ANY_TEXT), "modules that no result needs", ()),
        "unknown": Field(ListOf(ANY_TEXT), "layers of which only the traffic is known", ()),
        "assumed": Field(ListOf(ANY_TEXT), "layers whose amount of work an assumption decides", ()),
    },
)


def from_yaml(path: str | Path) -> LayerGraph:
    """The layer graph in a YAML file; raises InputError with file and line for every mistake in it."""
    fields = read_fields(load(path), GRAPH)
    problems = Problems(str(path))
    layers: list[Layer] = []
    edges: list[Edge] = []
    known: dict[str, Layer] = {}
    for given in fields["layers"]:
        try:
            layer = _layer(given, problems)
        except InputError as error:
            problems.add(given.node, str(error))
            continue
        edges += _edges(given, layer.name, layers, known, problems)
        layers.append(layer)
        known[layer.name] = layer
    problems.check()
    try:
        notes = {key: tuple(fields[key]) for key in NOTES}
        return LayerGraph(clean_name(fields["model"]), tuple(layers), tuple(edges), **notes)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _layer(given: Fields, problems: Problems) -> Layer:
    stride, dilation = (tuple(window) for window in (given["stride"], given["dilation"]))
    for key, window in (("stride", stride), ("dilation", dilation)):
        if len(window) > MOST_AXES:
            problems.add(given.at(key), f"{key} has {len(window)} numbers; a window has two or three axes")
    name, op = clean_name(given["name"]), given["op"]
    layer = usual(name, op, {dim: size for dim, size in given["dims"].items() if size != 1}, stride, dilation)
    changed: dict[str, Any] = {
        key: given[key] for key in ("parameters", "unit", "ops_per_point") if given[key] is not None
    }
    if given["fused"]:
        changed["fused"] = tuple(given["fused"])
    if given["tensors"] is not None:
        changed["tensors"] = tuple(_tensor(label, fields) for label, fields in given["tensors"].items())
    if given["formats"]:
        tensors = {tensor.name: tensor for tensor in changed.get("tensors", layer.tensors)}
        for label, fields in given["formats"].items():
            if label in tensors:
                tensors[label] = replace(tensors[label], **fields | {"codebook": _codebook(fields["codebook"])})
            else:
                problems.add(given["formats"].at(label), str(unknown("tensor", label, tensors)))
        changed["tensors"] = tuple(tensors.values())
    return replace(layer, **changed) if changed else layer


def _codebook(fields: Fields | None) -> Codebook | None:
    if fields is None:
        return None
    sample = None if fields["sample"] is None else tuple(fields["sample"].items())
    return Codebook(**fields | {"sample": sample})


def _tensor(label: str, fields: Fields) -> Tensor:
    ranks = []
    for rank in fields["ranks"]:
        if isinstance(rank, str):
            ranks.append(PLAIN[rank])
        else:
            ranks += [Rank(name, tuple(terms.items())) for name, terms in rank.items()]
    return Tensor(label, fields["role"] or label.partition("_")[0], tuple(ranks))


def _edges(
    given: Fields, name: str, before: Sequence[Layer], known: Mapping[str, Layer], problems: Problems
) -> list[Edge]:
    sources = given["from"]
    if sources is None:
        sources = [before[-1].name] if before else []
    edges = []
    for source in sources:
        label = clean_name(source)
        if label not in known:
            problems.add(
                given.at("from"), str(unknown(f"layer in 'from' of '{name}', which must come before it:", label, known))
            )
            continue
        elements = sources[source] if isinstance(sources, Mapping) else _result(known[label])
        edges.append(Edge(label, name, elements))
    return edges


def _result(layer: Layer) -> int:
    return layer.output.elements(layer.dims)


def to_yaml(graph: LayerGraph, comment: str = "") -> str:
    """YAML text from which `from_yaml` reads an equal graph; the lines of `comment` go on top."""
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    lines.append(f"model: {flow_style(graph.name)}")
    for key in NOTES:
        if notes := getattr(graph, key):
            lines += [f"{key}:", *(f"- {flow_style(note)}" for note in notes)]
    lines.append("layers:")
    results = {layer.name: _result(layer) for layer in graph.layers}
    flows: dict[str, dict[str, int]] = {layer.name: {} for layer in graph.layers}
    for edge in graph.edges:
        flows[edge.target][edge.source] = edge.elements
    previous: dict[str, int] = {}
    for layer in graph.layers:
        fields = _fields(layer)
        flow = flows[layer.name]
        if flow != previous:
            whole = all(results[source] == elements for source, elements in flow.items())
            fields["from"] = list(flow) if whole else flow
        lines.append(f"- {flow_style(fields)}")
        previous = {layer.name: results[layer.name]}
    return "\n".join(lines) + "\n"


def _fields(layer: Layer) -> dict[str, Any]:
    """What a layer is beyond what its op implies."""
    fields: dict[str, Any] = {"name": layer.name, "op": layer.op}
    dims = {dim: size for dim, size in layer.dims.items() if size != 1}
    if dims:
        fields["dims"] = dims
    stride, dilation = _window(layer)
    try:
        implied = usual(layer.name, layer.op, dims, stride, dilation)
    except InputError:
        implied = usual(layer.name, "", dims)
    for name, window in (("stride", stride), ("dilation", dilation)):
        if any(size > 1 for size in window):
            fields[name] = list(window)
    for name in ("unit", "ops_per_point", "parameters"):
        if getattr(layer, name) != getattr(implied, name):
            fields[name] = getattr(layer, name)
    if [_shape(t) for t in layer.tensors] != [_shape(t) for t in implied.tensors]:
        fields["tensors"] = {t.name: _tensor_fields(t) for t in layer.tensors}
    formats = {t.name: _format(t) for t in layer.tensors}
    if any(formats.values()):
        fields["formats"] = {name: given for name, given in formats.items() if given}
    if layer.fused:
        fields["fused"] = list(layer.fused)
    return fields


def _shape(tensor: Tensor) -> tuple[str, str, tuple[Rank, ...]]:
    return (tensor.name, tensor.role, tensor.ranks)


def _window(layer: Layer) -> tuple[Window, Window]:
    """Stride and dilation of the ranks `stride*P + dilation*R` and so on, where there are any; depth only if it has."""
    terms: dict[str, int] = {}
    for tensor in layer.tensors:
        for rank in tensor.ranks:
            if rank.dims in [tuple(axis[:2]) for axis in WINDOWS]:
                terms |= dict(rank.terms)
    axes = WINDOWS if "D" in terms else WINDOWS[1:]
    return tuple(terms.get(axis[0], 1) for axis in axes), tuple(terms.get(axis[1], 1) for axis in axes)


def _tensor_fields(tensor: Tensor) -> dict[str, Any]:
    ranks = [rank.name if rank == PLAIN.get(rank.name) else {rank.name: dict(rank.terms)} for rank in tensor.ranks]
    role = {} if tensor.name.partition("_")[0] == tensor.role else {"role": tensor.role}
    return role | {"ranks": ranks}


def _format(tensor: Tensor) -> dict[str, Any]:
    plain = (name for name in FORMAT.fields if name != "codebook")
    given = {name: getattr(tensor, name) for name in plain if getattr(tensor, name) != FORMAT.fields[name].default}
    book = tensor.codebook
    if book is None:
        return given
    values = {name: getattr(book, name) for name in CODEBOOK.fields if name != "sample"}
    said = {name: value for name, value in values.items() if value != CODEBOOK.fields[name].default}
    return given | {"codebook": said if book.sample is None else said | {"sample": dict(book.sample)}}
