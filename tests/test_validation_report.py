"""README, published report and code say the same numbers."""

import re
from pathlib import Path

import pytest

from energysim.calibration.references import read_reference, reference_names
from energysim.calibration.validation import chip_calibration
from reports.validation import Block, headlines, markdown, page

ROOT = Path(__file__).resolve().parent.parent
REPORT = ROOT / "reports" / "validation"


@pytest.fixture(scope="module")
def published() -> dict[str, str]:
    text = (REPORT / "validation.md").read_text()
    table = text.split("| what | number |\n|---|---|\n", 1)[1].split("\n\n", 1)[0]
    return dict(re.fullmatch(r"\| (.+) \| (.+) \|", line).groups() for line in table.splitlines())  # type: ignore[union-attr, misc]


def test_the_report_is_what_the_code_computes(published: dict[str, str]) -> None:
    assert published == headlines(chip_calibration())


def test_the_readme_quotes_the_report(published: dict[str, str]) -> None:
    quoted = (ROOT / "README.md").read_text().split("<!-- validation:", 1)[1].split("<!-- /validation -->", 1)[0]
    quoted = " ".join(quoted.split())
    for words in (
        f"each left out met within {published['left out']} on average",
        f"in sample {published['in sample']}",
        f"with {published['fitted']} fitted number",
        f"nominal prices alone are {published['nominal']} low",
        f"met within {published['held out, layers']} on average, {published['held out, inside']} inside",
        f"{published['held out, energy']} in energy and {published['held out, time']} in time",
        published["microcontrollers"],
        published["neural processors"],
    ):
        assert words in quoted


def test_the_report_names_its_command_and_its_data() -> None:
    text = (REPORT / "validation.md").read_text()
    assert "make validation" in text
    for name in reference_names():
        assert read_reference(name).sha256 in text


def test_the_page_needs_nothing_beside_it() -> None:
    text = (REPORT / "validation.html").read_text()
    assert text.count("data:image/png;base64,") == len(list(REPORT.glob("*.png")))
    assert not re.search(r'(src|href)="(?!data:)', text)


def test_markdown_and_page_hold_the_same_cells() -> None:
    blocks = [Block("A & B", "said", ["x", "y"], [["1", "<2"]], "p.png")]
    assert "| 1 | <2 |" in markdown(blocks)
    text = page(blocks, {"p.png": b"\x89PNG"})
    assert "A &amp; B" in text
    assert "<td>&lt;2</td>" in text
