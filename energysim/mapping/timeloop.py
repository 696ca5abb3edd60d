"""A mapping in the notation of Timeloop 0.4: a list of directives, each with a target and a type.

Types `temporal` and `spatial` carry `factors` ("P=2", one for each dim; "P=4,3" where the last of the outer steps takes
three) and `permutation` (innermost first; the first
`split` loops of a spatial directive lie on the X axis, the others on Y); type `dataspace` carries `keep` and `bypass`.
Sources: timeloop.csail.mit.edu, input formats, mapping (order of loops); timeloopfe, v4/constraints.py (types, lists);
Timeloop, mapping/parser.cpp (residual factors: bounds b and residuals r make ((r3-1) b2 + r2-1) b1 + r1 points).
"""

from collections.abc import Mapping as Map
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from energysim.errors import MappingError
from energysim.hardware.accelerator import Accelerator, Array, Memory
from energysim.mapping.nest import Loop, Mapping, Storage
from energysim.workload.layer import DIMS, Layer
from energysim.yaml_nodes import flow_style


def to_timeloop(layer: Layer, accelerator: Accelerator, mapping: Mapping) -> str:
    """YAML text of a legal mapping; targets, dims and tensors have our names, arrays are targets of spatial directives.

    Raises MappingError, in one line, for what it cannot say: uneven mappings, a dim in two loops of one target.
    """
    # loops are told apart by identity
    mapping = Mapping(tuple(replace(item) for item in mapping.nest))
    residuals = _residuals(layer, mapping)
    blocks = _blocks(layer, accelerator, mapping)
    directives: list[dict[str, Any]] = []
    for level in accelerator.levels:
        if isinstance(level, Memory):
            kept = [t.name for t in layer.tensors if level.name in mapping.keepers(t.name)]
            passing = [t.name for t in layer.tensors if t.name not in kept]
            directives.append({"target": level.name, "type": "dataspace", "keep": kept, "bypass": passing})
            order = list(reversed(blocks[level.name]))
            directives.append({"target": level.name, "type": "temporal", **_loops(layer, level.name, order, residuals)})
        else:
            order, split = _axes(layer, level, blocks[level.name])
            directives.append(
                {"target": level.name, "type": "spatial", **_loops(layer, level.name, order, residuals, split)}
            )
    return "mapping:\n" + "".join(f"  - {flow_style(each)}\n" for each in directives)


def _blocks(layer: Layer, accelerator: Accelerator, mapping: Mapping) -> dict[str, list[Loop]]:
    """The loops of each level, outermost first."""
    rank = {level.name: i for i, level in enumerate(accelerator.levels)}
    blocks: dict[str, list[Loop]] = {name: [] for name in rank}
    depths: dict[str, int] = {}
    depth, here = 0, accelerator.levels[0].name
    for item in mapping.nest:
        if isinstance(item, Storage):
            deepest = max(depths.values(), default=0)
            if depths.setdefault(item.memory, depth) != depth or (rank[item.memory] < rank[here] and deepest < depth):
                raise _unsayable(layer, f"tensors are not all held from one depth in {item.memory}: uneven")
            here = max(here, item.memory, key=rank.__getitem__)
        elif item.bound > 1:
            if item.axis is not None:
                here = item.axis.rsplit(".", 1)[0]
            elif isinstance(accelerator.levels[rank[here]], Array):
                raise _unsayable(layer, f"a loop over {item.dim} runs inside {here} and outside all memories below it")
            blocks[here].append(item)
            depth += 1
    return blocks


def _residuals(layer: Layer, mapping: Mapping) -> dict[int, int]:
    """Loop (by identity) to the steps that it takes when all loops outside it are in their last one."""
    found: dict[int, int] = {}
    for dim, size in layer.dims.items():
        left = size - 1
        for loop in reversed([loop for loop in mapping.loops if loop.dim == dim]):
            found[id(loop)] = left % loop.bound + 1
            left //= loop.bound
    return found


def _axes(layer: Layer, array: Array, loops: Sequence[Loop]) -> tuple[list[Loop], int]:
    """Loops by axis, those of the first one in front, each axis innermost first; and how many are on the first."""
    by_axis = [[x for x in reversed(loops) if x.axis == f"{array.name}.{axis.name}"] for axis in array.axes]
    if sum(map(bool, by_axis[2:])):
        raise _unsayable(layer, f"{array.name} is spread on more than two axes")
    return [loop for on in by_axis for loop in on], len(by_axis[0])


def _loops(
    layer: Layer, target: str, inner_first: Sequence[Loop], residuals: Map[int, int], split: int | None = None
) -> dict[str, Any]:
    """Factors and permutation: dims without a loop have factor 1 and stand outermost."""
    dims = [loop.dim for loop in inner_first]
    for dim in dims:
        if dims.count(dim) > 1:
            raise _unsayable(layer, f"{target} has two loops over {dim}")
    bounds = {loop.dim: f"{loop.bound}" for loop in inner_first}
    # a residual that says nothing new is left out
    bounds |= {x.dim: f"{x.bound},{residuals[id(x)]}" for x in inner_first if residuals[id(x)] != x.bound}
    rest = [dim for dim in DIMS if dim not in bounds]
    said: dict[str, Any] = {"factors": [f"{dim}={bounds.get(dim, 1)}" for dim in DIMS], "permutation": [*dims, *rest]}
    return said | ({"split": split} if split is not None else {})


def _unsayable(layer: Layer, why: str) -> MappingError:
    return MappingError(f"layer '{layer.name}': Timeloop's notation cannot say this mapping: {why}")
