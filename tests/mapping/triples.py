"""Random small (layer, accelerator, mapping) triples that cover every option of counting; drawn through hypothesis."""

from hypothesis import strategies as st

from energysim.hardware.accelerator import Accelerator, Array, Axis, Compute, Memory
from energysim.mapping.nest import Loop, Mapping, Storage
from energysim.workload.layer import DIMS, ROLES, Layer, Rank, Tensor, convolution

Draw = st.DrawFn


def _plain(*dims: str) -> tuple[Rank, ...]:
    return tuple(Rank(d, ((d, 1),)) for d in dims)


@st.composite
def layers(draw: Draw, most: int = 5, most_points: int = 300) -> Layer:
    """Convolutions (grouped, strided, dilated, transposed), pooling, element-wise with two inputs, a three-dim rank."""
    kind = draw(st.sampled_from(["convolution", "convolution", "transposed", "pooling", "add", "volume"]))
    sizes: dict[str, int] = {}
    points = 1
    for d in (
        draw(st.sampled_from((("P", "R"), ("Q", "S"), ("M", "C"), ("N", "G"), ("D", "T")))),
        draw(st.permutations(DIMS)),
    ):
        for dim in d:
            if dim not in sizes:
                sizes[dim] = draw(st.integers(1, max(1, min(most, most_points // points))))
                points *= sizes[dim]
    if kind in ("convolution", "transposed"):
        stride = tuple(draw(st.integers(1, 3)) for _ in "DPQ")
        dilation = (draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.integers(1, 3)))
        named = {d.lower(): n for d, n in sizes.items()}
        return convolution("layer", **named, stride=stride, dilation=dilation, transposed=kind == "transposed")
    window = Rank("H", (("P", draw(st.integers(1, 3))), ("R", 1)))
    if kind == "pooling":
        sizes |= {"G": 1, "C": 1, "D": 1, "T": 1}
        tensors = (
            Tensor("input", "input", (*_plain("N", "M"), window, Rank("W", (("Q", 2), ("S", 1))))),
            Tensor("output", "output", _plain("N", "M", "P", "Q")),
        )
        return Layer("layer", "pooling", sizes, tensors, unit="op", ops_per_point=draw(st.integers(1, 3)))
    if kind == "add":
        sizes |= {"G": 1, "C": 1, "R": 1, "S": 1, "D": 1, "T": 1}
        tensors = (
            Tensor("input", "input", _plain("N", "M", "P", "Q")),
            Tensor("input_2", "input", _plain("M", "P", "Q")),
            Tensor("output", "output", _plain("N", "M", "P", "Q")),
        )
        return Layer("layer", "add", sizes, tensors, unit="op")
    deep = Rank("D", (("P", 2), ("R", 1), ("Q", 3)))
    tensors = (
        Tensor("weight", "weight", _plain("M", "C", "R", "S", "T")),
        Tensor("input", "input", (*_plain("N", "G", "C", "S", "T"), deep)),
        Tensor("output", "output", _plain("N", "G", "M", "P", "Q", "D")),
    )
    return Layer("layer", "volume", sizes, tensors)


@st.composite
def accelerators(draw: Draw) -> Accelerator:
    """One to four memories, arrays of one or two axes anywhere between, roles that pass by, all ways of sharing."""
    roles = st.sampled_from((ROLES, ROLES, ("weight", "input"), ("input", "output"), ("weight", "output"), ("output",)))
    levels: list[Memory | Array] = [Memory("dram", None, frozenset(ROLES), 16)]
    for i in range(draw(st.sampled_from((0, 1, 1, 2, 2, 3)))):
        if draw(st.sampled_from((True, True, False))):
            levels.append(_array(draw, f"array{i}"))
        levels.append(Memory(f"memory{i}", None, frozenset(draw(roles)), 16))
    if draw(st.booleans()):
        levels.append(_array(draw, "last"))
    return Accelerator("random", "drawn", tuple(levels), Compute(), 1e9)


def _array(draw: Draw, name: str) -> Array:
    roles = st.sampled_from((frozenset({"weight", "input"}), frozenset({"input"}), frozenset[str]()))
    axes = tuple(Axis(axis, draw(st.integers(1, 6))) for axis in "xy"[: draw(st.integers(1, 2))])
    passed = draw(st.sampled_from((frozenset[str](), frozenset({"weight", "input"}))))
    return Array(name, axes, draw(roles), passed, draw(st.booleans()))


@st.composite
def mappings(draw: Draw, layer: Layer, accelerator: Accelerator) -> Mapping:
    """A legal mapping, even or not, with partial last tiles in any loop."""
    room = {f"{a.name}.{x.name}": x.size for a in accelerator.arrays for x in a.axes}
    segments: list[list[Memory]] = [[]]
    for level in accelerator.levels:
        if isinstance(level, Memory):
            segments[-1].append(level)
        else:
            segments.append([])
    places = ["time"] * len(segments)
    spatial: list[list[Loop]] = [[] for _ in segments]
    temporal: list[list[Loop]] = [[] for _ in segments]
    for dim in draw(st.permutations(DIMS)):
        left, inner = layer.dims[dim], 0
        slots: list[tuple[int, str | None]] = []
        for n in range(len(places) - 1, -1, -1):
            slots += [(n, None)] * draw(st.integers(0, 2))
            if n:
                array = accelerator.arrays[n - 1]
                slots += [(n, f"{array.name}.{axis.name}") for axis in array.axes if draw(st.booleans())]
        for n, axis in slots:
            limit = left if axis is None else min(left, room[axis])
            bound = draw(st.sampled_from((1, 2, 2, 3, limit)))
            if bound > limit:
                continue
            if axis is not None:
                room[axis] //= bound
                spatial[n].insert(0, Loop(dim, bound, axis))
            else:
                temporal[n].append(Loop(dim, bound))
            left = -(-left // bound)
        inner += left
        if left > 1:
            temporal[0].append(Loop(dim, left))
    return Mapping(tuple(_assemble(draw, layer, segments, spatial, temporal)))


def _assemble(
    draw: Draw, layer: Layer, segments: list[list[Memory]], spatial: list[list[Loop]], temporal: list[list[Loop]]
) -> list[Loop | Storage]:
    """Put loops and marks in an order that is legal: a dim's loops were drawn innermost first and keep that order."""
    nest: list[Loop | Storage] = []
    for n, memories in enumerate(segments):
        nest += spatial[n]
        nest += [Storage("dram", t.name) for t in layer.tensors] if n == 0 else []
        queues: list[list[Loop | Storage]] = [
            [Storage(m.name, t.name) for m in memories if m.name != "dram" and t.role in m.keeps] for t in layer.tensors
        ]
        queues += [[loop for loop in reversed(temporal[n]) if loop.dim == d] for d in DIMS]
        while any(queues):
            queue = draw(st.sampled_from([q for q in queues if q]))
            nest.append(queue.pop(0))
    return nest


@st.composite
def triples(draw: Draw) -> tuple[Layer, Accelerator, Mapping]:
    """A layer, an accelerator and a legal mapping of the one on the other."""
    layer, accelerator = draw(layers()), draw(accelerators())
    return layer, accelerator, draw(mappings(layer, accelerator))


@st.composite
def halo_triples(draw: Draw) -> tuple[Layer, Accelerator, Mapping]:
    """Sliding windows spread over an array and over time at once: where sharing and reuse meet."""
    sizes = {"p": draw(st.integers(3, 9)), "r": draw(st.integers(1, 4)), "c": draw(st.integers(1, 2)), "q": 1, "m": 1}
    stride, dilation = (draw(st.integers(1, 2)), 1), (draw(st.integers(1, 2)), 1)
    layer = convolution("layer", **sizes, stride=stride, dilation=dilation, transposed=draw(st.booleans()))
    one = frozenset({"input"})
    sharing = draw(st.sampled_from(((one, frozenset[str]()), (one, one), (frozenset[str](), frozenset[str]()))))
    arrays = [Array("outer", (Axis("x", 6), Axis("y", 3)), *sharing), Array("inner", (Axis("x", 3),), one)]
    memories = [Memory(name, None, frozenset(ROLES), 16) for name in ("dram", "buffer", "spad")]
    levels = (memories[0], *draw(st.sampled_from(((memories[1],), ()))), arrays[0], memories[2])
    levels += (arrays[1],) if draw(st.booleans()) else ()
    accelerator = Accelerator("halo", "drawn", levels, Compute(), 1e9)
    spatial = [Loop("P", draw(st.sampled_from((1, 2, 3))), "outer.x"), Loop("R", draw(st.integers(1, 2)), "outer.y")]
    spatial = [loop for loop in spatial if loop.bound <= layer.dims[loop.dim]]
    temporal: list[Loop] = []
    above: list[Loop] = []
    for dim in draw(st.permutations(("P", "R", "C"))):
        tile = draw(st.integers(1, min(2, layer.dims[dim])))
        spread = max((loop.bound for loop in spatial if loop.dim == dim), default=1)
        if (spread - 1) * tile >= layer.dims[dim]:
            tile = 1
        temporal.append(Loop(dim, tile))
        above.append(Loop(dim, -(-layer.dims[dim] // (tile * spread))))
    nest: list[Loop | Storage] = [Storage("dram", t.name) for t in layer.tensors]
    if len(accelerator.memories) == 3:
        nest += [Storage("buffer", t.name) for t in layer.tensors]
    nest += [*draw(st.permutations(above)), *spatial, *(Storage("spad", t.name) for t in layer.tensors), *temporal]
    return layer, accelerator, Mapping(tuple(nest))
