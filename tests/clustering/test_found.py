"""Weights that are shared already: by their values, and by the look-up tables of a checkpoint that coremltools wrote.

`data/coremltools_9.pt` is the state dict of a finalized DKMPalettizer of coremltools 9.0: three bits of scalars, pairs
of output channels, codebooks for groups of four channels, a scale per channel, and vectors of four with a scale.
"""

from pathlib import Path

import pytest
import torch
from torch import nn

from energysim.clustering.checkpoint import read_checkpoint
from energysim.clustering.found import find_shared
from energysim.clustering.share import share
from energysim.clustering.weights import to_tensors
from energysim.compressed.file import read_compressed, write_compressed
from energysim.compressed.model import CompressedModel
from energysim.errors import InputError
from tests.clustering.test_share import Tied, network

CHECKPOINT = Path(__file__).parent / "data" / "coremltools_9.pt"


def same_bits(model: CompressedModel, state: dict[str, torch.Tensor]) -> bool:
    found = to_tensors(model.state())
    return all(torch.equal(tensor.view(torch.uint8), state[name].view(torch.uint8)) for name, tensor in found.items())


def test_coremltools_checkpoint_becomes_a_file_bit_for_bit(tmp_path: Path) -> None:
    state = read_checkpoint(CHECKPOINT)
    made = find_shared(state, name="palettized")
    write_compressed(tmp_path / "f", made)
    back = read_compressed(tmp_path / "f")
    assert same_bits(back, state)
    assert set(back.state()) == {key for key in state if "_COREML_" not in key}
    shapes = {
        name: (t.codebooks.shape, str(t.granularity), t.axes, t.scale is not None) for name, t in back.clustered()
    }
    assert shapes == {
        "scalars.weight": ((1, 8, 1), "scalar", (), False),
        "pairs.weight": ((1, 8, 2), "vector:2", (1, 2, 3, 0), False),
        "groups.weight": ((2, 4, 1), "scalar", (), False),
        "scaled.weight": ((1, 8, 1), "scalar", (), True),
        "both.weight": ((1, 8, 4), "vector:4", (1, 0), True),
    }
    assert all("look-up table of coremltools" in line.notes[0] and line.mse == 0 for line in made.report)


def test_a_checkpoint_in_half_precision_keeps_its_tables() -> None:
    state = {key: tensor.bfloat16() for key, tensor in read_checkpoint(CHECKPOINT).items() if key.startswith("pairs.")}
    state["pairs._COREML_/weight/vector_axis"] = torch.tensor(0)
    made = find_shared(state)
    assert same_bits(made, state)
    assert "look-up table of coremltools" in made.report[0].notes[0]


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (
            lambda s: s.update({"scalars._COREML_/weight/lut": torch.zeros(8)}),
            "look-up table of shape (8,) does not fit",
        ),
        (lambda s: s["scalars._COREML_/weight/lut"].add_(1), "does not give back its values"),
        (lambda s: s.update({"scalars._COREML_/weight/lut": torch.zeros(2, 3, 1, 1, 8, 1)}), "not along one axis"),
        (lambda s: s.update({"scaled._COREML_/weight/palettization_scale": torch.ones(3)}), "not one per channel"),
    ],
)
def test_look_up_tables_that_do_not_fit_are_told_and_the_values_kept(change, note: str) -> None:  # type: ignore[no-untyped-def]
    state = {key: tensor.clone() for key, tensor in read_checkpoint(CHECKPOINT).items()}
    change(state)
    made = find_shared(state)
    assert any(note in each for each in made.notes), made.notes
    assert same_bits(made, state)


@pytest.mark.parametrize("recipe", ["scalars:K=4", "rows:K=5", "filters:K=3", "dkm:3/4", "dkm:2/8"])
def test_what_we_shared_is_found_again(recipe: str) -> None:
    torch.manual_seed(0)
    shared = share(nn.Sequential(nn.Conv2d(8, 16, 3)), recipe)
    made = find_shared(to_tensors(shared.state()), name="again")
    (first,) = (tensor for _, tensor in shared.clustered())
    (again,) = (tensor for _, tensor in made.clustered())
    assert again.granularity.kind == first.granularity.kind
    assert again.clusters == first.clusters
    assert same_bits(made, to_tensors(shared.state()))


def test_bits_are_compared_not_values(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.tensor([0.0, -0.0, float("nan"), 1.0])
    weight = values[torch.randint(4, (16, 16), generator=generator)]
    made = find_shared({"w": weight})
    assert dict(made.clustered())["w"].clusters == 4
    assert same_bits(made, {"w": weight})
    write_compressed(tmp_path / "f", made)
    assert read_compressed(tmp_path / "f").report[0].mse == 0


def test_half_precision_and_ties() -> None:
    model = Tied()
    with torch.no_grad():
        model.words.weight.copy_(model.words.weight.sign())
    half = {name: tensor.bfloat16() for name, tensor in model.state_dict().items()}
    half["out.weight"] = half["words.weight"]
    made = find_shared(half)
    assert made.ties == {"out.weight": "words.weight"}
    assert [name for name, _ in made.clustered()] == ["words.weight"]
    assert same_bits(made, half)


def test_nothing_found() -> None:
    with pytest.raises(InputError, match="model 'net': no weight is shared: each has about as many values as elements"):
        find_shared(network().state_dict(), name="net")


class Hostile:
    """What runs a command when it is unpickled the ordinary way."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, ("touch executed",)


def test_checkpoints_that_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    state = network().state_dict()
    torch.save(state, "plain.pt")
    torch.save({"epoch": 3, "state_dict": state, "optimizer": {"lr": 0.1}}, "nested.pth")
    assert read_checkpoint("plain.pt").keys() == read_checkpoint("nested.pth").keys() == state.keys()
    torch.save({"epoch": 3}, "empty.pt")
    Path("text.pt").write_text("hello")
    torch.save(Hostile(), "hostile.pt")
    for name, message in {
        "empty.pt": "holds a dict, not a state dict of tensors; its keys: epoch",
        "text.pt": "text.pt: ",
        "hostile.pt": "holds more than tensors, or is no checkpoint of PyTorch; nothing in it was executed",
        "nowhere.pt": "nowhere.pt: no such file",
        "model.onnx": "no reader for '.onnx' files; known: .safetensors, .pt",
    }.items():
        with pytest.raises(InputError) as caught:
            read_checkpoint(name)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not Path("executed").exists()
