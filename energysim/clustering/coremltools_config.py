"""coremltools' DKMPalettizerConfig, as YAML, read as a recipe of ours.

The meaning of its fields and their defaults: documentation of coremltools 9, coremltools.optimize.torch.palettization.
A name (a regular expression) comes before a type, a type before `global_config`; a weight is palettized when it has
more elements than `weight_threshold`, by the first of several configurations for which it has. A vector of
`cluster_dim` weights runs along the output channels, as its checkpoints show.
"""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from energysim.clustering.recipe import Recipe, Rule
from energysim.errors import nearest
from energysim.yaml_fields import Field, Flag, Integer, Number, Record, Text
from energysim.yaml_nodes import Node, Problems, shown

PARTS = ("global_config", "module_type_configs", "module_name_configs")

MODULE_TYPES = ("Linear", "Conv1d", "Conv2d", "Conv3d", "LayerNorm", "MultiheadAttention", "Embedding")
"""Types that coremltools palettizes; LayerNorm has nothing that we share."""

DEFAULT_BITS = MappingProxyType(dict.fromkeys(MODULE_TYPES, 2) | {"Linear": 4})
"""n_bits where none is given."""

GRANULARITIES = ("per_tensor", "per_grouped_channel")

_USED = {
    "n_bits": Field(Integer(1, 16), "2^n_bits centroids", None),
    "cluster_dim": Field(Integer(1, 1 << 20), "weights of one centroid", None),
    "weight_threshold": Field(Integer(), "weights with more elements are palettized", 2048),
    "granularity": Field(Text(choices=GRANULARITIES), "one codebook, or one per group of channels", "per_tensor"),
    "group_size": Field(Integer(1), "channels of a group", None),
    "channel_axis": Field(Integer(0, 0), "the axis of output channels", 0),
    "enable_per_channel_scale": Field(Flag(), "divide each channel by its scale", False),
    "palett_tau": Field(Number(exclusive=True), "temperature", 1e-4),
    "palett_epsilon": Field(Number(), "stop when no centroid moves further", 1e-4),
    "kmeans_max_iter": Field(Integer(1, 1000), "iterations", 3),
    "palett_mode": Field(Text(choices=("dkm", "gsm", "hard")), "how weights attend to centroids", "dkm"),
}
_MODES = {"dkm": "dkm", "gsm": "gumbel", "hard": "hard"}

_WITHOUT_EFFECT = (
    *("milestone", "quant_min", "quant_max", "dtype", "palett_max_mem", "kmeans_init", "kmeans_opt1d_threshold"),
    *(
        "palett_min_tsize",
        "palett_unique",
        "palett_shard",
        "palett_batch_mode",
        "palett_dist",
        "kmeans_batch_threshold",
    ),
    *("kmeans_n_init", "zero_threshold", "kmeans_error_bnd", "prune_threshold", "per_channel_scaling_factor_scheme"),
)
"""Fields about how coremltools works, or below what matters: accepted, and of no effect here."""

_NOT_DONE: Mapping[str, Any] = MappingProxyType(
    {"lut_dtype": "f32", "quantize_activations": False, "cluster_permute": None, "enforce_zero": False}
    | {"palett_lambda": 0, "add_extra_centroid": False, "palett_cluster_tol": 0, "percentage_palett_enable": 1}
    | {"partition_size": None, "cluster_dtype": None}
)
"""Fields that would change the result, with the value at which they do not: any other value is noted."""


def is_coremltools(node: Node) -> bool:
    """Whether a YAML file is a configuration of coremltools' palettizer."""
    return isinstance(node.value, dict) and any(part in node.value for part in PARTS)


