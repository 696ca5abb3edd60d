"""What is shared how: a recipe gives every weight of a model its samples and number of centroids, or leaves it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from math import prod
from types import MappingProxyType
from typing import Any

from energysim.errors import InputError, nearest
from energysim.granularity import Granularity

METHODS = MappingProxyType(
    {
        "kmeans": "k-means on the weights as they are",
        "deepk": "Deep k-Means: a regulariser in training, then k-means (METHODS 2)",
        "dkm": "differentiable k-means in training, then the nearest centroid (METHODS 3); k-means without training",
    }
)
"""Name to what it does. Without training all three are k-means."""

TEMPERATURES = MappingProxyType(
    {(3, 1): 8e-6, (2, 1): 2e-5, (1, 1): 5e-5, (4, 4): 5e-5, (4, 8): 5e-5, (8, 8): 8e-5, (8, 16): 1.3e-4}
)
"""(bits, dim) to DKM's temperature for ResNet18 (arXiv:2108.12659, appendix): the default where a recipe gives none."""


@dataclass(frozen=True, slots=True)
class Weight:
    """A weight as recipes see it: its name, that of its layer, and what the layer is.

    `kind` is convolution, linear or embedding; `module_type` the layer's class name; `place` "first", "last", "only" or
    "": the first and last layer with a weight are often left alone.
    """

    name: str
    layer: str
    kind: str
    shape: tuple[int, ...]
    module_type: str = ""
    place: str = ""
    transposed: bool = False
    groups: int = 1

    @property
    def elements(self) -> int:
        """Of the weight."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class Sharing:
    """How one weight is shared: what its samples are, and one of `bits`, `clusters` and `rate` (K = rate x N).

    `zero_share` of the samples, those of least norm, become exactly zero. `channels_per_codebook` cuts the output
    channels into groups with a codebook each; `per_channel_scale` divides each channel by its largest magnitude first.
    Samples run along the last axis, or `vector_axis` (0 or 1: output or input channels) if it is given.
    """

    granularity: str = "scalar"
    length: int = 1
    bits: int | None = None
    clusters: int | None = None
    rate: float | None = None
    zero_share: float = 0.0
    channels_per_codebook: int | None = None
    per_channel_scale: bool = False
    vector_axis: int | None = None
    temperature: float | None = None
    iterations: int = 5
    epsilon: float = 1e-4
    mode: str = "dkm"

    def clusters_of(self, samples: int) -> int:
        """K for so many samples: at least 1."""
        if self.clusters is not None:
            return self.clusters
        if self.bits is not None:
            return 1 << self.bits
        return max(1, round((self.rate or 0) * samples))

    def cut(self, weight: Weight) -> Granularity:
        """The granularity for a weight."""
        length = self.length if self.granularity == "vector" else 1
        return Granularity(self.granularity, length, weight.transposed, weight.groups if weight.transposed else 1)

    def axes(self, weight: Weight) -> tuple[int, ...]:
        """The order of the weight's axes in which it is cut: empty for their own."""
        if self.vector_axis is None or self.vector_axis >= len(weight.shape) - 1:
            return ()
        return (*(i for i in range(len(weight.shape)) if i != self.vector_axis), self.vector_axis)

    def tau(self, weight: str) -> float:
        """The temperature of DKM; InputError where neither the recipe nor the paper gives one."""
        if self.temperature is not None:
            return self.temperature
        known = TEMPERATURES.get((self.bits or 0, self.length))
        if known is None:
            raise InputError(
                f"weight '{weight}': {self.bits} bits, dim {self.length} has no published temperature; give one: "
                "`temperature:` in the recipe's YAML, or temperature=5e-5 after dkm:B/D"
            )
        return known


COUNTS = ("bits", "clusters", "rate")
"""Three ways to say how many centroids: the last one given counts."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Which weights (all conditions that are set), and fields of `Sharing` for them; `entry` None leaves them dense.

    A later rule adds to what earlier ones said, or, if `fresh`, starts anew. `line` is where the recipe's file says it.
    """

    entry: Mapping[str, Any] | None
    pattern: str = ""
    is_regex: bool = False
    kinds: tuple[str, ...] = ()
    module_type: str = ""
    place: str = ""
    below_elements: int | None = None
    above_elements: int | None = None
    fresh: bool = False
    line: int = 0

    def names(self, weight: Weight) -> bool:
        """Whether the pattern, if there is one, is that of this weight or its layer."""
        if not self.pattern:
            return True
        if self.is_regex:
            return re.fullmatch(self.pattern, weight.layer) is not None
        if self.pattern in (weight.name, weight.layer):
            return True
        return any(fnmatchcase(name, self.pattern) for name in (weight.name, weight.layer))

    def matches(self, weight: Weight) -> bool:
        """Whether all conditions hold."""
        return (
            self.names(weight)
            and (not self.kinds or weight.kind in self.kinds)
            and self.module_type in ("", weight.module_type)
            and (not self.place or weight.place in (self.place, "only"))
            and (self.below_elements is None or weight.elements < self.below_elements)
            and (self.above_elements is None or weight.elements > self.above_elements)
        )


@dataclass(frozen=True, slots=True)
class Recipe:
    """Rules in order, how indices are coded (`smallest` tries all), and what a method needs beside them.

    `text` is what the user wrote, `plain` the same as values that JSON can hold, `notes` what it asks in vain.
    """

    rules: tuple[Rule, ...]
    method: str = "kmeans"
    text: str = ""
    seed: int = 0
    coding: str = "smallest"
    regulariser: Mapping[str, Any] = field(default_factory=dict)
    plain: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def sharing_of(self, weight: Weight) -> Sharing | None:
        """How a weight is shared, or None where it stays dense."""
        fields: dict[str, Any] = {}
        shared = False
        for rule in self.rules:
            if not rule.matches(weight):
                continue
            shared = rule.entry is not None
            if rule.fresh:
                fields = {}
            given = {key: value for key, value in (rule.entry or {}).items() if value is not None}
            if given.keys() & set(COUNTS):
                fields = {key: value for key, value in fields.items() if key not in COUNTS}
            fields |= given
        if not shared:
            return None
        if not fields.keys() & set(COUNTS):
            raise InputError(f"weight '{weight.name}': the recipe gives neither bits, clusters nor rate for it")
        return Sharing(**fields)

    def check_names(self, weights: Iterable[Weight]) -> None:
        """Raise InputError for every pattern of the recipe that is the name of no weight and no layer."""
        weights = list(weights)
        layers = {weight.layer: None for weight in weights}
        lost = []
        for rule in self.rules:
            if rule.pattern and not any(rule.names(weight) for weight in weights):
                where = f"{self.text}:{rule.line}" if rule.line else self.text
                hint = (
                    nearest(rule.pattern, layers) or f"; the first layers are: {', '.join(list(layers)[:5]) or 'none'}"
                )
                lost.append(f"{where}: no layer with a weight matches '{rule.pattern}'{hint}")
        if lost:
            raise InputError("\n".join(dict.fromkeys(lost)))


def with_seed(recipe: Recipe, seed: int) -> Recipe:
    """The recipe with another seed."""
    return replace(recipe, seed=seed, plain={**recipe.plain, "seed": seed})
