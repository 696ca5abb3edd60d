"""Measurements matched with estimates: what a calibration is fitted to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from energysim.calibration import tiny
from energysim.calibration.chip_mapping import chip_mapping
from energysim.calibration.chip_rows import (
    HELD_OUT,
    NOT_MEASURED,
    REFERENCE,
    chip_measurements,
    chip_predictions,
    held_out_measurements,
    held_out_predictions,
)
from energysim.calibration.measurements import Measured, Measurements, read_measurements
from energysim.calibration.predicted import Predicted, predicted_layer, summed
from energysim.calibration.references import read_reference
from energysim.calibration.relu_zeros import assume_zeros
from energysim.calibration.times import CHIP_LEVELS, CHIP_TIME, time_model_of
from energysim.errors import InputError, unknown
from energysim.estimate import estimate, named_layer
from energysim.hardware.read import DescribedAccelerator
from energysim.mapping.search_cache import SearchCache
from energysim.workload.graph import LayerGraph
from energysim.workload.precision import with_density
from energysim.workload.read import is_function, read_model
from energysim.yaml_nodes import shown


@dataclass(frozen=True, slots=True)
class Gathered:
    """Rows estimated and measured, the bits of their operands, the components that the numbers do not hold."""

    estimates: tuple[Predicted, ...]
    measurements: Measurements
    bits: tuple[int, ...]
    excluded: tuple[str, ...]
    dataflow: str
    time_model: str


def gather(
    measurements: Measurements,
    described: DescribedAccelerator,
    *,
    dataflow: str = "unconstrained",
    excluded: tuple[str, ...] = (),
    cache: SearchCache | None = None,
) -> Gathered:
    """Estimate everything that was measured, under the best mappings; raises InputError naming the row it cannot do.

    Row stationary on the Eyeriss chip, layers take the chip's own form and zeros as in `apply_calibration`.
    """
    networks: dict[tuple[str, int, str | None], LayerGraph] = {}
    time_model = time_model_of(described.accelerator)
    rows, bits = [], set[int]()
    for row in measurements.rows:
        key = (row.network, row.batch, row.bits)
        if key not in networks:
            networks[key] = _read(row)
        whole = networks[key] if row.zeros or time_model != CHIP_TIME else assume_zeros(networks[key]).graph
        graph = _part(whole, row)
        result = estimate(graph, described, dataflow=dataflow, cache=cache)
        chip = time_model == CHIP_TIME and dataflow == "row_stationary"
        found = []
        for layer, each in zip(graph.layers, result.layers, strict=True):
            form = chip_mapping(layer, described.accelerator) if chip else None
            found.append(predicted_layer(layer.name, layer, described, form or each.mapping, time_model))
        rows.append(summed(row.name, found, row.network))
        bits |= {t.bits for layer in graph.layers if layer.macs for t in layer.tensors if t.role != "output"}
    return Gathered(tuple(rows), measurements, tuple(sorted(bits)) or (16,), excluded, dataflow, time_model)


def _read(row: Measured) -> LayerGraph:
    """The network of a row: a name or a file. A table of numbers calls no functions."""
    if is_function(row.network):
        raise InputError(f"model '{shown(row.network)}': a CSV may name packaged networks and files, not functions")
    return read_model(row.network, batch=row.batch, bits=row.bits)


def _part(graph: LayerGraph, row: Measured) -> LayerGraph:
    """The measured layer alone, or the whole network, with the measured zeros."""
    if row.layer:
        graph = LayerGraph(graph.name, (named_layer(graph, row.layer),))
    if not row.zeros:
        return graph
    densities = {layer.name: {role: 1.0 - zero for role, zero in row.zeros.items()} for layer in graph.layers}
    return with_density(graph, densities)


def gathered(
    reference: str,
    described: DescribedAccelerator,
    *,
    dataflow: str | None = None,
    excluded: tuple[str, ...] = (),
    system: str | None = None,
    cache: SearchCache | None = None,
) -> Gathered:
    """A shipped reference, or a CSV file of measurements, matched with estimates on an accelerator.

    What is `excluded` and which dataflow was run is known of references. Raises InputError for a reference that no
    prices can be fitted to, and for options that go with the other kind.
    """
    if Path(reference).suffix.lower() in (".csv", ".tsv", ".txt") or "/" in reference or Path(reference).exists():
        if system is not None:
            raise InputError("--system goes with a reference that has several systems, not with a file")
        measurements = read_measurements(reference)
        # the Eyeriss chip runs nothing else
        only = "row_stationary" if time_model_of(described.accelerator) == CHIP_TIME else "unconstrained"
        return gather(measurements, described, dataflow=dataflow or only, excluded=excluded, cache=cache)
    if reference not in GATHERERS:
        read_reference(reference)
        known = ", ".join(GATHERERS)
        raise InputError(f"reference '{reference}' holds nothing that prices can be fitted to; these do: {known}")
    if excluded or dataflow is not None:
        raise InputError(f"--exclude and --dataflow go with a file; of {reference} both are known")
    return GATHERERS[reference](described, system, cache)


def _chip(described: DescribedAccelerator, system: str | None, cache: SearchCache | None) -> Gathered:
    _check_chip(REFERENCE, described, system)
    return Gathered(chip_predictions(described), chip_measurements(), (16,), NOT_MEASURED, "row_stationary", CHIP_TIME)


def _chip_held_out(described: DescribedAccelerator, system: str | None, cache: SearchCache | None) -> Gathered:
    _check_chip(HELD_OUT, described, system)
    rows, measured = held_out_predictions(described), held_out_measurements()
    return Gathered(rows, measured, (16,), NOT_MEASURED, "row_stationary", CHIP_TIME)


def _check_chip(reference: str, described: DescribedAccelerator, system: str | None) -> None:
    if system is not None:
        raise InputError(f"--system '{system}': {reference} is one chip; leave it out")
    if tuple(level.name for level in described.accelerator.levels) != CHIP_LEVELS:
        levels = ", ".join(CHIP_LEVELS)
        raise InputError(f"{reference} was run on the Eyeriss chip; {described.name} has not its levels: {levels}")


def _tiny(described: DescribedAccelerator, system: str | None, cache: SearchCache | None) -> Gathered:
    systems = tiny.systems()
    if system is None:
        raise InputError(f"mlperf_tiny_energy has {len(systems)} systems; choose one with --system NAME")
    if system not in systems:
        raise unknown("system", system, systems)
    reference = read_reference("mlperf_tiny_energy")
    measured = tuple(
        Measured(network, uj * 1e6, None, network, bits="w8a8p32") for network, uj in systems[system].items()
    )
    return gather(Measurements(f"mlperf_tiny_energy: {system}", reference.sha256, measured), described, cache=cache)


GATHERERS: Mapping[str, Callable[[DescribedAccelerator, str | None, SearchCache | None], Gathered]] = MappingProxyType(
    {REFERENCE: _chip, HELD_OUT: _chip_held_out, "mlperf_tiny_energy": _tiny}
)
"""References that prices can be fitted to."""
