"""An accelerator in words: the rows of the table that `energysim accelerators check` prints."""

from energysim.hardware.accelerator import Array, Compute, EnergyTable, Memory, Price, Sharing
from energysim.hardware.fields import ROLES
from energysim.hardware.read import DescribedAccelerator


def hierarchy_rows(described: DescribedAccelerator) -> list[dict[str, str]]:
    """One row per level, outermost first, the compute unit last; every row has the same columns, all text.

    Columns: level, kind, instances, capacity, roles, bandwidth, energy (pJ, with the weakest tier), notes.
    """
    accelerator = described.accelerator
    rows = []
    for level in (*accelerator.levels, accelerator.compute):
        facts = _of_memory(level) if isinstance(level, Memory) else _of_array(level)
        rows.append(
            {"level": level.name, "kind": type(level).__name__.lower()}
            | {"instances": f"{accelerator.instances(level.name):,}"}
            | facts
            | {"energy": _energy(described.table, level.name)}
        )
    columns = ("level", "kind", "instances", "capacity", "roles", "bandwidth", "energy", "notes")
    for row in rows:
        if accelerator.sharing is not None and row["level"] == accelerator.sharing.memory:
            row["notes"] = "; ".join(filter(None, [row["notes"], _of_sharing(accelerator.sharing)]))
    return [{column: row[column] for column in columns} for row in rows]


def _of_sharing(sharing: Sharing) -> str:
    """As in "codebook table 512 B, weights looked up", and the product buffer."""
    where = "in its weights' room" if sharing.table_bits is None else f"table {bits_in_words(sharing.table_bits)}"
    more = f", {sharing.products} products held per unit" if sharing.products else ""
    return f"codebook {where}, weights looked up{more}"


def bits_in_words(bits: int | None) -> str:
    """A capacity as people say it: "100 KiB", "12.5 bytes" rounded to three digits, "unlimited" for None."""
    if bits is None:
        return "unlimited"
    amount, unit = bits / 8, "B"
    for larger in ("KiB", "MiB", "GiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.4g} {unit}"


def _of_memory(memory: Memory) -> dict[str, str]:
    parts = [f"{role} {bits_in_words(memory.partitions[role])}" for role in ROLES if role in memory.partitions]
    shared = [role for role in ROLES if role in memory.keeps and role not in memory.partitions]
    if shared:
        parts.insert(0, bits_in_words(memory.capacity_bits) + (f" for {', '.join(shared)}" if parts else ""))
    notes = [f"{role} may bypass" for role in ROLES if role in memory.bypassable]
    notes += [f"{role} {coding.replace('_', '-')} coded" for role, coding in memory.codings.items()]
    ways = ("read", memory.read_bits_per_cycle), ("write", memory.write_bits_per_cycle)
    limits = [f"{way} {limit:g} b/cycle" for way, limit in ways if limit is not None]
    return {
        "capacity": "; ".join(parts),
        "roles": ", ".join(role for role in ROLES if role in memory.keeps),
        "bandwidth": (", ".join(limits) + (" (one port)" if memory.shared_port else "")) if limits else "unlimited",
        "notes": "; ".join(notes),
    }


def _of_array(level: Array | Compute) -> dict[str, str]:
    if isinstance(level, Compute):
        width = f"up to {level.bits} bits" if level.bits else "any width"
        how = {role: "are skipped" if role in level.skips else "gate it" for role in level.gates}
        gates = [f"zeros of {role} {how[role]}" for role in ROLES if role in how]
        return {"capacity": "", "roles": "", "bandwidth": "", "notes": "; ".join([width, *gates])}
    axes = " x ".join(
        f"{axis.name} {axis.size}" + (f" ({', '.join(sorted(axis.dims))} only)" if axis.dims is not None else "")
        for axis in level.axes
    )
    notes = [axes]
    for what, roles in (("multicasts", level.multicast), ("forwards", level.forwarding)):
        if roles:
            notes.append(f"{what} {', '.join(role for role in ROLES if role in roles)}")
    notes += ["adds partial sums"] if level.reduction else []
    return {"capacity": "", "roles": "", "bandwidth": "", "notes": "; ".join(notes)}


def _energy(table: EnergyTable, component: str) -> str:
    """Every price of a component, as in "read 9.36 pJ/16 b (table)"."""
    said = []
    for (name, action, role), price in table.prices.items():
        if name == component:
            said.append(f"{action}{'' if role == '*' else ' ' + role} {price_in_words(price)}")
    return ", ".join(said)


def price_in_words(price: Price) -> str:
    """As in "9.36 pJ/16 b (table)"; "0.0052 pJ/FA" is for each full adder."""
    per = f"/{price.width_bits} b" if price.width_bits else "/FA" * price.per_full_adder
    return f"{price.pj:.4g} pJ{per} ({price.tier})"
