"""Constraints: what a dataflow or a user asks of mappings, each a restriction of one and the same map space."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import prod

from energysim.errors import InputError, unknown
from energysim.hardware.accelerator import Accelerator, Array, Memory
from energysim.mapping.nest import Loop, Mapping
from energysim.workload.layer import DIMS, ROLES, Layer

WHOLE = 2**53 - 1
"""As `at_least`: more than any dim has, so the dim is whole."""


@dataclass(frozen=True, slots=True)
class TileLimit:
    """The tile of a dim in a memory lies within limits (None: no upper one), wherever the memory holds anything.

    A dim with fewer points than a limit has them all: `at_least` WHOLE asks that of every dim. `where`: "file:line".
    In uneven mappings it is about each tensor there that the dim touches, at its own mark; so is `Untiled`.
    """

    memory: str
    dim: str
    at_least: int = 1
    at_most: int | None = None
    where: str = field(default="", compare=False)

    def __str__(self) -> str:
        if self.at_least == WHOLE:
            return f"{self.memory} holds {self.dim} whole"
        return f"the tile of {self.dim} in {self.memory} is {_limits(self)}"


@dataclass(frozen=True, slots=True)
class SpreadLimit:
    """How many instances of an array, all its axes together, a dim is spread over; limits as in `TileLimit`."""

    array: str
    dim: str
    at_least: int = 1
    at_most: int | None = None
    where: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.dim} is spread over {_limits(self)} on {self.array}"


@dataclass(frozen=True, slots=True)
class Untiled:
    """No temporal loop over a dim belongs to a memory: inside it, in the next one that holds anything, stands as much.

    A loop belongs to the innermost memory that is marked outside it.
    """

    memory: str
    dim: str
    where: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.memory} has no loop over {self.dim}"


@dataclass(frozen=True, slots=True)
class AxisDims:
    """Only these dims may be spread on an axis of an array."""

    array: str
    axis: str
    dims: frozenset[str]
    where: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.array}.{self.axis} takes {', '.join(d for d in DIMS if d in self.dims) or 'no dim'} only"


@dataclass(frozen=True, slots=True)
class DimAxes:
    """On an array, a dim may be spread on these axes only."""

    array: str
    dim: str
    axes: frozenset[str]
    where: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.dim} is spread on {', '.join(sorted(self.axes)) or 'no axis'} of {self.array} only"


@dataclass(frozen=True, slots=True)
class Residence:
    """Whether a memory keeps the tensors of a role or they bypass it."""

    memory: str
    role: str
    kept: bool
    where: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.memory} keeps {self.role}" if self.kept else f"{self.role} bypasses {self.memory}"


Limit = TileLimit | SpreadLimit
Restriction = TileLimit | SpreadLimit | Untiled | AxisDims | DimAxes | Residence


def _limits(limit: Limit) -> str:
    if limit.at_least == limit.at_most:
        return f"{limit.at_least:,}"
    most = "" if limit.at_most is None else f"at most {limit.at_most:,}"
    least = f"at least {limit.at_least:,}" if limit.at_least > 1 or not most else ""
    return " and ".join(filter(None, (least, most)))


def placed(restriction: Restriction) -> str:
    """A restriction in words, after its file and line where it has them."""
    return f"{restriction.where} ({restriction})" if restriction.where else f"'{restriction}'"


def within(limits: Sequence[Limit], size: int) -> tuple[int, int]:
    """The least and the most that limits of one dim of so many points leave; the least may be above the most."""
    least = max((min(each.at_least, size) for each in limits), default=1)
    most = min((min(each.at_most or size, size) for each in limits), default=size)
    return least, most


@dataclass(frozen=True, slots=True)
class Constraints:
    """What is asked of mappings; the default allows everything.

    `axes`: dims that may be spread on the first, second, ... axis of an array (an array with fewer axes takes the rest
    together on its last axis, one with more repeats the last entry). `spread`: dims that must fill an axis of the
    innermost array as far as their size goes. `whole`: dims that lie wholly inside a processing element, that is in the
    outermost memory inside the innermost array that holds anything; `streamed`: dims of which it holds one step at a
    time. `stationary`: role of the tensor whose innermost tiles are fetched once each: outside its innermost memory,
    loops that do not touch it stand inside all loops that do. These make a dataflow; `restrictions` are the user's.
    """

    description: str
    axes: tuple[frozenset[str], ...] = ()
    spread: frozenset[str] = frozenset()
    whole: frozenset[str] = frozenset()
    streamed: frozenset[str] = frozenset()
    stationary: str | None = None
    restrictions: tuple[Restriction, ...] = ()

    def array(self, array: Array) -> Array:
        """The same array with the dims of each axis cut down to those that may be spread there."""
        cut = self.by_dataflow(array)
        here = [x for x in self.restrictions if isinstance(x, (AxisDims, DimAxes)) and x.array == array.name]
        for only in here:
            axes = []
            for axis in cut.axes:
                if isinstance(only, AxisDims):
                    left = only.dims if axis.name == only.axis else None
                else:
                    left = frozenset(DIMS) - {only.dim} if axis.name not in only.axes else None
                axes.append(axis if left is None else replace(axis, dims=_cut(axis.dims, left)))
            cut = replace(cut, axes=tuple(axes))
        return cut

    def by_dataflow(self, array: Array) -> Array:
        """The same array with the dims of each axis cut down to those that the dataflow spreads there."""
        if not self.axes:
            return array
        axes = []
        for i, axis in enumerate(array.axes):
            entries = self.axes[i:] if i == len(array.axes) - 1 else self.axes[i : i + 1]
            axes.append(replace(axis, dims=_cut(axis.dims, frozenset().union(*(entries or self.axes[-1:])))))
        return replace(array, axes=tuple(axes))

    def fill(self, array: Array, dim: str, size: int) -> int:
        """The factor in which a dim of `spread` must be spread: its largest divisor that one axis takes (else 1)."""
        if dim not in self.spread:
            return 1
        room = max((a.size for a in self.by_dataflow(array).axes if a.dims is None or dim in a.dims), default=1)
        return max(i for i in range(1, min(room, size) + 1) if size % i == 0)

    def tile_limits(self, memory: str, dim: str) -> list[TileLimit]:
        """The user's limits on a dim in a memory."""
        return [x for x in self.restrictions if isinstance(x, TileLimit) and (x.memory, x.dim) == (memory, dim)]

    def spread_limits(self, array: str, dim: str) -> list[SpreadLimit]:
        """The user's limits on a dim on an array."""
        return [x for x in self.restrictions if isinstance(x, SpreadLimit) and (x.array, x.dim) == (array, dim)]


