"""A user's CSV: what is read, and one line for everything that is not."""

from pathlib import Path

import pytest

from energysim.calibration.measurements import read_measurements
from energysim.errors import InputError


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "m.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_units_are_converted(tmp_path: Path) -> None:
    path = written(
        tmp_path, "# a comment\nmodel,layer,batch,energy_uj,latency_ms,input_zeros_percent\nnet,conv1,4,2.5,3,40\n"
    )
    (row,) = read_measurements(path).rows
    assert (row.network, row.layer, row.batch, row.bits) == ("net", "conv1", 4, None)
    assert row.energy_pj == 2.5e6
    assert row.time_s == pytest.approx(3e-3)
    assert row.zeros == {"input": 0.4}


def test_power_and_latency_make_energy(tmp_path: Path) -> None:
    (row,) = read_measurements(written(tmp_path, "model,power_mw,latency_ms\nnet,332,20.9\n")).rows
    assert row.energy_pj == pytest.approx(6.9388e9)  # 332 mW x 20.9 ms = 6.9388 mJ


def test_byte_order_mark_semicolons_and_decimal_commas(tmp_path: Path) -> None:
    path = written(tmp_path, "\ufeffModel;Energy_mJ;Bits\r\nnet;1,5;w8a8\r\nother;2.5;\r\n".encode())
    rows = read_measurements(path).rows
    assert [row.energy_pj for row in rows] == [1.5e9, 2.5e9]
    assert [row.bits for row in rows] == ["w8a8", None]


BAD = {
    "no unit": ("model,energy\nnet,1\n", "1: column 'energy' has no unit; write one of energy_pj"),
    "power without unit": ("model,power,latency_ms\nnet,1,1\n", "1: column 'power' has no unit"),
    "unknown column": ("model,energy_mj,lair\nnet,1,2\n", "1: unknown column 'lair'; did you mean 'layer'?"),
    "no model": ("layer,energy_mj\nconv1,1\n", "1: column 'model' is missing"),
    "no energy": ("model,latency_ms\nnet,1\n", "1: no energy: give a column energy_mj"),
    "both": ("model,energy_mj,power_mw,latency_ms\nnet,1,1,1\n", "1: both energy and power"),
    "two units": ("model,energy_mj,energy_uj\nnet,1,1\n", "1: columns energy_mj and energy_uj both give the energy"),
    "column twice": ("model,model,energy_mj\nnet,net,1\n", "1: column 'model' is there 2 times"),
    "zero": ("model,energy_mj\nnet,0\n", "2: energy_mj is 0; it must be above 0"),
    "negative": ("model,energy_mj\nnet,-3\n", "2: energy_mj is -3; it must be above 0"),
    "text": ("model,energy_mj\nnet,much\n", "2: energy_mj must be a number, not the text 'much'"),
    "unit in the cell": ("model,energy_mj\nnet,3 mJ\n", "2: energy_mj must be a number, not the text '3 mJ'"),
    "decimal comma": ('model,energy_mj\nnet,"1,5"\n', "2: energy_mj must be a number, not the text '1,5'"),
    "empty": ("model,energy_mj\nnet,\n", "2: energy_mj must be a number, not nothing"),
    "not a number": ("model,energy_mj\nnet,NaN\n", "2: energy_mj is NaN; it must be a finite number"),
    "infinite": ("model,energy_mj\nnet,1e999\n", "2: energy_mj is 1e999; it must be a finite number"),
    "underscore": ("model,energy_mj\nnet,1_0\n", "2: energy_mj is 1_0; it must be a finite number"),
    "cells": ("model,energy_mj\nnet,1,2\n", "2: 3 cells, the header names 2 columns"),
    "twice": ("model,energy_mj\nnet,1\nnet,2\n", "3: 'net' was measured before, on line 2"),
    "batch": ("model,batch,energy_mj\nnet,1.5,1\n", "2: batch is 1.5; it must be an integer of at least 1"),
    "zeros": ("model,input_zeros_percent,energy_mj\nnet,140,1\n", "2: input_zeros_percent is 140; it must be 0 to 100"),
    "empty model": ("model,energy_mj\n,1\n", "2: model is empty"),
    "power alone": ("model,power_mw,latency_ms\nnet,3,\n", "2: power is given without a latency"),
    "nothing": ("", "1: holds nothing"),
    "no rows": ("model,energy_mj\n", "1: names columns, but no row follows"),
    "quote": ('model,energy_mj\n"net,1\n', "2: not CSV; is a quote left open?"),
    "latin-1": ("model,energy_mj\nn\xe9t,1\n".encode("latin-1"), "2: not UTF-8 (byte 0xe9)"),
    "utf-16": ("model,energy_mj\nnet,1\n".encode("utf-16"), "not a text (it holds zero bytes)"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_get_one_line(case: str, tmp_path: Path) -> None:
    text, says = BAD[case]
    with pytest.raises(InputError) as caught:
        read_measurements(written(tmp_path, text))
    (line,) = str(caught.value).splitlines()
    assert says in line
    assert "m.csv" in line


def test_all_mistakes_are_reported_together(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_measurements(written(tmp_path, "model,energy_mj\na,0\nb,x\nc,1\nd,-1\n"))
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(("name", "says"), [("gone.csv", "no such file"), (".", "is a directory")])
def test_files_that_are_not_there(name: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says):
        read_measurements(tmp_path / name)
