"""Named dataflows: each is a restriction of one and the same map space, written down as data."""

from collections.abc import Mapping as Map
from dataclasses import dataclass, replace
from math import prod
from types import MappingProxyType

from energysim.errors import unknown
from energysim.hardware.accelerator import Accelerator, Array, Memory
from energysim.mapping.nest import Loop, Mapping
from energysim.workload.layer import Layer


@dataclass(frozen=True, slots=True)
class Constraints:
    """What a dataflow allows; the default allows everything.

    `axes`: dims that may be spread on the first, second, ... axis of an array (an array with fewer axes takes the rest
    together on its last axis, one with more repeats the last entry). `spread`: dims that must fill an axis as far as
    their size goes. `whole`: dims that lie wholly inside a processing element, that is in the memories inside the
    innermost array; `streamed`: dims of which these memories hold one step at a time. Both mean nothing on accelerators
    without such a memory. `stationary`: role of the tensor whose innermost tiles are fetched once each: outside its
    innermost memory, loops that do not touch it stand inside all loops that do.
    """

    description: str
    axes: tuple[frozenset[str], ...] = ()
    spread: frozenset[str] = frozenset()
    whole: frozenset[str] = frozenset()
    streamed: frozenset[str] = frozenset()
    stationary: str | None = None

    def array(self, array: Array) -> Array:
        """The same array with the dims of each axis cut down to those this dataflow spreads there."""
        if not self.axes:
            return array
        axes = []
        for i, axis in enumerate(array.axes):
            entries = self.axes[i:] if i == len(array.axes) - 1 else self.axes[i : i + 1]
            here = frozenset().union(*(entries or self.axes[-1:]))
            axes.append(replace(axis, dims=here if axis.dims is None else here & axis.dims))
        return replace(array, axes=tuple(axes))

    def fill(self, array: Array, dim: str, size: int) -> int:
        """The factor in which a dim of `spread` must be spread: its largest divisor that one axis takes (else 1)."""
        if dim not in self.spread:
            return 1
        room = max((a.size for a in self.array(array).axes if a.dims is None or dim in a.dims), default=1)
        return max(i for i in range(1, min(room, size) + 1) if size % i == 0)


def element_memories(accelerator: Accelerator) -> tuple[str, ...]:
    """Memories of a processing element: those inside the innermost array, outer to inner; empty without an array."""
    last = max((i for i, level in enumerate(accelerator.levels) if isinstance(level, Array)), default=None)
    return () if last is None else tuple(m.name for m in accelerator.levels[last:] if isinstance(m, Memory))


def violations(constraints: Constraints, layer: Layer, accelerator: Accelerator, mapping: Mapping) -> tuple[str, ...]:
    """Every reason why a legal mapping is not of a dataflow, in words; empty when it is."""
    found = []
    arrays = {array.name: constraints.array(array) for array in accelerator.arrays}
    loops = [loop for loop in mapping.loops if loop.bound > 1]
    for loop in loops:
        if loop.axis is not None:
            array, axis = loop.axis.rsplit(".", 1)
            dims = next(a.dims for a in arrays[array].axes if a.name == axis)
            if dims is not None and loop.dim not in dims:
                found.append(f"{loop.dim} is spread on {loop.axis}")
    for dim in sorted(constraints.spread):
        asked = prod(constraints.fill(array, dim, layer.dims[dim]) for array in accelerator.arrays[-1:])
        have = prod(loop.bound for loop in loops if loop.axis is not None and loop.dim == dim)
        if have < asked:
            found.append(f"{dim} is spread over {have} instances, not {asked}")
    inside = element_memories(accelerator)
    start = next((i for i, x in enumerate(mapping.nest) if not isinstance(x, Loop) and x.memory in inside), None)
    if start is not None:
        tile = mapping.tile(start, layer.dims)
        found += [f"{d} is not whole inside the element" for d in sorted(constraints.whole) if tile[d] < layer.dims[d]]
        found += [f"{d} is not streamed through the element" for d in sorted(constraints.streamed) if tile[d] > 1]
    return (*found, *_moves(constraints, layer, mapping))


def _moves(constraints: Constraints, layer: Layer, mapping: Mapping) -> list[str]:
    """Temporal loops that fetch a tile of the stationary tensor again."""
    tensor = layer.tensor(constraints.stationary or "")
    if tensor is None:
        return []
    marks = [i for i, x in enumerate(mapping.nest) if not isinstance(x, Loop) and x.tensor == tensor.name]
    outside = [x for x in mapping.nest[: marks[-1]] if isinstance(x, Loop) and x.axis is None and x.bound > 1]
    last = max((i for i, loop in enumerate(outside) if loop.dim in tensor.dims), default=-1)
    again = sorted({loop.dim for loop in outside[: max(last, 0)] if loop.dim not in tensor.dims})
    return [f"a loop over {dim} stands outside loops of the stationary {tensor.name}" for dim in again]


DATAFLOWS: Map[str, Constraints] = MappingProxyType(
    {
        "unconstrained": Constraints("Any loop in any place: the whole map space."),
        "row_stationary": Constraints(
            "One kernel row stays in an element while an input row slides past it: S whole inside the element, Q "
            "streamed through it; output rows P along the first axis (x), kernel rows R along the second (y), so that "
            "partial sums are added up a column; P folded, and channels and filters replicated, where an axis has room "
            "(Chen et al., ISCA 2016; Chen et al., JSSC 2017, Table III).",
            axes=(frozenset("PMCGN"), frozenset("RPMCG")),
            spread=frozenset("R"),
            whole=frozenset("S"),
            streamed=frozenset("PQRN"),
        ),
        "weight_stationary": Constraints(
            "Each weight is brought into the innermost memory of weights once and used for every output before it "
            "is replaced (layers without weights are not restricted).",
            stationary="weight",
        ),
        "output_stationary": Constraints(
            "Each output stays in the innermost memory of outputs until its sum is complete; partial sums never travel "
            "in time (they may still be added across the array).",
            stationary="output",
        ),
        "input_stationary": Constraints(
            "Each input is brought into the innermost memory of inputs once for all filters that use it.",
            stationary="input",
        ),
    }
)
"""Dataflow name to the restriction of the map space that it stands for."""


def dataflow(name: str) -> Constraints:
    """The constraints of a dataflow; raises UnknownNameError with the nearest name."""
    if name not in DATAFLOWS:
        raise unknown("dataflow", name, DATAFLOWS)
    return DATAFLOWS[name]


__all__ = ["DATAFLOWS", "Constraints", "dataflow", "element_memories", "violations"]
