"""How the Eyeriss chip would run a layer that nobody published: row stationary by letters, the cheapest that fits.

The letters are those of JSSC 2017, table III. What a mapping costs is the calibrated energy with the chip's own time,
so that words a bus must wait for count; the mapping search knows no such buses.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from energysim.calibration.chip_time import INPUT_BUS_BITS, PARTIAL_SUM_BUS_BITS, WEIGHT_BUS_BITS
from energysim.calibration.eyeriss import COLUMNS, ROWS, row_stationary
from energysim.hardware.accelerator import Accelerator
from energysim.mapping.nest import Mapping, problems
from energysim.workload.layer import Layer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Letters = dict[str, NDArray[np.int64]]
    Floats = NDArray[np.float64]

WORD_BITS = 16
BUFFER_WORDS = 819200 // WORD_BITS
"""The global buffer's 100 kB for inputs and partial sums."""

SPAD_WORDS = {"input": 12, "weight": 224, "output": 24}
WORDS_PER_CYCLE = {"weight": WEIGHT_BUS_BITS // 16, "input": INPUT_BUS_BITS // 16, "output": PARTIAL_SUM_BUS_BITS // 16}
LINK_WORDS_PER_CYCLE = 1.2
"""The link to DRAM: 64 bits at 60 MHz, in 16-bit words a cycle of 200 MHz."""

LETTERS = ("m", "n", "e", "p", "q", "r", "t")

CANDIDATES = 6
"""Mappings that are counted exactly, the best of the quick estimate."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What the quick estimate pays: pJ a cycle, and pJ a word of the global buffer and of DRAM."""

    cycle_pj: float
    buffer_pj: float
    dram_pj: float


def chip_mappings(layer: Layer, accelerator: Accelerator, costs: Costs) -> tuple[Mapping, ...]:
    """A few legal row-stationary mappings of a layer, the likely best first; empty where the form does not apply.

    The form needs a convolution with more than one output position, one stride, no dilation, at most 12 kernel rows and
    12 kernel columns.
    """
    import numpy as np

    stride = _stride(layer)
    if stride is None:
        return ()
    parts = [_letters(layer, stride, e) for e in _sizes(layer.dims["P"], layer.dims["P"])]
    letters = {name: np.concatenate([part[name] for part in parts]) for name in LETTERS}
    order = np.argsort(_quick(layer, stride, letters, costs), kind="stable")
    found: list[Mapping] = []
    for i in order[: 8 * CANDIDATES]:
        mapping = row_stationary(layer, {name: int(values[i]) for name, values in letters.items()})
        if not problems(layer, accelerator, mapping):
            found.append(mapping)
        if len(found) == CANDIDATES:
            break
    return tuple(found)


def _stride(layer: Layer) -> int | None:
    source, dims = layer.tensor("input"), layer.dims
    if not layer.macs or source is None or layer.tensor("weight") is None or len(layer.tensors) != 3:
        return None
    terms = [dict(rank.terms) for rank in source.ranks]
    down = next((t for t in terms if "P" in t or "R" in t), {"P": 1, "R": 1})
    along = next((t for t in terms if "Q" in t or "S" in t), {"Q": 1, "S": 1})
    strides = {down.get("P", 1), along.get("Q", 1)}
    plain = down.get("R", 1) == along.get("S", 1) == 1 and {"N", "C"} <= source.dims and len(layer.output.ranks) == 5
    fits = dims["R"] <= ROWS and dims["S"] <= SPAD_WORDS["input"] and dims["P"] * dims["Q"] > 1
    return strides.pop() if plain and fits and len(strides) == 1 else None


def _letters(layer: Layer, stride: int, e: int) -> "Letters":
    """Every choice of letters, at a set of e output rows, that the scratchpads, the array and the buffer hold."""
    import numpy as np

    dims = layer.dims
    across, folds = min(e, COLUMNS), -(-e // COLUMNS)
    slots = ROWS // (dims["R"] * folds)
    if not slots or (folds > 1 and e < dims["P"]):
        return {name: np.zeros(0, dtype=np.int64) for name in LETTERS}
    axes = (
        _sizes(dims["M"], slots * (COLUMNS // across)),
        _sizes(dims["C"], slots),
        _sizes(dims["C"], SPAD_WORDS["input"] // dims["S"]),
        _sizes(dims["M"], SPAD_WORDS["output"]),
        _sizes(dims["N"], dims["N"]),
    )
    t, r, q, p, n = (grid.ravel() for grid in np.meshgrid(*map(np.array, axes), indexing="ij"))
    beside = np.minimum(t, COLUMNS // across)
    rows, columns = (e - 1) * stride + dims["R"], (dims["Q"] - 1) * stride + dims["S"]
    room = (BUFFER_WORDS - n * q * r * rows * columns) // (n * e * dims["Q"])
    m = np.minimum(dims["M"] // (p * t), room // (p * t)) * p * t
    legal = (t % beside == 0) & (t // beside * r <= slots) & (p * q * dims["S"] <= SPAD_WORDS["weight"])
    legal &= (m > 0) & (q * r <= dims["C"])
    whole = {"m": m, "n": n, "e": np.full_like(m, e), "p": p, "q": q, "r": r, "t": t}
    return {name: values[legal] for name, values in whole.items()}


def _sizes(whole: int, most: int) -> list[int]:
    """Parts worth trying: those that cut a whole into different numbers of pieces."""
    return sorted({-(-whole // -(-whole // size)) for size in range(1, min(whole, most) + 1)})


def _quick(layer: Layer, stride: int, x: "Letters", costs: Costs) -> "Floats":
    """pJ of what letters change: cycles by the rules of `chip_time`, words of buffer and DRAM, all dense."""
    import numpy as np

    d = layer.dims
    blocks, strips = d["G"] * -(-d["M"] // x["m"]), -(-d["P"] // x["e"])
    sums, batches = -(-d["C"] // (x["q"] * x["r"])), -(-d["N"] // x["n"])
    loads = blocks * batches * strips * sums
    passes = loads * (x["m"] // (x["p"] * x["t"]))
    runs = passes * x["n"]
    rows, columns = (x["e"] - 1) * stride + d["R"], (d["Q"] - 1) * stride + d["S"]
    held = x["p"] * x["t"] * x["q"] * x["r"] * d["R"] * d["S"]
    inputs, outputs = x["q"] * x["r"] * rows * columns, x["p"] * x["t"] * x["e"] * d["Q"]
    busy = runs * x["p"] * x["q"] * d["S"] * d["Q"] + passes * held / WORDS_PER_CYCLE["weight"]
    busy = busy + passes * rows * d["S"] * x["q"] * x["r"]
    buses = np.maximum(runs * inputs / WORDS_PER_CYCLE["input"], runs * outputs / WORDS_PER_CYCLE["output"])
    fetched, stored = loads * x["n"] * inputs, layer.output.elements(d)
    cycles = np.maximum(busy, buses) + (fetched + stored) / LINK_WORDS_PER_CYCLE
    buffer = runs * inputs + fetched + 2 * runs * outputs + stored
    return np.asarray(
        costs.cycle_pj * cycles + costs.buffer_pj * buffer + costs.dram_pj * (fetched + stored + passes * held),
        dtype=float,
    )
