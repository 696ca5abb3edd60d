"""Which metric tracks energy: what is counted instead of energy, and our estimate, against what was measured.

Each reference gives a `MetricTable`: rows that were measured (or, where said, modelled by others) and, for each metric,
one number a row. What is held out of a fit is called so.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from energysim.calibration import tiny
from energysim.calibration.calibration import Calibration
from energysim.calibration.chip_rows import (
    HELD_OUT,
    NOT_MEASURED,
    REFERENCE,
    ChipLayer,
    chip_layers,
    chip_measurements,
    chip_predictions,
    held_out_layers,
    held_out_measurements,
    held_out_predictions,
)
from energysim.calibration.correlation import Scores, mean_scores, scores
from energysim.calibration.fit import calibrate
from energysim.calibration.held_out import held_out_without_zeros
from energysim.calibration.references import read_reference
from energysim.costs.metrics import LayerMetrics, metrics
from energysim.errors import InputError
from energysim.estimate import estimate
from energysim.hardware.read import read_accelerator
from energysim.workload.graph import LayerGraph
from energysim.workload.read import read_model

COUNTED: Mapping[str, Callable[[LayerMetrics], float]] = MappingProxyType(
    {
        "MACs": lambda row: float(row.macs),
        "full adders": lambda row: float(row.full_adders),
        "weight representational cost": lambda row: float(row.weight_cost_bits),
        "activation representational cost": lambda row: float(row.activation_cost_bits),
        "DeepK total": lambda row: row.mac_units,
        "compulsory traffic": lambda row: float(row.compulsory_bits),
    }
)
"""What papers count instead of energy (METHODS §5), by name."""

TINY_BITS = "w8a8p32"
TINY_ON = MappingProxyType({"microcontrollers": "generic_mcu", "neural processors": "generic_npu"})
"""Class of system to the accelerator it is estimated on."""

ARRAY_MACS_PER_S = 0.5e9
"""MACs a second above which a system computes with an array of them: the fastest core in the data does 0.25e9 (a
Cortex-M7), Silicon Labs' accelerator 0.1e9, the slowest array 0.6e9 (Syntiant at 30 MHz)."""

YANG_BATCH = 4


@dataclass(frozen=True, slots=True)
class MetricTable:
    """Rows of a reference: their names and devices, what was measured, and each metric's value of every row."""

    reference: str
    says: str
    unit: str
    names: tuple[str, ...]
    devices: tuple[str, ...]
    measured: tuple[float, ...]
    columns: Mapping[str, tuple[float, ...]]
    sha256: str

    def scored(self) -> tuple[Scores, ...]:
        """Every metric over all rows, whatever the device; least left-out error first."""
        return _ranked(scores(name, column, self.measured) for name, column in self.columns.items())

    def scored_within(self) -> tuple[Scores, ...]:
        """Every metric within each device of at least three rows, then averaged over devices."""
        found = []
        for name, column in self.columns.items():
            parts = []
            for device in dict.fromkeys(self.devices):
                rows = [i for i, each in enumerate(self.devices) if each == device]
                if len(rows) > 2:
                    parts.append(scores(name, [column[i] for i in rows], [self.measured[i] for i in rows]))
            found.append(mean_scores(name, parts))
        return _ranked(found)

    def to_plain(self) -> dict[str, Any]:
        """The JSON object of this table: the rows, and the scores of every metric."""
        return {
            "reference": self.reference,
            "says": self.says,
            "unit": self.unit,
            "sha256": self.sha256,
            "names": list(self.names),
            "devices": list(self.devices),
            "measured": list(self.measured),
            "metrics": {name: list(column) for name, column in self.columns.items()},
            "scores": [each.to_plain() for each in self.scored()],
            "scores_within_devices": [each.to_plain() for each in self.scored_within()],
        }


def _ranked(found: Iterable[Scores]) -> tuple[Scores, ...]:
    return tuple(sorted(found, key=lambda row: (row["left_out"].value is None, row["left_out"].value or 0.0)))


def metric_tables(reference: str) -> tuple[MetricTable, ...]:
    """The tables of one reference; raises InputError for one that metrics are not compared with."""
    check_comparable(reference)
    return TABLES[reference]()


def check_comparable(reference: str) -> None:
    """Raise InputError for a reference that metrics are not compared with."""
    if reference not in TABLES:
        read_reference(reference)
        raise InputError(f"metrics are not compared with '{reference}'; they are with {', '.join(TABLES)}")


