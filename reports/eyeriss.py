"""Checks energysim against what was published of Eyeriss; `make reports` writes reports/eyeriss.md.

Data: energysim/calibration/reference/*.csv (each names its source) and the totals of Yang, Chen, Sze, CVPR 2017.
"""

from collections.abc import Iterator
from pathlib import Path

from energysim.calibration.eyeriss import published_mappings
from energysim.calibration.references import read_reference, rows_by
from energysim.costs.prices import energy_by_key
from energysim.costs.result import Estimate
from energysim.estimate import estimate
from energysim.hardware.read import DescribedAccelerator, read_accelerator
from energysim.mapping.counts import active_instances, count
from energysim.mapping.nest import Mapping
from energysim.workload.encoding import ENCODINGS
from energysim.workload.graph import LayerGraph
from energysim.workload.layer import Layer
from energysim.workload.precision import with_density
from energysim.workload.read import read_model

TARGET = Path(__file__).with_suffix(".md")
YANG17 = {"alexnet": (3.97e9, 3.71e8), "googlenet": (7.63e9, 7.41e8)}
"""Energy in 16-bit MACs and MACs that zeros do not skip, per image: dense models, Yang17 as commonly quoted (+-2 %)."""
YANG17_BATCHES = (4, 8, 16, 48)


def mac_pj(accelerator: DescribedAccelerator) -> float:
    """pJ of one MAC: the unit of the published figures."""
    price = accelerator.table.price(accelerator.accelerator.compute.name, "mac", "compute")
    assert price is not None
    return price.pj


def in_macs(result: Estimate, accelerator: DescribedAccelerator, layer: int, component: str) -> float:
    """Energy of a component in a layer, in MACs."""
    return sum(result.layers[layer].energy_by_component_pj.get(component, {}).values()) / mac_pj(accelerator)


def chip_mapping() -> Iterator[str]:
    """The published mapping, counted: active PEs, megabytes and time against the measured chip."""
    chip = read_accelerator("eyeriss")
    measured = rows_by("eyeriss_alexnet", "layer")
    yield "## The chip's published mapping (JSSC 2017, table III), counted\n"
    yield "AlexNet, batch 4, 16-bit words. DRAM is after run-length coding of inputs and outputs at the published"
    yield "shares of zeros (first layer raw). p: predicted, m: measured (table V).\n"
    yield "| layer | PEs p | PEs m | buffer MB p | m | p/m | DRAM MB p | m | p/m | processing ms p | m | p/m |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|"
    zeros = rows_by("eyeriss_activation_zeros", "layer")
    for name, layer, mapping in published_mappings():
        counts, real = count(layer, chip.accelerator, mapping), measured[name]
        buffer_mb = sum(n for key, n in counts.values.items() if key[0] == "global_buffer") * 2 / 1e6
        share = zeros[name.lower()]
        bits = {
            "weight": 16.0,
            "input": coded(float(share["ifmap_zero_percent"])),
            "output": coded(float(share["ofmap_zero_percent"])),
        }
        dram_mb = sum(n * bits[key[2]] for key, n in counts.values.items() if key[0] == "dram") / 8e6
        ms = counts.steps / chip.accelerator.clock_hz * 1e3
        cells = [str(active_instances(layer, mapping)), real["active_pes"]]
        pairs = (buffer_mb, "global_buffer_mb"), (dram_mb, "dram_mb"), (ms, "processing_latency_ms")
        for predicted, column in pairs:
            cells += [f"{predicted:.1f}", real[column], f"{predicted / float(real[column]):.2f}"]
        yield f"| {name} | {' | '.join(cells)} |"


def coded(zero_percent: float) -> float:
    """Bits of a 16-bit activation after run-length coding."""
    return ENCODINGS["run_length"](16, 1.0 - zero_percent / 100.0)