def _cut(dims: frozenset[str] | None, to: frozenset[str]) -> frozenset[str]:
    return to if dims is None else to & dims


def element_memories(accelerator: Accelerator) -> tuple[str, ...]:
    """Memories of a processing element: those inside the innermost array, outer to inner; empty without an array."""
    last = max((i for i, level in enumerate(accelerator.levels) if isinstance(level, Array)), default=None)
    return () if last is None else tuple(m.name for m in accelerator.levels[last:] if isinstance(m, Memory))


def check_restrictions(restrictions: Sequence[Restriction], accelerator: Accelerator) -> None:
    """Raise InputError, a line for each, for names an accelerator does not have and for pairs that exclude each other.

    What depends on a layer's sizes is not looked for here.
    """
    mistakes = [(error, each.where) for each in restrictions for error in _mistakes(each, accelerator)]
    # one mistaken name of a file is one mistake, however many constraints stand under it
    once = {str(error).removeprefix(where): error for error, where in reversed(mistakes)}
    wrong = list(reversed(once.values()))
    for i, one in enumerate(restrictions):
        for other in restrictions[:i]:
            if _exclude(one, other):
                wrong.append(InputError(f"{placed(other)} and {placed(one)} exclude each other"))
    if len(wrong) == 1:
        raise wrong[0]
    if wrong:
        raise InputError("\n".join(map(str, wrong)))


