"""Checks energysim against what was published of Eyeriss; `make reports` writes reports/eyeriss.md.

Data: energysim/calibration/reference/*.csv (each names its source) and the totals of Yang, Chen, Sze, CVPR 2017.
"""

from collections.abc import Iterator
from pathlib import Path

from energysim.calibration.eyeriss import published_mappings, read_reference
from energysim.costs.result import Estimate
from energysim.estimate import estimate
from energysim.hardware.read import DescribedAccelerator, read_accelerator
from energysim.mapping.counts import active_instances, count
from energysim.workload.encoding import ENCODINGS
from energysim.workload.graph import LayerGraph
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
    measured = {row["layer"]: row for row in read_reference("eyeriss_alexnet")}
    yield "## The chip's published mapping (JSSC 2017, table III), counted\n"
    yield "AlexNet, batch 4, 16-bit words. DRAM is after run-length coding of inputs and outputs at the published"
    yield "shares of zeros (first layer raw). p: predicted, m: measured (table V).\n"
    yield "| layer | PEs p | PEs m | buffer MB p | m | p/m | DRAM MB p | m | p/m | processing ms p | m | p/m |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|"
    zeros = {row["layer"]: row for row in read_reference("eyeriss_activation_zeros")}
    for name, layer, mapping in published_mappings():
        counts, real = count(layer, chip.accelerator, mapping), measured[name]
        buffer_mb = sum(n for key, n in counts.values.items() if key[0] == "global_buffer") * 2 / 1e6
        share = zeros[name.lower()]
        bits = {
            "weight": 16.0,
            "input": 16.0 if name == "CONV1" else coded(float(share["ifmap_zero_percent"])),
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
    alexnet = read_model("alexnet", batch=16)
    wanted = [y for y in alexnet.layers if y.macs]
    graph = LayerGraph("alexnet", tuple(wanted))
    result = estimate(graph, design, dataflow="row_stationary")
    yield "\n## ISCA 2016, figure 10: row-stationary AlexNet, batch 16, 256 PEs\n"
    yield "In 1e9 MACs. Ours is the best row-stationary mapping found; compulsory is the DRAM energy of moving each"
    yield "word once, which no mapping can undercut.\n"
    yield "| layer | ALU | published | RF | published | ours/p | DRAM | published | ours/p | compulsory | proven |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for i, (row, layer) in enumerate(zip(read_reference("eyeriss_isca16_fig10"), wanted, strict=True)):
        alu, rf, dram = (in_macs(result, design, i, c) / 1e9 for c in ("mac", "register_file", "dram"))
        least = sum(t.elements(layer.dims) for t in layer.tensors) * 200 / 1e9
        theirs = {key: float(row[key]) for key in ("alu", "rf", "dram")}
        cells = [f"{alu:.2f}", row["alu"], f"{rf:.2f}", row["rf"], f"{rf / theirs['rf']:.2f}"]
        cells += [f"{dram:.2f}", row["dram"], f"{dram / theirs['dram']:.2f}", f"{least:.2f}"]
        yield f"| {row['layer']} | {' | '.join(cells)} | {'yes' if result.layers[i].optimal else 'no'} |"


def yang_totals() -> Iterator[str]:
    """Whole networks against the published totals of the energy-aware pruning paper."""
    chip = read_accelerator("eyeriss")
    yield "\n## Yang17: whole networks, dense, row stationary, per image, in MACs\n"
    yield "The batch that the paper's table stands for is not known to us; it decides how often fully connected weights"
    yield "are read, so several are shown. AlexNet has the published zeros of each layer; GoogLeNet one density for all"
    yield "layers but the first, so that the MACs left are the published ones.\n"
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
    published = {row["layer"]: row for row in read_reference("eyeriss_activation_zeros")}
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
