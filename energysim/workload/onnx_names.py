"""Names of layers that come from ONNX graphs: module paths, as PyTorch has them."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from energysim.workload.graph import clean_name

if TYPE_CHECKING:
    import onnx

ENDINGS = frozenset({"weight", "bias", "kernel", "scale", "gamma", "beta", "W", "B", "R"})
"""What names of trained tensors end in, after the path of their module."""


LONGEST = 4096


class NameGiver:
    """Gives each layer a name of its own."""

    def __init__(self) -> None:
        """No name is taken yet."""
        self.taken: set[str] = set()
        self.parents: set[str] = set()

    def hear(self, nodes: "Iterable[onnx.NodeProto]") -> None:
        """Take note of which modules have others inside."""
        for node in nodes:
            parts = (node_path(node.name, node.op_type) or scope_of(node)).split(".")
            self.parents.update(".".join(parts[:i]) for i in range(1, len(parts)))

    def name(self, node_name: str, result: str, op: str, trained: Iterable[str], scope: str = "") -> str:
        """The module that called the node (and the op, where it has modules inside), or whose weights it uses."""
        used = list(trained)
        owners = {path for each in used if (path := module_path(each))}
        path = node_path(node_name, op) or ("" if len(owners) == 1 else scope)
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


def scope_of(node: "onnx.NodeProto") -> str:
    """The module path that PyTorch's newer exporter writes beside a node; empty where there is none."""
    for entry in node.metadata_props:
        if entry.key == "pkg.torch.onnx.name_scopes" and isinstance(entry.value, str) and len(entry.value) < LONGEST:
            scopes = re.findall(r"'([^']*)'", entry.value)
            return clean_name(scopes[-2]) if len(scopes) > 1 and scopes[-2] else ""
    return ""


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
