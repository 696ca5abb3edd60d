"""Cache and jobs on the command line."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import pytest

from energysim.cli import main
from energysim.workload.graph import LayerGraph
from energysim.workload.layer import convolution
from energysim.workload.yaml_format import to_yaml
from tests.test_cli import LISTENING

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def small(tmp_path: Path) -> str:
    """A file with a network of one small layer."""
    file = tmp_path / "small.yaml"
    file.write_text(to_yaml(LayerGraph("small", (convolution("conv", m=4, c=3, p=6, q=6, r=3, s=3),))))
    return str(file)


def test_cache_is_used_listed_and_cleared(small: str, cache_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work = ["estimate", small, "--on", "eyeriss", "--format", "json"]
    assert main([*work, "--no-cache"]) == 0
    searched = capsys.readouterr()
    assert main(["explain", small, "conv", "--on", "eyeriss", "--no-cache"]) == 0
    explained = capsys.readouterr()
    assert list(cache_folder.iterdir()) == []
    for _ in range(2):
        assert main(work) == 0
        assert capsys.readouterr() == searched
        assert main(["explain", small, "conv", "--on", "eyeriss"]) == 0
        assert capsys.readouterr() == explained
    (entry,) = cache_folder.iterdir()
    size = entry.stat().st_size
    assert main(["cache"]) == 0
    assert capsys.readouterr().out == f"{cache_folder}: 1 entries, {size:,} bytes\n"
    assert main(["cache", "clear"]) == 0
    assert capsys.readouterr().out == f"{cache_folder}: 1 files removed, {size:,} bytes\n"
    assert list(cache_folder.iterdir()) == []


def test_a_bad_entry_is_one_line_and_no_error(
    small: str, cache_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work = ["estimate", small, "--on", "eyeriss", "--format", "json"]
    assert main(work) == 0
    right = capsys.readouterr().out
    (entry,) = cache_folder.iterdir()
    entry.write_text("{")
    assert main(work) == 0
    said = capsys.readouterr()
    assert said.out == right
    assert re.fullmatch(r"energysim: warning: cache: .*damaged or foreign.*\n", said.err)


def test_an_unwritable_folder_is_one_line_and_no_error(
    small: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ENERGYSIM_CACHE_DIR", str(tmp_path / "file"))
    assert main(["estimate", small, "--on", "eyeriss", "--format", "csv"]) == 0
    said = capsys.readouterr()
    assert said.out
    assert re.fullmatch(r"energysim: warning: cache: .* cannot be written.*\n", said.err)
    for command in (["cache"], ["cache", "clear"]):
        assert main(command) == 2
        assert re.fullmatch(r"energysim: cache: .* cannot be read: .*\n", capsys.readouterr().err)


@pytest.mark.parametrize("jobs", ["0", "-2", "two", "1.5", ""])
def test_bad_jobs_are_one_line(small: str, jobs: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", small, "--on", "eyeriss", f"--jobs={jobs}"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert re.fullmatch(r"energysim: .*jobs.*\n", said.err)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_interrupted_with_a_cache(jobs: str, cache_folder: Path) -> None:
    """Ctrl-C, to all processes as a terminal sends it: code 130, one line, and what is kept is whole."""
    command = [sys.executable, "-c", LISTENING, "estimate", "googlenet", "--on", "simba", "--jobs", jobs]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )
    while process.poll() is None and not list(cache_folder.glob("*.json")):
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.strip() == "energysim: interrupted; nothing was written"
    entries = list(cache_folder.iterdir())
    assert entries
    for entry in entries:
        body = json.loads(entry.read_text())
        said = body.pop("sha256")
        assert said == sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        assert entry.name == f"{body['key']}.json"
