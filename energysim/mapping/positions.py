"""One-dimensional sums behind the closed form: how much of one tensor index is held, and how much of it stays.

A tile is a product over ranks, and every loop moves one rank only, so counts are products of sums over the positions
of a single rank (ARCHITECTURE, "Counting"). Here is that one rank: its dims with their coefficients, and for each dim
its size and its loops, outermost first, each with a part:

FREE    sum over all its indices (a loop outside, or instances that share nothing)
OWN     the loop that just advanced: indices 1 and up, before the step one less
RESET   a temporal loop inside the one that advanced: now at 0, before the step at its last index
SHARED  instances that take a word together (multicast, reduction)
PASSED  instances that also pass on what they held (forwarding)
INSIDE  part of the tile
"""

from collections import Counter
from functools import lru_cache
from itertools import product
from math import prod

import numpy as np

FREE, OWN, RESET, SHARED, PASSED, INSIDE = range(6)

Loops = tuple[tuple[int, int], ...]
Dim = tuple[int, int, Loops]
"""Coefficient, size and loops (bound, part) of one dim of a rank; coefficient 0 for a dim the tensor does not have."""


@lru_cache(maxsize=1 << 16)
def held_and_kept(rank: tuple[Dim, ...]) -> tuple[int, int]:
    """Sums over all positions of a rank: words needed, and of those the words that need not be brought.

    A word is kept when every SHARED group of instances that needs it held it (or one of its PASSED members did) one
    step before.
    """
    if len(rank) > 1:
        return _held_and_kept_by_masks(rank)
    coefficient, size, loops = rank[0]
    own = any(part == OWN for _, part in loops)
    if coefficient == 0:
        fixed = _covered(size, loops, (FREE, OWN)) - (_covered(size, loops, (FREE,)) if own else 0)
        return fixed, fixed
    moving = (FREE, SHARED, PASSED, INSIDE)
    held = _covered(size, loops, (*moving, OWN)) - (_covered(size, loops, moving) if own else 0)
    return held, 0 if own else _unmoved(size, loops, held)


def _covered(size: int, loops: Loops, moving: tuple[int, ...]) -> int:
    """How many coordinates below `size` have index 0 in every loop that is not `moving`."""
    stride = prod(bound for bound, _ in loops)
    inside = prod(bound for bound, part in loops if part in moving)
    total, left = 0, size
    for bound, part in loops:
        stride //= bound
        if part in moving:
            inside //= bound
            total += left // stride * inside
            left %= stride
        else:
            left = min(left, stride)
    return total + left


