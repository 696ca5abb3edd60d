"""`--constraints` and `--time-budget` of the commands that search."""

import json
import re
import shlex
from pathlib import Path

import pytest

from energysim.cli import main
from energysim.costs.result import Estimate
from energysim.hardware.read import read_accelerator
from energysim.mapping.constraints import violations
from energysim.mapping.constraints_yaml import read_constraints
from energysim.mapping.dataflows import dataflow
from energysim.mapping.mapping_yaml import read_mapping
from energysim.mapping.mapping_yaml import to_yaml as mapping_to_yaml
from energysim.mapping.nest import Loop, even
from energysim.workload.graph import LayerGraph
from energysim.workload.layer import convolution
from energysim.workload.yaml_format import to_yaml
from tests.mapping.test_search_cache import edited
from tests.test_cli import refused

LAYER = convolution("conv", m=4, c=3, p=6, q=6, r=3, s=3)
CONSTRAINTS = "memories:\n  spad: {tile: {M: 2}, whole: [S]}\narrays:\n  pe: {on: {P: [x]}}\n"


@pytest.fixture
def small(tmp_path: Path) -> str:
    """A file with a network of one small layer."""
    file = tmp_path / "small.yaml"
    file.write_text(to_yaml(LayerGraph("small", (LAYER,))))
    return str(file)


@pytest.fixture
def asked(tmp_path: Path) -> str:
    """A constraints file."""
    file = tmp_path / "c.yaml"
    file.write_text(CONSTRAINTS)
    return str(file)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 0
    return capsys.readouterr().out


