"""The JSON Schema and the reader agree: on the packaged files, and on a thousand mutations of them.

What no JSON Schema of draft 07 can say, and so only the reader refuses: see `ONLY_THE_READER`.
"""

import copy
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import jsonschema
import pytest

from energysim.errors import InputError
from energysim.hardware.fields import accelerator_schema
from energysim.hardware.read import parse_accelerator
from energysim.packaged import packaged
from energysim.yaml_nodes import dump, load, parse

ONLY_THE_READER = (
    "unknown source",  # a price's source names a key that stands elsewhere in the file
    "is taken by the level on line",  # two levels share a name
    "the outermost level must be",  # a rule for the first item only, in terms of the whole list
    "does not keep",  # one list must be part of another
    "partitions take",  # sums
    "partitions leave nothing",
    "needs 'technology_nm'",  # only when some price is missing
    "unknown memory '",  # a name of a level
    "always keep weights",  # the level that another part of the file names
    "without table_bits",  # a field that excludes another
    "style product needs",  # what one part asks of others
    "products belong to style product",
    "sharing needs it",  # names of levels
    "'codebook' has no energy",  # these two have no defaults
    "'products' has no energy",
)

VALIDATOR = jsonschema.Draft7Validator(accelerator_schema())
FILES = {name: load(path).plain() for name, path in packaged("hw_configs").items()}
ONE_PRICE = {"pj": 1, "per_bits": 16, "source": "a source in words", "tier": "table"}
FILES["by_role"] = FILES["one_mac"] | {
    "levels": [
        FILES["one_mac"]["levels"][0],
        {
            "memory": "by_role",
            "capacity_bits": 512,
            "partition_bits": {"weight": 64},
            "keeps": ["weight", "input"],
            "bypassable": ["input"],
            "codings": {"input": "run_length"},
            "word_bits": 16,
            "read_bits_per_cycle": 1,
            "write_bits_per_cycle": 0.5,
            "energy": {"by_role": {r: {"read": ONE_PRICE, "write": ONE_PRICE} for r in ("weight", "input")}},
        },
        {
            "array": "pe",
            "axes": {"x": {"size": 2, "dims": ["M", "C"]}},
            "multicast": ["weight"],
            "forwarding": ["input"],
            "reduction": False,
            "energy": {"transfer": ONE_PRICE},
        },
    ],
}
"""The packaged files, and one that uses what they do not."""


def reader_says(plain: dict[str, Any]) -> list[str]:
    """The reader's complaints about a file with this content; none when it is read."""
    try:
        parse_accelerator(parse(dump(plain), "a.yaml"), "a")
    except InputError as error:
        return str(error).splitlines()
    return []


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of everything in a nested value, the top excepted."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*path, key)
        if isinstance(item, (dict, list)):
            yield from places(item, (*path, key))


VALUES = [None, True, 0, 1, -1, 0.5, -2.5, 3.0, 1e17, "", "x", "two words", "weight", "any", "unlimited", [], {}, [1]]


def drop(holder: Any, key: Any, chance: random.Random) -> None:
    del holder[key]


def rename(holder: Any, key: Any, chance: random.Random) -> None:
    if isinstance(holder, dict):
        at = chance.randrange(len(key) + 1)
        holder[key[:at] + chance.choice("xs_1-") + key[at:]] = holder.pop(key)


def retype(holder: Any, key: Any, chance: random.Random) -> None:
    holder[key] = copy.deepcopy(chance.choice(VALUES))


def negate(holder: Any, key: Any, chance: random.Random) -> None:
    if isinstance(holder[key], (int, float)) and not isinstance(holder[key], bool):
        holder[key] = chance.choice([-holder[key], 0, holder[key] + 0.5, holder[key] * 1e9])


def repeat(holder: Any, key: Any, chance: random.Random) -> None:
    if isinstance(holder, list):
        holder.append(copy.deepcopy(holder[key]))


def add(holder: Any, key: Any, chance: random.Random) -> None:
    if isinstance(holder, dict):
        holder[chance.choice(["bypassable", "dims", "defaults", "by_role", "pj", "name", "zzz"])] = chance.choice(
            copy.deepcopy([["weight"], "any", "allowed", "refused", {"input": {}}, 1, "word"])
        )


MUTATIONS: tuple[Callable[[Any, Any, random.Random], None], ...] = (drop, rename, retype, negate, repeat, add)


def test_the_schema_is_one_and_is_written_in_json() -> None:
    jsonschema.Draft7Validator.check_schema(accelerator_schema())
    assert json.loads(json.dumps(accelerator_schema())) == accelerator_schema()
    assert accelerator_schema()["$schema"] == "http://json-schema.org/draft-07/schema#"


@pytest.mark.parametrize("name", sorted(FILES))
def test_sound_files_satisfy_both(name: str) -> None:
    assert reader_says(FILES[name]) == []
    assert list(VALIDATOR.iter_errors(FILES[name])) == []


@pytest.mark.parametrize("seed", range(5))
def test_reader_and_schema_agree_on_mutations(seed: int) -> None:
    chance = random.Random(seed)
    seen: Counter[str] = Counter()
    for _ in range(200):
        plain = copy.deepcopy(chance.choice(list(FILES.values())))
        for _ in range(chance.choice([1, 1, 1, 2])):
            *way, key = chance.choice(list(places(plain)))
            holder = plain
            for step in way:
                holder = holder[step]
            chance.choice(MUTATIONS)(holder, key, chance)
        complaints = reader_says(plain)
        taken = VALIDATOR.is_valid(plain)
        beyond = [line for line in complaints if any(words in line for words in ONLY_THE_READER)]
        if complaints and len(beyond) == len(complaints):
            seen["only the reader"] += 1
            assert taken, complaints
        else:
            seen["read" if taken else "refused"] += 1
            assert taken == (not complaints), complaints or dump(plain)
    assert min(seen["read"], seen["refused"]) >= 20, seen


@pytest.mark.parametrize("name", sorted(FILES))
def test_every_single_field_dropped(name: str) -> None:
    """Exhaustively: without any one field, both read the file or both refuse it."""
    for *way, key in places(FILES[name]):
        plain = copy.deepcopy(FILES[name])
        holder = plain
        for step in way:
            holder = holder[step]
        del holder[key]
        complaints = reader_says(plain)
        if not (complaints and all(any(words in line for words in ONLY_THE_READER) for line in complaints)):
            assert VALIDATOR.is_valid(plain) == (not complaints), ((*way, key), complaints)


def test_each_level_has_its_words_in_the_editor() -> None:
    schema = accelerator_schema()
    memory, array = schema["properties"]["levels"]["items"]["anyOf"]
    assert "capacity_bits" in memory["properties"]
    assert "axes" in array["properties"]
    everything = [memory, array, schema["properties"]["compute"]]
    assert all(field["description"] for level in everything for field in level["properties"].values())
