"""Convolutions on the Eyeriss chip, predicted beside measured: AlexNet and, held out of every fit, VGG-16."""

from collections.abc import Mapping as Map
from dataclasses import dataclass

from energysim.calibration.chip_mapping import chip_mapping
from energysim.calibration.chip_time import ChipTime, chip_time, dram_bits
from energysim.calibration.eyeriss import published_mappings
from energysim.calibration.measurements import Measured, Measurements
from energysim.calibration.predicted import Predicted, predicted_layer
from energysim.calibration.references import read_reference, rows_by
from energysim.hardware.accelerator import Accelerator
from energysim.hardware.read import DescribedAccelerator
from energysim.mapping.counts import active_instances, count
from energysim.mapping.nest import Mapping
from energysim.workload.graph import LayerGraph
from energysim.workload.layer import Layer
from energysim.workload.precision import with_density
from energysim.workload.read import read_model

REFERENCE, HELD_OUT = "eyeriss_alexnet", "eyeriss_vgg16"
NOT_MEASURED = ("dram",)
"""The chip's power does not hold the energy of its DRAM."""

BATCH, HELD_OUT_BATCH = 4, 3


@dataclass(frozen=True, slots=True)
class ChipLayer:
    """One convolution of the measured batch: counts and times predicted; MB are 1e6 bytes, times in seconds.

    `global_buffer_mb` is all traffic of the buffer but what DRAM fills in; `weight_mb` passes through it besides, ahead
    of use. The chip's number for AlexNet holds the first, that for VGG-16 both (and its MB are 2^20 bytes).
    """

    name: str
    layer: Layer
    mapping: Mapping
    active_pes: int
    global_buffer_mb: float
    weight_mb: float
    dram_mb: float
    nonzero_macs: float
    time: ChipTime


def chip_layers(described: DescribedAccelerator, *, as_run: bool = True) -> tuple[ChipLayer, ...]:
    """AlexNet's convolutions with measured zeros under the published mapping; `as_run`: see `published_mappings`."""
    zeros, found = rows_by("eyeriss_activation_zeros", "layer"), []
    for name, layer, mapping in published_mappings(BATCH, as_run=as_run):
        row = zeros[name.lower()]
        share = {role: float(row[f"{key}_zero_percent"]) / 100 for role, key in _ROLES.items()}
        found.append(_chip_layer(name, with_zeros(layer, share), mapping, described.accelerator))
    return tuple(found)


def held_out_layers(described: DescribedAccelerator) -> tuple[ChipLayer, ...]:
    """VGG-16's convolutions with the measured zeros under the mappings that the chip's rule gives.

    Zeros of outputs are those of the next layer's inputs; where pooling stands between, those of the layer's own inputs
    stand for them.
    """
    rows = rows_by(HELD_OUT, "layer")
    names = [name for name in rows if name != "Total"]
    zeros = {name: float(rows[name]["zeros_in_ifmap_percent"]) / 100 for name in names}
    layers = {_published_name(layer.name): layer for layer in read_model("vgg16", batch=HELD_OUT_BATCH).layers}
    found = []
    for name, after in zip(names, (*names[1:], ""), strict=True):
        output = zeros[after if after[:5] == name[:5] else name]
        layer = with_zeros(layers[name], {"input": zeros[name], "output": output})
        mapping = chip_mapping(layer, described.accelerator)
        assert mapping is not None  # noqa: S101
        found.append(_chip_layer(name, layer, mapping, described.accelerator))
    return tuple(found)


def with_zeros(layer: Layer, share: Map[str, float]) -> Layer:
    """A layer whose tensors of a role have a share of zeros."""
    density = {role: 1.0 - zero for role, zero in share.items()}
    return with_density(LayerGraph(layer.name, (layer,)), {layer.name: density}).layers[0]


def _published_name(name: str) -> str:
    """conv1_1 as the paper writes it: CONV1-1."""
    return name.upper().replace("_", "-")


def _chip_layer(name: str, layer: Layer, mapping: Mapping, facts: Accelerator) -> ChipLayer:
    counts = count(layer, facts, mapping)
    buffer = {key: n for key, n in counts.values.items() if key[0] == "global_buffer"}
    filled = buffer.get(("global_buffer", "fill", "input"), 0)
    source = layer.tensor("input")
    return ChipLayer(
        name,
        layer,
        mapping,
        active_instances(layer, mapping),
        (sum(buffer.values()) - filled) * 2 / 1e6,
        counts.values.get(("dram", "read", "weight"), 0) * 2 / 1e6,
        dram_bits(layer, facts, mapping, counts) / 8e6,
        layer.macs * (source.density if source else 1.0),
        chip_time(layer, facts, mapping, counts),
    )


_ROLES = {"input": "ifmap", "output": "ofmap"}


def chip_predictions(described: DescribedAccelerator) -> tuple[Predicted, ...]:
    """Nominal energy by component and predicted total time of AlexNet's five convolutions."""
    return _predictions(chip_layers(described), described, "alexnet")


def held_out_predictions(described: DescribedAccelerator) -> tuple[Predicted, ...]:
    """The same of VGG-16's thirteen."""
    return _predictions(held_out_layers(described), described, "vgg16")


def _predictions(rows: tuple[ChipLayer, ...], described: DescribedAccelerator, network: str) -> tuple[Predicted, ...]:
    return tuple(
        predicted_layer(row.name, row.layer, described, row.mapping, "row_stationary_chip", network) for row in rows
    )


def chip_measurements() -> Measurements:
    """Measured chip energy (power x total latency) and total latency of AlexNet's five convolutions."""
    return _measurements(REFERENCE, "alexnet", BATCH)


def held_out_measurements() -> Measurements:
    """The same of VGG-16's thirteen, to which nothing is fitted."""
    return _measurements(HELD_OUT, "vgg16", HELD_OUT_BATCH)


def _measurements(name: str, network: str, batch: int) -> Measurements:
    reference = read_reference(name)
    rows = []
    for row in reference.rows:
        seconds = float(row["total_latency_ms"]) * 1e-3
        energy = float(row["power_mw"]) * 1e-3 * seconds * 1e12
        if row["layer"] != "Total":
            layer = row["layer"].lower().replace("-", "_")
            rows.append(Measured(row["layer"], energy, seconds, network, layer, batch, "16"))
    return Measurements(name, reference.sha256, tuple(rows))