def test_all_commands_find_the_same_mapping_within_constraints(
    small: str, asked: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work = ("--on", "eyeriss", "--constraints", asked)
    free = Estimate.from_json(printed(capsys, "estimate", small, "--on", "eyeriss", "--format", "json"))
    result = Estimate.from_json(printed(capsys, "estimate", small, *work, "--format", "json"))
    assert result.totals.energy_pj > free.totals.energy_pj
    assert free.options["constraints"] is None
    mine = tmp_path / "mine.yaml"
    printed(capsys, "map", small, "conv", *work, "--format", "yaml", "-o", str(mine))
    accelerator = read_accelerator("eyeriss").accelerator
    found = read_mapping(mine, LAYER, accelerator)
    assert found == result.layers[0].mapping
    assert violations(dataflow("unconstrained", read_constraints(asked)), LAYER, accelerator, found) == ()
    assert f"{result.totals.energy_pj:,.1f} pJ" in printed(capsys, "map", small, "conv", *work)
    assert "within dataflow and constraints" in printed(capsys, "explain", small, "conv", *work)
    table = printed(capsys, "estimate", small, *work)
    assert table.startswith("small on eyeriss: batch 1, dataflow unconstrained, with constraints\n")
    hint = re.search(r"why: energysim (.*)", table)
    assert hint is not None
    assert "conv on eyeriss" in printed(capsys, *shlex.split(hint[1]))


def test_explain_says_what_was_asked(small: str, asked: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, "explain", small, "conv", "--on", "eyeriss", "--constraints", asked)
    assert f"\n  asked by {asked}:2 (the tile of M in spad is 2): 2, no more allowed\n" in out
    assert f"\n  asked by {asked}:2 (spad holds S whole): 3\n" in out
    assert f"\n  asked by {asked}:4 (P is spread on x of pe only)\n" in out
    assert "asked by" not in printed(capsys, "explain", small, "conv", "--on", "eyeriss")


def test_a_mapping_of_ones_own_is_held_against_constraints(
    small: str, asked: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    free, mine = tmp_path / "free.yaml", tmp_path / "mine.yaml"
    work = ("map", small, "conv", "--on", "eyeriss")
    printed(capsys, *work, "--format", "yaml", "-o", str(free))
    printed(capsys, *work, "--constraints", asked, "--format", "yaml", "-o", str(mine))
    out = printed(capsys, *work, "--constraints", asked, "--mapping", str(free))
    assert f"\nnot met: the tile of M in spad is 4, but {asked}:2 (the tile of M in spad is 2)\n" in out
    assert "it is below that bound" in out
    assert "not met" not in printed(capsys, *work, "--constraints", asked, "--mapping", str(mine))
    loops = tuple(Loop(dim, LAYER.dims[dim]) for dim in ("R", "S", "C", "M", "P", "Q"))
    mine.write_text(mapping_to_yaml(even(read_accelerator("eyeriss").accelerator, LAYER, {"dram": loops})))
    out = printed(capsys, *work, "--dataflow", "output_stationary", "--mapping", str(mine))
    assert "\nnot met: a loop over C stands outside loops of the stationary output\n" in out


def test_the_cache_tells_constraints_apart(
    small: str, asked: str, cache_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work = ["map", small, "conv", "--on", "eyeriss"]
    entries: list[set[Path]] = []
    for more in ((), ("--constraints", asked), ("--constraints", asked)):
        printed(capsys, *work, *more)
        entries.append(set(cache_folder.iterdir()))
    assert [len(each) for each in entries] == [1, 2, 2]
    # a sound entry whose mapping does not meet the constraints, under their key, is foreign
    (free,), (other,) = entries[0], entries[1] - entries[0]
    other.write_text(edited(key=other.stem)(free.read_text()))
    assert main([*work, "--constraints", asked]) == 0
    assert re.search(r"damaged or foreign.*: the tile of M in spad is 4, but .*c.yaml:2", capsys.readouterr().err)


def test_an_estimate_with_constraints_can_be_run_again(
    small: str, asked: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    work = ("estimate", small, "--on", "eyeriss", "--constraints", asked)
    printed(capsys, *work, "-o", str(tmp_path / "a.json"))
    first = Estimate.from_json((tmp_path / "a.json").read_text())
    again = json.loads((tmp_path / "a.options.json").read_text())["run_again"]
    assert again[-2:] == ["--constraints", "a.constraints.yaml"]
    assert read_constraints(tmp_path / "a.constraints.yaml") == read_constraints(asked)
    monkeypatch.chdir(tmp_path)
    second = Estimate.from_json(printed(capsys, *again[1:], "--format", "json", "--no-cache"))
    assert (second.layers, second.options) == (first.layers, first.options)
    before = Path(asked).read_text()
    assert "would overwrite the input" in refused(capsys, *work, "-o", asked)
    assert Path(asked).read_text() == before


@pytest.mark.parametrize("command", [("estimate",), ("explain", "conv"), ("map", "conv")])
def test_bad_constraints_are_one_line(
    command: tuple[str, ...], small: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *layer = command
    file = tmp_path / "c.yaml"
    for text, said in (
        (None, "c.yaml: no such file"),
        ("memories:\n  sapd: {whole: [R]}\n", "c.yaml:2: unknown memory 'sapd'; did you mean 'spad'?"),
        ("memories:\n  spad: {whole: [X]}\n", "c.yaml:2: unknown dim 'X'; known: C, D, G"),
        ("arrays:\n  pe: {on: {P: [w]}}\n", "c.yaml:2: unknown axis of pe 'w'; known: x, y"),
        ("arrays:\n  pes: {}\n", None),
        ("memories:\n  spad: {keep: [weights]}\n", "c.yaml:2: unknown role 'weights'; did you mean 'weight'?"),
        ("memories:\n  spad: {bypass: [input]}\n", "c.yaml:2: input may not bypass spad of eyeriss"),
        (
            "memories:\n  global_buffer:\n    keep: [weight]\n    bypass: [weight]\n",
            "c.yaml:3 (global_buffer keeps weight) and {file}:4 (weight bypasses global_buffer) exclude each other",
        ),
        (
            "memories:\n  spad:\n    whole: [P]\n  global_buffer:\n    tile: {P: 3}\n",
            "layer 'conv' on eyeriss: nothing fits: no tiling of P (6 points) is left, under {file}:3 (spad holds P "
            "whole) and {file}:5 (the tile of P in global_buffer is 3), which exclude each other",
        ),
    ):
        if text is not None:
            file.write_text(text)
        arguments = (name, small, *layer, "--on", "eyeriss", "--constraints", str(file))
        if said is None:
            assert main(arguments) == 0
            capsys.readouterr()
            continue
        err = refused(capsys, *arguments)
        assert said.format(file=file) in err, text
        assert len(err.splitlines()) == 1, text


def test_schema_of_constraints_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(printed(capsys, "schema", "constraints"))["title"] == "energysim constraints"
    assert "did you mean 'constraints'" in refused(capsys, "schema", "constraint")


@pytest.mark.parametrize("name", ["explain", "map"])
def test_a_time_budget_for_one_layer(name: str, small: str, capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in ("0", "-1", "nan", "inf-"):
        err = refused(capsys, name, small, "conv", "--on", "eyeriss", f"--time-budget={wrong}")
        assert re.fullmatch(r"energysim: .*(time budget must be a number of seconds|invalid float).*\n", err)
    enough = printed(capsys, name, small, "conv", "--on", "eyeriss", "--time-budget", "60", "--no-cache")
    assert enough == printed(capsys, name, small, "conv", "--on", "eyeriss", "--no-cache")
    # 64 * 64 * 56 * 56 * 9 points take far longer to prove than a nanosecond
    work = (name, "resnet18", "layer1.0.conv1", "--on", "eyeriss")
    hurried = printed(capsys, *work, "--time-budget", "1e-9", "--no-cache")
    assert re.search("not proven|the least is .* or more", hurried)
