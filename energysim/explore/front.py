"""What no other choice beats in both energy and time."""

from collections.abc import Sequence
from math import inf


def unbeaten(choices: Sequence[tuple[float, float]]) -> frozenset[int]:
    """Positions of the pairs (energy, time) of which no other has at most as much of both and less of one."""
    found: list[int] = []
    fastest, energy_there = inf, inf
    for i in sorted(range(len(choices)), key=lambda i: choices[i]):
        energy, time = choices[i]
        if time < fastest or (time == fastest and energy == energy_there):
            found.append(i)
            fastest, energy_there = time, energy
    return frozenset(found)
