"""A machine and a layer small enough to count on paper; tests of costs share them.

matmul: one row of 2 inputs times a 4 x 2 weight, 16 bits each: 8 MACs. Mapped as
`[dram] M2 | spread M2 on pe.x | [spad] C2`: 2 * 2 = 4 steps on 2 MACs.

dram reads    8 weights (each once), 2 inputs (multicast to both spads, kept while M advances)    10 x 16 bits = 160
dram writes   4 outputs                                                                            4 x 16 bits =  64
pe transfers  8 weights, 2 * 2 inputs, 4 outputs
spad fills    8 weights, 4 inputs; drains 4 outputs
spad reads    8 weights, 8 inputs, 4 partial sums (the second product of each output)
spad writes   4 partial sums (after the first), 4 outputs (after the second)
  in bits     read (8 + 8 + 4 + 4) * 16 = 384, written (8 + 4 + 4 + 4) * 16 = 320
"""

from dataclasses import replace

from energysim.hardware.accelerator import Accelerator, Array, Axis, Compute, EnergyTable, Memory, Price
from energysim.hardware.read import DescribedAccelerator
from energysim.mapping.nest import Loop, Mapping, even
from energysim.workload.layer import ROLES, Layer, convolution

EVERY = frozenset(ROLES)
PER_BITS = {"dram": (100.0, 16), "spad": (1.0, 16), "pe": (2.0, 16)}


def machine(shared_port: bool = True, gates: frozenset[str] = frozenset(), axis: int = 2) -> Accelerator:
    """DRAM of 2 bits read and 4 written per cycle, two spads of 16 and 16, two MACs, 100 Hz."""
    dram = Memory("dram", None, EVERY, 16, read_bits_per_cycle=2.0, write_bits_per_cycle=4.0, shared_port=shared_port)
    spad = Memory("spad", 4096, EVERY, 16, read_bits_per_cycle=16.0, write_bits_per_cycle=16.0)
    levels = (dram, Array("pe", (Axis("x", axis),)), spad)
    return Accelerator("paper", "worked on paper", levels, Compute(gates=gates), 100.0)


def prices(idle_power_w: float = 0.0, tier: str = "published") -> EnergyTable:
    """100 pJ a word of DRAM, 2 on the array, 1 in the spad, 1 a MAC, 0.25 a gated one."""
    table = {
        (name, action, "*"): Price(pj, f"chosen for {name}", tier, width)
        for name, (pj, width) in PER_BITS.items()
        for action in (("transfer",) if name == "pe" else ("read", "write"))
    }
    table |= {("mac", action, "*"): Price(pj, "chosen for mac", "table") for action, pj in (("mac", 1.0), ("op", 0.5))}
    table["mac", "gated", "*"] = Price(0.25, "chosen for gating", "table")
    return EnergyTable(table, idle_power_w, "chosen for idling", "published")


def described(accelerator: Accelerator | None = None, table: EnergyTable | None = None) -> DescribedAccelerator:
    """The machine with its prices."""
    return DescribedAccelerator(accelerator or machine(), table or prices())


def matmul(density: float = 1.0) -> Layer:
    """One row of 2 inputs of a given density times a 4 x 2 weight."""
    layer = convolution("matmul", m=4, c=2, p=1, q=1)
    tensors = (replace(t, density=density) if t.role == "input" else t for t in layer.tensors)
    return replace(layer, tensors=tuple(tensors))


def mapping(layer: Layer, accelerator: Accelerator) -> Mapping:
    """`[dram] M2 | spread M2 on pe.x | [spad] C2`."""
    blocks = {"dram": (Loop("M", 2),), "pe": (Loop("M", 2, "pe.x"),), "spad": (Loop("C", 2),)}
    return even(accelerator, layer, blocks)
