"""compare: the same numbers as estimate, every combination once, sorted, marked; what it writes and refuses."""

import csv
import io
import json
from pathlib import Path

import pytest
import torch
from torch import nn

import energysim
from energysim.cli import main
from energysim.costs.full_adders import full_adders_of_dot_product
from energysim.costs.metrics import exact_full_adders
from energysim.errors import InputError, ModelReadError, NothingFitsError, UnknownNameError
from energysim.estimate import estimate
from energysim.explore.compare import Comparison, Point, compare, compared
from energysim.report.compared import comparison_parts, rendered_comparison
from energysim.report.pictures import rate
from energysim.report.show import plain
from energysim.workload.graph import LayerGraph
from energysim.workload.layer import convolution
from energysim.workload.yaml_format import to_yaml

SMALL = LayerGraph(
    "small",
    (convolution("conv", m=4, c=3, p=6, q=6, r=3, s=3), convolution("classes", m=5, c=16, p=1, q=1, op="linear")),
)
OTHER = LayerGraph("other", (convolution("conv", m=8, c=3, p=6, q=6, r=3, s=3),))


@pytest.fixture(scope="module")
def found() -> Comparison:
    return compared([SMALL, OTHER], ["eyeriss", "one_mac"], bits=[8, "w4a8", None])


def test_every_combination_in_the_order_asked_for(found: Comparison) -> None:
    assert [point.names for point in found.points[:4]] == [
        ("small", "dense", "8", "eyeriss"),
        ("small", "dense", "8", "one_mac"),
        ("small", "dense", "w4a8", "eyeriss"),
        ("small", "dense", "w4a8", "one_mac"),
    ]
    assert len(found.points) == 2 * 2 * 3
    assert found.points[4].bits == "own"


def test_numbers_are_those_of_estimate(found: Comparison) -> None:
    for row, point in zip(found.rows("given"), found.points, strict=True):
        graph = SMALL if row["model"] == "small" else OTHER
        bits = None if row["bits"] == "own" else row["bits"]
        alone = energysim.estimate(graph, energysim.read_accelerator(row["accelerator"]), bits=bits)
        assert point.estimate == alone
        totals = alone.totals
        assert (row["energy_pj"], row["latency_s"]) == (totals.energy_pj, totals.latency_s)
        assert row["size_bits"] == totals.weight_bits
        assert row["edp_js"] == pytest.approx(totals.energy_pj * 1e-12 * totals.latency_s)
        parts = [pj for key, pj in row.items() if key.startswith("energy_by_component_pj.")]
        assert sum(parts) == pytest.approx(totals.energy_pj)


def test_ratios_are_to_the_first(found: Comparison) -> None:
    rows = found.rows("given")
    for key in ("energy", "latency", "edp", "size"):
        assert rows[0][f"{key}_ratio"] == 1.0
    assert rows[3]["energy_ratio"] == rows[3]["energy_pj"] / rows[0]["energy_pj"]


@pytest.mark.parametrize(
    ("by", "key"), [("energy", "energy_pj"), ("latency", "latency_s"), ("edp", "edp_js"), ("size", "size_bits")]
)
def test_sorted(found: Comparison, by: str, key: str) -> None:
    values = [row[key] for row in found.rows(by)]
    assert values == sorted(values)


def test_pareto_is_what_nothing_beats(found: Comparison) -> None:
    rows = found.rows("given")
    for row in rows:
        beaten = any(
            other["energy_pj"] <= row["energy_pj"]
            and other["latency_s"] <= row["latency_s"]
            and (other["energy_pj"] < row["energy_pj"] or other["latency_s"] < row["latency_s"])
            for other in rows
        )
        assert row["pareto"] is not beaten
    assert any(row["pareto"] for row in rows)
    assert not all(row["pareto"] for row in rows)


def test_equal_points_are_both_on_the_front() -> None:
    chip = energysim.read_accelerator("one_mac")
    result = energysim.estimate(SMALL, chip)
    twins = Comparison(tuple(Point(name, "dense", "own", "one_mac", result, chip.accelerator) for name in ("a", "b")))
    assert twins.front == {0, 1}


