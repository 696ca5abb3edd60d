"""An estimate priced by a calibration: each layer and the whole with the interval a measurement should fall in."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum
from typing import Any

from energysim.calibration.calibration import CONFIDENCE, Calibration, scope_warnings
from energysim.calibration.chip_mapping import WORD_BITS, Costs, chip_mappings
from energysim.calibration.predicted import Predicted, predicted_layer
from energysim.calibration.times import CHIP_LEVELS, CHIP_TIME
from energysim.costs.result import Estimate
from energysim.errors import InputError
from energysim.hardware.read import DescribedAccelerator
from energysim.workload.graph import LayerGraph
from energysim.workload.layer import Layer


@dataclass(frozen=True, slots=True)
class CalibratedLayer:
    """pJ of the calibrated components with the ends of the 90 % interval; the others at nominal prices; seconds."""

    name: str
    energy_pj: float
    low_pj: float
    high_pj: float
    uncalibrated_pj: float
    time_s: float

    def to_plain(self) -> dict[str, Any]:
        """The JSON object of this layer."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class CalibratedEstimate:
    """Layers and their total; `excluded` are the components that the calibration knows nothing of.

    `own_form` layers are priced in the chip's own form (`chip_mapping`) instead of under the mapping that was found.
    """

    layers: tuple[CalibratedLayer, ...]
    total: CalibratedLayer
    excluded: tuple[str, ...]
    calibration: Calibration
    warnings: tuple[str, ...]
    own_form: int = 0

    def to_plain(self) -> dict[str, Any]:
        """What goes beside an estimate's JSON under "calibrated"."""
        return {
            "confidence": CONFIDENCE,
            "data": self.calibration.data,
            "data_sha256": self.calibration.data_sha256,
            "excluded": list(self.excluded),
            "layers_in_own_form": self.own_form,
            "layers": [layer.to_plain() for layer in self.layers],
            "total": self.total.to_plain(),
            "warnings": list(self.warnings),
        }


def apply_calibration(
    result: Estimate,
    graph: LayerGraph,
    described: DescribedAccelerator,
    calibration: Calibration,
    warnings: Sequence[str] = (),
) -> CalibratedEstimate:
    """Price the counts of an estimate by a calibration of the accelerator `described`, under its mappings.

    Row stationary on the Eyeriss chip, a layer takes the chip's own form where that costs less: the search does not
    know the chip's time.

    `graph` is the model that was estimated, at its batch and bits. Raises InputError as `check_components`.
    """
    check_components(calibration, described)
    layers = {layer.name: layer for layer in graph.layers}
    chip = calibration.time_model == CHIP_TIME and result.options["dataflow"] == "row_stationary"
    rows, own = [], 0
    for row in result.layers:
        layer = layers[row.name]
        found = predicted_layer(row.name, layer, described, row.mapping, calibration.time_model)
        if chip:
            better = as_the_chip_would(found, layer, described, calibration)
            own += better is not found
            found = better
        rows.append(found)
    bits = {t.bits for layer in graph.layers if layer.macs for t in layer.tensors if t.role != "output"}
    outside = scope_warnings(calibration, described, str(result.options["dataflow"]), bits)
    return CalibratedEstimate(
        tuple(_priced(row.name, [row], calibration) for row in rows),
        _priced("total", rows, calibration),
        calibration.excluded,
        calibration,
        (*warnings, *outside),
        own,
    )


def as_the_chip_would(
    found: Predicted, layer: Layer, described: DescribedAccelerator, calibration: Calibration
) -> Predicted:
    """The layer in the chip's own form where that costs less by its time and calibrated prices, DRAM included."""
    costs = own_costs(described, calibration)

    def whole_pj(row: Predicted) -> float:
        others = fsum(row.energy_by_component_pj.get(part, 0.0) for part in calibration.excluded)
        return calibration.energy_pj(row) + others

    forms = (
        predicted_layer(layer.name, layer, described, mapping, calibration.time_model)
        for mapping in chip_mappings(layer, described.accelerator, costs)
    )
    return min((found, *forms), key=whole_pj)


def own_costs(described: DescribedAccelerator, calibration: Calibration) -> Costs:
    """What the chip's own form is chosen by: calibrated pJ of a cycle, of a word of the buffer and of DRAM."""
    table = calibration.table(described)
    prices = (table.price(name, "read", "input") for name in ("global_buffer", "dram"))
    words = (price.pj * WORD_BITS / (price.width_bits or WORD_BITS) if price else 0.0 for price in prices)
    return Costs((calibration.static_w or 0.0) * 1e12 / described.accelerator.clock_hz, *words)


def check_components(calibration: Calibration, described: DescribedAccelerator) -> None:
    """Raise InputError when a calibration speaks of components that the accelerator does not have."""
    names = {y.name for y in (*described.accelerator.levels, described.accelerator.compute)}
    spoken = {component for each in calibration.coefficients for component in each.components}
    lost = sorted((spoken | set(calibration.excluded)) - names)
    if lost:
        made = f"made on {calibration.scope.accelerator}"
        raise InputError(f"the calibration ({made}) speaks of {', '.join(lost)}, which {described.name} does not have")
    levels = tuple(level.name for level in described.accelerator.levels)
    if calibration.time_model == CHIP_TIME and levels != CHIP_LEVELS:
        made = f"the calibration was made on {calibration.scope.accelerator}, with the levels {', '.join(CHIP_LEVELS)}"
        raise InputError(f"{made}; {described.name} has {', '.join(levels)}")


def _priced(name: str, rows: Sequence[Predicted], calibration: Calibration) -> CalibratedLayer:
    others = fsum(row.energy_by_component_pj.get(part, 0.0) for row in rows for part in calibration.excluded)
    return CalibratedLayer(name, *calibration.interval(rows), others, fsum(row.time_s for row in rows))
