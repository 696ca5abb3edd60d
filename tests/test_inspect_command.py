"""`energysim inspect`: what is in a model, what its weights are, how many activations are zero, what was understood."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from energysim.cli import main
from energysim.workload.coverage import coverage, coverage_lines
from energysim.workload.read import read_model
from tests.workload.onnx_build import model, node, saved, stored, typed

MODULE = """
import torch
from torch import nn

def net():
    module = nn.Sequential(nn.Linear(4, 3, bias=False), nn.ReLU(), nn.Linear(3, 2, bias=False))
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[1., 1, 0, 0], [-1, -1, 0, 0], [0, 0, 0, 0]]))
        module[2].weight.fill_(1.0)
    return module, (torch.zeros(1, 4),)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    first = np.array([[1, -1, 0], [1, -1, 0], [0, 0, 0], [0, 0, 0]])
    custom = helper.make_node("Fancy", ["b"], ["c"], domain="com.example")
    nodes = [node("MatMul", "x first.weight", "a"), node("Relu", "a", "b"), custom, node("MatMul", "c last.weight")]
    weights = [stored("first.weight", first), stored("last.weight", np.ones((3, 2))), stored("lost.weight", np.ones(5))]
    made = model(nodes, [typed("x", ["batch", 4])], weights, domains=["com.example"], more=[typed("c", ["batch", 3])])
    saved(tmp_path / "small.onnx", made)
    plain = model([nodes[0], nodes[1], node("MatMul", "b last.weight")], [typed("x", ["batch", 4])], weights[:2])
    saved(tmp_path / "plain.onnx", plain)
    np.savez(tmp_path / "data.npz", x=np.array([[1.0, 2, 3, 4], [-1, -2, 3, 0]], np.float32))
    (tmp_path / "nets.py").write_text(MODULE)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["inspect", *arguments]) == 0
    return capsys.readouterr().out


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said(capsys, *arguments, "--format", "json"))
    return found


def test_what_is_in_a_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "small.onnx", "--dim", "batch=2")
    assert "3 layers, 36  MACs" in text or "3 layers, 36 MACs" in text
    # bits at 16: (8 + 12 + 6) + (6 + 6 + 4) known of all with 6 + 6 unknown
    assert "of 4 operations 3 understood (100 % of MACs, 78 % of bytes), 1 unknown (0 % of MACs, 22 % of bytes)" in text
    assert "never reached: lost" in text
    assert "warning: c: unknown operation 'Fancy' of domain 'com.example'" in text
    found = as_json(capsys, "small.onnx", "--dim", "batch=2")
    assert found["kinds"] == {"linear": 2, "fancy": 1}
    assert found["coverage"]["unknown"] == {"operations": 1, "macs": 0, "ops": 6, "bits": 16 * 12}
    assert found["unknown"] == ["c"]


