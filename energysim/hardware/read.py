"""Reads an accelerator file into facts and prices, and writes it back, fully resolved."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from os.path import exists
from pathlib import Path
from types import MappingProxyType
from typing import Any

from energysim.errors import InputError, nearest, unknown
from energysim.hardware.accelerator import (
    CODEBOOK,
    PRODUCTS,
    TIERS,
    Accelerator,
    Array,
    Axis,
    Compute,
    EnergyTable,
    Memory,
    Price,
    Sharing,
    level_names,
)
from energysim.hardware.defaults import default_price
from energysim.hardware.fields import ACCELERATOR, ACTIONS, ANY, REQUIRED_ACTIONS, ROLES, UNLIMITED
from energysim.packaged import packaged
from energysim.yaml_fields import NAME, Fields, read_fields
from energysim.yaml_nodes import Node, Problems, dump, load, shown


@dataclass(frozen=True, slots=True)
class DescribedAccelerator:
    """What one file says: the facts and the prices. `file` is where it was read, empty when built in Python."""

    accelerator: Accelerator
    table: EnergyTable
    file: str = ""

    @property
    def name(self) -> str:
        """The accelerator's name."""
        return self.accelerator.name

    @property
    def sha256(self) -> str:
        """Hash of what is said, whatever the file's layout and comments: of the text `to_yaml` gives."""
        from hashlib import sha256

        return sha256(to_yaml(self).encode()).hexdigest()

    @property
    def weakest_tier(self) -> str:
        """The least trusted tier among all prices and the idle power."""
        tiers = {price.tier for price in self.table.prices.values()} | {self.table.idle_power_tier}
        return max(tiers, key=TIERS.index)


def read_accelerator(reference: str | Path) -> DescribedAccelerator:
    """The accelerator of a packaged name or a YAML file.

    Raises UnknownNameError for a name that is neither, InputError (one line with file and line for each mistake) for
    a file that is not sound.
    """
    text = str(reference)
    names = packaged("hw_configs")
    if text in names:
        return parse_accelerator(load(names[text]), text)
    if not Path(text).suffix and "/" not in text and not exists(text):
        raise unknown("accelerator", shown(text), names)
    return parse_accelerator(load(reference), Path(text).stem)


def parse_accelerator(node: Node, name: str) -> DescribedAccelerator:
    """The accelerator that a file's top node describes; `name` serves when the file gives none."""
    fields = read_fields(node, ACCELERATOR)
    problems = Problems(node.file)
    _check_levels(fields, problems)
    accelerator = Accelerator(
        name=fields["name"] or shown(name),
        source=fields["source"],
        levels=tuple(_memory(level) if "memory" in level else _array(level) for level in fields["levels"]),
        compute=_compute(fields["compute"]),
        clock_hz=fields["clock_hz"],
        technology_nm=fields["technology_nm"],
        sharing=_sharing(fields["sharing"]),
        coded_to=fields["coded_to"],
    )
    _check_sharing(fields, accelerator, problems)
    prices = _prices(fields, accelerator, problems)
    idle = fields["idle_power"]
    idle_source = _cited(idle, fields["sources"], problems)
    problems.check()
    table = EnergyTable(MappingProxyType(prices), idle["watts"], idle_source, idle["tier"])
    return DescribedAccelerator(accelerator, table, node.file)


def _memory(fields: Fields) -> Memory:
    partitions = fields["partition_bits"]
    capacity = _limit(fields["capacity_bits"])
    return Memory(
        name=fields["memory"],
        capacity_bits=None if capacity is None else int(capacity) - sum(partitions.values()),
        keeps=frozenset(fields["keeps"]),
        word_bits=fields["word_bits"],
        partitions=MappingProxyType(dict(partitions)),
        bypassable=frozenset(fields["bypassable"]),
        read_bits_per_cycle=_limit(fields["read_bits_per_cycle"]),
        write_bits_per_cycle=_limit(fields["write_bits_per_cycle"]),
        shared_port=fields["shared_port"],
        codings=MappingProxyType(dict(fields["codings"])),
    )


def _limit(value: float | str) -> Any:
    return None if value == UNLIMITED else value


def _array(fields: Fields) -> Array:
    axes = (
        Axis(name, axis["size"], None if axis["dims"] == ANY else frozenset(axis["dims"]))
        for name, axis in fields["axes"].items()
    )
    roles = frozenset(fields["multicast"]), frozenset(fields["forwarding"])
    return Array(fields["array"], tuple(axes), *roles, fields["reduction"])


