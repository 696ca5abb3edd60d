"""Random tiny layers, hierarchies and prices for the comparison of the search with brute force."""

from dataclasses import replace
from random import Random

from energysim.hardware.accelerator import Accelerator, Array, Axis, Compute, EnergyTable, Memory, Price
from energysim.workload.layer import Layer, Rank, Tensor, convolution

EVERY = frozenset(("weight", "input", "output"))


def random_layer(random: Random, points: int = 200) -> Layer:
    """A convolution, depthwise, matmul, pooling, element-wise or transposed layer of few points."""
    while True:
        kind = random.choice(["conv", "conv", "conv", "matmul", "pool", "add", "grouped", "transposed"])
        small = lambda: random.choice([1, 1, 2, 2, 3, 4, 6])  # noqa: E731
        stride, dilation = (random.choice([1, 1, 2, 3]), random.choice([1, 1, 2])), random.choice([1, 1, 1, 2])
        one = lambda d: Rank(d, ((d, 1),))  # noqa: E731
        if kind == "matmul":
            layer = convolution("layer", n=small(), m=small(), c=small(), p=1, q=1)
        elif kind == "add":
            ranks = tuple(one(d) for d in "NGPQ")
            dims = {"N": small(), "G": small(), "P": small(), "Q": small()}
            tensors = (Tensor("a", "input", ranks), Tensor("b", "input", ranks), Tensor("output", "output", ranks))
            layer = Layer("layer", "add", dims, tensors, unit="op")
        elif kind == "pool":
            window = Rank("H", (("P", stride[0]), ("R", 1)))
            dims = {"G": small(), "P": small(), "Q": small(), "R": small()}
            tensors = (
                Tensor("input", "input", (one("G"), window, one("Q"))),
                Tensor("output", "output", (one("G"), one("P"), one("Q"))),
            )
            layer = Layer("layer", "max_pool", dims, tensors, unit="op")
        else:
            layer = convolution(
                "layer",
                n=random.choice([1, 1, 1, 2]),
                g=small() if kind == "grouped" else 1,
                m=small(),
                c=random.choice([1, 2, 3]),
                p=small(),
                q=random.choice([1, 1, 2, 3]),
                r=random.choice([1, 2, 3]),
                s=random.choice([1, 1, 2, 3]),
                stride=stride,
                dilation=(dilation, dilation),
                transposed=kind == "transposed",
            )
        if 2 <= layer.points <= points and sum(size > 1 for size in layer.dims.values()) <= 4:
            return layer


def random_accelerator(random: Random, memories: int) -> Accelerator:
    """Memories with random capacities, roles, partitions and arrays between them."""
    levels: list[Memory | Array] = [Memory("m0", None, EVERY, 16)]
    arrays = 0
    for i in range(1, memories + 1):
        if arrays < 2 and random.random() < 0.5:
            arrays += 1
            axes = [Axis("x", random.choice([2, 3, 4]))]
            if random.random() < 0.3:
                axes.append(Axis("y", 2, random.choice([None, frozenset("PMR")])))
            multicast = frozenset(r for r in ("weight", "input") if random.random() < 0.8)
            forwarding = frozenset(r for r in sorted(multicast) if random.random() < 0.15)
            levels.append(Array(f"a{i}", tuple(axes), multicast, forwarding, random.random() < 0.8))
        if i == memories:
            break
        keeps = frozenset(r for r in sorted(EVERY) if random.random() < 0.8) or EVERY
        capacity = random.choice([3, 5, 8, 12, 20, 40]) * 16
        parts = {r: random.choice([1, 2, 4, 8]) * 16 for r in sorted(keeps)} if random.random() < 0.3 else {}
        bypassable = frozenset(r for r in sorted(keeps) if random.random() < 0.15)
        levels.append(Memory(f"m{i}", capacity, keeps, 16, parts, bypassable))
    return Accelerator("tiny", "test", tuple(levels), Compute(), 1e9)


def random_prices(random: Random, accelerator: Accelerator) -> EnergyTable:
    """Prices that mostly fall inward, sometimes at random; sometimes idle power."""
    prices = {("mac", action, "compute"): Price(1.0, "test", "table") for action in ("mac", "op")}
    usual = random.random() < 0.6
    for i, memory in enumerate(accelerator.memories):
        for action in ("read", "write"):
            pj = float([200, 6, 1, 0.5][i]) if usual else float(random.randint(1, 30))
            prices[memory.name, action, "*"] = Price(pj, "test", "table", 16)
    for array in accelerator.arrays:
        prices[array.name, "transfer", "*"] = Price(float(random.choice([0, 1, 2])), "test", "table", 16)
    return EnergyTable(prices, idle_power_w=random.choice([0.0, 0.0, 0.01]))


