"""Variants of an accelerator: numbers of its description replaced, every variant read and checked like a file."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import isfinite, prod

from energysim.errors import InputError, unknown
from energysim.hardware.accelerator import Array, Memory
from energysim.hardware.defaults import default_price
from energysim.hardware.fields import REQUIRED_ACTIONS
from energysim.hardware.read import DescribedAccelerator, parse_accelerator, to_yaml
from energysim.yaml_nodes import Node, dump, parse

MOST = 100_000
"""Variants of one sweep at most."""

TOP = ("clock_hz", "idle_power", "compute")
"""What a path may begin with besides the name of a level."""

FILE = "variant"
_PLACE = re.compile(rf"^{FILE}:\d+: ")


@dataclass(frozen=True, slots=True)
class Change:
    """A number in place of another one, or a factor on it (`times`); written "16" or "x2"."""

    number: float
    times: bool = False

    def __str__(self) -> str:
        return f"{'x' * self.times}{self.number:g}"


@dataclass(frozen=True, slots=True)
class Variant:
    """An accelerator with the numbers that were put at the varied paths, in their order."""

    numbers: tuple[float, ...]
    described: DescribedAccelerator


def parse_changes(text: str) -> tuple[str, tuple[Change, ...]]:
    """PATH=VALUE,VALUE,... as a path and changes; raises InputError for what is none."""
    path, equals, values = text.partition("=")
    if not equals or not path or not values:
        raise InputError(f"--vary {text}: write PATH=VALUE,..., as in global_buffer.capacity_bits=x0.5,x1,x2")
    return path, tuple(_change(value.strip(), text) for value in values.split(","))


def _change(value: str, text: str) -> Change:
    times = value.startswith("x")
    try:
        number = float(value[times:])
    except ValueError:
        number = float("nan")
    if not isfinite(number) or number < 0:
        raise InputError(f"--vary {text}: '{value}' is neither a number nor a factor like x2")
    return Change(number, times)


def variants(described: DescribedAccelerator, vary: Mapping[str, Sequence[Change]]) -> Iterator[Variant]:
    """Every combination of changes, the last path changing fastest; `vary`: path to what is put there.

    A path is a level's name and its fields (global_buffer.capacity_bits, spad.energy.read.pj; an axis of an array needs
    its name only, pe.x), or begins with clock_hz, idle_power or compute. Partitions change with the memory they are of,
    and so do prices that the description leaves to defaults; prices that it gives stay, unless they are varied.
    Raises InputError for a path that leads to no number and for a variant that is no sound accelerator.
    """
    number = prod(len(changes) for changes in vary.values())
    if not number or not vary:
        raise InputError("nothing to vary: give at least one path, and values for each")
    if number > MOST:
        raise InputError(f"{number:,} variants; a sweep takes {MOST:,} at most")
    base = parse(to_yaml(described), FILE)
    places = [_place(base, path) for path in vary]
    before = [_number(base, place, path) for place, path in zip(places, vary, strict=True)]
    base = _with_defaults_left_out(base, described, places)
    for changes in product(*vary.values()):
        node, numbers = base, []
        for place, old, change in zip(places, before, changes, strict=True):
            new = old * change.number if change.times else change.number
            # what counts things stays whole
            new = round(new) if isinstance(old, int) else float(new)
            node = _with(node, place, new)
            if place[-1] == "capacity_bits" and "partition_bits" in _at(base, place[:-1]).plain():
                for role, bits in _at(base, (*place[:-1], "partition_bits")).plain().items():
                    node = _with(node, (*place[:-1], "partition_bits", role), int(bits * new / old))
            numbers.append(new)
        try:
            made = parse_accelerator(node, described.name)
        except InputError as error:
            said = ", ".join(f"{path}={number:g}" for path, number in zip(vary, numbers, strict=True))
            lines = dict.fromkeys(_PLACE.sub("", line) for line in str(error).splitlines())
            raise InputError(f"{said}: {'; '.join(lines)}") from error
        yield Variant(tuple(numbers), replace(made, file=described.file))


Place = tuple[str | int, ...]


def _with_defaults_left_out(base: Node, described: DescribedAccelerator, places: Sequence[Place]) -> Node:
    """The description without the prices that came from defaults and are not varied: each variant has its own."""
    accelerator, said = described.accelerator, base.plain()
    if accelerator.technology_nm is None:
        return base
    where: list[Place] = [("levels", i) for i in range(len(accelerator.levels))]
    for component, place in zip((*accelerator.levels, accelerator.compute), [*where, ("compute",)], strict=True):
        kind = "memory" if isinstance(component, Memory) else "array" if isinstance(component, Array) else "compute"
        fields = said[place[0]][place[1]] if len(place) > 1 else said[place[0]]
        for action in REQUIRED_ACTIONS[kind]:
            price = described.table.prices.get((component.name, action, "*"))
            varied = any(each[: len(place) + 2] == (*place, "energy", action) for each in places)
            if price is not None and not varied and price == default_price(accelerator, component, action):
                del fields["energy"][action]
    return parse(dump(said | {"defaults": "allowed"}), FILE)


def _place(base: Node, path: str) -> Place:
    """Where a path leads in the description; raises InputError with the nearest name."""
    levels = {level.get("memory") or level["array"]: i for i, level in enumerate(base["levels"].plain())}
    first, *rest = path.split(".")
    if first in levels:
        place: Place = ("levels", levels[first])
        axes = _at(base, place).plain().get("axes", {})
        if rest and rest[0] in axes:
            rest = ["axes", rest[0], *(rest[1:] or ["size"])]
    elif first in TOP and first in base.plain():
        place = (first,)
    else:
        raise unknown(f"level of --vary {path}", first, [*levels, *TOP])
    for word in rest:
        here = _at(base, place).plain()
        if not isinstance(here, dict) or word not in here:
            raise unknown(f"field of --vary {path}", word, here if isinstance(here, dict) else [])
        place = (*place, word)
    return place


def _at(node: Node, place: Place) -> Node:
    for key in place:
        node = node[key]
    return node


def _number(base: Node, place: Place, path: str) -> int | float:
    """The number that is varied; raises InputError where there is none."""
    value = _at(base, place).value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    inside = f"; it has {', '.join(map(str, value))}" if isinstance(value, dict) else ""
    raise InputError(f"--vary {path}: that is no number{inside}")


def _with(node: Node, place: Place, value: int | float) -> Node:
    """The same description with another number in one place."""
    if not place:
        return replace(node, value=value)
    key, *rest = place
    inner = _with(node[key], tuple(rest), value)
    if isinstance(node.value, list):
        return replace(node, value=[inner if i == key else each for i, each in enumerate(node.value)])
    fields = node.value if isinstance(node.value, dict) else {}
    return replace(node, value={**fields, str(key): inner})
