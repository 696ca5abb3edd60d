"""What was published of AlexNet on the Eyeriss chip: its row-stationary mapping, ready to be counted."""

from collections.abc import Iterator
from collections.abc import Mapping as Map

from energysim.calibration.references import read_reference
from energysim.mapping.nest import Loop, Mapping, Storage
from energysim.workload.layer import Layer, convolution

COLUMNS, ROWS = 14, 12

AS_RUN = {"CONV3": {"q": 3, "r": 2, "t": 2}}
"""Where the chip's measured buffer traffic is that of another mapping than the published one: CONV3 as CONV4, CONV5."""


def published_mappings(
    batch: int = 4, element: str = "spad", *, as_run: bool = False
) -> Iterator[tuple[str, Layer, Mapping]]:
    """Name, layer and mapping of the five AlexNet convolutions, for 16-bit words: JSSC 2017, table III.

    `element` names the memory of a processing element; all else is named as in the accelerator `eyeriss`.

    The letters are the table's: m output channels and n images in the global buffer; p filters and q channels
    interleaved in each PE; e output rows by R kernel rows form a PE set, of which t share inputs and r share outputs.
    `as_run`: with the parameters of `AS_RUN` where the measured traffic contradicts the table.
    """
    for row in read_reference("eyeriss_alexnet_mapping").rows:
        name = row["layer"]
        letters = {key: int(value) for key, value in row.items() if key != "layer"}
        letters |= AS_RUN.get(name, {}) if as_run else {}
        yield name, *_published(name.lower(), letters, batch, element)


def _published(name: str, x: dict[str, int], batch: int, element: str) -> tuple[Layer, Mapping]:
    side, kernel = x["e_f"], x["r_s"]
    groups = 2 if name in ("conv2", "conv4", "conv5") else 1
    filters = x["m_total"] // groups
    layer = convolution(
        name, n=batch, g=groups, m=filters, c=x["c"], p=side, q=side, r=kernel, s=kernel, stride=(x["u"], x["u"])
    )
    return layer, row_stationary(layer, x, element)


def row_stationary(layer: Layer, x: Map[str, int], element: str = "spad") -> Mapping:
    """The mapping of a layer on the chip that the letters m, n, e, p, q, r, t stand for (see `published_mappings`).

    The letter f, if there, is the length of the parts that output rows are cut into.
    """
    dims = layer.dims
    length = x.get("f", dims["Q"])
    # A set wider than the array (27 rows on 14 columns) is folded: the rest stands on further rows.
    across = min(x["e"], COLUMNS)
    folds = -(-x["e"] // across)
    at_once = x["p"] * x["t"]
    dram = [
        Loop("G", dims["G"]),
        Loop("M", -(-dims["M"] // x["m"])),
        Loop("N", -(-dims["N"] // x["n"])),
        Loop("P", -(-dims["P"] // x["e"])),
        Loop("Q", -(-dims["Q"] // length)),
        Loop("C", -(-dims["C"] // (x["q"] * x["r"]))),
    ]
    buffer = [Loop("M", x["m"] // at_once), Loop("N", x["n"]), Loop("Q", length)]
    # Sets of different filters stand beside each other where there is room, else below.
    beside = min(x["t"], COLUMNS // across)
    down = [Loop("P", folds, "pe.y"), Loop("M", x["t"] // beside, "pe.y"), Loop("C", x["r"], "pe.y")]
    array = [Loop("M", beside, "pe.x"), *down, Loop("R", dims["R"], "pe.y"), Loop("P", across, "pe.x")]
    inside = [Loop("C", x["q"]), Loop("S", dims["S"]), Loop("M", x["p"])]
    nest: list[Loop | Storage] = [Storage("dram", t.name) for t in layer.tensors]
    nest += [*dram, Storage("global_buffer", "input"), Storage("global_buffer", "output"), *buffer, *array]
    nest += [*(Storage(element, t.name) for t in layer.tensors), *inside]
    return Mapping(tuple(item for item in nest if isinstance(item, Storage) or item.bound > 1))
