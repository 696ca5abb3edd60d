"""Inputs at the edge of sense, where a user meets them: one clear line or a right answer, soon, and nothing lost."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from energysim.cli import main
from energysim.costs.result import Estimate
from energysim.mapping import search_many
from energysim.workload.graph import LayerGraph
from energysim.workload.layer import Layer, convolution
from energysim.workload.yaml_format import to_yaml
from tests.test_cli import refused

ROOT = Path(__file__).resolve().parent.parent
EYERISS = (ROOT / "hw_configs" / "eyeriss.yaml").read_text()
HUGE = 1 << 20
COMMANDS = (("estimate",), ("explain", "layer"), ("map", "layer"))


def network(tmp_path: Path, layer: Layer) -> str:
    file = tmp_path / "network.yaml"
    file.write_text(to_yaml(LayerGraph("network", (layer,))))
    return str(file)


def chip(tmp_path: Path, old: str, new: str) -> str:
    """Eyeriss with one text of its file changed."""
    assert old in EYERISS
    file = tmp_path / "chip.yaml"
    file.write_text(EYERISS.replace(old, new))
    return str(file)


def estimated(capsys: pytest.CaptureFixture[str], *arguments: str) -> Estimate:
    assert main(["estimate", *arguments, "--format", "json"]) == 0
    return Estimate.from_json(capsys.readouterr().out)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_memory_smaller_than_one_element(
    command: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *layer = command
    work = (name, network(tmp_path, convolution("layer", m=4, c=3, p=6, q=6, r=3, s=3)), *layer)
    for old, new, said in (
        (
            "{input: 192, ",
            "{input: 15, ",
            "the smallest input tile that spad would have to hold take 16 bits, it has 15",
        ),
        # partial sums and inputs share what the weights leave
        (
            "capacity_bits: 884736",
            "capacity_bits: 65567",
            "tiles that global_buffer would have to hold take 32 bits, it has 31",
        ),
    ):
        err = refused(capsys, *work, "--on", chip(tmp_path, old, new))
        assert err.startswith("energysim: layer 'layer' on chip: nothing fits: ")
        assert err.endswith(f"{said}\n")
        assert len(err.splitlines()) == 1
    err = refused(capsys, *work, "--on", chip(tmp_path, "capacity_bits: 884736", "capacity_bits: 0"))
    assert re.search(r"chip.yaml:\d+: capacity_bits must be an integer of at least 1", err)


def test_an_array_of_one_is_no_array(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a free array of a single element the energy is that of the hierarchy without it."""
    model = network(tmp_path, convolution("layer", m=4, c=3, p=6, q=6, r=3, s=3))
    one = chip(tmp_path, "{x: {size: 14}, y: {size: 12}}", "{x: {size: 1}, y: {size: 1}}")
    text = Path(one).read_text().replace("pj: 3.12,", "pj: 0,")
    Path(one).write_text(text)
    with_array = estimated(capsys, model, "--on", one)
    start, end = text.index("  - array: pe"), text.index("  # Three scratchpads")
    Path(one).write_text(text[:start] + text[end:])
    without = estimated(capsys, model, "--on", one)
    assert with_array.totals.energy_pj == pytest.approx(without.totals.energy_pj, rel=1e-12)
    assert with_array.totals.energy_pj > 0
    assert with_array.layers[0].optimal
    for size, said in (("0", "size must be an integer of at least 1"), ("-3", "size must be"), ("2.5", "size must be")):
        Path(one).write_text(text.replace("x: {size: 1}", f"x: {{size: {size}}}"))
        assert said in refused(capsys, "estimate", model, "--on", one)


def test_dims_of_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = network(tmp_path, convolution("layer", m=1, c=1, p=1, q=1))
    for name in ("eyeriss", "simba", "one_mac"):
        result = estimated(capsys, model, "--on", name)
        assert result.totals.macs == 1
        assert result.layers[0].optimal
    for command, *layer in COMMANDS:
        assert main([command, model, *layer, "--on", "eyeriss", "--dataflow", "row_stationary"]) == 0
    capsys.readouterr()
    for wrong in ("0", "-4", "1.5", "one"):
        Path(model).write_text(f"model: n\nlayers:\n- {{name: layer, op: convolution, dims: {{M: {wrong}}}}}\n")
        err = refused(capsys, "estimate", model, "--on", "eyeriss")
        assert re.fullmatch(r"energysim: .*network.yaml:3: M must be an integer of at least 1.*\n", err)


