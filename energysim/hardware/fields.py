"""What an accelerator file may say: one description of fields for the reader and for the JSON Schema."""

from dataclasses import replace
from typing import Any

from energysim.hardware.accelerator import CODEBOOK, PRODUCTS, STYLES, TIERS
from energysim.yaml_fields import (
    NAME,
    Either,
    Field,
    Flag,
    Integer,
    ListOf,
    MapOf,
    Number,
    Record,
    Tagged,
    Text,
    json_schema,
)

ROLES = ("weight", "input", "output")
DIMS = ("N", "G", "M", "C", "P", "Q", "R", "S", "D", "T")
CODINGS = ("dense", "run_length", "bitmap", "relative_index")

UNLIMITED = "unlimited"
ANY = "any"

_ROLE = Text(choices=ROLES)
_ROLES = ListOf(_ROLE, unique=True)
_POSITIVE = Number(exclusive=True)
_UP_TO = Either((_POSITIVE, Text(choices=(UNLIMITED,))))

_SOURCE = Field(Text(), "who says so: a key of 'sources', or the citation itself")
_TIER = Field(Text(choices=TIERS), "how far the number can be trusted, best first")
_PJ = Field(Number(), "energy in picojoules; 0 must be meant, and have its source, like any other")
PER = ("operation", "full_adder")
_PER = Field(Text(choices=PER), "the price is for one operation, or for each full adder that it takes", PER[0])
OPERATION = Record("price", {"pj": _PJ, "per": _PER, "source": _SOURCE, "tier": _TIER})
_PER_BITS = Field(
    Either((Integer(1), Text(choices=(ANY,)))),
    "the price is for so many bits; 'any': for one element, however wide",
)
ACCESS = Record("price", {"pj": _PJ, "per_bits": _PER_BITS, "source": _SOURCE, "tier": _TIER})


def _energies(title: str, price: Record, required: dict[str, str], optional: dict[str, str]) -> Record:
    """Prices by action; which ones are missing is for the reader to say, since defaults may be allowed."""
    fields = {action: Field(price, about, None) for action, about in (required | optional).items()}
    return Record(title, fields)


_READ_WRITE = {"read": "reading", "write": "writing"}
_BY_ROLE = MapOf(_energies("price by role", ACCESS, {}, _READ_WRITE), keys=_ROLE)
_MEMORY_ENERGY = _energies("memory energy", ACCESS, _READ_WRITE, {})
_MEMORY_ENERGY = replace(
    _MEMORY_ENERGY,
    fields={**_MEMORY_ENERGY.fields, "by_role": Field(_BY_ROLE, "prices of single roles, before the general ones", {})},
)
_ARRAY_ENERGY = _energies("array energy", ACCESS, {"transfer": "one word to or from one instance below"}, {})
_COMPUTE_ENERGY = _energies(
    "compute energy",
    OPERATION,
    {"mac": "one multiply-accumulate", "op": "one plain operation (compare, add)"},
    {
        "gated": "one multiply-accumulate suppressed by a zero; nothing when not given",
        "multiply": "one multiplication alone, where products are shared",
        "add": "one accumulation alone, where products are shared",
    },
)

ACTIONS = ("read", "write", "transfer", "mac", "op", "gated", "multiply", "add")
REQUIRED_ACTIONS = {"memory": ("read", "write"), "array": ("transfer",), "compute": ("mac", "op")}

