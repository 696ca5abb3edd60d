"""What Deep k-Means claims of energy, computed again; `make deepk` writes reports/deepk.md.

Wu et al., ICML 2018 (arXiv:1806.09228), sections 3 and 4.2. Cluster rates are the paper's, networks the packaged ones:
no trained weights are needed, since every number follows from how many centroids there are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import fsum, sqrt
from pathlib import Path
from textwrap import wrap

from energysim.costs.metrics import ACCESS_IN_MACS, OPERAND_BITS, LayerMetrics, metrics
from energysim.estimate import estimate
from energysim.hardware.accelerator import CODEBOOK, Memory
from energysim.hardware.defaults import sram_price
from energysim.hardware.read import DescribedAccelerator, read_accelerator
from energysim.workload.graph import LayerGraph
from energysim.workload.layer import Layer
from energysim.workload.planned import planned_sharing, with_clusters
from energysim.workload.read import read_model

TARGET = Path(__file__).with_suffix(".md")
RATES = {
    "alexnet": (0.5, 0.3, 0.25, 0.2, 0.15, 0.1, 0.05, 0.01),
    "googlenet": (0.33, 0.18, 0.05, 0.012),
}
TABLE_WORD_BITS = 32
"""Width of the codebook table's port, as in eyeriss_storage.yaml."""

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


def table_for(graph: LayerGraph) -> DescribedAccelerator:
    """`eyeriss_storage` with a table that holds the largest codebook of a network, at CACTI's price of its size."""
    described = read_accelerator("eyeriss_storage")
    facts = described.accelerator
    assert facts.sharing is not None
    books = [(t.codebook, t.bits) for layer in graph.layers for t in layer.tensors if t.codebook]
    largest = max((book.entries * bits for book, bits in books), default=facts.sharing.table_bits or 1)
    held = Memory(CODEBOOK, largest, frozenset({"weight"}), TABLE_WORD_BITS)
    prices = {
        (CODEBOOK, action, "*"): sram_price(facts.technology_nm or 65.0, held, action) for action in ("read", "write")
    }
    sharing = replace(facts.sharing, table_bits=largest)
    return DescribedAccelerator(
        replace(facts, sharing=sharing), replace(described.table, prices=dict(described.table.prices) | prices)
    )


def free_table(described: DescribedAccelerator) -> DescribedAccelerator:
    """The same with look-ups that cost nothing: only bits moved are left."""
    free = {key: replace(p, pj=0.0) if key[0] == CODEBOOK else p for key, p in described.table.prices.items()}
    return replace(described, table=replace(described.table, prices=free))


def without_indices(graph: LayerGraph) -> LayerGraph:
    """The graph with indices of no bits: what any encoding linear in the cluster rate amounts to."""
    changed = {}
    for layer in graph.layers:
        tensors = (
            replace(t, codebook=replace(t.codebook, index_bits=0, coded_bits=0.0)) if t.codebook else t
            for t in layer.tensors
        )
        changed[layer.name] = replace(layer, tensors=tuple(tensors))
    return graph.with_layers(changed)


VARIANTS = ("table priced", "look-ups free", "look-ups and indices free")
"""How shared weights run on the hierarchy."""


def energies(name: str, scope: str) -> dict[str, list[float]]:
    """uJ of a network, dense and at each of its rates, by variant; scope: all its layers, or its convolutions."""
    graph = network(name)
    if scope == "convolutions":
        graph = LayerGraph(f"{name} convolutions", tuple(y for y in graph.layers if y.op == "convolution"))
    found: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    for rate in (None, *RATES[name]):
        shared = planned_sharing(graph, rate) if rate else graph
        priced = table_for(shared)
        runs = {VARIANTS[0]: (shared, priced), VARIANTS[1]: (shared, free_table(priced))}
        runs[VARIANTS[2]] = (without_indices(shared), free_table(priced))
        for variant, (each, described) in runs.items():
            found[variant].append(estimate(each, described).totals.energy_pj / 1e6)
    return found


