"""How long the Eyeriss chip takes for a layer under a mapping: stated rules over counts, nothing fitted.

The chip works in passes: the weights that the PEs hold stay, inputs and partial sums stream by. The rules:

1. In a pass each PE does one MAC a cycle: `steps` of the mapping.
2. A pass begins when its weights have come over their bus (64 bits a cycle): a PE's 224-word scratchpad has no room
   for the next pass's weights beside its own.
3. It goes on when the first windows of inputs have come over theirs (16 bits a cycle, one word): the ramp.
4. No pass is faster than a bus: inputs 16 bits, partial sums 64 bits in and 64 bits out a cycle.
5. Inputs are loaded from DRAM before and outputs stored after they are worked on: partial sums fill the global buffer
   (74 to 93 of 100 kB for AlexNet), so neither is held twice. Weights come ahead through the buffer's 8 kB for them.

Bus widths are those of hw_configs/eyeriss.yaml (a public re-implementation; not checked against the paper).
"""

from collections.abc import Mapping as Map
from dataclasses import dataclass
from math import prod

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
    """Cycles of the core clock: MACs, weights before each pass, its first inputs, what a bus adds, DRAM not hidden."""

    mac_cycles: float
    weight_cycles: float
    ramp_cycles: float
    bus_wait_cycles: float
    exposed_dram_cycles: float
    clock_hz: float

    @property
    def processing_s(self) -> float:
        """Seconds in which the array works or waits for its buses."""
        return (self.mac_cycles + self.weight_cycles + self.ramp_cycles + self.bus_wait_cycles) / self.clock_hz

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
    first = _first_inputs(layer, mapping) * bits["input"] / INPUT_BUS_BITS
    ramp = float(passes(layer, mapping) * first)
    busy = counts.steps + weights + ramp
    buses = (
        words["input", "read"] * bits["input"] / INPUT_BUS_BITS,
        words["output", "read"] * bits["output"] / PARTIAL_SUM_BUS_BITS,
        words["output", "write"] * bits["output"] / PARTIAL_SUM_BUS_BITS,
    )
    outermost = accelerator.memories[0]
    link = outermost.read_bits_per_cycle or float("inf")
    moved_bits = traffic(layer, accelerator, counts)[outermost.name].total_bits
    weight_bits = sum(
        counts.values.get((outermost.name, "read", t.name), 0) * bits_moved(layer, accelerator, outermost.name, t.name)
        for t in layer.tensors
        if t.role == "weight"
    )
    wait = max(0.0, max(buses) - busy)
    exposed = (moved_bits - weight_bits) / link
    hidden_too_long = max(0.0, moved_bits / link - (busy + wait + exposed))
    return ChipTime(counts.steps, weights, ramp, wait, exposed + hidden_too_long, accelerator.clock_hz)


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


def _first_inputs(layer: Layer, mapping: Mapping) -> int:
    """Input words that all PEs together need for their first step: the tile inside the temporal loops of the buffer."""
    source = next(t for t in layer.tensors if t.role == "input")
    spread = [i for i, item in enumerate(mapping.nest) if isinstance(item, Loop) and item.axis is not None]
    held = mapping.nest.index(Storage(mapping.keepers(source.name)[-1], source.name))
    return source.elements(mapping.tile(min([*spread, held]), layer.dims))


def _keeper_outside(accelerator: Accelerator, array: Array, mapping: Mapping, tensor: str) -> str:
    """The memory that feeds an array with a tensor."""
    rank: Map[str, int] = {level.name: i for i, level in enumerate(accelerator.levels)}
    return [name for name in mapping.keepers(tensor) if rank[name] < rank[array.name]][-1]