@pytest.mark.parametrize(
    "layer",
    [
        convolution("layer", m=HUGE, c=HUGE, p=1, q=1),
        convolution("layer", m=4, c=3, p=1, q=1, n=HUGE),
        convolution("layer", m=1_048_573, c=3, p=1, q=1),  # the largest prime below it
        convolution("layer", m=4, c=4, p=HUGE, q=1),
    ],
    ids=["matmul", "batch", "prime", "rows"],
)
@pytest.mark.parametrize("name", ["eyeriss", "one_mac"])
def test_huge_dims_end_soon(layer: Layer, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    began = time.process_time()
    result = estimated(capsys, network(tmp_path, layer), "--on", name)
    # a hang, not a speed, is what this looks for: usual is below two seconds
    assert time.process_time() - began < 60
    assert result.totals.macs == layer.macs
    assert result.totals.energy_pj >= layer.macs


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unwritable_cache_folder_costs_one_line(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *layer = command
    (tmp_path / "file").write_text("mine")
    work = [name, network(tmp_path, convolution("layer", m=2, c=2, p=2, q=2)), *layer, "--on", "eyeriss"]
    assert main([*work, "--no-cache"]) == 0
    right = capsys.readouterr().out
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        monkeypatch.setenv("ENERGYSIM_CACHE_DIR", str(folder))
        assert main(work) == 0
        said = capsys.readouterr()
        assert said.out == right
        assert re.fullmatch(r"energysim: warning: cache: .* cannot be written.*\n", said.err)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("entry", ["", "{", "\x00" * 100, '{"nest": []}', "[" * 100_000, "ü"])
def test_a_corrupt_entry_costs_one_line(
    command: tuple[str, ...], entry: str, tmp_path: Path, cache_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *layer = command
    work = [name, network(tmp_path, convolution("layer", m=2, c=2, p=2, q=2)), *layer, "--on", "eyeriss"]
    assert main(work) == 0
    right = capsys.readouterr().out
    (file,) = cache_folder.iterdir()
    whole = file.read_bytes()
    file.write_text(entry)
    assert main(work) == 0
    said = capsys.readouterr()
    assert said.out == right
    assert re.fullmatch(r"energysim: warning: cache: .*damaged or foreign.*\n", said.err)
    assert json.loads(file.read_text()) == json.loads(whole)
    # what lies there and is no entry of ours is neither read nor touched
    file.unlink()
    file.mkdir()
    assert main(work) == 0
    said = capsys.readouterr()
    assert said.out == right
    assert len(said.err.splitlines()) <= 1
    assert file.is_dir()


@pytest.mark.parametrize("command", COMMANDS)
def test_interrupted_in_the_middle_of_a_search(
    command: tuple[str, ...],
    tmp_path: Path,
    cache_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Ctrl-C in the second of two searches: code 130, one line, no file; the first one's entry is whole and serves."""
    layers = convolution("layer", m=2, c=2, p=2, q=2), convolution("first", m=3, c=2, p=2, q=2)
    model = tmp_path / "two.yaml"
    model.write_text(to_yaml(LayerGraph("two", layers[::-1])))
    name, *layer = command
    work = [name, str(model), *layer, "--on", "eyeriss"]
    target = tmp_path / "out"
    assert main(["map", str(model), "first", "--on", "eyeriss"]) == 0
    right = capsys.readouterr().out
    (entry,) = cache_folder.iterdir()
    before = entry.read_bytes()

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(search_many, "find_mapping", interrupt)
        assert main([*work, *([] if name == "explain" else ["-o", str(target)])]) == 130
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "\nenergysim: interrupted; nothing was written\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["two.yaml"]
    assert (list(cache_folder.iterdir()), entry.read_bytes()) == ([entry], before)
    assert main(["map", str(model), "first", "--on", "eyeriss"]) == 0
    assert capsys.readouterr() == (right, "")