def _compute(fields: Fields) -> Compute:
    gates, skips = frozenset(fields["gates"]), frozenset(fields["skips"])
    return Compute(fields["name"], gates | skips, fields["bits"], skips)


def _sharing(fields: Fields | None) -> Sharing | None:
    if fields is None:
        return None
    codebook, products = fields[CODEBOOK], fields[PRODUCTS]
    return Sharing(fields["style"], codebook["memory"], codebook["table_bits"], products["words"] if products else 0)


def _check_sharing(fields: Fields, accelerator: Accelerator, problems: Problems) -> None:
    """Codebooks need a memory that always keeps weights; products need it to be the last, right at the compute unit."""
    memories = {memory.name: memory for memory in accelerator.memories}
    if accelerator.coded_to and accelerator.coded_to not in memories:
        problems.add(fields.at("coded_to"), str(unknown("memory", accelerator.coded_to, memories)))
    sharing, said = accelerator.sharing, fields["sharing"]
    if sharing is None:
        return
    where = said[CODEBOOK].at("memory")
    if sharing.memory not in memories:
        problems.add(where, str(unknown("memory", sharing.memory, memories)))
        return
    memory = memories[sharing.memory]
    if "weight" not in memory.keeps or "weight" in memory.bypassable:
        problems.add(where, f"{memory.name} does not always keep weights; the codebook belongs where they are")
    if sharing.table_bits is None and said[CODEBOOK]["energy"]:
        problems.add(
            said[CODEBOOK].at("energy"), f"without table_bits the codebook lies in {memory.name}, at its prices"
        )
    if sharing.style == "storage" and said[PRODUCTS] is not None:
        problems.add(said.at(PRODUCTS), "products belong to style product")
    if sharing.style == "product":
        if said[PRODUCTS] is None:
            problems.add(said.node, "style product needs 'products', the buffer that holds them")
        if accelerator.levels[-1].name != memory.name:
            problems.add(
                where, f"style product needs the codebook in {accelerator.levels[-1].name}, the innermost level"
            )
        if any(role not in memory.keeps - memory.bypassable for role in ROLES):
            problems.add(where, f"style product needs weights, inputs and outputs kept in {memory.name}")
    seen = {level.name for level in (*accelerator.levels, accelerator.compute)} & {CODEBOOK, PRODUCTS}
    for name in sorted(seen):
        problems.add(said.node, f"the name '{name}' is taken by a level; sharing needs it")


def _check_levels(fields: Fields, problems: Problems) -> None:
    """What no single field can say: names that clash, roles that are not kept, partitions larger than the whole."""
    seen: dict[str, int] = {}
    named = [(level, level.get("memory") or level["array"]) for level in fields["levels"]]
    for level, name in [*named, (fields["compute"], fields["compute"]["name"])]:
        if name in seen:
            problems.add(level.node, f"the name '{name}' is taken by the level on line {seen[name]}")
        seen.setdefault(name, level.node.line)
    outermost = fields["levels"][0]
    if "memory" not in outermost or set(outermost["keeps"]) != set(ROLES) or outermost["bypassable"]:
        what = "the outermost level must be a memory that keeps weight, input and output, none bypassable"
        problems.add(outermost.node, what)
    for level, name in named:
        if "memory" in level:
            _check_memory(level, name, problems)


def _check_memory(level: Fields, name: str, problems: Problems) -> None:
    keeps = set(level["keeps"])
    for field in ("bypassable", "partition_bits", "codings"):
        for role in level[field]:
            if role not in keeps:
                problems.add(level.at(field), f"{field} names {role}, which {name} does not keep")
    for role in level["energy"].get("by_role", {}):
        if role not in keeps:
            problems.add(level["energy"].at("by_role"), f"by_role names {role}, which {name} does not keep")
    if level["capacity_bits"] != UNLIMITED:
        parts = sum(level["partition_bits"].values())
        left = level["capacity_bits"] - parts
        if left < 0:
            problems.add(
                level.at("partition_bits"), f"partitions take {parts} bits, {name} holds {level['capacity_bits']}"
            )
        elif left == 0 and keeps - set(level["partition_bits"]):
            without = ", ".join(sorted(keeps - set(level["partition_bits"])))
            problems.add(level.at("partition_bits"), f"partitions leave nothing of {name} for {without}")


