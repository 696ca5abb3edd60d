"""Which limits a mapping has reached: memories in which no tile can grow, axes with all their instances at work."""

from collections.abc import Mapping as Map
from dataclasses import dataclass
from math import prod

from energysim.hardware.accelerator import Accelerator, Memory
from energysim.mapping.nest import Mapping, Storage, codebook_bits, tile_bits
from energysim.mapping.search_space import divisors
from energysim.workload.layer import DIMS, Layer, Tensor


@dataclass(frozen=True, slots=True)
class Room:
    """What a memory (or the partition of one role in it) holds, and the dims whose tile there could still grow.

    `capacity_bits` None is unbounded. `grows`: dim to its next larger tile that fits. `whole`: no dim has a larger one.
    """

    memory: str
    part: str
    used_bits: int
    capacity_bits: int | None
    grows: Map[str, int]
    whole: bool

    @property
    def full(self) -> bool:
        """Whether capacity is what stops every tile from growing."""
        return not self.grows and not self.whole


@dataclass(frozen=True, slots=True)
class AxisUse:
    """How many instances of an axis ("array.axis") the spatial loops use, of `size`."""

    axis: str
    used: int
    size: int

    @property
    def full(self) -> bool:
        """Whether its fan-out is used up."""
        return self.used == self.size


def rooms(layer: Layer, accelerator: Accelerator, mapping: Mapping) -> tuple[Room, ...]:
    """The room in each memory below the outermost, one per partition in use; memories that hold nothing are left out.

    A tile grows to the next divisor of its dim, in all tensors held there that the dim touches; whether the memories
    outside could feed it is another question.
    """
    found = []
    for memory in accelerator.memories[1:]:
        tiles = _tiles(layer, mapping, memory)
        if not tiles:
            continue
        used = _held(layer, accelerator, memory, tiles)
        for part in used:
            dims = {d for t, _ in tiles if memory.part(t.role) == part for d in t.dims}
            larger = {d: size for d in DIMS if d in dims and (size := _next(layer, tiles, d))}
            grown = {d: _held(layer, accelerator, memory, _grown(layer, tiles, d)) for d in larger}
            grows = {d: size for d, size in larger.items() if _fits(memory, grown[d])}
            found.append(Room(memory.name, part, used[part], memory.part_bits(part), grows, not larger))
    return tuple(found)


def axis_uses(accelerator: Accelerator, mapping: Mapping) -> tuple[AxisUse, ...]:
    """The use of every array axis, outermost array first."""
    keys = {f"{array.name}.{axis.name}": axis.size for array in accelerator.arrays for axis in array.axes}
    return tuple(AxisUse(k, prod(x.bound for x in mapping.loops if x.axis == k), size) for k, size in keys.items())


Tiles = list[tuple[Tensor, dict[str, int]]]


def _tiles(layer: Layer, mapping: Mapping, memory: Memory) -> Tiles:
    tensors = {tensor.name: tensor for tensor in layer.tensors}
    return [
        (tensors[item.tensor], mapping.tile(i, layer.dims))
        for i, item in enumerate(mapping.nest)
        if isinstance(item, Storage) and item.memory == memory.name
    ]


def _larger(size: int, tile: int) -> int:
    """The smallest divisor of `size` above `tile`; `tile` when there is none."""
    return next((n for n in divisors(size) if n > tile), tile)


def _next(layer: Layer, tiles: Tiles, dim: str) -> int:
    """The largest tile that a dim has after growing, 0 where it is whole in all tensors that it touches."""
    own = [tile[dim] for tensor, tile in tiles if dim in tensor.dims]
    return max((_larger(layer.dims[dim], n) for n in own if n < layer.dims[dim]), default=0)


def _grown(layer: Layer, tiles: Tiles, dim: str) -> Tiles:
    return [(tensor, tile | {dim: _larger(layer.dims[dim], tile[dim])}) for tensor, tile in tiles]


def _held(layer: Layer, accelerator: Accelerator, memory: Memory, tiles: Tiles) -> dict[str, int]:
    held: dict[str, int] = {}
    for tensor, tile in tiles:
        part = memory.part(tensor.role)
        held[part] = held.get(part, 0) + tile_bits(tensor, tile, accelerator, memory.name)
    return {part: bits + codebook_bits(layer, accelerator, memory.name, part) for part, bits in held.items()}


def _fits(memory: Memory, held: Map[str, int]) -> bool:
    return all((most := memory.part_bits(part)) is None or bits <= most for part, bits in held.items())
