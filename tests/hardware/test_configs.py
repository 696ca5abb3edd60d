"""The packaged accelerators say what their sources say."""

import csv
from math import isclose, prod
from pathlib import Path

import pytest

import energysim.hardware
from energysim.hardware.accelerator import TIERS, Memory
from energysim.hardware.describe import bits_in_words, hierarchy_rows
from energysim.hardware.read import read_accelerator
from energysim.packaged import packaged

DATA = Path(energysim.hardware.__file__).parent / "data"


def level(name: str, memory: str) -> Memory:
    return next(m for m in read_accelerator(name).accelerator.memories if m.name == memory)


def pj_per_bit(name: str, component: str, action: str, role: str = "weight") -> float:
    price = read_accelerator(name).table.price(component, action, role)
    assert price is not None
    assert price.width_bits is not None
    return price.pj / price.width_bits


def pj(name: str, component: str, action: str) -> float:
    price = read_accelerator(name).table.price(component, action, "compute")
    assert price is not None
    return price.pj


@pytest.mark.parametrize("name", sorted(packaged("hw_configs")))
def test_a_file_begins_with_its_source_and_every_number_has_one(name: str) -> None:
    assert packaged("hw_configs")[name].read_text("utf-8").startswith("source: ")
    described = read_accelerator(name)
    assert described.name == name
    assert all(len(price.source) > 20 and price.tier in TIERS for price in described.table.prices.values())
    assert described.table.idle_power_source