def _unmoved(size: int, loops: Loops, held: int) -> int:
    """Coordinates whose instance has nothing to reset: every RESET loop already ends at its index 0 (ragged tails)."""
    stride, least = prod(bound for bound, _ in loops), 0
    for bound, part in loops:
        stride //= bound
        if part == RESET and bound > 1:
            least = stride
    if least == 0:
        return held
    tile = prod(bound for bound, part in loops if part == INSIDE)
    moved = min(size, -(-max(0, size - least) // tile) * tile)
    return held - (_covered(moved, loops, (FREE, SHARED, PASSED, INSIDE)) if moved else 0)


@lru_cache(maxsize=1 << 12)
def _mask(sizes: tuple[int, ...], coefficients: tuple[int, ...]) -> int:
    """The set {sum of coefficient * x, x below size} as bits."""
    mask = 1
    for size, coefficient in zip(sizes, coefficients, strict=True):
        grown, shift = mask, coefficient
        done = 1
        while done < size:
            step = min(done, size - done)
            grown |= grown << (shift * step)
            done += step
        mask = grown
    return mask


Interval = tuple[int, int]


@lru_cache(maxsize=1 << 14)
def _places(size: int, loops: Loops) -> tuple[tuple[int, tuple[tuple[int, int, Interval, Interval], ...]], ...]:
    """Distinct situations of one dim: how often each occurs, and per busy instance (shared, passed, new, old interval).

    Intervals are (start, length) from the first coordinate of the situation.
    """
    strides = [prod(bound for bound, _ in loops[i + 1 :]) for i in range(len(loops))]
    bases = np.zeros(1, dtype=np.int64)
    back = span = 0
    for (bound, part), stride in zip(loops, strides, strict=True):
        if part in (FREE, OWN):
            steps = np.arange(int(part == OWN), bound, dtype=np.int64) * stride
            bases = (bases[:, None] + steps).ravel()
            back = stride if part == OWN else back
        else:
            span += (bound - 1) * stride
    left = size - bases[bases < size]
    reach = Counter(zip(np.minimum(left, span + 1).tolist(), np.minimum(left + back, span + 1).tolist(), strict=True))
    tile = prod(bound for bound, part in loops if part == INSIDE)
    instances = [
        [index * stride for index in range(bound)]
        for (bound, part), stride in zip(loops, strides, strict=True)
        if part in (SHARED, PASSED)
    ]
    kinds = [part for _, part in loops if part in (SHARED, PASSED)]
    resets = [(bound, stride) for (bound, part), stride in zip(loops, strides, strict=True) if part == RESET]
    found = []
    for (now, before), often in reach.items():
        busy = []
        for offsets in product(*instances):
            start = sum(offsets)
            if start >= now:
                continue
            last = start
            for bound, stride in resets:
                last += min(bound - 1, (before - 1 - last) // stride) * stride
            shared = sum(x for x, kind in zip(offsets, kinds, strict=True) if kind == SHARED)
            new = (start, min(tile, now - start))
            busy.append((shared, start - shared, new, (last - back, min(tile, before - last))))
        found.append((often, tuple(busy)))
    return tuple(found)


def _held_and_kept_by_masks(rank: tuple[Dim, ...]) -> tuple[int, int]:
    """The same by sets of positions (as bits), for ranks of several dims: sliding windows, with any spreading."""
    coefficients = tuple(coefficient for coefficient, _, _ in rank)
    shift = sum(coefficient * size for coefficient, size, _ in rank)
    held = kept = 0
    for situation in product(*(_places(size, loops) for _, size, loops in rank)):
        often = prod(n for n, _ in situation)
        needs: dict[tuple[int, ...], int] = {}
        has: dict[tuple[int, ...], int] = {}
        for instance in product(*(busy for _, busy in situation)):
            member = tuple(shared for shared, _, _, _ in instance)
            for sets, which in ((needs, 2), (has, 3)):
                intervals: list[Interval] = [place[which] for place in instance]  # type: ignore[misc]
                start = shift + sum(c * first for c, (first, _) in zip(coefficients, intervals, strict=True))
                mask = _mask(tuple(length for _, length in intervals), coefficients) << start
                sets[member] = sets.get(member, 0) | mask
        union = fresh = 0
        for member, wanted in needs.items():
            union |= wanted
            fresh |= wanted & ~has[member]
        held += often * union.bit_count()
        kept += often * (union.bit_count() - fresh.bit_count())
    return held, kept


@lru_cache(maxsize=1 << 16)
def visited(rank: tuple[Dim, ...]) -> tuple[int, int]:
    """Over instances of the FREE loops: pairs of instance and position touched, and positions of one instance only."""
    if len(rank) == 1:
        coefficient, size, loops = rank[0]
        if coefficient:
            return size, size
        instances = _covered(size, loops, (FREE,))
        return instances, int(instances == 1)
    sets = []
    for _, size, loops in rank:
        strides = [prod(bound for bound, _ in loops[i + 1 :]) for i in range(len(loops))]
        where: dict[tuple[int, ...], int] = {}
        for x in range(size):
            place = tuple(x // s % b for (b, part), s in zip(loops, strides, strict=True) if part == FREE)
            where[place] = where.get(place, 0) | 1 << x
        sets.append(list(where.values()))
    pairs = once = twice = 0
    for parts in product(*sets):
        touched = 1
        for (coefficient, size, _), part in zip(rank, parts, strict=True):
            grown = 0
            for x in range(size):
                if part >> x & 1:
                    grown |= touched << (coefficient * x)
            touched = grown
        pairs += touched.bit_count()
        twice |= once & touched
        once |= touched
    return pairs, (once & ~twice).bit_count()
