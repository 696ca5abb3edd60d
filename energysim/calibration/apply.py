"""An estimate priced by a calibration: each layer and the whole with the interval a measurement should fall in."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum
from typing import Any

from energysim.calibration.calibration import CONFIDENCE, Calibration, scope_warnings
from energysim.calibration.predicted import Predicted, predicted_layer
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
    """Price the counts of an estimate, under its mappings, by a calibration of the accelerator `described`.

    `graph` is the model that was estimated, at its batch and bits. Raises InputError as `check_components`.
    """
    check_components(calibration, described)
    layers = {layer.name: layer for layer in graph.layers}
    rows = [
        predicted_layer(row.name, layers[row.name], described, row.mapping, calibration.time_model)
        for row in result.layers
    ]
    bits = {t.bits for layer in graph.layers if layer.macs for t in layer.tensors if t.role != "output"}
    found = scope_warnings(calibration, described, str(result.options["dataflow"]), bits)
    return CalibratedEstimate(
        tuple(_priced(row.name, [row], calibration) for row in rows),
        _priced("total", rows, calibration),
        calibration.excluded,
        calibration,
        (*warnings, *found),
    )


def check_components(calibration: Calibration, described: DescribedAccelerator) -> None:
    """Raise InputError when a calibration speaks of components that the accelerator does not have."""
    names = {y.name for y in (*described.accelerator.levels, described.accelerator.compute)}
    spoken = {component for each in calibration.coefficients for component in each.components}
    lost = sorted((spoken | set(calibration.excluded)) - names)
    if lost:
        made = f"made on {calibration.scope.accelerator}"
        raise InputError(f"the calibration ({made}) speaks of {', '.join(lost)}, which {described.name} does not have")
    if calibration.time_model == "row_stationary_chip" and len(described.accelerator.arrays) != 1:
        made = f"the calibration was made on {calibration.scope.accelerator}, a chip with one array"
        raise InputError(f"{made}; {described.name} has {len(described.accelerator.arrays)}")


def _priced(name: str, rows: Sequence[Predicted], calibration: Calibration) -> CalibratedLayer:
    others = fsum(row.energy_by_component_pj.get(part, 0.0) for row in rows for part in calibration.excluded)
    return CalibratedLayer(name, *calibration.interval(rows), others, fsum(row.time_s for row in rows))
