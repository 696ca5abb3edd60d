"""What the terminal shows is what the estimate says."""

import io
import re
from dataclasses import replace

import pytest

from energysim.costs.latency import latency
from energysim.costs.result import Estimate
from energysim.estimate import estimate, estimate_layer
from energysim.mapping.counts import count
from energysim.mapping.search import SearchResult
from energysim.report.explain import explanation, nest_lines
from energysim.report.show import plain, show
from energysim.report.tables import estimate_parts, sentences
from energysim.workload.graph import LayerGraph
from energysim.workload.layer import convolution
from tests.costs.examples import described, machine, mapping, matmul, prices


@pytest.fixture(scope="module")
def result() -> Estimate:
    layers = (matmul(), convolution("[bold]heavy[/bold]", m=8, c=8, p=3, q=3, r=2, s=2))
    return estimate(LayerGraph("two", layers), described(table=prices(idle_power_w=1e-9)))


def test_rows_and_totals(result: Estimate) -> None:
    lines = plain(estimate_parts(result)).splitlines()
    assert lines[0] == "two on paper: batch 1, dataflow unconstrained"
    heavy = next(line for line in lines if line.startswith(" [bold]heavy[/bold]"))
    assert "█" * 12 in heavy
    assert heavy.split()[:4] == [
        "[bold]heavy[/bold]",
        "convolution",
        "2.304",
        f"{result.layers[1].energy_pj / 1e3:.1f}",
    ]
    total = next(line for line in lines if line.startswith(" total"))
    # 8 + 8*8*9*4 MACs
    assert total.split()[:3] == ["total", "2.312", f"{result.totals.energy_pj / 1e3:.1f}"]
    idle = next(line for line in lines if line.startswith(" idle"))
    assert float(idle.split()[1]) == pytest.approx(result.totals.static_energy_pj / 1e3, abs=0.05)


def test_shares_of_a_row_add_up(result: Estimate) -> None:
    for row in result.layers:
        line = next(y for y in plain(estimate_parts(result)).splitlines() if y.startswith(f" {row.name}"))
        shares = re.findall(r"(?<= )(<1|\d+)(?= )", line.split("█")[-1])[: len(result.components) + 1]
        assert sum(0 if share == "<1" else int(share) for share in shares) == pytest.approx(100, abs=3)


@pytest.mark.parametrize("width", [80, 100, 140])
def test_narrow_terminals_lose_columns_not_numbers(result: Estimate, width: int) -> None:
    table = plain([next(estimate_parts(result, width=width))])
    assert max(map(len, table.splitlines())) <= width
    assert "…" not in table
    assert f"{result.totals.energy_pj / 1e3:.1f}" in table
    assert ("busy" in table) == (width == 140)


def test_the_answer_in_words(result: Estimate) -> None:
    said = sentences(result)
    moved = sum(sum(row.traffic_bits["dram"].values()) for row in result.layers)
    assert f"{moved / result.totals.compulsory_bits:.2f} x the compulsory" in said[1]
    assert "energysim explain two '[bold]heavy[/bold]' --on paper" in said[2]
    sure = [replace(row, optimal=True, lower_bound_pj=row.energy_pj) for row in result.layers]
    assert sentences(replace(result, layers=tuple(sure)))[-2].startswith("for every layer it is proven that")
    # the second row could be a tenth cheaper at best: 1 / 0.9 - 1 = 11 % of it, nearly all there is
    row = replace(result.layers[1], optimal=False, lower_bound_pj=result.layers[1].energy_pj * 0.9)
    said = sentences(replace(result, layers=(row,)))
    assert said[-2].startswith(
        "for 0 of 1 layers it is proven that among even mappings (unconstrained) none costs less; "
        "the sum is at most 11.11% above the least"
    )


def test_a_stream_that_is_no_terminal_gets_plain_text(result: Estimate) -> None:
    stream = io.StringIO()
    show(estimate_parts(result), stream)
    assert stream.getvalue() == plain(estimate_parts(result))
    assert "\x1b" not in stream.getvalue()


def test_the_nest_on_paper() -> None:
    layer, accelerator = matmul(), machine(axis=3)
    layer = replace(layer, tensors=(*layer.tensors[:2], replace(layer.output, bits=8, partial_bits=16)))
    nest = mapping(layer, accelerator)
    found = SearchResult(nest, count(layer, accelerator, nest), 0.0, 0.0, False, 1, 1, 0.0, False)
    row, _ = estimate_layer(layer, described(accelerator), found)
    # only finished outputs of 8 bits reach DRAM, partial sums of 16 are added up in the spad
    assert nest_lines(layer, accelerator, row) == [
        "[dram] holds weight 8 x 16 bits, input 2 x 16 bits, output 4 x 8 bits",
        "for M in 2",
        "  spread M in 2 on pe.x, all at once",
        "    [spad] holds weight 2 x 16 bits, input 2 x 16 bits, output 1 x 16 bits",
        "    for C in 2",
        "      mac: 2 of 3 at work",
    ]


def test_the_explanation_on_paper() -> None:
    """The machine of `examples` with half its inputs zero, gating, and idle power: every line by hand."""
    layer, facts = matmul(0.5), machine(gates=frozenset({"input"}))
    accelerator = described(facts, prices(idle_power_w=1e-9))
    nest = mapping(layer, facts)
    counts = count(layer, facts, nest)
    found = SearchResult(nest, counts, 0.0, 0.0, False, 1, 1, 0.0, False)
    row, entries = estimate_layer(layer, accelerator, found)
    text = plain(explanation(layer, facts, accelerator.table, row, entries))
    lines = [line.split() for line in text.splitlines()]
    assert ["dram", "read", "weight", "8", "16", "100/16", "800.000", "33", "[1]"] in lines
    # 8 reads of which half are suppressed
    assert ["spad", "read", "weight", "8", "16", "1/16", "0.5", "4.000", "<1", "[3]"] in lines
    # 4 MACs done at 1 pJ, 4 gated at 0.25 pJ
    assert ["mac", "mac", "compute", "8", "1", "0.5", "4.000", "<1", "[4]"] in lines
    assert ["mac", "gated", "8", "0.25", "0.5", "1.000", "<1", "[5]"] in lines
    # 96 cycles at 100 Hz and 1 nW: 960 pJ
    assert latency(layer, facts, nest, counts).seconds == 0.96
    assert ["idle", "power", "0.96", "s", "1e-09", "W", "960.000", "40", "[6]"] in lines
    # dram 1400, pe 32, spad 12 + 8 + 6 + 4, mac 5, idle 960
    assert ["sum", "2,427.000", "100"] in lines
    assert ["dram", "96.0", "cycles", "<-", "sets", "the", "pace"] in lines