@cache
def chip_calibration() -> Calibration:
    """The Eyeriss chip's prices fitted to its five AlexNet layers."""
    described = read_accelerator("eyeriss")
    measurements = chip_measurements()
    return calibrate(
        chip_predictions(described),
        measurements.rows,
        described,
        excluded=NOT_MEASURED,
        dataflow="row_stationary",
        time_model="row_stationary_chip",
        data=measurements.name,
        data_sha256=measurements.sha256,
    )


def _chip() -> tuple[MetricTable, ...]:
    calibration = chip_calibration()
    ours = {
        "estimate, nominal prices": tuple(row.nominal_pj for row in calibration.rows),
        "estimate, calibrated, row left out": tuple(row.left_out_pj for row in calibration.rows),
    }
    layers, measured = chip_layers(read_accelerator("eyeriss")), tuple(row.measured_pj for row in calibration.rows)
    says = "chip energy of five AlexNet convolutions, batch 4, DRAM not in it"
    return (_layers_table(REFERENCE, says, layers, measured, ours, calibration.data_sha256),)


def _chip_held_out() -> tuple[MetricTable, ...]:
    described, measurements, calibration = read_accelerator("eyeriss"), held_out_measurements(), chip_calibration()
    rows = held_out_predictions(described)
    unknown = held_out_without_zeros(described)
    out = frozenset(NOT_MEASURED)
    ours = {
        "estimate, nominal prices": tuple(sum(row.without(out).values()) for row in rows),
        "estimate, calibrated on AlexNet": tuple(map(calibration.energy_pj, rows)),
        "estimate, calibrated on AlexNet, zeros unknown": tuple(calibration.energy_pj(unknown[y.name]) for y in rows),
    }
    measured = tuple(row.energy_pj for row in measurements.rows)
    says = "chip energy of thirteen VGG-16 convolutions, batch 3, DRAM not in it; no price is fitted to them"
    return (_layers_table(HELD_OUT, says, held_out_layers(described), measured, ours, measurements.sha256),)


def _layers_table(
    reference: str,
    says: str,
    layers: tuple[ChipLayer, ...],
    measured: tuple[float, ...],
    ours: Mapping[str, tuple[float, ...]],
    sha256: str,
) -> MetricTable:
    graph = LayerGraph(reference, tuple(row.layer for row in layers))
    columns = {name: tuple(map(of, metrics(graph).layers)) for name, of in COUNTED.items()}
    columns["parameters"] = tuple(float(row.layer.parameters) for row in layers)
    columns["MACs that zeros leave"] = tuple(row.nonzero_macs for row in layers)
    columns["predicted time"] = tuple(row.time.total_s for row in layers)
    names, devices = tuple(row.name for row in layers), ("eyeriss",) * len(layers)
    every = MappingProxyType({**columns, **ours})
    return MetricTable(reference, says, "pJ", names, devices, measured, every, sha256)


FIGURE_BATCH, FIGURE_COLUMNS = 16, MappingProxyType({"mac": "alu", "register_file": "rf", "dram": "dram"})
"""What ISCA 2016's figure 10 was drawn at, and the parts of it that were read off, by our component."""


def _figure() -> tuple[MetricTable, ...]:
    reference, described = read_reference("eyeriss_isca16_fig10"), read_accelerator("eyeriss_isca16")
    graph = read_model("alexnet", batch=FIGURE_BATCH)
    # the paper calls fully connected layers fc1 to fc3, the packaged network fc6 to fc8
    renamed = {"fc1": "fc6", "fc2": "fc7", "fc3": "fc8"}
    names = [row["layer"] for row in reference.rows]
    layers = {layer.name: layer for layer in graph.layers}
    graph = LayerGraph("alexnet", tuple(layers[renamed.get(name, name)] for name in names))
    columns = {name: tuple(map(of, metrics(graph).layers)) for name, of in COUNTED.items()}
    columns["parameters"] = tuple(float(layer.parameters) for layer in graph.layers)
    columns["estimate on eyeriss_isca16, row stationary"] = tuple(
        sum(sum(row.energy_by_component_pj.get(part, {}).values()) for part in FIGURE_COLUMNS)
        for row in estimate(graph, described, dataflow="row_stationary").layers
    )
    table = MetricTable(
        reference.name,
        "energy of ALU, register file and DRAM of AlexNet's layers, batch 16, by the paper's own model (not measured)",
        "1e9 MACs",
        tuple(names),
        ("model",) * len(names),
        tuple(sum(float(row[column]) for column in FIGURE_COLUMNS.values()) for row in reference.rows),
        MappingProxyType(columns),
        reference.sha256,
    )
    return (table,)


