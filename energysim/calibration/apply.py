"""An estimate priced by a calibration: each layer and the whole with the interval in which a measurement should fall."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum
from typing import Any

from energysim.calibration.calibration import CONFIDENCE, Calibration, scope_warnings
from energysim.calibration.predicted import Predicted, predicted_row
from energysim.costs.result import Estimate
from energysim.errors import InputError
from energysim.hardware.read import DescribedAccelerator
from energysim.workload.graph import LayerGraph


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
    """Layers and their total; `excluded` are the components that the calibration knows nothing of."""

    layers: tuple[CalibratedLayer, ...]
    total: CalibratedLayer
    excluded: tuple[str, ...]
    calibration: Calibration
    warnings: tuple[str, ...]

    def to_plain(self) -> dict[str, Any]:
        """What goes beside an estimate's JSON under "calibrated"."""
        return {
            "confidence": CONFIDENCE,
            "data": self.calibration.data,
            "data_sha256": self.calibration.data_sha256,
            "excluded": list(self.excluded),
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
    """Price the counts of an estimate, under the mappings that nominal prices chose, by a calibration.

    `graph` is the model that was estimated, at its batch and bits. Raises InputError when the calibration prices none
    of the accelerator's components.
    """
    names = {y.name for y in (*described.accelerator.levels, described.accelerator.compute)}
    priced = {component for each in calibration.coefficients for component in each.components}
    if priced - names:
        lost = ", ".join(sorted(priced - names))
        raise InputError(f"the calibration prices {lost}, which {described.name} does not have")
    layers = {layer.name: layer for layer in graph.layers}
    rows = [predicted_row(layers[row.name], row, described, calibration.time_model) for row in result.layers]
    bits = {t.bits for layer in graph.layers if layer.macs for t in layer.tensors if t.role != "output"}
    found = scope_warnings(calibration, described, str(result.options["dataflow"]), bits)
    return CalibratedEstimate(
        tuple(_priced(row.name, [row], calibration) for row in rows),
        _priced("total", rows, calibration),
        tuple(name for name in calibration.excluded if name in names),
        calibration,
        (*warnings, *found),
    )


def _priced(name: str, rows: Sequence[Predicted], calibration: Calibration) -> CalibratedLayer:
    others = fsum(row.energy_by_component_pj.get(part, 0.0) for row in rows for part in calibration.excluded)
    return CalibratedLayer(name, *calibration.interval(rows), others, fsum(row.time_s for row in rows))