Prices = dict[tuple[str, str, str], Price]


def _prices(fields: Fields, accelerator: Accelerator, problems: Problems) -> Prices:
    """Every price of the file, in its order, and defaults where they are missing and allowed."""
    prices: Prices = {}
    described = zip((*accelerator.levels, accelerator.compute), (*fields["levels"], fields["compute"]), strict=True)
    for component, said in described:
        kind = next((tag for tag in ("memory", "array") if tag in said), "compute")
        energy = said["energy"]
        for action, price in energy.items():
            if action != "by_role" and price is not None:
                prices[component.name, action, "*"] = _price(price, fields["sources"], problems)
        for role, actions in energy.get("by_role", {}).items():
            for action, price in actions.items():
                if price is not None:
                    prices[component.name, action, role] = _price(price, fields["sources"], problems)
        roles = component.keeps if isinstance(component, Memory) else ("*",)
        for action in REQUIRED_ACTIONS[kind]:
            if (component.name, action, "*") in prices or all((component.name, action, r) in prices for r in roles):
                continue
            where = said.at("energy")
            if fields["defaults"] != "allowed":
                what = f"{kind} '{component.name}' has no energy for '{action}'"
                problems.add(where, f"{what}; give it, or say 'defaults: allowed'")
            elif fields["technology_nm"] is None:
                problems.add(where, f"a default energy for '{action}' of '{component.name}' needs 'technology_nm'")
            elif not problems.found:
                prices[component.name, action, "*"] = default_price(accelerator, component, action)
    return prices | _sharing_prices(fields, accelerator, prices, problems)


def _sharing_prices(fields: Fields, accelerator: Accelerator, others: Prices, problems: Problems) -> Prices:
    """The prices of a codebook's own table and of the product buffer; there are no defaults for these."""
    sharing, said = accelerator.sharing, fields["sharing"]
    prices: Prices = {}
    if sharing is None:
        return prices
    parts = [(CODEBOOK, said[CODEBOOK])] if sharing.table_bits is not None else []
    parts += [(PRODUCTS, said[PRODUCTS])] if said[PRODUCTS] is not None else []
    for name, part in parts:
        for action in REQUIRED_ACTIONS["memory"]:
            if part["energy"].get(action) is None:
                problems.add(part.at("energy"), f"'{name}' has no energy for '{action}'")
            else:
                prices[name, action, "*"] = _price(part["energy"][action], fields["sources"], problems)
    for action in ("multiply", "add") if sharing.style == "product" else ():
        if (accelerator.compute.name, action, "*") not in others:
            problems.add(fields["compute"].at("energy"), f"style product needs an energy for '{action}'")
    return prices


def _price(fields: Fields, sources: Mapping[str, str], problems: Problems) -> Price:
    width = fields.get("per_bits", ANY)
    cited, adders = _cited(fields, sources, problems), fields.get("per") == "full_adder"
    return Price(fields["pj"], cited, fields["tier"], None if width == ANY else width, adders)


def _cited(fields: Fields, sources: Mapping[str, str], problems: Problems) -> str:
    """The citation of a price: what looks like a name is a key of `sources`, all else is the citation itself."""
    source: str = fields["source"]
    if source not in sources and re.fullmatch(NAME.pattern, source):
        hint = nearest(source, sources) or f"; known: {', '.join(sources) or 'none'}"
        problems.add(fields.at("source"), f"unknown source '{shown(source)}'{hint}")
    return sources.get(source, source)


def to_yaml(described: DescribedAccelerator) -> str:
    """The fully resolved accelerator as YAML text that reads back as an equal value (its file apart).

    Raises InputError for a price that no file can hold: of an unknown component, action or role.
    """
    accelerator, table = described.accelerator, _in_file_order(described)
    citations = dict.fromkeys([table.idle_power_source, *(price.source for price in table.prices.values())])
    keys = {text: f"s{i}" for i, text in enumerate(citations, 1)}
    fields: dict[str, Any] = {
        "source": accelerator.source,
        "name": accelerator.name,
        "sources": {key: text for text, key in keys.items()},
        "clock_hz": accelerator.clock_hz,
    }
    if accelerator.technology_nm is not None:
        fields["technology_nm"] = accelerator.technology_nm
    idle = {"watts": table.idle_power_w, "source": keys[table.idle_power_source], "tier": table.idle_power_tier}
    fields["idle_power"] = idle
    fields["levels"] = [
        (_said_of_memory(level) if isinstance(level, Memory) else _said_of_array(level))
        | {"energy": _said_of_prices(table, level.name, keys, per_access=True)}
        for level in accelerator.levels
    ]
    compute = accelerator.compute
    fields["compute"] = {"name": compute.name, "gates": sorted(compute.gates), "skips": sorted(compute.skips)}
    if compute.bits is not None:
        fields["compute"]["bits"] = compute.bits
    fields["compute"]["energy"] = _said_of_prices(table, compute.name, keys, per_access=False)
    if accelerator.sharing is not None:
        fields["sharing"] = _said_of_sharing(accelerator.sharing, table, keys)
    if accelerator.coded_to:
        fields["coded_to"] = accelerator.coded_to
    return dump(fields)


