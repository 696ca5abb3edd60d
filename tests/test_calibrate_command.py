"""`energysim calibrate`, and `energysim estimate --calibration`: what they print, write and refuse."""

import json
import re
from pathlib import Path

import pytest

from energysim.calibration.file import read_calibration, to_text
from energysim.cli import main
from energysim.errors import InputError

ENERGY = re.compile(r"^(\d[\d.]*) (m|µ)J \[([\d.]+), ([\d.]+)\] \(90 %\) without dram", re.MULTILINE)


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("calibration") / "calibration.yaml"
    assert main(["calibrate", "--on", "eyeriss", "--reference", "eyeriss_alexnet", "-o", str(path)]) == 0
    return path


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert all(line.startswith("energysim: ") for line in said.err.splitlines())
    return said.err


def test_calibrate_says_how_good_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", "--on", "eyeriss", "--reference", "eyeriss_alexnet"]) == 0
    out = capsys.readouterr().out
    for words in ("CONV5", "left out", "condition number", "cannot tell spad from mac", "65 nm", "not in the measured"):
        assert words in out


def test_the_file_reads_back_as_the_same_calibration(calibration: Path) -> None:
    read, warnings = read_calibration(calibration)
    assert warnings == ()
    assert to_text(read) == calibration.read_text()
    assert read.scope.accelerator == "eyeriss"
    assert read.data == "eyeriss_alexnet"
    assert len(read.data_sha256) == 64


