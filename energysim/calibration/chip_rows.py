"""AlexNet on the Eyeriss chip: what is predicted of each convolution beside what was measured."""

from dataclasses import dataclass

from energysim.calibration.chip_time import ChipTime, chip_time
from energysim.calibration.eyeriss import published_mappings
from energysim.calibration.measurements import Measured, Measurements
from energysim.calibration.predicted import Predicted, predicted_layer
from energysim.calibration.references import read_reference, rows_by
from energysim.costs.prices import bits_moved
from energysim.hardware.read import DescribedAccelerator
from energysim.mapping.counts import active_instances, count
from energysim.mapping.nest import Mapping
from energysim.workload.graph import LayerGraph
from energysim.workload.layer import Layer
from energysim.workload.precision import with_density

REFERENCE = "eyeriss_alexnet"
NOT_MEASURED = ("dram",)
"""The chip's power does not hold the energy of its DRAM."""

BATCH = 4


@dataclass(frozen=True, slots=True)
class ChipLayer:
    """One convolution of the measured batch: counts and times predicted; MB are 1e6 bytes, times in seconds.

    `global_buffer_mb` is all traffic of the buffer but what DRAM fills in, which the chip's number leaves out.
    """

    name: str
    layer: Layer
    mapping: Mapping
    active_pes: int
    global_buffer_mb: float
    filled_mb: float
    dram_mb: float
    nonzero_macs: float
    time: ChipTime


def chip_layers(described: DescribedAccelerator, *, as_run: bool = True) -> tuple[ChipLayer, ...]:
    """The five convolutions with the measured zeros under the published mapping; `as_run`: see `published_mappings`."""
    zeros = rows_by("eyeriss_activation_zeros", "layer")
    facts, found = described.accelerator, []
    for name, layer, mapping in published_mappings(BATCH, as_run=as_run):
        share = {role: float(zeros[name.lower()][f"{key}_zero_percent"]) / 100 for role, key in _ROLES.items()}
        density = {role: 1.0 - zero for role, zero in share.items()}
        (coded,) = with_density(LayerGraph(name, (layer,)), {layer.name: density}).layers
        counts = count(coded, facts, mapping)
        buffer = {key: n for key, n in counts.values.items() if key[0] == "global_buffer"}
        bits = sum(n * bits_moved(coded, facts, key[0], key[2]) for key, n in counts.values.items() if key[0] == "dram")
        filled = buffer.get(("global_buffer", "fill", "input"), 0)
        found.append(
            ChipLayer(
                name,
                coded,
                mapping,
                active_instances(coded, mapping),
                (sum(buffer.values()) - filled) * 2 / 1e6,
                filled * 2 / 1e6,
                bits / 8e6,
                coded.macs * density["input"],
                chip_time(coded, facts, mapping, counts),
            )
        )
    return tuple(found)


_ROLES = {"input": "ifmap", "output": "ofmap"}


def chip_predictions(described: DescribedAccelerator) -> tuple[Predicted, ...]:
    """Nominal energy by component and predicted total time of the five convolutions."""
    return tuple(
        predicted_layer(row.name, row.layer, described, row.mapping, "row_stationary_chip", "alexnet")
        for row in chip_layers(described)
    )


def chip_measurements() -> Measurements:
    """Measured chip energy (power x total latency) and total latency of the five convolutions."""
    reference = read_reference(REFERENCE)
    rows = []
    for row in reference.rows:
        seconds = float(row["total_latency_ms"]) * 1e-3
        energy = float(row["power_mw"]) * 1e-3 * seconds * 1e12
        if row["layer"] != "Total":
            rows.append(Measured(row["layer"], energy, seconds, "alexnet", row["layer"].lower(), BATCH, "16"))
    return Measurements(REFERENCE, reference.sha256, tuple(rows))
