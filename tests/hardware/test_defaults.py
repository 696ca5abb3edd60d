"""Prices for what a file leaves out: at the table's own points, between them, beyond them, and by rule."""

from math import isclose, sqrt

import pytest

from energysim.hardware.accelerator import Accelerator, Array, Axis, Compute, Memory
from energysim.hardware.defaults import default_price, sram_price


def memory(capacity_bytes: float | None, word_bits: int, **more: object) -> Memory:
    bits = None if capacity_bytes is None else int(capacity_bytes * 8)
    return Memory("m", bits, frozenset({"weight"}), word_bits, **more)  # type: ignore[arg-type]


def accelerator(technology_nm: float, bits: int | None = None) -> Accelerator:
    return Accelerator("a", "test", (memory(None, 64),), Compute(bits=bits), 1e9, technology_nm)


def test_at_a_point_of_the_table_the_price_is_the_tables() -> None:
    # Rows of the table: 65 nm, 1024 bytes, 64 bits: read 3.12005 pJ, write 6.48658 pJ.
    read, write = sram_price(65, memory(1024, 64), "read"), sram_price(65, memory(1024, 64), "write")
    assert isclose(read.pj, 3.12005)
    assert isclose(write.pj, 6.48658)
    assert (read.width_bits, read.tier) == (64, "table")
    assert read.source == "CACTI 7 read of 1024 bytes, 64 bits wide, 65 nm, interpolated"


def test_between_capacities_and_widths_it_is_straight_in_logarithms() -> None:
    # Half way in log(capacity) between 1024 (3.12005 pJ) and 2048 bytes (3.62197 pJ), both 64 bits wide:
    # the geometric mean.
    between = sram_price(65, memory(1448.1546878700494, 64), "read")
    assert isclose(between.pj, sqrt(3.12005 * 3.62197), rel_tol=1e-4)
    # Half way in log(width) between 64 (3.12005 pJ) and 128 bits (6.39233 pJ) lies 90.5: 90 is below, 91 above.
    mean = sqrt(3.12005 * 6.39233)
    assert sram_price(65, memory(1024, 90), "read").pj < mean < sram_price(65, memory(1024, 91), "read").pj
    assert sram_price(65, memory(1024, 90), "read").tier == "table"


def test_beyond_the_table_the_slope_at_its_edge_goes_on_and_the_tier_says_default() -> None:
    # 256 bytes cost 1.26871 pJ, 512 cost 1.58089 (32 bits, 65 nm): 128 bytes cost 1.26871^2 / 1.58089.
    small = sram_price(65, memory(128, 32), "read")
    assert isclose(small.pj, 1.26871**2 / 1.58089)
    assert small.tier == "default"
    assert "beyond its table" in small.source


def test_another_technology_takes_the_nearest_and_says_so() -> None:
    other = sram_price(28, memory(16384, 32), "read")
    # The row of 32 nm (log(32/28) = 0.134 against log(28/22) = 0.241).
    assert isclose(other.pj, 4.65658)
    assert (other.tier, "asked: 28 nm" in other.source) == ("default", True)


def test_partitions_belong_to_the_capacity() -> None:
    whole = sram_price(65, memory(1024, 64), "read")
    parts = sram_price(65, memory(0, 64, partitions={"weight": 8192}), "read")
    assert parts == whole


def test_dram_is_the_middle_of_the_published_range() -> None:
    # 1.3 to 2.6 nJ per 64 bits: 1950 pJ; a word of 16 bits costs a quarter.
    price = default_price(accelerator(45), memory(None, 16), "write")
    assert (price.pj, price.width_bits, price.tier) == (487.5, 16, "default")


@pytest.mark.parametrize(
    ("bits", "node", "mac", "add"),
    [
        # 45 nm, 32 bits: 3.1 + 2 * 0.1 (the adder is 64 bits wide); the add alone 0.1.
        (32, 45, 3.3, 0.1),
        # 16 bits: 3.1/4 + 0.1; half the add.
        (16, 45, 0.875, 0.05),
        # 8 bits at 90 nm: twice (3.1/16 + 0.05) = 0.4875; twice 0.025.
        (8, 90, 0.4875, 0.05),
    ],
)
def test_arithmetic_by_width_and_node(bits: int, node: float, mac: float, add: float) -> None:
    there = accelerator(node, bits)
    assert isclose(default_price(there, there.compute, "mac").pj, mac)
    assert isclose(default_price(there, there.compute, "op").pj, add)
    assert default_price(there, there.compute, "mac").width_bits is None


def test_a_transfer_is_two_macs_of_sixteen_bits() -> None:
    there = accelerator(45, 8)
    price = default_price(there, Array("x", (Axis("x", 2),)), "transfer")
    assert (price.pj, price.width_bits, price.tier) == (1.75, 16, "default")
