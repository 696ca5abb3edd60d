"""Declared fields: what they read, how they refuse, and that the schema says the same."""

import jsonschema
import pytest

from energysim.errors import InputError
from energysim.yaml_fields import (
    NAME,
    Either,
    Field,
    Flag,
    Integer,
    ListOf,
    MapOf,
    Number,
    Record,
    Tagged,
    Text,
    json_schema,
    read_fields,
)
from energysim.yaml_nodes import parse

ROLES = Text(choices=("weight", "input", "output"))
MEMORY = Record("memory", {"memory": Field(NAME, "name"), "capacity_bits": Field(Integer(1), "bits")})
ARRAY = Record("array", {"array": Field(NAME, "name"), "reduction": Field(Flag(), "adds", True)})
FILE = Record(
    "test",
    {
        "clock_hz": Field(Number(exclusive=True), "clock"),
        "roles": Field(ListOf(ROLES, unique=True), "roles", []),
        "share": Field(Number(maximum=1), "share", 0.5),
        "levels": Field(ListOf(Tagged({"memory": MEMORY, "array": ARRAY}), minimum_items=1), "levels", []),
        "sizes": Field(MapOf(Integer(1, 8), minimum_items=1), "sizes", {}),
        "limit": Field(Either((Integer(1), Text(choices=("unlimited",)))), "limit", None),
    },
)


def messages(text: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        read_fields(parse(text, "f.yaml"), FILE)
    return str(caught.value).splitlines()


def test_values_defaults_and_lines() -> None:
    fields = read_fields(parse("clock_hz: 1\nlevels:\n- memory: a\n  capacity_bits: 16e3\n", "f.yaml"), FILE)
    assert (fields["clock_hz"], type(fields["clock_hz"])) == (1.0, float)
    memory = fields["levels"][0]
    assert (memory["capacity_bits"], type(memory["capacity_bits"])) == (16000, int)
    assert (memory.at("capacity_bits").line, memory.at("absent").line) == (4, 3)
    assert (fields["share"], fields["limit"], fields["roles"]) == (0.5, None, [])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("clock_hz: 0", "clock_hz must be a number above 0, not 0"),
        ("clock_hz: fast", "clock_hz must be a number above 0, not the text 'fast'"),
        ("clock_hz: true", "clock_hz must be a number above 0, not true"),
        ("clock_hz:", "clock_hz must be a number above 0, not nothing"),
        ("clock_hz: .inf", "clock_hz must be a number above 0, not inf"),
        ("clock_hz: .nan", "clock_hz must be a number above 0, not nan"),
        ("clock_hz: [1]", "clock_hz must be a number above 0, not a list"),
        ("share: 1.5", "share must be a number of at least 0 and at most 1, not 1.5"),
        ("roles: weight", "roles must be a list, not the text 'weight'"),
        ("roles: [wieght]", "unknown roles 'wieght'; did you mean 'weight'?"),
        ("roles: [input, input]", "roles lists 'input' twice"),
        ("roles: [3]", "roles must be one of weight, input, output, not 3"),
        ("levels: []", "levels must be a list of at least 1, has 0"),
        ("levels: [{capacity_bits: 3}]", "levels must be a mapping with 'memory' or 'array', not a mapping"),
        ("levels: [{array: a, reduction: no}]", "reduction must be true or false, not the text 'no'"),
        ("levels: [{memory: a, capacity_bits: -8}]", "capacity_bits must be an integer of at least 1, not -8"),
        ("levels: [{memory: a}]", "memory field 'capacity_bits' is missing"),
        (
            "levels: [{memory: a, capacity_bit: 8}]",
            "unknown memory field 'capacity_bit'; did you mean 'capacity_bits'?",
        ),
        (
            "levels: [{memory: 2x, capacity_bits: 8}]",
            "memory must be a name (letters, digits and _, not starting with a digit), not the text '2x'",
        ),
        ("sizes: {x: 9}", "x must be an integer of at least 1 and at most 8, not 9"),
        ("sizes: {}", "sizes must be a mapping of at least 1, has 0"),
        ("sizes: {x-y: 1}", f"key of sizes must be {NAME.form}, not the text 'x-y'"),
        ("limit: none", "limit must be an integer of at least 1, or 'unlimited', not the text 'none'"),
        ("qqqq: 1", "unknown test field 'qqqq'; known: clock_hz, roles, share, levels, sizes, limit"),
    ],
)
def test_each_mistake_is_one_line_and_the_schema_refuses_it_too(line: str, message: str) -> None:
    text = line if line.startswith("clock_hz") else f"clock_hz: 1\n{line}"
    number = 1 + (text != line)
    assert messages(text) == [f"f.yaml:{number}: {message}"]
    if ".nan" not in line:  # JSON has no such number
        schema = json_schema(FILE, "test")
        jsonschema.Draft7Validator.check_schema(schema)
        assert not jsonschema.Draft7Validator(schema).is_valid(parse(text, "f.yaml").plain())


def test_several_mistakes_are_reported_together_by_line() -> None:
    assert messages("share: -1\nlevels:\n  - memory: a\n    capacity_bits: 0\nclok_hz: 3\n") == [
        "f.yaml:1: share must be a number of at least 0 and at most 1, not -1",
        "f.yaml:4: capacity_bits must be an integer of at least 1, not 0",
        "f.yaml:5: unknown test field 'clok_hz'; did you mean 'clock_hz'?",
    ]


def test_beyond_twenty_mistakes_only_their_number_is_told() -> None:
    lines = messages("clock_hz: 1\nlevels: [" + "{memory: a, capacity_bits: 0},\n" * 30 + "]")
    assert len(lines) == 21
    assert lines[-1] == "f.yaml: and 10 more"


def test_a_list_at_the_top() -> None:
    assert messages("- a\n") == ["f.yaml:1: test must be a mapping of test fields, not a list"]
