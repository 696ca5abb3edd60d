"""Sweeps: every variant costs what an estimate of it says; files, tables and mistakes of the command."""

import csv
import io
import json
from pathlib import Path
from random import Random

import pytest

import energysim
from energysim.cli import main
from energysim.errors import InputError
from energysim.explore.front import unbeaten
from energysim.explore.sweep import Sweep, sweep
from energysim.hardware.read import read_accelerator, to_yaml
from energysim.hardware.vary import Change, parse_changes, variants
from energysim.workload.graph import LayerGraph
from energysim.workload.layer import convolution

VARY = {"global_buffer.capacity_bits": ["x0.01", "x0.25", "x1"], "pe.x": [7, 14], "spad.energy.read.pj": ["x1", "x3"]}


def test_every_variant_costs_what_an_estimate_says(tmp_path: Path) -> None:
    model, eyeriss = energysim.read_model("lenet_caffe5", bits=8), energysim.read_accelerator("eyeriss")
    found = sweep(model, eyeriss, VARY)
    assert len(found.points) == 12
    assert found.searches < 12 * found.layers
    made = variants(eyeriss, {path: [parse_changes(f"p={value}")[1][0] for value in VARY[path]] for path in VARY})
    for point, variant in zip(found.points, made, strict=True):
        assert point.numbers == variant.numbers
        file = tmp_path / "variant.yaml"
        file.write_text(to_yaml(variant.described))
        whole = energysim.estimate(model, energysim.read_accelerator(file))
        assert point.energy_pj == pytest.approx(whole.totals.energy_pj, rel=1e-9)
        assert point.proven
        assert point.lower_bound_pj == pytest.approx(point.energy_pj, rel=1e-8)
    # at these prices larger is never dearer, and no wider array either
    by_numbers = {point.numbers: point.energy_pj for point in found.points}
    for numbers, energy in by_numbers.items():
        assert all(energy <= more * (1 + 1e-9) for other, more in by_numbers.items() if smaller(other, numbers))


