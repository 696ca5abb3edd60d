"""Inner loops of exact clustering in one dimension (compiled: scalar_loops.pxd).

Not compiled they would take minutes for a large weight: their callers then do the same in numpy.
"""

from typing import Any

COMPILED = not __file__.endswith(".py")


def lower_row(
    row: Any, low: int, opened: Any, begin: int, mass: Any, first: Any, second: Any, chosen: Any, from_row: int
) -> int:
    """Lowers row[e - low] to `min over s < e of opened[s - begin] + sse(s, e)`, e from `from_row` to the row's end.

    `mass`, `first` and `second` are the moments before each edge, `chosen` (count + 2,) is room for the best s of each
    row. The best s grows with e: the middle row of a range is searched between the best of its ends.
    """
    count = low + len(row) - from_row
    last = begin + len(opened) - 1
    chosen[0] = begin
    chosen[count + 1] = last
    step = 1
    while 2 * step <= count:
        step = 2 * step
    while step:
        at = step
        while at <= count:
            end = at + from_row - 1
            s = chosen[at - step]
            stop = chosen[at + step] if at + step <= count else last
            stop = min(stop, end - 1)
            place = s
            best = 1e300 * 1e300
            of_mass, of_first, of_second = mass[end], first[end], second[end]
            while s <= stop:
                moment = of_first - first[s]
                cost = of_second - second[s] - moment * moment / (of_mass - mass[s])
                cost = max(cost, 0.0)
                cost += opened[s - begin]
                if cost < best:
                    best = cost
                    place = s
                s += 1
            chosen[at] = place
            row[end - low] = min(row[end - low], best)
            at += 2 * step
        step = step >> 1
    return 0


def kept_sums(values: Any, mass: Any, shift: float, scale: float, step: int, above: Any, below: Any) -> int:
    """Fills `above` and `below` (3 or 4, steps + 1) with sums outwards from the middle to every step-th value.

    Rows are mass, mass x, mass x^2 of x = (value - shift) / scale, and mass (value / scale)^2 where there is a fourth.
    """
    middle = len(values) // 2
    for way in range(2):
        kept = below if way else above
        count = (middle if way else len(values) - middle) // step
        at = middle - 1 if way else middle
        of_mass = of_first = of_second = of_zero = 0.0
        for i in range(count):
            part_mass = part_first = part_second = part_zero = 0.0
            for _ in range(step):
                m = float(mass[at])
                x = (float(values[at]) - shift) / scale
                z = float(values[at]) / scale
                part_mass += m
                part_first += m * x
                part_second += m * x * x
                part_zero += m * z * z
                at += -1 if way else 1
            of_mass += part_mass
            of_first += part_first
            of_second += part_second
            of_zero += part_zero
            kept[0, i + 1] = of_mass
            kept[1, i + 1] = of_first
            kept[2, i + 1] = of_second
            if kept.shape[0] == 4:
                kept[3, i + 1] = of_zero
    return 0


def sums_at(
    values: Any, mass: Any, shift: float, scale: float, step: int, above: Any, below: Any, places: Any, found: Any
) -> int:
    """Fills `found` (3 or 4, m) with the sums before each of the `places` (m,), from what `kept_sums` has kept."""
    middle = len(values) // 2
    for i in range(len(places)):
        place = places[i]
        upwards = place >= middle
        steps = (place - middle) // step if upwards else (middle - place) // step
        low = middle + steps * step if upwards else place
        high = place if upwards else middle - steps * step
        of_mass = of_first = of_second = of_zero = 0.0
        for at in range(low, high):
            m = float(mass[at])
            x = (float(values[at]) - shift) / scale
            z = float(values[at]) / scale
            of_mass += m
            of_first += m * x
            of_second += m * x * x
            of_zero += m * z * z
        if upwards:
            found[0, i] = above[0, steps] + of_mass
            found[1, i] = above[1, steps] + of_first
            found[2, i] = above[2, steps] + of_second
            if found.shape[0] == 4:
                found[3, i] = above[3, steps] + of_zero
        else:
            found[0, i] = -(below[0, steps] + of_mass)
            found[1, i] = -(below[1, steps] + of_first)
            found[2, i] = -(below[2, steps] + of_second)
            if found.shape[0] == 4:
                found[3, i] = -(below[3, steps] + of_zero)
    return 0


def assign(values: Any, weights: Any, firsts: Any, centroids: Any, ranks: Any, labels: Any) -> float:
    """Fills `labels` (n,) with the ranks of the runs that values lie in, and returns the sum of squared distances.

    The j-th run begins at `firsts[j - 1]`; its centroid has the label `ranks[j]`. `weights` are empty for ones.
    """
    weighted = len(weights) > 0
    runs = len(firsts)
    total = 0.0
    for i in range(len(values)):
        value = values[i]
        run = 0
        left = runs
        while left > 0:
            half = (left + 1) >> 1
            run += half if firsts[run + half - 1] <= value else 0
            left -= half
        rank = ranks[run]
        labels[i] = rank
        gap = float(value) - float(centroids[rank])
        total += gap * gap * float(weights[i]) if weighted else gap * gap
    return total
