"""Models of how long a layer takes, by the name under which a calibration remembers the one it was fitted with."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from energysim.calibration.chip_time import chip_time
from energysim.costs.latency import latency
from energysim.hardware.accelerator import Accelerator
from energysim.mapping.counts import Counts, count
from energysim.mapping.nest import Mapping as Nest
from energysim.workload.layer import Layer

TimeModel = Callable[[Layer, Accelerator, Nest, Counts], float]
"""Seconds of a layer under a mapping."""


def _double_buffered(layer: Layer, accelerator: Accelerator, mapping: Nest, counts: Counts) -> float:
    return latency(layer, accelerator, mapping, counts).seconds


def _row_stationary_chip(layer: Layer, accelerator: Accelerator, mapping: Nest, counts: Counts) -> float:
    if not layer.macs or layer.tensor("input") is None:
        return _double_buffered(layer, accelerator, mapping, counts)
    return chip_time(layer, accelerator, mapping, counts).total_s


CHIP_TIME = "row_stationary_chip"
CHIP_LEVELS = ("dram", "global_buffer", "pe", "spad")
"""The levels of the accelerator that `chip_time` is about, outermost first."""

TIME_MODELS: Mapping[str, TimeModel] = MappingProxyType(
    {"double_buffered": _double_buffered, CHIP_TIME: _row_stationary_chip}
)

CHIPS = MappingProxyType({"eyeriss": CHIP_TIME})
"""Accelerators whose time another model than `estimate`'s predicts."""


def time_model_of(accelerator: Accelerator) -> str:
    """The name of the time model for an accelerator: `estimate`'s own unless `CHIPS` says otherwise."""
    return CHIPS.get(accelerator.name, "double_buffered")


def time_s(model: str, layer: Layer, accelerator: Accelerator, mapping: Nest) -> float:
    """Seconds of a layer under a mapping by a model of `TIME_MODELS`."""
    return TIME_MODELS[model](layer, accelerator, mapping, count(layer, accelerator, mapping))
