"""Exported programs: the same layers as the module, open sizes, files that lie; nothing in a file is ever executed."""

import json
import os
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.export import Dim
from torch.nn import functional

from energysim.errors import EnergysimError, InputError, ModelReadError
from energysim.workload.from_torch import quietly
from energysim.workload.read import read_model
from energysim.workload.symbols import evaluated, symbols

MUTATIONS = int(os.environ.get("SEARCH_CASES", "100"))


class Network(nn.Module):
    """Folded and fused operations, pieces, a recurrent layer, an attention, an in-place operation, a tied weight."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.bn = nn.BatchNorm2d(8)
        self.act = nn.ReLU(inplace=True)
        self.lstm = nn.LSTM(8, 6, batch_first=True, bidirectional=True)
        self.head = nn.Linear(12, 4)
        self.unused = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(batch, 3, 8, 9) to scores."""
        y = self.act(self.bn(self.conv(x))).mean(2).transpose(1, 2)
        y = self.head(self.lstm(y)[0])
        first, second = y.chunk(2, -1)
        query = y[:, None]
        gated = functional.gelu(first) * torch.sigmoid(second)
        return functional.scaled_dot_product_attention(query, query, query), gated.reshape(x.shape[0], -1)


def saved(folder: Path, dynamic: bool = False) -> Path:
    path = folder / "network.pt2"
    shapes: Any = {"x": {0: Dim("batch", min=1, max=64)}} if dynamic else None
    with quietly():
        torch.export.save(exported(Network(), (torch.zeros(2, 3, 8, 9),), shapes), path)
    return path


def exported(module: nn.Module, inputs: tuple[torch.Tensor, ...], shapes: Any = None) -> torch.export.ExportedProgram:
    with quietly():
        return torch.export.export(module.eval(), inputs, dynamic_shapes=shapes, strict=False)


@pytest.fixture(scope="module")
def static(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("static"))


@pytest.fixture(scope="module")
def dynamic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("dynamic"), dynamic=True)


