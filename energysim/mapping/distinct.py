"""How many different products a tile of a layer with shared weights asks for: exact, from the weight's own indices.

A product is a centroid applied to an input at one position: a row of a kernel at one output of one input row, a scalar
on one input element. Outputs of all channels in a tile, and kernel rows that fall on one input row, ask for the same
product when their indices agree (METHODS, section 5; DeepK §4.2.2).
"""

from collections import Counter
from collections.abc import Iterable
from collections.abc import Mapping as Map
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from energysim.hardware.accelerator import Accelerator
from energysim.workload.encoding import Codebook, Indices
from energysim.workload.layer import Layer, Tensor

AXES = ("G", "M", "C", "R", "S")
"""What the axes of a weight's indices stand for."""

Pattern = tuple[int, ...]
"""Places on the kernel axis R (or S) that fall on one input row (column) within a tile."""


@dataclass(frozen=True, slots=True)
class Window:
    """A kernel dim outside the sample and its output dim: input position = `stride` * out + `dilation` * kernel."""

    kernel: str
    out: str
    stride: int
    dilation: int


@dataclass(frozen=True, slots=True)
class Products:
    """A layer that can share products: its weight, what a sample spans, its windows over R and S (None: inside it)."""

    layer: Layer
    weight: Tensor
    codebook: Codebook
    indices: Indices
    sample: Map[str, int]
    windows: tuple[Window | None, Window | None]

    @property
    def block(self) -> int:
        """Multiplications of one product."""
        return prod(self.sample.values())

    @property
    def accumulations(self) -> int:
        """Products added into outputs, those of zero samples left out."""
        outside = prod(size for d, size in self.layer.dims.items() if d not in AXES)
        values = self.indices.values
        zeros = int((values == self.indices.zero).sum()) if self.indices.zero >= 0 else 0
        return outside * (int(values.size) - zeros)

    @property
    def empty_outputs(self) -> int:
        """Outputs all of whose samples are zero."""
        if self.indices.zero < 0:
            return 0
        outside = prod(size for d, size in self.layer.dims.items() if d not in AXES)
        return outside * int((self.indices.values == self.indices.zero).all(axis=(2, 3, 4)).sum())

    def multiplications(self, tile: Map[str, int]) -> int:
        """Of the whole layer, when every tile of these dim sizes is one step of a unit that forgets its products."""
        return self.block * self._outside * sum(times * found for times, (found, _) in self._found(tile))

    def most(self, tile: Map[str, int]) -> int:
        """Products that one input position asks for at most within a tile: the words they need."""
        return max(most for _, (_, most) in self._found(tile))

    def requests(self, tile: Map[str, int]) -> float:
        """Products that one input position is asked for within a tile on average, zero samples included."""
        rows, columns = (_patterns(self.layer.dims, window, tile) for window in self.windows)
        return tile["M"] * _mean_places(rows) * _mean_places(columns)

    @property
    def _outside(self) -> int:
        """Positions that neither weight nor windows know: batch, and output dims whose kernel dim is in samples."""
        known = {"G", "M", "C", "R", "S"} | {window.out for window in self.windows if window}
        return prod(size for d, size in self.layer.dims.items() if d not in known)

    def _found(self, tile: Map[str, int]) -> Iterable[tuple[int, tuple[int, int]]]:
        """For each pair of patterns how often it stands, and its different products: of all, and at most at a place."""
        rows, columns = (_patterns(self.layer.dims, window, tile) for window in self.windows)
        for (r, row_times), (s, column_times) in ((row, column) for row in rows.items() for column in columns.items()):
            yield row_times * column_times, distinct(self.indices, r, s, tile["M"])


def products(layer: Layer, accelerator: Accelerator) -> Products | None:
    """How a layer runs with shared products on an accelerator; None where it does not (see `why_no_products`)."""
    sharing = accelerator.sharing
    return products_of(layer) if sharing is not None and sharing.style == "product" else None


def products_of(layer: Layer) -> Products | None:
    """The products that a layer can share; None where it cannot (see `why_no_products`)."""
    weight = layer.tensor("weight")
    if weight is None or weight.codebook is None:
        return None
    codebook, source = weight.codebook, layer.tensor("input")
    if why_no_products(layer) or codebook.indices is None or codebook.sample is None or source is None:
        return None
    sample = dict(codebook.sample)
    windows = [_window(layer, source, d) if d not in sample else None for d in ("R", "S")]
    return Products(layer, weight, codebook, codebook.indices, sample, (windows[0], windows[1]))


