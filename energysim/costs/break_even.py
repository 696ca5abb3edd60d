"""When sharing products pays: how often each must be used, how often it is, and with how many centroids it still would.

A product costs multiplications and a write once, and each use a read and an addition; looking weights up costs every
multiplication anew, and a partial sum for each. Both sides are priced in the innermost memory, where they differ.
"""

from collections.abc import Mapping as Map
from dataclasses import dataclass
from math import inf

from energysim.costs.prices import unit_prices
from energysim.hardware.accelerator import CODEBOOK, PRODUCTS, Accelerator, EnergyTable
from energysim.mapping.counted import LOOK_UP, PARTIAL, PRODUCT, UNIT, Counts, Key
from energysim.mapping.nest import Mapping
from energysim.workload.layer import Layer


@dataclass(frozen=True, slots=True)
class BreakEven:
    """Uses of a product: measured, and from how many on it costs less than looking weights up (inf: never).

    `multiplications` of `dense` are left. `clusters`: up to so many centroids, all used alike, the tile's outputs would
    use each product often enough; 0 when not even one centroid would do.
    """

    uses: float
    needed: float
    multiplications: int
    dense: int
    clusters: int

    @property
    def pays(self) -> bool:
        """Whether products are used often enough."""
        return self.uses >= self.needed


def break_even(
    layer: Layer, accelerator: Accelerator, table: EnergyTable, mapping: Mapping, counts: Counts, requests: float
) -> BreakEven | None:
    """The break-even of a layer that shares products; None where it does not.

    `requests`: products that one input position is asked for within a tile, zero samples included.
    """
    made = counts.values.get((PRODUCTS, "write", PRODUCT))
    sharing = accelerator.sharing
    if not made or sharing is None:
        return None
    multiplied = counts.values[accelerator.compute.name, "multiply", UNIT]
    block = multiplied // made
    memory, unit = sharing.memory, accelerator.compute.name
    weight, source = (next(t.name for t in layer.tensors if t.role == role) for role in ("weight", "input"))
    look_up = (memory if sharing.table_bits is None else CODEBOOK, LOOK_UP, weight)
    sums: tuple[Key, ...] = ((memory, "write", PARTIAL), (memory, "read", PARTIAL))

    def pj(products: bool, *keys: Key) -> float:
        prices: Map[Key, float] = unit_prices(layer, accelerator, table, mapping, keys, products)
        return sum(prices[key] for key in keys)

    add = pj(True, (unit, "add", UNIT))
    product = block * pj(True, (unit, "multiply", UNIT), look_up, (memory, "read", source))
    product += (block - 1) * add + pj(True, (PRODUCTS, "write", PRODUCT))
    use = pj(True, (PRODUCTS, "read", PRODUCT), *sums) + add
    looked_up = block * pj(False, (unit, "mac", UNIT), look_up, (memory, "read", source), *sums)
    needed = product / (looked_up - use) if looked_up > use else inf
    uses = counts.values[PRODUCTS, "read", PRODUCT] / made
    return BreakEven(uses, needed, multiplied, layer.macs, clusters_at_most(requests, needed))


def clusters_at_most(requests: float, uses: float) -> int:
    """The most centroids, each as likely as any other, of which `requests` ask for each at least `uses` times.

    Of K centroids, n requests ask for K (1 - (1 - 1/K)^n) different ones on average.
    """
    if requests < uses:
        return 0
    low, high = 1, 1 << 24
    while low < high:
        middle = (low + high + 1) // 2
        if requests >= uses * middle * (1.0 - (1.0 - 1.0 / middle) ** requests):
            low = middle
        else:
            high = middle - 1
    return low
