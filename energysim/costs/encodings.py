"""What each tensor's encoding is in each memory: bits at rest, bits moved, metadata and decode events."""

from collections.abc import Iterator
from dataclasses import dataclass

from energysim.costs.prices import bits_moved
from energysim.hardware.accelerator import Accelerator
from energysim.workload.encoding import ENCODINGS
from energysim.workload.layer import Layer, Tensor


@dataclass(frozen=True, slots=True)
class Resting:
    """A tensor in one memory that keeps its role.

    `bits_at_rest` of the whole tensor there, codebook apart; `bits_moved` per element in and out of it, of which
    `metadata_bits` are no values; `decodes`: events of the decoder per element that leaves inward, 0 where nothing is
    decoded on the way to the next memory or the compute unit.
    """

    tensor: str
    memory: str
    coding: str
    bits_at_rest: float
    bits_moved: float
    metadata_bits: float
    decodes: float


def resting(layer: Layer, accelerator: Accelerator) -> Iterator[Resting]:
    """Every tensor in every memory that may keep it, outermost first."""
    for tensor in layer.tensors:
        keepers = [memory for memory in accelerator.memories if tensor.role in memory.keeps]
        for memory, inner in zip(keepers, [*keepers[1:], None], strict=True):
            here = _coding(tensor, accelerator, memory.name)
            inside = _coding(tensor, accelerator, inner.name) if inner else "dense"
            bits = bits_moved(layer, accelerator, memory.name, tensor.name)
            metadata, entries = _parts(tensor, here, bits)
            rest = bits * tensor.elements(layer.dims)
            yield Resting(tensor.name, memory.name, here, rest, bits, metadata, entries if here != inside else 0.0)


def _coding(tensor: Tensor, accelerator: Accelerator, memory: str) -> str:
    """How a tensor rests in a memory: the name of an encoding, or "indices", with the file's coding where it holds."""
    order = accelerator.order
    coded = order[memory] <= order.get(accelerator.coded_to, 0)
    if tensor.codebook is not None and accelerator.sharing is not None:
        if order[memory] > order[accelerator.sharing.memory]:
            return "dense"
        return f"indices, {tensor.codebook.coding}" if coded and tensor.codebook.coding != "fixed" else "indices"
    own = next((m.codings.get(tensor.role) for m in accelerator.memories if m.name == memory), None)
    return own or (tensor.encoding if coded else "dense")


def _parts(tensor: Tensor, coding: str, bits: float) -> tuple[float, float]:
    """Metadata bits and decode events per element; an index is all metadata, one event for each sample."""
    if coding in ENCODINGS:
        encoding = ENCODINGS[coding]
        return encoding.metadata_bits(tensor.bits, tensor.density), encoding.stored(tensor.bits, tensor.density)
    return bits, 1.0 / tensor.codebook.length if tensor.codebook else 1.0


def encoding_lines(layer: Layer, accelerator: Accelerator) -> list[str]:
    """A line for each memory in which a weight rests as indices, in words, after one for its codebook."""
    lines: list[str] = []
    for found in resting(layer, accelerator):
        if not found.coding.startswith("indices"):
            continue
        tensor = next(t for t in layer.tensors if t.name == found.tensor)
        book = tensor.codebook
        if book is not None and not lines:
            blocks = f"{book.blocks} x " if book.blocks > 1 else ""
            lines.append(
                f"{book.granularity}: {book.samples:,} samples of {book.length} on {blocks}{book.clusters:,} centroids"
                f"; codebook {book.entries * tensor.bits:,} bits; {book.zero_share:.1%} of samples are zero, "
                f"{book.entropy_bits:.3g} of {book.index_bits} index bits are entropy"
            )
        decoded = f", {found.decodes:.3g} decoded per element on leaving" if found.decodes else ""
        lines.append(
            f"{found.tensor} in {found.memory}: {found.coding}, {found.bits_at_rest:,.0f} bits at rest, "
            f"{found.bits_moved:.3g} moved per element{decoded}"
        )
    return lines
