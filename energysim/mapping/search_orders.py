"""Loop orders: which orders of one memory's loops differ at all."""

from functools import cache
from itertools import permutations

Signature = tuple[tuple[tuple[str, ...], bool], ...]


@cache
def orders(
    dims: tuple[str, ...], tensors: tuple[tuple[frozenset[str], frozenset[str]], ...]
) -> tuple[tuple[str, ...], ...]:
    """Orders (outermost first) of some dims of which none is as good as another for every tensor.

    `tensors`: for each one the dims that touch it plainly, and those along which it slides. A tensor without windows
    only sees which innermost loops do not touch it. One with windows sees the sequence inside the innermost loop that
    replaces it wholly; a longer such sequence is at least as good, since then more loops can keep words.
    """
    outer = [d for d in dims if all(d in plain for plain, _ in tensors)]
    inner = [d for d in dims if d not in outer]
    best: dict[Signature, tuple[str, ...]] = {}
    for order in permutations(inner):
        best.setdefault(tuple(_seen(order, plain, slides) for plain, slides in tensors), (*outer, *order))
    kept = []
    for one, order in best.items():
        if not any(other != one and all(map(_as_good, other, one)) for other in best):
            kept.append(order)
    return tuple(kept)


def _seen(order: tuple[str, ...], plain: frozenset[str], slides: frozenset[str]) -> tuple[tuple[str, ...], bool]:
    inside: list[str] = []
    for dim in reversed(order):
        if dim in plain:
            break
        inside.append(dim)
    if slides:
        return tuple(inside), True
    return tuple(sorted(inside)), False


def _as_good(one: tuple[tuple[str, ...], bool], other: tuple[tuple[str, ...], bool]) -> bool:
    (mine, sequence), (theirs, _) = one, other
    return mine[: len(theirs)] == theirs if sequence else set(theirs) <= set(mine)
