"""Coded tensors: less than dense, never less than compulsory."""

from dataclasses import replace

from energysim.costs.prices import bits_moved
from energysim.costs.traffic import compulsory_bits, traffic
from energysim.hardware.read import read_accelerator
from energysim.mapping.counts import count
from energysim.mapping.nest import Loop, even
from energysim.workload.encoding import run_length
from energysim.workload.layer import convolution

ONE_MAC = read_accelerator("one_mac").accelerator
EYERISS = read_accelerator("eyeriss").accelerator


def sparse(encoding: str = "dense") -> tuple:
    layer = convolution("conv", m=4, c=2, p=3, q=3)
    tensors = tuple(replace(t, density=0.25, encoding=encoding) for t in layer.tensors)
    return layer, replace(layer, tensors=tensors)


def test_a_tensor_rests_outermost_in_its_own_encoding() -> None:
    _, plain = sparse()
    _, coded = sparse("run_length")
    outermost = ONE_MAC.memories[0].name
    assert bits_moved(plain, ONE_MAC, outermost, "weight") == 16.0
    assert bits_moved(coded, ONE_MAC, outermost, "weight") == run_length(16, 0.25) < 16.0
    # Inside it is decoded, and a memory that codes by itself says how.
    assert bits_moved(coded, EYERISS, "global_buffer", "input") == 16.0
    assert bits_moved(plain, EYERISS, "dram", "input") == run_length(16, 0.25)


def test_compulsory_traffic_is_coded_too() -> None:
    dense, layer = sparse()
    loops = {"dram": (Loop("M", 4), Loop("C", 2), Loop("P", 3), Loop("Q", 3))}
    mapping = even(EYERISS, layer, loops)
    moved = traffic(layer, EYERISS, count(layer, EYERISS, mapping))["dram"].total_bits
    # 8 weights at 16 bits; 18 inputs and 36 outputs coded.
    assert compulsory_bits(layer, EYERISS) == int(8 * 16 + 54 * run_length(16, 0.25))
    assert compulsory_bits(dense, EYERISS) == (8 + 18 + 36) * 16 == dense.compulsory_bits
    assert compulsory_bits(layer, EYERISS) <= moved
