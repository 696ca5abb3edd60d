"""Reading accelerators: what is understood, every way a file can be wrong, and the way back to YAML."""

import os
import pickle
import random
import subprocess
import sys
from pathlib import Path

import pytest

from energysim.errors import InputError, UnknownNameError
from energysim.hardware.accelerator import Array, Axis, Memory
from energysim.hardware.fields import CODINGS, DIMS, ROLES
from energysim.hardware.read import DescribedAccelerator, parse_accelerator, read_accelerator, to_yaml
from energysim.packaged import packaged
from energysim.workload.encoding import ENCODINGS
from energysim.workload.layer import DIMS as LAYER_DIMS
from energysim.workload.layer import ROLES as LAYER_ROLES
from energysim.yaml_nodes import parse

TINY = """\
source: an example for tests
sources: {book: "A book, page 1"}
clock_hz: 8e-2
idle_power: {watts: 0.5, source: book, tier: measured}
levels:
  - memory: dram
    capacity_bits: unlimited
    keeps: [weight, input, output]
    word_bits: 64
    read_bits_per_cycle: 4
    write_bits_per_cycle: unlimited
    energy:
      read: {pj: 6, per_bits: 16, source: book, tier: published}
      write: {pj: 7, per_bits: any, source: "Someone, said so", tier: default}
  - array: pe
    axes: {x: {size: 2, dims: [M]}, y: {size: 1}}
    multicast: [input]
    reduction: false
    energy:
      transfer: {pj: 2, per_bits: 8, source: book, tier: table}
  - memory: spad
    capacity_bits: 96
    partition_bits: {weight: 32}
    keeps: [weight, output]
    bypassable: [output]
    word_bits: 16
    read_bits_per_cycle: 16
    write_bits_per_cycle: 16
    shared_port: false
    codings: {weight: run_length}
    energy:
      read: {pj: 1, per_bits: 16, source: book, tier: table}
      write: {pj: 1, per_bits: 16, source: book, tier: table}
      by_role: {output: {write: {pj: 3, per_bits: 32, source: book, tier: table}}}
compute:
  gates: [input]
  energy:
    mac: {pj: 1, source: book, tier: table}
    op: {pj: 0.5, source: book, tier: table}
    gated: {pj: 0.1, source: book, tier: table}
"""


def described(text: str) -> DescribedAccelerator:
    return parse_accelerator(parse(text, "a.yaml"), "a")


def refused(text: str | bytes) -> list[str]:
    with pytest.raises(InputError) as caught:
        parse_accelerator(parse(text, "a.yaml"), "a")
    return str(caught.value).splitlines()


def test_every_field_arrives() -> None:
    accelerator, table = described(TINY).accelerator, described(TINY).table
    assert (accelerator.name, accelerator.source, accelerator.clock_hz) == ("a", "an example for tests", 0.08)
    dram, pe, spad = accelerator.levels
    assert dram == Memory("dram", None, frozenset(ROLES), 64, read_bits_per_cycle=4.0)
    assert pe == Array("pe", (Axis("x", 2, frozenset("M")), Axis("y", 1)), frozenset({"input"}), reduction=False)
    assert isinstance(spad, Memory)
    # 96 bits in all, 32 of them for weights: 64 are left for outputs.
    assert (spad.capacity_bits, dict(spad.partitions)) == (64, {"weight": 32})
    assert (spad.keeps, spad.bypassable) == (frozenset({"weight", "output"}), frozenset({"output"}))
    assert (spad.shared_port, dict(spad.codings)) == (False, {"weight": "run_length"})
    assert (accelerator.compute.name, accelerator.compute.gates, accelerator.compute.bits) == ("mac", {"input"}, None)
    assert accelerator.instances("spad") == 2
    read, write = table.price("dram", "read", "weight"), table.price("dram", "write", "input")
    assert read is not None
    assert (read.pj, read.width_bits, read.source, read.tier) == (6.0, 16, "A book, page 1", "published")
    assert write is not None
    assert (write.pj, write.width_bits, write.source, write.tier) == (7.0, None, "Someone, said so", "default")
    own, general = table.price("spad", "write", "output"), table.price("spad", "write", "weight")
    assert own is not None
    assert general is not None
    assert (own.pj, own.width_bits, general.pj) == (3.0, 32, 1.0)
    gated = table.price("mac", "gated", "compute")
    assert gated is not None
    assert gated.pj == 0.1
    assert (table.idle_power_w, table.idle_power_source, table.idle_power_tier) == (0.5, "A book, page 1", "measured")


