"""Prices for what an accelerator file leaves out, when it says `defaults: allowed`; each tells how it was made.

On-chip memories come from a table of CACTI 7 runs, interpolated in log(capacity) and log(width); all else from
`data/components.csv`. An interpolated price has tier "table"; outside the table, or by rule, tier "default".
"""

from bisect import bisect_left
from functools import cache
from math import exp, log
from pathlib import Path

from energysim.hardware.accelerator import Accelerator, Array, Compute, Memory, Price

Curve = tuple[tuple[int, float], ...]

_DATA = Path(__file__).parent / "data"


def default_price(accelerator: Accelerator, component: Memory | Array | Compute, action: str) -> Price:
    """A documented estimate for one action of a component; the accelerator must give `technology_nm`."""
    node = accelerator.technology_nm or 0.0
    if isinstance(component, Memory):
        if component.capacity_bits is None:
            return _by_rule("dram", 64, component.word_bits)
        return sram_price(node, component, action)
    bits = accelerator.compute.bits or 16
    if isinstance(component, Array):
        # The published Eyeriss ratio: passing a word between PEs costs twice a MAC on words of that width.
        mac = _mac_pj(16, node)
        return Price(2 * mac, f"twice a 16-bit MAC, the Eyeriss ratio ({_scaled_from(node)})", "default", 16)
    pj = _mac_pj(bits, node) if action == "mac" else _components()["add32"][0] * bits / 32 * node / 45
    return Price(pj, f"{bits}-bit {action}, {_scaled_from(node)}", "default")


def _scaled_from(node: float) -> str:
    return f"{_components()['add32'][1]}, scaled from 45 to {node:g} nm in proportion, multipliers by bits squared"


def _mac_pj(bits: int, node: float) -> float:
    """A multiplier grows with the square of the width, the adder behind it (twice as wide) with the width."""
    parts = _components()
    return (parts["multiply32"][0] * (bits / 32) ** 2 + parts["add32"][0] * 2 * bits / 32) * node / 45


def _by_rule(part: str, per_bits: int, word_bits: int) -> Price:
    pj, source = _components()[part]
    return Price(pj * word_bits / per_bits, source, "default", word_bits)


@cache
def _components() -> dict[str, tuple[float, str]]:
    """pJ and source by component name."""
    lines = (_DATA / "components.csv").read_text("utf-8").splitlines()
    rows = [line.split(",", 2) for line in lines if not line.startswith("#")][1:]
    return {name: (float(pj), source.strip('"')) for name, pj, source in rows}


@cache
def _sram(action: str) -> dict[int, dict[int, Curve]]:
    """CACTI's pJ per access: technology node to capacity in bytes to (width in bits, pJ), widths ascending."""
    table: dict[int, dict[int, list[tuple[int, float]]]] = {}
    lines = (_DATA / "cacti7_sram.csv").read_text("utf-8").splitlines()
    rows = [line.split(",") for line in lines if not line.startswith("#")]
    column = rows[0].index(f"{action}_pj")
    for row in rows[1:]:
        node, capacity, width = int(row[0]), int(row[2]), int(row[3])
        table.setdefault(node, {}).setdefault(capacity, []).append((width, float(row[column])))
    return {n: {c: tuple(sorted(t[c])) for c in sorted(t)} for n, t in table.items()}


def sram_price(technology_nm: float, memory: Memory, action: str) -> Price:
    """The price of one access of `word_bits`; beyond the table's edge along the slope at the edge, tier "default"."""
    capacity = ((memory.capacity_bits or 0) + sum(memory.partitions.values())) / 8
    table = _sram(action)
    node = min(table, key=lambda known: abs(log(known / technology_nm)))
    by_capacity = table[node]
    known = tuple(by_capacity)
    near = (int(capacity),) if capacity in by_capacity else _around(known, capacity)
    width = memory.word_bits
    at = tuple((c, _along(by_capacity[c], width)) for c in near)
    inside = known[0] <= capacity <= known[-1] and node == technology_nm
    inside = inside and all(by_capacity[c][0][0] <= width <= by_capacity[c][-1][0] for c in near)
    what = f"CACTI 7 {action} of {capacity:g} bytes, {width} bits wide, {node} nm"
    source = f"{what}, {'interpolated' if inside else f'beyond its table (asked: {technology_nm:g} nm)'}"
    pj = at[0][1] if len(at) == 1 else _along(at, capacity)
    return Price(pj, source, "table" if inside else "default", width)


def _around(known: tuple[int, ...], wanted: float) -> tuple[int, int]:
    """The two neighbours of a value in an ascending list; the two outermost ones beyond its ends."""
    right = min(max(bisect_left(known, wanted), 1), len(known) - 1)
    return known[right - 1], known[right]


def _along(curve: Curve, wanted: float) -> float:
    """A positive curve at a point, straight in log-log, its end slopes kept beyond the ends."""
    if len(curve) == 1:
        return curve[0][1] * wanted / curve[0][0]
    values = dict(curve)
    low, high = _around(tuple(values), wanted)
    share = log(wanted / low) / log(high / low)
    return exp((1 - share) * log(values[low]) + share * log(values[high]))
