"""Our nouns in AccelForge's words and back: an accelerator and a layer as its YAML, mappings both ways."""

from collections.abc import Iterator
from typing import Any

from energysim.hardware.accelerator import Accelerator, Array, EnergyTable, Memory
from energysim.mapping.nest import Loop, Mapping, Storage
from energysim.workload.layer import Layer, Rank

Node = list[Any]
"""A node of AccelForge's mapping as bench.accelforge_layer reads and writes it."""


def specification(layer: Layer, accelerator: Accelerator, table: EnergyTable, min_usage: float = 0.0) -> str:
    """AccelForge's YAML of a layer on an accelerator; energies in pJ.

    Raises ValueError for what it cannot say: partitions, forwarding, a price of the array, of one tensor alone or of
    idle time, tensors of several widths. `min_usage`: the least share of every axis that AccelForge may use.
    """
    widths = {bits for tensor in layer.tensors for bits in (tensor.bits, tensor.partial_bits or tensor.bits)}
    if len(widths) != 1 or table.idle_power_w:
        raise ValueError(f"layer '{layer.name}' on {accelerator.name}: one width for all tensors and no idle power")
    nodes = [_level(layer, level, table, min_usage) for level in accelerator.levels]
    mac = _price(table, accelerator.compute.name, layer.unit)[0]
    tensors = ", ".join(f"{tensor.name}: {tensor.name}" for tensor in layer.tensors)
    bounds = [f"      - 0 <= {d.lower()} < {n}" for d, n in layer.dims.items() if n > 1]
    return "\n".join(
        [
            "arch:",
            "  nodes:",
            *nodes,
            "  - !Compute",
            f"    name: {accelerator.compute.name}",
            "    leak_power: 0",
            "    area: 0",
            "    actions:",
            f"    - {{name: compute, energy: {mac}, throughput: 1}}",
            "workload:",
            f"  bits_per_value: {{All: {widths.pop()}}}",
            "  einsums:",
            f'  - einsum: "{_einsum(layer)}"',
            "    iteration_space_shape:",
            *bounds,
            f"    renames: {{{tensors}}}",
            "",
        ]
    )


def _price(table: EnergyTable, component: str, action: str) -> tuple[float, int | None]:
    """pJ and width of one action, alike for all tensors."""
    price = table.price(component, action, "*")
    if price is None or any(key[:2] == (component, action) and key[2] != "*" for key in table.prices):
        raise ValueError(f"{component} {action}: one price for all tensors is needed")
    return price.pj, price.width_bits


def _level(layer: Layer, level: Memory | Array, table: EnergyTable, min_usage: float) -> str:
    if isinstance(level, Array):
        if _price(table, level.name, "transfer")[0] or level.forwarding:
            raise ValueError(f"{level.name}: no price and no forwarding in AccelForge")
        reusable = {
            t.name for t in layer.tensors if t.role in level.multicast or (t.role == "output" and level.reduction)
        }
        lines = ["  - !Container", f"    name: {level.name}", "    spatial:"]
        for axis in level.axes:
            kept = [t.name for t in layer.tensors if axis.dims is not None and not axis.dims & t.dims]
            if axis.dims is not None and len(kept) != 1:
                raise ValueError(f"{level.name}.{axis.name}: its dims must be those irrelevant to one tensor")
            must = f", reuse: {kept[0]}" if kept else ""
            may = " | ".join(sorted(reusable)) or "Nothing"
            lines.append(
                f"    - {{name: {axis.name}, fanout: {axis.size}, may_reuse: {may}, min_usage: {min_usage}{must}}}"
            )
        return "\n".join(lines)
    if level.partitions or level.codings:
        raise ValueError(f"{level.name}: partitions and codings are not AccelForge's")
    kept = [t.name for t in layer.tensors if t.role in level.keeps - level.bypassable]
    may = [t.name for t in layer.tensors if t.role in level.bypassable]
    lines = [
        "  - !Memory",
        f"    name: {level.name}",
        f"    size: {'inf' if level.capacity_bits is None else level.capacity_bits}",
        "    leak_power: 0",
        "    area: 0",
        "    actions:",
    ]
    for action in ("read", "write"):
        pj, width = _price(table, level.name, action)
        lines.append(f"    - {{name: {action}, energy: {pj}, bits_per_action: {width}, throughput: inf}}")
    tensors = f"keep: {' | '.join(kept) or 'Nothing'}" + (f", may_keep: {' | '.join(may)}" if may else "")
    return "\n".join([*lines, f"    tensors: {{{tensors}}}"])


def _einsum(layer: Layer) -> str:
    """The layer as one line of algebra, dims of one step left out."""

    def index(rank: Rank) -> str:
        terms = [(d, factor) for d, factor in rank.terms if layer.dims[d] > 1]
        if len(terms) < 2:
            # a strided index without a window touches as many words as it has positions
            return "".join(d.lower() for d, _ in terms)
        return f"{rank.name}: " + " + ".join(d.lower() + (f" * {u}" if u > 1 else "") for d, u in terms)

    def access(name: str) -> str:
        tensor = next(t for t in layer.tensors if t.name == name)
        return f"{name}[{', '.join(filter(None, map(index, tensor.ranks)))}]"

    inputs = " * ".join(access(t.name) for t in layer.tensors if t.role != "output")
    return f"{access(layer.output.name)} = {inputs}"


