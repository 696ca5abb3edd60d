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


def fine_sums(values: Any, mass: Any, shift: float, scale: float, sums: Any) -> int:
    """Fills `sums` (n + 1, 5) with running sums of mass, mass x and mass x^2, the last two with what rounding loses.

    x = (value - shift) / scale. Differences of such sums are as exact as 64 bits are for the difference itself.
    """
    of_mass = first = first_low = second = second_low = 0.0
    for i in range(len(values)):
        m = float(mass[i])
        x = (float(values[i]) - shift) / scale
        of_mass += m
        term = m * x
        total = first + term
        part = total - first
        first_low += (first - (total - part)) + (term - part)
        first = total
        term = m * x * x
        total = second + term
        part = total - second
        second_low += (second - (total - part)) + (term - part)
        second = total
        sums[i + 1, 0] = of_mass
        sums[i + 1, 1] = first
        sums[i + 1, 2] = first_low
        sums[i + 1, 3] = second
        sums[i + 1, 4] = second_low
    return 0


def _run_sse(sums: Any, start: int, end: int) -> float:
    """Squared distance of the values from `start` to `end` to their mean."""
    mass = sums[end, 0] - sums[start, 0]
    first = (sums[end, 1] - sums[start, 1]) + (sums[end, 2] - sums[start, 2])
    second = (sums[end, 3] - sums[start, 3]) + (sums[end, 4] - sums[start, 4])
    return float(second - first * first / mass)


def penalised(sums: Any, penalty: float, least: Any, begins: Any, starts: Any, froms: Any) -> int:
    """Fills begins[e] (n + 1,) with the start of the last run before e where every run costs its sse and `penalty`.

    A later start that is better at one end is better at all ends beyond, as the costs are a Monge array: `starts` and
    `froms` (n + 1,) hold which start is the best from which end on. `least` (n + 1,) is the cost before each end.
    """
    count = len(least) - 1
    head = tail = 0
    starts[0] = 0
    froms[0] = 1
    least[0] = 0.0
    for e in range(1, count + 1):
        while head < tail and froms[head + 1] <= e:
            head += 1
        s = starts[head]
        here = least[s] + _run_sse(sums, s, e) + penalty
        least[e] = here
        begins[e] = s
        if e == count:
            break
        while True:
            s = starts[tail]
            before = least[s]
            at = froms[tail] if froms[tail] > e else e + 1
            if here + _run_sse(sums, e, at) < before + _run_sse(sums, s, at):
                if tail > head:
                    tail -= 1
                    continue
                starts[tail] = e
                froms[tail] = at
                break
            step = 64
            while at + step < count and here + _run_sse(sums, e, at + step) >= before + _run_sse(sums, s, at + step):
                at += step
                step += step
            high = at + step if at + step < count else count
            if high == count and here + _run_sse(sums, e, high) >= before + _run_sse(sums, s, high):
                break
            while high - at > 1:
                half = (at + high) >> 1
                if here + _run_sse(sums, e, half) < before + _run_sse(sums, s, half):
                    high = half
                else:
                    at = half
            tail += 1
            starts[tail] = e
            froms[tail] = high
            break
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