def test_estimate_prints_its_interval(calibration: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["estimate", "lenet_caffe5", "--on", "eyeriss", "--dataflow", "row_stationary"]
    assert main([*command, "--calibration", str(calibration)]) == 0
    out = capsys.readouterr().out
    found = ENERGY.search(out)
    assert found is not None
    assert float(found[3]) < float(found[1]) < float(found[4])
    assert "warning" not in out
    assert "Calibrated on eyeriss_alexnet, without dram" in out
    assert "layers in the chip's own form" in out


def test_json_and_csv_hold_the_interval(calibration: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["estimate", "lenet_caffe5", "--on", "eyeriss", "--calibration", str(calibration)]
    assert main([*command, "--format", "json"]) == 0
    calibrated = json.loads(capsys.readouterr().out)["calibrated"]
    total = calibrated["total"]
    assert total["low_pj"] < total["energy_pj"] < total["high_pj"]
    assert sum(row["energy_pj"] for row in calibrated["layers"]) == pytest.approx(total["energy_pj"])
    assert any("dataflow row_stationary, used with unconstrained" in line for line in calibrated["warnings"])
    assert main([*command, "--format", "csv"]) == 0
    assert "calibrated.high_pj" in capsys.readouterr().out.splitlines()[0]


def test_what_lies_beside_an_answer_runs_again(
    calibration: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "answer.json"
    command = ["estimate", "lenet_caffe5", "--on", "eyeriss", "--calibration", str(calibration)]
    assert main([*command, "-o", str(output)]) == 0
    capsys.readouterr()
    again = json.loads((tmp_path / "answer.options.json").read_text())["run_again"]
    monkeypatch.chdir(tmp_path)
    assert main([*again[1:], "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["calibrated"] == json.loads(output.read_text())["calibrated"]


def test_outside_its_scope_and_edited_by_hand_it_warns(
    calibration: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edited = tmp_path / "edited.yaml"
    edited.write_text(calibration.read_text().replace("value: 0.1", "value: 0.3"))
    command = ["estimate", "lenet_caffe5", "--on", "eyeriss_full_adders", "--bits", "8", "--calibration", str(edited)]
    assert main(command) == 0
    out = capsys.readouterr().out
    for words in (
        "was edited after energysim wrote it",
        "made on eyeriss, used on eyeriss_full_adders",
        "made at 16 bits, used at 8",
        "made with dataflow row_stationary, used with unconstrained",
    ):
        assert f"{words}" in out


def test_another_accelerator_is_refused(calibration: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "estimate", "lenet_caffe5", "--on", "one_mac", "--calibration", str(calibration))
    assert "(made on eyeriss) speaks of dram, global_buffer, pe, spad, which one_mac does not have" in said


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("noise: 0.0", "noise: -0.0x", "noise must be a number"),
        ("time_model: row_stationary_chip", "time_model: row_stationary", "did you mean 'row_stationary_chip'"),
        ("excluded: [dram]", "excluded: [dram]\nexclude: []", "unknown calibration field 'exclude'"),
        ("covariance:\n  - [", "covariance:\n  - [1, ", "covariance must be 2 x 2"),
        ("energysim_calibration: 1", "energysim_calibration: 7", "format 7; this reads 1"),
        ("freedom: ", "freedom: 0.0", "freedom must be a number of at least 1"),
    ],
)
def test_broken_files(old: str, new: str, says: str, calibration: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    text = calibration.read_text()
    assert old in text
    broken.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=re.escape(says)):
        read_calibration(broken)


MEASURED = "model;layer;bits;energy_uj\nresnet8;conv1;8;3,1\nresnet8;stack1.conv1;8;9\nds_cnn;;8;20\n"


def test_a_file_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, output = tmp_path / "mine.csv", tmp_path / "mine.yaml"
    data.write_text(MEASURED)
    command = ["calibrate", "--on", "generic_npu", "--reference", str(data), "-o", str(output)]
    assert main([*command, "--max-coefficients", "1"]) == 0
    assert "Fitted to mine.csv: 3 rows" in capsys.readouterr().out
    read, _ = read_calibration(output)
    assert read.scope.bits == (8,)
    assert [row.name for row in read.rows] == ["resnet8 conv1 8", "resnet8 stack1.conv1 8", "ds_cnn 8"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (MEASURED.replace("ds_cnn", "ds_cmn"), "unknown model 'ds_cmn'; did you mean 'ds_cnn'"),
        (MEASURED.replace("stack1.conv1", "stack1.conv9"), "unknown layer of resnet8 'stack1.conv9'; did you mean"),
        (MEASURED.replace(";8;20", ";eight;20"), "bits 'eight' cannot be read"),
        (MEASURED.replace("energy_uj", "energy"), "has no unit"),
        (MEASURED.replace("ds_cnn", "os:getcwd"), "may name packaged networks and files, not functions"),
    ],
)
def test_bad_files_of_ones_own(text: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, output = tmp_path / "mine.csv", tmp_path / "mine.yaml"
    data.write_text(text)
    assert says in refused(capsys, "calibrate", "--on", "generic_npu", "--reference", str(data), "-o", str(output))
    assert not output.exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--on", "simba", "--reference", "eyeriss_alexnet"], "simba has not its levels"),
        (["--on", "eyeriss", "--reference", "yang17"], "holds nothing that prices can be fitted to"),
        (["--on", "eyeriss", "--reference", "eyeriss_alexnet", "--max-coefficients", "9"], "5 rows cannot fix 9"),
        (["--on", "eyeriss", "--reference", "eyeriss_alexnet", "--exclude", "pe"], "go with a file"),
        (["--on", "generic_mcu", "--reference", "mlperf_tiny_energy"], "choose one with --system"),
        (["--on", "generic_mcu", "--reference", "mlperf_tiny_energy", "--system", "EK-RA6M5 v0.7"], "EK-RA6M4 v0.7"),
    ],
)
def test_what_cannot_be_fitted(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert says in refused(capsys, "calibrate", *arguments)


def test_the_held_out_network_can_be_fitted_to_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", "--on", "eyeriss", "--reference", "eyeriss_vgg16"]) == 0
    out = capsys.readouterr().out
    assert "Fitted to eyeriss_vgg16: 13 rows" in out
    assert "jackknife half width" in out


def test_one_system_of_mlperf_tiny(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["calibrate", "--on", "generic_mcu", "--reference", "mlperf_tiny_energy", "--system", "EK-RA6M4 v0.7"]
    assert main([*command, "--max-coefficients", "1"]) == 0
    assert "mobilenet_v1_025" in capsys.readouterr().out


ALEXNET = """model,layer,batch,bits,power_mw,latency_ms,input_zeros_percent,output_zeros_percent
alexnet,conv1,4,16,332,20.9,0.01,51.02
alexnet,conv2,4,16,288,41.9,38.7,80.66
alexnet,conv3,4,16,266,23.6,72.5,72.44
alexnet,conv4,4,16,235,18.4,79.3,70.18
alexnet,conv5,4,16,236,10.5,77.6,90.50
"""


def test_the_chip_as_a_file_is_met_nearly_as_well_as_by_its_published_mapping(tmp_path: Path) -> None:
    data, output = tmp_path / "alexnet.csv", tmp_path / "alexnet.yaml"
    data.write_text(ALEXNET)
    command = ["calibrate", "--on", "eyeriss", "--reference", str(data)]  # the chip's dataflow without asking
    assert main([*command, "--exclude", "dram", "-o", str(output)]) == 0
    read, _ = read_calibration(output)
    assert read.scope.dataflow == "row_stationary"
    assert read.left_out < 0.08
    assert read.static_w == pytest.approx(0.17, abs=0.015)
    assert read.excluded == ("dram",)
