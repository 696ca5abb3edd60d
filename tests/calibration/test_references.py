"""Reference data: each CSV has its card, each card its columns, and the commands print both."""

import csv

import pytest

from energysim.calibration.references import REFERENCE, read_reference, reference_names
from energysim.cli import main
from energysim.errors import UnknownNameError


def test_every_table_has_its_card_and_every_card_its_table() -> None:
    assert reference_names() == tuple(sorted(path.stem for path in REFERENCE.glob("*.csv")))


@pytest.mark.parametrize("name", reference_names())
def test_the_card_says_what_every_column_is(name: str) -> None:
    reference = read_reference(name)
    head = next(csv.reader(x for x in (REFERENCE / f"{name}.csv").read_text().splitlines() if x[0] != "#"))
    assert list(reference.columns) == head
    assert reference.rows
    assert all(set(row) == set(head) and None not in row.values() for row in reference.rows)
    assert len(reference.sha256) == 64


def test_what_the_issue_counts() -> None:
    tiny = read_reference("mlperf_tiny_energy")
    assert len(tiny.rows) == 102
    assert len({row["system"] for row in tiny.rows}) == 21
    chip = read_reference("eyeriss_alexnet")
    # the table's own average power is the mean weighted by total latency: 332*20.9 + ... = 278 mW x 115.3 ms
    layers = [row for row in chip.rows if row["layer"] != "Total"]
    energy = sum(float(row["power_mw"]) * float(row["total_latency_ms"]) for row in layers)
    assert energy / 115.3 == pytest.approx(278, abs=0.5)


def test_the_transcription_of_the_held_out_table_adds_up() -> None:
    *layers, total = read_reference("eyeriss_vgg16").rows
    columns = {"total_latency_ms": 0.15, "processing_latency_ms": 0.15, "global_buffer_mb": 0.1, "dram_mb": 0.25}
    for column, rounding in columns.items():
        assert sum(float(row[column]) for row in layers) == pytest.approx(float(total[column]), abs=rounding)
    energy = sum(float(row["power_mw"]) * float(row["total_latency_ms"]) for row in layers)
    assert energy / float(total["total_latency_ms"]) == pytest.approx(236, abs=0.5)


def test_an_unknown_reference_gets_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="unknown reference 'eyeris_alexnet'; did you mean 'eyeriss_alexnet'"):
        read_reference("eyeris_alexnet")


def test_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["references"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in reference_names())
    assert main(["references", "show", "eyeriss_alexnet"]) == 0
    shown = capsys.readouterr().out
    for words in ("energy of the DRAM", "CONV5", "236", "doubts", "column power_mw", "MIT"):
        assert words in shown
    assert main(["references", "show", "yang71"]) == 2
    assert "did you mean 'yang17'" in capsys.readouterr().err
