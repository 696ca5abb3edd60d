"""VGG-16 on the Eyeriss chip by prices fitted to AlexNet: each form of the fit, and what is said without zeros."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from energysim.calibration.calibration import TIME, Calibration, feature
from energysim.calibration.chip_mapping import chip_mapping
from energysim.calibration.chip_rows import (
    HELD_OUT,
    HELD_OUT_BATCH,
    NOT_MEASURED,
    chip_measurements,
    chip_predictions,
    held_out_layers,
    held_out_measurements,
    held_out_predictions,
)
from energysim.calibration.fit import SCALE, Columns, calibrate, solve
from energysim.calibration.predicted import Predicted, predicted_layer
from energysim.calibration.relu_zeros import SHARE, assume_zeros
from energysim.hardware.read import DescribedAccelerator
from energysim.workload.read import read_model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

INNER, OUTER = ("mac", "spad"), ("global_buffer", "pe")
FORMS: Mapping[str, Columns] = MappingProxyType(
    {
        "time": ((TIME, ()),),
        "scale": ((SCALE, (*INNER, *OUTER)),),
        "time, all": ((TIME, ()), ("all", (*INNER, *OUTER))),
        "time, compute, movement": ((TIME, ()), ("compute", INNER), ("movement", OUTER)),
    }
)
"""The forms that `calibrate` chooses from for the chip's five rows."""


@dataclass(frozen=True, slots=True)
class FormHeldOut:
    """A form fitted to AlexNet: mean absolute errors there, in sample and each row left out; of VGG-16's layers, by
    predicted and by measured time; and the error of VGG-16's sum."""

    form: str
    in_sample: float
    left_out: float
    layers: float
    total: float
    layers_at_measured_time: float


def forms_held_out(described: DescribedAccelerator) -> tuple[FormHeldOut, ...]:
    """Every form of `FORMS`, without prior, watts fitted on measured time and errors those of predicted time."""
    import numpy as np

    rows, measured = chip_predictions(described), chip_measurements().rows
    other_rows, other_measured = held_out_predictions(described), held_out_measurements().rows
    energies = np.array([row.energy_pj for row in measured])
    others = np.array([row.energy_pj for row in other_measured])
    timed = [replace(row, time_s=real.time_s or 0.0) for row, real in zip(rows, measured, strict=True)]
    other_timed = [
        replace(row, time_s=real.time_s or 0.0) for row, real in zip(other_rows, other_measured, strict=True)
    ]
    found = []
    for name, form in FORMS.items():
        design, offset = _parts(form, timed)
        design, target = design / energies[:, None], 1.0 - offset / energies
        values = solve(form, design, target, 0.0)
        without = [solve(form, np.delete(design, i, 0), np.delete(target, i), 0.0) for i in range(len(rows))]
        left = [_error(form, rows[i : i + 1], energies[i : i + 1], each)[0] for i, each in enumerate(without)]
        errors = _error(form, other_rows, others, values)
        found.append(
            FormHeldOut(
                name,
                float(np.abs(_error(form, rows, energies, values)).mean()),
                float(np.abs(left).mean()),
                float(np.abs(errors).mean()),
                float(errors @ others / others.sum()),
                float(np.abs(_error(form, other_timed, others, values)).mean()),
            )
        )
    return tuple(found)


def _parts(form: Columns, rows: Sequence[Predicted]) -> "tuple[Floats, Floats]":
    """pJ for a coefficient of 1, rows by coefficients, and pJ of what a form does not fit."""
    import numpy as np

    fitted = frozenset((*NOT_MEASURED, *(part for _, parts in form for part in parts)))
    columns = np.array([[feature(row, *column) for column in form] for row in rows], dtype=float)
    return columns, np.array([sum(row.without(fitted).values()) for row in rows])


def _error(form: Columns, rows: Sequence[Predicted], energies: "Floats", values: "Floats") -> "Floats":
    columns, offset = _parts(form, rows)
    relative: Floats = (columns @ values + offset) / energies - 1.0
    return relative


def other_way_round(described: DescribedAccelerator) -> Calibration:
    """Prices fitted to VGG-16's thirteen layers, AlexNet's held out."""
    return calibrate(
        held_out_predictions(described),
        held_out_measurements().rows,
        described,
        excluded=NOT_MEASURED,
        dataflow="row_stationary",
        time_model="row_stationary_chip",
        data=HELD_OUT,
    )


def held_out_without_zeros(described: DescribedAccelerator, share: float = SHARE) -> Mapping[str, Predicted]:
    """What a user gets who gives no zeros, by the published name of the layer."""
    graph = assume_zeros(read_model("vgg16", batch=HELD_OUT_BATCH), share).graph
    layers = {layer.name: layer for layer in graph.layers}
    found = {}
    for row in held_out_layers(described):
        layer = layers[row.layer.name]
        mapping = chip_mapping(layer, described.accelerator)
        assert mapping is not None  # noqa: S101
        found[row.name] = predicted_layer(row.name, layer, described, mapping, "row_stationary_chip", "vgg16")
    return found