def outward(layer: Layer, accelerator: Accelerator, mapping: Mapping, swap: bool = False) -> Mapping:
    """The same mapping with its marks where AccelForge's model sees what they save.

    There a loop right outside a mark fetches anew even if it does not move the tensor, so marks go out past such loops;
    and a window slides only along the one loop right inside its mark, of which the memory holds one step: past a loop
    that moves a window marks go out once. Where a mark stands right inside loops of an array, those go out with it;
    past a temporal loop of a dim they spread only with `swap`, which makes it another mapping.
    """
    tensors = {tensor.name: tensor for tensor in layer.tensors}
    outermost = accelerator.memories[0].name
    nest = [item for item in mapping.nest if isinstance(item, Storage) or item.bound > 1]
    slid: set[Storage] = set()

    def leaves(mark: Storage, loop: Loop) -> bool:
        return mark not in slid and mark.memory != outermost and loop.dim not in tensors[mark.tensor].dims

    def slides(mark: Storage, loop: Loop) -> bool:
        ranks = tensors[mark.tensor].ranks
        window = any(loop.dim in r.dims and sum(layer.dims[d] > 1 for d in r.dims) > 1 for r in ranks)
        return mark not in slid and mark.memory != outermost and window

    for rule in (leaves, slides):
        moved = True
        while moved:
            moved = False
            for i, above in enumerate(nest):
                if not isinstance(above, Loop) or above.axis is not None:
                    continue
                spread, end = _group(nest, i + 1)
                if not swap and any(isinstance(x, Loop) and x.dim == above.dim for x in nest[i + 1 : spread]):
                    continue
                going = [x for x in nest[spread:end] if isinstance(x, Storage) and rule(x, above)]
                if going:
                    slid |= set(going) if rule is slides else set()
                    staying = [item for item in nest[spread:end] if item not in going]
                    nest[i:end] = [*nest[i + 1 : spread], *going, above, *staying]
                    moved = True
                    break
    return Mapping(tuple(nest))


def forms(layer: Layer, accelerator: Accelerator, mapping: Mapping) -> Iterator[Mapping]:
    """Mappings among which AccelForge's model may see what ours saves; the caller keeps those that cost us the same.

    What stays in an array while loops outside a buffer's marks run is not seen there: the marks are moved out of them.
    """
    for swap in (False, True):
        form = outward(layer, accelerator, mapping, swap)
        while True:
            yield form
            nest = list(form.nest)
            spatial = next((i for i, x in enumerate(nest) if isinstance(x, Loop) and x.axis is not None), 0)
            first = spatial
            while first and isinstance(nest[first - 1], Storage):
                first -= 1
            if not first or first == spatial:
                break
            nest[first - 1 : spatial] = [*nest[first:spatial], nest[first - 1]]
            form = outward(layer, accelerator, Mapping(tuple(nest)), swap)


def _group(nest: list[Loop | Storage], start: int) -> tuple[int, int]:
    """Where the spatial loops that begin at `start` end, and where the marks after them end."""
    spread = start
    while spread < len(nest) and (item := nest[spread]) and isinstance(item, Loop) and item.axis is not None:
        spread += 1
    end = spread
    while end < len(nest) and isinstance(nest[end], Storage):
        end += 1
    return spread, end


def inward(layer: Layer, accelerator: Accelerator, mapping: Mapping) -> Mapping:
    """The mapping with marks past the loops inside them of which AccelForge's memory holds one step at a time.

    These are loops that move the tensor: any number that move it whole, then one that slides its window. Tiles shrink;
    we move no more words unless the tensor stayed while loops further out advanced.
    """
    tensors = {tensor.name: tensor for tensor in layer.tensors}
    nest = list(mapping.nest)
    marks = [x for x in nest if isinstance(x, Storage) and x.memory != accelerator.memories[0].name]
    for mark in reversed(marks):
        while True:
            i = nest.index(mark)
            at = next((j for j in range(i + 1, len(nest)) if isinstance(nest[j], Loop)), None)
            loop = nest[at] if at is not None else None
            if not isinstance(loop, Loop) or loop.axis is not None:
                break
            rank = next((r for r in tensors[mark.tensor].ranks if loop.dim in r.dims), None)
            if rank is None:
                break
            nest.insert(at or 0, nest.pop(i))
            if sum(layer.dims[d] > 1 for d in rank.dims) > 1:
                break
    return Mapping(tuple(nest))


def to_nodes(layer: Layer, mapping: Mapping) -> list[Node]:
    """A mapping of ours as AccelForge's nodes."""
    left = dict(layer.dims)
    nodes: list[Node] = []
    for item in mapping.nest:
        if isinstance(item, Storage):
            nodes.append(["storage", item.memory, item.tensor])
        elif item.bound > 1:
            left[item.dim] = -(-left[item.dim] // item.bound)
            if item.axis is None:
                nodes.append(["temporal", item.dim.lower(), left[item.dim]])
            else:
                array, axis = item.axis.rsplit(".", 1)
                nodes.append(["spatial", item.dim.lower(), left[item.dim], axis, array])
    return nodes


def from_nodes(layer: Layer, nodes: list[Node]) -> Mapping:
    """AccelForge's mapping as ours. Raises ValueError when a tile does not divide the one around it."""
    left = dict(layer.dims)
    nest: list[Loop | Storage] = []
    for kind, *rest in nodes:
        if kind == "storage":
            nest.append(Storage(rest[0], rest[1]))
            continue
        dim, tile = rest[0].upper(), rest[1]
        bound = left[dim] // tile
        if bound * tile != left[dim]:
            raise ValueError(f"layer '{layer.name}': tile {tile} of {dim} does not divide {left[dim]}")
        left[dim] = tile
        if bound > 1:
            nest.append(Loop(dim, bound, f"{rest[3]}.{rest[2]}" if kind == "spatial" else None))
    return Mapping(tuple(nest))
