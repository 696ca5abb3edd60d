"""The command line: what it prints, what it refuses, and what it leaves behind."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from energysim.cli import main, parser
from energysim.costs.result import Estimate
from energysim.workload.graph import LayerGraph
from energysim.workload.layer import convolution
from energysim.workload.yaml_format import to_yaml

ROOT = Path(__file__).resolve().parent.parent
ESCAPE = "\x1b"


@pytest.fixture
def small(tmp_path: Path) -> str:
    """A file with a network of two small layers."""
    layers = (
        convolution("conv", m=4, c=3, p=6, q=6, r=3, s=3),
        convolution("classes", m=5, c=16, p=1, q=1, op="linear"),
    )
    file = tmp_path / "small.yaml"
    file.write_text(to_yaml(LayerGraph("small", layers)))
    return str(file)


def run(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "energysim", *arguments]
    there = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=there, check=False)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What is said on standard error when a command is refused: with code 2 and nothing on standard output."""
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert all(line.startswith("energysim: ") for line in said.err.splitlines())
    return said.err


def test_estimate_prints_layers_parts_and_the_answer(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", small, "--on", "eyeriss", "--bits", "8", "--batch", "2"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("small on eyeriss: batch 2, bits 8, dataflow unconstrained\n")
    for word in ("conv", "classes", "total", "Where it goes", "dram", "global\n", "spad", "compulsory", "full adders"):
        assert word in out
    assert f"why: energysim explain {small} conv --on eyeriss --batch 2 --bits 8\n" in out
    assert ESCAPE not in out
    assert not re.search("flo" + "ps", out, re.IGNORECASE)
    assert all(line == line.rstrip() for line in out.splitlines())


def test_the_printed_hint_works(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["estimate", small, "--on", "eyeriss", "--bits", "w4a8"])
    hint = re.search(r"why: energysim (.*)", capsys.readouterr().out)
    assert hint is not None
    assert main(hint[1].split()) == 0
    assert "conv on eyeriss" in capsys.readouterr().out


def test_json_and_csv_on_standard_output(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", small, "--on", "eyeriss", "--format", "json"]) == 0
    result = Estimate.from_json(capsys.readouterr().out)
    # 4*3*36*9 + 5*16
    assert result.totals.macs == 3888 + 80
    assert main(["estimate", small, "--on", "eyeriss", "--format", "csv"]) == 0
    assert capsys.readouterr().out == result.to_csv()


def test_explain_multiplies_out(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every line's count x bits x price is its pJ, and the lines add up to the estimate's energy of the layer."""
    assert main(["estimate", small, "--on", "eyeriss", "--format", "json"]) == 0
    energy = Estimate.from_json(capsys.readouterr().out).layers[0].energy_pj
    assert main(["explain", small, "conv", "--on", "eyeriss"]) == 0
    out = capsys.readouterr().out
    assert ESCAPE not in out
    number = r"([\d,]+\.?\d*)"
    line = re.compile(rf"^ [\w ]+? {{2,}}{number} +(?:(\d+) +)?{number}(?:/(\d+))? +{number} +(?:<1|\d+) +\[\d\]", re.M)
    found = [[float(text.replace(",", "")) if text else None for text in match] for match in line.findall(out)]
    assert len(found) >= 10
    total = 0.0
    for count, bits, price, width, energy_pj in found:
        assert count is not None
        assert price is not None
        assert energy_pj == pytest.approx(count * price * ((bits / width) if bits and width else 1.0), abs=0.06)
        total += energy_pj
    said = re.search(rf"^ sum +{number}", out, re.M)
    assert said is not None
    assert float(said[1].replace(",", "")) == pytest.approx(energy, abs=0.06) == pytest.approx(total, abs=1.1)
    assert "[1] table: Chen, Emer, Sze, ISCA 2016" in out
    assert "for M in" in out or "spread M in" in out


def test_explain_shows_what_zeros_save(small: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zeros = tmp_path / "zeros.yaml"
    zeros.write_text("layers:\n  conv: {input: {density: 0.25}}\n")
    assert main(["explain", small, "conv", "--on", "eyeriss", "--bits", str(zeros)]) == 0
    macs = next(line for line in capsys.readouterr().out.splitlines() if line.startswith(" mac mac compute "))
    # 3,888 MACs at 1.56 pJ, a quarter of them done
    assert macs.split()[3:6] == ["3,888", "1.56", "0.25"]
    assert float(macs.split()[6].replace(",", "")) == pytest.approx(3888 * 1.56 / 4, abs=0.1)


def test_explain_shows_static_energy(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "lenet_caffe5", "ip2", "--on", "tpu_v1", "--bits", "8"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"idle power +\S+ s +28 W +[\d,.]+ +\d+ +\[\d\]", out)
    assert "idle power 28.0 W x " in out


def test_lists(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    assert re.search(r"resnet50 +72 +4\.09 G +25\.6 M", capsys.readouterr().out)
    assert main(["accelerators"]) == 0
    assert re.search(r"eyeriss +168 ", capsys.readouterr().out)


def test_check_says_sound_or_why_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["accelerators", "check", "eyeriss"]) == 0
    assert capsys.readouterr().out.endswith("eyeriss: sound; weakest price: table\n")
    text = (ROOT / "hw_configs" / "eyeriss.yaml").read_text()
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(
        text.replace("word_bits: 16", "word_bit: 16").replace("capacity_bits: 884736", "capacity_bits: -1")
    )
    assert len(refused(capsys, "accelerators", "check", str(wrong)).splitlines()) >= 2


def test_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "accelerator"]) == 0
    assert json.loads(capsys.readouterr().out)["type"] == "object"


def test_output_brings_all_that_is_needed_to_run_again(small: str, tmp_path: Path) -> None:
    done = run("estimate", small, "--on", "eyeriss", "--bits", "8", "--batch", "2", "-o", str(tmp_path / "a.json"))
    assert (done.returncode, done.stdout) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a.accelerator.yaml",
        "a.json",
        "a.model.yaml",
        "a.options.json",
        "small.yaml",
    ]
    first = Estimate.from_json((tmp_path / "a.json").read_text())
    again = json.loads((tmp_path / "a.options.json").read_text())["run_again"]
    command = [sys.executable, "-m", *again, "--format", "json", "--no-cache"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    second = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    result = Estimate.from_json(second)
    assert (result.layers, result.totals, result.batch) == (first.layers, first.totals, 2)
    assert (result.model_sha256, result.accelerator_sha256) == (first.model_sha256, first.accelerator_sha256)


def test_a_time_budget_must_be_seconds(small: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work = ["estimate", small, "--on", "one_mac"]
    for wrong in ("0", "-1", "nan"):
        assert main([*work, f"--time-budget={wrong}"]) == 2
        assert capsys.readouterr().err == (
            f"energysim: a time budget must be a number of seconds above 0, not {float(wrong)}\n"
        )
    assert main([*work, "--time-budget", "60", "-o", str(tmp_path / "a.json")]) == 0
    again = json.loads((tmp_path / "a.options.json").read_text())["run_again"]
    assert again[-2:] == ["--time-budget", "60.0"]


def test_output_follows_its_suffix_and_format(small: str, tmp_path: Path) -> None:
    for name, extra, start in (
        ("a.csv", (), "model,accelerator,batch,name"),
        ("a.txt", (), "small on eyeriss"),
        ("b.txt", ("--format", "json"), "{"),
    ):
        assert main(["estimate", small, "--on", "eyeriss", "-o", str(tmp_path / name), *extra]) == 0
        assert (tmp_path / name).read_text().startswith(start)
    assert stat.S_IMODE((tmp_path / "a.csv").stat().st_mode) == stat.S_IMODE((tmp_path / "small.yaml").stat().st_mode)


def test_output_that_cannot_be_written(small: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(tmp_path.rglob("*"))
    for wrong, why in (
        (tmp_path / "no" / "a.json", "no such directory"),
        (tmp_path, "is a directory"),
        (tmp_path / "small.yaml" / "a.json", "(?i)not a directory"),
        (Path(os.devnull), "not a regular file"),
        (tmp_path / ("x" * 300), "cannot be written"),
    ):
        said = refused(capsys, "estimate", small, "--on", "eyeriss", "-o", str(wrong))
        assert re.search(why, said)
        assert len(said.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_bad_input_is_one_clear_line(small: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    huge = tmp_path / "rubbish.yaml"
    huge.write_bytes(b"\xff\xfe rubbish")
    for arguments, why in (
        (("estimate", "resnet51", "--on", "eyeriss"), "did you mean 'resnet50'"),
        (("estimate", small, "--on", "eyris"), "did you mean 'eyeriss'"),
        (("estimate", "no/such.yaml", "--on", "eyeriss"), "no such file"),
        (("estimate", str(huge), "--on", "eyeriss"), "rubbish.yaml"),
        (("estimate", "no_module:function", "--on", "eyeriss"), "no_module"),
        (("estimate", small, "--on", "eyeriss", "--batch", "0"), "batch is 0"),
        (("estimate", small, "--on", "eyeriss", "--batch", "two"), "invalid int value"),
        (("estimate", small, "--on", "eyeriss", "--bits", "w8"), "w4a8"),
        (("estimate", small, "--on", "eyeriss", "--dataflow", "row"), "row_stationary"),
        (("estimate", small, "--on", "eyeriss", "--format", "jsn"), "did you mean 'json'"),
        (("estimate", small), "required: --on"),
        (("explain", small, "convv", "--on", "eyeriss"), "did you mean 'conv'"),
        (("estimat", small), "did you mean 'estimate'"),
        (("estimate", small, "--on", "eyeriss", "--forma", "csv"), "unrecognized arguments: --forma"),
        ((), "required: command"),
    ):
        said = refused(capsys, *arguments)
        assert why in said, arguments
        assert len(said.splitlines()) == 1, arguments


def test_a_layer_too_large_for_every_buffer(small: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "hw_configs" / "eyeriss.yaml").read_text()
    tiny = tmp_path / "tiny.yaml"
    narrow = text.replace("{input: 192, weight: 3584, output: 384}", "{input: 8, weight: 3584, output: 384}")
    assert narrow != text
    tiny.write_text(narrow)
    said = refused(capsys, "estimate", small, "--on", str(tiny))
    assert re.search(r"layer 'conv' on .*: nothing fits: .*spad.* 16 bits, it has 8$", said.strip())


def test_strict_refuses_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "estimate", "lenet_caffe5", "--on", "tpu_v1", "--strict")
    assert "default price refused: unified_buffer.read, unified_buffer.write (" in said
    assert main(["estimate", "lenet_caffe5", "--on", "tpu_v1"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("warning: default price: ")


def test_hidden_characters_of_names_are_not_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A function may return a graph with any names; they are shown as escapes, and an error shows the same."""
    name = "bad\x1b[31m\u202ename"
    (tmp_path / "evil_network.py").write_text(
        "from energysim.workload.graph import LayerGraph\nfrom energysim.workload.layer import convolution\n"
        f"def network():\n    return LayerGraph({name!r}, (convolution({name!r}, m=2, c=2, p=1, q=1),))\n"
    )
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        for extra in ((), ("--format", "json"), ("--format", "csv")):
            assert main(["estimate", "evil_network:network", "--on", "one_mac", *extra]) == 0
        assert main(["explain", "evil_network:network", name, "--on", "one_mac"]) == 0
        assert main(["explain", "evil_network:network", "bad\x1bname", "--on", "one_mac"]) == 2
    finally:
        os.chdir(before)
    said = capsys.readouterr()
    assert ESCAPE not in said.out + said.err
    assert "\u202e" not in said.out + said.err
    assert "bad\\u001b[31m\\u202ename" in said.out


def test_output_that_is_not_unicode() -> None:
    done = run("estimate", "lenet_caffe5", "--on", "one_mac", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "####" in done.stdout
    assert "uJ" in done.stdout
    assert "?" not in done.stdout


def test_a_closed_pipe_is_no_error(small: str) -> None:
    command = f"{sys.executable} -m energysim estimate {small} --on eyeriss --format json | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.stdout, done.stderr) == ("{", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize(("where", "why"), [("> /dev/full", "No space left"), (">&-", "standard output is closed")])
def test_a_full_or_closed_output_is_one_line(where: str, why: str) -> None:
    command = f"{sys.executable} -m energysim schema accelerator {where}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("energysim: ")
    assert why in done.stderr
    assert len(done.stderr.splitlines()) == 1


LISTENING = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from energysim.cli import main; raise SystemExit(main())"
)
"""The command as a program that listens to Ctrl-C, which shells have what runs in their background ignore."""


def test_interrupted(tmp_path: Path) -> None:
    """Ctrl-C in the middle of the search: one line, code 130, no file and no part of one."""
    target = tmp_path / "out.json"
    command = [sys.executable, "-c", LISTENING, "estimate", "googlenet", "--on", "simba", "-o", str(target)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "")
    assert err.strip() == "energysim: interrupted; nothing was written"
    assert list(tmp_path.iterdir()) == []


def test_on_a_terminal_there_is_colour_and_every_line_fits(small: str) -> None:
    pty = pytest.importorskip("pty")
    for width in (80, 120):
        main_end, other_end = pty.openpty()
        command = [sys.executable, "-m", "energysim", "estimate", small, "--on", "eyeriss"]
        environment = {**os.environ, "COLUMNS": str(width), "TERM": "xterm-256color"}
        process = subprocess.Popen(command, stdout=other_end, stderr=subprocess.DEVNULL, cwd=ROOT, env=environment)
        os.close(other_end)
        text = b""
        try:
            while part := os.read(main_end, 65536):
                text += part
        except OSError:
            pass  # the terminal is closed when the process ends
        process.wait()
        os.close(main_end)
        shown = text.decode()
        assert ESCAPE in shown
        lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown).splitlines()
        assert max(map(len, lines)) <= width
        assert "…" not in shown


@pytest.mark.parametrize(("short_s", "shown"), [(-1.0, True), (60.0, False)])
def test_progress_is_shown_of_long_work_on_a_terminal(
    small: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, short_s: float, shown: bool
) -> None:
    monkeypatch.setattr("energysim.commands.options.SHORT_S", short_s)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert main(["estimate", small, "--on", "eyeriss", "--format", "csv"]) == 0
    said = capsys.readouterr()
    assert ("mapping layers" in said.err) == shown
    assert "mapping layers" not in said.out


def test_every_command_has_help_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    commands = next(action.choices for action in parser()._actions if isinstance(action.choices, dict))
    for name in commands:
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"])
        assert ended.value.code == 0
        assert f"example:\n  energysim {name}" in capsys.readouterr().out


def test_batchnorm_and_activations_as_layers_of_their_own(tmp_path: Path) -> None:
    source = "import torch\nfrom torch import nn\ndef net():\n"
    source += "    body = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU())\n"
    source += "    return body, (torch.zeros(1, 1, 5, 5),)\n"
    (tmp_path / "block.py").write_text(source)
    given = ("estimate", "block:net", "--on", "one_mac", "--format", "json")
    folded = run(*given, cwd=tmp_path)
    assert [y["op"] for y in json.loads(folded.stdout)["layers"]] == ["convolution"]
    kept = run(*given, "--keep-batchnorm", "--keep-activations", cwd=tmp_path)
    assert len(json.loads(kept.stdout)["layers"]) == 3
    refused = run("estimate", "lenet_caffe5", "--on", "one_mac", "--keep-batchnorm")
    assert refused.returncode == 2
    assert "give the torch module as package.module:function" in refused.stderr


def test_inputs_are_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", "lenet_caffe5", "--on", "one_mac", "-o", str(tmp_path / "r.json")]) == 0
    model, chip = tmp_path / "r.model.yaml", tmp_path / "r.accelerator.yaml"
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    capsys.readouterr()
    for output, more in (("r.json", ("--batch", "2")), ("r.model.yaml", ()), ("r.accelerator.yaml", ())):
        given = ("estimate", str(model), "--on", str(chip), *more, "-o", str(tmp_path / output))
        assert "would overwrite the input" in refused(capsys, *given)
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    # the same again writes the same
    assert main(["estimate", str(model), "--on", str(chip), "-o", str(tmp_path / "r.json")]) == 0
