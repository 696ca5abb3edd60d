"""How the Eyeriss chip would run a layer that nobody published: row stationary, chosen by a rule.

The letters are those of JSSC 2017, table III. The rule gives back that table's five AlexNet layers, and for VGG-16 the
mappings that its measured buffer and DRAM megabytes speak for (docs/calibration.md): it was found looking at both.

1. Inputs and partial sums take 24 of the global buffer's 25 banks (`chip_buffer`).
2. Passes are whole: m divides M, p*t divides m, q*r divides C, n divides the batch.
3. A set wider than the array is folded only where that holds the whole height; folded sets add up no further (r=1).
4. Several images at a time only where the whole height stands in the columns.
5. Sets stand beside each other only where none fits below, or where the map itself is that low.
6. Output rows longer than 128 are cut in equal parts: VGG-16's 224 moved per MAC what its 112 did.
7. Of what is left, the least DRAM traffic per PE in use: delay times the dearest energy; then the least buffer traffic.
   Half of the activations count as zeros, run-length coded: a mapping is chosen once, not for an image.
"""

from energysim.calibration.chip_buffer import BUFFER_WORDS, WORD_BITS
from energysim.calibration.eyeriss import COLUMNS, ROWS, row_stationary
from energysim.hardware.accelerator import Accelerator
from energysim.mapping.nest import Mapping, problems
from energysim.workload.encoding import run_length
from energysim.workload.layer import Layer

SPAD_WORDS = {"input": 12, "weight": 224, "output": 24}
LONGEST_ROW = 128
DENSITY = 0.5


def chip_mapping(layer: Layer, accelerator: Accelerator) -> Mapping | None:
    """The row-stationary mapping of a layer by the rule above; None where the form does not apply.

    The form needs a convolution with more than one output position, one stride, no dilation, at most 12 kernel rows and
    12 kernel columns.
    """
    letters = chip_letters(layer)
    if letters is None:
        return None
    mapping = row_stationary(layer, letters)
    return None if problems(layer, accelerator, mapping) else mapping


def chip_letters(layer: Layer) -> dict[str, int] | None:
    """The letters m, n, e, p, q, r, t by the rule above, and f, the length of a part of an output row."""
    stride = _stride(layer)
    if stride is None:
        return None
    dims = layer.dims
    parts = -(-dims["Q"] // LONGEST_ROW)
    length = -(-dims["Q"] // parts)
    heights = {*range(1, min(dims["P"], COLUMNS) + 1), dims["P"]}
    found = [best for e in sorted(heights) if (best := _best(layer, stride, e, length)) is not None]
    return min(found, key=lambda each: each[0])[1] | {"f": length} if found else None


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


def _best(layer: Layer, stride: int, e: int, length: int) -> tuple[tuple[float, float], dict[str, int]] | None:
    """What the best choice at a set of e output rows costs, DRAM words a PE and buffer words, and its letters."""
    import numpy as np

    d = layer.dims
    across, folds = min(e, COLUMNS), -(-e // COLUMNS)
    below = ROWS // d["R"] // folds
    beside = COLUMNS // across if ROWS // d["R"] < 2 or d["P"] * 2 <= COLUMNS else 1
    if not below:
        return None
    several = _divisors(d["N"]) if e == d["P"] and folds == 1 else [1]
    at_once = range(1, below * beside + 1)
    spad_p = [size for size in _divisors(d["M"]) if size <= SPAD_WORDS["output"]]
    filters = [(p, t, m) for m in _divisors(d["M"]) for p in spad_p for t in at_once if m % (p * t) == 0]
    sums = range(1, below + 1) if folds == 1 else (1,)
    whole = set(_divisors(d["C"]))
    channels = [(q, r) for q in range(1, SPAD_WORDS["input"] // d["S"] + 1) for r in sums if q * r in whole]
    i, j, k = (grid.ravel() for grid in np.indices((len(filters), len(channels), len(several))))
    (p, t, m), (q, r), n = np.array(filters).T[:, i], np.array(channels).T[:, j], np.array(several)[k]
    side = np.minimum(t, beside)
    rows, columns = (e - 1) * stride + d["R"], (length - 1) * stride + d["S"]
    held = n * (m * e * length + q * r * rows * columns)
    legal = (t % side == 0) & (t // side * r <= below) & (p * q * d["S"] <= SPAD_WORDS["weight"])
    legal &= held <= BUFFER_WORDS
    if not legal.any():
        return None
    p, t, q, r, m, n = (values[legal] for values in (p, t, q, r, m, n))
    strips, parts = -(-d["P"] // e), -(-d["Q"] // length)
    # rows that two strips share are fetched for each; the last strip may be lower
    height = (d["P"] - 1) * stride + d["R"] + (strips - 1) * max(0, d["R"] - stride)
    inputs = d["G"] * d["N"] * d["C"] * height * columns * parts
    weights = d["G"] * d["M"] * d["C"] * d["R"] * d["S"] * strips * parts * -(-d["N"] // n)
    outputs = layer.output.elements(d)
    coded = run_length(WORD_BITS, DENSITY) / WORD_BITS
    moved = weights + coded * (inputs * (-(-d["M"] // m)) + outputs)
    buffered = inputs * -(-d["M"] // (p * t)) + 2 * outputs * -(-d["C"] // (q * r))
    per_element = moved / (d["R"] * e * r * t)
    best = np.lexsort((buffered, per_element))[0]
    letters = {"m": m, "n": n, "p": p, "q": q, "r": r, "t": t}
    cost = float(per_element[best]), float(buffered[best])
    return cost, {"e": e} | {key: int(values[best]) for key, values in letters.items()}


def _divisors(whole: int) -> list[int]:
    """Divisors; a prime above the spads' words is cut as the next number is, its last pass partly empty."""
    found = [size for size in range(1, whole + 1) if whole % size == 0]
    return found if len(found) > 2 or whole <= SPAD_WORDS["output"] else _divisors(whole + 1)