def read_coremltools(node: Node, name: str) -> Recipe:
    """The recipe that a DKMPalettizerConfig stands for; raises InputError with file and line for what it may not hold.

    What would change the result and is not done here (a quantised look-up table, ...) is told in the recipe's `notes`.
    """
    problems = Problems(node.file)
    notes: dict[str, None] = {}
    sections: dict[str, Node] = node.value if isinstance(node.value, dict) else {}
    for key, found in sections.items():
        if key not in PARTS:
            hint = nearest(key, PARTS) or f"; known: {', '.join(PARTS)}"
            problems.add(found, f"unknown palettizer configuration '{shown(key)}'{hint}")
    rules: list[Rule] = []
    if "global_config" in sections:
        for kind in MODULE_TYPES:
            rules += _rules(sections["global_config"], {"module_type": kind}, DEFAULT_BITS[kind], problems, notes)
    for kind, given in _section(sections, "module_type_configs", problems):
        if kind not in MODULE_TYPES:
            hint = nearest(kind, MODULE_TYPES) or f"; known: {', '.join(MODULE_TYPES)}"
            problems.add(given, f"unknown module type '{shown(kind)}'{hint}")
        rules += _rules(given, {"module_type": kind}, DEFAULT_BITS.get(kind, 4), problems, notes)
    # The first name that matches counts, and of our rules the last one.
    for pattern, given in reversed(list(_section(sections, "module_name_configs", problems))):
        try:
            re.compile(pattern)
        except re.error as error:
            problems.add(given, f"'{shown(pattern)}' is no regular expression: {error}")
            continue
        for kind in MODULE_TYPES:
            where = {"pattern": pattern, "is_regex": True, "module_type": kind, "line": given.line}
            rules += _rules(given, where, DEFAULT_BITS[kind], problems, notes)
    problems.check()
    return Recipe(tuple(rules), "dkm", name, plain=node.plain(), notes=tuple(notes))


def _section(sections: Mapping[str, Node], key: str, problems: Problems) -> Iterator[tuple[str, Node]]:
    if key in sections and sections[key].value is not None:
        given = sections[key].value
        if isinstance(given, dict):
            yield from given.items()
        else:
            problems.add(sections[key], f"{key} must be a mapping")


def _rules(
    given: Node, where: Mapping[str, Any], default_bits: int, problems: Problems, notes: dict[str, None]
) -> Iterator[Rule]:
    """Rules of one configuration, or of a list of them for different sizes: the one for the largest comes last."""
    yield Rule(None, fresh=True, **where)
    if given.value is None:
        return
    configurations = given.value if isinstance(given.value, list) else [given]
    read = [_entry(each, default_bits, problems, notes) for each in configurations if each.value is not None]
    for threshold, entry in sorted(read, key=lambda pair: pair[0]):
        yield Rule(entry, fresh=True, above_elements=threshold, **where)


def _entry(node: Node, default_bits: int, problems: Problems, notes: dict[str, None]) -> tuple[int, dict[str, Any]]:
    """The weight threshold of a configuration, and its fields as ours."""
    given = node.value
    if not isinstance(given, dict):
        problems.add(node, "a palettizer configuration must be a mapping")
        return 0, {}
    known = (*_USED, *_WITHOUT_EFFECT, *_NOT_DONE)
    for key, found in given.items():
        if key not in known:
            hint = nearest(key, known) or f"; known: {', '.join(_USED)}"
            problems.add(found, f"unknown palettizer field '{shown(key)}'{hint}")
        if key in _NOT_DONE and found.plain() != _NOT_DONE[key]:
            notes[f"{found.file}:{found.line}: {key}: {shown(str(found.plain()))} is not done here"] = None
    used = {key: found for key, found in given.items() if key in _USED and found.value is not None}
    fields = Record("palettizer", _USED).read(Node(used, node.file, node.line), "palettizer", problems)
    grouped = fields["granularity"] == "per_grouped_channel"
    if grouped != (fields["group_size"] is not None):
        problems.add(node, "group_size belongs to granularity per_grouped_channel, and that needs it")
    dim = fields["cluster_dim"] or 1
    return fields["weight_threshold"] or 0, {
        "granularity": "vector" if dim > 1 else "scalar",
        "length": dim,
        "vector_axis": 0 if dim > 1 else None,
        "bits": fields["n_bits"] or default_bits,
        "channels_per_codebook": fields["group_size"],
        "per_channel_scale": fields["enable_per_channel_scale"],
        "temperature": fields["palett_tau"],
        "epsilon": fields["palett_epsilon"],
        "iterations": fields["kmeans_max_iter"],
        "mode": _MODES.get(fields["palett_mode"] or "dkm"),
    }
