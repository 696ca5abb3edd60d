"""`Counts` in closed form: the integers of `replay` without running the nest, for many mappings at once.

Arrivals at a buffer = words needed over all steps - words kept from the step before. Words needed factorise over ranks
at every step; so do words kept at each kind of step (which loop has just advanced). `positions` has the sums of one
rank; here they are multiplied, rank by rank, and added over the loops that can advance.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from energysim.hardware.accelerator import Accelerator, Array
from energysim.mapping.counted import LOOK_UP, PARTIAL, PRODUCT, UNIT, Counts, Key
from energysim.mapping.nest import Loop, Mapping, Storage, check
from energysim.mapping.positions import FREE, INSIDE, OWN, PASSED, RESET, SHARED, Dim, held_and_kept, visited
from energysim.mapping.sharing import executed
from energysim.workload.layer import DIMS, Layer, Tensor

__all__ = ["LOOK_UP", "PARTIAL", "PRODUCT", "UNIT", "Counts", "Key", "active_instances", "count", "count_many"]

STEPS: Key = ("", "steps", "")
Integers = NDArray[Any]
"""int64, or Python integers where int64 could overflow."""

SAFE = 1 << 56
"""Operations below which no count, nor any sum on the way to it, comes near 2^63."""


def count(layer: Layer, accelerator: Accelerator, mapping: Mapping) -> Counts:
    """Exact counts of one mapping; equal to `replay` integer for integer. Raises MappingError when it is not legal.

    Weights with a codebook run as the accelerator's `sharing` says (see `executed`).
    """
    check(layer, accelerator, mapping)
    bounds = np.array([[loop.bound for loop in mapping.loops]], dtype=object).reshape(1, len(mapping.loops))
    values = _formulas(_One(layer, accelerator, mapping.nest, bounds))
    steps = values.pop(STEPS)
    dense = Counts({key: n for key, n in sorted(values.items()) if n}, steps)
    return executed(layer, accelerator, mapping, dense)


def active_instances(layer: Layer, mapping: Mapping) -> int:
    """Compute units at work in the fullest step (the first one) of a mapping."""
    total = 1
    for d, size in layer.dims.items():
        loops = _merged([(x.bound, RESET if x.axis is None else FREE) for x in mapping.loops if x.dim == d])
        total *= held_and_kept(((0, size, loops),))[0]
    return total


def count_many(
    layer: Layer, accelerator: Accelerator, nest: tuple[Loop | Storage, ...], bounds: Integers, chunk: int = 1 << 13
) -> tuple[dict[Key, Integers], Integers]:
    """Counts and steps of many legal mappings that share a nest; row i of `bounds` (n, loops) replaces its bounds.

    Counted in int64, or in Python integers where that could overflow or `bounds` are objects. Legality is not checked.
    """
    if layer.points * layer.ops_per_point >= SAFE:
        bounds = bounds.astype(object)
    if not len(bounds):
        values, steps = count_many(layer, accelerator, nest, np.ones((1, bounds.shape[1]), dtype=np.int64))
        return {key: n[:0] for key, n in values.items()}, steps[:0]
    batch = _Batch(layer, accelerator, nest, bounds)
    formulas = _formulas(batch)
    parts = [_evaluate(batch, formulas, slice(i, i + chunk)) for i in range(0, len(bounds), chunk)]
    values = {key: np.concatenate([part[key] for part in parts]) for key in formulas}
    return values, values.pop(STEPS)


Parts = list[int]
"""The part of each loop (see `positions`); of loops of one step any."""

Terms = tuple[tuple[str, int], ...]
Sums = Callable[[tuple[Dim, ...]], tuple[int, int]]

Factor = tuple[int, int]
"""Number of a table, and which of its two sums."""

Formula = Counter[tuple[Factor, ...]]
"""A count as a sum of products, each with its coefficient; one formula holds for all mappings of a nest."""

Amount = Formula | int
"""What is counted of many mappings, or of one."""


class _Batch:
    """Mappings of one nest: which loops each dim has, and which rows share the bounds of a dim or rank."""

    def __init__(self, layer: Layer, accelerator: Accelerator, nest: tuple[Loop | Storage, ...], bounds: Integers):
        self.layer, self.accelerator, self.nest = layer, accelerator, nest
        self.number = object if bounds.dtype == object else np.int64
        self.size, self.columns = len(bounds), np.ascontiguousarray(bounds.T, dtype=self.number)
        self.positions = [i for i, item in enumerate(nest) if isinstance(item, Loop)]
        self.loops = [item for item in nest if isinstance(item, Loop)]
        self.active = [k for k in range(len(self.loops)) if bool((self.columns[k] > 1).any())]
        self.of_dim = {d: [k for k in self.active if self.loops[k].dim == d] for d in DIMS}
        self.arrays = {array.name: array for array in accelerator.arrays}
        self.array_of = {k: str(x.axis).rsplit(".", 1)[0] for k, x in enumerate(self.loops) if x.axis is not None}
        self._rows: dict[tuple[str, ...], tuple[Integers, Integers]] = {}
        self.tables: list[tuple[Integers, Integers]] = []
        self._numbers: dict[Any, int] = {}
        self.zero: list[list[bool]] = []
        # groups of terms that are counted together, each with its loops
        self.terms: list[Terms] = []
        self.loops_of: list[list[int]] = []
        self._groups: dict[Terms, int] = {}
        self._of_tensor: dict[str, list[int]] = {}

    def rows(self, dims: tuple[str, ...]) -> tuple[Integers, Integers]:
        """Distinct rows of bounds over the loops of some dims, and for every mapping which of them it has."""
        if dims not in self._rows:
            columns = [k for d in dims for k in self.of_dim[d]]
            which, first = np.zeros(self.size, dtype=np.int64), np.zeros(1, dtype=np.int64)
            for k in columns:
                column = self.columns[k].astype(np.int64, copy=False)
                which, first = _distinct(which * (int(column.max(initial=0)) + 1) + column)
            self._rows[dims] = np.ascontiguousarray(self.columns[columns][:, first].T), which
        return self._rows[dims]

    def table(self, function: Sums, group: int, parts: Parts) -> int:
        """The number of the table with both sums of a rank, (2, distinct rows), and each mapping's row in it."""
        key = (function, group, *[parts[k] for k in self.loops_of[group]])
        if key not in self._numbers:
            terms = self.terms[group]
            distinct, which = self.rows(tuple(dim for dim, _ in terms))
            of_dim = tuple((c, self.layer.dims[d], tuple(parts[k] for k in self.of_dim[d])) for d, c in terms)
            if self.number is object:
                sums = _sums(function, of_dim, distinct.tolist())
            else:
                sums = _remembered_sums(function, of_dim, distinct.tobytes(), len(distinct))
            self._numbers[key] = len(self.tables)
            self.tables.append((sums, which))
            self.zero.append([not sums[0].any(), not sums[1].any()])
        return self._numbers[key]

    def product(self, function: Sums, groups: list[int], parts: Parts, which: int) -> Amount:
        """The product over ranks of one of their two sums, as a formula; empty where it is zero for all mappings."""
        numbers = [self.table(function, group, parts) for group in groups]
        if any(self.zero[n][which] for n in numbers):
            return Formula()
        return Formula({tuple([(n, which) for n in numbers]): 1})

    def constant(self, number: int) -> Amount:
        """A number that is the same for all mappings."""
        return Formula({(): number})

    def group(self, terms: Terms) -> int:
        """The number of a group of terms."""
        if terms not in self._groups:
            self._groups[terms] = len(self.terms)
            self.terms.append(terms)
            self.loops_of.append([k for d, _ in terms for k in self.of_dim[d]])
        return self._groups[terms]

    def groups(self, tensor: Tensor) -> list[int]:
        """The ranks of a tensor, and each dim it does not have as a rank of coefficient 0."""
        if tensor.name not in self._of_tensor:
            own, dims = [tuple(rank.terms) for rank in tensor.ranks], tensor.dims
            own += [((d, 0),) for d in DIMS if d not in dims and self.of_dim[d]]
            self._of_tensor[tensor.name] = [self.group(terms) for terms in own]
        return self._of_tensor[tensor.name]


