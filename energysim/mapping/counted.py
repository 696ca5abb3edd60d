"""The noun `Counts`, and the names under which things are counted."""

from collections.abc import Mapping as Map
from dataclasses import dataclass

PARTIAL = "partial_sum"
"""The name under which outputs whose reduction is not complete are counted."""

UNIT = "compute"
"""The tensor name under which operations of the compute unit are counted."""

PRODUCT = "product"
"""The tensor name under which products of samples and inputs are counted, where they are shared."""

LOOK_UP = "look_up"
"""The action of reading an element of a centroid out of a codebook."""

Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Counts:
    """`values[component, action, tensor]` in elements (or operations), and `steps`, the cycles of the compute units.

    Actions of a memory: `read` (to the level inside), `write` (from the level inside), `fill` (written from the level
    outside), `drain` (read to the level outside). Of an array: `transfer` (one word to or from one instance below).
    Of the compute unit: `mac` or `op`, with tensor `compute`. Partial sums are counted as `partial_sum`, finished
    outputs under the output's name. Shared weights add `look_up` of a codebook, `multiply` and `add` of the compute
    unit, and the tensors `codebook` and `product` (see `executed`).
    """

    values: Map[Key, int]
    steps: int
