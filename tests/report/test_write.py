"""Files appear whole or not at all."""

import errno
import os
from pathlib import Path

import pytest

from energysim.errors import OutputError
from energysim.report.write import write_together


def test_all_files_are_written(tmp_path: Path) -> None:
    write_together({tmp_path / "a": "one\n", tmp_path / "b": "zwei µ\n"})
    assert (tmp_path / "a").read_bytes() == b"one\n"
    assert (tmp_path / "b").read_text(encoding="utf-8") == "zwei µ\n"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """The second file fails while it is written: the first is not replaced and no part is left."""
    (tmp_path / "a").write_text("old")
    calls = []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 2:
            raise error

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises((OutputError, KeyboardInterrupt)) as failed:
        write_together({tmp_path / "a": "new", tmp_path / "b": "new"})
    assert str(failed.value) in ("", f"{tmp_path / 'b'}: cannot be written: No space left on device")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "old")]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_together({tmp_path / "link": "new"})
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_odd_paths_are_refused(tmp_path: Path) -> None:
    for wrong in (Path("nul\0byte"), tmp_path / "no" / "file", tmp_path):
        with pytest.raises(OutputError):
            write_together({wrong: "text"})
    assert list(tmp_path.iterdir()) == []
