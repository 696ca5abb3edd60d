"""Time: the slowest of the compute units and every memory's ports sets the pace of a layer, and is named."""

from collections.abc import Mapping as Map
from dataclasses import dataclass
from math import ceil, prod

from energysim.costs.prices import bits_moved, timed_share
from energysim.costs.traffic import Traffic, traffic
from energysim.hardware.accelerator import CODEBOOK, PRODUCTS, Accelerator, Array, EnergyTable, Memory
from energysim.mapping.counted import PRODUCT, UNIT, Counts
from energysim.mapping.nest import Mapping
from energysim.workload.layer import Layer


@dataclass(frozen=True, slots=True)
class Latency:
    """Cycles of the accelerator's clock and seconds; `cycles_by_component` says how long each would need alone.

    `bound_by` names the slowest component; the compute unit wins a tie, then the outermost memory.
    """

    cycles: int
    seconds: float
    bound_by: str
    cycles_by_component: Map[str, float]


def latency(layer: Layer, accelerator: Accelerator, mapping: Mapping, counts: Counts) -> Latency:
    """Latency of a layer with perfect double buffering: the largest of compute steps and memory cycles.

    A codebook comes before the layer begins. Zeros that are skipped take no step. Where products are shared, a unit
    multiplies or adds in a cycle, and all units are taken to have the mean number of both.
    """
    moved = traffic(layer, accelerator, counts)
    cycles = {accelerator.compute.name: counts.steps * cycles_per_step(layer, accelerator, counts)}
    for memory in accelerator.memories:
        cycles[memory.name] = port_cycles(memory, moved[memory.name]) / used_instances(accelerator, mapping, memory)
    bound_by = max(cycles, key=lambda name: cycles[name])
    # sums of bits over fractional bandwidths round either way
    whole = ceil((cycles[bound_by] + preload_cycles(layer, accelerator, counts)) * (1.0 - 1e-12))
    return Latency(whole, whole / accelerator.clock_hz, bound_by, cycles)


def cycles_per_step(layer: Layer, accelerator: Accelerator, counts: Counts) -> float:
    """Cycles of a compute unit for one point of the loop nest."""
    if layer.unit == "op":
        return float(layer.ops_per_point)
    unit = accelerator.compute.name
    if (unit, "multiply", UNIT) in counts.values:
        share = timed_share(layer, accelerator)
        done = counts.values[unit, "multiply", UNIT] * share + counts.values[PRODUCTS, "read", PRODUCT]
        return done / layer.points
    return timed_share(layer, accelerator)


def preload_cycles(layer: Layer, accelerator: Accelerator, counts: Counts) -> float:
    """Cycles in which the codebook of a layer comes from the outermost memory and is written to each of its places."""
    outermost, sharing = accelerator.memories[0], accelerator.sharing
    read = counts.values.get((outermost.name, "read", CODEBOOK), 0)
    if sharing is None or not read:
        return 0.0
    bits = bits_moved(layer, accelerator, outermost.name, CODEBOOK)
    each = next(t.codebook.entries for t in layer.tensors if t.codebook is not None) * bits
    rates = [(read * bits, outermost.read_bits_per_cycle)]
    if sharing.table_bits is None:
        rates += [(each, m.write_bits_per_cycle) for m in accelerator.memories if m.name == sharing.memory]
    return max((amount / rate for amount, rate in rates if rate), default=0.0)


def used_instances(accelerator: Accelerator, mapping: Mapping, memory: Memory) -> int:
    """How many instances of a memory the spatial loops of the arrays outside it put to work."""
    above: set[str] = set()
    for level in accelerator.levels:
        if level.name == memory.name:
            break
        if isinstance(level, Array):
            above |= {f"{level.name}.{axis.name}" for axis in level.axes}
    return prod(loop.bound for loop in mapping.loops if loop.axis in above)


def utilisation(layer: Layer, accelerator: Accelerator, counts: Counts) -> float:
    """Share of the compute units at work in a step, 0..1: points of the layer / (steps x instances)."""
    return layer.points / (counts.steps * accelerator.instances(accelerator.compute.name))


def static_energy_pj(table: EnergyTable, seconds: float) -> float:
    """Energy that the idle power of the whole accelerator takes in `seconds`."""
    return table.idle_power_w * seconds * 1e12


def port_cycles(memory: Memory, moved: Traffic) -> float:
    """Cycles if one instance moved everything: a shared port takes reading and writing in turn."""
    reading = moved.read_bits / memory.read_bits_per_cycle if memory.read_bits_per_cycle else 0.0
    writing = moved.written_bits / memory.write_bits_per_cycle if memory.write_bits_per_cycle else 0.0
    return reading + writing if memory.shared_port else max(reading, writing)