def why_no_products(layer: Layer) -> str:
    """Why a layer with a codebook cannot share products and looks its weights up instead; "" when it can."""
    weight, source = layer.tensor("weight"), layer.tensor("input")
    if weight is None or weight.codebook is None or source is None or layer.unit != "mac":
        return "it multiplies no shared weight"
    book = weight.codebook
    moved = [d for d in ("R", "S") if layer.dims[d] > 1 and d not in dict(book.sample or ())]
    reasons = {
        f"samples of {book.granularity} lie across its input channels and kernels": book.sample is None,
        "its indices are not known here; read the compressed file": book.indices is None,
        "each of its inputs adds into several outputs (transposed)": any(len(r.terms) > 1 for r in layer.output.ranks),
        f"its weight has dims besides {', '.join(AXES)}": not weight.dims <= set(AXES),
        "its kernel does not slide over its input": any(_window(layer, source, d) is None for d in moved),
    }
    return next((why for why, holds in reasons.items() if holds), "")


def _window(layer: Layer, source: Tensor, kernel: str) -> Window | None:
    """The window of a kernel dim; None when it moves no input index (size 1)."""
    for rank in source.ranks:
        terms = dict(rank.terms)
        if kernel in terms and len(terms) == 2:
            ((out, stride),) = ((d, c) for d, c in terms.items() if d != kernel)
            return Window(kernel, out, stride, terms[kernel])
    return None


def _patterns(dims: Map[str, int], window: Window | None, tile: Map[str, int]) -> Counter[Pattern]:
    """Which places of the kernel fall together on an input position inside one tile, and how often."""
    if window is None:
        return Counter({(0,): 1})
    sizes = dims[window.out], dims[window.kernel], tile[window.out], tile[window.kernel]
    return _window_patterns(*sizes, window.stride, window.dilation)


@lru_cache(maxsize=1 << 12)
def _window_patterns(out: int, kernel: int, outs: int, kernels: int, stride: int, dilation: int) -> Counter[Pattern]:
    found: Counter[Pattern] = Counter()
    for first_out in range(0, out, outs):
        for first in range(0, kernel, kernels):
            at: dict[int, list[int]] = {}
            for r in range(first, min(first + kernels, kernel)):
                for p in range(first_out, min(first_out + outs, out)):
                    at.setdefault(stride * p + dilation * r, []).append(r)
            found.update(tuple(sorted(set(rows))) for rows in at.values())
    return found


def _mean_places(patterns: Counter[Pattern]) -> float:
    return sum(len(places) * times for places, times in patterns.items()) / patterns.total()


@lru_cache(maxsize=1 << 12)
def distinct(indices: Indices, rows: Pattern, columns: Pattern, channels: int) -> tuple[int, int]:
    """Different centroids at places (rows, columns) of kernels in blocks of `channels` outputs, zero samples left out.

    Summed over groups, input channels and blocks; and the most in one of them.
    """
    index, channel, before = _sequence(indices, rows, columns)
    start = channel // channels * channels
    new = before < start
    if indices.zero >= 0:
        new &= index != indices.zero
    blocks = -(-indices.values.shape[1] // channels)
    per_block = (np.arange(len(index), dtype=np.int64) * blocks)[:, None] + start // channels
    most = np.bincount(per_block[new], minlength=1)
    return int(new.sum()), int(most.max())


Numbers = NDArray[Any]


@lru_cache(maxsize=64)
def _sequence(indices: Indices, rows: Pattern, columns: Pattern) -> tuple[Numbers, Numbers, Numbers]:
    """For each (group, input channel) its indices in order, their output channels, and where each stood last (-1)."""
    picked = indices.values[:, :, :, list(rows)][..., list(columns)]
    groups, outputs, inputs, *kernel = picked.shape
    per_input = picked.transpose(0, 2, 1, 3, 4).reshape(groups * inputs, outputs * prod(kernel)).astype(np.int64)
    keys = np.sort(per_input * outputs + np.repeat(np.arange(outputs), prod(kernel)), axis=1)
    index, channel = np.divmod(keys, outputs)
    before = np.full_like(channel, -1)
    same = index[:, 1:] == index[:, :-1]
    before[:, 1:][same] = channel[:, :-1][same]
    return index.astype(np.int32), channel.astype(np.int32), before.astype(np.int32)
