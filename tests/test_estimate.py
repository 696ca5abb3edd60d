"""The answer keeps its promises: exact sums, lower bounds, linear prices, one JSON for one input."""

import json
import math
import os
import random
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import energysim
from energysim.costs.least import least_energy_pj
from energysim.costs.result import layers_from_csv
from energysim.errors import InputError, NothingFitsError, UnknownNameError
from energysim.estimate import estimate, explain, refuse_defaults
from energysim.hardware.accelerator import Compute, EnergyTable, Price
from energysim.hardware.read import DescribedAccelerator, read_accelerator
from energysim.workload.graph import LayerGraph
from energysim.workload.layer import Layer, convolution
from energysim.workload.operations import pooling
from energysim.workload.yaml_format import to_yaml
from tests.costs.examples import described, machine, matmul, prices

ROOT = Path(__file__).resolve().parent.parent


def network() -> LayerGraph:
    """Two convolutions of equal work, one other, a pooling, a linear layer."""
    layers = (
        convolution("first", m=8, c=4, p=8, q=8, r=3, s=3),
        convolution("again", m=8, c=4, p=8, q=8, r=3, s=3),
        convolution("depthwise", g=8, m=1, c=1, p=4, q=4, r=3, s=3, stride=(2, 2)),
        pooling("pool", "max_pool", {"M": 8, "P": 2, "Q": 2, "R": 2, "S": 2}, (2, 2)),
        convolution("classes", m=10, c=32, p=1, q=1, op="linear"),
    )
    return LayerGraph("small", layers)


@pytest.fixture(scope="module")
def eyeriss() -> DescribedAccelerator:
    return read_accelerator("eyeriss")


@pytest.fixture(scope="module")
def result(eyeriss: DescribedAccelerator) -> energysim.Estimate:
    return estimate(network(), eyeriss)


def test_rows_sum_to_the_totals_exactly(result: energysim.Estimate) -> None:
    totals, rows = result.totals, result.layers
    for name in ("energy_pj", "latency_s", "lower_bound_pj"):
        assert getattr(totals, name) == math.fsum(getattr(row, name) for row in rows)
    for name in ("latency_cycles", "macs", "ops", "full_adders", "weight_bits", "compulsory_bits"):
        assert getattr(totals, name) == sum(getattr(row, name) for row in rows)
    for row in rows:
        assert row.energy_pj == math.fsum(pj for part in row.energy_by_component_pj.values() for pj in part.values())
    parts = totals.energy_by_component_pj.values()
    assert totals.energy_pj == pytest.approx(math.fsum(pj for part in parts for pj in part.values()), rel=1e-14)
    # 2 * 8*4*64*9, 8*16*9, 10*32 MACs; pooling 8*4*4 operations; weights 2*288 + 72 + 320 of 16 bits
    assert (totals.macs, totals.ops, totals.weight_bits) == (36864 + 1152 + 320, 128, 968 * 16)


def test_no_less_moves_than_must(result: energysim.Estimate) -> None:
    for row in result.layers:
        assert sum(row.traffic_bits["dram"].values()) >= row.compulsory_bits
        assert row.lower_bound_pj <= row.energy_pj
        assert 0 < row.utilisation <= 1


@settings(max_examples=40)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 5), st.integers(1, 3), st.integers(1, 2), st.integers(1, 2))
def test_no_less_moves_than_must_on_any_layer(m: int, c: int, p: int, r: int, u: int, n: int) -> None:
    layer = convolution("any", n=n, m=m, c=c, p=p, q=p, r=r, s=r, stride=(u, u))
    (row,) = estimate(LayerGraph("one", (layer,)), described()).layers
    assert sum(row.traffic_bits["dram"].values()) >= row.compulsory_bits
    assert row.latency_cycles >= layer.macs / 2


def test_doubling_every_price_doubles_the_energy(result: energysim.Estimate, eyeriss: DescribedAccelerator) -> None:
    table = replace(eyeriss.table, idle_power_w=0.01)
    one = estimate(network(), DescribedAccelerator(eyeriss.accelerator, table))
    two = estimate(network(), DescribedAccelerator(eyeriss.accelerator, table.scaled(2.0)))
    assert two.totals.energy_pj == 2 * one.totals.energy_pj > 2 * result.totals.energy_pj
    assert [row.mapping for row in one.layers] == [row.mapping for row in two.layers]


