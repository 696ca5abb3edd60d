"""Constraints as a YAML file of ours, and back: by memory and array, and each remembers its file and line."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from energysim.mapping.constraints import (
    WHOLE,
    AxisDims,
    DimAxes,
    Residence,
    Restriction,
    SpreadLimit,
    TileLimit,
    Untiled,
)
from energysim.workload.layer import DIMS, ROLES
from energysim.yaml_fields import (
    NAME,
    Either,
    Field,
    Fields,
    Integer,
    ListOf,
    MapOf,
    Record,
    Text,
    json_schema,
    read_fields,
)
from energysim.yaml_nodes import Node, Problems, dump, load

_DIM = Text(choices=DIMS, noun="dim")
_DIMS = ListOf(_DIM, unique=True)
_ROLES = ListOf(Text(choices=ROLES, noun="role"), unique=True)
_LIMIT = Record(
    "limit",
    {
        "at_least": Field(Integer(1), "the least; a dim with fewer points has them all", None),
        "at_most": Field(Integer(1), "the most", None),
    },
)
_LIMITS = MapOf(Either((Integer(1), _LIMIT)), keys=_DIM)
_MEMORY = Record(
    "memory constraint",
    {
        "whole": Field(_DIMS, "dims that it holds whole", []),
        "tile": Field(_LIMITS, "dim to the size of its tile here: a number, or at_least and at_most", {}),
        "untiled": Field(_DIMS, "dims over which it has no loop", []),
        "keep": Field(_ROLES, "roles that may not bypass it", []),
        "bypass": Field(_ROLES, "roles that bypass it", []),
    },
)
_ARRAY = Record(
    "array constraint",
    {
        "axes": Field(MapOf(_DIMS), "axis to the only dims that may be spread on it", {}),
        "on": Field(
            MapOf(ListOf(NAME, unique=True), keys=_DIM), "dim to the only axes of this array it is spread on", {}
        ),
        "spread": Field(_LIMITS, "dim to how many instances it is spread over: a number, or at_least and at_most", {}),
    },
)
CONSTRAINTS = Record(
    "constraints",
    {
        "memories": Field(MapOf(_MEMORY), "constraints by name of a memory", {}),
        "arrays": Field(MapOf(_ARRAY), "constraints by name of an array", {}),
    },
)


def constraints_schema() -> dict[str, Any]:
    """The draft-07 JSON Schema of a constraints file, for editors."""
    return json_schema(CONSTRAINTS, "energysim constraints")


def read_constraints(path: str | Path) -> tuple[Restriction, ...]:
    """The constraints in a YAML file; raises InputError with file and line for each mistake.

    Names of memories, arrays and axes are checked where an accelerator is known.
    """
    fields = read_fields(load(path), CONSTRAINTS)
    wrong = Problems(fields.node.file)
    found = [each for name, said in fields["memories"].items() for each in _of_memory(name, said, wrong)]
    found += [each for name, said in fields["arrays"].items() for each in _of_array(name, said, wrong)]
    wrong.check()
    return tuple(found)


def _of_memory(name: str, said: Fields, wrong: Problems) -> Iterator[Restriction]:
    for dim, at in _listed(said, "whole"):
        yield TileLimit(name, dim, WHOLE, where=at)
    for dim, least, most, at in _limits(said, "tile", wrong):
        yield TileLimit(name, dim, least, most, at)
    for dim, at in _listed(said, "untiled"):
        yield Untiled(name, dim, at)
    for field in ("keep", "bypass"):
        for role, at in _listed(said, field):
            yield Residence(name, role, field == "keep", at)


def _of_array(name: str, said: Fields, wrong: Problems) -> Iterator[Restriction]:
    for axis, dims in said["axes"].items():
        yield AxisDims(name, axis, frozenset(dims), _where(said.at("axes")[axis]))
    for dim, axes in said["on"].items():
        yield DimAxes(name, dim, frozenset(axes), _where(said.at("on")[dim]))
    for dim, least, most, at in _limits(said, "spread", wrong):
        yield SpreadLimit(name, dim, least, most, at)


def _where(node: Node) -> str:
    return f"{node.file}:{node.line}"


def _listed(said: Fields, field: str) -> Iterator[tuple[str, str]]:
    """Items of a list, each with its place."""
    yield from ((item, _where(said.at(field)[i])) for i, item in enumerate(said[field]))


def _limits(said: Fields, field: str, wrong: Problems) -> Iterator[tuple[str, int, int | None, str]]:
    """Dim, least, most and place of each limit."""
    for dim, limit in said[field].items():
        node = said.at(field)[dim]
        if isinstance(limit, int):
            yield dim, limit, limit, _where(node)
        elif limit["at_least"] is None and limit["at_most"] is None:
            wrong.add(node, f"{field} of {dim} needs a number, 'at_least' or 'at_most'")
        else:
            yield dim, limit["at_least"] or 1, limit["at_most"], _where(node)


def to_yaml(restrictions: Sequence[Restriction]) -> str:
    """YAML text that `read_constraints` reads back as constraints that mean the same."""
    return yaml_text(plain(restrictions))


def yaml_text(said: dict[str, Any]) -> str:
    """What `plain` returns as the text of a file."""
    return dump(said or {"memories": {}})


def plain(restrictions: Iterable[Restriction]) -> dict[str, Any]:
    """What a constraints file of the same meaning holds, as dicts, lists and scalars; several of a kind are joined."""
    found: dict[str, Any] = {}
    for each in restrictions:
        kind, name = ("memories", each.memory) if hasattr(each, "memory") else ("arrays", each.array)
        said = found.setdefault(kind, {}).setdefault(name, {})
        if isinstance(each, AxisDims):
            axes = said.setdefault("axes", {})
            axes[each.axis] = [d for d in DIMS if d in each.dims and d in axes.get(each.axis, DIMS)]
        elif isinstance(each, DimAxes):
            on = said.setdefault("on", {})
            on[each.dim] = sorted(each.axes & set(on.get(each.dim, each.axes)))
        elif isinstance(each, Residence):
            _append(said, "keep" if each.kept else "bypass", each.role)
        elif isinstance(each, Untiled):
            _append(said, "untiled", each.dim)
        elif isinstance(each, TileLimit) and each.at_least == WHOLE:
            _append(said, "whole", each.dim)
        else:
            limits = said.setdefault("tile" if isinstance(each, TileLimit) else "spread", {})
            limits[each.dim] = _joined(each, limits.get(each.dim, {}))
    return found


def _append(said: dict[str, Any], field: str, name: str) -> None:
    said[field] = list(dict.fromkeys([*said.get(field, ()), name]))


def _joined(each: TileLimit | SpreadLimit, before: Any) -> Any:
    """A limit as a file has it, together with one that was there before."""
    limit = {"at_least": before, "at_most": before} if isinstance(before, int) else before
    least = max(each.at_least, limit.get("at_least", 1))
    most = min((n for n in (each.at_most, limit.get("at_most")) if n is not None), default=None)
    if least == most:
        return least
    return ({"at_least": least} if least > 1 or most is None else {}) | ({} if most is None else {"at_most": most})
