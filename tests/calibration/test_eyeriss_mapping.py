"""The chip's published mapping of AlexNet (JSSC 2017, table III) is legal on our Eyeriss and uses the PEs it should."""

from math import prod

import pytest

from energysim.calibration.eyeriss import published_mappings
from energysim.calibration.references import read_reference, rows_by
from energysim.costs.prices import energy_by_key
from energysim.hardware.read import read_accelerator
from energysim.mapping.counts import active_instances, count
from energysim.mapping.nest import Storage, problems, tile_bits
from energysim.mapping.replay import replay
from energysim.workload.encoding import run_length
from energysim.workload.layer import convolution


def test_active_processing_elements_of_all_five_layers() -> None:
    measured = {row["layer"]: int(row["active_pes"]) for row in read_reference("eyeriss_alexnet").rows}
    accelerator = read_accelerator("eyeriss").accelerator
    for name, layer, mapping in published_mappings():
        assert problems(layer, accelerator, mapping) == (), name
        assert active_instances(layer, mapping) == measured[name], name


def test_the_mapping_does_all_the_work_and_no_more() -> None:
    # AlexNet's convolutions, MACs of one image: 55*55*363*96; 27*27*1200*256; 13*13*2304*384; 13*13*1728*384, *256.
    macs = [105_415_200, 223_948_800, 149_520_384, 112_140_288, 74_760_192]
    accelerator = read_accelerator("eyeriss").accelerator
    for (name, layer, mapping), expected in zip(published_mappings(), macs, strict=True):
        counts = count(layer, accelerator, mapping)
        assert layer.macs == 4 * expected, name
        # Weights enter each spad once a pass, inputs and psums flow through; DRAM sees at least every word once.
        assert counts.values["dram", "read", "input"] >= layer.tensors[1].elements(layer.dims)
        assert counts.values["dram", "read", "weight"] >= prod(layer.dims[d] for d in "GMCRS")


def test_the_published_space_in_the_global_buffer() -> None:
    # JSSC 2017, table III, last two columns, KiB of inputs and of partial sums (read off the transcriber's raw scan).
    published = {
        "CONV1": (15.5, 72.2),
        "CONV2": (3.8, 91.1),
        "CONV3": (7.0, 84.5),
        "CONV4": (10.5, 84.5),
        "CONV5": (10.5, 84.5),
    }
    accelerator = read_accelerator("eyeriss").accelerator
    for name, layer, mapping in published_mappings():
        source = layer.tensor("input")
        assert source is not None
        for tensor, kib in zip((source, layer.output), published[name], strict=True):
            tile = mapping.tile(mapping.nest.index(Storage("global_buffer", tensor.name)), layer.dims)
            bits = tile_bits(tensor, tile, accelerator, "global_buffer")
            assert bits / 8 / 1024 == pytest.approx(kib, abs=0.06), (name, tensor.name)


def test_figure_10_of_isca_2016_with_the_published_mapping() -> None:
    # In MACs at batch 16, published to two decimals: ALU exact, register file within 4 %, DRAM within 5 % a layer.
    design = read_accelerator("eyeriss_isca16")
    published = rows_by("eyeriss_isca16_fig10", "layer")
    pj = design.table.prices["mac", "mac", "*"].pj
    for name, layer, mapping in published_mappings(16, "register_file"):
        counts = count(layer, design.accelerator, mapping)
        energies = energy_by_key(counts, layer, design.accelerator, design.table, mapping)
        row = published[name.lower()]
        assert round(energies["mac", "mac", "compute"] / pj / 1e9, 2) == float(row["alu"]), name
        for column, component, tolerance in (("rf", "register_file", 0.04), ("dram", "dram", 0.05)):
            ours = sum(e for key, e in energies.items() if key[0] == component) / pj / 1e9
            assert ours == pytest.approx(float(row[column]), rel=tolerance), (name, column)


def test_dram_megabytes_of_the_chip() -> None:
    # JSSC 2017, table V, after run-length coding; the first layer raw. Five layers within 6 %.
    accelerator = read_accelerator("eyeriss").accelerator
    zeros = rows_by("eyeriss_activation_zeros", "layer")
    measured = {row["layer"]: float(row["dram_mb"]) for row in read_reference("eyeriss_alexnet").rows}
    for name, layer, mapping in published_mappings():
        share = zeros[name.lower()]
        bits = {
            "weight": 16.0,
            "input": run_length(16, 1 - float(share["ifmap_zero_percent"]) / 100),
            "output": run_length(16, 1 - float(share["ofmap_zero_percent"]) / 100),
        }
        moved = count(layer, accelerator, mapping).values.items()
        assert sum(n * bits[key[2]] for key, n in moved if key[0] == "dram") / 8e6 == pytest.approx(
            measured[name], rel=0.06
        )


def test_busy_instances_of_a_folded_set_by_replay() -> None:
    # The fold of conv2 in small: 5 output rows on 3 columns stand 3 + 2; a kernel of 2 rows makes 10 busy PEs.
    from energysim.hardware.accelerator import Accelerator, Array, Axis, Compute, Memory
    from energysim.mapping.nest import Loop, Mapping
    from energysim.workload.layer import ROLES

    layer = convolution("row", m=1, c=1, p=5, q=1, r=2)
    levels = (Memory("dram", None, frozenset(ROLES), 16), Array("pe", (Axis("x", 3), Axis("y", 4))))
    accelerator = Accelerator("small", "test", levels, Compute(), 1e9)
    loops = (Loop("P", 2, "pe.y"), Loop("R", 2, "pe.y"), Loop("P", 3, "pe.x"))
    mapping = Mapping((*(Storage("dram", t.name) for t in layer.tensors), *loops))
    assert active_instances(layer, mapping) == 10
    assert replay(layer, accelerator, mapping).steps == 1
    assert count(layer, accelerator, mapping) == replay(layer, accelerator, mapping)