def test_more_bits_never_cost_less() -> None:
    rows = compared(SMALL, "eyeriss_full_adders", bits=[2, 4, 8, 16]).rows("energy")
    assert [row["bits"] for row in rows] == ["2", "4", "8", "16"]
    assert [row["size_bits"] for row in rows] == [(108 + 80) * bits for bits in (2, 4, 8, 16)]


def test_frame_is_tidy() -> None:
    frame = compare([SMALL, OTHER], ["eyeriss", "one_mac"], bits=8, sort="given")
    assert list(frame["model"]) == ["small", "small", "other", "other"]
    assert frame["pareto"].dtype == bool
    parts = frame[[column for column in frame.columns if column.startswith("energy_by_component_pj.")]]
    assert not frame.drop(columns="cluster_rate").isna().any().any()
    assert parts.sum(axis=1).to_numpy() == pytest.approx(frame["energy_pj"].to_numpy())
    assert energysim.compare is compare


def test_csv_and_json_say_the_same(found: Comparison) -> None:
    rows = list(csv.DictReader(io.StringIO(rendered_comparison(found, "csv"))))
    data = json.loads(rendered_comparison(found, "json"))
    assert [float(row["energy_pj"]) for row in rows] == [point["energy_pj"] for point in data["points"]]
    assert data["first"] == ["small", "dense", "8", "eyeriss"]
    assert data["points"][0]["model_sha256"]


def test_table_names_only_what_differs(found: Comparison) -> None:
    out = plain(comparison_parts(found))
    head = out.splitlines()[0]
    assert head == "batch 1, dataflow unconstrained"
    assert "least energy: " in out
    assert " first\n" in out
    out = plain(comparison_parts(compared(SMALL, "eyeriss", bits=[8, 16])))
    assert out.startswith("small, on eyeriss, batch 1, dataflow unconstrained\n")
    assert "least energy: 8, " not in out.split("0.0")[0]


def test_duplicates_are_refused() -> None:
    for arguments, said in (
        (([SMALL, SMALL], ["eyeriss"]), "duplicate model 'small'"),
        ((SMALL, ["eyeriss", "eyeriss"]), "duplicate accelerator 'eyeriss'"),
    ):
        with pytest.raises(InputError, match=said):
            compared(*arguments)
    with pytest.raises(InputError, match="duplicate bits '8'"):
        compared(SMALL, "eyeriss", bits=[8, "8"])
    with pytest.raises(InputError, match="no model given"):
        compared([], "eyeriss")
    with pytest.raises(UnknownNameError, match="order 'enrgy'; did you mean 'energy'"):
        compare(SMALL, "eyeriss", sort="enrgy")


def test_bits_are_read_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("energysim.explore.compare.estimate", lambda *_, **__: pytest.fail("worked"))
    with pytest.raises(InputError, match="bits '0' are out of range"):
        compared(SMALL, "eyeriss", bits=[8, 0])


