"""Kept search results: a hit is the miss again, nothing else is a hit, and no entry can lie or do harm."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from energysim.errors import InputError, NothingFitsError, UnknownNameError
from energysim.estimate import estimate, explain
from energysim.hardware.accelerator import Array, EnergyTable, Memory, Price
from energysim.hardware.read import DescribedAccelerator, read_accelerator
from energysim.mapping import search_cache, search_many
from energysim.mapping.dataflows import dataflow
from energysim.mapping.search import Limits, SearchResult, find_mapping
from energysim.mapping.search_cache import SearchCache, cache_folder, code_version, search_key
from energysim.mapping.search_many import find_mappings
from energysim.workload.graph import LayerGraph
from energysim.workload.layer import Layer, convolution
from tests.costs.examples import described, machine, matmul, prices

ROOT = Path(__file__).resolve().parent.parent.parent
NOUNS = matmul(), machine(), prices(2.0)


def network() -> LayerGraph:
    """Seventeen layers, sixteen of them unequal: enough for two processes."""
    layers = [convolution(f"layer{i}", m=4 + 2 * i, c=3, p=4, q=4, r=3, s=3) for i in range(16)]
    return LayerGraph("network", (*layers, replace(layers[2], name="again")))


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the layers that were really searched."""
    done: list[str] = []

    def counted(layer: Layer, **others: Any) -> SearchResult:
        done.append(layer.name)
        return find_mapping(layer, **others)

    monkeypatch.setattr(search_many, "find_mapping", counted)
    return done


def cache(said: list[str] | None = None) -> SearchCache:
    """The test's cache; without a list for its warnings there must be none."""

    def refuse(message: str) -> None:
        raise AssertionError(message)

    return SearchCache(warn=refuse if said is None else said.append)


def key_of(layer: Layer = NOUNS[0], flow: str = "unconstrained") -> str:
    return search_key(layer, *NOUNS[1:], dataflow(flow), "energy", Limits())


def search(kept: SearchCache | None, layer: Layer = NOUNS[0]) -> SearchResult:
    (found,) = find_mappings([layer], *NOUNS[1:], cache=kept)
    return replace(found, seconds=0.0)


def test_a_hit_is_the_miss_again(searches: list[str], cache_folder: Path) -> None:
    accelerator = described(table=prices(2.0))
    plain = estimate(network(), accelerator).to_json()
    assert list(cache_folder.iterdir()) == []  # without a cache nothing is kept
    searches.clear()
    assert estimate(network(), accelerator, cache=cache()).to_json() == plain
    assert len(searches) == 16
    assert cache().size()[0] == len(list(cache_folder.iterdir())) == 16
    assert estimate(network(), accelerator, cache=cache()).to_json() == plain
    by_hit = explain(network(), "again", accelerator, cache=cache())
    assert len(searches) == 16
    assert by_hit == explain(network(), "again", accelerator)
    assert search(cache()) == search(cache()) == search(None)


def changed_memory(level: int, **changes: Any) -> DescribedAccelerator:
    levels = list(machine().levels)
    assert isinstance(levels[level], Memory)
    levels[level] = replace(levels[level], **changes)
    return described(replace(machine(), levels=tuple(levels)))


def wider() -> DescribedAccelerator:
    array = machine().levels[1]
    assert isinstance(array, Array)
    levels = (machine().levels[0], replace(array, forwarding=frozenset({"input"})), machine().levels[2])
    return described(replace(machine(), levels=levels))


def dearer() -> EnergyTable:
    key = ("spad", "read", "*")
    price = prices().prices[key]
    return EnergyTable({**prices().prices, key: Price(price.pj + 1e-9, price.source, price.tier, price.width_bits)})


def with_tensor(**changes: Any) -> Layer:
    first, *others = matmul().tensors
    return replace(matmul(), tensors=(replace(first, **changes), *others))


@pytest.mark.parametrize(
    ("layer", "accelerator", "flow"),
    [
        (convolution("matmul", m=4, c=3, p=1, q=1), described(), "unconstrained"),
        (with_tensor(bits=8), described(), "unconstrained"),
        (with_tensor(density=0.5), described(), "unconstrained"),
        (with_tensor(encoding="run_length"), described(), "unconstrained"),
        (replace(matmul(), unit="op"), described(), "unconstrained"),
        (matmul(), described(), "weight_stationary"),
        (matmul(), described(table=dearer()), "unconstrained"),
        (matmul(), described(table=prices(1.0)), "unconstrained"),
        (matmul(), described(machine(axis=3)), "unconstrained"),
        (matmul(), described(machine(gates=frozenset({"input"}))), "unconstrained"),
        (matmul(), described(replace(machine(), clock_hz=101.0)), "unconstrained"),
        (matmul(), changed_memory(2, capacity_bits=4095), "unconstrained"),
        (matmul(), changed_memory(2, bypassable=frozenset({"input"})), "unconstrained"),
        (matmul(), changed_memory(2, partitions={"weight": 64}), "unconstrained"),
        (matmul(), changed_memory(2, codings={"input": "run_length"}), "unconstrained"),
        (matmul(), wider(), "unconstrained"),
    ],
)
def test_any_change_misses(layer: Layer, accelerator: DescribedAccelerator, flow: str, searches: list[str]) -> None:
    for each, on, by in ((matmul(), described(), "unconstrained"), (layer, accelerator, flow)):
        list(find_mappings([each], on.accelerator, on.table, dataflow=by, cache=cache()))
    assert len(searches) == cache().size()[0] == 2


