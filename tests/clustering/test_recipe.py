"""Recipes: what each line, file and preset says of a weight; what is refused, with file, line and the nearest name."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from energysim.clustering.recipe import Recipe, Sharing, Weight
from energysim.clustering.recipe_read import RECIPES, read_recipe, recipe_from_mapping, recipe_schema
from energysim.errors import InputError
from energysim.yaml_nodes import parse

CONV1 = Weight("conv1.weight", "conv1", "convolution", (64, 3, 7, 7), "Conv2d", "first")
BLOCK = Weight("layer1.0.conv1.weight", "layer1.0.conv1", "convolution", (64, 64, 3, 3), "Conv2d")
WORDS = Weight("words.weight", "words", "embedding", (1000, 64), "Embedding")
FC = Weight("fc.weight", "fc", "linear", (1000, 512), "Linear", "last")
ALL = (CONV1, BLOCK, WORDS, FC)


def given(recipe: Recipe) -> list[Sharing | None]:
    return [recipe.sharing_of(weight) for weight in ALL]


def vector(bits: int, length: int, **more: Any) -> Sharing:
    return Sharing("vector" if length > 1 else "scalar", length, bits, **more)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("dkm:4/4", [vector(4, 4)] * 4),
        ("dkm:2/1,temperature=1e-5", [vector(2, 1, temperature=1e-5)] * 4),
        ("rows:K=64", [Sharing("row", clusters=64)] * 2 + [None] * 2),
        ("slices:rate=0.1", [Sharing("slice", rate=0.1)] * 2 + [None] * 2),
        ("filters:bits=3", [Sharing("filter", bits=3)] * 2 + [None] * 2),
        ("scalars:K=16", [Sharing("scalar", clusters=16)] * 4),
        ("deepk:rate=0.1", [Sharing("row", rate=0.1)] * 2 + [None] * 2),
        ("deepk:rate=0.1,first=0.5", [Sharing("row", rate=0.5), Sharing("row", rate=0.1), None, None]),
        ("dkm_table1:4/4", [None, vector(4, 4), vector(4, 4), None]),
        (
            "dkm_fig4:cv=4/8,fc=8/4",
            # The network's one temperature is that of its convolutions, 4/8; conv1 has 9,408 weights: 8 bits, dim 1.
            [vector(8, 1, temperature=5e-5), vector(4, 8, temperature=5e-5), None, vector(8, 4, temperature=5e-5)],
        ),
    ],
)
def test_one_line_recipes(line: str, expected: list[Sharing | None]) -> None:
    assert given(read_recipe(line)) == expected


def test_every_one_line_recipe_is_tested_and_has_a_known_method() -> None:
    examples = {"deepk": "rate=0.1", "dkm": "4/4", "dkm_fig4": "cv=4/4,fc=8/4", "dkm_table1": "4/4"}
    for name in RECIPES:
        recipe = read_recipe(f"{name}:{examples.get(name, 'K=4')}")
        assert recipe.method == ("deepk" if name == "deepk" else "dkm" if name.startswith("dkm") else "kmeans")
    assert read_recipe("deepk:rate=0.1,variant=hard").regulariser == {
        "variant": "hard",
        "strength": 1e-4,
        "every": 5,
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("dkn:4/4", "unknown recipe 'dkn:4/4'; did you mean 'dkm'?"),
        ("dkm:44", "recipe 'dkm:44': '44' is not bits/dim; write it as in 4/4: 4 bits for 4 weights"),
        ("dkm", "recipe 'dkm': 'nothing' is not bits/dim"),
        ("dkm:0/4", "recipe 'dkm:0/4': bits must be an integer of at least 1 and at most 16, not 0"),
        ("dkm:17/1", "bits must be an integer of at least 1 and at most 16, not 17"),
        ("dkm:4/0", "dim must be an integer of at least 1"),
        ("dkm:4/4,mode=soft", "unknown mode 'soft'"),
        ("dkm:4/4,temperature=0", "temperature must be a number above 0, not 0"),
        ("rows", "recipe 'rows': say how many centroids, once, as in rows:K=64, rows:rate=0.1 or rows:bits=4"),
        ("rows:K=0", "recipe 'rows:K=0': clusters must be an integer of at least 1, not 0"),
        ("rows:K=4,rate=0.1", "say how many centroids, once"),
        ("rows:K=4,K=5", "gives something twice"),
        ("rows:K=many", "clusters must be an integer of at least 1, not the text 'many'"),
        ("rows:K=4,foo=3", "does not know 'foo'"),
        ("rows:K=4,seed=-1", "seed must be an integer of at least 0, not -1"),
        ("rows:K=4,coding=zip", "unknown coding 'zip'"),
        ("deepk:rate=1.5", "rate must be a number above 0 and at most 1, not 1.5"),
        ("deepk:rate=nan", "rate must be a number above 0"),
        ("deepk:rate=0.1,variant=soft", "unknown variant 'soft'"),
        ("dkm_fig4:cv=4/4", "give both settings of figure 4, as in dkm_fig4:cv=4/4,fc=8/4"),
        ("nothing.yaml", "nothing.yaml: no such file"),
    ],
)
def test_lines_that_are_wrong(line: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_recipe(line)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


YAML = """\
method: dkm
seed: 3
default: {bits: 4, dim: 4}
embedding: skip
small: {below_elements: 10000, bits: 8, dim: 1}
last: {clusters: 12, granularity: row}
layers:
  "layer1.*": {rate: 0.5, per_channel_scale: true}
  words: {bits: 3, dim: 1}