def _said_of_sharing(sharing: Sharing, table: EnergyTable, keys: Mapping[str, str]) -> dict[str, Any]:
    codebook: dict[str, Any] = {"memory": sharing.memory}
    if sharing.table_bits is not None:
        energy = _said_of_prices(table, CODEBOOK, keys, per_access=True)
        codebook |= {"table_bits": sharing.table_bits, "energy": energy}
    said: dict[str, Any] = {"style": sharing.style, CODEBOOK: codebook}
    if sharing.products:
        energy = _said_of_prices(table, PRODUCTS, keys, per_access=True)
        said[PRODUCTS] = {"words": sharing.products, "energy": energy}
    return said


def _in_file_order(described: DescribedAccelerator) -> EnergyTable:
    """The table with its prices in the order in which a file gives them, so that equal tables make equal texts."""
    accelerator, table = described.accelerator, described.table
    components = [*level_names(accelerator.levels), accelerator.compute.name]
    components += [CODEBOOK, PRODUCTS] if accelerator.sharing else []
    order = [(name, action, role) for name in components for role in ("*", *ROLES) for action in ACTIONS]
    prices = {key: table.prices[key] for key in order if key in table.prices}
    if len(prices) < len(table.prices):
        lost = min(table.prices.keys() - prices.keys())
        raise InputError(f"{accelerator.name}: a file has no place for the price of {', '.join(lost)}")
    return EnergyTable(prices, table.idle_power_w, table.idle_power_source, table.idle_power_tier)


def _said_of_memory(memory: Memory) -> dict[str, Any]:
    in_all = memory.capacity_bits
    return {
        "memory": memory.name,
        "capacity_bits": UNLIMITED if in_all is None else in_all + sum(memory.partitions.values()),
        "partition_bits": _by_role(memory.partitions),
        "keeps": _in_order(memory.keeps),
        "bypassable": _in_order(memory.bypassable),
        "word_bits": memory.word_bits,
        "read_bits_per_cycle": memory.read_bits_per_cycle or UNLIMITED,
        "write_bits_per_cycle": memory.write_bits_per_cycle or UNLIMITED,
        "shared_port": memory.shared_port,
        "codings": _by_role(memory.codings),
    }


def _said_of_array(array: Array) -> dict[str, Any]:
    axes = {
        axis.name: {"size": axis.size, "dims": ANY if axis.dims is None else sorted(axis.dims)} for axis in array.axes
    }
    roles = {"multicast": _in_order(array.multicast), "forwarding": _in_order(array.forwarding)}
    return {"array": array.name, "axes": axes, **roles, "reduction": array.reduction}


def _by_role(values: Mapping[str, Any]) -> dict[str, Any]:
    return {role: values[role] for role in ROLES if role in values}


def _in_order(roles: frozenset[str]) -> list[str]:
    return [role for role in ROLES if role in roles]


def _said_of_prices(table: EnergyTable, component: str, keys: Mapping[str, str], *, per_access: bool) -> dict[str, Any]:
    def said(price: Price) -> dict[str, Any]:
        width: dict[str, Any] = {"per_bits": price.width_bits or ANY} if per_access else {}
        per = {"per": "full_adder"} if price.per_full_adder else width
        return {"pj": price.pj, **per, "source": keys[price.source], "tier": price.tier}

    def of(role: str) -> Iterator[tuple[str, dict[str, Any]]]:
        return ((key[1], said(price)) for key, price in table.prices.items() if key[0] == component and key[2] == role)

    by_role = {role: dict(of(role)) for role in ROLES}
    by_role = {role: actions for role, actions in by_role.items() if actions}
    return dict(of("*")) | ({"by_role": by_role} if by_role else {})