def figure_10() -> Iterator[str]:
    """Row-stationary AlexNet on 256 PEs against ISCA 2016, figure 10."""
    design = read_accelerator("eyeriss_isca16")
    wanted = [y for y in read_model("alexnet", batch=16).layers if y.macs]
    result = estimate(LayerGraph("alexnet", tuple(wanted)), design, dataflow="row_stationary")
    chip = {name.lower(): pair for name, *pair in published_mappings(16, "register_file")}
    yield "\n## ISCA 2016, figure 10: row-stationary AlexNet, batch 16, 256 PEs\n"
    yield "In 1e9 MACs; p is what was published. First the chip's mapping (JSSC 2017, table III; convolutions only),"
    yield "counted at batch 16; then the best row-stationary mapping that the search found.\n"
    yield "| layer | ALU p | ours | RF p | chip's map | /p | found | /p | DRAM p | chip's map | /p | found | /p |"
    yield "|" + "---|" * 13
    worse = []
    for i, (row, layer) in enumerate(zip(read_reference("eyeriss_isca16_fig10").rows, wanted, strict=True)):
        cells = [row["layer"], row["alu"], f"{in_macs(result, design, i, 'mac') / 1e9:.2f}"]
        energies = {c: in_macs(result, design, i, c) / 1e9 for c in ("register_file", "dram")}
        theirs = chip_energy(design, *chip[row["layer"]]) if row["layer"] in chip else {}
        for column, component in (("rf", "register_file"), ("dram", "dram")):
            published = float(row[column])
            cells.append(row[column])
            for value in (theirs.get(component), energies[component]):
                cells += [f"{value:.2f}", f"{value / published:.2f}"] if value is not None else ["", ""]
        yield f"| {' | '.join(cells)} |"
        if theirs:
            found = result.layers[i].energy_pj / mac_pj(design) / 1e9
            least = sum(t.elements(layer.dims) for t in layer.tensors) * 200 / 1e9
            proof = "proven least" if result.layers[i].optimal else "not proven least"
            worse.append(
                f"* {row['layer']}: chip's mapping {sum(theirs.values()):.2f}, found {found:.2f} ({proof}), "
                f"compulsory DRAM {least:.2f}"
            )
    yield "\nWhere the found mapping moves other DRAM words than the published one, it costs less in all. All"
    yield "components together, and the DRAM energy of moving each word once, which no mapping can undercut:\n"
    yield from worse


def chip_energy(design: DescribedAccelerator, layer: Layer, mapping: Mapping) -> dict[str, float]:
    """Energy by component, in 1e9 MACs, of a layer under a given mapping."""
    counts = count(layer, design.accelerator, mapping)
    total: dict[str, float] = {}
    for key, pj in energy_by_key(counts, layer, design.accelerator, design.table, mapping).items():
        total[key[0]] = total.get(key[0], 0.0) + pj / mac_pj(design) / 1e9
    return total


def yang_totals() -> Iterator[str]:
    """Whole networks against the published totals of the energy-aware pruning paper."""
    chip = read_accelerator("eyeriss")
    yield "\n## Yang17: whole networks, dense, row stationary, per image, in MACs\n"
    yield "The batch that the paper's table stands for is not known to us; it decides how often fully connected weights"
    yield "are read, so several are shown. AlexNet has the published zeros of each layer (another source's: 9 % fewer"
    yield "MACs are left than published); GoogLeNet one density for all layers but the first, so that the MACs left are"
    yield "the published ones, which its DRAM coding also uses. Pooling and normalisation are left out.\n"
    yield "| network | batch | energy | published | ours/p | of it DRAM weights | MACs left | published |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, (energy, left) in YANG17.items():
        for batch in YANG17_BATCHES:
            graph = with_zeros(read_model(name, batch=batch), left)
            result = estimate(graph, chip, dataflow="row_stationary")
            image = mac_pj(chip) * batch
            ours = result.totals.energy_pj / image
            weights = result.totals.energy_by_component_pj["dram"]["weight"] / image
            done = sum(row.macs * row.active_share for row in result.layers) / batch
            cells = f"{energy:.3g} | {ours / energy:.2f} | {weights:.3g} | {done:.3g} | {left:.3g}"
            yield f"| {name} | {batch} | {ours:.3g} | {cells} |"


def with_zeros(graph: LayerGraph, macs_left: float) -> LayerGraph:
    """The network with zeros in its activations; layers without MACs left out, as the published totals do."""
    layers = tuple(y for y in graph.layers if y.macs)
    graph = LayerGraph(graph.name, layers)
    published = rows_by("eyeriss_activation_zeros", "layer")
    if set(published) <= {layer.name for layer in layers}:
        for name, row in published.items():
            density = {
                "input": 1.0 - float(row["ifmap_zero_percent"]) / 100.0,
                "output": 1.0 - float(row["ofmap_zero_percent"]) / 100.0,
            }
            graph = with_density(graph, {name: density})
        return graph
    rest = sum(layer.macs for layer in layers[1:])
    share = (macs_left * layers[0].dims["N"] - layers[0].macs) / rest
    return with_density(graph, {layer.name: {"input": share, "output": share} for layer in layers[1:]})


def main() -> None:
    """Compute every table and write the report."""
    lines = [
        "# Eyeriss: energysim against what was published",
        "",
        "Made by `make reports` (`python -m reports.eyeriss`).",
        "",
    ]
    for part in (chip_mapping(), figure_10(), yang_totals()):
        for line in part:
            print(line)
            lines.append(line)
    TARGET.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
