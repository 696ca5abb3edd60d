"""Sequences and optionals of ONNX graphs: lists of values that are put together and taken apart, all free."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from energysim.workload.onnx_types import FOLLOWED_ELEMENTS, Value, nobody
from energysim.workload.onnx_values import MOVES, Applied
from energysim.workload.torch_operations import words

SEQUENCES = words(
    "SequenceConstruct SequenceEmpty SequenceAt SequenceInsert SequenceErase SequenceLength SplitToSequence "
    "ConcatFromSequence Optional OptionalGetElement OptionalHasElement ZipMap CastMap"
)


MOST_ITEMS = 1 << 16


def sequence_results(
    op: str, outputs: Sequence[str], inputs: Sequence[Value | None], attributes: Mapping[str, Any]
) -> Iterator[tuple[str, Value]]:
    """The results of an operation on sequences, by name; what is not known of them is left open."""
    name = outputs[0] if outputs else ""
    first = inputs[0] if inputs else None
    items = first.items if first is not None else None
    if op in ("SequenceConstruct", "SequenceEmpty"):
        yield name, _sequence(name, tuple(each for each in inputs if each is not None) if op[8] == "C" else ())
    elif op == "SequenceAt":
        yield name, _element(name, items, _place(inputs, 1))
    elif op == "SequenceInsert" and items is not None and len(inputs) > 1 and inputs[1] is not None:
        place = _place(inputs, 2)
        at = len(items) if place is None else place
        yield name, _sequence(name, (*items[:at], inputs[1], *items[at:]))
    elif op == "SequenceErase" and items:
        place = _place(inputs, 1)
        at = (len(items) - 1 if place is None else place) % len(items)
        yield name, _sequence(name, items[:at] + items[at + 1 :])
    elif op in ("SequenceLength", "OptionalHasElement"):
        known = None if items is None else len(items) if op[0] == "S" else True
        yield name, Value(name, (), 7 if op[0] == "S" else 9, frozenset(), None if known is None else np.asarray(known))
    elif op == "SplitToSequence" and first is not None and first.shape is not None:
        yield name, _sequence(name, tuple(_split(first, inputs, attributes)))
    elif op == "ConcatFromSequence" and items and all(each.shape is not None for each in items):
        yield name, _concatenated(name, items, attributes)
    elif op in ("Optional", "OptionalGetElement") and first is not None:
        yield name, first
    else:
        yield name, Value(name)


def _sequence(name: str, items: tuple[Value, ...]) -> Value:
    stored = frozenset[str]() if all(each.stored is not None for each in items) else None
    return Value(name, None, items[0].element_type if items else 1, stored, items=items)


def _place(inputs: Sequence[Value | None], at: int) -> int | None:
    given = inputs[at] if at < len(inputs) else None
    return None if given is None or given.data is None else int(np.reshape(given.data, -1)[0])


def _element(name: str, items: tuple[Value, ...] | None, place: int | None) -> Value:
    """An element; where it is not known which, one that all are like."""
    if not items:
        return Value(name)
    return items[place % len(items)] if place is not None else items[0]


def _split(first: Value, inputs: Sequence[Value | None], attributes: Mapping[str, Any]) -> Iterator[Value]:
    shape, axis = first.shape or (), attributes.get("axis", 0)
    given = inputs[1].data if len(inputs) > 1 and inputs[1] is not None else None
    axis %= max(1, len(shape))
    if given is None and shape[axis] > MOST_ITEMS:
        raise ValueError(f"a sequence of {shape[axis]:,} items; at most {MOST_ITEMS:,}")
    if given is None:
        sizes = [1] * shape[axis]
    elif given.ndim:
        sizes = [int(each) for each in given]
    else:
        whole, part = shape[axis], max(1, int(given), shape[axis] // MOST_ITEMS)
        sizes = [part] * (whole // part) + ([whole % part] if whole % part else [])
    keeps = given is not None or attributes.get("keepdims", 1)
    if len(sizes) > MOST_ITEMS:
        raise ValueError(f"a sequence of {len(sizes):,} items; at most {MOST_ITEMS:,}")
    for i, size in enumerate(sizes):
        kept = (*shape[:axis], *((size,) if keeps else ()), *shape[axis + 1 :])
        number = 0 if first.owner is None else int(first.owner.flat[0]) if first.owner.size else 0
        owner = None if first.stored is not None else nobody(kept, number)
        yield Value(f"{first.name}.{i}", kept, first.element_type, first.stored, owner=owner, bits=first.bits)


def _concatenated(name: str, items: tuple[Value, ...], attributes: Mapping[str, Any]) -> Value:
    axis = attributes.get("axis", 0)
    if sum(each.elements for each in items) > FOLLOWED_ELEMENTS:
        raise ValueError("a sequence too large to be put together")
    owners = [each.owner if each.owner is not None else nobody(each.shape or ()) for each in items]
    if attributes.get("new_axis", 0):
        owners = [np.expand_dims(owner, axis) for owner in owners]
    joined = MOVES["Concat"](Applied("Concat", {"axis": axis}, owners, 1, 13))[0]
    stored = frozenset[str]() if all(each.stored is not None for each in items) else None
    return Value(name, joined.shape, items[0].element_type, stored, owner=None if stored is not None else joined)
