"""How tensors are coded where they rest: each encoding says how many bits an element costs to move, and why."""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from types import MappingProxyType
from typing import Any

from energysim.errors import InputError

RELATIVE_BITS = 4
"""Bits of a gap between non-zero elements in Deep Compression's convolutions (Han16, section 2)."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """A coding with a closed form in the density, zeros taken as independent of each other.

    `entries(density)`: stored values per element. `entry_bits`, `element_bits`: metadata bits for each stored value
    and for each element, stored or not. `raw`: whether a tensor that would grow is left as it is.
    """

    about: str
    entries: Callable[[float], float]
    entry_bits: float = 0.0
    element_bits: float = 0.0
    raw: bool = False

    def __call__(self, bits: int, density: float) -> float:
        """Expected bits per element of `bits`, metadata included."""
        coded = self.entries(density) * (bits + self.entry_bits) + self.element_bits
        return min(float(bits), coded) if self.raw else coded

    def metadata_bits(self, bits: int, density: float) -> float:
        """Expected bits per element that are no values: runs, maps, gaps; 0 where the tensor is left raw."""
        return max(0.0, self(bits, density) - self.stored(bits, density) * bits)

    def stored(self, bits: int, density: float) -> float:
        """Values per element that are stored, each of them an event for the decoder; 1 where the tensor is left raw."""
        entries = self.entries(density)
        return 1.0 if self.raw and self(bits, density) == float(bits) else entries


def _runs(bits: int) -> Callable[[float], float]:
    """Pairs of a zero run of at most 2^bits - 1 and a value, per element: z = 1 - density; (1 - z) / (1 - z^2^bits)."""

    def entries(density: float) -> float:
        longest = 1 << bits
        return 1.0 / longest if density == 0.0 else density / (1.0 - (1.0 - density) ** longest)

    return entries


dense = Encoding("every element at its full width", lambda density: 1.0)
run_length = Encoding(
    "Eyeriss: three pairs of a 5-bit zero run and a value, and one bit, to a word (JSSC 2017, section V-D)",
    _runs(5),
    entry_bits=5 + 1 / 3,
    raw=True,
)
bitmap = Encoding("one bit per element says whether it is stored", lambda density: density, element_bits=1.0)
relative_index = Encoding(
    "4-bit gaps between stored elements, as in compressed sparse rows with relative columns (Han16, section 2)",
    _runs(RELATIVE_BITS),
    entry_bits=float(RELATIVE_BITS),
)

ENCODINGS: MappingProxyType[str, Encoding] = MappingProxyType(
    {"dense": dense, "run_length": run_length, "bitmap": bitmap, "relative_index": relative_index}
)
"""Bits moved per element, by encoding name: `ENCODINGS[name](bits, density)`."""


@dataclass(frozen=True, slots=True)
class Indices:
    """Which centroid each sample of a weight is: integers (G, M, C, R, S), 1 where a sample spans all of a dim.

    `zero` is the index of the samples that are zero throughout, -1 where there are none. Codebooks of different blocks
    have different indices. Equal by what it holds.
    """

    values: Any = field(repr=False, compare=False)
    zero: int = -1
    sha256: str = ""

    def __post_init__(self) -> None:
        if getattr(self.values, "ndim", 0) != 5:
            raise InputError("indices of a shared weight have the five axes G, M, C, R, S")
        text = f"{self.values.shape} {self.values.dtype} {self.zero}".encode()
        object.__setattr__(self, "sha256", sha256(text + self.values.tobytes()).hexdigest())


@dataclass(frozen=True, slots=True)
class Codebook:
    """How a weight is shared: its samples are centroids of K `clusters` (times `blocks`), named by an index each.

    `length` elements make a sample; `sample`: dim to how much of it a sample spans, None where samples lie across the
    layer's dims. `index_bits` is the fixed width of an index, `coded_bits` the mean bits of one as the file codes it
    (tables included), `entropy_bits` what no coding of single indices falls below (0: not known). `zero_share` of the
    `samples` are zero throughout. The elements of centroids have the weight's own bits.
    """

    granularity: str
    clusters: int
    length: int
    samples: int
    index_bits: int
    coded_bits: float
    blocks: int = 1
    coding: str = "fixed"
    zero_share: float = 0.0
    entropy_bits: float = 0.0
    sample: tuple[tuple[str, int], ...] | None = None
    indices: Indices | None = None

    def __post_init__(self) -> None:
        for name in ("clusters", "length", "samples", "blocks"):
            if getattr(self, name) < 1:
                raise InputError(f"codebook of {self.granularity}: {name} is {getattr(self, name)}; at least 1")
        if not 0.0 <= self.zero_share <= 1.0 or self.coded_bits < 0.0:
            what = f"zero share {self.zero_share}, {self.coded_bits} bits per coded index"
            raise InputError(f"codebook of {self.granularity}: {what}; shares are 0 to 1, bits at least 0")

    @property
    def entries(self) -> int:
        """Elements of all centroids together."""
        return self.clusters * self.length * self.blocks