@cache
def tiny_columns(on: str) -> Mapping[str, Mapping[str, float]]:
    """Every metric of the four MLPerf Tiny networks at 8 bits, by metric and network, estimated on one accelerator."""
    described = read_accelerator(on)
    found: dict[str, dict[str, float]] = {}
    for network in tiny.NETWORKS.values():
        graph = read_model(network, bits=TINY_BITS)
        total = metrics(graph).total
        for name, of in COUNTED.items():
            found.setdefault(name, {})[network] = of(total)
        result = estimate(graph, described)
        energy = {part: sum(roles.values()) for part, roles in result.totals.energy_by_component_pj.items()}
        inner = {described.accelerator.compute.name, described.accelerator.memories[-1].name}
        found.setdefault("parameters", {})[network] = float(graph.parameters)
        found.setdefault("estimate", {})[network] = result.totals.energy_pj
        found.setdefault("estimate, compute", {})[network] = sum(pj for part, pj in energy.items() if part in inner)
        found.setdefault("estimate, movement", {})[network] = sum(
            pj for part, pj in energy.items() if part not in inner
        )
        found.setdefault("estimate, time", {})[network] = result.totals.latency_s
    return MappingProxyType(found)


@cache
def tiny_classes() -> Mapping[str, str]:
    """Which class of `TINY_ON` each submission belongs to, by the MACs a second that it was measured to do at best."""
    fastest: dict[str, float] = {}
    for row in read_reference("mlperf_tiny_energy").rows:
        name = f"{row['system']} {row['round']}"
        macs_per_s = read_model(tiny.NETWORKS[row["benchmark"]]).macs * float(row["throughput_per_s"])
        fastest[name] = max(fastest.get(name, 0.0), macs_per_s)
    names = {True: "neural processors", False: "microcontrollers"}
    return MappingProxyType({name: names[rate > ARRAY_MACS_PER_S] for name, rate in fastest.items()})


def _tiny() -> tuple[MetricTable, ...]:
    found = []
    for group, on in TINY_ON.items():
        values = tiny_columns(on)
        rows = [
            (system, network, uj)
            for system, energies in tiny.systems().items()
            if tiny_classes()[system] == group
            for network, uj in energies.items()
        ]
        columns = {
            (f"estimate on {on}" if name == "estimate" else name): tuple(column[network] for _, network, _ in rows)
            for name, column in values.items()
            if not name.startswith("estimate,")
        }
        found.append(
            MetricTable(
                "mlperf_tiny_energy",
                f"MLPerf Tiny, {group}: energy of one inference, {len({s for s, _, _ in rows})} submissions",
                "uJ",
                tuple(f"{network} on {system}" for system, network, _ in rows),
                tuple(system for system, _, _ in rows),
                tuple(uj for _, _, uj in rows),
                MappingProxyType(columns),
                read_reference("mlperf_tiny_energy").sha256,
            )
        )
    return tuple(found)


def _yang() -> tuple[MetricTable, ...]:
    reference, described = read_reference("yang17"), read_accelerator("eyeriss")
    dense = [row for row in reference.rows if row["pruned"] == "0"]
    columns: dict[str, list[float]] = {}
    for row in dense:
        graph = read_model(row["network"], batch=YANG_BATCH)
        graph = LayerGraph(graph.name, tuple(layer for layer in graph.layers if layer.macs))
        total = metrics(graph).total
        for name, of in COUNTED.items():
            columns.setdefault(name, []).append(of(total))
        columns.setdefault("parameters", []).append(float(graph.parameters))
        energy = estimate(graph, described, dataflow="row_stationary").totals.energy_pj
        columns.setdefault(f"estimate on eyeriss, dense, batch {YANG_BATCH}", []).append(energy)
    table = MetricTable(
        "yang17",
        "dense networks, energy by the paper's own model (not measured)",
        "MACs",
        tuple(row["network"] for row in dense),
        ("model",) * len(dense),
        tuple(float(row["energy_macs"]) for row in dense),
        MappingProxyType({name: tuple(column) for name, column in columns.items()}),
        reference.sha256,
    )
    return (table,)


TABLES: Mapping[str, Callable[[], tuple[MetricTable, ...]]] = MappingProxyType(
    {
        REFERENCE: _chip,
        HELD_OUT: _chip_held_out,
        "mlperf_tiny_energy": _tiny,
        "yang17": _yang,
        "eyeriss_isca16_fig10": _figure,
    }
)
"""References that metrics are compared with."""
