"""The nouns of hardware: facts only, outer to inner. Prices live in the `EnergyTable`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from math import prod
from types import MappingProxyType

TIERS = ("measured", "published", "table", "default")
"""How far a price can be trusted, best first."""


@dataclass(frozen=True, slots=True)
class Memory:
    """A storage level. `capacity_bits` None is unbounded; `partitions` gives a role its own capacity.

    `keeps`: roles held here whenever the mapping marks them; a role that is not kept passes by. `bypassable`: kept
    roles that a mapping may also send past. `codings`: role to the encoding in which it rests here.
    `read_bits_per_cycle`/`write_bits_per_cycle` are per instance, None is unlimited; one shared port when
    `shared_port`. `word_bits` is the width of one access.
    """

    name: str
    capacity_bits: int | None
    keeps: frozenset[str]
    word_bits: int
    partitions: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    bypassable: frozenset[str] = frozenset()
    read_bits_per_cycle: float | None = None
    write_bits_per_cycle: float | None = None
    shared_port: bool = True
    codings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def part(self, role: str) -> str:
        """The partition that a role's tiles lie in: its own, named after it, or "", which the other roles share."""
        return role if role in self.partitions else ""

    def part_bits(self, part: str) -> int | None:
        """What a partition holds in bits, None without bound."""
        return self.partitions[part] if part else self.capacity_bits

    def __reduce__(self) -> tuple[object, ...]:
        values = (getattr(self, each.name) for each in fields(self))
        return (Memory, tuple(dict(value) if isinstance(value, Mapping) else value for value in values))

    def __hash__(self) -> int:
        return hash((self.name, self.capacity_bits, self.keeps, self.word_bits))


@dataclass(frozen=True, slots=True)
class Axis:
    """One direction of an array: `size` instances; `dims` may be spread on it (None: any)."""

    name: str
    size: int
    dims: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Array:
    """A fan-out between the level above and the levels below.

    `multicast`: roles of which one parent read serves all instances that need the word at the same moment.
    `forwarding`: roles that instances also pass on: a word that another one held one step before is not read again.
    `reduction`: whether instances that add into one output are summed on the way, so the parent is written once.
    """

    name: str
    axes: tuple[Axis, ...]
    multicast: frozenset[str] = frozenset({"weight", "input"})
    forwarding: frozenset[str] = frozenset()
    reduction: bool = True

    @property
    def fan_out(self) -> int:
        """Instances below, for each one above."""
        return prod(axis.size for axis in self.axes)


@dataclass(frozen=True, slots=True)
class Compute:
    """The unit at the end: one operation per cycle and instance. `gates`: tensors whose zeros suppress the operation.

    A MAC whose gated operand is zero is not done, and no operand is read for it: energy is saved, time is not. Zeros of
    `skips` save the time as well. `bits`: the widest operand it takes (None: any).
    """

    name: str = "mac"
    gates: frozenset[str] = frozenset()
    bits: int | None = None
    skips: frozenset[str] = frozenset()


CODEBOOK, PRODUCTS = "codebook", "products"
"""Names of two components that only shared weights use: a table of centroids, and a buffer of products."""

STYLES = ("storage", "product")
"""Ways to execute shared weights (METHODS, section 5)."""


@dataclass(frozen=True, slots=True)
class Sharing:
    """How weights that have a codebook are executed.

    `style` "storage": indices travel, and each weight is looked up where it leaves `memory`, the innermost one that
    holds indices. "product": moreover a compute unit multiplies each centroid with an input once per tile and
    accumulates what the indices name, out of a buffer of `products` words of its own. The codebook lies in a table of
    `table_bits` beside each instance of `memory`; where that is None, in the memory itself, in the room of its weights.
    """

    style: str
    memory: str
    table_bits: int | None = None
    products: int = 0


@dataclass(frozen=True, slots=True)
class Accelerator:
    """A hierarchy, outermost first: `levels` are memories and arrays, then `compute`.

    `clock_hz` is the clock that `latency_cycles` and all bits_per_cycle refer to. `sharing` None: weights with a
    codebook are expanded before they come here. `coded_to` is the innermost memory in which tensors rest as they are
    coded ("": the outermost). `memories` and `arrays` are the levels of each kind; `order` is the place of each by name.
    """

    name: str
    source: str
    levels: tuple[Memory | Array, ...]
    compute: Compute
    clock_hz: float
    technology_nm: float | None = None
    sharing: Sharing | None = None
    coded_to: str = ""
    memories: tuple[Memory, ...] = field(init=False, repr=False, compare=False)
    arrays: tuple[Array, ...] = field(init=False, repr=False, compare=False)
    order: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        derived = {
            "memories": tuple(level for level in self.levels if isinstance(level, Memory)),
            "arrays": tuple(level for level in self.levels if isinstance(level, Array)),
            "order": {level.name: i for i, level in enumerate(self.levels)},
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    def instances(self, name: str) -> int:
        """How many instances of a level (or of the compute unit) there are."""
        total = 1
        for level in self.levels:
            if level.name == name:
                return total
            if isinstance(level, Array):
                total *= level.fan_out
        return total


@dataclass(frozen=True, slots=True)
class Price:
    """pJ for one `action`: per access of `width_bits`, or per operation when `width_bits` is None.

    `per_full_adder` (operations): for each full adder that the operation takes (DeepK §3) at its operands' bits.
    """

    pj: float
    source: str
    tier: str
    width_bits: int | None = None
    per_full_adder: bool = False


@dataclass(frozen=True, slots=True)
class EnergyTable:
    """Prices by (component, action, role); role "*" prices every role without its own. Idle power is in watts.

    Actions: memories `read`, `write`; arrays `transfer`; compute `mac`, `op`, `gated`, and for product sharing
    `multiply` and `add`; `codebook` and `products`, where there are such, `read` and `write`.
    """

    prices: Mapping[tuple[str, str, str], Price]
    idle_power_w: float = 0.0
    idle_power_source: str = ""
    idle_power_tier: str = "default"

    def __reduce__(self) -> tuple[object, ...]:
        idle = (self.idle_power_w, self.idle_power_source, self.idle_power_tier)
        return (EnergyTable, (dict(self.prices), *idle))

    def price(self, component: str, action: str, role: str) -> Price | None:
        """The price of an action for a role, or None when the table has none."""
        return self.prices.get((component, action, role)) or self.prices.get((component, action, "*"))

    def scaled(self, factor: float) -> "EnergyTable":
        """The same table with every price multiplied, idle power included."""
        scaled = {key: replace(price, pj=price.pj * factor) for key, price in self.prices.items()}
        return EnergyTable(scaled, self.idle_power_w * factor, self.idle_power_source, self.idle_power_tier)


def level_names(levels: Iterable[Memory | Array]) -> tuple[str, ...]:
    """Names of levels, in order."""
    return tuple(level.name for level in levels)