def test_layer_order_does_not_matter(result: energysim.Estimate, eyeriss: DescribedAccelerator) -> None:
    layers = list(network().layers)
    random.Random(1).shuffle(layers)
    shuffled = estimate(LayerGraph("small", tuple(layers)), eyeriss)
    assert shuffled.totals == result.totals
    assert sorted(shuffled.layers, key=lambda row: row.name) == sorted(result.layers, key=lambda row: row.name)


def test_more_bits_never_cost_less(eyeriss: DescribedAccelerator) -> None:
    narrow, middle, wide = (estimate(network(), eyeriss, bits=bits) for bits in (4, "w8a8", 16))
    for a, b, c in zip(narrow.layers, middle.layers, wide.layers, strict=True):
        assert a.energy_pj < b.energy_pj < c.energy_pj
        assert a.full_adders < b.full_adders < c.full_adders
        assert a.compulsory_bits < b.compulsory_bits < c.compulsory_bits


def test_twice_the_batch_is_twice_the_work(result: energysim.Estimate, eyeriss: DescribedAccelerator) -> None:
    two = estimate(network(), eyeriss, batch=2)
    assert (result.batch, two.batch) == (1, 2)
    assert two.totals.macs == 2 * result.totals.macs
    assert two.totals.full_adders == 2 * result.totals.full_adders
    assert two.totals.weight_bits == result.totals.weight_bits
    assert result.totals.energy_pj < two.totals.energy_pj <= 2 * result.totals.energy_pj


def test_equal_layers_are_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["energysim.mapping.search_many"]
    searched: list[str] = []
    find = module.find_mapping

    def spy(layer: Layer, *rest: object, **options: object) -> object:
        searched.append(layer.name)
        return find(layer, *rest, **options)

    monkeypatch.setattr(module, "find_mapping", spy)
    rows = estimate(network(), described()).layers
    assert searched == ["first", "depthwise", "pool", "classes"]
    assert rows[1] == replace(rows[0], name="again")


def test_idle_power_is_a_component_of_its_own() -> None:
    # 1 uW is 1e6 pJ a second
    graph = LayerGraph("one", (matmul(),))
    (still,) = estimate(graph, described()).layers
    (row,) = estimate(graph, described(table=prices(idle_power_w=1e-6))).layers
    assert "idle" not in still.energy_by_component_pj
    assert row.energy_by_component_pj["idle"] == {"static": row.static_energy_pj}
    assert row.static_energy_pj == pytest.approx(1e6 * row.latency_s)
    moving = (pj for name, part in row.energy_by_component_pj.items() if name != "idle" for pj in part.values())
    assert row.energy_pj == pytest.approx(math.fsum(moving) + row.static_energy_pj)
    # static energy is part of what the search makes small: it may move more to be done sooner, never less
    assert row.energy_pj >= still.energy_pj + row.static_energy_pj


def test_a_bound_knows_the_time_that_bandwidth_takes() -> None:
    """Worked on paper: what no mapping avoids is what this one does, but for the spad and the array."""
    accelerator = described(table=prices(idle_power_w=1e-9))
    (row,) = estimate(LayerGraph("one", (matmul(),)), accelerator).layers
    # 10 words read and 4 written at 100 pJ, 8 MACs at 1 pJ; 160/2 + 64/4 cycles at 100 Hz and 1 nW
    assert least_energy_pj(matmul(), accelerator.accelerator, accelerator.table) == 1400 + 8 + 960
    # with nothing to share, 8 + 2 + 4 words at 2 pJ on the array; in the spads 8 weights and 2 inputs are written, 8 of
    # each read, 4 partial sums written and read back and 4 outputs written and read, at 1 pJ
    assert row.energy_pj == 1400 + 8 + 960 + 2 * 14 + 42
    assert row.lower_bound_pj == row.energy_pj
    assert row.optimal


CONTRACT = {"model", "accelerator", "batch", "totals", "layers", "warnings", "version"}
TOTALS = {"energy_pj", "latency_cycles", "latency_s", "macs", "full_adders", "weight_bits", "compulsory_bits"}
ROW = {"name", "op", "macs", "energy_pj", "latency_cycles", "utilisation", "bound_by", "optimal", "lower_bound_pj"}
ROW |= {"energy_by_component_pj", "counts", "mapping"}
REPORTED_ROLES = {"weight", "input", "output", "partial_sum", "compute", "static"}


