"""The energy of a full adder, from published adders and multipliers, and how well it tells them again.

A ripple-carry adder of n bits takes n full adders, a Baugh-Wooley multiplier of n x n bits n^2 (Sakr17, DeepK §3).
"""

from dataclasses import dataclass
from functools import cache
from math import exp, fsum, log
from pathlib import Path

NODE_NM, NODE_VOLT = 45.0, 0.9
"""Process of the published figures (Horowitz, ISSCC 2014)."""


@dataclass(frozen=True, slots=True)
class Operator:
    """A published operator: its pJ at 45 nm, and the pJ of its full adders, fitted with and without itself.

    `predicted_pj` is from the fit to all operators, `held_out_pj` from the fit to all others.
    """

    operation: str
    bits: int
    full_adders: int
    published_pj: float
    predicted_pj: float
    held_out_pj: float

    @property
    def error(self) -> float:
        """Of the prediction, relative to the published figure."""
        return self.predicted_pj / self.published_pj - 1.0

    @property
    def held_out_error(self) -> float:
        """Of the prediction by the other operators."""
        return self.held_out_pj / self.published_pj - 1.0


def pj_per_full_adder(technology_nm: float = NODE_NM, volt: float = NODE_VOLT) -> float:
    """pJ of one full adder: geometric mean of pJ / full adders of the published operators, scaled by C V^2."""
    return _mean(_ratios()) * technology_nm / NODE_NM * (volt / NODE_VOLT) ** 2


def operators() -> tuple[Operator, ...]:
    """The published operators beside what their full adders say."""
    ratios = _ratios()
    found = []
    for i, (operation, bits, pj) in enumerate(_published()):
        adders = full_adders_of_operator(operation, bits)
        others = _mean(ratios[:i] + ratios[i + 1 :])
        found.append(Operator(operation, bits, adders, pj, adders * _mean(ratios), adders * others))
    return tuple(found)


def full_adders_of_operator(operation: str, bits: int) -> int:
    """Full adders of an "add" or a "multiply" of two numbers of so many bits."""
    return bits * bits if operation == "multiply" else bits


def _ratios() -> tuple[float, ...]:
    return tuple(pj / full_adders_of_operator(operation, bits) for operation, bits, pj in _published())


def _mean(ratios: tuple[float, ...]) -> float:
    """Geometric: what is judged is the relative error, of small operators as of large ones."""
    return exp(fsum(map(log, ratios)) / len(ratios))


@cache
def _published() -> tuple[tuple[str, int, float], ...]:
    lines = (Path(__file__).parent / "data" / "arithmetic.csv").read_text("utf-8").splitlines()
    rows = [line.split(",") for line in lines if not line.startswith("#")][1:]
    return tuple((operation, int(bits), float(pj)) for operation, bits, pj in rows)