def test_limits_objective_and_code_are_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    constraints = dataflow("unconstrained")
    keys = {key_of(), search_key(*NOUNS, constraints, "latency", Limits())}
    keys.add(search_key(*NOUNS, constraints, "energy", Limits(nodes=1)))
    monkeypatch.setattr(search_cache, "code_version", lambda: "other code")
    keys.add(key_of())
    assert len(keys) == 4


def test_names_are_not_in_the_key(searches: list[str]) -> None:
    assert search(cache()) == search(cache(), replace(matmul(), name="other", op="other", parameters=7))
    assert searches == ["matmul"]


def test_code_version_follows_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte more in any module that searches, counts or prices is another version."""
    package = tmp_path / "energysim"
    for room in ("mapping", "costs", "workload", "hardware"):
        (package / room).mkdir(parents=True)
        for file in (ROOT / "energysim" / room).glob("*.py"):
            (package / room / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(search_cache, "__file__", str(package / "mapping" / "search_cache.py"))
    versions = {code_version()}
    for part in ("mapping/search_orders.py", "costs/prices.py", "workload/layer.py", "hardware/accelerator.py"):
        with (package / part).open("a") as file:
            file.write("\n")
        code_version.cache_clear()
        versions.add(code_version())
    code_version.cache_clear()
    assert len(versions) == 5


def sealed(body: dict[str, Any]) -> str:
    """An entry whose checksum is right: what somebody writes who knows the layout."""
    body.pop("sha256", None)
    return json.dumps({**body, "sha256": sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()})


def edited(**changes: Any) -> Callable[[str], str]:
    return lambda text: sealed({**json.loads(text), **changes})


def first_loop(change: Callable[[list[Any]], list[Any]]) -> Callable[[str], str]:
    """The entry with its first loop changed."""

    def edit(text: str) -> str:
        body = json.loads(text)
        place = next(i for i, item in enumerate(body["nest"]) if len(item) == 3)
        body["nest"][place] = change(body["nest"][place])
        return sealed(body)

    return edit


BAD: dict[str, Callable[[str], str]] = {
    "empty": lambda text: "",
    "truncated": lambda text: text[: len(text) // 2],
    "not JSON": lambda text: "\x00" + text,
    "not ASCII": lambda text: "ü" + text,
    "a list": lambda text: "[1, 2]",
    "text": lambda text: '"entry"',
    "null": lambda text: "null",
    "no fields": lambda text: sealed({}),
    "too deep": lambda text: "[" * 200_000,
    "too large": lambda text: text + " " * (1 << 18),
    "one digit changed": lambda text: text.replace('"candidates": ', '"candidates": 1', 1),
    "foreign key": edited(key="0" * 64),
    "bound above energy": edited(lower_bound_pj=1e15),
    "bound below nothing": edited(lower_bound_pj=-1.0),
    "bound is no number": edited(lower_bound_pj=float("nan")),
    "bound is a text": edited(lower_bound_pj="1"),
    "candidates below nothing": edited(candidates=-1),
    "no nest": edited(nest=[]),
    "nest of numbers": edited(nest=[1, 2]),
    "nest is a number": edited(nest=3),
    "unknown memory": edited(nest=[["cellar", "weight"]]),
    "unknown tensor": edited(nest=[["dram", "secret"]]),
    "unknown dim": first_loop(lambda loop: ["X", *loop[1:]]),
    "unknown axis": first_loop(lambda loop: [*loop[:2], "pe.z"]),
    "dim is a list": first_loop(lambda loop: [[], *loop[1:]]),
    "bound of a loop is a float": first_loop(lambda loop: [loop[0], float(loop[1]), loop[2]]),
    "work left out": lambda text: edited(nest=[x for x in json.loads(text)["nest"] if len(x) == 2])(text),
    "huge loop": first_loop(lambda loop: [loop[0], 10**40, loop[2]]),
}


@pytest.mark.parametrize("damage", BAD.values(), ids=BAD)
def test_an_unsound_entry_is_ignored_and_made_anew(
    damage: Callable[[str], str], searches: list[str], cache_folder: Path
) -> None:
    right = search(cache())
    (entry,) = cache_folder.iterdir()
    entry.write_text(damage(entry.read_text()), encoding="utf-8")
    said: list[str] = []
    assert search(cache(said)) == right
    assert len(searches) == 2
    assert len(said) == 1
    assert "\n" not in said[0]
    assert "damaged or foreign" in said[0]
    assert search(cache()) == right
    assert len(searches) == 2


def test_a_tampered_mapping_has_its_own_energy(cache_folder: Path) -> None:
    """A legal but worse mapping under a right checksum: its true energy is said, and that it is not proven."""
    layer, accelerator, table = matmul(), machine(axis=1), prices()
    (best,) = find_mappings([layer], accelerator, table, cache=cache())
    (entry,) = cache_folder.iterdir()
    # M inside C, both in DRAM: every output leaves the spad unfinished and comes back.
    marks = [item for item in json.loads(entry.read_text())["nest"] if len(item) == 2]
    outer, inner = ([m for m in marks if m[0] == name] for name in ("dram", "spad"))
    entry.write_text(edited(nest=[*outer, ["C", 2, None], ["M", 4, None], *inner])(entry.read_text()))
    (read,) = find_mappings([layer], accelerator, table, cache=cache())
    assert read.energy_pj > best.energy_pj
    assert not read.optimal
    # DRAM: 8 weights, 2 inputs, 4 outputs written, 4 partial sums out and 4 back, 100 pJ each
    assert sum(n for (name, *_), n in read.counts.values.items() if name == "dram") == 8 + 2 + 4 + 4 + 4


def test_a_mapping_outside_the_dataflow_is_foreign(searches: list[str], cache_folder: Path) -> None:
    """The entry above, moved to the key of output_stationary, whose partial sums do not travel."""
    layer, accelerator, table = matmul(), machine(axis=1), prices()
    flow = "output_stationary"
    (best,) = find_mappings([layer], accelerator, table, dataflow=flow, cache=cache())
    (entry,) = cache_folder.iterdir()
    marks = [item for item in json.loads(entry.read_text())["nest"] if len(item) == 2]
    outer, inner = ([m for m in marks if m[0] == name] for name in ("dram", "spad"))
    entry.write_text(edited(nest=[*outer, ["C", 2, None], ["M", 4, None], *inner])(entry.read_text()))
    said: list[str] = []
    (again,) = find_mappings([layer], accelerator, table, dataflow=flow, cache=cache(said))
    assert again.mapping == best.mapping
    assert len(searches) == 2
    assert len(said) == 1
    assert "outside loops of the stationary output" in said[0]


def test_many_unsound_entries_are_one_warning(cache_folder: Path) -> None:
    right = estimate(network(), described(), cache=cache()).to_json()
    for entry in cache_folder.iterdir():
        entry.write_text("{")
    said: list[str] = []
    assert estimate(network(), described(), cache=cache(said)).to_json() == right
    assert len(said) == 1


def test_without_a_listener_a_warning_is_a_python_warning(cache_folder: Path) -> None:
    search(cache())
    (entry,) = cache_folder.iterdir()
    entry.write_text("{")
    with pytest.warns(RuntimeWarning, match="damaged or foreign"):
        assert search(SearchCache()) == search(None)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    for folder in (file, file / "below"):
        said: list[str] = []
        kept = SearchCache(folder, said.append)
        assert search(kept) == search(None)
        assert search(kept) == search(None)
        assert len(said) == 1
        assert "cannot be written" in said[0]
    assert file.read_text() == "mine"


def test_clear_removes_only_what_is_ours(cache_folder: Path) -> None:
    search(cache())
    (entry,) = cache_folder.iterdir()
    mine = {"notes.json", "0.json", ".energysim", f"{'a' * 64}.json.bak"}
    for name in mine:
        (cache_folder / name).write_text("mine")
    left_by_a_crash = cache_folder / ".energysim-abc.part"
    left_by_a_crash.write_text("{")
    assert cache().size() == (1, entry.stat().st_size + 1)
    assert cache().clear()[0] == 2
    assert {path.name for path in cache_folder.iterdir()} == mine
    assert cache().size() == (0, 0)
    assert SearchCache(cache_folder / "nowhere").clear() == (0, 0)


def test_where_the_cache_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ENERGYSIM_CACHE_DIR", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("ENERGYSIM_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "energysim"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # the XDG specification: to be ignored
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "energysim"


WRITER = """
from tests.mapping.test_search_cache import NOUNS, key_of
from energysim.mapping.search import find_mapping
from energysim.mapping.search_cache import SearchCache
found, kept = find_mapping(*NOUNS), SearchCache()
for _ in range(100):
    kept.write(key_of(), found)
