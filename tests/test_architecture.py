"""The house keeps its shape: who may import whom, what loads lazily, what ships, what the README names."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "energysim"

ALLOWED = {
    "errors": set(),
    "packaged": set(),
    "granularity": {"errors"},
    "yaml_nodes": {"errors"},
    "yaml_fields": {"errors", "yaml_nodes"},
    "compressed": {"errors", "granularity"},
    "clustering": {"errors", "granularity", "compressed", "yaml_nodes", "yaml_fields"},
    "workload": {"errors", "granularity", "yaml_nodes", "yaml_fields", "packaged", "compressed"},
    "hardware": {"errors", "yaml_nodes", "yaml_fields", "packaged"},
    "mapping": {"errors", "workload", "hardware", "costs", "yaml_nodes", "yaml_fields"},
    "costs": {"errors", "granularity", "workload", "hardware", "mapping"},
    "estimate": {"errors", "workload", "hardware", "mapping", "costs", "packaged"},
    "explore": {"errors", "estimate", "workload", "hardware", "mapping", "costs"},
    "calibration": {"errors", "estimate", "workload", "hardware", "mapping", "costs", "yaml_nodes", "yaml_fields"},
    "report": {
        *("errors", "workload", "hardware", "mapping", "costs", "estimate", "compressed", "explore", "calibration"),
    },
}
"""Room to the rooms it may import; the command line and the package's front door may import every room."""

HEAVY = {"torch", "onnx", "matplotlib", "plotly", "dask", "pandas", "rich", "networkx", "sklearn", "scipy"}
"""Imported only inside the functions that need them."""

TORCH_ROOMS = {"clustering"}
"""Rooms of torch only, whose modules may import it at their top; other rooms import these inside functions."""


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text())
    checked = [n for n in ast.walk(tree) if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    skipped = {id(child) for node in checked for child in ast.walk(node)} if top_level_only else set()
    nodes = tree.body if top_level_only else ast.walk(tree)
    found = set()
    for node in nodes:
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_import_direction(path: Path) -> None:
    if room(path) not in ALLOWED:
        assert room(path) in {"__init__", "__main__", "cli", "commands"}, f"give the room of {path} a line in ALLOWED"
        return
    inner = {name.split(".")[1] for name in imports(path) if name.startswith("energysim.")}
    assert inner - {room(path)} <= ALLOWED[room(path)]


def test_only_the_search_asks_for_prices() -> None:
    # Counting knows no prices, and pricing knows only the nouns of mapping: between these two rooms lies the search.
    for path in (PACKAGE / "mapping").glob("*.py"):
        if not path.name.startswith("search"):
            assert not [name for name in imports(path) if name.startswith("energysim.costs")], path
    for path in (PACKAGE / "costs").glob("*.py"):
        used = {name for name in imports(path) if name.startswith("energysim.mapping")}
        assert used <= {f"energysim.mapping.{name}" for name in ("counted", "distinct", "nest", "sharing")}, path


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_heavy_libraries_are_imported_where_needed(path: Path) -> None:
    loaded = imports(path, top_level_only=True)
    if room(path) in TORCH_ROOMS:
        loaded = {name for name in loaded if name.split(".")[0] != "torch"}
    else:
        assert not [name for name in loaded if name.startswith("energysim.") and name.split(".")[1] in TORCH_ROOMS]
    assert not {name.split(".")[0] for name in loaded} & HEAVY


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_can_be_read_in_one_sitting(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 450


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_yaml_is_touched_in_one_place(path: Path) -> None:
    assert path.name == "yaml_nodes.py" or "yaml" not in imports(path)


def test_no_word_for_operations_but_macs_and_ops() -> None:
    word = re.compile("flo" + "ps", re.IGNORECASE)
    for path in [*modules(), *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "hw_configs").glob("*")]:
        assert not word.search(path.read_text()), path


def test_every_accelerator_loads() -> None:
    from energysim.hardware.read import read_accelerator
    from energysim.packaged import packaged

    assert packaged("hw_configs")
    for name in packaged("hw_configs"):
        assert read_accelerator(name).accelerator.name == name


def test_every_model_loads() -> None:
    from energysim.packaged import packaged
    from energysim.workload.read import read_model

    assert packaged("models")
    for name in packaged("models"):
        assert read_model(name).name == name


def test_every_command_has_help_and_is_in_the_readme() -> None:
    from energysim.cli import parser

    readme = (ROOT / "README.md").read_text()
    commands = [a for a in parser()._actions if hasattr(a, "choices") and isinstance(a.choices, dict)]
    names = [name for action in commands for name in action.choices]
    assert {"estimate", "models", "accelerators", "explain", "schema"} <= set(names)
    for action in commands:
        for name, sub in action.choices.items():
            assert sub.format_help(), name
            assert any(choice.dest == name and choice.help for choice in action._choices_actions), name
            assert f"energysim {name}" in readme, name


def loaded_by(*arguments: str) -> set[str]:
    """Top-level modules that a command of ours has imported when it ends."""
    program = (
        "import sys\nfrom energysim.cli import main\n"
        f"try:\n    main({list(arguments)!r})\nexcept SystemExit:\n    pass\n"
        "print('\\nLOADED', *sorted({n.split('.')[0] for n in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.rsplit("LOADED", 1)[1].split())


def test_help_loads_nothing_heavy() -> None:
    assert not loaded_by("--help") & (HEAVY | {"numpy", "yaml"})


def test_estimate_of_a_packaged_network_loads_no_framework() -> None:
    loaded = loaded_by("estimate", "lenet_caffe5", "--on", "eyeriss", "--format", "json")
    assert "numpy" in loaded
    assert not loaded & {"torch", "onnx", "matplotlib", "plotly", "sklearn", "scipy"}


def test_every_extension_point_has_its_hand_example() -> None:
    from energysim.mapping.dataflows import DATAFLOWS
    from energysim.packaged import packaged
    from energysim.workload.encoding import ENCODINGS

    for name in DATAFLOWS:
        example = ROOT / "tests" / "hand" / f"test_{name}.py"
        assert example.exists(), f"no hand example for dataflow '{name}': create tests/hand/test_{name}.py"
    encodings = (ROOT / "tests" / "workload" / "test_encoding.py").read_text()
    for name in ENCODINGS:
        assert name in encodings, f"no worked number for encoding '{name}': add it to tests/workload/test_encoding.py"
    sizes = (ROOT / "tests" / "test_models.py").read_text()
    defined = {path.stem for path in (ROOT / "models").glob("*.py")} - {"export"}
    assert defined == set(packaged("models")), "models/*.py and models/*.yaml differ: run `make models`"
    for name in defined:
        assert f'"{name}"' in sizes, f"no exact sizes for network '{name}': add them to tests/test_models.py"