def test_names_agree_with_the_workload() -> None:
    assert (ROLES, DIMS) == (LAYER_ROLES, LAYER_DIMS)
    assert set(CODINGS) == set(ENCODINGS), "an encoding in workload/encoding.py also needs a line in hardware/fields.py"


def changed(old: str, new: str) -> str:
    assert TINY.count(old) == 1, old
    return TINY.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    word_bits: 64\n", "\tword_bits: 64\n", "a.yaml:9: tab; YAML is indented with spaces"),
        ("    word_bits: 64\n", "    keeps: []\n", "a.yaml:9: key 'keeps' was given before, on line 8"),
        (
            "    word_bits: 64\n",
            "    word_bits: 64\n    capacity_bit: 8\n",
            "a.yaml:10: unknown memory field 'capacity_bit'; did you mean 'capacity_bits'?",
        ),
        (
            "capacity_bits: 96",
            "capacity_bits: -96",
            "a.yaml:22: capacity_bits must be an integer of at least 1, or 'unlimited', not -96",
        ),
        (
            "capacity_bits: 96",
            "capacity_bits: 108 kB",
            "a.yaml:22: capacity_bits must be an integer of at least 1, or 'unlimited', not the text '108 kB'",
        ),
        ("clock_hz: 8e-2", "clock_hz: 0", "a.yaml:3: clock_hz must be a number above 0, not 0"),
        ("clock_hz: 8e-2", "clock_hz: .inf", "a.yaml:3: clock_hz must be a number above 0, not inf"),
        (
            "clock_hz: 8e-2",
            "clock_hz: 1:30",
            "a.yaml:3: 1:30 is ambiguous (base 60 in old YAML); write a number or quote it",
        ),
        ("reduction: false", "reduction: no", "a.yaml:18: reduction must be true or false, not the text 'no'"),
        (
            "{size: 2, dims: [M]}",
            "{size: 0}",
            "a.yaml:16: size must be an integer of at least 1 and at most 1048576, not 0",
        ),
        (
            "{size: 2, dims: [M]}",
            "{size: 2, dims: [m]}",
            "a.yaml:16: unknown dims 'm'; did you mean 'M'?",
        ),
        ("multicast: [input]", "multicast: [inputs]", "a.yaml:17: unknown multicast 'inputs'; did you mean 'input'?"),
        ("pj: 6,", "pj: -6,", "a.yaml:13: pj must be a number of at least 0, not -6"),
        ("pj: 6,", "", "a.yaml:13: price field 'pj' is missing"),
        ("pj: 6,", "pj: 6, pico: 3,", "a.yaml:13: unknown price field 'pico'; known: pj, per_bits, source, tier"),
        (
            "      read: {pj: 6, per_bits: 16, source: book, tier: published}\n",
            "",
            "a.yaml:12: memory 'dram' has no energy for 'read'; give it, or say 'defaults: allowed'",
        ),
        (
            "    mac: {pj: 1, source: book, tier: table}\n",
            "",
            "a.yaml:37: compute 'mac' has no energy for 'mac'; give it, or say 'defaults: allowed'",
        ),
        (
            "    energy:\n      transfer: {pj: 2, per_bits: 8, source: book, tier: table}\n",
            "",
            "a.yaml:15: array 'pe' has no energy for 'transfer'; give it, or say 'defaults: allowed'",
        ),
        (
            "source: book, tier: measured",
            "source: bok, tier: measured",
            "a.yaml:4: unknown source 'bok'; did you mean 'book'?",
        ),
        ("tier: measured", "tier: mesured", "a.yaml:4: unknown tier 'mesured'; did you mean 'measured'?"),
        ("memory: spad", "memory: pe", "a.yaml:21: the name 'pe' is taken by the level on line 15"),
        ("memory: spad", "memory: mac", "a.yaml:35: the name 'mac' is taken by the level on line 21"),
        (
            "partition_bits: {weight: 32}",
            "partition_bits: {weight: 97}",
            "a.yaml:23: partitions take 97 bits, spad holds 96",
        ),
        (
            "partition_bits: {weight: 32}",
            "partition_bits: {weight: 96}",
            "a.yaml:23: partitions leave nothing of spad for output",
        ),
        (
            "codings: {weight: run_length}",
            "codings: {input: dense}",
            "a.yaml:30: codings names input, which spad does not keep",
        ),
        ("by_role: {output:", "by_role: {input:", "a.yaml:34: by_role names input, which spad does not keep"),
        (
            "keeps: [weight, input, output]",
            "keeps: [weight, input]",
            "a.yaml:6: the outermost level must be a memory that keeps weight, input and output, none bypassable",
        ),
        ("source: an example for tests\n", "", "a.yaml:1: accelerator field 'source' is missing"),
        (
            "idle_power: {watts: 0.5, source: book, tier: measured}\n",
            "",
            "a.yaml:1: accelerator field 'idle_power' is missing",
        ),
        ("watts: 0.5", "watts: -1", "a.yaml:4: watts must be a number of at least 0, not -1"),
        (
            "source: book, tier: measured",
            "source: *b, tier: measured",
            "a.yaml:4: alias '*b'; anchors and aliases are not allowed",
        ),
        ("source: an example", "source: !!str an example", None),
    ],
)
def test_each_mistake_is_one_exact_line(old: str, new: str, message: str | None) -> None:
    lines = refused(changed(old, new))
    assert lines == [message] if message else len(lines) == 1


