"""The noun `Mapping`: one ordered nest, outermost first, of loops and storage marks; and whether it is legal."""

from collections.abc import Iterator
from collections.abc import Mapping as Map
from dataclasses import dataclass
from math import prod
from typing import Any

from energysim.errors import MappingError
from energysim.hardware.accelerator import Accelerator, Memory
from energysim.mapping.distinct import products
from energysim.workload.layer import DIMS, Layer, Tensor


@dataclass(frozen=True, slots=True)
class Loop:
    """`bound` steps of `dim`; temporal when `axis` is None, else spread on that axis, written "array.axis"."""

    dim: str
    bound: int
    axis: str | None = None


@dataclass(frozen=True, slots=True)
class Storage:
    """From here inward, `memory` holds the tile of the tensor named `tensor`."""

    memory: str
    tensor: str


@dataclass(frozen=True, slots=True)
class Mapping:
    """One ordered nest, outermost first.

    A dim of size D split into loops of bounds b1..bk (outermost first) visits the coordinates
    x = sum of index_j * stride_j, stride_j = product of the bounds inside j; x >= D is skipped (partial last tiles).
    """

    nest: tuple[Loop | Storage, ...]

    @property
    def loops(self) -> tuple[Loop, ...]:
        """The loops, outermost first."""
        return tuple(item for item in self.nest if isinstance(item, Loop))

    def keepers(self, tensor: str) -> tuple[str, ...]:
        """Memories that hold a tensor, outermost first."""
        return tuple(item.memory for item in self.nest if isinstance(item, Storage) and item.tensor == tensor)

    def tile(self, position: int, dims: Map[str, int]) -> dict[str, int]:
        """Sizes, by dim, of the tile that the loops inside nest position `position` cover."""
        sizes = dict.fromkeys(DIMS, 1)
        for item in self.nest[position:]:
            if isinstance(item, Loop):
                sizes[item.dim] *= item.bound
        return {dim: min(size, dims[dim]) for dim, size in sizes.items()}


def tile_bits(tensor: Tensor, tile: Map[str, int], accelerator: Accelerator, memory: str) -> int:
    """Bits a tile occupies in a memory: partial sums at their own width, shared weights as indices, else at `bits`."""
    return int(bits_of(tensor, tensor.elements(tile), accelerator, memory))


