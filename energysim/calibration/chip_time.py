"""How long the Eyeriss chip takes for a layer under a mapping: stated rules over counts, nothing fitted.

The chip works in passes: the weights that the PEs hold stay, inputs and partial sums stream by. The rules:

1. In a pass each PE does one MAC a cycle: `steps` of the mapping.
2. A pass begins when its weights have come over their bus (64 bits a cycle): a PE's 224-word scratchpad has no room
   for the next pass's weights beside its own.
3. It goes on when the first windows of inputs have come over theirs (16 bits a cycle, one word): the ramp.
4. From then on no pass is faster than a bus: inputs 16 bits, partial sums 64 bits in and 64 bits out a cycle.
5. Before the first MACs of a pass are done with, their partial sums come in, and after the last they go out, or the
   MACs come before and after what the bus moves: a pipeline of three stages fills and drains.
6. Inputs are loaded from DRAM before and outputs stored after they are worked on: partial sums fill the global buffer
   (74 to 93 of 100 kB for AlexNet), so neither is held twice. Weights come ahead through the buffer's 8 kB for them.
   Rows that two strips share are loaded once where the buffer has room to keep them (`chip_buffer`).

Bus widths are those of hw_configs/eyeriss.yaml (a public re-implementation; not checked against the paper).
"""

from collections.abc import Mapping as Map
from dataclasses import dataclass
from math import prod

from energysim.calibration.chip_buffer import kept_input_words
from energysim.costs.prices import bits_moved
from energysim.costs.traffic import traffic
from energysim.hardware.accelerator import Accelerator, Array
from energysim.mapping.counted import PARTIAL, Counts
from energysim.mapping.nest import Loop, Mapping, Storage
from energysim.workload.layer import Layer

WEIGHT_BUS_BITS = 64
INPUT_BUS_BITS = 16
PARTIAL_SUM_BUS_BITS = 64


@dataclass(frozen=True, slots=True)
class ChipTime:
    """Cycles of the core clock: MACs, weights before each pass, its first inputs, the pipeline's filling and draining,
    what a bus adds, DRAM not hidden."""

    mac_cycles: float
    weight_cycles: float
    ramp_cycles: float
    fill_cycles: float
    bus_wait_cycles: float
    exposed_dram_cycles: float
    clock_hz: float

    @property
    def processing_s(self) -> float:
        """Seconds in which the array works or waits for its buses."""
        ahead = self.weight_cycles + self.ramp_cycles + self.fill_cycles
        return (self.mac_cycles + ahead + self.bus_wait_cycles) / self.clock_hz

    @property
    def total_s(self) -> float:
        """Seconds from the first word loaded to the last word stored."""
        return self.processing_s + self.exposed_dram_cycles / self.clock_hz


def chip_time(layer: Layer, accelerator: Accelerator, mapping: Mapping, counts: Counts) -> ChipTime:
    """The time of a layer of MACs on a row-stationary chip by the rules above; `accelerator` has one array."""
    (array,) = accelerator.arrays
    words: dict[tuple[str, str], int] = {}
    for tensor in layer.tensors:
        outside = _keeper_outside(accelerator, array, mapping, tensor.name)
        for action in ("read", "write"):
            names = (tensor.name, PARTIAL) if tensor.role == "output" else (tensor.name,)
            moved = sum(counts.values.get((outside, action, name), 0) for name in names)
            words[tensor.role, action] = words.get((tensor.role, action), 0) + moved
    bits = {tensor.role: tensor.partial_bits or tensor.bits for tensor in layer.tensors}
    weights = words.get(("weight", "read"), 0) * bits.get("weight", 0) / WEIGHT_BUS_BITS
    loads = passes(layer, mapping)
    ramp = loads * _at_once(layer, mapping, "input")[0] * bits["input"] / INPUT_BUS_BITS
    sums, macs = _at_once(layer, mapping, "output")
    stage = sums * bits["output"] / PARTIAL_SUM_BUS_BITS
    fill = loads * (stage + min(stage, macs))
    buses = (
        words["input", "read"] * bits["input"] / INPUT_BUS_BITS - ramp,
        words["output", "read"] * bits["output"] / PARTIAL_SUM_BUS_BITS,
        words["output", "write"] * bits["output"] / PARTIAL_SUM_BUS_BITS,
    )
    outermost = accelerator.memories[0]
    link = outermost.read_bits_per_cycle or float("inf")
    moved_bits = dram_bits(layer, accelerator, mapping, counts)
    weight_bits = sum(
        counts.values.get((outermost.name, "read", t.name), 0) * bits_moved(layer, accelerator, outermost.name, t.name)
        for t in layer.tensors
        if t.role == "weight"
    )
    wait = max(0.0, max(buses) - counts.steps)
    busy = counts.steps + weights + ramp + fill + wait
    exposed = (moved_bits - weight_bits) / link
    hidden_too_long = max(0.0, moved_bits / link - (busy + exposed))
    return ChipTime(counts.steps, weights, ramp, fill, wait, exposed + hidden_too_long, accelerator.clock_hz)


def dram_bits(layer: Layer, accelerator: Accelerator, mapping: Mapping, counts: Counts) -> float:
    """Bits over the link to DRAM, coded as they rest there; rows kept in the buffer are not loaded again."""
    outermost, source = accelerator.memories[0].name, layer.tensor("input")
    moved = traffic(layer, accelerator, counts)[outermost].total_bits
    if source is None:
        return moved
    return moved - kept_input_words(layer, mapping) * bits_moved(layer, accelerator, outermost, source.name)


def passes(layer: Layer, mapping: Mapping) -> int:
    """How often the weights in the PEs are replaced, the first time included."""
    weight = next((t for t in layer.tensors if t.role == "weight"), None)
    if weight is None:
        return 1
    innermost = mapping.keepers(weight.name)[-1]
    end = mapping.nest.index(Storage(innermost, weight.name))
    outside = [item for item in mapping.nest[:end] if isinstance(item, Loop) and item.axis is None]
    changing = [i for i, loop in enumerate(outside) if loop.dim in weight.dims and loop.bound > 1]
    return prod(loop.bound for loop in outside[: max(changing, default=-1) + 1])


def _at_once(layer: Layer, mapping: Mapping, role: str) -> tuple[int, int]:
    """Words of a role that all PEs together need for one step of the buffer's temporal loops, and the MACs of a PE."""
    tensor = next(t for t in layer.tensors if t.role == role)
    spread = [i for i, item in enumerate(mapping.nest) if isinstance(item, Loop) and item.axis is not None]
    start = min([*spread, mapping.nest.index(Storage(mapping.keepers(tensor.name)[-1], tensor.name))])
    inside = [item.bound for item in mapping.nest[start:] if isinstance(item, Loop) and item.axis is None]
    return tensor.elements(mapping.tile(start, layer.dims)), prod(inside)


def _keeper_outside(accelerator: Accelerator, array: Array, mapping: Mapping, tensor: str) -> str:
    """The memory that feeds an array with a tensor."""
    rank: Map[str, int] = {level.name: i for i, level in enumerate(accelerator.levels)}
    return [name for name in mapping.keepers(tensor) if rank[name] < rank[array.name]][-1]