def hierarchy(name: str) -> Iterator[str]:
    """Our energy of the hierarchy beside DeepK's metric, and how the two go together."""
    graph, rates = network(name), RATES[name]
    shared = [planned_sharing(graph, rate) for rate in rates]
    dense = metrics(graph).total.mac_units
    totals = {
        counted: [metrics(each, count_indices=counted).total.mac_units for each in shared] for counted in (False, True)
    }
    found = {(scope, variant): pj for scope in SCOPES for variant, pj in energies(name, scope).items()}
    yield f"\n## {name}: the hierarchy beside the metric\n"
    yield from wrap(HIERARCHY, 110)
    yield ""
    yield f"| cluster rate | index bits a weight | DeepK E/E0 | {' | '.join(f'{s}: {v}' for s, v in found)} |"
    yield "|" + "---|" * (3 + len(found))
    for i, rate in enumerate(rates):
        cells = [f"{rate:g}", f"{index_bits(shared[i]):.2f}", f"{totals[False][i] / dense:.3f}"]
        cells += [f"{pj[i + 1] / pj[0]:.4f}" for pj in found.values()]
        yield f"| {' | '.join(cells)} |"
    yield f"\nDeepK's total against the energy of the whole network at the {len(rates)} cluster rates (dense left out;"
    yield "the energy of the convolutions differs by a constant). Published, against the tool of Yang17:"
    yield f"R^2 = {PUBLISHED_R2[name]}, n = {len(rates)}.\n"
    yield "| metric | energy | n | R^2 | rank correlation | largest error of a left-out point |"
    yield "|---|---|---|---|---|---|"
    for counted, label in ((False, "DeepK's total"), (True, "with index bits")):
        for variant in VARIANTS:
            x, y = totals[counted], found[SCOPES[0], variant][1:]
            cells = [label, variant, str(len(x)), f"{r_squared(x, y):.4f}"]
            cells += [f"{rank_correlation(x, y):+.2f}", f"{left_out_error(x, y):.2%}"]
            yield f"| {' | '.join(cells)} |"
    least = found[SCOPES[0], VARIANTS[0]]
    by_metric, by_hierarchy = 1 - totals[False][-1] / dense, 1 - least[-1] / least[0]
    yield f"\nAt cluster rate {rates[-1]:g} the metric says {by_metric:.0%} less, the hierarchy {by_hierarchy:.0%}."


SCOPES = ("whole network", "convolutions")


def index_bits(graph: LayerGraph) -> float:
    """Mean index bits for each shared weight."""
    books = [t.codebook for layer in graph.layers for t in layer.tensors if t.codebook]
    return sum(b.samples * b.index_bits for b in books) / sum(b.samples * b.length for b in books)


HIERARCHY = """
Energy on `eyeriss_storage`, batch 1, optimal mappings, over that of the dense network. Weights move from DRAM to the
global buffer as fixed-length indices and from there as themselves, looked up in a table to which each layer's codebook
is copied once; here the table is as large as the network's largest codebook, at CACTI's price of that size (or free).
"""

CAVEAT = """
## What these correlations are worth

How shared weights were encoded for the published comparison is not known, and nothing but the cluster rate varies in
it: whatever is linear in the rate correlates with DeepK's total at R^2 = 1 by construction, whether or not its size is
right ("look-ups and indices free" above). A high R^2 over 8 or 4 points of one such line proves nothing of the metric;
that ours lie near the published ones proves nothing of ours. What the columns do say: the metric's *saving* is not the
hierarchy's. DeepK counts every use of a weight as a read of the global buffer, and a mapping reuses weights; what
sharing saves is mostly their DRAM traffic, and DRAM also moves activations and the fully connected layers, which stay
dense.
"""


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
    for name in RATES:
        lines += hierarchy(name)
    lines += CAVEAT.splitlines()
    return "\n".join([*lines, ""])


def main() -> None:
    """Write the report."""
    text = rendered()
    TARGET.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
