"""Mappings as files: what is written reads back equal, and what is wrong is named with its line."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from energysim.errors import EnergysimError, MappingError
from energysim.hardware.accelerator import Accelerator
from energysim.mapping.mapping_yaml import read_mapping, to_yaml
from energysim.mapping.nest import Loop, Mapping, Storage, even, problems
from energysim.mapping.timeloop import to_timeloop
from energysim.workload.layer import DIMS, Layer
from energysim.yaml_nodes import parse
from tests.mapping.test_nest import ACCELERATOR, GOOD, LAYER
from tests.mapping.triples import triples

Triple = tuple[Layer, Accelerator, Mapping]
EVEN = even(ACCELERATOR, LAYER, GOOD)


@settings(derandomize=True, max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(triples())
def test_every_legal_mapping_reads_back_equal(tmp_path_factory: pytest.TempPathFactory, triple: Triple) -> None:
    layer, accelerator, mapping = triple
    assert not problems(layer, accelerator, mapping)
    file = tmp_path_factory.getbasetemp() / "mapping.yaml"
    file.write_text(to_yaml(mapping))
    assert read_mapping(file, layer, accelerator) == mapping


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("{dim: M, bound: 16}", "{dim: m, bound: 16}", ":5: unknown dim 'm'; did you mean 'M'?"),
        ("{dim: M, bound: 16}", "{dim: M, bound: 0}", ":5: bound must be an integer of at least 1, not 0"),
        ("{dim: M, bound: 16}", "{dim: M, bound: 1.5}", ":5: bound must be an integer of at least 1, not 1.5"),
        ("{dim: M, bound: 16}", "{dim: M}", ":5: loop field 'bound' is missing"),
        ("{dim: M, bound: 16}", "{dim: M, bund: 16}", ":5: unknown loop field 'bund'; did you mean 'bound'?"),
        ("{dim: M, bound: 16}", "16", ":5: nest must be a mapping with 'memory' or 'dim', not 16"),
        ("axis: pe.x", "axis: pe.xx", "unknown axis 'pe.xx'; did you mean 'pe.x'?"),
        ("{memory: dram, tensor: weight}", "{memory: dam, tensor: weight}", ":2: unknown memory 'dam'; did you mean"),
        ("{memory: dram, tensor: weight}", "{memory: dram, tensor: wait}", ":2: unknown tensor 'wait'; did you mean"),
        ("{dim: M, bound: 16}", "{dim: M, bound: 15}", ": layer 'conv' on small: loops over M cover 60 of 64"),
        ("nest:", "mapping:", "unknown mapping field 'mapping'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, before: str, after: str, why: str) -> None:
    file = tmp_path / "mapping.yaml"
    text = to_yaml(EVEN)
    assert before in text
    file.write_text(text.replace(before, after, 1))
    with pytest.raises(EnergysimError) as caught:
        read_mapping(file, LAYER, ACCELERATOR)
    assert why in str(caught.value)
    assert str(caught.value).startswith(str(file))


def test_timeloop_says_the_same_loops() -> None:
    directives = parse(to_timeloop(LAYER, ACCELERATOR, EVEN), "text").plain()["mapping"]
    by = {(each["target"], each["type"]): each for each in directives}
    assert len(directives) == 7  # keep and loops of three memories, loops of one array
    assert by["dram", "temporal"]["factors"] == [f"{d}={16 if d == 'M' else 1}" for d in DIMS]
    # The buffer's loops are P, then Q inside it: innermost first, Q stands in front.
    assert by["buffer", "temporal"]["permutation"][:2] == ["Q", "P"]
    assert by["buffer", "dataspace"]["keep"] == ["input", "output"]
    assert by["buffer", "dataspace"]["bypass"] == ["weight"]
    assert "C=3" in by["pe", "spatial"]["factors"]
    assert by["pe", "spatial"]["split"] == 1
    assert by["spad", "temporal"]["permutation"][:2] == ["R", "M"]
    for each in directives:
        if "permutation" in each:
            assert sorted(each["permutation"]) == sorted(DIMS)


@settings(derandomize=True, max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(triples())
def test_timeloop_says_all_loops_or_refuses_in_one_line(triple: Triple) -> None:
    layer, accelerator, mapping = triple
    try:
        text = to_timeloop(layer, accelerator, mapping)
    except MappingError as error:
        refusal = str(error)
    else:
        refusal = ""
    if refusal:
        assert "Timeloop's notation cannot say this mapping: " in refusal
        assert "\n" not in refusal
        return
    assert points(text) == dict.fromkeys(DIMS, 1) | dict(layer.dims)


def points(text: str) -> dict[str, int]:
    """Points of each dim that a mapping in Timeloop's notation covers, as its parser adds them up."""
    last = dict.fromkeys(DIMS, 0)
    for directive in parse(text, "text").plain()["mapping"]:
        for factor in directive.get("factors", ()):
            dim, said = factor.split("=")
            bound, residual = (said.split(",") * 2)[:2]
            last[dim] = last[dim] * int(bound) + int(residual) - 1
    return {dim: place + 1 for dim, place in last.items()}


def test_timeloop_says_partial_tiles_but_not_uneven_ones() -> None:
    partial = Mapping(tuple(Loop("M", 22) if item == Loop("M", 16) else item for item in EVEN.nest))
    partial = Mapping(tuple(Loop("M", 3) if item == Loop("M", 4) else item for item in partial.nest))
    assert not problems(LAYER, ACCELERATOR, partial)
    # 22 x 3 = 66 steps for 64 channels: the last of the 22 has one
    text = to_timeloop(LAYER, ACCELERATOR, partial)
    assert "M=3,1" in text
    assert points(text)["M"] == 64
    late = [item for item in EVEN.nest if item != Storage("spad", "weight")]
    late.insert(late.index(Loop("M", 4)) + 1, Storage("spad", "weight"))
    assert not problems(LAYER, ACCELERATOR, Mapping(tuple(late)))
    with pytest.raises(MappingError, match=r"held from one depth in spad: uneven$"):
        to_timeloop(LAYER, ACCELERATOR, Mapping(tuple(late)))
