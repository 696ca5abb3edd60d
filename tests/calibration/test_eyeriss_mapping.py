"""The chip's published mapping of AlexNet (JSSC 2017, table III) is legal on our Eyeriss and uses the PEs it should."""

from math import prod

from energysim.calibration.eyeriss import published_mappings, read_reference
from energysim.hardware.read import read_accelerator
from energysim.mapping.counts import active_instances, count
from energysim.mapping.nest import problems
from energysim.mapping.replay import replay
from energysim.workload.layer import convolution


def test_active_processing_elements_of_all_five_layers() -> None:
    measured = {row["layer"]: int(row["active_pes"]) for row in read_reference("eyeriss_alexnet")}
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


def test_busy_instances_of_a_folded_set_by_replay() -> None:
    # The fold of conv2 in small: 5 output rows on 3 columns stand 3 + 2; a kernel of 2 rows makes 10 busy PEs.
    from energysim.hardware.accelerator import Accelerator, Array, Axis, Compute, Memory
    from energysim.mapping.nest import Loop, Mapping, Storage
    from energysim.workload.layer import ROLES

    layer = convolution("row", m=1, c=1, p=5, q=1, r=2)
    levels = (Memory("dram", None, frozenset(ROLES), 16), Array("pe", (Axis("x", 3), Axis("y", 4))))
    accelerator = Accelerator("small", "test", levels, Compute(), 1e9)
    loops = (Loop("P", 2, "pe.y"), Loop("R", 2, "pe.y"), Loop("P", 3, "pe.x"))
    mapping = Mapping((*(Storage("dram", t.name) for t in layer.tensors), *loops))
    assert active_instances(layer, mapping) == 10
    assert replay(layer, accelerator, mapping).steps == 1
    assert count(layer, accelerator, mapping) == replay(layer, accelerator, mapping)
