"""How tensors are coded where they rest: each encoding answers how many bits one element costs to move."""

from collections.abc import Callable
from types import MappingProxyType


def dense(bits: int, density: float) -> float:
    """Every element at its full width."""
    return float(bits)


def run_length(bits: int, density: float) -> float:
    """Expected bits per element of Eyeriss run-length coding: pairs of a 5-bit zero run and a value, three to a word.

    Chen et al., JSSC 2017. With independent zeros of probability z a pair covers a run of at most 31
    zeros and one value: (1 - z^32) / (1 - z) elements on average; three pairs of 5 + bits, plus 1 bit, make a word.
    A tensor that would grow is left raw, as the chip leaves the first layer's input.
    """
    z = 1.0 - density
    covered = 32.0 if density == 0.0 else (1.0 - z**32) / density
    return min(float(bits), (3 * (5 + bits) + 1) / 3 / covered)


ENCODINGS: MappingProxyType[str, Callable[[int, float], float]] = MappingProxyType(
    {"dense": dense, "run_length": run_length}
)
"""Bits moved per element, by encoding name: `ENCODINGS[name](bits, density)`."""