def bits_of(tensor: Tensor, elements: Any, accelerator: Accelerator, memory: str) -> Any:
    """Bits of so many elements (a number or an array of them) in a memory, rounded up to whole indices' bits."""
    sharing, codebook = accelerator.sharing, tensor.codebook
    if sharing is None or codebook is None or accelerator.order[memory] > accelerator.order[sharing.memory]:
        return elements * (tensor.partial_bits or tensor.bits)
    return -(-elements * codebook.index_bits // codebook.length)


def codebook_bits(layer: Layer, accelerator: Accelerator, memory: str, part: str) -> int:
    """Bits that codebooks take of a memory's partition ("": of what its roles share), where they have no table."""
    sharing = accelerator.sharing
    if sharing is None or sharing.table_bits is not None or sharing.memory != memory:
        return 0
    place = next(m for m in accelerator.memories if m.name == memory).part("weight")
    return sum(t.codebook.entries * t.bits for t in layer.tensors if t.codebook is not None) if part == place else 0


def problems(layer: Layer, accelerator: Accelerator, mapping: Mapping) -> tuple[str, ...]:
    """Every reason why a mapping is not legal, in words; empty when it is legal."""
    found: list[str] = []
    memories = {memory.name: memory for memory in accelerator.memories}
    axes = {f"{array.name}.{axis.name}": axis for array in accelerator.arrays for axis in array.axes}
    rank = {level.name: i for i, level in enumerate(accelerator.levels)}
    for dim, size in layer.dims.items():
        bounds = [loop.bound for loop in mapping.loops if loop.dim == dim]
        if any(bound < 1 for bound in bounds):
            found.append(f"a loop over {dim} has a bound below 1")
            continue
        total = prod(bounds)
        if total < size:
            found.append(f"loops over {dim} cover {total} of {size}")
        for i, bound in enumerate(bounds):
            stride = prod(bounds[i + 1 :])
            if bound > 1 and (bound - 1) * stride >= size:
                found.append(f"a loop over {dim} of bound {bound} has steps beyond {dim}={size}")
    for key, axis in axes.items():
        spread = [loop for loop in mapping.loops if loop.axis == key and loop.bound > 1]
        used = prod(loop.bound for loop in spread)
        if used > axis.size:
            found.append(f"{key} is spread over {used} instances, has {axis.size}")
        found.extend(
            f"{loop.dim} may not be spread on {key}"
            for loop in spread
            if axis.dims is not None and loop.dim not in axis.dims
        )
    for item in mapping.nest:
        if isinstance(item, Loop) and item.axis is not None and item.axis not in axes:
            found.append(f"unknown axis '{item.axis}'")
        if isinstance(item, Storage) and item.memory not in memories:
            found.append(f"unknown memory '{item.memory}'")
    if found:
        return tuple(found)
    found += _order_problems(layer, accelerator, mapping, rank)
    return tuple(found) or (
        *_capacity_problems(layer, accelerator, mapping),
        *_product_problems(layer, accelerator, mapping),
    )


def _order_problems(layer: Layer, accelerator: Accelerator, mapping: Mapping, rank: Map[str, int]) -> list[str]:
    """Marks must go inward; spatial loops stand inside all marks above their array and outside those below it."""
    found = []
    outermost = accelerator.memories[0].name
    for tensor in layer.tensors:
        kept = mapping.keepers(tensor.name)
        levels = [rank[name] for name in kept]
        if levels != sorted(set(levels)):
            found.append(f"marks of {tensor.name} are not outer to inner: {', '.join(kept)}")
        if not kept or kept[0] != outermost:
            found.append(f"{tensor.name} must rest in {outermost}, the outermost memory")
        for memory in accelerator.memories:
            role, name = tensor.role, memory.name
            if name in kept and role not in memory.keeps:
                found.append(f"{name} does not keep {role}")
            if name not in kept and role in memory.keeps - memory.bypassable:
                found.append(f"{tensor.name} may not bypass {name}")
        for i, item in enumerate(mapping.nest):
            if isinstance(item, Loop) and item.axis is not None and item.bound > 1:
                level = rank[item.axis.rsplit(".", 1)[0]]
                for j, mark in enumerate(mapping.nest):
                    if (
                        isinstance(mark, Storage)
                        and mark.tensor == tensor.name
                        and (rank[mark.memory] < level) != (j < i)
                    ):
                        found.append(f"loop over {item.axis} is on the wrong side of {mark.memory} of {tensor.name}")
    first = next(
        (i for i, item in enumerate(mapping.nest) if isinstance(item, Loop) and item.bound > 1), len(mapping.nest)
    )
    late = [s for s in mapping.nest[first:] if isinstance(s, Storage) and s.memory == outermost]
    if late:
        found.append(f"{outermost} must hold every tensor outside all loops")
    axes = [rank[item.axis.rsplit(".", 1)[0]] for item in mapping.nest if isinstance(item, Loop) and item.axis]
    if axes != sorted(axes):
        found.append("spatial loops of an inner array stand outside those of an outer one")
    return list(dict.fromkeys(found))


def held_bits(layer: Layer, accelerator: Accelerator, mapping: Mapping) -> dict[tuple[str, str], int]:
    """Bits that a mapping takes of each memory and partition ("": what its roles share), codebooks included."""
    memories = {memory.name: memory for memory in accelerator.memories}
    held = dict[tuple[str, str], int]()
    for i, item in enumerate(mapping.nest):
        if isinstance(item, Storage):
            tensor = next(t for t in layer.tensors if t.name == item.tensor)
            bits = tile_bits(tensor, mapping.tile(i, layer.dims), accelerator, item.memory)
            place = item.memory, memories[item.memory].part(tensor.role)
            held[place] = held.get(place, 0) + bits
    return {place: tiles + codebook_bits(layer, accelerator, *place) for place, tiles in held.items()}


def _capacity_problems(layer: Layer, accelerator: Accelerator, mapping: Mapping) -> Iterator[str]:
    """Memories that hold less than what a mapping takes of them."""
    memories = {memory.name: memory for memory in accelerator.memories}
    for (name, part), bits in held_bits(layer, accelerator, mapping).items():
        capacity = memories[name].part_bits(part)
        if capacity is not None and bits > capacity:
            what = f"tile of {part} is {bits:,} bits" if part else f"tiles are {bits:,} bits together"
            yield f"{what}, {name} holds {capacity:,}"


def _product_problems(layer: Layer, accelerator: Accelerator, mapping: Mapping) -> Iterator[str]:
    """Where products are shared, a unit works on whole samples and holds the products of one input position."""
    shared, sharing = products(layer, accelerator), accelerator.sharing
    if shared is None or sharing is None:
        return
    marks = [i for i, item in enumerate(mapping.nest) if isinstance(item, Storage) and item.memory == sharing.memory]
    tile = mapping.tile(max(marks), layer.dims)
    cut = [f"{size} of {d}" for d, size in shared.sample.items() if tile[d] % size]
    if cut:
        yield f"a sample spans {' and '.join(cut)}, which the tile of {sharing.memory} cuts"
    elif shared.most(tile) > sharing.products:
        yield f"one input asks for {shared.most(tile):,} products at once, a unit holds {sharing.products:,}"


def check(layer: Layer, accelerator: Accelerator, mapping: Mapping) -> None:
    """Raise MappingError with every reason when a mapping is not legal."""
    reasons = problems(layer, accelerator, mapping)
    if reasons:
        raise MappingError(f"layer '{layer.name}' on {accelerator.name}: " + "; ".join(reasons))


def even(
    accelerator: Accelerator,
    layer: Layer,
    blocks: Map[str, tuple[Loop, ...]],
    bypass: Map[str, frozenset[str]] | None = None,
) -> Mapping:
    """An even mapping: temporal loops of each memory inside all of its marks, spatial loops of each array in its place.

    `blocks`: memory or array name to its loops, outermost first; `bypass`: memory to the tensors sent past it.
    """
    nest: list[Loop | Storage] = []
    for level in accelerator.levels:
        if isinstance(level, Memory):
            skipped = (bypass or {}).get(level.name, frozenset())
            kept = (t for t in layer.tensors if t.role in level.keeps and t.name not in skipped)
            nest += [Storage(level.name, tensor.name) for tensor in kept]
        nest += [loop for loop in blocks.get(level.name, ()) if loop.bound > 1]
    return Mapping(tuple(nest))
