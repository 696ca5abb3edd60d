"""What goes to peers and comes back keeps its counts; what is rendered is what was measured. No peer is needed."""

import re

import numpy as np
import pytest

from bench import peer
from bench.accelforge_layers import BETTER, CASES, MISSED, REFERENCES, by_action, cost, described, differing, marked
from bench.accelforge_words import forms, from_nodes, inward, outward, specification, to_nodes
from bench.model_differences import DIFFERENCES, nested
from bench.neighbours import cheaper_neighbours
from bench.ours import in_even_space
from bench.zigzag_mapping import tensor_by_tensor_pj, to_zigzag, translated
from energysim.hardware.read import DescribedAccelerator, read_accelerator
from energysim.mapping.counts import count
from energysim.mapping.nest import Loop, Mapping, Storage, problems
from energysim.mapping.replay import replay
from energysim.mapping.search import SearchResult, energy_pj, find_mapping
from energysim.workload.layer import convolution

HARDWARE = peer.ROOT / "bench" / "hardware"
LAYER = convolution("l", m=8, c=8, p=4, q=4, r=3, s=3)


def legal_mappings(name: str) -> tuple[DescribedAccelerator, SearchResult, list[Mapping]]:
    """A found mapping, and cheaper ones near a poor one: many legal mappings of one layer."""
    read = read_accelerator(HARDWARE / f"{name}.yaml")
    found = find_mapping(LAYER, read.accelerator, read.table)
    poor = SearchResult(found.mapping, found.counts, 1e18, 0.0, False, 0, 0, 0.0, False)
    near = cheaper_neighbours(LAYER, read.accelerator, read.table, poor, rounds=3, batch=15, seed=3)
    return read, found, [found.mapping, *(each.mapping for each in near)]


def energy_of(read: DescribedAccelerator, mapping: Mapping) -> float:
    """pJ of a mapping of the layer by our counts."""
    counts = count(LAYER, read.accelerator, mapping)
    return energy_pj(LAYER, read.accelerator, read.table, mapping, counts)


def test_accelforge_reads_the_layer_and_the_hierarchy() -> None:
    layer, facts, table = described(next(c for c in CASES if c.hardware == "eyeriss_forge" and "/2" in c.layer))
    text = specification(layer, facts, table, min_usage=1.0)
    assert '"output[m, p, q] = weight[m, c, r, s] * input[c, H: p * 2 + r, W: q * 2 + s]"' in text
    assert "- {name: x, fanout: 14, may_reuse: output | weight, min_usage: 1.0, reuse: weight}" in text
    assert "- {name: y, fanout: 12, may_reuse: output | weight, min_usage: 1.0, reuse: output}" in text
    assert "tensors: {keep: Nothing, may_keep: weight | input | output}" in text
    assert "- {name: read, energy: 200.0, bits_per_action: 16, throughput: inf}" in text


@pytest.mark.parametrize("hardware", ["eyeriss", "simba"])
def test_what_accelforge_cannot_say_is_refused(hardware: str) -> None:
    read = read_accelerator(hardware)
    with pytest.raises(ValueError, match=r"AccelForge|one price|one width"):
        specification(LAYER, read.accelerator, read.table)


@pytest.mark.parametrize("hardware", ["nvdla_forge", "eyeriss_forge"])
def test_mappings_go_to_accelforge_and_back(hardware: str) -> None:
    read, _, mappings = legal_mappings(hardware)
    kept = 0
    for mapping in mappings:
        assert from_nodes(LAYER, to_nodes(LAYER, mapping)) == mapping
        energy = energy_of(read, mapping)
        # Marks past loops that leave their tiles cost the same, past loops that slide them no more.
        seen = outward(LAYER, read.accelerator, mapping)
        if problems(LAYER, read.accelerator, seen) == ():
            assert energy_of(read, seen) <= energy * (1 + 1e-12)
            kept += energy_of(read, seen) >= energy * (1 - 1e-12)
        assert next(iter(forms(LAYER, read.accelerator, mapping))) == seen
    assert kept


def test_marks_go_in_past_what_accelforge_holds_one_step_of() -> None:
    # [I] C P Q: one step of C, then the window slides along P; Q moves a window too, and only one may slide.
    facts = read_accelerator(HARDWARE / "shared_buffer.yaml").accelerator
    rest = tuple(Storage("dram", tensor.name) for tensor in LAYER.tensors)
    loops = (Loop("C", 8), Loop("P", 4), Loop("Q", 4))
    tail = (Storage("buffer", "weight"), Storage("buffer", "output"), Loop("M", 8), Loop("R", 3), Loop("S", 3))
    mapping = Mapping((*rest, Storage("buffer", "input"), *loops, *tail))
    lowered = inward(LAYER, facts, mapping).nest
    assert lowered.index(Storage("buffer", "input")) == lowered.index(Loop("P", 4)) + 1
    assert lowered.index(Storage("buffer", "weight")) == lowered.index(Loop("S", 3)) + 1
    assert lowered.index(Storage("buffer", "output")) == lowered.index(Loop("M", 8)) + 1


def test_a_tile_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="tile 3 of M does not divide 8"):
        from_nodes(LAYER, [["temporal", "m", 3]])


