"""Pictures show the numbers of the comparison, whole and in files that need nothing beside them."""

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from energysim.cli import main
from energysim.errors import InputError, UnknownNameError
from energysim.explore.compare import Comparison, compared
from energysim.report.pictures import PICTURES, components, layers, picture, roofline
from energysim.workload.graph import LayerGraph
from energysim.workload.layer import convolution

NETWORK = LayerGraph(
    "a $network$ 網",
    (convolution("c$1$", m=4, c=3, p=6, q=6, r=3, s=3), convolution("fc", m=5, c=16, p=1, q=1, op="linear")),
)


@pytest.fixture(scope="module")
def found() -> Comparison:
    return compared(NETWORK, "eyeriss", bits=[16, 8, 4])


@pytest.fixture(scope="module")
def shared() -> Comparison:
    return compared(NETWORK, "eyeriss_storage", compression=["dense", "rate=0.5", "rate=0.25"])


@pytest.mark.parametrize("kind", sorted(PICTURES))
def test_each_kind_in_each_format(shared: Comparison, kind: str) -> None:
    assert picture(shared, "x.png", kind).startswith(b"\x89PNG\r\n")
    svg = picture(shared, "x.SVG", kind)
    assert ElementTree.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
    page = picture(shared, "x.html", kind, "1 < 2 & all").decode()
    assert page.startswith("<!doctype html>")
    assert page.rstrip().endswith("</html>")
    assert "<svg" in page
    assert "1 &lt; 2 &amp; all" in page
    for outside in ('src="', 'href="http', "<script", "<link"):
        assert outside not in page


def test_equal_comparisons_give_equal_bytes(found: Comparison) -> None:
    assert picture(found, "x.svg") == picture(found, "y.svg")
    assert picture(found, "x.png") == picture(found, "x.png")


def test_bars_are_the_energies(found: Comparison) -> None:
    (axes,) = components(found).axes
    bars = {}
    for patch in axes.patches:
        bars.setdefault(round(patch.get_y() + patch.get_height() / 2), []).append(patch.get_width())
    for row, point in enumerate(found.points):
        parts = list(point.energy_by_component_pj.values())
        scale = sum(bars[row]) / point.energy_pj
        assert bars[row] == pytest.approx([pj * scale for pj in parts])
        assert scale == pytest.approx(sum(bars[0]) / found.first.energy_pj)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["16", "8", "4"]


def test_layers_stack_to_their_energy(found: Comparison) -> None:
    figure = layers(found)
    ratios = []
    for axes, point in zip(figure.axes, found.points, strict=True):
        tops = [max(p.get_y() + p.get_height() for p in axes.patches if round(p.get_x() + 0.4) == i) for i in (0, 1)]
        ratios += [top / row.energy_pj for top, row in zip(tops, point.estimate.layers, strict=True)]
    assert ratios == pytest.approx([ratios[0]] * len(ratios))


def test_no_layer_is_above_the_roofs(found: Comparison) -> None:
    chip = found.first.accelerator_facts
    peak = 168 * 200e6
    for axes, point in zip(roofline(found).axes, found.points, strict=True):
        spots = [tuple(spot) for dots in axes.collections for spot in dots.get_offsets()][: len(point.estimate.layers)]
        assert len(spots) == 2
        for (intensity, rate), row in zip(spots, point.estimate.layers, strict=True):
            assert rate == pytest.approx(row.macs / row.latency_s)
            assert rate <= min(peak, intensity * 19.2 * chip.clock_hz) * (1 + 1e-9)


def test_refusals(found: Comparison, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"x.gif: pictures end in .png, .svg, .html"):
        picture(found, "x.gif")
    with pytest.raises(UnknownNameError, match="did you mean 'roofline'"):
        picture(found, "x.png", "rooflin")
    with pytest.raises(InputError, match="13 panels are more"):
        picture(Comparison(found.points[:1] * 13), "x.png", "layers")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r"pip install 'energysim\[report\]'"):
        picture(found, "x.png")


def test_command_writes_table_and_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn, table = tmp_path / "bits.svg", tmp_path / "bits.json"
    work = ["compare", "lenet_caffe5", "--on", "eyeriss", "--bits", "8", "4"]
    assert main([*work, "--picture", str(drawn)]) == 0
    said = capsys.readouterr()
    assert "least energy: 4" in said.out
    assert said.err == f"wrote {drawn}\n"
    first = drawn.read_bytes()
    assert main([*work, "--picture", str(drawn), "--show", "layers", "-o", str(table)]) == 0
    assert capsys.readouterr().out == ""
    assert drawn.read_bytes() != first
    assert table.exists()
    assert main([*work, "--picture", str(tmp_path / "bits.gif")]) == 2
    assert main([*work, "--picture", str(tmp_path / "none" / "bits.svg")]) == 2
    assert main([*work, "--picture", str(drawn), "-o", str(drawn)]) == 2
    assert "the same file" in capsys.readouterr().err.splitlines()[-1]
