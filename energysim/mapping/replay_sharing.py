"""The definition of shared execution: run the nest, multiply what no unit has multiplied yet, add what indices name.

Slow and obvious on purpose. It works on real numbers as well as counting, so that it can be held against a convolution;
with `replay` for all that sharing does not touch it is what `executed` must equal.
"""

from collections import defaultdict
from itertools import product
from typing import Any

from energysim.hardware.accelerator import CODEBOOK, PRODUCTS, Accelerator, Array
from energysim.mapping.counted import LOOK_UP, PARTIAL, PRODUCT, UNIT, Counts, Key
from energysim.mapping.distinct import AXES, Products
from energysim.mapping.nest import Mapping, Storage
from energysim.mapping.replay import _elements, _run, replay
from energysim.mapping.sharing import shared_weight, table_of
from energysim.workload.layer import DIMS, Layer, Tensor

Place = tuple[int, ...]


def replay_storage(layer: Layer, accelerator: Accelerator, mapping: Mapping) -> Counts:
    """Counts of a mapping whose weights are looked up on their way to a compute unit."""
    shared = shared_weight(layer, accelerator)
    dense = replay(layer, accelerator, mapping)
    if shared is None:
        return dense
    weight, _, sharing = shared
    values: dict[Key, int] = defaultdict(int, dense.values)
    values[table_of(sharing), LOOK_UP, weight.name] += dense.values.get((sharing.memory, "read", weight.name), 0)
    _load_codebook(values, layer, accelerator)
    return _counts(values, dense.steps)


def replay_products(
    found: Products, accelerator: Accelerator, mapping: Mapping, centroids: Any, inputs: Any
) -> tuple[Counts, dict[Place, Any]]:
    """Counts and every output of a layer that shares products, from its centroids (K, sample) and inputs.

    `inputs` is indexed as the input tensor's ranks; a centroid's elements are in the order of the sample's dims.
    """
    layer, unit, memory = found.layer, accelerator.compute.name, accelerator.memories[-1].name
    codebook = table_of(accelerator.sharing) if accelerator.sharing else memory
    source, output = next(t for t in layer.tensors if t.role == "input"), layer.output
    dense = replay(layer, accelerator, mapping)
    values: dict[Key, int] = defaultdict(int, dense.values)
    finished = dense.values.get((memory, "write", output.name), 0)
    for key in (
        (unit, "mac", UNIT),
        (memory, "read", PARTIAL),
        (memory, "write", PARTIAL),
        (memory, "read", source.name),
    ):
        values.pop(key, None)
    end = max(i for i, x in enumerate(mapping.nest) if isinstance(x, Storage) and x.memory == memory)
    written: set[tuple[Place, Place]] = set()
    seen: set[tuple[Place, Place]] = set()
    sums: dict[Place, Any] = {}
    for busy in _run(layer, mapping, end):
        for instance, ranges in busy:
            held: dict[tuple[Place, int], Any] = {}
            for start in _samples(ranges, found):
                target = _place(output, start)
                seen.add((instance, target))
                index = int(found.indices.values[tuple(start[d] // found.sample.get(d, 1) for d in AXES)])
                if index == found.indices.zero:
                    continue
                position = tuple(_place(source, start)), index
                if position not in held:
                    held[position] = 0
                    for n, element in enumerate(_sample(start, found)):
                        held[position] += centroids[index][n] * inputs[_place(source, element)]
                        values[unit, "multiply", UNIT] += 1
                        values[memory, "read", source.name] += 1
                        values[codebook, LOOK_UP, found.weight.name] += 1
                        values[unit, "add", UNIT] += 1 if n else 0
                    values[PRODUCTS, "write", PRODUCT] += 1
                values[PRODUCTS, "read", PRODUCT] += 1
                values[memory, "write", PARTIAL] += 1
                if (instance, target) in written:
                    values[memory, "read", PARTIAL] += 1
                written.add((instance, target))
                values[unit, "add", UNIT] += 1 if target in sums else 0
                sums[target] = sums.get(target, 0) + held[position]
    values[memory, "write", PARTIAL] += len(seen - written) - finished
    for _, target in seen - written:
        sums.setdefault(target, 0)
    _load_codebook(values, layer, accelerator)
    return _counts(values, dense.steps), sums


def _samples(ranges: dict[str, range], found: Products) -> list[dict[str, int]]:
    """The first point of every sample at every output in a block of the nest."""
    steps = [range(r.start, r.stop, found.sample.get(d, 1)) for d, r in ((d, ranges[d]) for d in DIMS)]
    return [dict(zip(DIMS, point, strict=True)) for point in product(*steps)]


def _sample(start: dict[str, int], found: Products) -> list[dict[str, int]]:
    """The points of the nest that one sample multiplies at one output, in the order of its dims."""
    dims = tuple(found.sample)
    offsets = product(*(range(found.sample[d]) for d in dims))
    return [start | {d: start[d] + n for d, n in zip(dims, offset, strict=True)} for offset in offsets]


def _place(tensor: Tensor, point: dict[str, int]) -> Place:
    """The element of a tensor that one point of the nest touches."""
    (place,) = _elements(tensor, {d: range(x, x + 1) for d, x in point.items()})
    return place


def _load_codebook(values: dict[Key, int], layer: Layer, accelerator: Accelerator) -> None:
    """One element after the other out of the outermost memory, copied wherever the way divides."""
    shared = shared_weight(layer, accelerator)
    if shared is None or shared[2].memory == accelerator.memories[0].name:
        return
    for _ in range(shared[1].entries):
        reads = copies = 1
        for level in accelerator.levels:
            if level.name == shared[2].memory:
                break
            if isinstance(level, Array):
                copies *= level.fan_out
                reads *= 1 if "weight" in level.multicast else level.fan_out
                values[level.name, "transfer", CODEBOOK] += copies
        values[accelerator.memories[0].name, "read", CODEBOOK] += reads
        values[table_of(shared[2]), "fill", CODEBOOK] += copies


def _counts(values: dict[Key, int], steps: int) -> Counts:
    return Counts({key: n for key, n in sorted(values.items()) if n}, steps)
