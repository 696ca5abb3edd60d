"""A mapping as a YAML file of ours, and back: one line per storage mark or loop of the nest, outermost first."""

from pathlib import Path
from typing import Any

from energysim.errors import MappingError, nearest
from energysim.hardware.accelerator import Accelerator
from energysim.mapping.nest import Loop, Mapping, Storage, problems
from energysim.workload.layer import DIMS, Layer
from energysim.yaml_fields import Field, Fields, Integer, ListOf, Record, Tagged, Text, read_fields
from energysim.yaml_nodes import Problems, flow_style, load, shown

LOOP = Record(
    "loop",
    {
        "dim": Field(Text(choices=DIMS), "loop dimension"),
        "bound": Field(Integer(1), "steps, or instances where it is spread"),
        "axis": Field(Text(), "ARRAY.AXIS to spread it on; without it the loop is temporal", None),
    },
)
MARK = Record("mark", {"memory": Field(Text(), "memory that holds"), "tensor": Field(Text(), "tensor that is held")})
MAPPING = Record(
    "mapping",
    {"nest": Field(ListOf(Tagged({"memory": MARK, "dim": LOOP}), 1), "marks and loops, outermost first")},
)


def to_yaml(mapping: Mapping) -> str:
    """YAML text that `read_mapping` reads back as the equal mapping."""
    return "nest:\n" + "".join(f"  - {flow_style(_plain(item))}\n" for item in mapping.nest)


def _plain(item: Loop | Storage) -> dict[str, Any]:
    if isinstance(item, Storage):
        return {"memory": item.memory, "tensor": item.tensor}
    return {"dim": item.dim, "bound": item.bound} | ({"axis": item.axis} if item.axis is not None else {})


def read_mapping(path: str | Path, layer: Layer, accelerator: Accelerator) -> Mapping:
    """The mapping of a layer on an accelerator in a YAML file.

    Raises InputError with file and line for each mistake and unknown name, MappingError, a line for each reason, when
    the mapping is not legal.
    """
    fields = read_fields(load(path), MAPPING)
    names = {
        "memory": [memory.name for memory in accelerator.memories],
        "tensor": [tensor.name for tensor in layer.tensors],
        "axis": [f"{array.name}.{axis.name}" for array in accelerator.arrays for axis in array.axes],
    }
    wrong = Problems(fields.node.file)
    for item in fields["nest"]:
        for what, known in names.items():
            _check_name(item, what, known, wrong)
    wrong.check()
    mapping = Mapping(tuple(Storage(**item) if "memory" in item else Loop(**item) for item in fields["nest"]))
    reasons = problems(layer, accelerator, mapping)
    if reasons:
        where = f"{fields.node.file}: layer '{shown(layer.name)}' on {accelerator.name}"
        raise MappingError("\n".join(f"{where}: {reason}" for reason in reasons))
    return mapping


def _check_name(item: Fields, what: str, known: list[str], wrong: Problems) -> None:
    name = item.get(what)
    if name is not None and name not in known:
        hint = nearest(name[:100], known) or f"; known: {', '.join(known) or 'none'}"
        wrong.add(item.at(what), f"unknown {what} '{shown(name)}'{hint}")