def test_a_time_budget_is_for_all_combinations(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []

    def watched(*arguments: object, **options: object) -> object:
        given.append(options["time_budget_s"])
        return estimate(*arguments, **options)

    monkeypatch.setattr("energysim.explore.compare.estimate", watched)
    compare(SMALL, "one_mac", bits=[8, 4], time_budget_s=6.0, batch=2)
    compare(SMALL, "one_mac")
    assert given == [3.0, 3.0, None]


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    # 400 weights at once in a scratchpad of 224
    (tmp_path / "impossible.yaml").write_text("memories:\n  spad: {whole: [R, S]}\n")
    wide = LayerGraph("wide", (convolution("conv", m=1, c=1, p=1, q=1, r=20, s=20),))
    with pytest.raises(NothingFitsError, match=r"^wide, dense, own bits on eyeriss: "):
        compared(wide, "eyeriss", constraints=energysim.read_constraints(tmp_path / "impossible.yaml"))


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = []
    for graph in (SMALL, OTHER):
        file = tmp_path / f"{graph.name}.yaml"
        file.write_text(to_yaml(graph))
        models.append(str(file))
    assert main(["compare", *models, "--on", "eyeriss", "one_mac", "--bits", "8", "w4a8", "--sort", "size"]) == 0
    out = capsys.readouterr().out
    assert len([line for line in out.splitlines() if "eyeriss" in line or "one_mac" in line]) >= 8
    assert all(line == line.rstrip() for line in out.splitlines())

    target = tmp_path / "found.csv"
    assert main(["compare", models[0], "--on", "eyeriss", "--bits", "8", "16", "-o", str(target)]) == 0
    assert [row["bits"] for row in csv.DictReader(io.StringIO(target.read_text()))] == ["8", "16"]
    assert capsys.readouterr().err == f"wrote {target}\n"

    assert main(["compare", models[0], "--on", "eyeriss", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["points"][0]["model"] == "small"


def test_command_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text(to_yaml(SMALL))
    model = str(tmp_path / "a.yaml")
    for arguments, said in (
        ([model, model, "--on", "eyeriss"], "duplicate model 'small'"),
        ([model, "--on", "eyeris"], "did you mean 'eyeriss'"),
        ([model, "--on", "eyeriss", "--sort", "sise"], "did you mean 'size'"),
        ([model, "--on", "eyeriss", "-o", model], "would overwrite the input"),
        ([model, "--on", "eyeriss", "-o", str(tmp_path / "no" / "x.csv")], "no such directory"),
    ):
        assert main(["compare", *arguments]) == 2
        caught = capsys.readouterr()
        assert caught.out == ""
        assert said in caught.err
        assert len(caught.err.splitlines()) == 1
    assert (tmp_path / "a.yaml").read_text() == to_yaml(SMALL)


def network() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """What the command calls as tests.test_compare:network."""
    torch.manual_seed(0)
    module = nn.Sequential()
    module.add_module("conv", nn.Conv2d(3, 8, 3))
    module.add_module("flatten", nn.Flatten())
    module.add_module("fc", nn.Linear(8 * 16, 5))
    return module, (torch.zeros(1, 3, 6, 6),)


HERE = "tests.test_compare:network"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of the convolution shared by 4 centroids."""
    target = tmp_path_factory.mktemp("compressed") / "rows4.safetensors"
    recipe = target.with_suffix(".yaml")
    recipe.write_text("default: skip\nlayers:\n  conv: {granularity: row, clusters: 4}\n")
    energysim.write_compressed(target, energysim.share(network()[0], str(recipe), name="network"))
    return target


def test_compressed_files_beside_dense(file: Path) -> None:
    found = compared(HERE, ["eyeriss", "eyeriss_storage", "eyeriss_products"], bits=8, compression=["dense", file])
    assert [point.names[1:] for point in found.points][3:] == [
        ("rows4", "8", chip) for chip in ("eyeriss", "eyeriss_storage", "eyeriss_products")
    ]
    for point in found.points:
        compressed = file if point.compression == "rows4" else None
        graph = energysim.read_model(HERE, compressed=compressed)
        assert point.estimate == energysim.estimate(graph, energysim.read_accelerator(point.accelerator), bits=8)
        # 8*3*3 = 72 rows, 4 of them different
        assert point.cluster_rate == (4 / 72 if compressed else None)
    sizes = {point.compression: point.size_bits for point in found.points}
    # 216 weights of 8 bits against 4*3 centroid elements and 72 indices of 2 bits
    assert sizes["dense"] - sizes["rows4"] == (216 - 12) * 8 - 72 * 2
    dense, shared = found.points[2], found.points[5]
    assert shared.estimate.totals.full_adders < dense.estimate.totals.full_adders


def test_a_model_and_its_file_in_one_word(file: Path) -> None:
    found = compared([HERE, f"{HERE}+{file}"], "eyeriss_storage", bits=8)
    assert [point.model for point in found.points] == ["test_compare", "test_compare+rows4"]
    assert found.points[1].estimate == compared(HERE, "eyeriss_storage", bits=8, compression=file).first.estimate


def test_fewer_clusters_never_cost_more() -> None:
    rates = [f"rate={rate}" for rate in (0.3, 0.2, 0.1, 0.05, 0.02)]
    found = compared("lenet_caffe5", "eyeriss_storage", bits=8, compression=rates)
    energies = [point.energy_pj for point in found.points]
    assert energies == sorted(energies, reverse=True)
    assert [point.cluster_rate for point in found.points] == pytest.approx([0.3, 0.2, 0.1, 0.05, 0.02], rel=0.01)
    (axes,) = rate(found).axes
    assert [line.get_xdata()[0] for line in axes.lines] == [pytest.approx(0.02, rel=0.01)]
    assert list(axes.lines[0].get_ydata()) == pytest.approx(
        [energy / energies[-1] * axes.lines[0].get_ydata()[0] for energy in reversed(energies)]
    )


def test_compressions_that_cannot_be(file: Path) -> None:
    for way, said in (
        ("rate=2", "cluster rate 2"),
        ("rate=x", "'x' is no number"),
        ("dens", "unknown compression 'dens'"),
        ("none.safetensors", "no such file"),
    ):
        with pytest.raises(InputError, match=said):
            compared(SMALL, "eyeriss", compression=way)
    with pytest.raises(InputError, match="duplicate compression 'rows4'"):
        compared(HERE, "eyeriss", compression=[file, str(file)])
    with pytest.raises(ModelReadError, match="does not fit model 'small'"):
        compared(SMALL, "eyeriss", compression=file)
    with pytest.raises(InputError, match="no point has shared weights"):
        rate(compared(SMALL, "eyeriss"))


def test_command_reads_models_as_asked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked = []

    def reader(reference: object, **reading: object) -> LayerGraph:
        asked.append(reading)
        return SMALL

    monkeypatch.setattr("energysim.explore.compare._read", lambda reference, reading: reader(reference, **reading))
    work = ["compare", "x.onnx", "--on", "one_mac", "--dim", "batch=2", "--trips", "3", "--read-weights"]
    assert main([*work, "--keep-batchnorm", "--keep-activations"]) == 0
    given = {"dims": {"batch": 2}, "trips": 3, "read_weights": True}
    given |= {"fold_batchnorm": False, "fuse_activations": False}
    assert [{name: reading[name] for name in given} for reading in asked] == [given]
    assert "small" in capsys.readouterr().out


def test_command_with_compression(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work = ["compare", HERE, "--on", "eyeriss_storage", "--bits", "8", "--compression", "dense", str(file)]
    drawn = tmp_path / "rate.svg"
    assert main([*work, "--picture", str(drawn), "--show", "rate"]) == 0
    out = capsys.readouterr().out
    assert "rows4" in out
    assert "codebook" in out
    assert drawn.read_bytes().startswith(b"<?xml")
    assert main([*work, "--picture", str(file)]) == 2


def test_metrics_of_a_compressed_file_are_exact(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", HERE, "--bits", "8", "--compressed", str(file), "--format", "json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["exact"] == ["conv"]
    conv, fc = data["layers"]
    graph = energysim.read_model(HERE, bits=8, compressed=file)
    assert conv["full_adders"] == conv["least_full_adders"] == exact_full_adders(graph.layers[0])
    # 8 outputs, 27 terms, 4 x 4 places: fewer than the dense products and additions
    assert conv["full_adders"] < 8 * 16 * full_adders_of_dot_product(27, 8, 8)
    assert fc["full_adders"] == 5 * full_adders_of_dot_product(128, 8, 8)
    assert main(["metrics", HERE, "--bits", "8", "--compressed", str(file)]) == 0
    assert "full adders of 1 of 2 layers follow from their indices" in capsys.readouterr().out
