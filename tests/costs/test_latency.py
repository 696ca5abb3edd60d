"""Latency, traffic and utilisation of the machine worked on paper in `examples`."""

from dataclasses import replace

import pytest

from energysim.costs.latency import latency, preload_cycles, static_energy_pj, used_instances, utilisation
from energysim.costs.traffic import Traffic, traffic
from energysim.hardware.accelerator import Compute, Sharing
from energysim.mapping.counts import count
from energysim.mapping.nest import Loop, even
from energysim.mapping.replay import replay
from energysim.workload.encoding import Codebook
from tests.costs.examples import machine, mapping, matmul, prices


def test_traffic_of_the_example() -> None:
    layer, accelerator = matmul(), machine()
    nest = mapping(layer, accelerator)
    counts = count(layer, accelerator, nest)
    assert counts == replay(layer, accelerator, nest)
    moved = traffic(layer, accelerator, counts)
    assert moved == {"dram": Traffic(160.0, 64.0), "spad": Traffic(384.0, 320.0)}
    # every element once: 8 weights + 2 inputs + 4 outputs of 16 bits
    assert layer.compulsory_bits == 14 * 16 == moved["dram"].total_bits


@pytest.mark.parametrize(("shared", "dram"), [(True, 160 / 2 + 64 / 4), (False, max(160 / 2, 64 / 4))])
def test_the_slowest_sets_the_pace(shared: bool, dram: float) -> None:
    layer, accelerator = matmul(), machine(shared)
    nest = mapping(layer, accelerator)
    found = latency(layer, accelerator, nest, count(layer, accelerator, nest))
    # two spads share (384 + 320) bits at 16 bits a cycle
    assert found.cycles_by_component == {"mac": 4.0, "dram": dram, "spad": 22.0}
    assert (found.bound_by, found.cycles, found.seconds) == ("dram", dram, dram / 100.0)
    assert used_instances(accelerator, nest, accelerator.memories[1]) == 2
    assert utilisation(layer, accelerator, count(layer, accelerator, nest)) == 1.0


def test_compute_wins_a_tie_and_unlimited_ports_take_no_time() -> None:
    layer, accelerator = matmul(), machine()
    free = (
        replace(accelerator.memories[0], read_bits_per_cycle=None, write_bits_per_cycle=16.0),
        *accelerator.levels[1:],
    )
    accelerator = replace(accelerator, levels=free)
    spad = replace(accelerator.memories[1], read_bits_per_cycle=None, write_bits_per_cycle=None)
    accelerator = replace(accelerator, levels=(*accelerator.levels[:2], spad))
    nest = mapping(layer, accelerator)
    found = latency(layer, accelerator, nest, count(layer, accelerator, nest))
    # 64 bits written at 16 bits a cycle: 4 cycles, as many as there are steps
    assert (found.cycles_by_component["dram"], found.bound_by, found.cycles) == (4.0, "mac", 4)


def test_part_of_the_array_is_part_of_the_utilisation() -> None:
    layer, accelerator = matmul(), machine(axis=3)
    nest = even(accelerator, layer, {"dram": (Loop("M", 2),), "pe": (Loop("M", 2, "pe.x"),), "spad": (Loop("C", 2),)})
    assert utilisation(layer, accelerator, count(layer, accelerator, nest)) == 8 / (4 * 3)


def test_a_cycle_does_one_plain_operation() -> None:
    layer, accelerator = matmul(), machine()
    nest = mapping(layer, accelerator)
    slow = replace(layer, unit="op", ops_per_point=50)
    found = latency(slow, accelerator, nest, count(slow, accelerator, nest))
    assert (found.bound_by, found.cycles) == ("mac", 4 * 50)


def test_static_energy_is_power_times_time() -> None:
    # 3 mW for 20 ms: 60 uJ
    assert static_energy_pj(prices(idle_power_w=3e-3), 20e-3) == pytest.approx(60e6)


def test_zeros_that_are_skipped_take_no_time_and_those_that_gate_do() -> None:
    layer, accelerator = matmul(), machine()
    nest = mapping(layer, accelerator)
    half = {t.name: replace(t, density=0.5) if t.role == "input" else t for t in layer.tensors}
    layer = replace(layer, tensors=tuple(half.values()))
    for compute, cycles in (
        (Compute(gates=frozenset(["input"])), 4.0),
        (Compute(gates=frozenset(["input"]), skips=frozenset(["input"])), 2.0),
    ):
        changed = replace(accelerator, compute=compute)
        found = latency(layer, changed, nest, count(layer, changed, nest))
        assert found.cycles_by_component["mac"] == cycles


def test_a_codebook_comes_before_the_layer_begins() -> None:
    # 3 centroids of one 16-bit weight through a port of 2 bits a cycle: 24 cycles on top of everything else.
    layer, accelerator = matmul(), machine()
    book = Codebook("scalar", 3, 1, 8, 2, 2.0)
    tensors = tuple(replace(t, codebook=book) if t.role == "weight" else t for t in layer.tensors)
    spad = accelerator.memories[1].name
    changed = replace(accelerator, sharing=Sharing("storage", spad, 1 << 10))
    nest = mapping(layer, accelerator)
    dense = latency(layer, changed, nest, count(layer, changed, nest))
    shared = replace(layer, tensors=tensors)
    counts = count(shared, changed, nest)
    found = latency(shared, changed, nest, counts)
    assert preload_cycles(shared, changed, counts) == 3 * 16 / 2.0
    # 8 weights of 16 bits become 8 indices of 2: 112 bits less at the same port
    assert found.cycles == dense.cycles - 8 * 14 / 2.0 + 24