class _One(_Batch):
    """One mapping: what is a formula for many is a number here."""

    def __init__(self, layer: Layer, accelerator: Accelerator, nest: tuple[Loop | Storage, ...], bounds: Integers):
        super().__init__(layer, accelerator, nest, bounds)
        self.bounds: list[int] = bounds[0].tolist()
        self._sums: dict[Any, tuple[int, int]] = {}

    def product(self, function: Sums, groups: list[int], parts: Parts, which: int) -> Amount:
        """The product over ranks of one of their two sums."""
        total, known, loops_of = 1, self._sums, self.loops_of
        for group in groups:
            key = (function, group, *[parts[k] for k in loops_of[group]])
            sums = known.get(key)
            if sums is None:
                chains = [(c, d, [(self.bounds[k], parts[k]) for k in self.of_dim[d]]) for d, c in self.terms[group]]
                sums = function(tuple([(c, self.layer.dims[d], _merged(chain)) for c, d, chain in chains]))
                known[key] = sums
            total *= sums[which]
            if total == 0:
                break
        return total

    def constant(self, number: int) -> Amount:
        """The number itself."""
        return number


DimParts = tuple[tuple[int, int, tuple[int, ...]], ...]
"""Per dim of a rank: coefficient, size, and the parts of its loops."""


