"""One search problem: a layer, an accelerator and one choice of what is bypassed, with its lattice and its prices."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from energysim.costs.latency import cycles_per_step, preload_cycles, static_energy_pj
from energysim.costs.prices import active_share, timed_share, unit_prices
from energysim.errors import InputError
from energysim.hardware.accelerator import PRODUCTS, Accelerator, Array, EnergyTable, Memory
from energysim.mapping.constraints import Constraints
from energysim.mapping.counted import LOOK_UP, PARTIAL, PRODUCT, UNIT, Counts, Key
from energysim.mapping.distinct import Products, products
from energysim.mapping.nest import Mapping, bits_of, codebook_bits, even
from energysim.mapping.search_space import Lattice, Numbers, spreadable
from energysim.mapping.sharing import additions, preload, shared_weight, table_of
from energysim.mapping.tilings import DimRules, gaps, rules
from energysim.workload.layer import DIMS, Layer, Tensor


@dataclass(frozen=True, slots=True)
class Boundary:
    """A tensor between memory number `parent` and level number `child` (the number of memories: the compute unit).

    pJ per word: `up` for each merged arrival at the parent (for outputs with the read-back that follows it), `into`
    for each arrival at the child, `first` for each (parent instance, output) pair, whose first visit reads nothing,
    `crossing` by array. `last`: what a finished output costs more than a partial sum at the parent, each array crossed
    and the child, in this order.
    """

    tensor: Tensor
    parent: int
    child: int
    up: float
    into: float
    first: float
    last: tuple[float, ...]
    crossing: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Problem:
    """Levels are numbered from the outermost memory, 0, to the compute unit, `levels`; gap c lies outside level c."""

    layer: Layer
    accelerator: Accelerator
    table: EnergyTable
    constraints: Constraints
    bypass: tuple[tuple[str, frozenset[str]], ...]
    lattice: Lattice

    @cached_property
    def memories(self) -> tuple[Memory, ...]:
        """Memories, outermost first."""
        return self.accelerator.memories

    @property
    def levels(self) -> int:
        """Number of memories, which is also the number of the compute unit."""
        return len(self.memories)

    @cached_property
    def gaps(self) -> tuple[tuple[Array, ...], ...]:
        """Arrays directly outside each level (none outside level 0), their axes as the constraints leave them."""
        return tuple(tuple(self.constraints.array(array) for array in gap) for gap in gaps(self.accelerator))

    def keeps(self, level: int, tensor: Tensor) -> bool:
        """Whether a memory holds a tensor under this choice of bypasses."""
        memory = self.memories[level]
        return tensor.role in memory.keeps and tensor.name not in dict(self.bypass).get(memory.name, frozenset())

    @cached_property
    def stationary(self) -> tuple[Tensor, int] | None:
        """The tensor that the dataflow keeps still and the level of its innermost memory, None without one."""
        tensor = self.layer.tensor(self.constraints.stationary or "")
        if tensor is None:
            return None
        return tensor, max(level for level in range(self.levels) if self.keeps(level, tensor))

    @cached_property
    def boundaries(self) -> tuple[Boundary, ...]:
        """Every boundary of every tensor with its prices; an action without a price costs nothing here."""
        found = []
        for tensor in self.layer.tensors:
            kept = [level for level in range(self.levels) if self.keeps(level, tensor)]
            for parent, child in zip(kept, [*kept[1:], self.levels], strict=True):
                found.append(self._boundary(tensor, parent, child))
        return tuple(found)

    def pj(self, component: str, action: str, tensor: str) -> float:
        """pJ of one counted element, 0 where the table has no price."""
        key = (component, action, tensor)
        if key not in self._known_pj:
            self._known_pj.update(self._priced([key]) or {key: 0.0})
        return self._known_pj[key]

    def _priced(self, keys: list[Key]) -> dict[Key, float]:
        """Prices of some keys, none where one has no price."""
        try:
            parts = self.layer, self.accelerator, self.table, self._marks
            return unit_prices(*parts, keys, self.products is not None)
        except InputError:
            return {}

    @cached_property
    def _known_pj(self) -> dict[Key, float]:
        """Prices found so far; the same for all choices of bypasses unless gating looks at what is kept."""
        gated = active_share(self.layer, self.accelerator) < 1.0 or self.products is not None
        remembered = {} if gated else self.lattice.remembered
        if ("pj", id(self.table)) not in remembered:
            names = [tensor.name for tensor in self.layer.tensors] + [PARTIAL]
            places = [
                (memory.name, action) for memory in self.memories for action in ("read", "write", "fill", "drain")
            ]
            places += [(array.name, "transfer") for array in self.accelerator.arrays]
            # all at once where all have a price
            every = [(place, action, name) for place, action in places for name in names]
            remembered["pj", id(self.table)] = self._priced(every)
        found: dict[Key, float] = remembered["pj", id(self.table)]
        return found

    @cached_property
    def _marks(self) -> Mapping:
        """A mapping without loops: prices depend on what is kept where, not on loops."""
        return even(self.accelerator, self.layer, {}, dict(self.bypass))

    def _boundary(self, tensor: Tensor, parent: int, child: int) -> Boundary:
        outer = self.memories[parent].name
        inner = self.memories[child].name if child < self.levels else None
        crossed = [array.name for gap in self.gaps[parent + 1 : child + 1] for array in gap]
        if tensor.role != "output":
            crossing = tuple((a, self.pj(a, "transfer", tensor.name)) for a in crossed)
            into = self.pj(inner, "fill", tensor.name) if inner else 0.0
            up = self.pj(outer, "read", tensor.name) + self._look_up(tensor, outer)
            if self.products and inner is None and tensor.role == "input":
                # read for each multiplication, of which the tile decides how many there are (`tile_pj`)
                up = 0.0
            return Boundary(tensor, parent, child, up, into, 0.0, (), crossing)
        crossing = tuple((a, self.pj(a, "transfer", PARTIAL)) for a in crossed)
        back = self.pj(outer, "read", PARTIAL) + sum(price for _, price in crossing)
        last = [self.pj(outer, "write", tensor.name) - self.pj(outer, "write", PARTIAL)]
        last += [self.pj(a, "transfer", tensor.name) - price for a, price in crossing]
        into = 0.0
        if inner:
            back += self.pj(inner, "fill", PARTIAL)
            into = self.pj(inner, "drain", PARTIAL)
            last.append(self.pj(inner, "drain", tensor.name) - into)
        up = self.pj(outer, "write", PARTIAL) + back
        if self.products and inner is None:
            up *= self.products.accumulations / self.layer.points
        return Boundary(tensor, parent, child, up, into, -back, tuple(last), crossing)

    @cached_property
    def products(self) -> Products | None:
        """How products are shared, None where they are not."""
        return products(self.layer, self.accelerator)

    def _look_up(self, tensor: Tensor, outer: str) -> float:
        """pJ of looking up a weight that leaves its codebook's memory; shared products do so when they multiply."""
        shared = shared_weight(self.layer, self.accelerator)
        if shared is None or shared[0] != tensor or shared[2].memory != outer or self.products:
            return 0.0
        return self.pj(table_of(shared[2]), LOOK_UP, tensor.name)

    @cached_property
    def compute_pj(self) -> float:
        """pJ of all operations that no mapping changes, and of the codebook's way to its places."""
        moved = Counts(dict(preload(self.layer, self.accelerator)), 0)
        before = sum(n * self.pj(*key) for key, n in moved.values.items())
        before += self.idle_pj_per_step * preload_cycles(self.layer, self.accelerator, moved)
        unit = self.accelerator.compute.name
        if self.products is None:
            return before + self.pj(unit, self.layer.unit, UNIT) * (self.layer.macs + self.layer.ops)
        added = self.products.accumulations * self.pj(PRODUCTS, "read", PRODUCT)
        return before + added + additions(self.products, 0) * self.pj(unit, "add", UNIT)

    @cached_property
    def cycles_per_step(self) -> float:
        """Cycles of a compute unit for one point, at least."""
        if self.products is None:
            return cycles_per_step(self.layer, self.accelerator, Counts({}, 0))
        least = int(self._product_table[0].min()) * timed_share(self.layer, self.accelerator)
        return (least + self.products.accumulations) / self.layer.points

    @cached_property
    def tile_pj(self) -> Numbers | None:
        """pJ that the tile of the innermost memory alone decides, over the lattice: shared multiplications."""
        if self.products is None:
            return None
        shared = shared_weight(self.layer, self.accelerator)
        weight, block, unit = self.products.weight.name, self.products.block, self.accelerator.compute.name
        source = next(t.name for t in self.layer.tensors if t.role == "input")
        each = self.pj(unit, "multiply", UNIT) + self.pj(self.memories[-1].name, "read", source)
        each += self.pj(table_of(shared[2]), LOOK_UP, weight) if shared else 0.0
        once = self.pj(PRODUCTS, "write", PRODUCT) + (block - 1) * self.pj(unit, "add", UNIT)
        pj: Numbers = self._product_table[0] * (each + once / block)
        return pj

    @cached_property
    def _product_table(self) -> tuple[Numbers, Numbers]:
        """Multiplications, and products held at most, by tile of the innermost memory, over the lattice."""
        found, lattice = self.products, self.lattice
        if found is None:
            raise ValueError("no products are shared")
        moving = ["M"] + [d for w in found.windows if w for d in (w.kernel, w.out)]
        axes = [values if d in moving else values[:1] for d, values in zip(lattice.dims, lattice.values, strict=True)]
        shape = tuple(len(axis) for axis in axes)
        table = np.zeros((2, *shape), dtype=np.int64)
        for place in np.ndindex(shape):
            sizes = {d: int(axis[i]) for d, axis, i in zip(lattice.dims, axes, place, strict=True)}
            tile = dict.fromkeys(DIMS, 1) | sizes
            table[(slice(None), *place)] = found.multiplications(tile), found.most(tile)
        multiplied, most = (np.broadcast_to(each, lattice.shape).reshape(-1) for each in table)
        return multiplied, most

    @cached_property
    def idle_pj_per_step(self) -> float:
        """pJ of idle power in one cycle."""
        return static_energy_pj(self.table, 1.0 / self.accelerator.clock_hz)

    def held_bits(self, level: int) -> dict[str, tuple[Numbers, int | None]]:
        """Bits that every tile needs in a memory and what it has: by role with its own partition, "" for the rest."""
        memory = self.memories[level]
        held: dict[str, tuple[Numbers, int | None]] = {}
        for tensor in self.layer.tensors:
            if self.keeps(level, tensor):
                part = memory.part(tensor.role)
                capacity = memory.part_bits(part)
                bits = bits_of(tensor, self.elements[tensor.name], self.accelerator, memory.name)
                held[part] = (held[part][0] + bits if part in held else bits, capacity)
        codebooks = {part: codebook_bits(self.layer, self.accelerator, memory.name, part) for part in held}
        return {part: (bits + codebooks[part], capacity) for part, (bits, capacity) in held.items()}

    @cached_property
    def elements(self) -> dict[str, Numbers]:
        """Elements of each tensor that every tile of the lattice touches."""
        if "elements" not in self.lattice.remembered:
            self.lattice.remembered["elements"] = {t.name: self.lattice.elements(t) for t in self.layer.tensors}
        found: dict[str, Numbers] = self.lattice.remembered["elements"]
        return found

    @cached_property
    def fits(self) -> tuple[Numbers, ...]:
        """For each memory, which tiles fit (bool over the lattice)."""
        remembered = self.lattice.remembered
        found = []
        for level, memory in enumerate(self.memories):
            kept = tuple(tensor.name for tensor in self.layer.tensors if self.keeps(level, tensor))
            key = "fits", id(self.accelerator), memory.name, kept
            if key not in remembered:
                remembered[key] = self._fits(level)
            found.append(remembered[key])
        return tuple(found)

    def _fits(self, level: int) -> Numbers:
        """Which tiles fit in a memory."""
        good = np.ones(self.lattice.size, dtype=bool)
        for bits, capacity in self.held_bits(level).values():
            if capacity is not None:
                good &= bits <= capacity
        sharing = self.accelerator.sharing
        if self.products is not None and sharing is not None and level == self.levels - 1:
            good &= self._product_table[1] <= sharing.products
        return good

    @cached_property
    def spreads(self) -> tuple[tuple[Numbers, ...], ...]:
        """For each gap and array, which tiles can be spread over it."""
        return tuple(tuple(spreadable(self.lattice, array) for array in gap) for gap in self.gaps)

    @cached_property
    def rules(self) -> dict[str, DimRules]:
        """What the constraints say about each dim of the lattice."""
        remembered = self.lattice.remembered
        # of what is bypassed they only ask whether a memory holds anything
        held = [any(self.keeps(level, tensor) for tensor in self.layer.tensors) for level in range(self.levels)]
        key = "rules", id(self.accelerator), tuple(held)
        if key not in remembered:
            parts = self.constraints, self.layer, self.accelerator, self.bypass
            remembered[key] = {dim: rules(*parts, dim) for dim in self.lattice.dims}
        found: dict[str, DimRules] = remembered[key]
        return found

    def allowed(self, level: int) -> tuple[Numbers, ...]:
        """For each dim, which (tile at this level, factors of each array outside it) the constraints allow (bool)."""
        pairs = zip(self.rules.values(), self.lattice.values, strict=True)
        tables = [said.allowed(level, values) for said, values in pairs]
        if self.products is not None and level == self.levels - 1:
            # the tile of the innermost memory cuts no sample
            for n, (d, values) in enumerate(zip(self.lattice.dims, self.lattice.values, strict=True)):
                whole = values % self.products.sample.get(d, 1) == 0
                tables[n] = tables[n] & whole.reshape(-1, *[1] * (tables[n].ndim - 1))
        return tuple(tables)

    @cached_property
    def mirror(self) -> Numbers | None:
        """For every tile the one with rows and columns (P and Q, R and S) exchanged; None where that differs.

        Exchanged throughout, a mapping costs the same if sizes, ranks, axes and constraints know no difference. Samples
        of shared weights do: what products cost depends on where indices stand.
        """
        if self.products is not None:
            return None
        key = "mirror", id(self.accelerator), tuple(self.rules.items())
        if key not in self.lattice.remembered:
            self.lattice.remembered[key] = self._mirror()
        found: Numbers | None = self.lattice.remembered[key]
        return found

    def _mirror(self) -> Numbers | None:
        other = dict(zip("PQRS", "QPSR", strict=True))
        dims, sizes = self.lattice.dims, self.layer.dims

        def swap(names: frozenset[str]) -> frozenset[str]:
            return frozenset(other.get(d, d) for d in names)

        sets = [axis.dims for gap in self.gaps for array in gap for axis in array.axes if axis.dims is not None]
        same = all(sizes[d] == sizes[e] for d, e in other.items()) and all(s == swap(s) for s in sets)
        same = same and all(said == self.rules.get(other.get(d, d)) for d, said in self.rules.items())
        for tensor in self.layer.tensors if same else ():
            ranks = sorted(sorted(rank.terms) for rank in tensor.ranks)
            same = same and ranks == sorted(sorted((other.get(d, d), u) for d, u in r.terms) for r in tensor.ranks)
        if not same:
            return None
        flat = np.arange(self.lattice.size).reshape(self.lattice.shape)
        return flat.transpose([dims.index(other.get(d, d)) for d in dims]).reshape(-1)
