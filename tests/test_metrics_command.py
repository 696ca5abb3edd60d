"""metrics: what it prints and refuses."""

import json

import pytest

from energysim.cli import main


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["metrics", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert said.err.startswith("energysim: ")
    return said.err


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", "lenet_caffe5", "--bits", "8", "--rate", "0.1"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("lenet_caffe5: bits 8, rate 0.1\n")
    for word in ("conv1", "ip2", "total", "full adders", "at least", "index", "DeepK total", "compulsory", "indices"):
        assert word in out
    assert "pool" not in out
    assert all(line == line.rstrip() for line in out.splitlines())


def test_dense_table_has_no_columns_of_sharing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", "lenet_caffe5"]) == 0
    out = capsys.readouterr().out
    assert "index" not in out
    assert "at least" not in out


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", "lenet_caffe5", "--rate", "0.1", "--ignore-indices", "--format", "json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["model"] == "lenet_caffe5"
    assert data["options"]["rate"] == 0.1
    conv1 = data["layers"][0]
    # 10 of 100 rows of 5 at 24 x 24 positions, 16 bits
    assert conv1["weight_cost_bits"] == 10 * 5 * 24 * 24 * 16
    assert conv1["index_cost_bits"] == 0
    assert data["totals"]["macs"] == sum(row["macs"] for row in data["layers"]) == 2_293_000


def test_density(capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for density in ("1", "0.5"):
        assert main(["metrics", "lenet_caffe5", "--density", density, "--format", "json"]) == 0
        found.append(json.loads(capsys.readouterr().out)["layers"][0]["full_adders"])
    assert found[1] * 2 == found[0]


def test_refusals(capsys: pytest.CaptureFixture[str]) -> None:
    assert "cluster rate 2" in refused(capsys, "alexnet", "--rate", "2")
    assert "give --rate too" in refused(capsys, "alexnet", "--granularity", "row")
    assert "give one of them" in refused(capsys, "alexnet", "--rate", "0.1", "--compressed", "x.safetensors")
    assert "did you mean 'row'" in refused(capsys, "alexnet", "--rate", "0.1", "--granularity", "rows")
    assert "density 1.5" in refused(capsys, "alexnet", "--density", "1.5")
    assert "did you mean 'alexnet'" in refused(capsys, "alexnt")
    assert "out of range" in refused(capsys, "alexnet", "--bits", "0")
