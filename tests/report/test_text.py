"""Numbers and names as people read them."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from energysim.report.text import bar, clean, clean_lines, in_one_unit, joules, percent, si


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (25.3e-3, "J", "25.3 mJ"),
        (0.9999e-3, "J", "1.00 mJ"),
        (999.4e-6, "J", "999 µJ"),
        (0.0, "J", "0 J"),
        (1e-12, "J", "1.00 pJ"),
        (3e-15, "J", "0.00300 pJ"),
        (4_089_184_256, "MACs", "4.09 G MACs"),
        (14, "ops", "14 ops"),
        (9.996e-3, "J", "10.0 mJ"),
        (9.99e-3, "J", "9.99 mJ"),
        (2.3e6, "s", "2300000 s"),
        (200e6, "Hz", "200 MHz"),
    ],
)
def test_si(value: float, unit: str, expected: str) -> None:
    assert si(value, unit) == expected


def test_joules_come_from_picojoules() -> None:
    assert joules(25.3e9) == "25.3 mJ"


def test_what_is_compared_has_one_unit_and_common_decimals() -> None:
    assert in_one_unit([1.4e-3, 0.27e-3, 10.75e-3], "J") == (["1.40", "0.27", "10.75"], "mJ")
    assert in_one_unit([0.0], "J") == (["0"], "J")


def test_percent() -> None:
    assert [percent(share) for share in (0.0, 0.001, 0.005, 0.126, 1.0)] == ["", "<1", "1", "13", "100"]


def test_bars_fill_their_cells() -> None:
    assert bar(1.0, 12) == "█" * 12
    # 0.3 * 4 cells = 1.2 cells = 9.6 eighths, rounded to 10: one full cell and two eighths
    assert bar(0.3, 4) == "█▎"
    assert bar(0.3, 10, ascii_only=True) == "###"
    assert bar(0.0, 12) == ""


@given(st.text())
def test_cleaned_text_has_nothing_unseen(text: str) -> None:
    cleaned = clean(text)
    assert not any(unicodedata.category(char)[0] == "C" for char in cleaned)
    assert len(cleaned.splitlines()) <= 1
    assert clean(cleaned) == cleaned


def test_cleaning_shows_what_was_there() -> None:
    assert clean("a\u202eb\x1b[0m\n") == "a\\u202eb\\u001b[0m\\u000a"
    assert clean("\U000e0001") == "\\U000e0001"
    assert clean("größe 1×1 層") == "größe 1×1 層"
    assert clean_lines("one\ntwo\r") == "one\ntwo\\u000d"