def _mistakes(each: Restriction, accelerator: Accelerator) -> Iterator[InputError]:
    memories = {memory.name: memory for memory in accelerator.memories}
    arrays = {array.name: [axis.name for axis in array.axes] for array in accelerator.arrays}
    at = f"{each.where}: " if each.where else ""
    if isinstance(each, (SpreadLimit, AxisDims, DimAxes)):
        axes = (each.axis,) if isinstance(each, AxisDims) else each.axes if isinstance(each, DimAxes) else ()
        if each.array not in arrays:
            yield unknown("array", each.array, arrays, each.where)
        else:
            strange = sorted(set(axes) - set(arrays[each.array]))
            yield from (unknown(f"axis of {each.array}", axis, arrays[each.array], each.where) for axis in strange)
    elif each.memory not in memories:
        yield unknown("memory", each.memory, memories, each.where)
    elif isinstance(each, Residence):
        if each.role not in ROLES:
            yield unknown("role", each.role, ROLES, each.where)
        elif each.kept and each.role not in memories[each.memory].keeps:
            yield InputError(f"{at}{each.memory} of {accelerator.name} does not keep {each.role}")
        elif not each.kept and each.role in memories[each.memory].keeps - memories[each.memory].bypassable:
            yield InputError(f"{at}{each.role} may not bypass {each.memory} of {accelerator.name}")
    dims = each.dims if isinstance(each, AxisDims) else () if isinstance(each, Residence) else (each.dim,)
    yield from (unknown("dim", dim, DIMS, each.where) for dim in sorted(dims) if dim not in DIMS)
    if isinstance(each, (TileLimit, SpreadLimit)):
        for number in (each.at_least, each.at_most):
            if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
                yield InputError(f"{at}a limit must be an integer of at least 1, not {number}")
        if isinstance(each, TileLimit) and each.memory == accelerator.memories[0].name and each.at_most is not None:
            yield InputError(
                f"{at}{each.memory} is the outermost memory of {accelerator.name}: it holds all dims whole"
            )
        elif each.at_most is not None and each.at_least > each.at_most:
            yield InputError(f"{at}{each.dim}: at_least {each.at_least} is above at_most {each.at_most}")


def _exclude(one: Restriction, other: Restriction) -> bool:
    """Whether two restrictions contradict each other for every dim of more points than their limits."""
    if isinstance(one, Residence) and isinstance(other, Residence):
        return (one.memory, one.role) == (other.memory, other.role) and one.kept != other.kept
    if isinstance(one, TileLimit) and isinstance(other, TileLimit):
        same = (one.memory, one.dim) == (other.memory, other.dim)
    elif isinstance(one, SpreadLimit) and isinstance(other, SpreadLimit):
        same = (one.array, one.dim) == (other.array, other.dim)
    else:
        return False
    # WHOLE against an upper limit is no contradiction for layers small enough
    pairs = ((one.at_least, other.at_most), (other.at_least, one.at_most))
    return same and any(most is not None and WHOLE != least > most for least, most in pairs)


def violations(
    constraints: Constraints, layer: Layer, accelerator: Accelerator, mapping: Mapping, *, uneven: bool = False
) -> tuple[str, ...]:
    """Every constraint that a legal mapping does not meet, in words; empty when it meets them all.

    `uneven`: limits on a memory's tiles and loops bind only the tensors there that the dim touches, each at its mark.
    """
    found = []
    arrays = [constraints.by_dataflow(array) for array in accelerator.arrays]
    axes = {f"{array.name}.{axis.name}": axis.dims for array in arrays for axis in array.axes}
    loops = [loop for loop in mapping.loops if loop.bound > 1]
    for loop in loops:
        dims = None if loop.axis is None else axes[loop.axis]
        if dims is not None and loop.dim not in dims:
            found.append(f"{loop.dim} is spread on {loop.axis}")
    for dim in sorted(constraints.spread):
        for array in accelerator.arrays[-1:]:
            asked, have = constraints.fill(array, dim, layer.dims[dim]), _spread(mapping, array.name, dim)
            if have % asked:
                found.append(f"{dim} is spread over {have} instances, not {asked}")
    inside = element_memories(accelerator)
    start = next((i for i, x in enumerate(mapping.nest) if not isinstance(x, Loop) and x.memory in inside), None)
    if start is not None:
        tile = mapping.tile(start, layer.dims)
        found += [f"{d} is not whole inside the element" for d in sorted(constraints.whole) if tile[d] < layer.dims[d]]
        found += [f"{d} is not streamed through the element" for d in sorted(constraints.streamed) if tile[d] > 1]
    found += _moves(constraints, layer, mapping)
    for each in constraints.restrictions:
        found += [f"{why}, but {placed(each)}" for why in _breaks(each, layer, accelerator, mapping, uneven)]
    return tuple(dict.fromkeys(found))


