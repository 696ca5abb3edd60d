"""Declared fields: one description drives both the reader of YAML nodes and the JSON Schema, so they cannot disagree.

A kind (`Integer`, `Number`, `Text`, `Flag`, `ListOf`, `MapOf`, `Record`, `Tagged`, `Either`) has `read(node, what,
problems)`, which returns the value or notes a problem and returns None, and `schema()`, its draft-07 JSON Schema.
`read_fields(node, record)` reads a whole file and raises every mistake in one InputError.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from energysim.errors import nearest, unknown
from energysim.yaml_nodes import Node, Problems, shown

LARGEST = 2**53 - 1
"""No integer or number in a file of ours may be larger."""


class Kind(Protocol):
    """What a value may be."""

    @property
    def expected(self) -> str:
        """What to say is expected, as in "an integer of at least 1"."""

    def read(self, node: Node, what: str, problems: Problems) -> Any:
        """The value of a node, or None after noting why it is wrong; `what` names the field in messages."""

    def schema(self) -> dict[str, Any]:
        """The same, as a JSON Schema."""


def found(node: Node) -> str:
    """What a node holds, as in "the text 'no'"."""
    if isinstance(node.value, str):
        return f"the text '{shown(node.value)}'"
    if isinstance(node.value, (list, dict)):
        return "a list" if isinstance(node.value, list) else "a mapping"
    words = {None: "nothing", True: "true", False: "false"}
    return words[node.value] if node.value is None or isinstance(node.value, bool) else shown(str(node.value))


def _note(problems: Problems, node: Node, what: str) -> Any:
    """Add a problem; the value in its stead is None."""
    problems.add(node, what)
    return None


def _refuse(kind: Kind, node: Node, what: str, problems: Problems) -> Any:
    return _note(problems, node, f"{what} must be {kind.expected}, not {found(node)}")


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number; 16e3 counts as one."""

    minimum: int = 0
    maximum: int = LARGEST

    @property
    def expected(self) -> str:
        """As in "an integer of at least 1"."""
        upper = "" if self.maximum == LARGEST else f" and at most {self.maximum}"
        return f"an integer of at least {self.minimum}{upper}"

    def read(self, node: Node, what: str, problems: Problems) -> Any:
        """The integer."""
        value = node.value
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not self.minimum <= value <= self.maximum:
            return _refuse(self, node, what, problems)
        return value

    def schema(self) -> dict[str, Any]:
        """Type integer with its range."""
        return {"type": "integer", "minimum": self.minimum, "maximum": self.maximum}


@dataclass(frozen=True, slots=True)
class Number:
    """A finite number, at least `minimum`, or above it where `exclusive`; always read as a float."""

    minimum: float = 0
    exclusive: bool = False
    maximum: float = LARGEST

    @property
    def expected(self) -> str:
        """As in "a number above 0"."""
        lower = f"above {self.minimum:g}" if self.exclusive else f"of at least {self.minimum:g}"
        return f"a number {lower}" + ("" if self.maximum == LARGEST else f" and at most {self.maximum:g}")

    def read(self, node: Node, what: str, problems: Problems) -> Any:
        """The number as a float."""
        value = node.value
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not self._within(value):
            return _refuse(self, node, what, problems)
        return float(value)

    def _within(self, value: float) -> bool:
        return (self.minimum < value if self.exclusive else self.minimum <= value) and value <= self.maximum

    def schema(self) -> dict[str, Any]:
        """Type number with its range."""
        lower = "exclusiveMinimum" if self.exclusive else "minimum"
        return {"type": "number", lower: self.minimum, "maximum": self.maximum}


