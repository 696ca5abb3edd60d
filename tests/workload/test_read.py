"""`read_model`: every kind of reference, and what is said of the wrong ones."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from energysim.errors import InputError, ModelReadError, UnknownNameError
from energysim.workload.read import READERS, Options, read_model
from energysim.workload.yaml_format import to_yaml

SOURCE = """
import torch
from energysim.workload.read import read_model

def net():
    return torch.nn.Linear(3, 2), (torch.zeros(1, 3),)

def graph():
    return read_model("lenet_caffe5")

def number():
    return 3

def broken():
    raise RuntimeError("out of luck\\nsecond line")

value = 7
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with a package `nets_here` and a YAML file in it."""
    (tmp_path / "nets_here").mkdir()
    (tmp_path / "nets_here" / "small.py").write_text(SOURCE)
    (tmp_path / "lenet.yaml").write_text(to_yaml(read_model("lenet_caffe5")))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("nets_here")]:
        del sys.modules[name]


@pytest.mark.usefixtures("folder")
def test_every_kind_of_reference() -> None:
    lenet = read_model("lenet_caffe5")
    assert lenet.name == "lenet_caffe5"
    path_before = list(sys.path)
    for reference in ("lenet.yaml", Path("lenet.yaml"), lenet, "nets_here.small:graph"):
        assert read_model(reference) == lenet
    assert sys.path == path_before
    small = read_model("nets_here.small:net")
    assert (small.name, small.macs) == ("small", 6)
    assert read_model(nn.Linear(3, 2), example_inputs=(torch.zeros(1, 3),), name="small") == small
    assert read_model(nn.Linear(3, 2), example_inputs=torch.zeros(1, 3)).name == "Linear"


def test_batch_multiplies_work_and_activations_but_not_weights() -> None:
    one, sixteen = read_model("googlenet"), read_model("googlenet", batch=16)
    assert sixteen.macs == 16 * one.macs
    assert sixteen.parameters == one.parameters
    assert [edge.elements for edge in sixteen.edges] == [16 * edge.elements for edge in one.edges]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("reference", "kind", "expected"),
    [
        ("resnet5O", UnknownNameError, "unknown model 'resnet5O'; did you mean 'resnet50'?"),
        ("qqq", UnknownNameError, "known: albert_base, alexnet,"),
        ("lenett.yaml", InputError, "lenett.yaml: no such file; did you mean 'lenet.yaml'?"),
        ("nowhere/lenet.yaml", InputError, "nowhere/lenet.yaml: no such file"),
        ("nets_here", ModelReadError, "no reader for files without suffix"),
        (
            "nets_here/small.py",
            ModelReadError,
            "no reader for '.py' files; known: .csv, .json, .onnx, .pt2, .tflite, .yaml, .yml",
        ),
        ("nets_here.small:nett", UnknownNameError, "unknown function of nets_here.small 'nett'; did you mean 'net'?"),
        ("nets_here.small:value", UnknownNameError, "unknown function of nets_here.small 'value'"),
        ("nets_here.large:net", ModelReadError, "nets_here.large:net: ModuleNotFoundError: No module named"),
        ("nets_here.small:number", ModelReadError, "returned a int; it must return a torch module"),
        ("nets_here.small:broken", ModelReadError, "nets_here.small:broken: RuntimeError: out of luck"),
        (3, ModelReadError, "not a model: int"),
        ("bad\x1b[31m", UnknownNameError, "unknown model 'bad[31m'"),
    ],
)
def test_wrong_references_are_named_in_one_line(reference: object, kind: type[InputError], expected: str) -> None:
    with pytest.raises(kind) as caught:
        read_model(reference)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_module_without_example_inputs_is_refused() -> None:
    with pytest.raises(ModelReadError, match="needs example_inputs"):
        read_model(nn.Linear(2, 2))


@pytest.mark.parametrize("batch", [0, -1, True, 1.5])
def test_batch_must_be_a_count(batch: int) -> None:
    with pytest.raises(InputError, match="batch"):
        read_model("lenet_caffe5", batch=batch)


def test_every_reader_refuses_rubbish_with_the_name_of_the_file(tmp_path: Path) -> None:
    for suffix, reader in READERS.items():
        path = tmp_path / f"rubbish{suffix}"
        path.write_bytes(bytes(range(256)))
        with pytest.raises(InputError, match="rubbish"):
            reader(path, Options())


def test_packaged_name_loads_no_framework() -> None:
    program = (
        "import sys; from energysim.workload.read import read_model; read_model('resnet50', batch=2, bits='w4a8');"
        "print(*(m for m in ('torch', 'onnx', 'networkx', 'numpy', 'pandas') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_batchnorm_and_activations_may_keep_their_own_layers() -> None:
    block = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    image = torch.zeros(1, 3, 6, 6)
    assert [y.op for y in read_model(block, example_inputs=image).layers] == ["convolution"]
    kept = read_model(block, example_inputs=image, fold_batchnorm=False, fuse_activations=False)
    # 4 channels of 4 x 4 outputs: the scale and the shift are 2 operations each, the ReLU one.
    assert [(y.macs, y.ops) for y in kept.layers] == [(4 * 16 * 27, 0), (0, 128), (0, 64)]
    assert kept.parameters == sum(each.numel() for each in block.parameters())


def test_a_layer_graph_cannot_be_taken_apart_again() -> None:
    with pytest.raises(InputError, match="'lenet_caffe5': is a layer graph, in which BatchNorm is folded"):
        read_model("lenet_caffe5", fold_batchnorm=False)


CHOOSY = """
import torch

class Choosy(torch.nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x + 1
        return x - 1

def net():
    return Choosy(), (torch.zeros(3),)
"""


@pytest.mark.usefixtures("folder")
def test_a_module_that_cannot_be_exported_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    Path("nets_here/choosy.py").write_text(CHOOSY)
    with pytest.raises(ModelReadError, match=r"choosy\.py:6 `if x\.sum\(\) > 0:`; use torch\.where there, or move"):
        read_model("nets_here.choosy:net")
    assert capfd.readouterr() == ("", "")