def smaller(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether the first variant has no more room, and reads at no less, than the other."""
    return one[0] <= other[0] and one[1] <= other[1] and one[2] >= other[2]


def test_time_and_order() -> None:
    layers = (convolution("one", m=32, c=32, p=8, q=8), convolution("two", m=4, c=8, p=8, q=1, r=3))
    model, eyeriss = LayerGraph("small", layers), energysim.read_accelerator("eyeriss")
    found = sweep(model, eyeriss, {"pe.x": [1, 14], "clock_hz": ["x1", "x2"]}, objective="latency", jobs=2)
    slow = {point.numbers: point for point in found.points}
    clock = eyeriss.accelerator.clock_hz
    assert slow[1, clock].latency_s == pytest.approx(2 * slow[1, 2 * clock].latency_s)
    assert slow[14, clock].latency_s < slow[1, clock].latency_s
    assert next(found.points[i].numbers for i in found.order("latency")) == (14, 2 * clock)
    assert found.order("given") == [0, 1, 2, 3]
    assert {found.points[i].numbers for i in found.front} == pareto(found)
    assert found == sweep(model, eyeriss, {"pe.x": [1, 14], "clock_hz": ["x1", "x2"]}, objective="latency")
    assert list(found.to_frame().columns) == list(found.rows()[0])


def pareto(found: Sweep) -> set[tuple[float, ...]]:
    """The numbers of the variants that no other beats, by looking at every pair."""
    sizes = {point.numbers: (point.energy_pj, point.latency_s) for point in found.points}
    return {
        numbers
        for numbers, (energy, time) in sizes.items()
        if not any(e <= energy and t <= time and (e, t) != (energy, time) for e, t in sizes.values())
    }


DEFAULTS = """
name: small
source: test
clock_hz: 1e9
technology_nm: 22
defaults: allowed
idle_power: {watts: 0, source: "a test", tier: table}
levels:
  - memory: dram
    capacity_bits: unlimited
    keeps: [weight, input, output]
    word_bits: 64
    read_bits_per_cycle: 64
    write_bits_per_cycle: 64
  - memory: buffer
    capacity_bits: CAPACITY
    keeps: [weight, input, output]
    word_bits: 64
    read_bits_per_cycle: 64
    write_bits_per_cycle: 64
compute: {name: mac}
"""


def test_prices_left_to_defaults_follow_what_is_varied(tmp_path: Path) -> None:
    # a larger memory costs more for an access: as if the file had been edited, not as if its price had been given
    file = tmp_path / "small.yaml"
    sizes = [1 << 17, 1 << 20, 1 << 23]
    model, energies = energysim.read_model("lenet_caffe5", bits=8), []
    for bits in sizes:
        file.write_text(DEFAULTS.replace("CAPACITY", str(bits)))
        energies.append(energysim.estimate(model, energysim.read_accelerator(file)).totals.energy_pj)
    found = sweep(model, energysim.read_accelerator(file), {"buffer.capacity_bits": sizes})
    assert [point.energy_pj for point in found.points] == pytest.approx(energies, rel=1e-9)
    assert energies[2] > 1.1 * energies[1]
    assert any(warning.startswith("default price: dram.read, dram.write, mac.mac") for warning in found.warnings)
    # a price that is varied is one that is given
    dear = sweep(model, energysim.read_accelerator(file), {"buffer.energy.read.pj": ["x1", "x2"]})
    assert dear.points[0].energy_pj == pytest.approx(energies[2], rel=1e-9)
    assert dear.points[1].energy_pj > energies[2]


def test_partitions_keep_their_shares() -> None:
    eyeriss = read_accelerator("eyeriss")
    (half,) = variants(eyeriss, {"spad.capacity_bits": [Change(0.5, times=True)]})
    before = {m.name: m for m in eyeriss.accelerator.memories}["spad"].partitions
    after = {m.name: m for m in half.described.accelerator.memories}["spad"].partitions
    assert {role: bits * 2 for role, bits in after.items()} == dict(before)


def test_what_no_other_beats() -> None:
    random = Random(0)
    for _ in range(200):
        choices = [(random.randint(0, 4), random.randint(0, 4)) for _ in range(random.randint(0, 9))]
        beaten = {
            i
            for i, (energy, time) in enumerate(choices)
            for other in choices
            if other[0] <= energy and other[1] <= time and other != (energy, time)
        }
        assert unbeaten(choices) == set(range(len(choices))) - beaten


def test_command_prints_the_best_first(capsys: pytest.CaptureFixture[str]) -> None:
    asked = [
        "sweep",
        "lenet_caffe5",
        "--on",
        "eyeriss",
        "--vary",
        "pe.x=2,7,14",
        "--vary",
        "spad.capacity_bits=x0.01,x1",
    ]
    assert main([*asked, "--top", "2"]) == 0
    said = capsys.readouterr().out
    assert "lenet_caffe5 on variants of eyeriss" in said
    assert "2 of 6 variants shown" in said
    assert "nothing fits on 3 variants, first: layer " in said
    assert "searches" in said
    assert main([*asked, "--top", "6"]) == 0
    assert capsys.readouterr().out.count("nothing fits") == 3 + 2


def test_command_writes_all_variants(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["sweep", "lenet_caffe5", "--on", "eyeriss", "--vary", "pe.x=2,14", "--sort", "given"]
    assert main([*asked, "-o", str(tmp_path / "all.csv")]) == 0
    assert main([*asked, "--format", "json"]) == 0
    data = json.loads(capsys.readouterr().out)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "all.csv").read_text())))
    assert [float(row["energy_pj"]) for row in rows] == [row["energy_pj"] for row in data["variants"]]
    assert [row["pe.x"] for row in rows] == ["2", "14"]
    assert data["searches"] < 2 * data["layers"]


@pytest.mark.parametrize(
    ("vary", "said"),
    [
        (
            "glob_buffer.capacity_bits=1",
            "unknown level of --vary glob_buffer.capacity_bits 'glob_buffer'; did you mean",
        ),
        ("pe.x=0", "pe.x=0: size must be an integer of at least 1"),
        ("pe.x", "write PATH=VALUE"),
        ("pe.x=1,two", "'two' is neither a number nor a factor like x2"),
        ("pe.x=-3", "'-3' is neither a number nor a factor like x2"),
        ("pe.x=nan", "'nan' is neither"),
        ("pe=1", "that is no number; it has array, axes"),
        ("pe.x.size.more=1", "unknown field of --vary pe.x.size.more 'more'"),
        ("dram.capacity_bits=8", "--vary dram.capacity_bits: that is no number"),
        ("global_buffer.shared_port=1", "that is no number"),
        ("spad.partition_bits.weight=1e9", "spad.partition_bits.weight=1e+09: partitions take"),
        ("pe.x=" + ",".join(["1"] * 100_001), "100,001 variants; a sweep takes 100,000 at most"),
    ],
)
def test_mistakes_are_one_line(vary: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "lenet_caffe5", "--on", "eyeriss", "--vary", vary]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--vary", "pe.x=3"], "'pe.x' is given twice"),
        (["--top", "0"], "--top is 0"),
        (["--sort", "time"], "unknown order 'time'"),
        (["--time-budget", "3"], "--time-budget goes with one accelerator at a time"),
        (["--jobs", "0"], "jobs is 0"),
        (["--objective", "speed"], "unknown objective 'speed'"),
    ],
)
def test_wrong_options(more: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "lenet_caffe5", "--on", "eyeriss", "--vary", "pe.x=7", *more]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("vary", [{}, {"pe.x": []}])
def test_nothing_to_vary(vary: dict[str, list[float]]) -> None:
    with pytest.raises(InputError, match="nothing to vary"):
        sweep(energysim.read_model("lenet_caffe5"), energysim.read_accelerator("eyeriss"), vary)


def test_values_may_be_one_text_or_number() -> None:
    model, eyeriss = energysim.read_model("lenet_caffe5"), energysim.read_accelerator("eyeriss")
    found = sweep(model, eyeriss, {"pe.x": "7,14", "clock_hz": 1e8})
    assert [point.numbers for point in found.points] == [(7, 1e8), (14, 1e8)]