def test_the_reference_that_accelforge_misses() -> None:
    # 64 * 64 * 14 * 14 * 9 = 7,225,344 MACs, each 1 pJ and four buffer accesses of 6 pJ but for the first reads of O.
    # DRAM words: weights once for each of 4 blocks of P, Q: 147,456; the rest by the marks (design notes: 247,691,264).
    case = next(c for c in CASES if (c.layer, c.words) == MISSED)
    assert cost(case, marked(described(case)[0], BETTER)) == REFERENCES[MISSED] == 247_691_264
    assert cost(case, marked(described(case)[0], BETTER.replace("C64 [input]", "[input] C64"))) != REFERENCES[MISSED]


def test_actions_that_differ_are_told_from_those_that_agree() -> None:
    layer, facts, _ = described(next(c for c in CASES if (c.layer, c.words) == MISSED))
    counts = count(layer, facts, marked(layer, BETTER))
    theirs = {key: float(n) for key, n in by_action(layer, counts).items()}
    assert differing(layer, counts, theirs | {"mac None compute": 1.0}) == {}
    key = "dram input read"
    assert differing(layer, counts, theirs | {key: 1.0}) == {key: (int(theirs[key]), 1.0)}


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.key)
def test_where_models_differ_replay_says_what_we_count(difference) -> None:  # type: ignore[no-untyped-def]
    read = read_accelerator(HARDWARE / f"{difference.hardware}.yaml")
    mapping = nested(difference)
    assert problems(difference.layer, read.accelerator, mapping) == ()
    counts = count(difference.layer, read.accelerator, mapping)
    assert counts == replay(difference.layer, read.accelerator, mapping)
    assert by_action(difference.layer, counts)[difference.key] > 0


def test_mappings_go_to_zigzag_and_back() -> None:
    read, _, mappings = legal_mappings("eyeriss_like")
    assert len(mappings) > 5
    for mapping in mappings:
        given = to_zigzag(read, mapping)
        assert given is not None
        back, moved = translated(LAYER, read, given)
        assert not moved
        counts = count(LAYER, read.accelerator, mapping)
        assert count(LAYER, read.accelerator, back) == counts
        # Legal as one nest: then each tensor in a nest of its own costs the same.
        assert np.isclose(tensor_by_tensor_pj(LAYER, read, given), energy_of(read, mapping), rtol=1e-12)


def test_a_mapping_without_a_mark_is_none_of_zigzags() -> None:
    read, found, _ = legal_mappings("eyeriss_like")
    less = Mapping(tuple(x for x in found.mapping.nest if x != Storage("sram_1M", "input")))
    assert to_zigzag(read, less) is None


def test_loops_of_one_tensor_do_not_count_for_another() -> None:
    # One register of inputs over all output channels, while the 8 kB of outputs change with each of them: one nest
    # cannot say so, and tensor by tensor the input is still filled once for each of its words per instance.
    read = read_accelerator(HARDWARE / "eyeriss_like.yaml")
    order = [["OX", 4], ["OY", 4], ["K", 8], ["FX", 3], ["FY", 3], ["C", 8]]
    given = {
        "temporal": {"O": [[], order[:2], order[2:], []], "W": [[], order, []], "I": [order[:3], order[3:], []]},
        "spatial": {"D1": [], "D2": []},
    }
    _, moved = translated(LAYER, read, given)
    assert moved
    assert tensor_by_tensor_pj(LAYER, read, given) > 0


def test_the_readme_quotes_what_was_measured() -> None:
    text = (peer.ROOT / "README.md").read_text()
    (quoted,) = re.findall(f"{re.escape(peer.BEGIN)}\n(.*?){re.escape(peer.END)}", text, flags=re.DOTALL)
    layers, networks = peer.read("accelforge"), peer.read("zigzag_network")
    assert quoted.splitlines() == peer.summary(layers, networks)
    report = (peer.ROOT / "reports" / "peer.md").read_text()
    assert "\n".join(peer.accelforge(layers)) in report
    assert "\n".join(peer.networks(networks)) in report


def test_a_mapping_in_words_has_its_loops_and_marks_in_order() -> None:
    mapping = nested(DIFFERENCES[0])
    assert mapping.nest[3:6] == (Storage("buffer", "weight"), Loop("P", 4), Storage("buffer", "input"))
    assert mapping.nest[-2:] == (Storage("register", "weight"), Loop("Q", 4))
    assert Loop("M", 4, "pe.x") in mapping.nest


def test_the_even_space_is_told_from_the_rest() -> None:
    read, found, mappings = legal_mappings("eyeriss_forge")
    facts = read.accelerator
    assert all(in_even_space(LAYER, facts, mapping) for mapping in mappings)
    nest = list(found.mapping.nest)
    marks = [i for i, x in enumerate(nest) if isinstance(x, Storage) and x.memory == "dram"]
    # A loop between the marks of one memory; a partial last tile.
    apart = [*nest[: marks[1]], Loop("M", 2), *nest[marks[1] :]]
    assert not in_even_space(convolution("l", m=16, c=8, p=4, q=4, r=3, s=3), facts, Mapping(tuple(apart)))
    assert not in_even_space(convolution("l", m=7, c=8, p=4, q=4, r=3, s=3), facts, found.mapping)
    # The reference that AccelForge misses has its marks at three depths.
    layer, shared, _ = described(next(c for c in CASES if (c.layer, c.words) == MISSED))
    assert not in_even_space(layer, shared, marked(layer, BETTER))