def with_widths(random: Random, layer: Layer) -> Layer:
    """The same layer with random bits for every tensor and partial sums."""
    tensors = []
    for tensor in layer.tensors:
        partial = random.choice([0, 32]) if tensor.role == "output" else 0
        tensors.append(replace(tensor, bits=random.choice([8, 16, 16]), partial_bits=partial))
    return replace(layer, tensors=tuple(tensors))


def with_bandwidths(random: Random, accelerator: Accelerator) -> Accelerator:
    """The same hierarchy with ports that are unlimited, or narrow and shared or not."""
    levels: list[Memory | Array] = []
    for level in accelerator.levels:
        if isinstance(level, Memory):
            rates = [random.choice([None, None, 8.0, 16.0, 24.0, 64.0]) for _ in range(2)]
            shared = random.random() < 0.5
            ports = replace(level, read_bits_per_cycle=rates[0], write_bits_per_cycle=rates[1], shared_port=shared)
            levels.append(ports)
        else:
            levels.append(level)
    return replace(accelerator, levels=tuple(levels))


def with_one_more_array(random: Random, accelerator: Accelerator) -> Accelerator:
    """The same hierarchy with an array right after another one, or at the end where there is none."""
    places = [i for i, level in enumerate(accelerator.levels) if isinstance(level, Array)]
    place = random.choice(places) + 1 if places else len(accelerator.levels)
    multicast = frozenset(r for r in ("weight", "input") if random.random() < 0.6)
    forwarding = frozenset(r for r in ("weight", "input") if random.random() < 0.2)
    array = Array("more", (Axis("z", random.choice([2, 3])),), multicast, forwarding, random.random() < 0.7)
    return replace(accelerator, levels=(*accelerator.levels[:place], array, *accelerator.levels[place:]))


def with_single_instances(random: Random, accelerator: Accelerator) -> Accelerator:
    """The same hierarchy, some of whose axes have one instance only."""
    levels: list[Memory | Array] = []
    for level in accelerator.levels:
        if isinstance(level, Array):
            axes = tuple(replace(axis, size=1) if random.random() < 0.6 else axis for axis in level.axes)
            levels.append(replace(level, axes=axes))
        else:
            levels.append(level)
    return replace(accelerator, levels=tuple(levels))


