"""Names of layers that come from ONNX graphs: module paths, as PyTorch has them."""

import re
from collections.abc import Iterable

from energysim.workload.graph import clean_name

ENDINGS = frozenset({"weight", "bias", "kernel", "scale", "gamma", "beta", "W", "B", "R"})
"""What names of trained tensors end in, after the path of their module."""


class NameGiver:
    """Gives each layer a name of its own."""

    def __init__(self) -> None:
        """No name is taken yet."""
        self.taken: set[str] = set()
        self.parents: set[str] = set()

    def hear(self, names_and_ops: Iterable[tuple[str, str]]) -> None:
        """Take note of which modules have others inside."""
        for name, op in names_and_ops:
            parts = node_path(name, op).split(".")
            self.parents.update(".".join(parts[:i]) for i in range(1, len(parts)))

    def name(self, node_name: str, result: str, op: str, trained: Iterable[str]) -> str:
        """The module that called the node (and the op, where it has modules inside), or whose weights it uses."""
        used = list(trained)
        owners = {path for each in used if (path := module_path(each))}
        path = node_path(node_name, op)
        if path and (not used or not owners):
            label = f"{path}.{_lower(op)}" if path in self.parents and not used else path
        elif path and any(owner == path or owner.endswith("." + path) for owner in owners):
            label = next(owner for owner in sorted(owners) if owner == path or owner.endswith("." + path))
        else:
            label = path or (owners.pop() if len(owners) == 1 else clean_name(node_name or result or op))
        unique, count = label, 2
        while unique in self.taken:
            unique, count = f"{label}_{count}", count + 1
        self.taken.add(unique)
        return unique


def _lower(op: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", clean_name(op)).lower()


def module_path(trained: str) -> str:
    """`layer1.0.conv1` of `layer1.0.conv1.weight`; empty for a name that is no path."""
    path, _, ending = clean_name(trained).rpartition(".")
    return path if ending in ENDINGS else ""


def node_path(name: str, op: str) -> str:
    """`layer1.0.conv1` of `/layer1/layer1.0/conv1/Conv`; empty for a name that is no scope."""
    if not name.startswith("/"):
        return ""
    parts = clean_name(name).strip("/").split("/")
    if re.fullmatch(re.escape(op) + r"(_\d+)?", parts[-1]):
        parts.pop()
    path: list[str] = []
    for part in parts:
        if path and part.startswith(path[-1] + "."):
            path[-1] = part
        else:
            path.append(part)
    return ".".join(path)
