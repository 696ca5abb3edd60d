"""Any accelerator that can be described comes back from its own YAML: hierarchies of one to seven levels."""

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from energysim.errors import InputError
from energysim.hardware.accelerator import TIERS, Accelerator, Array, Axis, Compute, EnergyTable, Memory, Price
from energysim.hardware.describe import hierarchy_rows
from energysim.hardware.fields import CODINGS, DIMS, ROLES
from energysim.hardware.read import DescribedAccelerator, parse_accelerator, read_accelerator, to_yaml
from energysim.yaml_nodes import parse

roles = st.frozensets(st.sampled_from(ROLES))
positive = st.floats(1e-9, 1e12) | st.integers(1, 10**9).map(float)
bandwidth = st.none() | positive
citations = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
prices = st.builds(Price, positive, citations, st.sampled_from(TIERS), st.none() | st.integers(1, 512))


def by_role(kept: frozenset[str], values: st.SearchStrategy[object]) -> st.SearchStrategy[Mapping[str, object]]:
    return st.dictionaries(st.sampled_from(sorted(kept)), values, max_size=3)


@st.composite
def memories(draw: st.DrawFn, name: str, outermost: bool) -> Memory:
    kept = frozenset(ROLES) if outermost else draw(roles.filter(bool))
    partitions = draw(by_role(kept, st.integers(1, 10**6)))
    rest = 0 if set(partitions) == kept else 1
    return Memory(
        name=name,
        capacity_bits=draw(st.none() | st.integers(rest, 10**9).filter(lambda bits: bits or partitions)),
        keeps=kept,
        word_bits=draw(st.integers(1, 4096)),
        partitions=partitions,  # type: ignore[arg-type]
        bypassable=frozenset() if outermost else draw(st.frozensets(st.sampled_from(sorted(kept)))),
        read_bits_per_cycle=draw(bandwidth),
        write_bits_per_cycle=draw(bandwidth),
        shared_port=draw(st.booleans()),
        codings=draw(by_role(kept, st.sampled_from(CODINGS))),  # type: ignore[arg-type]
    )


@st.composite
def arrays(draw: st.DrawFn, name: str) -> Array:
    dims = st.none() | st.frozensets(st.sampled_from(DIMS))
    names = draw(st.lists(st.sampled_from(["x", "y", "row"]), min_size=1, unique=True))
    axes = tuple(Axis(axis, draw(st.integers(1, 1024)), draw(dims)) for axis in names)
    return Array(name, axes, draw(roles), draw(roles), draw(st.booleans()))


@st.composite
def described(draw: st.DrawFn) -> DescribedAccelerator:
    levels: list[Memory | Array] = [draw(memories("outer", True))]
    for i, is_memory in enumerate(draw(st.lists(st.booleans(), max_size=6))):
        levels.append(draw(memories(f"level_{i}", False) if is_memory else arrays(f"level_{i}")))
    compute = Compute("mac", draw(roles) - {"output"}, draw(st.none() | st.integers(1, 64)))
    table: dict[tuple[str, str, str], Price] = {}
    for level in levels:
        for action in ("read", "write") if isinstance(level, Memory) else ("transfer",):
            table[level.name, action, "*"] = draw(prices)
            if isinstance(level, Memory) and draw(st.booleans()):
                table[level.name, action, draw(st.sampled_from(sorted(level.keeps)))] = draw(prices)
    for action in ("mac", "op", "gated"):
        price = draw(prices)
        table["mac", action, "*"] = Price(price.pj, price.source, price.tier)
    idle = draw(st.just(0.0) | positive), draw(citations), draw(st.sampled_from(TIERS))
    accelerator = Accelerator(
        "made_up", draw(citations), tuple(levels), compute, draw(positive), draw(st.none() | positive)
    )
    return DescribedAccelerator(accelerator, EnergyTable(table, *idle))


@settings(derandomize=True, deadline=None, max_examples=120)
@given(described())
def test_what_is_written_reads_back_as_the_same(first: DescribedAccelerator) -> None:
    text = to_yaml(first)
    again = parse_accelerator(parse(text, "resolved.yaml"), "other")
    assert again.accelerator == first.accelerator
    assert again.table == first.table
    assert to_yaml(again) == text
    assert len(hierarchy_rows(first)) == len(first.accelerator.levels) + 1


def test_a_price_that_no_file_can_hold_is_not_dropped_silently() -> None:
    first = read_accelerator("one_mac")
    price = Price(1.0, "test", "table")
    table = EnergyTable({**first.table.prices, ("memory", "refresh", "*"): price}, 0.0, "test", "table")
    with pytest.raises(InputError, match=r"one_mac: a file has no place for the price of memory, refresh, \*"):
        to_yaml(DescribedAccelerator(first.accelerator, table))