def rewritten(source: Path, target: Path, change: Callable[[bytes], bytes]) -> Path:
    """The same archive with another program in it."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, change(data) if name.endswith("models/model.json") else data)
    return target


def edited(source: Path, target: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    def edit(data: bytes) -> bytes:
        fields = json.loads(data)
        change(fields)
        return json.dumps(fields).encode()

    return rewritten(source, target, edit)


def test_file_gives_the_layers_of_the_module(static: Path) -> None:
    graph = read_model(static)
    module = read_model(Network(), example_inputs=(torch.zeros(2, 3, 8, 9),), name="network")
    assert graph.layers == module.layers
    assert graph.edges == module.edges
    assert graph == module
    assert graph.unreached == ("unused",)
    assert graph.warnings == ()


@pytest.mark.parametrize("name", ["x.0", "s77"])
def test_open_sizes_are_given_by_input_or_symbol(dynamic: Path, name: str) -> None:
    if name not in ("x.0", symbol := symbol_of(dynamic)):
        name = symbol
    graph = read_model(dynamic, dims={name: 5})
    module = read_model(Network(), example_inputs=(torch.zeros(5, 3, 8, 9),), name="network")
    assert graph.layers == module.layers
    assert graph.edges == module.edges


def symbol_of(path: Path) -> str:
    with zipfile.ZipFile(path) as archive:
        member = next(name for name in archive.namelist() if name.endswith("models/model.json"))
        return next(iter(json.loads(archive.read(member))["range_constraints"]))


@pytest.mark.parametrize(
    ("dims", "said"),
    [
        ({}, r"sizes are open: x\.0; give them \(--dim x\.0=SIZE"),
        ({"y.0": 2}, r"no open dim 'y\.0'; did you mean 'x\.0'"),
        ({"x.0": 0}, "at least 1"),
        ({"x.0": 65}, "exported for 1 to 64|exported for 0 to 64|exported for 2 to 64"),
        ({"x.0": True}, "must be an integer"),
    ],
)
def test_sizes_that_are_missing_or_wrong(dynamic: Path, dims: dict[str, int], said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_model(dynamic, dims=dims)


def test_fixed_sizes_have_no_names(static: Path) -> None:
    with pytest.raises(InputError, match=r"no open dim 'x\.0'; it has none"):
        read_model(static, dims={"x.0": 2})


def test_program_in_memory_is_its_file(dynamic: Path) -> None:
    shapes = {"x": {0: Dim("batch", min=1, max=64)}}
    inputs = (torch.zeros(2, 3, 8, 9),)
    program = exported(Network(), inputs, shapes)
    graph = read_model(program, dims={"x.0": 5}, name="network")
    assert graph == read_model(dynamic, dims={"x.0": 5})
    with pytest.raises(InputError, match="model 'network': sizes are open"):
        read_model(program, name="network")


def test_operation_in_place_changes_what_is_read_later(tmp_path: Path) -> None:
    class Adds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.a(x)
            z = self.b(y)
            z.add_(y)
            return torch.softmax(z, -1)

    module, path = Adds().eval(), tmp_path / "adds.pt2"
    torch.export.save(exported(module, (torch.zeros(2, 3),)), path)
    graph = read_model(path)
    assert [layer.op for layer in graph.layers] == ["linear", "linear", "add", "softmax"]
    assert ("add", "softmax") in {(edge.source.split(".")[-1], edge.target) for edge in graph.edges}


def test_nothing_is_unpickled(static: Path, tmp_path: Path) -> None:
    """Sample inputs and weights are pickles and tensors: whatever lies in their place is never looked at."""
    path = tmp_path / "bomb.pt2"
    with zipfile.ZipFile(static) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            poisoned = name.endswith(("sample_inputs/model.pt", "weight_0", "config.json"))
            new.writestr(name, b"cos\nsystem\n(S'touch executed'\ntR." if poisoned else old.read(name))
    assert read_model(path).layers == read_model(static).layers


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "torch.ops.aten.__class__.default",
        "torch.ops.mine.layer.default",
        "builtins.eval",
        "torch.ops.aten.nothing.default",
    ],
)
def test_operations_are_names_and_are_not_imported(static: Path, tmp_path: Path, target: str) -> None:
    def rename(fields: dict[str, Any]) -> None:
        nodes = fields["graph_module"]["graph"]["nodes"]
        next(node for node in nodes if "linear" in node["target"])["target"] = target

    graph = read_model(edited(static, tmp_path / "x.pt2", rename))
    assert len(graph.unknown) == 1
    assert "unknown operation" in graph.warnings[0]


def cut(fields: dict[str, Any]) -> None:
    del fields["graph_module"]["graph"]["tensor_values"]["conv2d"]


def huge(fields: dict[str, Any]) -> None:
    fields["graph_module"]["graph"]["tensor_values"]["conv2d"]["sizes"][0] = {"as_int": 1 << 62}


def negative(fields: dict[str, Any]) -> None:
    fields["graph_module"]["graph"]["tensor_values"]["conv2d"]["sizes"][0] = {"as_int": -4}


def code(fields: dict[str, Any]) -> None:
    expression = {"as_expr": {"expr_str": "__import__('os').system('touch executed')", "hint": None}}
    fields["graph_module"]["graph"]["tensor_values"]["conv2d"]["sizes"][0] = expression


def other(fields: dict[str, Any]) -> None:
    fields["schema_version"]["major"] = 99


def nodes(fields: dict[str, Any]) -> None:
    fields["graph_module"]["graph"]["nodes"] = 7


@pytest.mark.parametrize("change", [cut, huge, negative, code, other, nodes])
def test_programs_that_lie_give_one_line(static: Path, tmp_path: Path, change: Callable[..., None]) -> None:
    with pytest.raises(InputError, match=r"x\.pt2") as caught:
        read_model(edited(static, tmp_path / "x.pt2", change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [b"", b"{}", b"[", b"[" * 100_000, b"null", b'{"schema_version": {"major": 8}}'])
def test_what_is_no_program_gives_one_line(static: Path, tmp_path: Path, text: bytes) -> None:
    with pytest.raises(ModelReadError, match=r"x\.pt2") as caught:
        read_model(rewritten(static, tmp_path / "x.pt2", lambda data: text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip", b"\x80\x02cos\nsystem\n."])
def test_what_is_no_archive_gives_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.pt2"
    path.write_bytes(content)
    with pytest.raises(ModelReadError, match=r"x\.pt2"):
        read_model(path)


def test_archive_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "x.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ModelReadError, match="holds 0 exported programs"):
        read_model(path)


def mutated(data: bytes, draw: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 5))):
        place = draw.randrange(len(changed))
        kind = draw.randrange(4)
        if kind == 0:
            changed[place] ^= 1 << draw.randrange(8)
        elif kind == 1:
            changed[place : place + draw.randrange(1, 40)] = b""
        elif kind == 2:
            changed[place:place] = bytes(draw.choices(b'0123456789"{}[],:-', k=draw.randrange(1, 4)))
        else:
            other_place = draw.randrange(len(changed))
            changed[place : place + 20] = changed[other_place : other_place + 20]
    return bytes(changed)


def test_mutations_never_end_in_a_traceback(static: Path, tmp_path: Path) -> None:
    """Of the program in the archive, without its stack traces, which nobody reads; archives have their own tests."""
    draw = random.Random(6)
    refused = 0

    def lean(fields: dict[str, Any]) -> None:
        for node in fields["graph_module"]["graph"]["nodes"]:
            node["metadata"].pop("stack_trace", None)

    source = edited(static, tmp_path / "lean.pt2", lean)
    for _ in range(MUTATIONS):
        path = rewritten(source, tmp_path / "x.pt2", lambda data: mutated(data, draw))
        said = ""
        try:
            read_model(path)
        except EnergysimError as error:
            said = str(error)
        assert "\n" not in said
        refused += bool(said)
    assert refused > MUTATIONS // 2


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("Symbol('s0', positive=True, integer=True)", 6),
        ("Mul(Integer(2), Symbol('s0', integer=True))", 12),
        ("Add(Mul(Integer(-1), Integer(2)), Symbol('s0'))", 4),
        ("2*s0 + 1", 13),
        ("FloorDiv(Add(Symbol('s0'), Integer(-1)), Integer(2))", 2),
        ("Max(Integer(9), Symbol('s0'))", 9),
        ("Pow(Symbol('s0'), Integer(2))", 36),
        ("-s0 // 4", -2),
    ],
)
def test_sizes_are_computed(expression: str, value: int) -> None:
    assert evaluated(expression, {"s0": 6}) == value
    assert list(symbols(expression)) == ["s0"]


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os')",
        "s1",
        "Symbol(3)",
        "(lambda: 1)()",
        "Pow(s0, 1000000)",
        "s0 % 0",
        "'text'",
        "1.5",
        "(" * 5000,
        "s0 s0",
        "[1][0]",
        "CleanDiv(7, s0)",
        "9**16**16",
    ],
)
def test_what_is_no_size_is_refused(expression: str) -> None:
    with pytest.raises(ModelReadError):
        evaluated(expression, {"s0": 6})
