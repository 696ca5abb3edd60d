"""What shared weights change of a mapping's counts: look-ups, the codebook's own way, products computed once.

The dense nest stays as it is; what follows from its tiles and the indices of the weight is exact, and `replay_sharing`
is its definition (docs/decisions/shared-weights.md).
"""

from collections.abc import Iterator
from dataclasses import replace
from math import prod

import numpy as np

from energysim.hardware.accelerator import CODEBOOK, PRODUCTS, Accelerator, Array, Sharing
from energysim.mapping.counted import LOOK_UP, PARTIAL, PRODUCT, UNIT, Counts, Key
from energysim.mapping.distinct import AXES, Products, products
from energysim.mapping.nest import Mapping, Storage
from energysim.workload.encoding import Codebook
from energysim.workload.layer import Layer, Tensor


def shared_weight(layer: Layer, accelerator: Accelerator) -> tuple[Tensor, Codebook, Sharing] | None:
    """The weight that runs from its codebook on this accelerator; None when there is none, or it comes expanded."""
    weight = next((t for t in layer.tensors if t.codebook is not None), None)
    if weight is None or weight.codebook is None or accelerator.sharing is None:
        return None
    return weight, weight.codebook, accelerator.sharing


def as_run(layer: Layer, accelerator: Accelerator) -> Layer:
    """The layer with what this accelerator tells apart: a codebook where it has one, indices where they count."""
    sharing = accelerator.sharing
    keeps = sharing is not None
    if not any(t.codebook for t in layer.tensors) or (keeps and products(layer, accelerator)):
        return layer
    tensors = (
        replace(t, codebook=replace(t.codebook, indices=None) if keeps else None) if t.codebook else t
        for t in layer.tensors
    )
    return replace(layer, tensors=tuple(tensors))


def table_of(sharing: Sharing) -> str:
    """The component in which a codebook lies: its own table, or the memory."""
    return sharing.memory if sharing.table_bits is None else CODEBOOK


def does_not_hold(layer: Layer, accelerator: Accelerator) -> str:
    """Why an accelerator cannot hold a layer's codebook, in words; "" when it can, or expands weights elsewhere."""
    shared = shared_weight(layer, accelerator)
    if shared is None:
        return ""
    weight, codebook, sharing = shared
    bits = codebook.entries * weight.bits
    memory = next(m for m in accelerator.memories if m.name == sharing.memory)
    table = sharing.table_bits is not None
    room = sharing.table_bits if table else memory.part_bits(memory.part("weight"))
    if room is None or bits <= room:
        return ""
    many = f"{codebook.blocks} x " if codebook.blocks > 1 else ""
    what = f"a codebook of {many}{codebook.clusters:,} x {codebook.length} elements of {weight.bits} bits"
    where = f"the table of {accelerator.name}" if table else f"{memory.name} of {accelerator.name}"
    return f"layer '{layer.name}': {what} takes {bits:,} bits, {where} holds {room:,}"


def executed(layer: Layer, accelerator: Accelerator, mapping: Mapping, dense: Counts) -> Counts:
    """The counts of a mapping with the weight run from its codebook; the dense ones where it is not."""
    shared = shared_weight(layer, accelerator)
    if shared is None:
        return dense
    weight, _, sharing = shared
    values = dict(dense.values) | dict(preload(layer, accelerator))
    found = products(layer, accelerator)
    if found is None:
        looked_up = values.get((sharing.memory, "read", weight.name), 0)
        values[table_of(sharing), LOOK_UP, weight.name] = looked_up
    else:
        values = _with_products(values, found, accelerator, mapping, sharing)
    return replace(dense, values={key: n for key, n in sorted(values.items()) if n})


