"""Running sums over rising numbers, to be asked at any place, in a fraction of the numbers' own memory."""

import numpy as np
from numpy.typing import NDArray

from energysim.clustering import scalar_loops

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

STEP = 32
"""Numbers between two places whose sums are kept."""
BLOCK = 1 << 17
"""Numbers that are worked on at once: a multiple of STEP."""


class RunningSums:
    """Rising distinct `values` (n,) that carry `mass` (n,), about their median and scaled to about 1.

    Sums of mass, mass x, mass x^2 and, `with_zero`, mass x^2 about zero count from the median outwards, in 64 bits, so
    that an outlier at an end spoils no sum but its own.
    """

    def __init__(self, values: NDArray[np.floating], mass: NDArray[np.number], with_zero: bool) -> None:
        self.values, self.mass, self.rows = values, mass, 4 if with_zero else 3
        self.middle = len(values) // 2
        self.shift = float(values[self.middle])
        largest = max(abs(float(values[0])), abs(float(values[-1])))
        self.scale = max(largest, float(np.finfo(np.float64).tiny))
        self.zero = -self.shift / self.scale
        """Where zero lies among the scaled numbers."""
        self._loop = values, mass, self.shift, self.scale, STEP
        self._above, self._below = self._kept(1), self._kept(-1)
        if scalar_loops.COMPILED:
            scalar_loops.kept_sums(*self._loop, self._above, self._below)

    def __len__(self) -> int:
        return len(self.values)

    def about(self, places: Places) -> Floats:
        """The scaled numbers at these places."""
        found: Floats = (self.values[places].astype(np.float64) - self.shift) / self.scale
        return found

    def place(self, numbers: Floats) -> Places:
        """How many of the values lie below each of the scaled numbers."""
        exact = numbers * self.scale + self.shift
        inside = np.clip(exact, float(self.values[0]), float(self.values[-1]))
        # In the values' own precision, rounded up: no copy of them in 64 bits.
        sought = inside.astype(self.values.dtype)
        sought = np.where(sought < inside, np.nextafter(sought, sought.dtype.type(np.inf)), sought)
        found = np.where(exact > inside, len(self.values), np.searchsorted(self.values, sought))
        return found.astype(np.int64)

    def at(self, places: Places) -> Floats:
        """Sums (rows, m) of the numbers before each of the places (m,)."""
        places = np.asarray(places, dtype=np.int64)
        found = np.empty((self.rows, len(places)))
        if scalar_loops.COMPILED:
            scalar_loops.sums_at(*self._loop, self._above, self._below, places, found)
            return found
        for start in range(0, len(places), BLOCK // STEP):
            part = slice(start, start + BLOCK // STEP)
            found[:, part] = self._at(places[part])
        return found

    def _at(self, places: Places) -> Floats:
        away = places - self.middle
        steps = np.abs(away) // STEP
        begin = self.middle + np.sign(away) * steps * STEP
        low, high = np.minimum(begin, places), np.maximum(begin, places)
        inside = low[:, None] + np.arange(STEP)
        terms = self._terms(np.minimum(inside, len(self.values) - 1), inside < high[:, None]).sum(axis=2)
        kept: Floats = np.where(away >= 0, self._above[:, np.where(away >= 0, steps, 0)] + terms, 0.0)
        np.copyto(kept, -(self._below[:, np.where(away < 0, steps, 0)] + terms), where=away < 0)
        return kept

    def _terms(self, places: Places, counted: NDArray[np.bool_]) -> Floats:
        """What the numbers at these places add to each sum, (rows, *places.shape)."""
        x, mass = self.about(places), self.mass[places] * counted
        terms = np.empty((self.rows, *places.shape))
        np.copyto(terms[0], mass)
        np.multiply(mass, x, out=terms[1])
        np.multiply(terms[1], x, out=terms[2])
        if self.rows == 4:
            np.multiply(mass, (self.values[places].astype(np.float64) / self.scale) ** 2, out=terms[3])
        return terms

    def _kept(self, way: int) -> Floats:
        """Sums (rows, steps + 1) outwards from the middle to every STEP-th place, upwards or downwards."""
        count = len(self.values) - self.middle if way > 0 else self.middle
        kept = np.zeros((self.rows, count // STEP + 1))
        if scalar_loops.COMPILED:
            return kept
        for start in range(0, count // STEP * STEP, BLOCK):
            offsets = np.arange(start, min(start + BLOCK, count // STEP * STEP))
            places = self.middle + offsets if way > 0 else self.middle - 1 - offsets
            sums = self._terms(places, np.ones(len(places), dtype=np.bool_)).reshape(self.rows, -1, STEP).sum(axis=2)
            kept[:, start // STEP + 1 :][:, : sums.shape[1]] = sums
        return np.cumsum(kept, axis=1, out=kept)