def test_the_json_contract(result: energysim.Estimate) -> None:
    plain = json.loads(result.to_json())
    assert set(plain) >= CONTRACT
    assert set(plain["totals"]) >= TOTALS
    assert plain["version"] == energysim.__version__
    for row in plain["layers"]:
        assert set(row) >= ROW
        assert isinstance(row["macs"], int)
        assert isinstance(row["latency_cycles"], int)
        for roles in row["energy_by_component_pj"].values():
            assert set(roles) <= REPORTED_ROLES
        for actions in row["counts"].values():
            for roles in actions.values():
                assert set(roles) <= REPORTED_ROLES
                assert all(isinstance(number, int) for number in roles.values())
    assert {"memory": "dram", "tensor": "weight"} in plain["layers"][0]["mapping"]
    assert plain["totals"]["energy_pj"] == math.fsum(row["energy_pj"] for row in plain["layers"])
    assert len(plain["model_sha256"]) == len(plain["accelerator_sha256"]) == 64
    asked = {"batch": 1, "bits": None, "dataflow": "unconstrained", "constraints": None, "objective": "energy"}
    asked |= {"time_budget_s": None, "uneven": False}
    assert plain["options"] == asked


def test_roles_add_up_over_tensors() -> None:
    """An element-wise sum reads two inputs: both stand under `input`."""
    model = energysim.read_model("resnet18")
    add = next(layer for layer in model.layers if layer.op == "add")
    (row,) = estimate(LayerGraph("sum", (add,)), read_accelerator("one_mac")).layers
    assert row.counts["memory"]["read"]["input"] == 2 * add.points


def test_round_trips(result: energysim.Estimate) -> None:
    assert energysim.Estimate.from_json(result.to_json()) == result
    assert layers_from_csv(result.to_csv()) == result.layers
    frame = result.to_frame()
    assert list(frame["name"]) == [row.name for row in result.layers]
    assert math.fsum(frame["energy_pj"]) == result.totals.energy_pj
    assert frame["counts.mac.mac.compute"].sum() == result.totals.macs


def test_csv_of_one_network_stacks_on_another(result: energysim.Estimate, eyeriss: DescribedAccelerator) -> None:
    first = result.to_csv().splitlines()[1]
    assert first.startswith("small,eyeriss,1,first,convolution,")


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", '{"layers": 3}', "[" * 100_000])
def test_what_is_not_an_estimate_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="not the JSON of an estimate"):
        energysim.Estimate.from_json(text)


@pytest.mark.parametrize("text", ["name,op\nx,y\n", "mapping\n[\n"])
def test_what_is_not_a_csv_of_layers_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="not the CSV of an estimate"):
        layers_from_csv(text)


def test_one_input_one_json(tmp_path: Path) -> None:
    """Hash seed, locale and process change no byte, and no time stands in the text."""
    file = tmp_path / "small.yaml"
    file.write_text(to_yaml(network()))
    command = [sys.executable, "-m", "energysim", "estimate", str(file), "--on", "eyeriss", "--format", "json"]
    command.append("--no-cache")  # each process searches for itself
    said = set()
    for seed, locale in (("0", "C"), ("1", "C.UTF-8"), ("2", "de_DE.UTF-8")):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "LC_ALL": locale}
        said.add(subprocess.run(command, env=environment, capture_output=True, check=True, cwd=ROOT).stdout)
    assert len(said) == 1
    assert b"seconds" not in said.pop()


def test_default_prices_are_said_and_refused() -> None:
    graph = LayerGraph("one", (matmul(),))
    clean = estimate(graph, described())
    refuse_defaults(clean)
    assert clean.warnings == clean.default_prices == ()
    guessed = estimate(graph, described(table=prices(tier="default")))
    assert {(price.component, price.action) for price in guessed.default_prices} == {
        *((memory, action) for memory in ("dram", "spad") for action in ("read", "write")),
        ("pe", "transfer"),
    }
    assert "default price: dram.read, dram.write (chosen for dram)" in guessed.warnings
    refused = r"^default price refused: dram\.read, dram\.write \(chosen for dram\)\ndefault price refused: pe"
    with pytest.raises(InputError, match=refused):
        refuse_defaults(guessed)


def test_default_idle_power_is_said() -> None:
    table = EnergyTable(prices().prices)
    warnings = estimate(LayerGraph("one", (matmul(),)), described(table=table)).warnings
    assert warnings == ("default price: idle.second (no source)",)


def test_prices_paid_carry_tier_and_source(result: energysim.Estimate) -> None:
    paid = {(price.component, price.action, price.role) for price in result.prices}
    for row in result.layers:
        for component, actions in row.counts.items():
            for action, roles in actions.items():
                named = {"fill": "write", "drain": "read"}.get(action, action)
                assert {(component, named, role) for role in roles} <= paid
    assert all(price.source and price.tier for price in result.prices)


