"""SCALE-Sim topology files (CSV): convolutions, `Conv1, 224, 224, 7, 7, 3, 64, 2,`, or products, `fc, 1, 10, 20,`."""

import csv
from collections.abc import Sequence
from pathlib import Path

from energysim.errors import InputError, ModelReadError
from energysim.workload.graph import LayerGraph, clean_name
from energysim.workload.layer import Layer, convolution
from energysim.workload.operations import linear

MOST_BYTES = 1 << 20
MOST_SIZE = 1 << 31
CONVOLUTION = (
    "IFMAP height",
    "IFMAP width",
    "filter height",
    "filter width",
    "channels",
    "number of filters",
    "stride",
)
PRODUCT = ("M", "N", "K")
DEPTHWISE = "DP"
"""What SCALE-Sim knows a depthwise convolution by: letters in the name of its layer."""


def from_scalesim(path: str | Path) -> LayerGraph:
    """The layers of a SCALE-Sim v2 or v3 topology; which of the two kinds it has is told by its header.

    Input sizes include padding; outputs are ceil((input - filter + stride) / stride) an axis, as SCALE-Sim has them.
    Sparsity columns are not read. Raises InputError with file and line.
    """
    path = Path(path)
    where = clean_name(str(path))
    if not path.is_file():
        raise InputError(f"{where}: no such file")
    if path.stat().st_size > MOST_BYTES:
        raise ModelReadError(f"{where}: is larger than 1 MiB; no topology is")
    try:
        text = path.read_text("utf-8-sig")
        rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines(), strict=True)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ModelReadError(f"{where}: not a topology: {clean_name(str(error))}") from None
    layers: list[Layer] = []
    names: set[str] = set()
    header = rows[0] if rows else []
    products = not any("filter" in cell.lower() for cell in header) and len([cell for cell in header if cell]) <= 5
    for line, row in enumerate(rows[1:], 2):
        if not any(row):
            continue
        layer = (_product if products else _convolution)(row, f"{where}:{line}")
        if layer.name in names:
            raise ModelReadError(f"{where}:{line}: two layers are named '{layer.name}'")
        names.add(layer.name)
        layers.append(layer)
    if not layers:
        raise ModelReadError(f"{where}: has no layers")
    said = ("flows between layers are not in a topology: layers are taken by themselves",)
    return LayerGraph(clean_name(path.stem), tuple(layers), assumptions=said)


def _sizes(row: Sequence[str], names: Sequence[str], where: str) -> list[int]:
    if len(row) <= len(names):
        raise ModelReadError(f"{where}: has {len(row)} columns; a layer has a name and {', '.join(names)}")
    sizes = []
    for name, cell in zip(names, row[1:], strict=False):
        if not cell.isascii() or not cell.isdigit() or len(cell) > 10 or not 1 <= int(cell) <= MOST_SIZE:
            raise ModelReadError(f"{where}: {name} is '{clean_name(cell[:40])}'; it must be an integer of at least 1")
        sizes.append(int(cell))
    return sizes


def _product(row: Sequence[str], where: str) -> Layer:
    m, n, k = _sizes(row, PRODUCT, where)
    return linear(clean_name(row[0]), n=m, m=n, c=k)


def _convolution(row: Sequence[str], where: str) -> Layer:
    height, width, rows, columns, channels, filters, stride = _sizes(row, CONVOLUTION, where)
    if rows > height or columns > width:
        raise ModelReadError(f"{where}: its filter, {rows} x {columns}, is larger than its input, {height} x {width}")
    p, q = (-(-(size - window + stride) // stride) for size, window in ((height, rows), (width, columns)))
    apart = DEPTHWISE in row[0]
    return convolution(
        clean_name(row[0]),
        g=channels if apart else 1,
        m=filters,
        c=1 if apart else channels,
        p=p,
        q=q,
        r=rows,
        s=columns,
        stride=(stride, stride),
    )
