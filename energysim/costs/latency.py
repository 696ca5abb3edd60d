"""Time: the slowest of the compute units and every memory's ports sets the pace of a layer, and is named."""

from collections.abc import Mapping as Map
from dataclasses import dataclass
from math import ceil, prod

from energysim.costs.traffic import Traffic, traffic
from energysim.hardware.accelerator import Accelerator, Array, EnergyTable, Memory
from energysim.mapping.counts import Counts
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
    """Latency of a layer with perfect double buffering: the largest of compute steps and memory cycles."""
    moved = traffic(layer, accelerator, counts)
    per_step = layer.ops_per_point if layer.unit == "op" else 1
    cycles = {accelerator.compute.name: float(counts.steps * per_step)}
    for memory in accelerator.memories:
        cycles[memory.name] = port_cycles(memory, moved[memory.name]) / used_instances(accelerator, mapping, memory)
    bound_by = max(cycles, key=lambda name: cycles[name])
    # sums of bits over fractional bandwidths round either way
    whole = ceil(cycles[bound_by] * (1.0 - 1e-12))
    return Latency(whole, whole / accelerator.clock_hz, bound_by, cycles)


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