"""


def test_two_processes_write_one_entry(cache_folder: Path) -> None:
    """Whenever a third one reads there is no entry yet or a whole one; a warning would be an error."""
    right = replace(find_mapping(*NOUNS), seconds=0.0)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    writers = [subprocess.Popen([sys.executable, "-W", "error", "-c", WRITER], env=environment) for _ in range(2)]
    hits = 0
    while any(writer.poll() is None for writer in writers):
        found = cache().read(key_of(), *NOUNS, dataflow("unconstrained"))
        if found is not None:
            hits += 1
            assert replace(found, seconds=0.0) == right
    assert [writer.returncode for writer in writers] == [0, 0]
    assert hits
    assert [path.name for path in cache_folder.iterdir()] == [f"{key_of()}.json"]


def test_processes_do_not_change_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, accelerator = network(), described()
    alone = estimate(graph, accelerator).to_json()

    def not_here(*_: object) -> None:
        raise AssertionError("searched in this process")

    monkeypatch.setattr(search_many, "_one_by_one", not_here)
    layers = graph.layers[:16]
    nouns = accelerator.accelerator, accelerator.table
    spread = [replace(found, seconds=0.0) for found in find_mappings(layers, *nouns, jobs=3)]
    assert spread == [replace(find_mapping(layer, *nouns), seconds=0.0) for layer in layers]
    assert estimate(graph, accelerator, jobs=3, cache=cache()).to_json() == alone
    assert cache().size()[0] == 16


STARTER = """
import signal
from multiprocessing import get_context
from energysim.mapping.search_many import _interrupt_later
if __name__ == "__main__":
    with _interrupt_later():
        process = get_context("spawn").Process(target=int)
        process.start()
        print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, set()))
    process.join()
    print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, set()))