@dataclass(frozen=True, slots=True)
class Text:
    """A text that is not empty; `choices` or a regular expression may restrict it, which `form` puts in words.

    `noun` is what to call one of the choices in messages (default: the field's name).
    """

    choices: tuple[str, ...] = ()
    pattern: str = ""
    form: str = "a text"
    noun: str = ""

    @property
    def expected(self) -> str:
        """As in "one of weight, input, output"."""
        if len(self.choices) == 1:
            return f"'{self.choices[0]}'"
        return f"one of {', '.join(self.choices)}" if self.choices else self.form

    def read(self, node: Node, what: str, problems: Problems) -> Any:
        """The text."""
        value = node.value
        if self.choices and isinstance(value, str) and value not in self.choices:
            return _note(problems, node, str(unknown(self.noun or what, shown(value), self.choices)))
        if not isinstance(value, str) or not value or (self.pattern and not re.fullmatch(self.pattern, value)):
            return _refuse(self, node, what, problems)
        return value

    def schema(self) -> dict[str, Any]:
        """Type string with its choices or pattern."""
        if self.choices:
            return {"enum": list(self.choices)}
        return (
            {"type": "string", "pattern": f"^(?:{self.pattern})$"}
            if self.pattern
            else {
                "type": "string",
                "minLength": 1,
            }
        )


NAME = Text(pattern="[A-Za-z_][A-Za-z0-9_]*", form="a name (letters, digits and _, not starting with a digit)")


@dataclass(frozen=True, slots=True)
class Flag:
    """true or false."""

    expected: str = "true or false"

    def read(self, node: Node, what: str, problems: Problems) -> Any:
        """The flag."""
        return node.value if isinstance(node.value, bool) else _refuse(self, node, what, problems)

    def schema(self) -> dict[str, Any]:
        """Type boolean."""
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of one kind, of at least `minimum_items`; no scalar twice where `unique`."""

    kind: Kind
    minimum_items: int = 0
    unique: bool = False

    @property
    def expected(self) -> str:
        """As in "a list of at least 1 item"."""
        return f"a list of at least {self.minimum_items}" if self.minimum_items else "a list"

    def read(self, node: Node, what: str, problems: Problems) -> Any:
        """The values."""
        if not isinstance(node.value, list):
            return _refuse(self, node, what, problems)
        if len(node.value) < self.minimum_items:
            return _note(problems, node, f"{what} must be {self.expected}, has {len(node.value)}")
        values = [self.kind.read(item, what, problems) for item in node.value]
        for i, item in enumerate(node.value if self.unique else ()):
            if values[i] is not None and values[i] in values[:i]:
                problems.add(item, f"{what} lists '{shown(str(values[i]))}' twice")
        return values

    def schema(self) -> dict[str, Any]:
        """Type array."""
        extra: dict[str, Any] = {"minItems": self.minimum_items} if self.minimum_items else {}
        return {"type": "array", "items": self.kind.schema()} | extra | ({"uniqueItems": True} if self.unique else {})


@dataclass(frozen=True, slots=True)
class Either:
    """The first of several kinds whose JSON type fits; `kinds` must differ in type."""

    kinds: tuple[Kind, ...]

    @property
    def expected(self) -> str:
        """As in "an integer of at least 1, or 'unlimited'"."""
        return ", or ".join(kind.expected for kind in self.kinds)

    def read(self, node: Node, what: str, problems: Problems) -> Any:
        """The value of the kind that takes it."""
        for kind in self.kinds:
            trial = Problems(problems.file)
            value = kind.read(node, what, trial)
            if not trial.found:
                return value
            fitting = (ListOf, list) if isinstance(node.value, list) else (Record, dict)
            if isinstance(kind, fitting[0]) and isinstance(node.value, fitting[1]):
                return kind.read(node, what, problems)
        return _refuse(self, node, what, problems)

    def schema(self) -> dict[str, Any]:
        """Any of the kinds."""
        return {"anyOf": [kind.schema() for kind in self.kinds]}


@dataclass(frozen=True, slots=True)
class MapOf:
    """A mapping from names (of kind `keys`) to one kind, with at least `minimum_items` entries."""

    kind: Kind
    keys: Text = NAME
    minimum_items: int = 0

    @property
    def expected(self) -> str:
        """As in "a mapping"."""
        return f"a mapping of at least {self.minimum_items}" if self.minimum_items else "a mapping"

    def read(self, node: Node, what: str, problems: Problems) -> Any:
        """The values by key."""
        if not isinstance(node.value, dict):
            return _refuse(self, node, what, problems)
        if len(node.value) < self.minimum_items:
            return _note(problems, node, f"{what} must be {self.expected}, has {len(node.value)}")
        result = Fields(node)
        for key, item in node.value.items():
            name = self.keys.read(Node(key, item.file, item.line), f"key of {what}", problems)
            result[key] = None if name is None else self.kind.read(item, key, problems)
        return result

    def schema(self) -> dict[str, Any]:
        """Type object with any property name that `keys` allows."""
        extra: dict[str, Any] = {"minProperties": self.minimum_items} if self.minimum_items else {}
        shape = {"type": "object", "additionalProperties": self.kind.schema(), "propertyNames": self.keys.schema()}
        return shape | extra


class _Required:
    """Marks a field that has no default."""

    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED = _Required()


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a record: its kind, what it is about (shown in the schema), and its default unless required."""

    kind: Kind
    about: str
    default: Any = REQUIRED


