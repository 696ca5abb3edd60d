"""Every kind of operation from a small module, with dims, MACs and traffic worked out by hand."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from energysim.errors import ModelReadError
from energysim.workload.from_torch import from_torch
from energysim.workload.graph import LayerGraph
from energysim.workload.layer import Layer


class Does(nn.Module):
    """A module whose forward is the given function, with some submodules for it."""

    def __init__(self, function: Callable[..., Any], **parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.function(self, *inputs)


def graph_of(module: nn.Module, *shapes: tuple[int, ...], **options: bool) -> LayerGraph:
    return from_torch(module, tuple(torch.zeros(shape) for shape in shapes), name="small", **options)


def only(module: nn.Module, *shapes: tuple[int, ...], **options: bool) -> Layer:
    graph = graph_of(module, *shapes, **options)
    assert graph.warnings == ()
    (layer,) = graph.layers
    return layer


def sizes(layer: Layer) -> dict[str, int]:
    return {dim: size for dim, size in layer.dims.items() if size > 1}


def elements(layer: Layer) -> dict[str, int]:
    return {tensor.name: tensor.elements(layer.dims) for tensor in layer.tensors}


def flows(graph: LayerGraph) -> dict[tuple[str, str], int]:
    return {(edge.source, edge.target): edge.elements for edge in graph.edges}


def test_convolution_with_stride_padding_and_bias() -> None:
    layer = only(nn.Conv2d(3, 8, 5, stride=2, padding=2), (2, 3, 16, 16))
    # out = (16 + 4 - 5) // 2 + 1 = 8; touched input rows 2*(8-1) + 5 = 19, of which 3 are padding
    assert sizes(layer) == {"N": 2, "M": 8, "C": 3, "P": 8, "Q": 8, "R": 5, "S": 5}
    assert layer.macs == 2 * 8 * 3 * 8 * 8 * 25
    assert elements(layer) == {"weight": 600, "input": 2 * 3 * 19 * 19, "output": 2 * 8 * 8 * 8}
    assert layer.parameters == 600 + 8


def test_grouped_convolution() -> None:
    layer = only(nn.Conv2d(8, 12, 3, groups=4, bias=False), (1, 8, 6, 6))
    assert sizes(layer) == {"G": 4, "M": 3, "C": 2, "P": 4, "Q": 4, "R": 3, "S": 3}
    assert layer.macs == 12 * 2 * 16 * 9
    assert layer.parameters == 12 * 2 * 9


def test_depthwise_convolution_has_channels_as_groups_and_the_multiplier_as_outputs() -> None:
    layer = only(nn.Conv2d(6, 12, 3, groups=6, bias=False), (1, 6, 5, 5))
    assert sizes(layer) == {"G": 6, "M": 2, "P": 3, "Q": 3, "R": 3, "S": 3}
    assert layer.macs == 6 * 2 * 9 * 9


def test_dilated_convolution() -> None:
    layer = only(nn.Conv2d(1, 1, 3, dilation=(2, 3), bias=False), (1, 1, 11, 11))
    # reach 2*2 + 1 = 5 and 2*3 + 1 = 7, so 7 x 5 outputs; every input row 0..10 is touched
    assert sizes(layer) == {"P": 7, "Q": 5, "R": 3, "S": 3}
    assert elements(layer)["input"] == 11 * 11


def test_stride_beyond_the_kernel_touches_only_what_it_reads() -> None:
    layer = only(nn.Conv2d(4, 4, 1, stride=2, bias=False), (1, 4, 8, 8))
    assert elements(layer)["input"] == 4 * 4 * 4


def test_convolution_over_a_sequence_runs_along_the_width() -> None:
    layer = only(nn.Conv1d(4, 6, 3, stride=2, bias=False), (2, 4, 9))
    assert sizes(layer) == {"N": 2, "M": 6, "C": 4, "Q": 4, "S": 3}
    assert elements(layer)["input"] == 2 * 4 * 9


def test_transposed_convolution_multiplies_once_per_input_and_kernel_element() -> None:
    layer = only(nn.ConvTranspose2d(4, 6, 3, stride=2, bias=False, groups=2), (1, 4, 5, 5))
    assert layer.op == "transposed_convolution"
    assert sizes(layer) == {"G": 2, "M": 3, "C": 2, "P": 5, "Q": 5, "R": 3, "S": 3}
    # each of 4*25 inputs meets 3 outputs per group x 9; out = 2*(5-1) + 3 = 11
    assert layer.macs == 4 * 25 * 3 * 9
    assert elements(layer) == {"weight": 4 * 3 * 9, "input": 100, "output": 6 * 11 * 11}


def test_transposed_convolution_over_a_sequence() -> None:
    layer = only(nn.ConvTranspose1d(2, 3, 4, stride=2, bias=False), (1, 2, 5))
    assert sizes(layer) == {"M": 3, "C": 2, "Q": 5, "S": 4}
    assert elements(layer)["output"] == 3 * 12


def test_linear_folds_leading_dims_into_the_batch() -> None:
    layer = only(nn.Linear(10, 7), (2, 5, 10))
    assert (layer.op, sizes(layer)) == ("linear", {"N": 10, "M": 7, "C": 10})
    assert (layer.macs, layer.parameters) == (700, 77)


@pytest.mark.parametrize(
    ("function", "shapes", "dims"),
    [
        (torch.matmul, ((3, 4), (4, 5)), {"P": 3, "C": 4, "M": 5}),
        (torch.bmm, ((2, 3, 4), (2, 4, 5)), {"G": 2, "P": 3, "C": 4, "M": 5}),
        (torch.matmul, ((2, 6, 3, 4), (2, 6, 4, 5)), {"G": 12, "P": 3, "C": 4, "M": 5}),
    ],
)
def test_product_of_two_computed_matrices(
    function: Callable[..., Any], shapes: tuple[tuple[int, ...], ...], dims: dict[str, int]
) -> None:
    layer = only(Does(lambda self, a, b: function(a, b)), *shapes)
    assert (layer.op, sizes(layer)) == ("matmul", dims)
    groups = dims.get("G", 1)
    assert elements(layer) == {"input": groups * 12, "input_2": groups * 20, "output": groups * 15}
    assert layer.parameters == 0


@pytest.mark.parametrize(
    ("equation", "shapes", "macs"),
    [
        ("ij,jk->ik", ((3, 4), (4, 5)), 60),
        ("bhqd,bhkd->bhqk", ((2, 3, 4, 5), (2, 3, 6, 5)), 6 * 4 * 6 * 5),
        ("bij,bik->jk", ((2, 3, 4), (2, 3, 5)), 4 * 5 * 6),
    ],
)
def test_einstein_sum_of_two_is_a_product(equation: str, shapes: tuple[tuple[int, ...], ...], macs: int) -> None:
    layer = only(Does(lambda self, a, b: torch.einsum(equation, a, b)), *shapes)
    result = torch.einsum(equation, *map(torch.zeros, shapes))
    assert (layer.op, layer.macs) == ("matmul", macs)
    assert list(elements(layer).values()) == [torch.zeros(shape).numel() for shape in shapes] + [result.numel()]


@pytest.mark.parametrize("form", ["w @ x", "x @ w", "einsum"])
def test_product_with_a_trained_matrix_is_linear(form: str) -> None:
    forms: dict[str, Callable[..., Any]] = {
        "w @ x": lambda self, x: self.w @ x,
        "x @ w": lambda self, x: x.transpose(1, 2) @ self.w.t(),
        "einsum": lambda self, x: torch.einsum("mc,nct->nmt", self.w, x),
    }
    module = Does(forms[form])
    module.register_parameter("w", nn.Parameter(torch.ones(4, 3)))
    layer = only(module, (2, 3, 5))
    assert (layer.op, sizes(layer), layer.parameters) == ("linear", {"N": 10, "M": 4, "C": 3}, 12)


def test_embedding_reads_the_rows_it_looks_up() -> None:
    module = nn.Embedding(100, 16)
    (layer,) = from_torch(module, (torch.zeros(2, 3, dtype=torch.long),), name="table").layers
    assert elements(layer) == {"weight": 6 * 16, "input": 6, "output": 6 * 16}
    assert layer.parameters == 1600


@pytest.mark.parametrize("module", [nn.GroupNorm(2, 4), nn.InstanceNorm2d(4, affine=True), nn.PReLU(4)])
def test_one_number_per_channel_is_read_as_a_weight(module: nn.Module) -> None:
    layer = only(module, (1, 4, 3, 3))
    assert {name: n for name, n in elements(layer).items() if name != "weight_2"} == {
        "weight": 4,
        "input": 36,
        "output": 36,
    }
    assert layer.parameters == sum(parameter.numel() for parameter in module.parameters())


def test_product_that_shares_one_matrix_reads_it_once() -> None:
    layer = only(Does(lambda self, a, b: torch.matmul(a, b)), (6, 3, 4), (4, 5))
    assert layer.macs == 6 * 3 * 4 * 5
    assert elements(layer) == {"input": 72, "input_2": 20, "output": 90}


def test_attention_is_two_products_and_a_softmax() -> None:
    graph = graph_of(Does(lambda self, q: functional.scaled_dot_product_attention(q, q, q)), (1, 2, 5, 4))
    assert [layer.op for layer in graph.layers] == ["matmul", "softmax", "matmul"]
    assert graph.macs == 2 * (2 * 5 * 5 * 4)
    assert graph.warnings == ()


@pytest.mark.parametrize(
    ("module", "shape", "op", "dims", "read"),
    [
        (nn.MaxPool2d(3, 2), (1, 4, 7, 7), "max_pool", {"M": 4, "P": 3, "Q": 3, "R": 3, "S": 3}, 4 * 49),
        # ceil mode: (6 - 3) / 2 rounded up, plus 1, is 3 rows, the last of which reaches beyond the image: 2*2 + 3 = 7
        (nn.MaxPool2d(3, 2, ceil_mode=True), (1, 4, 6, 6), "max_pool", {"M": 4, "P": 3, "Q": 3, "R": 3, "S": 3}, 196),
        (nn.AvgPool2d(2), (2, 3, 8, 8), "average_pool", {"N": 2, "M": 3, "P": 4, "Q": 4, "R": 2, "S": 2}, 2 * 3 * 64),
        (nn.AvgPool1d(4), (1, 3, 8), "average_pool", {"M": 3, "Q": 2, "S": 4}, 24),
        (nn.AdaptiveAvgPool2d(1), (1, 5, 7, 6), "average_pool", {"M": 5, "R": 7, "S": 6}, 210),
        # 7 to 3: steps of 2, windows of 3, so that all 7 are read
        (nn.AdaptiveMaxPool2d(3), (1, 2, 7, 7), "max_pool", {"M": 2, "P": 3, "Q": 3, "R": 3, "S": 3}, 98),
        (Does(lambda self, x: x.mean((2, 3))), (1, 5, 7, 6), "average_pool", {"M": 5, "R": 7, "S": 6}, 210),
    ],
)
def test_pooling(module: nn.Module, shape: tuple[int, ...], op: str, dims: dict[str, int], read: int) -> None:
    layer = only(module, shape)
    assert (layer.op, sizes(layer)) == (op, dims)
    assert elements(layer)["input"] == read
    windows = layer.dims["R"] * layer.dims["S"]
    assert (layer.macs, layer.ops) == (0, elements(layer)["output"] * windows)


def test_sum_over_an_axis_reads_all_and_writes_the_rest() -> None:
    layer = only(Does(lambda self, x: x.sum(1)), (2, 3, 4))
    assert elements(layer) == {"input": 24, "output": 8}
    assert layer.ops == 24


@pytest.mark.parametrize("call", ["module", "function"])
def test_local_response_norm_is_one_layer_of_window_operations(call: str) -> None:
    module = nn.LocalResponseNorm(5)
    if call == "function":
        module = Does(lambda self, x: functional.local_response_norm(x, 5))
    layer = only(module, (1, 8, 3, 3))
    assert (layer.op, sizes(layer)) == ("local_response_norm", {"M": 8, "C": 5, "P": 3, "Q": 3})
    # windows at the edge reach 2 channels beyond each side
    assert elements(layer) == {"input": 12 * 9, "output": 72}
    assert layer.ops == 72 * 5


def normalised() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU())


def test_batch_norm_and_activation_run_inside_the_convolution_by_default() -> None:
    layer = only(normalised(), (1, 2, 5, 5))
    assert layer.fused == ("1", "2")
    assert layer.parameters == 2 * 4 * 9 + 2 * 4


def test_batch_norm_may_stay_a_layer_of_its_own() -> None:
    graph = graph_of(normalised(), (1, 2, 5, 5), fold_batchnorm=False)
    assert [(layer.op, layer.fused, layer.parameters) for layer in graph.layers] == [
        ("convolution", (), 72),
        ("batch_norm", ("2",), 8),
    ]
    norm = graph.layers[1]
    assert elements(norm) == {"scale": 4, "shift": 4, "input": 36, "output": 36}
    assert norm.ops == 2 * 36
    assert flows(graph) == {("0", "1"): 36}


def test_operations_are_read_alike_whether_or_not_the_graph_had_to_be_written_out() -> None:
    """An unknown operation makes torch write composite and in-place operations out, under other names."""
    plain = nn.Sequential(
        nn.BatchNorm2d(2), nn.ReLU6(), nn.Conv2d(2, 4, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout()
    )
    unknown = nn.Sequential(*plain, Does(lambda self, x: torch.cummax(x, 1)[0]))
    one, other = (graph_of(module, (1, 2, 6, 6)) for module in (plain, unknown))
    assert other.layers[:-1] == one.layers
    assert other.edges[:-1] == one.edges


def test_activation_may_stay_a_layer_of_its_own() -> None:
    graph = graph_of(normalised(), (1, 2, 5, 5), fuse_activations=False)
    assert [(layer.op, layer.fused) for layer in graph.layers] == [("convolution", ("1",)), ("relu", ())]
    assert graph.layers[1].ops == 36


def test_batch_norm_before_a_convolution_is_not_folded() -> None:
    graph = graph_of(nn.Sequential(nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 4, 1)), (1, 2, 5, 5))
    assert [(layer.name, layer.fused) for layer in graph.layers] == [("0", ("1",)), ("2", ())]


def test_what_two_readers_need_is_not_changed_in_place() -> None:
    """x and relu(x) are both read, so x is written and relu is a layer."""
    parts = {"convolution": nn.Conv2d(2, 2, 1), "second": nn.Conv2d(2, 2, 1)}

    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        y = self.convolution(x)
        return self.second(y) + torch.relu(y)

    graph = graph_of(Does(forward, **parts), (1, 2, 3, 3))
    assert [layer.op for layer in graph.layers] == ["convolution", "convolution", "relu", "add"]
    flow = {("convolution", "second"): 18, ("convolution", "relu"): 18, ("second", "add"): 18, ("relu", "add"): 18}
    assert flows(graph) == flow


def test_activation_written_out_runs_inside_the_layer_before_it() -> None:
    """y * sigmoid(y) needs nothing but y, and nothing else needs y: it is an activation like any other."""
    module = Does(lambda self, x: (y := self.a(x)) * torch.sigmoid(y * 1.7), a=nn.Linear(3, 4))
    assert ops_of(module, (1, 3)) == [("linear", 1)]
    escapes = Does(lambda self, x: ((y := self.a(x)) * torch.sigmoid(y), y), a=nn.Linear(3, 4))
    assert ops_of(escapes, (1, 3)) == [("linear", 0), ("sigmoid", 0), ("mul", 0)]
    gated = Does(lambda self, x: (y := self.a(x)) * torch.sigmoid(y + self.b(x)), a=nn.Linear(3, 4), b=nn.Linear(3, 4))
    assert [op for op, _ in ops_of(gated, (1, 3))] == ["linear", "linear", "add", "mul"]


def ops_of(module: nn.Module, *shapes: tuple[int, ...]) -> list[tuple[str, int]]:
    """Name and number of fused nodes of each layer."""
    return [(layer.op, len(layer.fused)) for layer in graph_of(module, *shapes).layers]


def test_two_readers_behind_a_view_count_as_two() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        y = self.convolution(x).flatten(1)
        return self.last(y) + torch.relu(y)

    module = Does(forward, convolution=nn.Conv2d(2, 2, 1), last=nn.Linear(18, 18))
    assert ops_of(module, (1, 2, 3, 3)) == [("convolution", 0), ("linear", 0), ("relu", 0), ("add", 0)]


def test_activation_of_a_part_or_of_repetitions_is_a_layer() -> None:
    part = Does(lambda self, x: torch.relu(self.a(x)[:, :2]), a=nn.Linear(3, 4))
    assert ops_of(part, (1, 3)) == [("linear", 0), ("relu", 0)]
    repeated = Does(lambda self, x: torch.relu(self.a(x).expand(5, 4)), a=nn.Linear(3, 4))
    assert ops_of(repeated, (1, 3)) == [("linear", 0), ("relu", 0)]
    outer = Does(lambda self, x: self.a(x) * self.factors, a=nn.Linear(3, 1))
    outer.register_buffer("factors", torch.ones(5))
    assert ops_of(outer, (2, 3)) == [("linear", 0), ("mul", 0)]


def test_batch_norm_behind_an_activation_is_not_folded() -> None:
    module = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.BatchNorm2d(4))
    assert ops_of(module, (1, 2, 5, 5)) == [("convolution", 1), ("batch_norm", 0)]


def test_activation_without_producer_is_a_layer() -> None:
    layer = only(nn.ReLU(), (2, 3, 4, 5))
    assert (layer.op, sizes(layer), layer.ops) == ("relu", {"N": 2, "M": 3, "P": 4, "Q": 5}, 120)


@pytest.mark.parametrize("inplace", [False, True])
def test_residual_addition_reads_two_inputs(inplace: bool) -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        y = self.first(x)
        z = self.second(y)
        z = z.add_(y) if inplace else z + y
        return self.act(z)

    module = Does(forward, first=nn.Conv2d(3, 3, 1), second=nn.Conv2d(3, 3, 1), act=nn.ReLU(inplace=inplace))
    graph = graph_of(module, (1, 3, 4, 4))
    add = graph.layers[2]
    assert [(tensor.name, tensor.role) for tensor in add.tensors] == [
        ("input", "input"),
        ("input_2", "input"),
        ("output", "output"),
    ]
    assert (add.op, add.fused, add.ops) == ("add", ("act",), 48)
    assert flows(graph) == {("first", "second"): 48, ("first", add.name): 48, ("second", add.name): 48}


def test_broadcast_factor_is_read_once() -> None:
    layer = only(Does(lambda self, x, s: x * s), (1, 3, 4, 4), (1, 3, 1, 1))
    assert elements(layer) == {"input": 48, "input_2": 3, "output": 48}


def test_trained_factor_is_a_weight() -> None:
    module = Does(lambda self, x: x * self.factor)
    module.register_parameter("factor", nn.Parameter(torch.ones(3, 1, 1)))
    layer = only(module, (1, 3, 4, 4))
    assert [(tensor.name, tensor.role) for tensor in layer.tensors[:2]] == [("input", "input"), ("weight", "weight")]
    assert (layer.parameters, elements(layer)["weight"]) == (3, 3)


def test_concatenation_is_free_and_joins_edges() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.cat([self.a(x), self.b(x)], 1))

    module = Does(forward, a=nn.Conv2d(1, 2, 1), b=nn.Conv2d(1, 3, 1), last=nn.Conv2d(5, 1, 1))
    graph = graph_of(module, (1, 1, 4, 4))
    assert flows(graph) == {("a", "last"): 32, ("b", "last"): 48}


def test_what_flows_through_views_is_exact() -> None:
    """Channels 0-1 come from a, 2-4 from b; after a shuffle, a slice of 3 channels holds 1 of a and 2 of b."""

    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        joined = torch.cat([self.a(x), self.b(x)], 1).permute(0, 2, 3, 1).flatten(0, 2)
        return self.last(joined[:, 1:4])

    module = Does(forward, a=nn.Conv2d(1, 2, 1), b=nn.Conv2d(1, 3, 1), last=nn.Linear(3, 1))
    graph = graph_of(module, (1, 1, 4, 4))
    assert flows(graph) == {("a", "last"): 16, ("b", "last"): 32}


def test_pieces_of_a_split_go_to_their_readers() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        first, second = self.a(x).chunk(2, 1)
        return self.b(first) + second

    graph = graph_of(Does(forward, a=nn.Conv2d(1, 4, 1), b=nn.Conv2d(2, 2, 1)), (1, 1, 3, 3))
    assert flows(graph) == {("a", "b"): 18, ("b", "add"): 18, ("a", "add"): 18}


def test_views_of_pieces_and_channel_shuffles_keep_their_edges() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        first, second = torch.cat([self.a(x), self.b(x)], 1).chunk(2, 1)
        shuffled = first.view(1, 2, 2, 9).transpose(1, 2).contiguous().view(1, 4, 3, 3)
        return self.last(shuffled[:, :3]), second

    module = Does(forward, a=nn.Conv2d(1, 2, 1), b=nn.Conv2d(1, 6, 1), last=nn.Conv2d(3, 1, 1))
    graph = graph_of(module, (1, 1, 3, 3))
    # channels a a b b become a b a b, of which the first three are read
    assert flows(graph) == {("a", "last"): 18, ("b", "last"): 9}


def test_repeated_elements_flow_once() -> None:
    module = Does(lambda self, x: self.b(self.a(x).expand(5, 4)), a=nn.Linear(3, 4), b=nn.Linear(4, 2))
    assert flows(graph_of(module, (1, 3))) == {("a", "b"): 4}


def test_softmax_and_layer_norm() -> None:
    layer = only(nn.Softmax(-1), (2, 10))
    assert (layer.op, layer.ops) == ("softmax", 20 * 4)
    layer = only(nn.LayerNorm(6), (2, 5, 6))
    assert (layer.op, layer.parameters, layer.ops) == ("layer_norm", 12, 60 * 5)


@pytest.mark.parametrize(
    ("function", "op", "read", "written"),
    [
        (lambda self, x: torch.cummax(x, 1)[0], "cummax", 24, 24),
        (lambda self, x: torch.kthvalue(x, 2, 1)[0], "kthvalue", 24, 6),
        (lambda self, x: torch.fft.rfft(x).real, "fft_rfft", 24, 18),
    ],
)
def test_unknown_operation_costs_its_traffic_and_is_named(
    function: Callable[..., Any], op: str, read: int, written: int
) -> None:
    graph = graph_of(Does(function), (6, 4))
    layer = next(y for y in graph.layers if op in y.op)
    assert any(layer.name in warning and f"'{layer.op}'" in warning for warning in graph.warnings)
    assert elements(layer) == {"input": read, "output": written}
    assert layer.macs == 0
    if read % written == 0 or written % read == 0:
        assert layer.ops == max(read, written)


def test_unknown_operation_on_many_tensors_reads_each_once() -> None:
    graph = graph_of(Does(lambda self, *x: torch.block_diag(*x)), *((1, n) for n in (2, 3, 5, 7, 11, 13, 17, 19)))
    (layer,) = graph.layers
    assert elements(layer) == {"input": 77, "output": 8 * 77}
    assert graph.warnings


def test_only_the_shape_is_taken_by_operations_that_fill() -> None:
    layer = only(Does(lambda self, x: self.a(x) + torch.zeros_like(x), a=nn.Linear(4, 4)), (2, 4))
    assert layer.op == "linear"


def test_unknown_operation_in_the_middle_keeps_its_edges_and_weights() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.cummax(self.first(x), 1)[0] * 2)

    module = Does(forward, first=nn.Linear(4, 6), last=nn.Linear(6, 5))
    graph = graph_of(module, (1, 3, 4))
    assert graph.parameters == sum(parameter.numel() for parameter in module.parameters())
    assert flows(graph) == {("first", "cummax"): 18, ("cummax", "last"): 18}
    assert graph.unknown == ("cummax",)


def test_parameters_used_twice_are_counted_once() -> None:
    module = Does(lambda self, x: self.a(torch.relu(self.a(x))), a=nn.Linear(4, 4))
    graph = graph_of(module, (1, 4))
    assert [layer.name for layer in graph.layers] == ["a", "a_2"]
    assert graph.parameters == 20


def test_reading_leaves_the_module_in_its_mode() -> None:
    module = normalised()
    module[1].eval()
    graph_of(module, (1, 2, 5, 5))
    assert (module.training, module[0].training, module[1].training) == (True, True, False)


def test_batch_of_the_example_is_dim_n() -> None:
    one, four = (graph_of(normalised(), (n, 2, 5, 5)) for n in (1, 4))
    assert one.with_batch(4) == four


def test_names_are_cleaned() -> None:
    module = nn.Sequential()
    module.add_module("conv\u202egnp\x1b[31m", nn.Conv2d(1, 1, 1))
    assert only(module, (1, 1, 2, 2)).name == "convgnp[31m"


def test_data_dependent_module_is_refused_with_line_and_remedy() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        if x.sum() > 0:  # the line to be named
            return x
        return -x

    with pytest.raises(ModelReadError, match="the line to be named") as caught:
        graph_of(Does(forward), (2, 2))
    message = str(caught.value)
    assert "torch.where" in message
    assert "test_from_torch.py:" in message
    assert "\n" not in message


def test_size_that_depends_on_values_is_refused_with_the_operation() -> None:
    with pytest.raises(ModelReadError, match=r"'nonzero' .* depends on the values") as caught:
        graph_of(Does(lambda self, x: torch.nonzero(self.a(x)) * 2, a=nn.Linear(4, 4)), (2, 4))
    assert "\n" not in str(caught.value)


def test_attention_with_fewer_heads_for_keys() -> None:
    def forward(self: Any, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        return functional.scaled_dot_product_attention(q, k, k, enable_gqa=True)

    graph = graph_of(Does(forward), (1, 6, 5, 4), (1, 2, 5, 4))
    assert graph.macs == 2 * (6 * 5 * 5 * 4)
    assert graph.warnings == ()


def test_module_that_fails_is_refused_with_reason() -> None:
    with pytest.raises(ModelReadError, match="same reduction dim") as caught:
        graph_of(nn.Linear(3, 4), (2, 5))
    assert "example inputs" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(ModelReadError, match=r"expected a torch\.nn\.Module, got int"):
        from_torch(3, (), name="number")  # type: ignore[arg-type]


def test_module_that_computes_nothing_is_refused() -> None:
    with pytest.raises(ModelReadError, match="no operation"):
        graph_of(nn.Flatten(), (2, 5))
