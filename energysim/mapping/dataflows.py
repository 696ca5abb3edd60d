"""Named dataflows: each is a restriction of one and the same map space, written down as data."""

from collections.abc import Mapping as Map
from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType

from energysim.errors import InputError, unknown
from energysim.mapping.constraints import Constraints, Restriction

DATAFLOWS: Map[str, Constraints] = MappingProxyType(
    {
        "unconstrained": Constraints("Any loop in any place: the whole map space."),
        "row_stationary": Constraints(
            "One kernel row stays in an element while an input row slides past it: S whole inside the element, Q "
            "streamed through it; output rows P along the first axis (x), kernel rows R along the second (y), so that "
            "partial sums are added up a column; P folded, and channels and filters replicated, where an axis has room "
            "(Chen et al., ISCA 2016; Chen et al., JSSC 2017, Table III).",
            axes=(frozenset("PMCGN"), frozenset("RPMCG")),
            spread=frozenset("R"),
            whole=frozenset("S"),
            streamed=frozenset("PQRN"),
        ),
        "weight_stationary": Constraints(
            "Each weight is brought into the innermost memory of weights once and used for every output before it "
            "is replaced (layers without weights are not restricted).",
            stationary="weight",
        ),
        "output_stationary": Constraints(
            "Each output stays in the innermost memory of outputs until its sum is complete; partial sums never travel "
            "in time (they may still be added across the array).",
            stationary="output",
        ),
        "input_stationary": Constraints(
            "Each input is brought into the innermost memory of inputs once for all filters that use it.",
            stationary="input",
        ),
    }
)
"""Dataflow name to the restriction of the map space that it stands for."""


def dataflow(name: str, restrictions: Sequence[Restriction] = ()) -> Constraints:
    """The constraints of a dataflow and a user's own together; raises UnknownNameError with the nearest name.

    Raises InputError for restrictions that are none, such as the name of a file.
    """
    if name not in DATAFLOWS:
        raise unknown("dataflow", name, DATAFLOWS)
    for each in restrictions:
        if not isinstance(each, Restriction):
            raise InputError(f"constraints must be what read_constraints returns, not {restrictions!r}")
    return replace(DATAFLOWS[name], restrictions=tuple(restrictions)) if restrictions else DATAFLOWS[name]


__all__ = ["DATAFLOWS", "dataflow"]