def test_operands_too_wide_for_the_unit_are_said() -> None:
    accelerator = replace(machine(), compute=Compute(bits=8))
    (warning,) = estimate(LayerGraph("one", (matmul(),)), described(accelerator)).warnings
    assert warning == "'matmul': operands are wider than the 8 bits that 'mac' takes; each is priced as one operation"


def test_warnings_of_the_model_stay(eyeriss: DescribedAccelerator) -> None:
    graph = replace(network(), warnings=("node x: op y is not known",))
    assert estimate(graph, eyeriss).warnings == ("node x: op y is not known",)


def test_nothing_fits() -> None:
    tiny = replace(machine(), levels=(*machine().levels[:2], replace(machine().memories[1], capacity_bits=17)))
    with pytest.raises(NothingFitsError, match=r"matmul.*spad.*17"):
        estimate(LayerGraph("one", (matmul(),)), described(tiny))


def test_a_time_budget_is_shared_and_leaves_a_gap(eyeriss: DescribedAccelerator) -> None:
    model = energysim.read_model("resnet18")
    short = estimate(model, eyeriss, time_budget_s=1e-3)
    whole = estimate(model, eyeriss)
    least = sum(row.lower_bound_pj for row in short.layers)
    assert least <= sum(row.energy_pj for row in whole.layers) <= sum(row.energy_pj for row in short.layers)
    assert sum(row.optimal for row in short.layers) < sum(row.optimal for row in whole.layers)


def test_wrong_options_are_refused(eyeriss: DescribedAccelerator) -> None:
    with pytest.raises(InputError, match="batch is 0"):
        estimate(network(), eyeriss, batch=0)
    with pytest.raises(InputError, match="bits '0'"):
        estimate(network(), eyeriss, bits=0)
    with pytest.raises(UnknownNameError, match="did you mean 'row_stationary'"):
        estimate(network(), eyeriss, dataflow="row_stationery")
    with pytest.raises(UnknownNameError, match="did you mean 'depthwise'"):
        explain(network(), "depthwize", eyeriss)


def test_progress_is_told_of_every_layer(eyeriss: DescribedAccelerator) -> None:
    told: list[tuple[int, int]] = []
    estimate(network(), eyeriss, progress=lambda done, total: told.append((done, total)))
    assert told == [(i, 5) for i in range(5)]


def test_explaining_a_layer_gives_the_estimates_row(result: energysim.Estimate, eyeriss: DescribedAccelerator) -> None:
    layer, row, entries = explain(network(), "depthwise", eyeriss)
    assert row == result.layers[2]
    assert layer.name == "depthwise"
    assert math.fsum(entry.energy_pj for entry in entries) == pytest.approx(row.energy_pj, rel=1e-14)


def test_three_lines_of_python_do() -> None:
    program = (
        "import energysim, sys\n"
        "model = energysim.read_model('lenet_caffe5')\n"
        "accelerator = energysim.read_accelerator('one_mac')\n"
        "assert energysim.estimate(model, accelerator).totals.macs == 2_293_000\n"
        "import energysim.estimate\n"
        "assert energysim.estimate(model, accelerator).batch == 1\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_the_public_names() -> None:
    for name in energysim.__all__:
        assert getattr(energysim, name) is not None
    assert dir(energysim) == sorted(energysim.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = energysim.nothing
    with (ROOT / "pyproject.toml").open("rb") as file:
        assert tomllib.load(file)["project"]["version"] == energysim.__version__


def test_prices_may_differ_by_role() -> None:
    table = dict(prices().prices)
    table["dram", "read", "weight"] = Price(7.0, "cheap weights", "published", 16)
    (row,) = estimate(LayerGraph("one", (matmul(),)), described(table=EnergyTable(table, 0.0, "none", "table"))).layers
    assert row.energy_by_component_pj["dram"]["weight"] == 7.0 * row.counts["dram"]["read"]["weight"]


def test_computed_operands_are_no_weights() -> None:
    # Attention scores: 8 tokens of 4 channels with each other. The second operand rests where weights do, and is none.
    from energysim.workload.operations import matmul

    layer = matmul("scores", {"P": 8, "C": 4, "M": 8})
    (row,) = estimate(LayerGraph("attention", (layer,)), described()).layers
    assert row.weight_bits == 0
