"""The machine of the dataflow examples: DRAM over one scratchpad of a few words per role, and a table of 100/1/1 pJ."""

from energysim.hardware.accelerator import Accelerator, Array, Axis, Compute, EnergyTable, Memory, Price
from energysim.mapping.counts import Counts

EVERY = frozenset(("weight", "input", "output"))


def machine(words: tuple[int, int, int], x: int = 0, y: int = 0) -> tuple[Accelerator, EnergyTable]:
    """DRAM, an array of x by y elements (none when 0), scratchpads of 16-bit weights, inputs and outputs, a MAC."""
    parts = dict(zip(("weight", "input", "output"), (16 * n for n in words), strict=True))
    levels: list[Memory | Array] = [Memory("dram", None, EVERY, 16)]
    if x:
        levels.append(Array("pe", (Axis("x", x), Axis("y", y))))
    levels.append(Memory("spad", sum(parts.values()), EVERY, 16, parts))
    prices = {("mac", "mac", "compute"): Price(1.0, "by hand", "table")}
    for memory, pj in (("dram", 100.0), ("spad", 1.0)):
        for action in ("read", "write"):
            prices[memory, action, "*"] = Price(pj, "by hand", "table", 16)
    prices["pe", "transfer", "*"] = Price(2.0, "by hand", "table", 16)
    return Accelerator("hand", "by hand", tuple(levels), Compute(), 1e9), EnergyTable(prices)


def moved(counts: Counts, memory: str, action: str, *names: str) -> int:
    """Words of some tensors that a memory moves in one way."""
    return sum(counts.values.get((memory, action, name), 0) for name in names)


OUTPUTS = ("output", "partial_sum")