"""


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="needs signal masks")
def test_no_process_of_a_search_sees_ctrl_c(tmp_path: Path) -> None:
    """A process has the mask of the moment when it starts: with the first one too, Ctrl-C still waits after that."""
    file = tmp_path / "starter.py"
    file.write_text(STARTER)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, file], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


def test_an_error_is_the_same_in_processes() -> None:
    """Two layers fit nowhere: the first one is named, whoever finds out first."""
    tiny = described(replace(machine(), levels=(*machine().levels[:2], replace(machine().levels[2], capacity_bits=47))))
    said = set()
    for jobs in (1, 2):
        with pytest.raises(NothingFitsError, match="layer0") as caught:
            estimate(network(), tiny, jobs=jobs)
        said.add(str(caught.value))
    assert len(said) == 1


def test_what_a_time_budget_cut_short_is_not_kept(searches: list[str], cache_folder: Path) -> None:
    eyeriss = read_accelerator("eyeriss")
    # 64*64*56*56*9 points take far longer to prove than a nanosecond
    layer = convolution("conv2_x", m=64, c=64, p=56, q=56, r=3, s=3)
    work = [layer], eyeriss.accelerator, eyeriss.table
    (short,) = find_mappings(*work, time_budget_s=1e-9, cache=cache())
    assert short.cut_short
    assert not list(cache_folder.glob("*.json"))
    (whole,) = find_mappings(*work, time_budget_s=1e6, cache=cache())
    assert whole.optimal
    (kept,) = find_mappings(*work, time_budget_s=1e-9, cache=cache())
    assert len(searches) == 2
    assert (kept.energy_pj, kept.lower_bound_pj, kept.nodes) == (whole.energy_pj, whole.lower_bound_pj, whole.nodes)
    with pytest.raises(InputError, match="a time budget must be a number of seconds above 0, not -1"):
        list(find_mappings(*work, time_budget_s=-1, cache=cache()))


def test_a_time_budget_is_shared_by_processes() -> None:
    found = list(find_mappings(network().layers[:16], machine(), prices(2.0), time_budget_s=1e6, jobs=2))
    assert [one.mapping for one in found] == [
        one.mapping for one in find_mappings(network().layers[:16], machine(), prices(2.0))
    ]


@pytest.mark.parametrize("jobs", [0, -1, True, 1.5])
def test_jobs_below_one_are_refused(jobs: Any) -> None:
    with pytest.raises(InputError, match="jobs is"):
        estimate(network(), described(), jobs=jobs)


def test_a_cache_does_not_hide_an_unknown_name() -> None:
    for names in ({"dataflow": "weight_stationery"}, {"objective": "beauty"}):
        with pytest.raises(UnknownNameError):
            estimate(network(), described(), cache=cache(), **names)
