"""DeepK's correlation design: networks at several cluster rates, its total against ours; and why it proves little."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum

from energysim.calibration.correlation import Scores, scores
from energysim.costs.metrics import metrics
from energysim.estimate import estimate
from energysim.hardware.read import read_accelerator
from energysim.workload.graph import LayerGraph
from energysim.workload.planned import planned_sharing
from energysim.workload.read import read_model

RATES: Mapping[str, tuple[float, ...]] = {
    "alexnet": (0.5, 0.3, 0.25, 0.2, 0.15, 0.1, 0.05, 0.01),
    "googlenet": (0.33, 0.18, 0.05, 0.012),
}
"""Cluster rates of the paper (section 4.2)."""

PUBLISHED_R2 = {"alexnet": 0.9931, "googlenet": 0.9675}


@dataclass(frozen=True, slots=True)
class Design:
    """A network at each cluster rate: DeepK's total in MACs, our estimate in pJ, and how both go together."""

    network: str
    rates: tuple[float, ...]
    deepk_macs: tuple[float, ...]
    estimate_pj: tuple[float, ...]
    deepk: Scores
    rate_alone: Scores


def deepk_design(network: str, rates: Sequence[float] | None = None) -> Design:
    """The design on one network with convolutions shared by rows, on eyeriss, row stationary, one image.

    Shared weights leave DRAM as indices and a codebook and are whole everywhere else (storage sharing); any such rule
    is nearly linear in the rate, so R^2 is near 1 whatever is compared, the rate itself included: `rate_alone`.
    """
    rates = tuple(rates or RATES[network])
    graph = read_model(network)
    graph = LayerGraph(graph.name, tuple(layer for layer in graph.layers if layer.macs))
    result = estimate(graph, read_accelerator("eyeriss"), dataflow="row_stationary")
    weights = {row.name: row.energy_by_component_pj["dram"].get("weight", 0.0) for row in result.layers}
    dense = {row.name: row.stored_weight_bits for row in metrics(graph).layers}
    totals, energies = [], []
    for rate in rates:
        planned = planned_sharing(graph, rate)
        shared = metrics(planned)
        saved = fsum(weights[row.name] * (1 - row.stored_weight_bits / dense[row.name]) for row in shared.layers)
        energies.append(result.totals.energy_pj - saved)
        totals.append(metrics(planned, count_indices=False).total.mac_units)
    return Design(
        network,
        rates,
        tuple(totals),
        tuple(energies),
        scores("DeepK total", totals, energies),
        scores("cluster rate alone", rates, energies),
    )
