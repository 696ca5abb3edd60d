"""Layers with shared weights, machines that share, and legal mappings of them, all random and tiny."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations, product
from math import prod
from random import Random

import numpy as np
from numpy.typing import NDArray

from energysim.hardware.accelerator import Accelerator, Array, Axis, Compute, EnergyTable, Memory, Price, Sharing
from energysim.mapping.nest import Loop, Mapping, even, problems
from energysim.workload.encoding import Codebook, Indices
from energysim.workload.layer import DIMS, Layer, convolution
from tests.mapping.brute import splits

EVERY = frozenset(("weight", "input", "output"))
SAMPLES = {"row": ("S",), "scalar": (), "slice": ("R", "S"), "filter": ("C", "R", "S")}
Values = NDArray[np.int64]


def shared(layer: Layer, granularity: str, indices: Values, clusters: int, zero: int = -1, length: int = 0) -> Layer:
    """The layer with its weight shared; `indices` (G, M, C, R, S) with 1 where a sample spans the dim."""
    sample = {d: layer.dims[d] for d in SAMPLES[granularity]} if granularity in SAMPLES else {"C": length}
    each = prod(sample.values())
    share = float((indices == zero).mean()) if zero >= 0 else 0.0
    book = Codebook(
        granularity,
        clusters,
        each,
        indices.size,
        max(1, (clusters - 1).bit_length()),
        float((clusters - 1).bit_length()),
        zero_share=share,
        sample=tuple(sample.items()),
        indices=Indices(indices.astype(np.int32), zero),
    )
    tensors = tuple(replace(t, codebook=book) if t.role == "weight" else t for t in layer.tensors)
    return replace(layer, tensors=tensors)


def shape_of(layer: Layer, granularity: str, length: int = 1) -> tuple[int, ...]:
    """Axes G, M, C, R, S of the indices."""
    spanned = SAMPLES.get(granularity, ())
    axes = [1 if d in spanned else layer.dims[d] for d in "GMCRS"]
    if granularity == "vector":
        axes[2] = layer.dims["C"] // length
    return tuple(axes)


def random_shared(random: Random, points: int = 300) -> Layer:
    """A convolution, grouped or linear layer with few clusters, of any granularity, often with zero samples."""
    while True:
        small = lambda most: random.randint(1, most)  # noqa: E731
        stride = (random.choice([1, 1, 2, 3]), random.choice([1, 1, 2]))
        dilation = (random.choice([1, 1, 2]), random.choice([1, 1, 2]))
        sizes = {"n": random.choice([1, 1, 2]), "g": random.choice([1, 1, 2]), "m": small(6), "c": small(4)}
        linear = random.random() < 0.2
        sizes |= {d: 1 if linear else small(4) for d in ("p", "q")} | {d: 1 if linear else small(3) for d in ("r", "s")}
        layer = convolution("layer", **sizes, stride=stride, dilation=dilation)  # type: ignore[arg-type]
        if not 2 <= layer.points <= points:
            continue
        kinds = ["row", "row", "scalar", "slice", "filter"]
        kinds += ["vector"] * 2 if layer.dims["R"] * layer.dims["S"] == 1 else []
        kind = random.choice(kinds)
        length = random.choice([n for n in range(1, sizes["c"] + 1) if sizes["c"] % n == 0])
        clusters = small(4)
        generator = np.random.default_rng(random.randrange(1 << 30))
        indices = generator.integers(0, clusters, shape_of(layer, kind, length))
        made = shared(layer, kind, indices, clusters, random.choice([-1, 0]), length)
        density = random.choice([1.0, 1.0, 0.4])
        return replace(
            made, tensors=tuple(replace(t, density=density) if t.role == "input" else t for t in made.tensors)
        )


def machine(random: Random, style: str = "product", products: int = 1 << 20) -> tuple[Accelerator, EnergyTable]:
    """DRAM, sometimes a buffer, sometimes an array, a scratchpad with its codebook and products, random prices."""
    levels: list[Memory | Array] = [Memory("dram", None, EVERY, 16, read_bits_per_cycle=8.0)]
    if random.random() < 0.4:
        levels.append(Memory("buffer", random.choice([None, 16 * 60]), EVERY, 16))
    if random.random() < 0.7:
        multicast = frozenset(r for r in ("weight", "input") if random.random() < 0.8)
        axes = (Axis("x", random.choice([2, 3, 4])), Axis("y", 2))
        levels.append(Array("pe", axes[: random.choice([1, 2])], multicast, reduction=random.random() < 0.8))
    table_bits = random.choice([None, 1 << 20])
    levels.append(Memory("spad", random.choice([None, 16 * 200]), EVERY, 16))
    sharing = Sharing(style, "spad", table_bits, products if style == "product" else 0)
    gates = frozenset(random.choice([(), ("input",)]))
    skips = gates if style == "storage" and random.random() < 0.5 else frozenset()
    made = Accelerator("tiny", "test", tuple(levels), Compute(gates=gates, skips=skips), 1e9, sharing=sharing)
    names = [(m.name, a) for m in made.memories for a in ("read", "write")]
    names += [(part, a) for part in ("codebook", "products") for a in ("read", "write")]
    prices = {(name, action, "*"): Price(random.choice([0.5, 1.0, 3.0]), "test", "table", 16) for name, action in names}
    for action in ("read", "write"):
        prices["dram", action, "*"] = Price(random.choice([20.0, 200.0]), "test", "table", 16)
    prices["pe", "transfer", "*"] = Price(2.0, "test", "table", 16)
    for action, pj in (("mac", 2.0), ("op", 0.3), ("multiply", random.choice([0.2, 1.5, 8.0])), ("add", 0.3)):
        prices["mac", action, "*"] = Price(pj, "test", "table")
    idle = random.choice([0.0, 0.0, 1e-3]) if style == "storage" else 0.0
    return made, EnergyTable(prices, idle)


def every_mapping(layer: Layer, accelerator: Accelerator, random: Random | None = None) -> Iterator[Mapping]:
    """Every even mapping by divisors that is legal; with `random`, legal ones at random without end."""
    places: list[tuple[str, str | None]] = []
    for level in accelerator.levels:
        if isinstance(level, Memory):
            places.append((level.name, None))
        else:
            places += [(level.name, f"{level.name}.{axis.name}") for axis in level.axes]
    dims = [d for d in DIMS if layer.dims[d] > 1]
    if random is None:
        for factors in product(*(splits(layer.dims[d], len(places)) for d in dims)):
            yield from _orders(layer, accelerator, places, dict(zip(dims, factors, strict=True)))
        return
    while True:
        chosen = {d: random.choice(list(splits(layer.dims[d], len(places)))) for d in dims}
        yield from random.sample(found, 1) if (found := _few(layer, accelerator, places, chosen, random)) else ()


def _blocks(places: list[tuple[str, str | None]], factors: dict[str, tuple[int, ...]]) -> list[tuple[str, list[Loop]]]:
    return [
        (name, [Loop(d, by[n], axis) for d, by in factors.items() if by[n] > 1])
        for n, (name, axis) in enumerate(places)
    ]


def _mapping(layer: Layer, accelerator: Accelerator, blocks: list[tuple[str, tuple[Loop, ...]]]) -> Mapping:
    merged: dict[str, tuple[Loop, ...]] = {}
    for name, loops in blocks:
        merged[name] = merged.get(name, ()) + loops
    return even(accelerator, layer, merged)


def _orders(
    layer: Layer, accelerator: Accelerator, places: list[tuple[str, str | None]], factors: dict[str, tuple[int, ...]]
) -> Iterator[Mapping]:
    blocks = _blocks(places, factors)
    if problems(layer, accelerator, _mapping(layer, accelerator, [(n, tuple(x)) for n, x in blocks])):
        return
    last = places[-1][0]
    # what stands inside the innermost memory, and in space, has no order that counts
    choices = [
        [tuple(x)] if axis is not None or name == last else list(permutations(x))
        for (name, x), (_, axis) in zip(blocks, places, strict=True)
    ]
    for chosen in product(*choices):
        yield _mapping(layer, accelerator, [(n, x) for (n, _), x in zip(blocks, chosen, strict=True)])


def _few(
    layer: Layer,
    accelerator: Accelerator,
    places: list[tuple[str, str | None]],
    factors: dict[str, tuple[int, ...]],
    random: Random,
) -> list[Mapping]:
    blocks = [(name, tuple(random.sample(x, len(x)))) for name, x in _blocks(places, factors)]
    made = _mapping(layer, accelerator, blocks)
    return [] if problems(layer, accelerator, made) else [made]
