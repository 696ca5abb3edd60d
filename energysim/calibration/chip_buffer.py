"""The Eyeriss chip's global buffer: what inputs and partial sums may take of it, and which input rows stay in it.

Of 25 banks of 512 x 64 bits, 24: all 25 would admit q=2 where VGG-16's second block ran q=1, and r=4 where its fifth
ran r=2, by the megabytes measured (docs/calibration.md). What the last bank is for is not published.
"""

from math import prod

from energysim.mapping.nest import Loop, Mapping, Storage
from energysim.workload.layer import Layer

WORD_BITS = 16
BANK_BITS = 512 * 64
BUFFER_WORDS = 24 * BANK_BITS // WORD_BITS


def kept_input_words(layer: Layer, mapping: Mapping) -> int:
    """Input words counted as fetched that need not be: rows shared by two strips, where the buffer can keep them.

    A strip is worked on channel by channel (and part by part), so a count that holds one tile finds nothing of the
    strip before. The chip has room for the shared rows of all tiles between in AlexNet's CONV1 alone: its 5.0 MB of
    DRAM traffic are 4.98 so, and 5.25 if they are fetched again.
    """
    source = layer.tensor("input")
    if source is None or any(len(mapping.keepers(t.name)) < 2 for t in (source, layer.output)):
        return 0
    marks = [mapping.nest.index(Storage(mapping.keepers(t.name)[1], t.name)) for t in (source, layer.output)]
    start = max(marks)
    outside = [item for item in mapping.nest[:start] if isinstance(item, Loop) and item.bound > 1]
    strips = [i for i, loop in enumerate(outside) if loop.dim == "P"]
    if len(strips) != 1 or any(loop.dim not in source.dims for loop in outside[strips[0] + 1 :]):
        return 0
    tile = mapping.tile(start, layer.dims)
    held = source.elements(tile)
    shared = 2 * held - source.elements({**tile, "P": 2 * tile["P"]})
    between = prod(loop.bound for loop in outside[strips[0] + 1 :])
    room = BUFFER_WORDS - held - layer.output.elements(tile)
    if between < 2 or (between - 1) * shared > room:
        return 0
    boundaries = (outside[strips[0]].bound - 1) * prod(loop.bound for loop in outside[: strips[0]])
    return boundaries * between * shared