"""


def test_yaml_and_the_order_of_its_rules(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(YAML)
    recipe = read_recipe(tmp_path / "r.yaml")
    assert (recipe.method, recipe.seed, recipe.coding) == ("dkm", 3, "smallest")
    # conv1 is small; the pattern adds to the default, but its rate replaces bits; a skip is taken back by name.
    assert given(recipe) == [
        vector(8, 1),
        Sharing("vector", 4, rate=0.5, per_channel_scale=True),
        vector(3, 1),
        Sharing("row", clusters=12),
    ]
    assert recipe.plain["layers"]["words"] == {"bits": 3, "dim": 1}
    recipe.check_names(ALL)


def test_the_schema_takes_what_the_reader_takes_and_refuses_what_it_refuses() -> None:
    validator = jsonschema.Draft7Validator(recipe_schema())
    assert not list(validator.iter_errors(parse(YAML, "r.yaml").plain()))
    for wrong in (
        "methd: dkm\n",
        "default: {bit: 4}\n",
        "default: {bits: 40}\n",
        "default: skp\n",
        "small: {bits: 4}\n",
    ):
        assert list(validator.iter_errors(parse(wrong, "r.yaml").plain())), wrong


def test_recipes_are_read_without_torch() -> None:
    program = (
        "import sys; from energysim.clustering.recipe_read import read_recipe; "
        "read_recipe('dkm:4/4'); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_names_that_no_layer_has_are_told_by_line(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text('default: {bits: 4}\nlayers:\n  conv2: skip\n  "layer9.*": skip\n')
    with pytest.raises(InputError) as caught:
        read_recipe(tmp_path / "r.yaml").check_names(ALL)
    assert str(caught.value).splitlines() == [
        f"{tmp_path}/r.yaml:3: no layer with a weight matches 'conv2'; did you mean 'conv1'?",
        f"{tmp_path}/r.yaml:4: no layer with a weight matches 'layer9.*'; did you mean 'layer1.0.conv1'?",
    ]


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("methd: dkm\ndefault: {bits: 4}\n", ["r.yaml:1: unknown recipe field 'methd'; did you mean 'method'?"]),
        ("method: dkn\ndefault: {bits: 4}\n", ["r.yaml:1: unknown method 'dkn'; did you mean 'dkm'?"]),
        ("default: {bits: 4}\nlinear: skp\n", ["r.yaml:2: linear must be 'skip', or a mapping of sharing fields, not"]),
        ("default:\n  bits: 4\n  clusters: 5\n", ["r.yaml:1: give one of bits, clusters, rate, not several"]),
        ("default:\n  bit: 4\n", ["r.yaml:2: unknown sharing field 'bit'; did you mean 'bits'?"]),
        (
            "default:\n  bits: 40\nlinear:\n  granularity: rows\n  bits: 4\n",
            ["r.yaml:2: bits must be an integer", "r.yaml:4: unknown granularity 'rows'; did you mean 'row'?"],
        ),
        ("default: {bits: 4, granularity: row, dim: 3}\n", ["r.yaml:1: dim is the length of a vector; a row has none"]),
        ("default: {bits: 4, granularity: vector}\n", ["r.yaml:1: granularity vector needs dim, its length"]),
        ("default: skip\n", ["r.yaml:1: the recipe shares nothing: give `default`"]),
        ("small: {bits: 4}\n", ["r.yaml:1: small field 'below_elements' is missing"]),
        ("default: {bits: 4}\ndefault: {bits: 5}\n", ["r.yaml:2: key 'default' was given before, on line 1"]),
    ],
)
def test_yaml_that_is_wrong(text: str, messages: list[str], tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        read_recipe(tmp_path / "r.yaml")
    lines = str(caught.value).splitlines()
    assert len(lines) == len(messages)
    for line, message in zip(lines, messages, strict=True):
        assert line.startswith(f"{tmp_path}/{message}"), line


def test_a_weight_that_gets_no_number_of_centroids() -> None:
    recipe = recipe_from_mapping({"linear": {"bits": 4}, "layers": {"conv1": {"per_channel_scale": True}}})
    with pytest.raises(InputError, match=r"weight 'conv1.weight': the recipe gives neither bits, clusters nor rate"):
        recipe.sharing_of(CONV1)


def test_number_of_centroids() -> None:
    # DeepK: K = rate x N, N = 64*64*3 rows: 0.1 * 12,288 = 1,228.8
    assert Sharing("row", rate=0.1).clusters_of(12_288) == 1229
    assert Sharing("row", rate=0.1).clusters_of(3) == 1
    assert Sharing(bits=5).clusters_of(7) == 32


def test_temperatures() -> None:
    assert vector(8, 16).tau("w") == 1.3e-4
    assert vector(8, 16, temperature=2.0).tau("w") == 2.0
    with pytest.raises(InputError, match="weight 'w': 5 bits, dim 8 has no published temperature; give one"):
        vector(5, 8).tau("w")


COREMLTOOLS = """\
global_config:
  n_bits: 4
  cluster_dim: 2
  weight_threshold: 1000
