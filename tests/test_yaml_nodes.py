"""Scalars of YAML 1.2, what is refused and how it is said, on both parsers; and texts that come back as written."""

import random
import string
import time
import tracemalloc
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from energysim.errors import InputError
from energysim.yaml_nodes import MAXIMUM_BYTES, Node, dump, load, parse, shown

LIBYAML = getattr(yaml, "CSafeLoader", None)


@pytest.fixture(params=["libyaml", "python"], autouse=True)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test here holds with the C parser and without it."""
    if request.param == "python":
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8e-2", 0.08),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("-2.5e+1", -25.0),
        ("017", 17),
        ("0o17", 15),
        ("0x1F", 31),
        ("+3", 3),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("True", True),
        ("false", False),
        ("tRuE", "tRuE"),
        ("~", None),
        ("null", None),
        ("", None),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("2020-01-01", "2020-01-01"),
        ("1:75", "1:75"),
        ("'8e-2'", "8e-2"),
        ('"1:30"', "1:30"),
        (".inf", float("inf")),
        ("-.INF", float("-inf")),
        ("[1, no]", [1, "no"]),
        ("{y: n}", {"y": "n"}),
    ],
)
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    got = parse(f"a: {text}\n", "f.yaml").plain()["a"]
    assert (got, type(got)) == (value, type(value))


def test_every_value_knows_its_line() -> None:
    node = parse("a: 1\nb:\n  - x\n  - c: {d: 2}\n# comment\ne:\n  3\n", "f.yaml")
    assert [node["a"].line, node["b"].line, node["b"][1].line, node["b"][1]["c"]["d"].line] == [1, 2, 4, 4]
    assert node["e"] == Node(3, "f.yaml", 6), "a field's value stands where its key does"


BILLION = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: 1\nb:\n\tc: 2\n", "f.yaml:3: tab; YAML is indented with spaces"),
        (b"a: 1\nb: 2\na: 3\n", "f.yaml:3: key 'a' was given before, on line 1"),
        (b"a: {b: 1, 'b': 2}\n", "f.yaml:1: key 'b' was given before, on line 1"),
        (b"a: 1:30\n", "f.yaml:1: 1:30 is ambiguous (base 60 in old YAML); write a number or quote it"),
        (b"a: -1:30.5\n", "f.yaml:1: -1:30.5 is ambiguous (base 60 in old YAML); write a number or quote it"),
        (BILLION.encode(), "f.yaml:1: anchor '&a'; anchors and aliases are not allowed"),
        (b"a: 1\nb: *c\n", "f.yaml:2: alias '*c'; anchors and aliases are not allowed"),
        (b"a:\n  &k b: 1\n", "f.yaml:2: anchor '&k'; anchors and aliases are not allowed"),
        (
            b"a: !!python/object/apply:os.system [ls]\n",
            "f.yaml:1: tag 'tag:yaml.org,2002:python/object/apply:os.system'; tags are not allowed, write plain values",
        ),
        (b"a: 1\n---\nb: 2\n", "f.yaml:2: a second document; one file holds one"),
        (b"%YAML 1.1\n---\na: 1\n", "f.yaml:1: a % directive; directives are not allowed"),
        (b"a: 1\n? [b]\n: 2\n", "f.yaml:2: a key must be a plain text, not a list or mapping"),
        (b"a: 1\nb: caf\xe9\n", "f.yaml:2: not UTF-8 (byte 0xe9)"),
        ("a: 1\n".encode("utf-16"), "f.yaml:1: not UTF-8 (byte 0xff)"),
        (b"a: 1\nb: x\x00y\n", "f.yaml:2: control character U+0000"),
        (b"a: 1\r\rb: \x1b[31m\n", "f.yaml:3: control character U+001B"),
        ("a: 1\nb: \ufeffx\n".encode(), "f.yaml:2: control character U+FEFF"),
        ("a: 1\u2028b: 2\n".encode(), "f.yaml:1: control character U+2028"),
        (b"", "f.yaml:1: holds nothing"),
        (b"# only a comment\n", "f.yaml:1: holds nothing"),
        (b"---\n...\n", "f.yaml:1: holds nothing"),
        (b"a: 1\nb: " + b"[" * 70 + b"]" * 70, "f.yaml:2: nested deeper than 64 levels"),
        (b"a: " + b"9" * 5000, "f.yaml:1: a number of 5000 digits"),
        (b"a: 1e999", "f.yaml:1: number 1e999 is too large"),
        (b'a: 1\nb: "\\ud800"\n', None),
        (b'a: "\\UFFFFFFFF"\n', None),
        (b"a: 1\nb: [1, 2\n", None),
        (b"a: 1\n b: 2\n", None),
        (b'a: "open\n', None),
        (b"a: @x\n", None),
    ],
)
def test_refused(content: bytes, message: str | None) -> None:
    """One clear line with file and line; where the parser itself refuses, only its own reason may differ."""
    with pytest.raises(InputError) as caught:
        parse(content, "f.yaml")
    text = str(caught.value)
    assert text == message if message else text.startswith("f.yaml") and "\n" not in text


def test_depth_64_is_read() -> None:
    node = parse("[" * 64 + "]" * 64, "f.yaml")
    depth = 0
    while node.value:
        node, depth = node[0], depth + 1
    assert depth == 63, "the 64th list is the empty one"


def test_byte_order_mark_and_windows_line_ends_are_read() -> None:
    assert parse(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n", "f.yaml").plain() == {"a": 1, "b": 2}


def test_files_that_are_no_files(tmp_path: Path) -> None:
    def refused(path: Path | str) -> str:
        with pytest.raises(InputError) as caught:
            load(path)
        return str(caught.value)

    assert refused(tmp_path) == f"{tmp_path}: is a directory, not a YAML file"
    assert refused(tmp_path / "x.yaml") == f"{tmp_path}/x.yaml: no such file"
    assert refused("a\0b").startswith("a\\x00b: cannot be read: ")
    assert refused("x" * 5000).endswith("File name too long")
    assert refused("/dev/zero") == "/dev/zero: is larger than 1 MiB; no file of ours is"


def test_a_hundred_megabytes_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "rubbish.yaml"
    with path.open("wb") as stream:
        stream.truncate(100_000_000)
    tracemalloc.start()
    with pytest.raises(InputError, match="is larger than 1 MiB"):
        load(path)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 1_000_000


def test_a_file_of_exactly_one_mebibyte_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    path.write_bytes(b"a: " + b"x" * (MAXIMUM_BYTES - 3))
    assert len(load(path).plain()["a"]) == MAXIMUM_BYTES - 3
    path.write_bytes(b"a: " + b"x" * (MAXIMUM_BYTES - 2))
    with pytest.raises(InputError):
        load(path)


def test_names_from_files_are_printed_without_control_characters() -> None:
    assert shown("a\x1b[31m\u202eb") == "a\\x1b[31m\\u202eb"
    assert shown("x" * 100) == "x" * 60 + "..."


keys = st.text("ab :#-\n\t'\"", max_size=6)
plain_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    # Surrogates cannot be written in UTF-8 and so cannot come out of a file either.
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    | st.sampled_from(["no", "8e-2", "1:30", "- a: b"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("ab :#-\n\t'\"", max_size=6), inner, max_size=4)
    ),
    max_leaves=25,
)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), plain_values, min_size=1, max_size=4))
def test_what_is_dumped_loads_as_the_same(value: dict[str, object]) -> None:
    again = parse(dump(value), "f.yaml").plain()
    assert repr(again) == repr(value), "repr tells 1 from 1.0 and True"


def test_dump_is_pleasant_to_read() -> None:
    text = dump({"name": "x", "clock_hz": 2e8, "levels": [{"memory": "dram", "keeps": ["weight", "input"]}, 3]})
    assert text == ("name: x\nclock_hz: 200000000.0\nlevels:\n  - memory: dram\n    keeps: [weight, input]\n  - 3\n")


def outcome_of(content: bytes) -> str:
    """ "read", or the text of the InputError."""
    try:
        parse(content, "f.yaml")
    except InputError as error:
        return str(error)
    return "read"


def test_rubbish_gives_nothing_but_input_errors() -> None:
    """Seeded mutations of a real text and plain noise: a Node or an InputError, never anything else."""
    noise = random.Random(1)
    base = b"a: {b: [1, 2.5, no], 'c d': \"x\\n\"}\nlist:\n  - x: 1\n    y: |\n      text\n  - - 2\n"
    alphabet = (string.printable + "\x00\x1b\u2028\U0001f600").encode() + bytes(range(128, 256))
    for _ in range(1500):
        mutated = bytearray(base)
        for _ in range(noise.randint(1, 8)):
            at = noise.randrange(len(mutated))
            mutated[at : at + noise.randint(0, 3)] = bytes(noise.choices(alphabet, k=noise.randint(0, 3)))
        content = bytes(mutated) if noise.random() < 0.8 else bytes(noise.choices(alphabet, k=40))
        outcome = outcome_of(content)
        assert outcome == "read" or (outcome.startswith("f.yaml") and "\n" not in outcome)


def test_both_parsers_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values, refusals and messages, on seeded mutations; a ? inside [] or {} is left out: libyaml takes it as text."""
    noise = random.Random(2)
    base = b"a: {b: [1, 2.5, no], 'c d': \"x\\n\"}\nlist:\n  - x: 1\n    y: |\n      text\n  - - 2\n"
    pieces = [b"", b"-", b":", b"[", b"{", b"}", b"]", b",", b"*", b"&a ", b"\n", b"'", b'"', b"|", b">", b": ", b"#"]
    pieces += [b"!", b"%", b"@", b"\\", b"\\u00e9", b"---\n", b"...\n", b"  ", b"<<", "é".encode(), "😀".encode()]
    said = []
    for _ in range(400):
        mutated = bytearray(base)
        for _ in range(noise.randint(1, 3)):
            at = noise.randrange(len(mutated))
            mutated[at : at + noise.choice([0, 1, 2, 10])] = noise.choice(pieces)
        outcomes = []
        for loader in (LIBYAML, None):
            if loader:
                monkeypatch.setattr(yaml, "CSafeLoader", loader, raising=False)
            else:
                monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
            outcome = outcome_of(bytes(mutated))
            outcomes.append(repr(parse(bytes(mutated), "f.yaml").plain()) if outcome == "read" else outcome)
        assert outcomes[0] == outcomes[1], bytes(mutated)
        said.append(outcomes[0])
    refused = sum(outcome.startswith("f.yaml") for outcome in said)
    assert 50 < refused < 350


@pytest.mark.parametrize("piece", ["[", "{", "- ", "? ", "a: ", '"', "'x' ", "[a, ", "{a: ", "- [x]\n", "k: |\n", "# "])
def test_a_quarter_mebibyte_of_one_thing_ends(piece: str) -> None:
    """Nothing may grow with the square of the size: 256 KiB would then take minutes, not a second or two."""
    start = time.process_time()
    assert "\n" not in outcome_of(piece.encode() * (MAXIMUM_BYTES // 4 // len(piece)))
    assert time.process_time() - start < 60