def _sums(function: Sums, dims: DimParts, rows: list[list[int]]) -> Integers:
    """Both sums of a rank for each row of loop bounds (the loops of its first dim, then of its second, ...)."""
    found = []
    for row in rows:
        left = iter(row)
        found.append(
            function(tuple((c, size, _merged([(next(left), part) for part in parts])) for c, size, parts in dims))
        )
    return np.array(found, dtype=object).reshape(-1, 2).T


@lru_cache(maxsize=1 << 10)
def _remembered_sums(function: Sums, dims: DimParts, rows: bytes, count: int) -> Integers:
    """`_sums` in int64, remembered between batches, which mostly ask for the same chains of bounds."""
    return _sums(function, dims, np.frombuffer(rows, dtype=np.int64).reshape(count, -1).tolist()).astype(np.int64)


def _distinct(codes: Integers) -> tuple[Integers, Integers]:
    """Numbers 0.. for equal codes, and the first row of each; by a table where that is cheaper than sorting."""
    top = int(codes.max(initial=0)) + 1
    if top > 8 * len(codes) + 1024:
        _, first, which = np.unique(codes, return_index=True, return_inverse=True)
        return which.reshape(-1), first
    seen = np.full(top, -1, dtype=np.int64)
    seen[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    present = np.flatnonzero(seen >= 0)
    number = np.zeros(top, dtype=np.int64)
    number[present] = np.arange(len(present))
    return number[codes], seen[present]


def _merged(loops: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Loops without those of bound 1, neighbours of the same part joined (OWN stays alone)."""
    merged: list[tuple[int, int]] = []
    for bound, part in loops:
        if bound == 1 and part != OWN:
            continue
        if merged and merged[-1][1] == part != OWN:
            merged[-1] = (merged[-1][0] * bound, part)
        else:
            merged.append((bound, part))
    return tuple(merged)


@dataclass(frozen=True)
class _Boundary:
    """A tensor between the memory marked at nest position `parent` and the one at `child` (the end: compute unit)."""

    batch: _Batch
    tensor: Tensor
    parent: int
    child: int

    @cached_property
    def cache(self) -> dict[Any, Amount]:
        """Arrivals already counted, by the parts of the spatial loops."""
        return {}

    @property
    def crossed(self) -> list[str]:
        """Arrays between parent and child, outer to inner."""
        names = [level.name for level in self.batch.accelerator.levels]
        first = names.index(self.memory(self.parent) or "")
        inner = self.memory(self.child)
        last = names.index(inner) if inner else len(names)
        return [name for name in self.batch.arrays if first < names.index(name) < last]

    def memory(self, position: int) -> str | None:
        """The memory marked at a nest position, None at the end."""
        item = self.batch.nest[position : position + 1]
        return item[0].memory if item and isinstance(item[0], Storage) else None

    def part(self, k: int, alone: list[str]) -> int:
        """The part of a spatial loop: inside the child, counted for each instance, shared or passed on."""
        position, name = self.batch.positions[k], self.batch.array_of[k]
        if position > self.child:
            return INSIDE
        if position < self.parent or name in alone:
            return FREE
        return _sharing(self.batch.arrays[name], self.tensor.role)

    def arrivals(self, alone: list[str]) -> Amount:
        """Words taken up, one for each group of instances that share it; along `alone` arrays nothing is shared."""
        batch = self.batch
        parts = [INSIDE] * len(batch.loops)
        for k in batch.active:
            if k in batch.array_of:
                parts[k] = self.part(k, alone)
            elif batch.positions[k] < self.child:
                parts[k] = FREE
        key = tuple(parts)
        if key in self.cache:
            return self.cache[key]
        groups = batch.groups(self.tensor)
        total = batch.product(held_and_kept, groups, parts, 0)
        if self.child < len(batch.nest):
            # which loop has just advanced, from the innermost outward: those inside it start again
            for k in reversed([k for k in batch.active if k not in batch.array_of and parts[k] == FREE]):
                parts[k] = OWN
                total = _less(total, batch.product(held_and_kept, groups, parts, 1))
                parts[k] = RESET
        self.cache[key] = total
        return total

    def visits(self, inside: int) -> tuple[Amount, Amount]:
        """Pairs of instance and output touched, and outputs that one instance does alone (loops outside `inside`)."""
        parts = [INSIDE] * len(self.batch.loops)
        for k in self.batch.array_of:
            if self.batch.positions[k] < inside:
                parts[k] = FREE
        groups = self.batch.groups(self.tensor)
        return self.batch.product(visited, groups, parts, 0), self.batch.product(visited, groups, parts, 1)

    def counts(self) -> Iterator[tuple[Key, Amount]]:
        """Everything that crosses, by key."""
        outer, inner = self.memory(self.parent) or "", self.memory(self.child)
        name, crossed, shared = self.tensor.name, self.crossed, self.arrivals([])
        if self.tensor.role != "output":
            yield (outer, "read", name), shared
            for n, array in enumerate(crossed):
                yield (array, "transfer", name), self.arrivals(crossed[: n + 1])
            if inner is not None:
                yield (inner, "fill", name), self.arrivals(crossed)
            return
        pairs, done = self.visits(self.parent)
        back = _less(shared, pairs)
        yield (outer, "write", name), done
        yield (outer, "write", PARTIAL), _less(shared, done)
        yield (outer, "read", PARTIAL), back
        spread = [(self.batch.positions[k], array) for k, array in self.batch.array_of.items()]
        for n, array in enumerate(crossed):
            last = max((i for i, a in spread if i < self.parent or a in crossed[: n + 1]), default=-1)
            up, done = self.arrivals(crossed[: n + 1]), self.visits(last + 1)[1]
            yield (array, "transfer", name), done
            yield (array, "transfer", PARTIAL), _less(_less(up, done), back, -1)
        if inner is not None:
            up, done = self.arrivals(crossed), self.visits(self.child)[1]
            yield (inner, "drain", name), done
            yield (inner, "drain", PARTIAL), _less(up, done)
            yield (inner, "fill", PARTIAL), back


def _sharing(array: Array, role: str) -> int:
    if role == "output":
        return SHARED if array.reduction else FREE
    if role in array.forwarding:
        return PASSED
    return SHARED if role in array.multicast else FREE


def _less(amount: Any, other: Any, times: int = 1) -> Amount:
    """`amount - times * other`, without what cancels."""
    if isinstance(amount, int):
        return int(amount - times * other)
    result = Formula(amount)
    for product, n in other.items():
        result[product] -= times * n
    return Formula({product: n for product, n in result.items() if n})


def _formulas(batch: _Batch) -> dict[Key, Any]:
    """The amount of every count and, under STEPS, of the steps."""
    found: dict[Key, Amount] = {}
    for tensor in batch.layer.tensors:
        marks = [i for i, item in enumerate(batch.nest) if isinstance(item, Storage) and item.tensor == tensor.name]
        for parent, child in zip(marks, [*marks[1:], len(batch.nest)], strict=True):
            for key, formula in _Boundary(batch, tensor, parent, child).counts():
                found[key] = _less(found[key], formula, -1) if key in found else formula
    parts = [INSIDE if k in batch.array_of else FREE for k in range(len(batch.loops))]
    found[STEPS] = batch.product(held_and_kept, [batch.group(((d, 0),)) for d in DIMS if batch.of_dim[d]], parts, 0)
    operations = batch.layer.macs + batch.layer.ops
    found[batch.accelerator.compute.name, batch.layer.unit, UNIT] = batch.constant(operations)
    return found


def _evaluate(batch: _Batch, formulas: dict[Key, Any], rows: slice) -> dict[Key, Integers]:
    """Every formula for some of the mappings; each factor and product is looked up or multiplied out once."""
    factors: dict[Factor, Integers] = {}
    products: dict[tuple[Factor, ...], Integers] = {}
    size = len(range(batch.size)[rows])
    products[()] = np.ones(size, dtype=batch.number)

    def product(wanted: tuple[Factor, ...]) -> Integers:
        if wanted not in products:
            for factor in wanted:
                if factor not in factors:
                    table, which = batch.tables[factor[0]]
                    factors[factor] = table[factor[1]][which[rows]]
            value = factors[wanted[0]]
            for factor in wanted[1:]:
                value = value * factors[factor]
            products[wanted] = value
        return products[wanted]

    result = {}
    for key, formula in formulas.items():
        total: Integers = np.zeros(size, dtype=batch.number)
        for wanted, n in formula.items():
            total += product(wanted) if n == 1 else n * product(wanted)
        result[key] = total
    return result