module_type_configs:
  Conv2d:
    - {n_bits: 4, cluster_dim: 4, weight_threshold: 30000, palett_tau: 0.0002}
    - {n_bits: 2, weight_threshold: 300, granularity: per_grouped_channel, group_size: 32}
  Embedding: null
module_name_configs:
  layer1.0.c.*: {n_bits: 6, lut_dtype: i8, milestone: 3, enable_per_channel_scale: true}
  layer1.*: null
"""


def test_coremltools_configuration_is_accepted_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(COREMLTOOLS)
    recipe = read_recipe(tmp_path / "c.yaml")
    defaults = {"temperature": 1e-4, "iterations": 3}
    assert given(recipe) == [
        # 9,408 elements: more than 300, not more than 30,000
        vector(2, 1, channels_per_codebook=32, **defaults),
        # the first name that matches comes before the type
        vector(6, 1, per_channel_scale=True, **defaults),
        None,
        vector(4, 2, vector_axis=0, **defaults),
    ]
    assert recipe.notes == (f"{tmp_path}/c.yaml:11: lut_dtype: i8 is not done here",)
    small = Weight("a.weight", "a", "convolution", (3, 3, 3, 3), "Conv2d")
    assert recipe.sharing_of(small) is None
    transposed = Weight("b.weight", "b", "convolution", (99, 99, 3, 3), "ConvTranspose2d")
    assert recipe.sharing_of(transposed) is None  # coremltools does not palettize these


def test_coremltools_defaults() -> None:
    recipe = recipe_from_mapping({"global_config": {}})
    assert [sharing and sharing.bits for sharing in given(recipe)] == [2, 2, 2, 4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("global_config: {n_bit: 4}\n", "c.yaml:1: unknown palettizer field 'n_bit'; did you mean 'n_bits'?"),
        ("global_config: {n_bits: four}\n", "c.yaml:1: n_bits must be an integer of at least 1"),
        ("module_type_configs:\n  Conv2D: {}\n", "c.yaml:2: unknown module type 'Conv2D'; did you mean 'Conv2d'?"),
        ("module_type_configs: 4\n", "c.yaml:1: module_type_configs must be a mapping"),
        ("global_config: {}\nmodule_names: {}\n", "c.yaml:2: unknown palettizer configuration 'module_names'"),
        ("global_config: {group_size: 4}\n", "c.yaml:1: group_size belongs to granularity per_grouped_channel"),
        ('module_name_configs: {"(": {}}\n', "c.yaml:1: '(' is no regular expression: missing )"),
        ("module_name_configs: {a: 4}\n", "c.yaml:1: a palettizer configuration must be a mapping"),
    ],
)
def test_coremltools_configurations_that_are_wrong(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        read_recipe(tmp_path / "c.yaml")
    assert str(caught.value).startswith(f"{tmp_path}/{message}")