def test_eyeriss_is_the_chip() -> None:
    chip = read_accelerator("eyeriss").accelerator
    assert [m.name for m in chip.levels] == ["dram", "global_buffer", "pe", "spad"]
    assert {axis.name: axis.size for axis in chip.arrays[0].axes} == {"x": 14, "y": 12}
    assert chip.instances("mac") == 168
    buffer, spad = level("eyeriss", "global_buffer"), level("eyeriss", "spad")
    # 100 kB in 25 banks of 512 words of 64 bits, and 8 kB of filters: 108 kB.
    assert buffer.capacity_bits == 25 * 512 * 64 == 100 * 1024 * 8
    assert dict(buffer.partitions) == {"weight": 8 * 1024 * 8}
    # 12 inputs, 224 weights, 24 partial sums of 16 bits; nothing is shared.
    assert {role: bits // 16 for role, bits in spad.partitions.items()} == {"input": 12, "weight": 224, "output": 24}
    assert spad.capacity_bits == 0
    # A link of 64 bits at 60 MHz, in cycles of the 200 MHz core.
    assert chip.clock_hz == 200e6
    assert level("eyeriss", "dram").read_bits_per_cycle == 64 * 60e6 / 200e6
    assert dict(level("eyeriss", "dram").codings) == {"input": "run_length", "output": "run_length"}
    assert chip.compute.gates == {"input"}


@pytest.mark.parametrize(("name", "inner"), [("eyeriss", "spad"), ("eyeriss_isca16", "register_file")])
def test_eyeriss_energies_are_one_two_six_two_hundred_macs(name: str, inner: str) -> None:
    mac = pj(name, "mac", "mac")
    # 16-bit multiply a quarter of 3.1 pJ, 32-bit accumulate 0.1 pJ; 45 to 65 nm, 0.9 to 1.0 V.
    assert isclose(mac, (3.1 / 4 + 0.1) * 65 / 45 * (1.0 / 0.9) ** 2, rel_tol=1e-3)
    assert isclose(pj(name, "mac", "op"), 0.1 / 2 * 65 / 45 * (1.0 / 0.9) ** 2, rel_tol=3e-3)
    for component, ratio in ((inner, 1), ("global_buffer", 6), ("dram", 200)):
        assert isclose(pj_per_bit(name, component, "read") * 16, ratio * mac)
        assert isclose(pj_per_bit(name, component, "write", "output") * 16, ratio * mac)
    assert isclose(pj_per_bit(name, "pe", "transfer") * 16, 2 * mac)


def test_eyeriss_isca16_is_the_model_of_figure_10() -> None:
    model = read_accelerator("eyeriss_isca16").accelerator
    assert prod(axis.size for axis in model.arrays[0].axes) == 256
    assert level("eyeriss_isca16", "global_buffer").capacity_bits == 128 * 1024 * 8
    file = level("eyeriss_isca16", "register_file")
    assert (file.capacity_bits, dict(file.partitions), len(file.keeps)) == (512 * 8, {}, 3)
    # A transfer is paid once, at the costlier level: what arrives from outside is free, partial sums pay to go back.
    for component in ("global_buffer", "register_file"):
        paid = [pj_per_bit("eyeriss_isca16", component, "write", role) > 0 for role in ("weight", "input", "output")]
        assert paid == [False, False, True]
    assert not model.compute.gates
    assert not any(m.codings for m in model.memories)


def test_tpu_v1_as_published() -> None:
    tpu = read_accelerator("tpu_v1").accelerator
    assert tpu.instances("mac") == 65536
    assert tpu.clock_hz == 700e6
    assert level("tpu_v1", "unified_buffer").capacity_bits == 24 * 2**20 * 8
    # 4096 vectors of 256 sums of 32 bits; the FIFO is four tiles of 64 KiB deep.
    assert level("tpu_v1", "accumulators").capacity_bits == 4096 * 256 * 32
    assert level("tpu_v1", "weight_fifo").capacity_bits == 4 * 256 * 256 * 8
    assert isclose(level("tpu_v1", "dram").read_bits_per_cycle or 0, 34e9 * 8 / 700e6, rel_tol=1e-3)
    # 8-bit multiply 0.2 pJ, 32-bit add 0.1 pJ, at 28 instead of 45 nm.
    assert isclose(pj("tpu_v1", "mac", "mac"), 0.3 * 28 / 45, rel_tol=3e-3)
    assert isclose(pj("tpu_v1", "mac", "op"), 0.1 * 28 / 45, rel_tol=1e-3)
    assert isclose(pj_per_bit("tpu_v1", "weight_register", "read") * 8, 0.03 * 28 / 45, rel_tol=3e-3)
    assert read_accelerator("tpu_v1").table.idle_power_w == 28


def test_nvdla_as_published() -> None:
    nvdla = read_accelerator("nvdla").accelerator
    assert {axis.name: (axis.size, axis.dims) for axis in nvdla.arrays[0].axes} == {
        "kernel": (16, {"M"}),
        "channel": (64, {"C"}),
    }
    # 16 banks, each of two memories of 256 words of 512 bits; 128 rows of 16 sums of 48 bits (96 bytes).
    assert level("nvdla", "convolution_buffer").capacity_bits == 16 * 2 * 256 * 512
    assert level("nvdla", "accumulators").capacity_bits == 128 * 96 * 8
    assert nvdla.clock_hz == 1e9
    assert level("nvdla", "dram").read_bits_per_cycle == 20e9 * 8 / 1e9
    # What its file leaves out is priced by default and says so.
    price = read_accelerator("nvdla").table.price("accumulators", "read", "output")
    assert price is not None
    assert price.tier == "default"


def test_simba_is_one_chiplet_of_six_storage_levels() -> None:
    simba = read_accelerator("simba").accelerator
    assert len(simba.memories) == 6
    # 16 PEs of 8 vector MACs of 8 lanes; a vector MAC makes one output channel of several input channels.
    assert (simba.instances("lanes"), simba.instances("mac")) == (16, 16 * 8 * 8)
    assert {axis.name: (axis.size, axis.dims) for axis in simba.arrays[1].axes} == {
        "vector_mac": (8, {"M"}),
        "lane": (8, {"C"}),
    }
    kib = {name: bits // 8192 for name, bits in ((m.name, m.capacity_bits or 0) for m in simba.memories)}
    buffers = {"global_buffer": 64, "input_buffer": 8, "weight_buffer": 32, "accumulation_buffer": 3}
    assert kib == {"dram": 0, **buffers, "weight_register": 0}
    # Each PE's buffers hold one role each; weights go past the global buffer.
    keeps = {m.name: set(m.keeps) for m in simba.memories[1:]}
    assert keeps["global_buffer"] == {"input", "output"}
    assert [keeps[f"{n}_buffer"] for n in ("input", "weight", "accumulation")] == [{"input"}, {"weight"}, {"output"}]
    assert isclose(level("simba", "dram").read_bits_per_cycle or 0, 100e9 * 8 / 1.8e9, rel_tol=1e-3)
    assert isclose(pj_per_bit("simba", "weight_register", "read") * 8, 0.03 * 16 / 45, rel_tol=5e-3)


def test_one_mac_costs_one_for_everything() -> None:
    described = read_accelerator("one_mac")
    assert {(p.pj, p.width_bits) for p in described.table.prices.values()} == {(1.0, None)}
    assert [m.name for m in described.accelerator.levels] == ["memory"]


@pytest.mark.parametrize(
    ("name", "component", "row"),
    [
        ("tpu_v1", "weight_fifo", ("32", "262144", "512")),
        ("tpu_v1", "unified_buffer", ("32", "1048576", "512")),
        ("tpu_v1", "accumulators", ("32", "16384", "32")),
        ("nvdla", "convolution_buffer", ("22", "16384", "512")),
    ],
)
def test_prices_copied_from_the_table_are_its_rows(name: str, component: str, row: tuple[str, str, str]) -> None:
    lines = (DATA / "cacti7_sram.csv").read_text("utf-8").splitlines()
    table = csv.DictReader(line for line in lines if not line.startswith("#"))
    wanted = next(r for r in table if (r["technology_nm"], r["capacity_bytes"], r["width_bits"]) == row)
    for action in ("read", "write"):
        assert isclose(pj_per_bit(name, component, action) * int(row[2]), float(wanted[f"{action}_pj"]))


def test_hierarchy_rows_say_it_all_in_words() -> None:
    rows = hierarchy_rows(read_accelerator("eyeriss"))
    assert [(row["level"], row["kind"], row["instances"]) for row in rows] == [
        ("dram", "memory", "1"),
        ("global_buffer", "memory", "1"),
        ("pe", "array", "1"),
        ("spad", "memory", "168"),
        ("mac", "compute", "168"),
    ]
    assert rows[0]["bandwidth"] == "read 19.2 b/cycle, write 19.2 b/cycle (one port)"
    assert rows[0]["notes"] == "input run-length coded; output run-length coded"
    assert rows[1]["capacity"] == "100 KiB for input, output; weight 8 KiB"
    assert rows[1]["notes"] == "weight may bypass"
    assert rows[2]["notes"] == "x 14 x y 12; multicasts weight, input; adds partial sums"
    assert rows[3]["capacity"] == "weight 448 B; input 24 B; output 48 B"
    assert rows[4]["energy"] == "mac 1.56 pJ (table), op 0.089 pJ (table)"
    assert rows[4]["notes"] == "up to 16 bits; zeros of input gate it"


def test_capacities_in_words() -> None:
    # 4 bits are half a byte; 24 MiB; just under and at a kibibyte.
    said = [bits_in_words(bits) for bits in (4, 8184, 8192, 24 * 2**23, None)]
    assert said == ["0.5 B", "1023 B", "1 KiB", "24 MiB", "unlimited"]
