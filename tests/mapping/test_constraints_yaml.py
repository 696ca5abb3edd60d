"""Constraints files: what they mean, how they refuse, that they read back, and that the schema says the same."""

from pathlib import Path
from random import Random

import jsonschema
import pytest

from energysim.errors import InputError
from energysim.hardware.read import read_accelerator
from energysim.mapping.constraints import (
    WHOLE,
    AxisDims,
    DimAxes,
    Residence,
    SpreadLimit,
    TileLimit,
    Untiled,
    check_restrictions,
    violations,
)
from energysim.mapping.constraints_yaml import constraints_schema, plain, read_constraints, to_yaml
from energysim.mapping.dataflows import dataflow
from energysim.yaml_nodes import parse
from tests.mapping import test_constraints_brute as brute

TEXT = """\
memories:
  spad:
    whole: [R, S]
    tile: {M: 4, C: {at_most: 8}, Q: {at_least: 2, at_most: 6}}
    untiled: [N]
  global_buffer:
    keep: [input]
    bypass: [weight]
arrays:
  pe:
    axes:
      x: [P, M]
      y: []
    on: {P: [x]}
    spread: {R: 3, M: {at_least: 2}}
"""


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    return file


def test_every_field_and_its_place(tmp_path: Path) -> None:
    found = read_constraints(written(tmp_path, TEXT))
    assert found == (
        TileLimit("spad", "R", WHOLE),
        TileLimit("spad", "S", WHOLE),
        TileLimit("spad", "M", 4, 4),
        TileLimit("spad", "C", 1, 8),
        TileLimit("spad", "Q", 2, 6),
        Untiled("spad", "N"),
        Residence("global_buffer", "input", True),
        Residence("global_buffer", "weight", False),
        AxisDims("pe", "x", frozenset("PM")),
        AxisDims("pe", "y", frozenset()),
        DimAxes("pe", "P", frozenset("x")),
        SpreadLimit("pe", "R", 3, 3),
        SpreadLimit("pe", "M", 2),
    )
    lines = [each.where.removeprefix(f"{tmp_path / 'c.yaml'}:") for each in found]
    assert list(map(int, lines)) == [3, 3, 4, 4, 4, 5, 7, 8, 12, 13, 14, 15, 15]
    (tmp_path / "again.yaml").write_text(to_yaml(found))
    assert read_constraints(tmp_path / "again.yaml") == found


def test_nothing_asked_is_a_file_too(tmp_path: Path) -> None:
    assert read_constraints(written(tmp_path, to_yaml(()))) == ()
    assert plain(()) == {}


def test_what_is_asked_twice_is_joined(tmp_path: Path) -> None:
    twice = [
        TileLimit("spad", "M", 2, 8),
        TileLimit("spad", "M", 4),
        TileLimit("spad", "C", 3, 3),
        TileLimit("spad", "C", 1, 5),
        AxisDims("pe", "x", frozenset("PM")),
        AxisDims("pe", "x", frozenset("MC")),
        DimAxes("pe", "P", frozenset("xy")),
        DimAxes("pe", "P", frozenset("y")),
        Untiled("spad", "N"),
        Untiled("spad", "N"),
    ]
    assert read_constraints(written(tmp_path, to_yaml(twice))) == (
        TileLimit("spad", "M", 4, 8),
        TileLimit("spad", "C", 3, 3),
        Untiled("spad", "N"),
        AxisDims("pe", "x", frozenset("M")),
        DimAxes("pe", "P", frozenset("y")),
    )


def test_what_is_written_means_the_same(tmp_path: Path) -> None:
    """A mapping violates what was asked if and only if it violates what is read back."""
    both = {True: 0, False: 0}
    for seed in range(40):
        layer, accelerator, _, _, asked = brute.case(seed)
        read = read_constraints(written(tmp_path, to_yaml(asked)))
        for n, (mapping, bounds) in enumerate(brute.every(layer, accelerator)):
            one = brute.bounded(mapping, bounds[Random(n).randrange(len(bounds))])
            met = [not violations(dataflow("unconstrained", x), layer, accelerator, one) for x in (asked, read)]
            assert met[0] == met[1]
            both[met[0]] += 1
            if n == 20:
                break
    assert min(both.values()) > 50


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("memories:\n  spad: {whole: [R, Z]}\n", "2: unknown dim 'Z'; known: C, D, G, M, N, P, Q, R, S, T"),
        ("memories:\n  spad: {hole: [R]}\n", "2: unknown memory constraint field 'hole'; did you mean 'whole'?"),
        ("memories:\n  spad:\n    tile:\n      M: {at_mst: 3}\n", "4: unknown limit field 'at_mst'; did you mean 'at_"),
        ("memories:\n  spad:\n    tile:\n      M: 0\n", "4: M must be an integer of at least 1, or a mapping of limit"),
        ("memories:\n  spad:\n    tile:\n      M: {}\n", "4: tile of M needs a number, 'at_least' or 'at_most'"),
        ("memories:\n  spad: {keep: [wheight]}\n", "2: unknown role 'wheight'; did you mean 'weight'?"),
        ("memories:\n  spad: {whole: [R, R]}\n", "2: whole lists 'R' twice"),
        ("memories: [spad]\n", "1: memories must be a mapping, not a list"),
        ("arrays:\n  pe: {spread: {m: 2}}\n", "2: unknown dim 'm'; did you mean 'M'?"),
        ("arrays:\n  pe: {on: {P: x}}\n", "2: P must be a list, not the text 'x'"),
        ("memory:\n  spad: {}\n", "1: unknown constraints field 'memory'; did you mean 'memories'?"),
        ("memories: {a: &x {}}\n", "1: anchor '&x'; anchors and aliases are not allowed"),
        ("", "1: holds nothing"),
    ],
)
def test_mistakes_have_file_and_line(tmp_path: Path, text: str, said: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        read_constraints(file)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{file}:{said}")


def test_all_mistakes_are_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_constraints(written(tmp_path, "memories:\n  spad:\n    whole: [Z]\n    tile: {M: 0}\n"))
    assert len(str(caught.value).splitlines()) == 2


def test_the_schema_agrees_with_the_reader(tmp_path: Path) -> None:
    schema = constraints_schema()
    jsonschema.Draft7Validator.check_schema(schema)
    validator = jsonschema.Draft7Validator(schema)
    assert validator.is_valid(parse(TEXT, "t").plain())
    for old, new in (
        ("whole: [R, S]", "whole: [R, Z]"),
        ("M: 4", "M: 0"),
        ("at_most: 8", "at_mst: 8"),
        ("[input]", "[inputs]"),
        ("spread:", "spred:"),
        ("x: [P, M]", "x: P"),
        ("arrays:", "array:"),
    ):
        text = TEXT.replace(old, new)
        assert text != TEXT
        assert not validator.is_valid(parse(text, "t").plain())
        with pytest.raises(InputError):
            read_constraints(written(tmp_path, text))


def test_the_example_of_the_documents_is_sound(tmp_path: Path) -> None:
    """The file shown in docs/decisions/map-space.md."""
    page = Path(__file__).parents[2].joinpath("docs", "decisions", "map-space.md").read_text()
    text = page.split("```yaml\n")[1].split("```")[0]
    asked = read_constraints(written(tmp_path, text))
    assert len(asked) > 3
    check_restrictions(asked, read_accelerator("eyeriss").accelerator)
