"""Recipes from text: one line (`dkm:4/4`, `deepk:rate=0.1`, `rows:K=64`), YAML of ours, or coremltools' YAML."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from energysim.clustering.coremltools_config import is_coremltools, read_coremltools
from energysim.clustering.recipe import COUNTS, METHODS, TEMPERATURES, Recipe, Rule
from energysim.compressed.codings import CODINGS
from energysim.errors import InputError, nearest
from energysim.granularity import KINDS
from energysim.yaml_fields import (
    Either,
    Field,
    Fields,
    Flag,
    Integer,
    MapOf,
    Number,
    Record,
    Text,
    json_schema,
    read_fields,
)
from energysim.yaml_nodes import Node, Problems, dump, load, parse, shown

RecipeLike = Recipe | str | Path | Mapping[str, Any]

MODES = ("dkm", "gumbel", "hard")
VARIANTS = ("relaxed", "hard", "control")

_ENTRY = {
    "granularity": Field(Text(choices=tuple(KINDS)), "what one sample is", None),
    "dim": Field(Integer(1, 1 << 20), "length of a sample that is a vector; 1 for scalars", None),
    "bits": Field(Integer(1, 16), "2^bits centroids", None),
    "clusters": Field(Integer(1), "centroids", None),
    "rate": Field(Number(exclusive=True, maximum=1), "centroids per sample (DeepK's cluster rate)", None),
    "zero_share": Field(Number(maximum=1), "share of the samples that become exactly zero", None),
    "channels_per_codebook": Field(Integer(1), "output channels that share one codebook (default: all)", None),
    "per_channel_scale": Field(Flag(), "divide every output channel by its largest magnitude first", None),
    "vector_axis": Field(
        Integer(0, 1), "samples run along this axis: 0 output, 1 input channels (default: last)", None
    ),
    "temperature": Field(Number(exclusive=True), "of DKM's softmax", None),
    "iterations": Field(Integer(1, 1000), "of DKM in one step of training", None),
    "epsilon": Field(Number(), "DKM stops when no centroid moves further", None),
    "mode": Field(Text(choices=MODES), "of DKM", None),
}
_SHARING = Either((Text(choices=("skip",)), Record("sharing", _ENTRY)))
_SMALL = {"below_elements": Field(Integer(1), "weights with fewer elements")} | _ENTRY
_REGULARISER = {
    "variant": Field(Text(choices=VARIANTS), "of the penalty (METHODS 2)", "relaxed"),
    "strength": Field(Number(), "lambda of the penalty", 1e-4),
    "every": Field(Integer(1), "epochs between refreshes of F", 5),
}
RECIPE = Record(
    "recipe",
    {
        "method": Field(Text(choices=tuple(METHODS)), "kmeans, deepk or dkm", "kmeans"),
        "seed": Field(Integer(), "of everything random", 0),
        "coding": Field(Text(choices=("smallest", *CODINGS)), "of the indices in the file", "smallest"),
        "regulariser": Field(Record("regulariser", _REGULARISER), "of Deep k-Means", {}),
        "default": Field(_SHARING, "for every weight", None),
        "convolution": Field(_SHARING, "for convolutions", None),
        "linear": Field(_SHARING, "for fully connected layers", None),
        "embedding": Field(_SHARING, "for embeddings", None),
        "small": Field(Record("small", _SMALL), "for weights of few elements", None),
        "first": Field(_SHARING, "for the first layer with a weight", None),
        "last": Field(_SHARING, "for the last layer with a weight", None),
        "layers": Field(MapOf(_SHARING, keys=Text()), "layer names or patterns (`layer1.*`); a later one wins", {}),
    },
)


def read_recipe(text: str | Path) -> Recipe:
    """A recipe from a line (see `RECIPES`) or a YAML file; raises InputError with file, line and the nearest name."""
    if isinstance(text, Path) or str(text).endswith((".yaml", ".yml")):
        return _from_node(load(text), str(text))
    name, _, arguments = str(text).partition(":")
    if name not in RECIPES:
        hint = nearest(name, RECIPES) or f"; known: {', '.join(RECIPES)}, or a YAML file"
        raise InputError(f"unknown recipe '{shown(str(text))}'{hint}")
    words = [word.strip() for word in arguments.split(",") if word.strip()]
    values = {
        key if is_set else "": value if is_set else key for key, is_set, value in (w.partition("=") for w in words)
    }
    if len(values) < len(words):
        raise InputError(f"recipe '{shown(str(text))}' gives something twice")
    try:
        content = RECIPES[name](values)
        if values:
            raise InputError(f"does not know '{min(values)}'")
        made = _from_node(parse(dump(content), str(text)), str(text))
    except InputError as error:
        lines = [re.sub(r":\d+: ", ": ", line.removeprefix(str(text)), count=1) for line in str(error).splitlines()]
        said = "\n".join(f"recipe '{shown(str(text))}': {line.removeprefix(': ')}" for line in lines)
        raise InputError(said) from None
    return replace(made, rules=tuple(replace(rule, line=0) for rule in made.rules))


def as_recipe(given: RecipeLike) -> Recipe:
    """A recipe from whatever describes one: itself, a line, a YAML file, or nested mappings."""
    if isinstance(given, Recipe):
        return given
    return recipe_from_mapping(given) if isinstance(given, Mapping) else read_recipe(given)


def recipe_from_mapping(content: Mapping[str, Any], name: str = "recipe") -> Recipe:
    """A recipe from nested mappings as a YAML file would hold them, ours or coremltools'."""
    return _from_node(parse(dump(content), name), name)


