"""Dims that no tensor tells apart, searched as one: rows and columns of a 1x1 convolution are so many positions.

Two dims that touch the same tensors, in no window, and that arrays and constraints treat alike are one dim of as many
points: every chain of tiles of the one splits into chains of the two with the same numbers of elements, prime by
prime, and loops over the two that stand apart in a block can be brought together at no cost: what one leaves in place
the other does too.
"""

from dataclasses import dataclass, replace
from math import gcd, prod

from energysim.hardware.accelerator import Accelerator
from energysim.mapping.constraints import AxisDims, Constraints, Residence
from energysim.mapping.distinct import products
from energysim.mapping.nest import Loop, Mapping, Storage
from energysim.workload.layer import DIMS, Layer


@dataclass(frozen=True, slots=True)
class Merging:
    """A layer with some dims merged into the first of each class; `classes` are the dims that were several."""

    layer: Layer
    before: Layer
    classes: tuple[tuple[str, ...], ...]

    def split(self, mapping: Mapping) -> Mapping:
        """A mapping of the merged layer, of whole tiles, as one of the layer before."""
        members = {dims[0]: dims for dims in self.classes}
        left = {d: self.before.dims[d] for dims in self.classes for d in dims}
        nest: list[Loop | Storage] = []
        for item in reversed(mapping.nest):
            if not isinstance(item, Loop) or item.dim not in members:
                nest.append(item)
                continue
            bound = item.bound
            # the last dim takes what it can, then the one before it: so every chain of tiles divides
            for d in reversed(members[item.dim]):
                factor = gcd(bound, left[d])
                left[d] //= factor
                bound //= factor
                if factor > 1:
                    nest.append(Loop(d, factor, item.axis))
        return Mapping(tuple(reversed(nest)))


def merging(layer: Layer, accelerator: Accelerator, constraints: Constraints) -> Merging | None:
    """The dims of a layer that can be searched as one; None where there are none."""
    if products(layer, accelerator) is not None:
        return None
    axes = [axis.dims for array in accelerator.arrays for axis in constraints.array(array).axes]
    apart = constraints.spread | constraints.whole | constraints.streamed
    for each in constraints.restrictions:
        if not isinstance(each, (AxisDims, Residence)):
            apart |= {each.dim}
    sliding = windows(layer)
    alike: dict[object, list[str]] = {}
    for d in DIMS:
        if layer.dims[d] == 1 or d in apart or d in sliding:
            continue
        touched = tuple(d in tensor.dims for tensor in layer.tensors)
        alike.setdefault((touched, tuple(dims is None or d in dims for dims in axes)), []).append(d)
    classes = tuple(tuple(dims) for dims in alike.values() if len(dims) > 1)
    if not classes:
        return None
    sizes = dict(layer.dims)
    for dims in classes:
        sizes |= {dims[0]: prod(layer.dims[d] for d in dims)} | dict.fromkeys(dims[1:], 1)
    return Merging(replace(layer, dims=sizes), layer, classes)


def windows(layer: Layer) -> frozenset[str]:
    """The dims that slide: each moves an index of some tensor together with another one."""
    ranks = [[d for d in rank.dims if layer.dims[d] > 1] for tensor in layer.tensors for rank in tensor.ranks]
    return frozenset(d for moving in ranks if len(moving) > 1 for d in moving)


__all__ = ["Merging", "merging", "windows"]
