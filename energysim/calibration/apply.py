"""An estimate priced by a calibration: each layer and the whole with the interval a measurement should fall in."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, hypot
from typing import Any

from energysim.calibration.calibration import CONFIDENCE, Calibration, scope_warnings
from energysim.calibration.chip_mapping import chip_mapping
from energysim.calibration.predicted import Predicted, predicted_layer
from energysim.calibration.relu_zeros import SHARE, SPREAD, assume_zeros
from energysim.calibration.times import CHIP_LEVELS, CHIP_TIME
from energysim.costs.result import Estimate
from energysim.errors import InputError
from energysim.hardware.read import DescribedAccelerator
from energysim.workload.graph import LayerGraph

NORMAL = 1.645
"""Standard deviations from the middle of a normal distribution to the ends of its 90 %."""


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

    `own_form` layers are priced in the chip's own form (`chip_mapping`) instead of under the mapping that was found;
    half of the inputs of `assumed_zeros` layers are taken as zeros (`relu_zeros`).
    """

    layers: tuple[CalibratedLayer, ...]
    total: CalibratedLayer
    excluded: tuple[str, ...]
    calibration: Calibration
    warnings: tuple[str, ...]
    own_form: int = 0
    assumed_zeros: int = 0

    def to_plain(self) -> dict[str, Any]:
        """What goes beside an estimate's JSON under "calibrated"."""
        return {
            "confidence": CONFIDENCE,
            "data": self.calibration.data,
            "data_sha256": self.calibration.data_sha256,
            "excluded": list(self.excluded),
            "layers_with_assumed_zeros": self.assumed_zeros,
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
    """Price the counts of an estimate by a calibration of the accelerator `described`.

    Layers are priced under the estimate's mappings. Calibrated as the Eyeriss chip, a layer takes the chip's own form
    where there is one, unless another dataflow or constraints were asked for; and inputs that come from ReLU are taken
    as half zeros where the model says nothing of zeros, because the chip's energy and time depend on them.

    `graph` is the model that was estimated, at its batch and bits. Raises InputError as `check_components`.
    """
    check_components(calibration, described)
    chip, dataflow = calibration.time_model == CHIP_TIME, str(result.options["dataflow"])
    free = dataflow in ("row_stationary", "unconstrained") and not result.options["constraints"]
    zeros: tuple[str, ...] = ()
    sparser = graph
    if chip:
        assumed, sparser = assume_zeros(graph), assume_zeros(graph, SHARE + SPREAD).graph
        graph, zeros = assumed.graph, assumed.layers
    layers = {layer.name: (layer, other) for layer, other in zip(graph.layers, sparser.layers, strict=True)}
    rows, sparser_rows, own, others = [], [], 0, 0
    for row in result.layers:
        layer, other = layers[row.name]
        form = chip_mapping(layer, described.accelerator) if chip and free else None
        rows.append(predicted_layer(row.name, layer, described, form or row.mapping, calibration.time_model))
        if other != layer:
            sparser_rows.append(
                predicted_layer(row.name, other, described, form or row.mapping, calibration.time_model)
            )
        else:
            sparser_rows.append(rows[-1])
        own += form is not None
        others += bool(layer.macs) and form is None
    bits = {t.bits for layer in graph.layers if layer.macs for t in layer.tensors if t.role != "output"}
    run = calibration.scope.dataflow if own and not others else dataflow
    outside = scope_warnings(calibration, described, run, bits)
    return CalibratedEstimate(
        tuple(_priced(y.name, [y], [other], calibration) for y, other in zip(rows, sparser_rows, strict=True)),
        _priced("total", rows, sparser_rows, calibration),
        calibration.excluded,
        calibration,
        (*warnings, *outside),
        own,
        len(zeros),
    )


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


def interval_of_zeros(
    rows: Sequence[Predicted], sparser: Sequence[Predicted], calibration: Calibration
) -> tuple[float, float, float]:
    """Energy in pJ and the ends of its interval, widened by what zeros that were assumed may change.

    `sparser`: the same rows with zeros one `SPREAD` more. Layers of a network are taken to be off the same way.
    """
    value, low, high = calibration.interval(rows)
    moved = fsum(map(calibration.energy_pj, sparser)) - fsum(map(calibration.energy_pj, rows))
    return value, max(0.0, value - hypot(value - low, NORMAL * moved)), value + hypot(high - value, NORMAL * moved)


def _priced(
    name: str, rows: Sequence[Predicted], sparser: Sequence[Predicted], calibration: Calibration
) -> CalibratedLayer:
    others = fsum(row.energy_by_component_pj.get(part, 0.0) for row in rows for part in calibration.excluded)
    ends = interval_of_zeros(rows, sparser, calibration)
    return CalibratedLayer(name, *ends, others, fsum(row.time_s for row in rows))
