"""What readers of other tools' YAML ask of its nodes: mappings, lists and integers, or one line with file and line."""

from typing import Any

from energysim.errors import ModelReadError
from energysim.yaml_nodes import Node

MOST_SIZE = 1 << 31
"""Of one loop or coefficient."""


def mapping(node: Node) -> dict[str, Node]:
    """The fields of a mapping; raises ModelReadError for anything else."""
    if not isinstance(node.value, dict):
        raise wrong(node, "expected a mapping")
    return node.value


def field(node: Node, name: str) -> Node:
    """A field of a mapping; raises ModelReadError where it is missing."""
    if not isinstance(node.value, dict):
        raise wrong(node, f"expected a mapping with '{name}'")
    if name not in node.value:
        raise wrong(node, f"'{name}' is missing")
    return node[name]


def items(node: Node) -> list[Node]:
    """The items of a list; raises ModelReadError for anything else."""
    if not isinstance(node.value, list):
        raise wrong(node, "expected a list")
    return node.value


def integer(node: Node, least: int) -> int:
    """An integer from `least` to MOST_SIZE; raises ModelReadError for anything else."""
    value: Any = node.value
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MOST_SIZE:
        raise wrong(node, f"expected an integer of at least {least}")
    return int(value)


def wrong(node: Node, what: str) -> ModelReadError:
    """The error that says where in a file what is wrong."""
    return ModelReadError(f"{node.file}:{node.line}: {what}")