class Fields(dict[str, Any]):
    """Values by field name; `node` is the mapping they came from: `fields.node["clock_hz"].line`."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.node = node

    def at(self, name: str) -> Node:
        """The node of a field, or of the whole mapping when the field took its default."""
        given = self.node.value
        return given.get(name, self.node) if isinstance(given, dict) else self.node


@dataclass(frozen=True, slots=True)
class Record:
    """A mapping with declared fields; `title` is its name in messages ("unknown memory field ...")."""

    title: str
    fields: Mapping[str, Field]

    @property
    def expected(self) -> str:
        """As in "a mapping of memory fields"."""
        return f"a mapping of {self.title} fields"

    def read(self, node: Node, what: str, problems: Problems) -> Any:
        """The values by field name, defaults filled in."""
        given = node.value
        if not isinstance(given, dict):
            return _refuse(self, node, what, problems)
        result = Fields(node)
        mistaken = self._refuse_unknown(given, problems)
        for name, field in self.fields.items():
            if name in given:
                result[name] = field.kind.read(given[name], name, problems)
            elif not isinstance(field.default, _Required):
                result[name] = field.default
            elif f"'{name}'" not in mistaken:
                problems.add(node, f"{self.title} field '{name}' is missing")
        return result

    def _refuse_unknown(self, given: Mapping[str, Node], problems: Problems) -> str:
        """Note every unknown field; returns the hints given, so that a misspelt field is not also called missing."""
        hints = ""
        for name in given:
            if name in self.fields:
                continue
            hint = "" if problems.full else nearest(name[:100], self.fields)
            hint = hint or f"; known: {', '.join(self.fields)}"
            problems.add(given[name], f"unknown {self.title} field '{shown(name)}'{hint}")
            hints += hint if "did you mean" in hint else ""
        return hints

    def schema(self) -> dict[str, Any]:
        """Type object with its properties, no others."""
        properties = {}
        for name, field in self.fields.items():
            properties[name] = field.kind.schema() | {"description": field.about}
        required = [name for name, field in self.fields.items() if isinstance(field.default, _Required)]
        shape = {"type": "object", "properties": properties, "additionalProperties": False}
        return shape | ({"required": required} if required else {})


@dataclass(frozen=True, slots=True)
class Tagged:
    """One of several records, told apart by which of their tag fields is there."""

    records: Mapping[str, Record]

    @property
    def expected(self) -> str:
        """As in "a mapping with 'memory' or 'array'"."""
        return "a mapping with " + " or ".join(f"'{tag}'" for tag in self.records)

    def read(self, node: Node, what: str, problems: Problems) -> Any:
        """The values of the record whose tag is there."""
        for tag, record in self.records.items():
            if isinstance(node.value, dict) and tag in node.value:
                return record.read(node, what, problems)
        return _refuse(self, node, what, problems)

    def schema(self) -> dict[str, Any]:
        """Any of the records."""
        return {"anyOf": [record.schema() for record in self.records.values()]}


def read_fields(node: Node, record: Record) -> Fields:
    """All fields of a file's top-level mapping; raises one InputError that lists every mistake by line."""
    problems = Problems(node.file)
    fields: Fields = record.read(node, record.title, problems)
    problems.check()
    return fields


def json_schema(record: Record, title: str) -> dict[str, Any]:
    """The draft-07 JSON Schema of a file whose top level is `record`."""
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": title} | record.schema()
