"""`energysim map`: the mapping of a layer in three notations, and the price of a mapping of one's own."""

import re
from pathlib import Path

import pytest

from energysim.cli import main
from energysim.hardware.read import read_accelerator
from energysim.mapping.counts import count
from energysim.mapping.mapping_yaml import read_mapping, to_yaml
from energysim.mapping.nest import Loop, even
from energysim.mapping.search import find_mapping
from energysim.workload.graph import LayerGraph
from energysim.workload.layer import convolution
from energysim.workload.yaml_format import to_yaml as graph_to_yaml
from energysim.yaml_nodes import parse
from tests.test_cli import refused

LAYER = convolution("conv", m=4, c=3, p=6, q=6, r=3, s=3)


@pytest.fixture
def small(tmp_path: Path) -> str:
    """A file with a network of one small layer."""
    file = tmp_path / "small.yaml"
    file.write_text(graph_to_yaml(LayerGraph("small", (LAYER,))))
    return str(file)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 0
    return capsys.readouterr().out


def test_nest_energy_and_proof(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, "map", small, "conv", "--on", "eyeriss")
    described = read_accelerator("eyeriss")
    found = find_mapping(LAYER, described.accelerator, described.table)
    assert f"({found.energy_pj:,.1f} pJ)" in out
    for loop in found.mapping.loops:
        assert f"{'for' if loop.axis is None else 'spread'} {loop.dim} in {loop.bound}" in out
    assert ("\nproven: " in out) == found.optimal
    assert "compute units busy" in out


def test_map_knows_the_cache(small: str, cache_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    anew = printed(capsys, "map", small, "conv", "--on", "eyeriss", "--no-cache")
    assert not list(cache_folder.iterdir())
    for _ in range(2):
        assert printed(capsys, "map", small, "conv", "--on", "eyeriss") == anew
        assert len(list(cache_folder.iterdir())) == 1


def test_what_is_written_is_priced_the_same(small: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yaml"
    printed(capsys, "map", small, "conv", "--on", "eyeriss", "--format", "yaml", "-o", str(file))
    described = read_accelerator("eyeriss")
    found = find_mapping(LAYER, described.accelerator, described.table)
    assert read_mapping(file, LAYER, described.accelerator) == found.mapping
    out = printed(capsys, "map", small, "conv", "--on", "eyeriss", "--mapping", str(file))
    assert f"best found by the search: {found.energy_pj:,.1f} pJ; this mapping: equal\n" in out
    # 4 * 3 * 36 * 9 MACs
    assert "  mac mac compute: 3,888\n" in out


def test_a_poor_mapping_is_so_much_above(small: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    described = read_accelerator("eyeriss")
    loops = tuple(Loop(dim, LAYER.dims[dim]) for dim in ("R", "S", "C", "M", "P", "Q"))
    poor = even(described.accelerator, LAYER, {"dram": loops})
    file = tmp_path / "poor.yaml"
    file.write_text(to_yaml(poor))
    out = printed(capsys, "map", small, "conv", "--on", "eyeriss", "--mapping", str(file))
    best = find_mapping(LAYER, described.accelerator, described.table).energy_pj
    said = re.search(r"this mapping: ([\d,.]+) pJ \(([\d.]+) %\) above", out)
    own = re.search(r"\(([\d,.]+) pJ\)", out)
    assert said is not None
    assert own is not None
    above, energy = (float(text.replace(",", "")) for text in (said[1], own[1]))
    assert above == pytest.approx(energy - best, abs=0.2)
    assert float(said[2]) == pytest.approx(100 * above / best, rel=1e-3)
    for (component, action, tensor), number in count(LAYER, described.accelerator, poor).values.items():
        if component == "dram" and tensor == "weight":
            assert f"  dram {action} weight: {number:,}\n" in out


def test_timeloop_is_yaml_with_every_factor(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, "map", small, "conv", "--on", "eyeriss", "--format", "timeloop")
    sizes = dict.fromkeys(LAYER.dims, 1)
    for directive in parse(out, "timeloop").plain()["mapping"]:
        for factor in directive.get("factors", ()):
            dim, bound = factor.split("=")
            sizes[dim] *= int(bound)
    assert sizes == dict(LAYER.dims)


def test_bad_input_is_refused(small: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    on = ("--on", "eyeriss")
    described = read_accelerator("eyeriss")
    good = to_yaml(even(described.accelerator, LAYER, {"dram": tuple(Loop(d, n) for d, n in LAYER.dims.items())}))
    wrong, ragged, short = (tmp_path / f"{name}.yaml" for name in ("wrong", "ragged", "short"))
    wrong.write_text(good.replace("{dim: M, bound: 4}", "{dim: M, bound: -4}"))
    short.write_text(good.replace("{dim: M, bound: 4}", "{dim: M, bound: 3}"))
    # Two loops of 4 x 2 steps cover 6 rows with a last tile that is not whole
    ragged.write_text(good.replace("{dim: P, bound: 6}", "{dim: P, bound: 2}\n  - {dim: P, bound: 4}"))
    for arguments, why in (
        (("map", small, "convv", *on), "did you mean 'conv'"),
        (("map", small, "conv", *on, "--format", "ymal"), "did you mean 'yaml'"),
        (("map", small, "conv", *on, "--mapping", str(tmp_path / "none.yaml")), "no such file"),
        (("map", small, "conv", *on, "--mapping", str(wrong)), "bound must be an integer of at least 1, not -4"),
        (("map", small, "conv", *on, "--mapping", str(short)), "loops over M cover 3 of 4"),
        (("map", small, "conv", *on, "--mapping", str(ragged), "--format", "timeloop"), "dram has two loops over P"),
        (("map", small, "conv", *on, "-o", str(tmp_path / "no" / "file")), "no such directory"),
    ):
        said = refused(capsys, *arguments)
        assert why in said, arguments
        assert len(said.splitlines()) == 1, arguments
    before = ragged.read_text()
    assert "would overwrite" in refused(
        capsys, "map", small, "conv", *on, "--mapping", str(ragged), "-o", str(ragged), "--format", "nest"
    )
    assert ragged.read_text() == before


def test_explain_names_limits(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, "explain", small, "conv", "--on", "eyeriss")
    assert "What holds it back" in out
    for name in ("global_buffer", "spad weight", "pe.x", "pe.y"):
        assert re.search(rf"^  {name}: [\d,]+ of [\d,]+ (bits|instances); ", out, re.MULTILINE), name
