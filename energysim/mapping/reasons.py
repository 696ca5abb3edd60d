"""Why no mapping exists: which memory, array or dim stands in the way, and the fewest constraints that make it so."""

from collections.abc import Sequence
from dataclasses import replace

from energysim.hardware.accelerator import Accelerator, Array
from energysim.mapping.constraints import Constraints, Restriction, placed
from energysim.mapping.nest import codebook_bits, tile_bits
from energysim.mapping.search_space import split_over_axes
from energysim.mapping.tilings import NONE, Bypass, Tilings, bypasses, gaps, rules, tilings
from energysim.workload.layer import DIMS, Layer


def why_nothing_fits(
    layer: Layer, accelerator: Accelerator, constraints: Constraints, dataflow: str, exhausted: bool
) -> str:
    """One line: what no mapping can do, and the constraints without any of which some mapping might.

    `exhausted`: the search left nothing out. Memories and arrays are judged one at a time; where only all of them
    together leave nothing, all constraints are named.
    """
    where = f"layer '{layer.name}' on {accelerator.name}"
    fewest: list[Restriction | None] = [None, *constraints.restrictions]
    reason = _blocked(layer, accelerator, constraints)
    if reason is None:
        asked = _named([r for r in fewest if r is not None or dataflow != "unconstrained"], dataflow)
        under = f" under {' and '.join(asked)}" if asked else ""
        found = "exists" if exhausted else "was found within the limits of the search"
        return f"{where}: nothing fits: no mapping{under} {found}"
    for each in list(fewest):
        fewer = [r for r in fewest if r is not each]
        if _blocked(layer, accelerator, _only(constraints, fewer)):
            fewest = fewer
    reason = _blocked(layer, accelerator, _only(constraints, fewest))
    asked = _named(fewest, dataflow)
    under = f", under {' and '.join(asked)}" if asked else ""
    exclude = ", which exclude each other" if len(asked) > 1 else ""
    return f"{where}: nothing fits: {reason}{under}{exclude}"


def _only(constraints: Constraints, kept: Sequence[Restriction | None]) -> Constraints:
    """The constraints with some restrictions; None among them stands for the dataflow."""
    asked = tuple(each for each in constraints.restrictions if each in kept)
    return replace(constraints if None in kept else NONE, restrictions=asked)


def _named(asked: Sequence[Restriction | None], dataflow: str) -> list[str]:
    return list(dict.fromkeys(f"dataflow {dataflow}" if each is None else placed(each) for each in asked))


def _blocked(layer: Layer, accelerator: Accelerator, constraints: Constraints) -> str | None:
    """Why every choice of bypasses leaves no mapping (as the one that bypasses most has it); None when one may."""
    reason = None
    for bypass in bypasses(layer, accelerator, constraints):
        reason = _blocked_choice(layer, accelerator, constraints, bypass)
        if reason is None:
            return None
    return reason


def _blocked_choice(layer: Layer, accelerator: Accelerator, constraints: Constraints, bypass: Bypass) -> str | None:
    arrays = tuple(tuple(constraints.array(array) for array in gap) for gap in gaps(accelerator))
    left: dict[str, Tilings] = {}
    for dim in DIMS:
        found = tilings(rules(constraints, layer, accelerator, bypass, dim), arrays, dim)
        if found is None:
            return f"no tiling of {dim} ({layer.dims[dim]:,} points) is left"
        left[dim] = found
    for level, memory in enumerate(accelerator.memories):
        tile = {dim: min(found.tiles[level]) for dim, found in left.items()}
        held: dict[str, int] = {}
        for tensor in layer.tensors:
            if tensor.role in memory.keeps and tensor.name not in dict(bypass).get(memory.name, ()):
                part = memory.part(tensor.role)
                held[part] = held.get(part, 0) + tile_bits(tensor, tile, accelerator, memory.name)
        for part, tiles in held.items():
            capacity = memory.part_bits(part)
            bits = tiles + codebook_bits(layer, accelerator, memory.name, part)
            if capacity is not None and bits > capacity:
                what = f"{part} tile" if part else "tiles"
                return (
                    f"the smallest {what} that {memory.name} would have to hold take {bits:,} bits, it has {capacity:,}"
                )
    return next((why for gap in arrays for array in gap if (why := _crowded(array, left))), None)


def _crowded(array: Array, left: dict[str, Tilings]) -> str | None:
    least = {dim: min(found.factors[array.name]) for dim, found in left.items()}
    if split_over_axes(array, least) is not None:
        return None
    asked = " and ".join(f"{dim} over {factor:,}" for dim, factor in least.items() if factor > 1)
    axes = " x ".join(f"{axis.name} {axis.size:,}" for axis in array.axes)
    return f"{array.name} ({axes}) would have to spread {asked}"