_MEMORY = Record(
    "memory",
    {
        "memory": Field(NAME, "name of this storage level"),
        "capacity_bits": Field(
            Either((Integer(1), Text(choices=(UNLIMITED,)))), "what one instance holds in all, partitions included"
        ),
        "partition_bits": Field(MapOf(Integer(1), keys=_ROLE), "parts of the capacity that belong to one role", {}),
        "keeps": Field(replace(_ROLES, minimum_items=1), "roles held here; others pass by"),
        "bypassable": Field(_ROLES, "kept roles that a mapping may also send past", []),
        "word_bits": Field(Integer(1, 1 << 20), "width of one access"),
        "read_bits_per_cycle": Field(_UP_TO, "per instance"),
        "write_bits_per_cycle": Field(_UP_TO, "per instance"),
        "shared_port": Field(Flag(), "whether reads and writes share one port", True),
        "codings": Field(MapOf(Text(choices=CODINGS), keys=_ROLE), "how a role is coded while it rests here", {}),
        "energy": Field(_MEMORY_ENERGY, "prices of its actions", {}),
    },
)
_AXIS = Record(
    "axis",
    {
        "size": Field(Integer(1, 1 << 20), "instances in this direction"),
        "dims": Field(
            Either((ListOf(Text(choices=DIMS), unique=True), Text(choices=(ANY,)))), "dims spread on it", ANY
        ),
    },
)
_ARRAY = Record(
    "array",
    {
        "array": Field(NAME, "name of this fan-out"),
        "axes": Field(MapOf(_AXIS, minimum_items=1), "directions, by name"),
        "multicast": Field(_ROLES, "roles of which one read from above serves all instances that need the word"),
        "forwarding": Field(_ROLES, "roles that instances pass on to each other from step to step", []),
        "reduction": Field(Flag(), "whether partial sums of instances are added on the way up"),
        "energy": Field(_ARRAY_ENERGY, "price of a transfer", {}),
    },
)
_COMPUTE = Record(
    "compute",
    {
        "name": Field(NAME, "name of the unit", "mac"),
        "bits": Field(Integer(1, 64), "the widest operand it takes; any when not given", None),
        "gates": Field(
            ListOf(Text(choices=("weight", "input")), unique=True), "roles whose zeros suppress the operation", []
        ),
        "skips": Field(
            ListOf(Text(choices=("weight", "input")), unique=True), "roles whose zeros take no time either", []
        ),
        "energy": Field(_COMPUTE_ENERGY, "prices of its operations", {}),
    },
)
_TABLE_ENERGY = _energies("table energy", ACCESS, {}, _READ_WRITE)
_SHARING = Record(
    "sharing",
    {
        "style": Field(Text(choices=STYLES), "storage: weights are looked up; product: products are shared"),
        CODEBOOK: Field(
            Record(
                "codebook",
                {
                    "memory": Field(
                        NAME, "the innermost memory that holds indices; weights are looked up on leaving it"
                    ),
                    "table_bits": Field(
                        Integer(1), "a table of its own per instance; else it lies in the memory", None
                    ),
                    "energy": Field(_TABLE_ENERGY, "prices of its own table", {}),
                },
            ),
            "where centroids lie",
        ),
        PRODUCTS: Field(
            Record(
                "products",
                {
                    "words": Field(Integer(1, 1 << 20), "products that one compute unit holds"),
                    "energy": Field(_TABLE_ENERGY, "prices of one product", {}),
                },
            ),
            "the buffer of products, for style product",
            None,
        ),
    },
)
ACCELERATOR = Record(
    "accelerator",
    {
        "source": Field(Text(), "where this description comes from"),
        "name": Field(Text(), "name of the accelerator; the file's name when not given", None),
        "sources": Field(MapOf(Text()), "citations, by the key under which prices refer to them", {}),
        "technology_nm": Field(_POSITIVE, "process node", None),
        "clock_hz": Field(_POSITIVE, "the clock of all cycles in this file"),
        "defaults": Field(Text(choices=("refused", "allowed")), "whether missing prices may be estimated", "refused"),
        "idle_power": Field(
            Record("idle power", {"watts": Field(Number(), "W"), "source": _SOURCE, "tier": _TIER}),
            "power that flows whatever happens",
        ),
        "levels": Field(
            ListOf(Tagged({"memory": _MEMORY, "array": _ARRAY}), minimum_items=1),
            "memories and arrays, outermost first",
        ),
        "compute": Field(_COMPUTE, "the unit at the end"),
        "sharing": Field(_SHARING, "how weights with a codebook run; expanded before they come when not given", None),
        "coded_to": Field(NAME, "innermost memory where tensors rest coded; the outermost when not given", ""),
    },
)


def accelerator_schema() -> dict[str, Any]:
    """The draft-07 JSON Schema of an accelerator file, for editors; prices are required unless defaults are allowed."""
    level = {"if": {"required": ["memory"]}, "then": _priced_memory(), "else": _priced("array")}
    return json_schema(ACCELERATOR, "energysim accelerator") | {
        "if": {"properties": {"defaults": {"const": "allowed"}}, "required": ["defaults"]},
        "else": {"properties": {"levels": {"items": level}, "compute": _priced("compute")}},
    }


def _priced(kind: str) -> dict[str, Any]:
    """That every action of an array or of the compute unit has its price."""
    return {"required": ["energy"], "properties": {"energy": {"required": list(REQUIRED_ACTIONS[kind])}}}


def _priced_memory() -> dict[str, Any]:
    """That every role a memory keeps has a price for each action: its own or the general one."""
    rules = []
    for role in ROLES:
        for action in REQUIRED_ACTIONS["memory"]:
            of_role = {"required": [role], "properties": {role: {"required": [action]}}}
            own = {"required": ["by_role"], "properties": {"by_role": of_role}}
            energy = {"anyOf": [{"required": [action]}, own]}
            kept = {"properties": {"keeps": {"contains": {"const": role}}}}
            rules.append({"if": kept, "then": {"required": ["energy"], "properties": {"energy": energy}}})
    return {"allOf": rules}
