"""Layers from loop nests that other tools describe by names of their own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from energysim.errors import InputError
from energysim.workload.layer import DIMS, Layer, Rank, Tensor

Terms = tuple[tuple[str, int], ...]
"""An index as a sum of loops: names with their coefficients."""


@dataclass(frozen=True, slots=True)
class Space:
    """A tensor of a described nest: its name and role, and each index as a sum of loops."""

    name: str
    role: str
    indices: tuple[Terms, ...]
    bits: int = 16
    partial_bits: int = 0


def nest_layer(
    name: str,
    op: str,
    loops: Mapping[str, int],
    spaces: Sequence[Space],
    *,
    known: Mapping[str, str],
    unit: str = "mac",
    parameters: int | None = None,
) -> Layer:
    """A layer of a described loop nest; `known` says which of our dims a loop is, others take what dims are left.

    Parameters are the elements of weights unless given. Raises InputError for more loops than there are dims.
    """
    dims = _dims(name, loops, known)
    tensors = tuple(_tensor(space, dims) for space in spaces)
    sizes = {dims[loop]: size for loop, size in loops.items()}
    sizes |= {dim: 1 for dim in DIMS if dim not in sizes}
    layer = Layer(name, op, sizes, tensors, unit)
    weights = sum(t.elements(layer.dims) for t in tensors if t.name.startswith("weight"))
    return Layer(name, op, sizes, tensors, unit, parameters=weights if parameters is None else parameters)


def _dims(name: str, loops: Mapping[str, int], known: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for loop in loops:
        dim = known.get(loop)
        if dim is not None and dim not in found.values():
            found[loop] = dim
    left = [dim for dim in DIMS if dim not in found.values()]
    for loop in loops:
        if loop in found:
            continue
        if not left:
            raise InputError(f"layer '{name}': has {len(loops)} loops; a layer has at most {len(DIMS)} dims")
        found[loop] = left.pop(0)
    return found


def _tensor(space: Space, dims: Mapping[str, str]) -> Tensor:
    ranks = []
    for i, index in enumerate(space.indices):
        terms = tuple((dims[loop], coefficient) for loop, coefficient in index)
        plain = len(terms) == 1 and terms[0][1] == 1
        ranks.append(Rank(terms[0][0] if plain else _index_name(terms, i), terms))
    return Tensor(space.name, space.role, tuple(ranks), bits=space.bits, partial_bits=space.partial_bits)


def _index_name(terms: Terms, place: int) -> str:
    """H and W for windows along P and Q, as convolutions have them."""
    letters = {dim for dim, _ in terms}
    return "H" if "P" in letters else "W" if "Q" in letters else f"index_{place + 1}"