def _spread(mapping: Mapping, array: str, dim: str) -> int:
    """Instances of an array that a dim is spread over."""
    return prod(
        x.bound for x in mapping.loops if x.axis is not None and (x.axis.rsplit(".", 1)[0], x.dim) == (array, dim)
    )


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


def _breaks(each: Restriction, layer: Layer, accelerator: Accelerator, mapping: Mapping, uneven: bool) -> Iterator[str]:
    """What in a mapping does not meet a restriction of the user's."""
    if isinstance(each, TileLimit):
        least, most = within([each], layer.dims[each.dim])
        tiles = sorted(_tiles(each, layer, mapping, uneven))
        yield from (f"the tile of {each.dim} in {each.memory} is {n}" for n in tiles if not least <= n <= most)
    elif isinstance(each, SpreadLimit):
        least, most = within([each], layer.dims[each.dim])
        have = _spread(mapping, each.array, each.dim)
        if not least <= have <= most:
            yield f"{each.dim} is spread over {have} on {each.array}"
    elif isinstance(each, (AxisDims, DimAxes)):
        yield from (f"{loop.dim} is spread on {loop.axis}" for loop in mapping.loops if _astray(each, loop))
    elif isinstance(each, Untiled):
        order = [memory.name for memory in accelerator.memories]
        touched = {t.name for t in layer.tensors if each.dim in t.dims or not uneven}
        owner, binds = 0, False
        for item in mapping.nest:
            if not isinstance(item, Loop):
                owner = max(owner, order.index(item.memory))
                binds = binds or (item.memory == each.memory and item.tensor in touched)
            elif item.axis is None and item.bound > 1 and (order[owner], item.dim) == (each.memory, each.dim) and binds:
                yield f"{each.memory} has a loop over {each.dim}"
    elif isinstance(each, Residence):
        for tensor in layer.tensors:
            if tensor.role == each.role and (each.memory in mapping.keepers(tensor.name)) != each.kept:
                yield f"{tensor.name} bypasses {each.memory}" if each.kept else f"{each.memory} keeps {tensor.name}"


def _tiles(each: TileLimit, layer: Layer, mapping: Mapping, uneven: bool) -> set[int]:
    """Tiles of a dim at the marks of a memory; `uneven`: of the tensors there that it touches."""
    bound = {t.name for t in layer.tensors if each.dim in t.dims or not uneven}
    marks = [(i, x) for i, x in enumerate(mapping.nest) if not isinstance(x, Loop) and x.memory == each.memory]
    return {mapping.tile(i, layer.dims)[each.dim] for i, x in marks if x.tensor in bound}


def reached(each: Restriction, layer: Layer, mapping: Mapping) -> int | None:
    """The (largest) tile or spread that a mapping has where a limit is asked; None for other constraints, no tile."""
    if isinstance(each, SpreadLimit):
        return _spread(mapping, each.array, each.dim)
    if not isinstance(each, TileLimit):
        return None
    return max(_tiles(each, layer, mapping, True) or _tiles(each, layer, mapping, False), default=None)


def _astray(each: AxisDims | DimAxes, loop: Loop) -> bool:
    """Whether a loop is spread on an axis where a restriction does not let it be."""
    array, _, axis = (loop.axis or "").rpartition(".")
    if array != each.array or loop.bound == 1:
        return False
    if isinstance(each, AxisDims):
        return axis == each.axis and loop.dim not in each.dims
    return loop.dim == each.dim and axis not in each.axes


__all__ = [
    "WHOLE",
    "AxisDims",
    "Constraints",
    "DimAxes",
    "Residence",
    "Restriction",
    "SpreadLimit",
    "TileLimit",
    "Untiled",
    "check_restrictions",
    "element_memories",
    "placed",
    "reached",
    "violations",
    "within",
]