def random_case(seed: int, points: int = 60) -> tuple[Layer, Accelerator, EnergyTable]:
    """A tiny layer of any width on two or three memories with ports, perhaps arrays in a row, and prices by role."""
    random = Random(seed)
    memories = random.choice([2, 2, 2, 3])
    layer = with_widths(random, random_layer(random, points if memories == 2 else points // 3))
    accelerator = with_bandwidths(random, random_accelerator(random, memories))
    table = random_prices(random, accelerator)
    if random.random() < 0.4:
        accelerator = with_one_more_array(random, accelerator)
    prices = dict(table.prices)
    prices["more", "transfer", "*"] = Price(float(random.choice([0, 1, 2])), "test", "table", 16)
    for array in accelerator.arrays:
        # dear spreading: then speed costs energy, and fronts have more than one point
        if random.random() < 0.4:
            prices[array.name, "transfer", "*"] = Price(float(random.choice([20, 100])), "test", "table", 16)
    for memory in accelerator.memories:
        if random.random() < 0.2:
            key = (memory.name, random.choice(["read", "write"]), random.choice(sorted(EVERY)))
            prices[key] = Price(float(random.randint(0, 30)), "test", "table", 16)
    return layer, accelerator, replace(table, prices=prices, idle_power_w=random.choice([0.0, 0.0, 0.01, 0.3]))


def random_product(seed: int) -> tuple[Layer, Accelerator, EnergyTable]:
    """A matrix product on two memories, where the orders of loops matter most."""
    random = Random(seed)
    m, c, p = (random.choice([2, 3, 4]) for _ in range(3))
    accelerator = random_accelerator(random, 2)
    return convolution("product", m=m, c=c, p=p, q=1), accelerator, random_prices(random, accelerator)


def passing_case(seed: int) -> tuple[Layer, Accelerator, EnergyTable]:
    """A small product or window on three or four memories, with tensors that the outermost hands past others."""
    random = Random(seed)
    sizes = [2, 2, 3, 4] if random.random() < 0.6 else [1, 2, 2]
    m, c, p = (random.choice(sizes) for _ in range(3))
    r = random.choice([1, 2]) if max(sizes) == 2 else 1
    levels: list[Memory | Array] = [Memory("m0", None, EVERY, 16)]
    inner = random.choice([2, 2, 3]) if m * c * p * r <= 8 else 2
    passed = random.choice(sorted(EVERY))
    for i in range(1, inner + 1):
        # passed by always, or in one of the choices
        choice = frozenset([passed]) if i == 1 and random.random() < 0.4 else frozenset[str]()
        keeps = EVERY - {passed} if i < inner and not choice else EVERY
        keeps = frozenset(role for role in sorted(keeps) if random.random() < 0.8) | choice or keeps
        levels.append(Memory(f"m{i}", random.choice([3, 4, 6, 8, 12]) * 16, keeps, 16, bypassable=choice))
        if random.random() < 0.3:
            levels.append(Array(f"a{i}", (Axis("x", 2),), frozenset(["weight", "input"]), frozenset(), True))
    accelerator = with_bandwidths(random, Accelerator("passing", "test", tuple(levels), Compute(), 1e9))
    return convolution("passing", m=m, c=c, p=p, q=1, r=r), accelerator, random_prices(random, accelerator)


def deep_case(seed: int) -> tuple[Layer, Accelerator, EnergyTable]:
    """A layer of two or three dims on three or four memories, often with arrays in a row."""
    random = Random(seed)
    memories = random.choice([3, 4])
    while True:
        layer = with_widths(random, random_layer(random, {3: 24, 4: 12}[memories]))
        if sum(size > 1 for size in layer.dims.values()) <= {3: 3, 4: 2}[memories]:
            break
    accelerator = with_bandwidths(random, random_accelerator(random, memories))
    table = random_prices(random, accelerator)
    if random.random() < 0.5:
        accelerator = with_one_more_array(random, accelerator)
    prices = {**table.prices, ("more", "transfer", "*"): Price(float(random.choice([0, 2, 50])), "test", "table", 16)}
    return layer, accelerator, replace(table, prices=prices)


def awkward_case(seed: int) -> tuple[Layer, Accelerator, EnergyTable]:
    """A product or windows over a prime number of rows or channels, on two or three memories."""
    random = Random(seed)
    kind = random.choice(["product", "rows", "channels", "slides", "line"])
    prime, few = random.choice([11, 13, 5, 7, 11]), random.choice([1, 1, 2, 2, 3])
    if kind == "line":
        layer = convolution("line", m=random.choice([1, 11, 13, 17, 23]), c=random.choice([1, 1, 2, 11]), p=1, q=1)
    elif kind == "product":
        layer = convolution("product", m=prime, c=few, p=random.choice([1, 2, 3, 7]), q=1)
    elif kind == "channels":
        layer = convolution("channels", m=few, c=random.choice([1, 2]), p=prime, q=1)
    else:
        stride = random.choice([1, 2, 3]) if kind == "slides" else 1
        dilation = random.choice([1, 2]) if kind == "slides" else 1
        layer = convolution(
            kind,
            m=few,
            c=1,
            p=prime,
            q=1,
            r=random.choice([2, 3]),
            stride=(stride, 1),
            dilation=(dilation, 1),
            transposed=kind == "slides" and random.random() < 0.3,
        )
    accelerator = with_bandwidths(random, random_accelerator(random, 2 if random.random() < 0.75 else 3))
    table = random_prices(random, accelerator)
    if random.random() < 0.2:
        accelerator = with_one_more_array(random, accelerator)
    prices = {**table.prices, ("more", "transfer", "*"): Price(float(random.choice([0, 2, 50])), "test", "table", 16)}
    return with_widths(random, layer), accelerator, replace(table, prices=prices)


def wide_case(seed: int) -> tuple[Layer, Accelerator, EnergyTable]:
    """A layer of two dims of many divisors that slide over each other, or hardly any, on two memories."""
    random = Random(seed)
    p, r, m = random.choice([8, 12, 18, 24]), random.choice([2, 3, 4, 6]), random.choice([1, 1, 2])
    stride, dilation = random.choice([1, 1, 2, 3, 5]), random.choice([1, 1, 2, 4])
    layer = convolution(
        "wide", m=m, c=1, p=p, q=1, r=r, stride=(stride, 1), dilation=(dilation, 1), transposed=random.random() < 0.3
    )
    accelerator = with_bandwidths(random, random_accelerator(random, 2))
    return layer, accelerator, random_prices(random, accelerator)
