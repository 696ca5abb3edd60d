"""Bits that pass through each memory, from counts; the ground for latency and for the compulsory lower bound."""

from collections.abc import Mapping as Map
from dataclasses import dataclass
from math import floor, fsum

from energysim.costs.prices import PRICED_AS, bits_moved
from energysim.hardware.accelerator import CODEBOOK, Accelerator
from energysim.mapping.counted import UNIT, Counts
from energysim.workload.layer import Layer


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bits read from and written to a memory, summed over its instances, as coded where they rest."""

    read_bits: float
    written_bits: float

    @property
    def total_bits(self) -> float:
        """Read and written together."""
        return self.read_bits + self.written_bits


def traffic(layer: Layer, accelerator: Accelerator, counts: Counts) -> Map[str, Traffic]:
    """Traffic of every memory by name, outermost first; words that gating keeps from being read are included.

    The codebook is not: it comes before the layer begins (`preload_cycles`).
    """
    moved: dict[tuple[str, str], list[float]] = {}
    for (component, action, tensor), count in counts.values.items():
        if tensor not in (UNIT, CODEBOOK) and action in PRICED_AS:
            bits = count * bits_moved(layer, accelerator, component, tensor, action)
            moved.setdefault((component, PRICED_AS[action]), []).append(bits)
    return {
        memory.name: Traffic(fsum(moved.get((memory.name, "read"), ())), fsum(moved.get((memory.name, "write"), ())))
        for memory in accelerator.memories
    }


def compulsory_bits(layer: Layer, accelerator: Accelerator) -> int:
    """The least that any mapping moves at the outermost memory: every element once, as coded there, rounded down."""
    outermost = accelerator.memories[0].name
    return floor(
        fsum(t.elements(layer.dims) * bits_moved(layer, accelerator, outermost, t.name) for t in layer.tensors)
    )
