"""Bits, densities and encodings of a layer graph's tensors, changed as pure functions."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from energysim.errors import InputError, nearest
from energysim.workload.graph import LayerGraph
from energysim.workload.layer import ROLES, Layer, Tensor
from energysim.workload.yaml_format import FORMAT
from energysim.yaml_fields import Either, Field, Integer, MapOf, Record, Text, read_fields
from energysim.yaml_nodes import Problems, load

NARROWEST_PARTIAL_BITS = 16
"""Partial sums of narrower outputs are this wide unless a width is given: Eyeriss keeps them at 16 bits (JSSC 2017)."""

FORM = "bits as in 8, w4a8 (weights 4, activations 8) or w4a8p24 (partial sums 24)"
_BITS = re.compile(r"w(\d{1,3})a(\d{1,3})(?:p(\d{1,3}))?|(\d{1,3})(?:p(\d{1,3}))?")

_TEXT = Text(form=FORM)
_ROLE_FORMAT = Record(
    "format",
    {name: Field(field.kind, field.about, None) for name, field in FORMAT.fields.items() if name != "codebook"},
)
_ENTRY = Record(
    "layer override",
    {"bits": Field(Either((Integer(1, 64), _TEXT)), FORM, None)}
    | {role: Field(_ROLE_FORMAT, f"what is special of {role} tensors", None) for role in ROLES},
)
OVERRIDES = Record(
    "precision",
    {
        "bits": Field(Either((Integer(1, 64), _TEXT)), f"{FORM}; for all layers", None),
        "layers": Field(MapOf(_ENTRY, keys=Text()), "layer names or patterns (`layer1.*`); a later one wins", {}),
    },
)


@dataclass(frozen=True, slots=True)
class Bits:
    """Bits of weights and of activations (inputs, outputs) and partial sums (0: see `NARROWEST_PARTIAL_BITS`)."""

    weight: int
    activation: int
    partial: int = 0


def parse_bits(text: int | str) -> Bits:
    """Bits from 8, "8", "w4a8" or "w4a8p24"; raises InputError on anything else and outside 1 to 64 (partial 128)."""
    match = _BITS.fullmatch(str(text).strip())
    if match is None or isinstance(text, bool):
        raise InputError(f"bits '{text}' cannot be read; write {FORM}")
    weight, activation = match[1] or match[4], match[2] or match[4]
    bits = Bits(int(weight), int(activation), int(match[3] or match[5] or 0))
    if not (1 <= bits.weight <= 64 and 1 <= bits.activation <= 64 and bits.partial <= 128):
        raise InputError(f"bits '{text}' are out of range; 1 to 64 (partial sums to 128) allowed")
    return bits


def with_bits(graph: LayerGraph, bits: Bits) -> LayerGraph:
    """The graph with every tensor at the given bits; computed operands of a product count as activations."""
    return graph.with_layers({layer.name: _at_bits(layer, bits) for layer in graph.layers})


def _at_bits(layer: Layer, bits: Bits) -> Layer:
    return replace(layer, tensors=tuple(_tensor_at_bits(tensor, bits) for tensor in layer.tensors))


def _tensor_at_bits(tensor: Tensor, bits: Bits) -> Tensor:
    if kind(tensor) == "weight":
        return replace(tensor, bits=bits.weight)
    if tensor.role != "output":
        return replace(tensor, bits=bits.activation)
    partial = bits.partial or (NARROWEST_PARTIAL_BITS if bits.activation < NARROWEST_PARTIAL_BITS else 0)
    return replace(tensor, bits=bits.activation, partial_bits=partial)


def kind(tensor: Tensor) -> str:
    """Weight, input or output by what a tensor holds: the second operand of a product is an input wherever it rests."""
    return "input" if tensor.name.startswith("input") else tensor.role


def with_density(graph: LayerGraph, densities: Mapping[str, Mapping[str, float]]) -> LayerGraph:
    """The graph with densities (0 to 1) by layer name and role ("weight", "input", "output").

    Raises InputError naming an unknown layer with the nearest known one, or a role that is none.
    """
    layers = {layer.name: layer for layer in graph.layers}
    changed = {}
    for name, by_role in densities.items():
        if name not in layers:
            raise InputError(f"model '{graph.name}': {no_such_layer(name, layers)}")
        for role in by_role:
            if role not in ROLES:
                raise InputError(
                    f"layer '{name}': unknown role '{role}'{nearest(role, ROLES)}; known: {', '.join(ROLES)}"
                )
        changed[name] = _formatted(layers[name], {role: {"density": value} for role, value in by_role.items()})
    return graph.with_layers(changed)


def no_such_layer(name: str, known: Mapping[str, Any]) -> str:
    """What to say of a layer name or pattern that nothing has."""
    hint = nearest(name, known) or f"; the first layers are: {', '.join(list(known)[:5])}"
    return f"{'no layer matches' if _pattern(name) else 'unknown layer'} '{name}'{hint}"


def _formatted(layer: Layer, formats: Mapping[str, Mapping[str, Any]]) -> Layer:
    tensors = tuple(replace(t, **formats.get(kind(t), {})) for t in layer.tensors)
    return replace(layer, tensors=tensors)


def with_precision(graph: LayerGraph, precision: int | str | Path) -> LayerGraph:
    """The graph at "8", "w4a8", "w4a8p24", or as a YAML file of overrides says (see `with_overrides`)."""
    if isinstance(precision, Path) or str(precision).endswith((".yaml", ".yml")):
        return with_overrides(graph, str(precision))
    return with_bits(graph, parse_bits(precision))


def with_overrides(graph: LayerGraph, path: str | Path) -> LayerGraph:
    """The graph changed as a YAML file says: `bits` for all, then under `layers` by name or pattern, in order.

    An entry has `bits` and, under `weight`, `input`, `output`, their `bits`, `density`, `encoding`, `partial_bits`.
    Raises InputError with file and line for mistakes and for names that no layer has.
    """
    fields = read_fields(load(path), OVERRIDES)
    problems = Problems(str(path))
    if fields["bits"] is not None:
        graph = with_bits(graph, _bits(fields, problems))
    layers = {layer.name: layer for layer in graph.layers}
    for name, entry in fields["layers"].items():
        matching = [name] if name in layers else [each for each in layers if fnmatchcase(each, name)]
        if not matching:
            problems.add(fields["layers"].at(name), no_such_layer(name, layers))
        formats = {
            role: {key: value for key, value in entry[role].items() if value is not None}
            for role in ROLES
            if entry[role] is not None
        }
        for each in matching:
            layer = layers[each] if entry["bits"] is None else _at_bits(layers[each], _bits(entry, problems))
            layers[each] = _formatted(layer, formats)
    problems.check()
    return graph.with_layers(layers)


def _bits(fields: Any, problems: Problems) -> Bits:
    try:
        return parse_bits(fields["bits"])
    except InputError as error:
        problems.add(fields.at("bits"), str(error))
        return Bits(16, 16)


def _pattern(name: str) -> bool:
    return any(char in name for char in "*?[")
