"""The lattice of tiles as the compiled search takes it: products, ratios, and where last tiles may be partial."""

from functools import lru_cache
from typing import Any

import numpy as np

from energysim.mapping.search_space import Lattice, primes


def lattice_tables(lattice: Lattice) -> dict[str, Any]:
    """Tables of the lattice of tiles alone."""
    number, wide = len(lattice.dims), max(lattice.shape)
    value = np.ones((number, wide), dtype=np.int64)
    product = np.full((number, wide, wide), -1, dtype=np.int64)
    ratio = np.zeros((number, wide, wide), dtype=np.int64)
    by_prime = np.zeros((number, wide, wide), dtype=np.uint8)
    for d, values in enumerate(lattice.values):
        many = len(values)
        value[d, :many] = values
        tables = _of_dim(tuple(values.tolist()), lattice.ragged)
        product[d, :many, :many], ratio[d, :many, :many], by_prime[d, :many, :many] = tables
    return {
        "dims": number,
        "size": lattice.size,
        "count": np.array(lattice.shape, dtype=np.int64),
        "stride": np.array(lattice.strides, dtype=np.int64),
        "digits": np.stack(np.unravel_index(np.arange(lattice.size), lattice.shape), axis=1).astype(np.int16),
        "value": value,
        "product": product,
        "ratio": ratio,
        "by_prime": by_prime,
        "volume": lattice.product(frozenset(lattice.dims)),
        "passes_of": tiles_outside(lattice, frozenset()),
        **partial_tables(lattice, ratio),
    }


@lru_cache(maxsize=1 << 9)
def _of_dim(sizes: tuple[int, ...], ragged: bool) -> tuple[Any, Any, Any]:
    """Of a dim's tile sizes the number of the product of two, their ratio, and steps from which all multiples follow.

    These are steps of a prime, or any where last tiles may be partial.
    """
    values = np.array(sizes, dtype=np.int64)
    many, outer, inner = len(values), values[:, None], values[None, :]
    place = np.searchsorted(values, outer * inner)
    exists = values[np.minimum(place, many - 1)] == outer * inner
    product = np.where(exists, place, -1)
    ratio = np.where(outer % inner == 0, outer // inner, 0)
    # the last of the tiles of a whole dim may be partial, in time or on an array
    ratio[many - 1] = -(-values[-1] // values)
    product[(outer * inner > values[-1]) & (outer * (inner - 1) < values[-1])] = many - 1
    steps = ratio > 1 if ragged else np.isin(ratio, primes(sizes[-1]))
    return product, ratio, steps.view(np.uint8)


def partial_tables(lattice: Lattice, ratio: Any) -> dict[str, Any]:
    """Where a partial last tile lets an instance stay while loops return, and the share of a dim that surely moves.

    Of the last tile of size x, whose loop takes tiles of size w, instances that find nothing in a second step of
    the loop hold their words when it returns.
    """
    if not lattice.ragged:
        by_parts = np.zeros(len(lattice.dims), dtype=np.int64)
        none = {"returns": np.zeros((1, 1, 1), dtype=np.uint8), "moving": np.ones((1, 1))}
        return {"ragged": 0, "by_parts": by_parts, **none}
    returns, moving = np.zeros(ratio.shape, dtype=np.uint8), np.ones(ratio.shape[:2])
    for d, values in enumerate(lattice.values):
        size = int(values[-1])
        for x, outer in enumerate(values.tolist()):
            rest = size - (-(-size // outer) - 1) * outer
            for w, whole in enumerate(values.tolist()):
                if w < x and ratio[d, x, w] and rest < 2 * whole:
                    returns[d, x, w] = 1
                    waiting = rest if rest <= whole else 2 * whole - rest
                    # so do the tiles that arrays inside take of it
                    inside = whole % values == 0
                    moving[d, : len(values)][inside] = np.minimum(
                        moving[d, : len(values)][inside], 1.0 - waiting / size
                    )
    by_parts = np.array([int((values[-1] % values).any()) for values in lattice.values], dtype=np.int64)
    return {"ragged": 1, "by_parts": by_parts, "returns": returns, "moving": moving}


def tiles_outside(lattice: Lattice, plain: frozenset[str]) -> Any:
    """Tiles of the whole layer, over the lattice, counting all dims but those that index a tensor plainly."""
    total = np.ones(lattice.shape)
    for i, (d, values) in enumerate(zip(lattice.dims, lattice.values, strict=True)):
        if d not in plain:
            total = total * lattice.spread((-(-values[-1] // values)).astype(float), (i,))
    return total.reshape(-1)


__all__ = ["lattice_tables", "partial_tables", "tiles_outside"]
