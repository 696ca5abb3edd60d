"""What Deep k-Means claims of energy, computed again; `make deepk` writes reports/deepk.md.

Wu et al., ICML 2018 (arXiv:1806.09228), sections 3 and 4.2. Cluster rates are the paper's, networks the packaged ones:
no trained weights are needed, since every number follows from how many centroids there are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import fsum, sqrt
from pathlib import Path

from energysim.costs.metrics import ACCESS_IN_MACS, OPERAND_BITS, LayerMetrics, metrics
from energysim.workload.graph import LayerGraph
from energysim.workload.layer import Layer
from energysim.workload.planned import planned_sharing, with_clusters
from energysim.workload.read import read_model

TARGET = Path(__file__).with_suffix(".md")
RATES = {
    "alexnet": (0.5, 0.3, 0.25, 0.2, 0.15, 0.1, 0.05, 0.01),
    "googlenet": (0.33, 0.18, 0.05, 0.012),
}
PUBLISHED_R2 = {"alexnet": 0.9931, "googlenet": 0.9675}
"""Of DeepK's total with the tool of Yang17, over these cluster rates."""


def network(name: str) -> LayerGraph:
    """A packaged network at 16 bits, the weights of its linear layers at 8 (METHODS' reading of DeepK 4.2.1)."""
    graph = read_model(name, bits=16)
    return graph.with_layers({y.name: _narrow(y) for y in graph.layers if y.op == "linear"})


def _narrow(layer: Layer) -> Layer:
    tensors = (replace(t, bits=8) if t.role == "weight" else t for t in layer.tensors)
    return replace(layer, tensors=tuple(tensors))


def parts(total: LayerMetrics) -> tuple[float, float, float, float]:
    """DeepK's total in MAC units: full adders, weights, indices, activations."""
    moved = [total.weight_cost_bits, total.index_cost_bits, total.activation_cost_bits]
    weights, indices, activations = (bits * ACCESS_IN_MACS / OPERAND_BITS for bits in moved)
    return total.mac_units - weights - indices - activations, weights, indices, activations


def metric_table(name: str) -> Iterator[str]:
    """The three metrics at every cluster rate, and what the paper leaves out: index bits, the lower bound of C."""
    graph = network(name)
    dense = metrics(graph).total
    yield f"\n## {name}: the three metrics\n"
    yield "In 1e9 MAC units; C computational, W weight, X activation representational cost. E/E0 as the paper counts it"
    yield "(indices free, C at its upper bound); then with C at its lower bound, C x K/N; then with index bits counted"
    yield "at every use, as the centroids' bits are. Size: weights at rest with codebooks and fixed-length indices.\n"
    yield "| cluster rate | C | W | X | total | E/E0 | E/E0, least C | indices | E/E0 with them | size MB | of dense |"
    yield "|" + "---|" * 11
    for rate in (None, *RATES[name]):
        shared = planned_sharing(graph, rate) if rate else graph
        paper, full = (metrics(shared, count_indices=counted).total for counted in (False, True))
        adders, weights, _, activations = parts(paper)
        cells = [f"{rate:g}" if rate else "dense"]
        cells += [f"{value / 1e9:.3f}" for value in (adders, weights, activations, paper.mac_units)]
        cells += [f"{value / dense.mac_units:.3f}" for value in (paper.mac_units, paper.least_mac_units)]
        cells += [f"{parts(full)[2] / 1e9:.3f}", f"{full.mac_units / dense.mac_units:.3f}"]
        cells += [f"{full.stored_weight_bits / 8e6:.2f}", f"{full.stored_weight_bits / dense.stored_weight_bits:.3f}"]
        yield f"| {' | '.join(cells)} |"


def weight_cost_of_lenet() -> Iterator[str]:
    """Figure 2 of the paper: the weight representational cost of LeNet's first layer."""
    graph = read_model("lenet_caffe5")
    dense = metrics(graph).layers[0].weight_cost_bits
    clusters = range(10, 0, -1)
    yield "\n## LeNet conv1: weight representational cost (figure 2)\n"
    yield "100 rows of 5. The reduction is 1 - K/N while indices are free; the last row counts ceil(log2 K) bits.\n"
    yield f"| K | {' | '.join(map(str, clusters))} |"
    yield "|" + "---|" * (len(clusters) + 1)
    shared = [graph.with_layers({"conv1": with_clusters(graph.layers[0], k)}) for k in clusters]
    for counted, label in ((False, "reduction"), (True, "with indices")):
        found = [metrics(each, count_indices=counted).layers[0] for each in shared]
        cells = [f"{1 - (row.weight_cost_bits + row.index_cost_bits) / dense:.1%}" for row in found]
        yield f"| {label} | {' | '.join(cells)} |"


def r_squared(x: Sequence[float], y: Sequence[float]) -> float:
    """Of the straight line through the points."""
    mean_x, mean_y = fsum(x) / len(x), fsum(y) / len(y)
    together = fsum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return together**2 / (fsum((a - mean_x) ** 2 for a in x) * fsum((b - mean_y) ** 2 for b in y))


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> float:
    """Spearman's; equal values share the mean of their ranks."""
    sign = 1.0 if fsum(a * b for a, b in zip(_centred(_ranks(x)), _centred(_ranks(y)), strict=True)) > 0 else -1.0
    return sign * sqrt(r_squared(_ranks(x), _ranks(y)))


def left_out_error(x: Sequence[float], y: Sequence[float]) -> float:
    """Largest relative error in telling each y by the line through all other points."""
    errors = []
    for i in range(len(x)):
        others = [(a, b) for j, (a, b) in enumerate(zip(x, y, strict=True)) if j != i]
        mean_x, mean_y = (fsum(column) / len(others) for column in zip(*others, strict=True))
        slope = fsum((a - mean_x) * (b - mean_y) for a, b in others) / fsum((a - mean_x) ** 2 for a, _ in others)
        errors.append(abs((mean_y + slope * (x[i] - mean_x)) / y[i] - 1))
    return max(errors)


def _centred(values: Sequence[float]) -> list[float]:
    mean = fsum(values) / len(values)
    return [value - mean for value in values]


def _ranks(values: Sequence[float]) -> list[float]:
    return [sum(other < value for other in values) + (values.count(value) - 1) / 2 for value in values]


def rendered() -> str:
    """The report as Markdown."""
    lines = ["# Deep k-Means: energy-aware metrics", "", *(__doc__ or "").strip().splitlines()]
    for name in RATES:
        lines += metric_table(name)
    lines += weight_cost_of_lenet()
    return "\n".join([*lines, ""])


def main() -> None:
    """Write the report."""
    text = rendered()
    TARGET.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