def test_several_mistakes_are_reported_together_in_the_order_of_the_file() -> None:
    text = changed("pj: 6,", "pj: -6,").replace("capacity_bits: 96", "capacity_bit: 96").replace("8e-2", "no")
    assert refused(text) == [
        "a.yaml:3: clock_hz must be a number above 0, not the text 'no'",
        "a.yaml:13: pj must be a number of at least 0, not -6",
        "a.yaml:22: unknown memory field 'capacity_bit'; did you mean 'capacity_bits'?",
    ]


def test_mistakes_between_fields_are_reported_together_too() -> None:
    text = (
        changed("memory: spad", "memory: pe")
        .replace("{weight: 32}", "{weight: 97}")
        .replace("book, tier: t", "bok, tier: t")
    )
    general = "      read: {pj: 6, per_bits: 16, source: book, tier: published}\n"
    lines = refused(text.replace(general, ""))
    # Without its line 13 the file is one line shorter from there on.
    assert lines[0] == "a.yaml:12: memory 'dram' has no energy for 'read'; give it, or say 'defaults: allowed'"
    assert "a.yaml:20: the name 'pe' is taken by the level on line 14" in lines
    assert "a.yaml:22: partitions take 97 bits, pe holds 96" in lines
    assert lines[1] == "a.yaml:19: unknown source 'bok'; did you mean 'book'?"