def recipe_schema() -> dict[str, Any]:
    """The JSON Schema of our recipe files, for editors."""
    return json_schema(RECIPE, "energysim recipe")


def _from_node(node: Node, name: str) -> Recipe:
    if is_coremltools(node):
        return read_coremltools(node, name)
    fields = read_fields(node, RECIPE)
    problems = Problems(node.file)
    rules = []
    for key in ("default", "convolution", "linear", "embedding"):
        if fields[key] is not None:
            kinds = () if key == "default" else (key,)
            rules.append(Rule(_entry(fields[key], fields.at(key), problems), kinds=kinds))
    if fields["small"] is not None:
        entry = dict(fields["small"])
        below = entry.pop("below_elements")
        rules.append(Rule(_entry(entry, fields.at("small"), problems), below_elements=below))
    for key in ("first", "last"):
        if fields[key] is not None:
            rules.append(Rule(_entry(fields[key], fields.at(key), problems), place=key))
    for pattern, given in fields["layers"].items():
        where = fields["layers"].at(pattern)
        rules.append(Rule(_entry(given, where, problems), pattern, line=where.line))
    if not any(rule.entry for rule in rules):
        problems.add(
            node, "the recipe shares nothing: give `default`, `convolution`, `linear`, `embedding` or `layers`"
        )
    problems.check()
    regulariser = dict(fields["regulariser"]) or {key: each.default for key, each in _REGULARISER.items()}
    return Recipe(
        tuple(rules),
        fields["method"],
        name,
        fields["seed"],
        fields["coding"],
        regulariser if fields["method"] == "deepk" else {},
        node.plain(),
    )


def _entry(given: Fields | dict[str, Any] | str, where: Node, problems: Problems) -> dict[str, Any] | None:
    """Fields of `Sharing` from an entry, or None for `skip`."""
    if isinstance(given, str):
        return None
    entry = dict(given)
    if sum(entry[key] is not None for key in COUNTS) > 1:
        problems.add(where, f"give one of {', '.join(COUNTS)}, not several")
    dim = entry.pop("dim")
    if dim is not None:
        if entry["granularity"] not in (None, "vector", "scalar") or (entry["granularity"] == "scalar" and dim > 1):
            problems.add(where, f"dim is the length of a vector; a {entry['granularity']} has none")
        entry |= {"granularity": "vector" if dim > 1 else "scalar", "length": dim}
    elif entry["granularity"] == "vector":
        problems.add(where, "granularity vector needs dim, its length")
    elif entry["granularity"] is not None:
        entry["length"] = 1
    return entry