def preload(layer: Layer, accelerator: Accelerator) -> Iterator[tuple[Key, int]]:
    """Elements of the codebook on their way, once a layer, from the outermost memory to every instance of its place."""
    shared = shared_weight(layer, accelerator)
    if shared is None or shared[2].memory == accelerator.memories[0].name:
        return
    _, codebook, sharing = shared
    reads = copies = codebook.entries
    crossed = []
    for level in accelerator.levels[: accelerator.order[sharing.memory]]:
        if isinstance(level, Array):
            copies *= level.fan_out
            reads *= 1 if "weight" in level.multicast else level.fan_out
            crossed.append((level.name, copies))
    yield (accelerator.memories[0].name, "read", CODEBOOK), reads
    for name, arrived in crossed:
        yield (name, "transfer", CODEBOOK), arrived
    yield (table_of(sharing), "fill", CODEBOOK), copies


def tile_in(mapping: Mapping, memory: str, layer: Layer) -> dict[str, int]:
    """Sizes of the tile inside the innermost mark of a memory."""
    marks = [i for i, item in enumerate(mapping.nest) if isinstance(item, Storage) and item.memory == memory]
    return mapping.tile(max(marks), layer.dims)


def _with_products(
    values: dict[Key, int], found: Products, accelerator: Accelerator, mapping: Mapping, sharing: Sharing
) -> dict[Key, int]:
    """Multiplications for different products only, and an accumulation for each that is not of a zero sample."""
    layer, memory, unit = found.layer, sharing.memory, accelerator.compute.name
    multiplied = found.multiplications(tile_in(mapping, memory, layer))
    added = found.accumulations
    points, output = layer.points, layer.output.name
    source = next(t.name for t in layer.tensors if t.role == "input")
    first = points - values.get((memory, "read", PARTIAL), 0)
    empty = empty_visits(found, mapping)
    done = values.get((memory, "write", output), 0)
    values.pop((unit, "mac", UNIT))
    return values | {
        (memory, "read", source): multiplied,
        (table_of(sharing), LOOK_UP, found.weight.name): multiplied,
        (memory, "read", PARTIAL): added - first + empty,
        (memory, "write", PARTIAL): added + empty - done,
        (PRODUCTS, "write", PRODUCT): multiplied // found.block,
        (PRODUCTS, "read", PRODUCT): added,
        (unit, "multiply", UNIT): multiplied,
        (unit, "add", UNIT): additions(found, multiplied),
    }


def additions(found: Products, multiplied: int) -> int:
    """Inside products, and of products into outputs: the first into each output is none (METHODS, section 5)."""
    outputs = found.layer.output.elements(found.layer.dims)
    inner = multiplied // found.block * (found.block - 1)
    return inner + found.accumulations - outputs + found.empty_outputs


def empty_visits(found: Products, mapping: Mapping) -> int:
    """Pairs of an instance and an output all of whose samples there are zero: the unit writes a zero, adds nothing."""
    if found.indices.zero < 0:
        return 0
    live = found.indices.values != found.indices.zero
    for axis, dim in enumerate(AXES[2:], 2):
        cell = _cells(found, mapping, dim, live.shape[axis])
        joined = [live.take(np.flatnonzero(cell == n), axis).any(axis=axis) for n in range(int(cell.max()) + 1)]
        live = np.stack(joined, axis)
    outside = prod(size for d, size in found.layer.dims.items() if d not in AXES)
    return outside * int((~live).sum())


def _cells(found: Products, mapping: Mapping, dim: str, places: int) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """For each place on an axis of the indices the number of the instance (along this dim alone) that works on it."""
    step = found.sample.get(dim, 1)
    number = np.zeros(places, dtype=np.int64)
    loops = [loop for loop in mapping.loops if loop.dim == dim]
    for i, loop in enumerate(loops):
        if loop.axis is not None:
            stride = prod(inner.bound for inner in loops[i + 1 :])
            number = number * loop.bound + np.arange(places) * step // stride % loop.bound
    _, cells = np.unique(number, return_inverse=True)
    return cells.reshape(-1)
