"""The report on Deep k-Means: its arithmetic on paper, and that what is published is what the code gives."""

import pytest

from energysim.estimate import estimate
from energysim.hardware.accelerator import CODEBOOK
from energysim.workload.planned import planned_sharing
from energysim.workload.read import read_model
from reports.deepk import (
    CAVEAT,
    PUBLISHED_R2,
    TARGET,
    free_table,
    index_bits,
    left_out_error,
    metric_table,
    network,
    r_squared,
    rank_correlation,
    table_for,
    weight_cost_of_lenet,
    without_indices,
)


def test_statistics_on_paper() -> None:
    # means 2 and 3; sum of products 4, of squares 2 and 14: 16 / 28
    assert r_squared([1, 2, 3], [2, 1, 6]) == pytest.approx(16 / 28)
    assert rank_correlation([1, 2, 3], [2, 1, 6]) == pytest.approx(0.5)
    assert rank_correlation([1, 2, 3], [9, 4, 1]) == pytest.approx(-1)
    # equal values share a rank: 1, 2.5, 2.5 against 1, 2, 3
    assert rank_correlation([1, 5, 5], [1, 2, 3]) == pytest.approx(0.75**0.5)
    # without (3, 6): the line through (1, 2), (2, 1) says 0; that error is the largest
    assert left_out_error([1, 2, 3], [2, 1, 6]) == pytest.approx(max(abs(0 / 6 - 1), 4 / 1 - 1, abs(-4 / 2 - 1)))
    assert left_out_error([1, 2, 4], [3, 5, 9]) == pytest.approx(0, abs=1e-12)


def test_the_published_tables_are_of_this_code() -> None:
    text = TARGET.read_text()
    for lines in (metric_table("alexnet"), metric_table("googlenet"), weight_cost_of_lenet()):
        for line in lines:
            assert line in text
    assert CAVEAT.strip() in text
    for published in PUBLISHED_R2.values():
        assert f"R^2 = {published}" in text
    assert "| reduction | 90.0% | 91.0% | 92.0% | 93.0% | 94.0% | 95.0% | 96.0% | 97.0% | 98.0% | 99.0% |" in text
    assert "| dense | 0.698 | 2.085 | 2.173 | 4.956 | 1.000 |" in text


def test_linear_layers_have_narrow_weights() -> None:
    bits = {y.name: y.tensors[0].bits for y in network("alexnet").layers if y.macs}
    assert set(bits.values()) == {8, 16}
    assert [name for name, each in bits.items() if each == 8] == ["fc6", "fc7", "fc8"]


def test_runs_on_the_hierarchy() -> None:
    graph = planned_sharing(read_model("lenet_caffe5"), 0.5)
    described = table_for(graph)
    sharing = described.accelerator.sharing
    # conv2: 2,500 of 5,000 rows of 5 at 16 bits
    assert sharing is not None
    assert sharing.table_bits == 2500 * 5 * 16
    # conv1 100 rows, conv2 5,000: indices of 6 and 12 bits
    assert index_bits(graph) == pytest.approx((100 * 6 + 5000 * 12) / 25_500)
    priced, free = estimate(graph, described), estimate(graph, free_table(described))
    bare = estimate(without_indices(graph), free_table(described))
    assert priced.totals.energy_pj > free.totals.energy_pj > bare.totals.energy_pj
    assert sum(free.totals.energy_by_component_pj[CODEBOOK].values()) == 0
