"""Optimal k-means of numbers for any number of clusters: a price for each cluster takes the place of their number.

The least cost of k clusters is convex in k, so for most k there is a price at which k clusters are the best of all
numbers of them, and without a number to keep to the programme takes O(n log n) (Grønlund et al., *Fast exact k-means,
k-medians and Bregman divergence clustering in 1D*, 2017; from memory, the tests compare with the plain programme).
Where k is skipped at every price (equal gaps between values), optima of fewer and of more clusters hold its cuts in
narrow windows: of two chains of cuts the later one of each pair, and the earlier one, are together no worse (the costs
are a Monge array), so cuts of optima interlace.
"""

import numpy as np
from numpy.typing import NDArray

from energysim.clustering import scalar_loops
from energysim.clustering.running_sums import RunningSums
from energysim.clustering.scalar_layers import Blocks, Places, least_costs, trace

MOST_PRICES = 40
"""Prices that are tried: k itself is found among the first five or so, where it is not skipped."""


def penalised_cuts(line: RunningSums, n_clusters: int, known: float) -> Places:
    """First places (k,) of the clusters of an optimum for the rising values, of which there are more than `n_clusters`.

    `known` is about what k clusters cost. Needs the compiled loops, and 60 bytes a value.
    """
    sums = np.zeros((len(line) + 1, 5))
    scalar_loops.fine_sums(line.values, line.mass, line.shift, line.scale, sums)
    # Costs fall as 1/k^2, so one cluster more is worth twice the cost over k.
    price = max(2 * known / n_clusters, float(np.finfo(np.float64).tiny))
    fewer: tuple[float, Places] | None = None
    more: tuple[float, Places] | None = None
    for turn in range(10 * MOST_PRICES):
        edges = _at_price(sums, price)
        found = len(edges) - 1
        if found == n_clusters:
            return edges[:-1]
        fewer, more = ((price, edges), more) if found < n_clusters else (fewer, (price, edges))
        guess = price * (found / n_clusters) ** 3
        if fewer is not None and more is not None:
            if turn >= MOST_PRICES:
                break
            if turn % 3 == 2 or not more[0] < guess < fewer[0]:
                guess = more[0] + (fewer[0] - more[0]) / 2 if fewer[0] < 2 * more[0] else (more[0] * fewer[0]) ** 0.5
            if not more[0] < guess < fewer[0]:
                break
        price = guess
    if fewer is None or more is None:
        raise ArithmeticError(f"no price gives {n_clusters} clusters")
    del sums
    windows = _windows(fewer[1], more[1], n_clusters)
    places = np.arange(len(line) + 1)
    blocks = Blocks(line.at(places), np.zeros(len(places)))
    return trace(blocks, least_costs(blocks, windows[None]))[0]


def _at_price(sums: NDArray[np.float64], price: float) -> Places:
    """Edges (m + 1,), the first and the last place among them, of the best clusters when each costs `price`."""
    count = len(sums)
    begins, starts, froms = (np.zeros(count, dtype=np.int32) for _ in range(3))
    scalar_loops.penalised(sums, price, np.empty(count), begins, starts, froms)
    edges = [count - 1]
    while edges[-1]:
        edges.append(int(begins[edges[-1]]))
    return np.array(edges[::-1], dtype=np.int64)


def _windows(fewer: Places, more: Places, n_clusters: int) -> Places:
    """First and last place (k + 1, 2) of every edge of some optimum of k clusters, between two other optima's edges."""
    lacking, over = n_clusters - len(fewer) + 1, len(more) - 1 - n_clusters
    # Interlaced with one another first: both stay optima.
    fewer = np.minimum(np.maximum(fewer, more[: len(fewer)]), more[lacking + over :])
    low, high = more[: n_clusters + 1].copy(), more[over:].copy()
    low[lacking:] = np.maximum(low[lacking:], fewer)
    high[: len(fewer)] = np.minimum(high[: len(fewer)], fewer)
    return np.stack((low, high), axis=1)