def test_answers_do_not_depend_on_the_hash_seed(tmp_path: Path) -> None:
    many = "\n".join(f"field_{i}: 1" for i in range(40))
    (tmp_path / "many.yaml").write_text(TINY + many, "utf-8")
    code = (
        "import energysim.hardware.read as r, sys\n"
        "print(r.to_yaml(r.read_accelerator('nvdla')), r.read_accelerator('eyeriss').sha256)\n"
        "try: r.read_accelerator(sys.argv[1])\n"
        "except r.InputError as error: print(error)\n"
    )
    said = set()
    for seed in ("0", "1"):
        command = [sys.executable, "-c", code, str(tmp_path / "many.yaml")]
        environment = os.environ | {"PYTHONHASHSEED": seed}
        said.add(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert len(said) == 1


def test_whole_files_that_are_wrong(tmp_path: Path) -> None:
    assert refused("- a\n- b\n") == ["a.yaml:1: accelerator must be a mapping of accelerator fields, not a list"]
    assert refused("42") == ["a.yaml:1: accelerator must be a mapping of accelerator fields, not 42"]
    assert refused("") == ["a.yaml:1: holds nothing"]
    path = tmp_path / "rubbish.yaml"
    path.write_bytes(random.Random(0).randbytes(5000))
    with pytest.raises(InputError, match=r"rubbish\.yaml:1: not UTF-8 \(byte 0x"):
        read_accelerator(path)


def test_a_file_with_a_byte_order_mark_and_windows_line_ends_is_read() -> None:
    text = b"\xef\xbb\xbf" + TINY.replace("\n", "\r\n").encode()
    assert parse_accelerator(parse(text, "a.yaml"), "a") == described(TINY)


def test_prices_by_role_serve_when_every_role_kept_has_one() -> None:
    general = "      read: {pj: 1, per_bits: 16, source: book, tier: table}\n"
    weight, output = (
        f"{role}: {{read: {{pj: 2, per_bits: 16, source: book, tier: table}}}}" for role in ("weight", "output")
    )
    without = changed("by_role: {output: {write: {pj: 3, per_bits: 32, source: book, tier: table}}}", "by_role: {W}")
    assert refused(without.replace(general, "").replace("W", weight)) == [
        "a.yaml:31: memory 'spad' has no energy for 'read'; give it, or say 'defaults: allowed'"
    ]
    first = described(without.replace(general, "").replace("W", f"{weight}, {output}"))
    price = first.table.price("spad", "read", "output")
    assert price is not None
    assert price.pj == 2
    assert first.table.price("spad", "read", "input") is None
    assert parse_accelerator(parse(to_yaml(first), "a.yaml"), "a").table == first.table


def test_defaults_are_priced_and_marked_only_when_allowed() -> None:
    text = changed("      read: {pj: 6, per_bits: 16, source: book, tier: published}\n", "")
    assert refused(text + "defaults: allowed\n") == [
        "a.yaml:12: a default energy for 'read' of 'dram' needs 'technology_nm'"
    ]
    table = described(text + "defaults: allowed\ntechnology_nm: 45\n").table
    price = table.price("dram", "read", "input")
    assert price is not None
    # Half way between 1.3 and 2.6 nJ for 64 bits, the word of this memory.
    assert (price.pj, price.width_bits, price.tier) == (1950.0, 64, "default")
    assert described(text + "defaults: allowed\ntechnology_nm: 45\n").weakest_tier == "default"


@pytest.mark.parametrize("name", sorted(packaged("hw_configs")))
def test_packaged_accelerators_come_back_from_yaml_exactly(name: str) -> None:
    first = read_accelerator(name)
    text = to_yaml(first)
    again = parse_accelerator(parse(text, "resolved.yaml"), "other")
    assert (again.accelerator, again.table, again.sha256) == (first.accelerator, first.table, first.sha256)
    assert to_yaml(again) == text


def test_the_example_comes_back_exactly_too() -> None:
    first = described(TINY)
    again = parse_accelerator(parse(to_yaml(first), "a.yaml"), "other")
    assert (again.accelerator, again.table) == (first.accelerator, first.table)


def test_the_hash_is_of_what_is_said() -> None:
    assert described(TINY + "# a comment\n").sha256 == described(TINY).sha256
    assert described(changed("pj: 6,", "pj: 6.5,")).sha256 != described(TINY).sha256


def test_names_and_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownNameError, match="unknown accelerator 'eyerisss'; did you mean 'eyeriss'"):
        read_accelerator("eyerisss")
    with pytest.raises(InputError, match=r"nowhere/x\.yaml: no such file"):
        read_accelerator("nowhere/x.yaml")
    (tmp_path / "mine.yaml").write_text(TINY, "utf-8")
    monkeypatch.chdir(tmp_path)
    assert read_accelerator("mine.yaml").name == "mine"
    assert read_accelerator(tmp_path / "mine.yaml").file == str(tmp_path / "mine.yaml")
    with pytest.raises(InputError, match="is a directory"):
        read_accelerator(tmp_path)
    for strange in ("x" * 5000, "a\0b", "", "\x1b[2J"):
        with pytest.raises(InputError) as caught:
            read_accelerator(strange)
        assert str(caught.value).isprintable()


def test_a_file_may_have_any_name(tmp_path: Path) -> None:
    path = tmp_path / "my chip-2.yaml"
    path.write_text(TINY, "utf-8")
    first = read_accelerator(path)
    assert first.name == "my chip-2"
    assert parse_accelerator(parse(to_yaml(first), "a.yaml"), "other").accelerator == first.accelerator


def test_what_is_read_can_be_sent_to_other_processes_and_be_a_key() -> None:
    first = read_accelerator("eyeriss")
    again = pickle.loads(pickle.dumps(first))
    assert again == first
    assert {first.accelerator: 1}[again.accelerator] == 1


def test_mutated_files_give_nothing_but_input_errors() -> None:
    noise = random.Random(7)
    texts = [load_text(path) for path in packaged("hw_configs").values()]
    read = 0
    for _ in range(400):
        mutated = bytearray(noise.choice(texts))
        for _ in range(noise.randint(1, 6)):
            at = noise.randrange(len(mutated))
            piece = noise.choice(
                [b"", b"-", b"\t", b":", b"[", b"{", b"}", b"*", b"&a ", b"\n", b"0", b"x", noise.randbytes(2)]
            )
            mutated[at : at + noise.choice([0, 1, 1, 5, 30])] = piece
        try:
            described_again = parse_accelerator(parse(bytes(mutated), "a.yaml"), "a")
        except InputError:
            continue
        read += 1
        assert to_yaml(described_again)
    assert 0 < read < 400, "some mutations hit comments, most hit something that matters"


def load_text(path: Path) -> bytes:
    return path.read_bytes()


def test_reading_is_light() -> None:
    code = (
        "import sys, energysim.hardware.read as r; r.read_accelerator('eyeriss');"
        "print([m for m in ('numpy', 'pandas', 'torch', 'networkx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