def test_weights_are_measured(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json(capsys, "plain.onnx", "--dim", "batch=2", "--read-weights")
    first, last = found["layers"]
    assert first["weights"]["weight"] == {"elements": 12, "nonzero": 4, "distinct": 3}
    assert last["weights"]["weight"] == {"elements": 6, "nonzero": 6, "distinct": 1}
    assert first["tensors"]["weight"]["density"] == pytest.approx(1 / 3)
    assert found["shared"] == ["first"]
    text = said(capsys, "plain.onnx", "--dim", "batch=2", "--read-weights")
    assert "weights that take few values already: first" in text


def test_activations_are_measured_in_a_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # rows (1 2 3 4), (-1 -2 3 0) give (3 -3 0), (-3 3 0): after the Relu 2 of 6 are not zero; of the input 7 of 8
    found = as_json(capsys, "plain.onnx", "--inputs", "data.npz")
    first, last = found["layers"]
    assert first["tensors"]["input"]["density"] == pytest.approx(7 / 8)
    assert first["tensors"]["output"]["density"] == last["tensors"]["input"]["density"] == pytest.approx(1 / 3)
    same = as_json(capsys, "nets:net", "--inputs", "data.npz", "--read-weights")
    one, other = same["layers"]
    assert one["tensors"]["output"]["density"] == other["tensors"]["input"]["density"] == pytest.approx(1 / 3)
    assert one["weights"]["weight"] == {"elements": 12, "nonzero": 4, "distinct": 3}


def test_graph_is_written_with_its_densities(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "plain.onnx", "--inputs", "data.npz", "--to", "yaml", "-o", "plain.yaml")
    graph = read_model("plain.yaml")
    assert graph.layers[0].output.density == pytest.approx(1 / 3)
    said(capsys, "small.onnx", "--dim", "batch=2", "--to", "yaml", "-o", "small.yaml")
    again = read_model("small.yaml")
    assert (again.unknown, again.unreached) == (("c",), ("lost",))
    assert coverage(again) == as_json(capsys, "small.onnx", "--dim", "batch=2")["coverage"]


def test_every_estimate_says_what_was_understood(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", "small.onnx", "--on", "eyeriss", "--dim", "batch=2"]) == 0
    text = capsys.readouterr().out
    assert "of 4 operations 3 understood" in text
    assert "never reached: lost" in text
    assert "--dim batch=2" in text
    assert main(["estimate", "plain.onnx", "--on", "eyeriss", "--dim", "batch=2", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["coverage"]["understood"]["macs"] == 36
    assert main(["explain", "plain.onnx", "last", "--on", "eyeriss", "--dim", "batch=2"]) == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("small.onnx",), "--dim batch=1"),
        (("small.onnx", "--dim", "batch"), "--dim batch: write NAME=SIZE"),
        (("small.onnx", "--dim", "batch=1", "--dim", "batch=2"), "'batch' is given twice"),
        (("small.onnx", "--dim", "batch=0"), "must be an integer of at least 1"),
        (("small.onnx", "--dim", "batch=2", "--trips", "0"), "must be an integer of at least 1"),
        (("plain.onnx", "--inputs", "absent.npz"), "absent.npz: no such file"),
        (("plain.onnx", "--inputs", "plain.onnx"), "plain.onnx: not a zip archive"),
        (("plain.onnx", "--inputs", "wrong.npz"), "unknown input of plain.onnx 'y'"),
        (("plain.onnx", "--inputs", "narrow.npz"), "cannot be run on these inputs"),
        (("small.onnx", "--inputs", "data.npz"), "cannot be run on these inputs"),
        (("lenet_caffe5", "--read-weights"), "measured of .onnx files and package.module:function"),
        (("lenet_caffe5", "--dim", "batch=1"), "is a layer graph, which has no dims"),
        (("lenet_caffe5", "--format", "xml"), "unknown --format 'xml'"),
        (("state.pt",), "not which operations a forward pass does"),
        (("small.onnx", "--dim", "batch=2", "--to", "yaml", "-o", "small.onnx"), "small.onnx"),
    ],
)
def test_mistakes_are_said_in_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], expected: str
) -> None:
    import torch

    np.savez(folder / "wrong.npz", y=np.zeros((2, 4), np.float32))
    np.savez(folder / "narrow.npz", x=np.zeros((2, 3), np.float32))
    torch.save({"a": torch.zeros(2)}, folder / "state.pt")
    assert main(["inspect", *arguments]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert expected in lines[0]


def test_coverage_in_words() -> None:
    empty = {"operations": 0, "macs": 0, "ops": 0, "bits": 0}
    some = {"operations": 3, "macs": 999, "ops": 0, "bits": 80}
    one = {"operations": 1, "macs": 1, "ops": 0, "bits": 20}
    found: dict[str, Any] = {"understood": some, "assumed": empty, "unknown": empty, "assumptions": [], "unreached": []}
    assert coverage_lines(found) == ["all 3 operations are understood"]
    found |= {"assumed": one, "assumptions": ["loops run once"], "unreached": list("abcdefg")}
    assert coverage_lines(found) == [
        "of 4 operations 3 understood (99.9 % of MACs, 80 % of bytes), 1 by assumption (0.1 % of MACs, 20 % of bytes)",
        "assumed: loops run once",
        "never reached: a, b, c, d, e and 2 more",
    ]
    assert coverage_lines({}) == []