def _common(values: dict[str, str]) -> dict[str, Any]:
    """What every one-line recipe takes: seed and coding."""
    return {key: _value(values.pop(key)) for key in ("seed", "coding") if key in values}


def _value(text: str) -> Any:
    """A number if it reads as one, else the text."""
    try:
        return parse(text, "value").plain()
    except InputError:
        return text


def _count(values: dict[str, str], example: str) -> dict[str, Any]:
    """One of K=, rate=, bits=."""
    names = {"K": "clusters", "rate": "rate", "bits": "bits"}
    found = {field: _value(values.pop(key)) for key, field in names.items() if key in values}
    if len(found) != 1:
        raise InputError(f"say how many centroids, once, as in {example}")
    return found


def _kmeans(granularity: str, kinds: tuple[str, ...]) -> Callable[[dict[str, str]], dict[str, Any]]:
    def made(values: dict[str, str]) -> dict[str, Any]:
        example = f"{granularity}s:K=64, {granularity}s:rate=0.1 or {granularity}s:bits=4"
        entry = {"granularity": granularity} | _count(values, example)
        return {"method": "kmeans"} | _common(values) | dict.fromkeys(kinds, entry)

    return made


def _deepk(values: dict[str, str]) -> dict[str, Any]:
    """Rows of all convolutions at one cluster rate; the first layer may have its own, `first=` (DeepK, 2.1)."""
    first = values.pop("first", None)
    regulariser = {key: _value(values.pop(key)) for key in ("variant", "strength", "every") if key in values}
    recipe = {"method": "deepk"} | _common(values) | ({"regulariser": regulariser} if regulariser else {})
    recipe["convolution"] = {"granularity": "row"} | _count(values, "deepk:rate=0.1")
    return recipe | ({"first": {"rate": _value(first)}} if first is not None else {})


def _bits_and_dim(text: str) -> dict[str, Any]:
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None:
        raise InputError(f"'{shown(text)}' is not bits/dim; write it as in 4/4: 4 bits for 4 weights")
    return {"bits": int(match[1]), "dim": int(match[2])}


def _dkm_settings(values: dict[str, str]) -> dict[str, Any]:
    keys = ("temperature", "iterations", "epsilon", "mode")
    return {key: _value(values.pop(key)) for key in keys if key in values}


def _dkm(values: dict[str, str]) -> dict[str, Any]:
    entry = _bits_and_dim(values.pop("", "nothing")) | _dkm_settings(values)
    return {"method": "dkm"} | _common(values) | {"default": entry}


def _dkm_fig4(values: dict[str, str]) -> dict[str, Any]:
    """DKM, figure 4: cv for all convolutions, fc for the last layer, 8/1 for any weight below 10,000 elements."""
    if not {"cv", "fc"} <= values.keys():
        raise InputError("give both settings of figure 4, as in dkm_fig4:cv=4/4,fc=8/4")
    convolution, linear = (_bits_and_dim(values.pop(key)) for key in ("cv", "fc"))
    settings = _dkm_settings(values)
    published = TEMPERATURES.get((convolution["bits"], convolution["dim"]))
    if published is not None:  # the paper gives one temperature for a whole network
        settings = {"temperature": published} | settings
    recipe = {"method": "dkm"} | _common(values) | {"convolution": convolution | settings, "linear": linear | settings}
    return recipe | {"small": {"below_elements": 10_000, "bits": 8, "dim": 1}}


def _dkm_table1(values: dict[str, str]) -> dict[str, Any]:
    """DKM, table 1: the first and the last layer stay as they are."""
    return _dkm(values) | {"first": "skip", "last": "skip"}


RECIPES: Mapping[str, Callable[[dict[str, str]], dict[str, Any]]] = MappingProxyType(
    {
        "rows": _kmeans("row", ("convolution",)),
        "slices": _kmeans("slice", ("convolution",)),
        "filters": _kmeans("filter", ("convolution",)),
        "scalars": _kmeans("scalar", ("default",)),
        "deepk": _deepk,
        "dkm": _dkm,
        "dkm_fig4": _dkm_fig4,
        "dkm_table1": _dkm_table1,
    }
)
"""Name of a one-line recipe to what makes its YAML content from the values after the colon."""
