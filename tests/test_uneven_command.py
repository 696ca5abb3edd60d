"""`--uneven` through the commands, the cache and the options of an estimate."""

import json
from pathlib import Path

import pytest

from energysim.cli import main
from energysim.estimate import estimate
from energysim.hardware.read import read_accelerator
from energysim.mapping.search_cache import SearchCache
from energysim.mapping.search_many import find_mappings
from energysim.workload.layer import convolution
from energysim.workload.read import read_model

ACCELERATOR = """
source: test
sources: {t: test}
technology_nm: 65
clock_hz: 1e9
idle_power: {watts: 0, source: t, tier: table}
levels:
  - memory: dram
    capacity_bits: unlimited
    word_bits: 16
    keeps: [weight, input, output]
    read_bits_per_cycle: unlimited
    write_bits_per_cycle: unlimited
    energy:
      read: {pj: 200, per_bits: 16, source: t, tier: table}
      write: {pj: 200, per_bits: 16, source: t, tier: table}
  - memory: buffer
    capacity_bits: 112
    word_bits: 16
    keeps: [weight, input, output]
    read_bits_per_cycle: unlimited
    write_bits_per_cycle: unlimited
    energy:
      read: {pj: 6, per_bits: 16, source: t, tier: table}
      write: {pj: 6, per_bits: 16, source: t, tier: table}
compute:
  name: mac
  energy:
    mac: {pj: 1, source: t, tier: table}
    op: {pj: 1, source: t, tier: table}
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "chip.yaml").write_text(ACCELERATOR)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENERGYSIM_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


def test_the_cache_tells_even_from_uneven(files: Path) -> None:
    described = read_accelerator("chip.yaml")
    layer = convolution("fc", n=12, m=12, c=12, p=1, q=1)
    kept = SearchCache(files / "cache")
    found = []
    for uneven in (False, True, False, True):
        (one,) = find_mappings([layer], described.accelerator, described.table, cache=kept, uneven=uneven)
        found.append(one.energy_pj)
    # a buffer of 7 words: A B + A + B fits in it with 1 and 3, A B + B + 1 with 2 and 2
    assert found[0] == found[2] > found[1] == found[3]
    assert kept.size()[0] == 2


def test_commands_take_it_and_say_so(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work = ["lenet_caffe5", "--on", "eyeriss", "--uneven"]
    assert main(["estimate", *work]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "among uneven mappings by divisors" in shown
    assert "--uneven" in shown
    layer = read_model("lenet_caffe5").layers[0].name
    for command in ("explain", "map"):
        assert main([command, work[0], layer, *work[1:]]) == 0
        assert "among uneven mappings by divisors" in " ".join(capsys.readouterr().out.split())
    assert main(["explain", work[0], layer, "--on", "eyeriss"]) == 0
    assert "among even mappings" in " ".join(capsys.readouterr().out.split())


def test_objectives_and_fronts_go_with_it(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "fc.yaml").write_text("model: fc\nlayers:\n- {name: fc, op: linear, dims: {N: 12, M: 12, C: 12}}\n")
    for objective, better in (("latency", "is faster"), ("edp", "has a smaller energy-delay product")):
        assert main(["map", "fc.yaml", "fc", "--on", "chip.yaml", "--uneven", "--objective", objective]) == 0
        assert f"among uneven mappings by divisors within dataflow and constraints, none {better}" in " ".join(
            capsys.readouterr().out.split()
        )
    energies = []
    for more in ([], ["--uneven"]):
        assert main(["map", "fc.yaml", "fc", "--on", "chip.yaml", "--front", *more]) == 0
        energies.append(float(capsys.readouterr().out.splitlines()[2].split()[0].replace(",", "")))
    assert energies[1] < energies[0]


def test_an_estimate_keeps_the_option(files: Path) -> None:
    result = estimate(read_model("lenet_caffe5"), read_accelerator("eyeriss"), uneven=True)
    even = estimate(read_model("lenet_caffe5"), read_accelerator("eyeriss"))
    assert result.options["uneven"] is True
    assert even.options["uneven"] is False
    for one, other in zip(result.layers, even.layers, strict=True):
        assert one.energy_pj <= other.energy_pj * (1 + 1e-9)
        assert one.lower_bound_pj <= one.energy_pj
    assert main(["estimate", "lenet_caffe5", "--on", "eyeriss", "--uneven", "-o", "out.json"]) == 0
    stamp = json.loads((files / "out.options.json").read_text())
    assert stamp["options"]["uneven"] is True
    assert "--uneven" in stamp["run_again"]


def test_constraints_of_a_file_go_with_it_and_with_the_cache(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "fc.yaml").write_text("model: fc\nlayers:\n- {name: fc, op: linear, dims: {N: 12, M: 12, C: 12}}\n")
    (files / "c.yaml").write_text("memories: {buffer: {tile: {M: {at_most: 1}}, untiled: [N]}}\n")
    again = []
    for _ in range(2):
        assert main(["map", "fc.yaml", "fc", "--on", "chip.yaml", "--uneven", "--constraints", "c.yaml"]) == 0
        shown = capsys.readouterr()
        assert "damaged" not in shown.err
        again.append(shown.out)
    assert again[0] == again[1]
    (files / "none.yaml").write_text("memories: {buffer: {whole: [M, N, C]}}\n")
    assert main(["map", "fc.yaml", "fc", "--on", "chip.yaml", "--uneven", "--constraints", "none.yaml"]) == 2
    shown = capsys.readouterr()
    assert "nothing fits" in shown.err
    assert len(shown.err.splitlines()) == 1
