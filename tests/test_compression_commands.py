"""compress, size, decompress: what they print, write and refuse."""

import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from energysim.cli import main
from energysim.compressed.container import read_container
from energysim.compressed.file import read_compressed, write_compressed
from tests.clustering.test_share import network
from tests.test_architecture import loaded_by


def small() -> nn.Sequential:
    """What the commands call as tests.test_compression_commands:small."""
    return network()


def wrong() -> str:
    """What is no module."""
    return "text"


HERE = "tests.test_compression_commands"


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert all(line.startswith("energysim: ") for line in said.err.splitlines())
    return said.err


def test_compress_size_decompress(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, state = str(tmp_path / "small.safetensors"), str(tmp_path / "state.safetensors")
    assert main(["compress", f"{HERE}:small", "--recipe", "dkm:2/2", "-o", file]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("test_compression_commands: dkm:2/2\n")
    for word in ("0.weight", "SQNR dB", "cosine", "codebooks", "dkm_whole", "3 of 3 weight tensors shared, "):
        assert word in said.out
    assert said.err == f"wrote {file}, {os.path.getsize(file) / 1000:.2f} kB\n"
    assert all(line == line.rstrip() for line in said.out.splitlines())

    assert main(["size", file]) == 0
    assert capsys.readouterr().out == said.out

    assert main(["size", file, "--format", "json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["coverage"]["shared_weights"] == 3
    assert data["totals_bits"]["codebooks"] == 3 * 4 * 2 * 32
    assert data["recipe"]["text"] == "dkm:2/2"
    assert main(["size", file, "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["name"] for row in rows] == list(network().state_dict())

    assert main(["decompress", file, "-o", state]) == 0
    whole, _ = read_container(state)
    assert {name: tensor.values.tobytes() for name, tensor in whole.items()} == {
        name: tensor.values.tobytes() for name, tensor in read_compressed(file).state().items()
    }


def test_without_output_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compress", f"{HERE}:small", "--recipe", "rows:K=4", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["notes"] == ["not shared: 5.weight"]
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_and_what_is_found_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(network().state_dict(), tmp_path / "net.pt")
    file = str(tmp_path / "net.safetensors")
    assert main(["compress", str(tmp_path / "net.pt"), "--recipe", "scalars:K=4", "-o", file]) == 0
    assert "net: scalars:K=4" in capsys.readouterr().out
    assert main(["compress", file, "--recipe", "found"]) == 0
    assert "found: scalar" in capsys.readouterr().out
    assert "not a compressed model" in refused(capsys, "size", str(_plain(tmp_path)))
    assert "no weight is shared" in refused(capsys, "compress", str(tmp_path / "net.pt"), "--recipe", "found")


def _plain(folder: Path) -> Path:
    from energysim.compressed.file import write_state
    from energysim.compressed.model import Dense

    write_state(folder / "plain.safetensors", {"a": Dense(np.ones(3, np.float32), "F32")})
    return folder / "plain.safetensors"


def test_a_recipe_file_and_its_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text('linear: {bits: 2}\nlayers:\n  "0": {clusters: 3, granularity: row}\n')
    assert main(["compress", f"{HERE}:small", "--recipe", str(recipe)]) == 0
    assert "not shared: 3.weight" in capsys.readouterr().out
    recipe.write_text("linear: {bit: 2}\n")
    said = refused(capsys, "compress", f"{HERE}:small", "--recipe", str(recipe))
    assert said == f"energysim: {recipe}:1: unknown sharing field 'bit'; did you mean 'bits'?\n"


def test_refusals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_file = f"{HERE}:small"
    for arguments, message in {
        ("compress", "resnet18", "--recipe", "dkm:4/4"): "'resnet18' is a layer graph without weights",
        ("compress", f"{HERE}:wrong", "--recipe", "dkm:4/4"): "returned a str, not a torch module",
        ("compress", f"{HERE}:smal", "--recipe", "dkm:4/4"): "did you mean 'small'?",
        ("compress", small_file, "--recipe", "dkn:4/4"): "unknown recipe 'dkn:4/4'; did you mean 'dkm'?",
        ("compress", small_file): "--recipe",
        ("compress", "model.onnx", "--recipe", "dkm:4/4"): "no reader for '.onnx' files",
        ("compress", small_file, "--recipe", "dkm:4/4", "-o", str(tmp_path / "no" / "f")): "no such directory",
        ("size", "nowhere"): "nowhere: no such file",
        ("decompress", "nowhere", "-o", str(tmp_path / "f")): "nowhere: no such file",
        ("decompress", "nowhere", "-o", str(tmp_path)): "is a directory; give a file name",
    }.items():
        assert message in refused(capsys, *arguments)
    assert not list(tmp_path.iterdir())


def test_the_input_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "f.safetensors"
    assert main(["compress", f"{HERE}:small", "--recipe", "dkm:2/2", "-o", str(file)]) == 0
    capsys.readouterr()
    before = file.read_bytes()
    assert "would overwrite the input" in refused(capsys, "decompress", str(file), "-o", str(file))
    assert "would overwrite the input" in refused(capsys, "compress", str(file), "--recipe", "found", "-o", str(file))
    assert file.read_bytes() == before


def test_an_altered_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from energysim.clustering.share import share

    file = tmp_path / "f"
    write_compressed(file, share(network(), "dkm:2/2"))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    said = refused(capsys, "size", str(file))
    assert said == f"energysim: {file}: altered: the contents do not match the hash in the header\n"


def test_size_and_decompress_need_no_torch(tmp_path: Path) -> None:
    from energysim.clustering.share import share

    write_compressed(tmp_path / "f", share(network(), "dkm:2/2"))
    for arguments in (("size", str(tmp_path / "f")), ("decompress", str(tmp_path / "f"), "-o", str(tmp_path / "s"))):
        loaded = loaded_by(*arguments)
        assert "numpy" in loaded
        assert not loaded & {"torch", "onnx", "matplotlib", "scipy", "safetensors"}
    assert (tmp_path / "s").exists()
