"""Operations that are several layers, and layers that are several operations, worked out by hand."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from energysim.workload.from_torch import from_torch
from energysim.workload.graph import LayerGraph, same_work
from energysim.workload.layer import Layer
from energysim.workload.several import CELLS, interpolation
from tests.workload.test_from_torch import Does, elements, flows, graph_of, only, sizes


def attended(*shapes: tuple[int, ...], **options: Any) -> LayerGraph:
    """The graph of a fused attention on a query, a key, a value and perhaps a mask."""

    def forward(self: Any, *given: torch.Tensor) -> torch.Tensor:
        query, key, value, *mask = given
        return functional.scaled_dot_product_attention(query, key, value, *mask, **options)

    return graph_of(Does(forward), *shapes)


def test_attention_is_scores_softmax_and_context() -> None:
    graph = attended((2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 6))
    scores, softmax, context = graph.layers
    assert sizes(scores) == {"G": 6, "P": 5, "C": 4, "M": 7}
    assert elements(scores) == {"input": 6 * 20, "input_2": 6 * 28, "output": 6 * 35}
    assert (softmax.op, softmax.ops) == ("softmax", 4 * 6 * 35)
    assert sizes(context) == {"G": 6, "P": 5, "C": 7, "M": 6}
    assert elements(context) == {"input": 6 * 35, "input_2": 6 * 42, "output": 6 * 30}
    assert flows(graph) == {(scores.name, softmax.name): 210, (softmax.name, context.name): 210}
    assert graph.warnings == ()


def test_grouped_queries_read_shared_keys_and_values_once() -> None:
    graph = attended((1, 6, 5, 4), (1, 2, 5, 4), (1, 2, 5, 4), enable_gqa=True)
    scores, _, context = graph.layers
    # three query heads to one of keys: P = 3 * 5
    assert sizes(scores) == {"G": 2, "P": 15, "C": 4, "M": 5}
    assert elements(scores)["input_2"] == elements(context)["input_2"] == 2 * 5 * 4
    assert graph.macs == 2 * (6 * 5 * 5 * 4)


def test_heads_repeated_by_a_view_are_read_once() -> None:
    """What models do that repeat keys and values before the product: (1, 2, 5, 4) to (1, 6, 5, 4)."""

    def forward(self: Any, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        k = k[:, :, None].expand(1, 2, 3, 5, 4).reshape(1, 6, 5, 4)
        return functional.scaled_dot_product_attention(q, k, k)

    graph = graph_of(Does(forward), (1, 6, 5, 4), (1, 2, 5, 4))
    assert graph.layers == attended((1, 6, 5, 4), (1, 2, 5, 4), (1, 2, 5, 4), enable_gqa=True).layers


@pytest.mark.parametrize(
    ("shapes", "options", "said"),
    [
        ([(1, 2, 5, 4)] * 3, {"is_causal": True}, "causal"),
        ([(1, 2, 5, 4)] * 3, {}, "not causal"),
        ([*[(1, 2, 5, 4)] * 3, (1, 1, 5, 5)], {}, "a mask"),
    ],
)
def test_attention_says_what_it_masks(shapes: list[tuple[int, ...]], options: dict[str, bool], said: str) -> None:
    graph = attended(*shapes, **options)
    (assumption,) = graph.assumptions
    assert said in assumption
    assert "attention.scores" in assumption
    assert graph.macs == 2 * (2 * 5 * 5 * 4), "masked products count"


def test_computed_mask_is_a_layer_that_reads_it() -> None:
    graph = attended((1, 2, 5, 4), (1, 2, 5, 4), (1, 2, 5, 4), (1, 1, 5, 5))
    assert [layer.op for layer in graph.layers] == ["matmul", "add", "softmax", "matmul"]
    assert elements(graph.layers[1]) == {"input": 50, "input_2": 25, "output": 50}


def lstm_like(kind: str, module: nn.Module, *shapes: tuple[int, ...]) -> LayerGraph:
    graph = graph_of(module, *shapes)
    assert graph.warnings == ()
    assert graph.parameters == sum(parameter.numel() for parameter in module.parameters())
    assert any("one loop" in assumption for assumption in graph.assumptions)
    return graph


def test_lstm_is_two_products_and_its_cells() -> None:
    module = nn.LSTM(6, 5, batch_first=True)
    graph = lstm_like("lstm", module, (2, 3, 6))
    inputs, states, cell = graph.layers
    # 2 * 3 vectors; four gates of 5 states
    assert sizes(inputs) == {"N": 6, "M": 20, "C": 6}
    assert sizes(states) == {"N": 6, "M": 20, "C": 5}
    assert elements(states) == {"weight": 100, "input": 30, "output": 120}
    # eight numbers from the products for each state; i, f, o, g: 4 additions, 4 functions; c: 3; h: 2
    assert cell.ops == 13 * 6 * 5
    assert sum(n for name, n in elements(cell).items() if name != "output") == 8 * 30
    assert flows(graph) == {(inputs.name, cell.name): 120, (states.name, cell.name): 120}


def test_gru_reads_the_last_state_in_its_cell() -> None:
    graph = lstm_like("gru", nn.GRU(6, 5), (3, 2, 6))
    # 2*3 products and the last state; r, z: 2 additions, 2 functions; n: product, addition, function; h: 4
    assert graph.layers[-1].ops == 11 * 6 * 5
    assert sum(n for name, n in elements(graph.layers[-1]).items() if name != "output") == 7 * 30


def test_plain_recurrent_network_adds_and_squashes() -> None:
    graph = lstm_like("rnn", nn.RNN(6, 5, nonlinearity="relu"), (3, 2, 6))
    assert (graph.layers[-1].op, graph.layers[-1].ops) == ("rnn_cell", 2 * 30)


def test_two_layers_in_two_directions() -> None:
    graph = lstm_like("lstm", nn.LSTM(6, 5, num_layers=2, bidirectional=True), (3, 2, 6))
    assert [sizes(layer) for layer in graph.layers] == [
        {"N": 6, "M": 40, "C": 6},
        {"N": 6, "G": 2, "M": 20, "C": 5},
        {"N": 6, "M": 10},
        {"N": 6, "M": 40, "C": 10},
        {"N": 6, "G": 2, "M": 20, "C": 5},
        {"N": 6, "M": 10},
    ]
    assert flows(graph)[graph.layers[2].name, graph.layers[3].name] == 60


def test_projection_of_states() -> None:
    graph = lstm_like("lstm", nn.LSTM(6, 5, proj_size=2), (3, 1, 6))
    assert [sizes(layer) for layer in graph.layers] == [
        {"N": 3, "M": 20, "C": 6},
        {"N": 3, "M": 20, "C": 2},
        {"N": 3, "M": 5},
        {"N": 3, "M": 2, "C": 5},
    ]


def test_one_step_of_a_cell() -> None:
    graph = from_torch(nn.GRUCell(6, 5), (torch.zeros(2, 6), torch.zeros(2, 5)), name="cell")
    assert [sizes(layer) for layer in graph.layers] == [
        {"N": 2, "M": 15, "C": 6},
        {"N": 2, "M": 15, "C": 5},
        {"N": 2, "M": 5},
    ]
    assert graph.parameters == 15 * 6 + 15 * 5 + 30


def test_recurrent_layer_between_others_keeps_the_flow() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.lstm(self.first(x))[0])

    module = Does(forward, first=nn.Linear(4, 6), lstm=nn.LSTM(6, 5, batch_first=True), last=nn.Linear(5, 2))
    graph = graph_of(module, (1, 3, 4))
    assert [layer.name for layer in graph.layers] == ["first", "lstm.inputs", "lstm.states", "lstm.cell", "last"]
    assert flows(graph)["first", "lstm.inputs"] == 18
    assert flows(graph)["lstm.cell", "last"] == 15


def test_cells_read_two_numbers_for_each_gate() -> None:
    assert {kind: cell.gates for kind, cell in CELLS.items()} == {"lstm": 4, "gru": 3, "rnn": 1}


class RootMeanSquare(nn.Module):
    """As transformers write it out, with casts."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., width) to the same."""
        wide = x.to(torch.float64)
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)
        return self.weight * wide.to(x.dtype)


def test_root_mean_square_normalisation_written_out_is_that_of_torch() -> None:
    written = only(nn.Sequential(RootMeanSquare(8)), (2, 3, 8))
    own = only(nn.Sequential(nn.RMSNorm(8)), (2, 3, 8))
    assert (written.op, written.ops, written.parameters) == ("rms_norm", 4 * 48, 8)
    assert written == own


def test_rotary_embedding_is_one_layer() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        y = self.a(x)
        turned = torch.cat((-y[..., 2:], y[..., :2]), -1)
        return y * self.cos + turned * self.sin

    module = Does(forward, a=nn.Linear(3, 4))
    module.register_buffer("cos", torch.ones(5, 4))
    module.register_buffer("sin", torch.ones(5, 4))
    graph = graph_of(module, (2, 5, 3))
    assert [layer.op for layer in graph.layers] == ["linear", "rotary"]
    assert graph.layers[1].ops == 3 * 40
    assert elements(graph.layers[1]) == {"input": 40, "weight": 20, "weight_2": 20, "output": 40}
    assert flows(graph) == {("a", "rotary"): 40}


def test_convolution_over_a_volume() -> None:
    layer = only(nn.Conv3d(2, 4, (3, 2, 1), stride=(2, 1, 1), groups=2), (1, 2, 9, 5, 6))
    # depth (9-3)/2+1 = 4, height 4, width 6
    assert sizes(layer) == {"G": 2, "M": 2, "D": 4, "P": 4, "Q": 6, "T": 3, "R": 2}
    assert elements(layer) == {"weight": 4 * 6, "input": 2 * 9 * 5 * 6, "output": 4 * 4 * 4 * 6}
    assert layer.parameters == 24 + 4


def test_convolution_over_a_volume_of_no_depth_is_that_over_an_image() -> None:
    flat = only(nn.Conv3d(2, 4, (1, 3, 3), stride=(1, 2, 2), bias=False), (1, 2, 1, 9, 9))
    assert same_work(flat) == same_work(only(nn.Conv2d(2, 4, 3, stride=2, bias=False), (1, 2, 9, 9)))


def test_transposed_convolution_over_a_volume() -> None:
    layer = only(nn.ConvTranspose3d(2, 3, 2, stride=2, bias=False), (1, 2, 3, 4, 5))
    assert sizes(layer) == {"M": 3, "C": 2, "D": 3, "P": 4, "Q": 5, "T": 2, "R": 2, "S": 2}
    assert elements(layer)["output"] == 3 * 6 * 8 * 10


@pytest.mark.parametrize(
    ("module", "kernel"),
    [(nn.MaxPool3d(2), (2, 2, 2)), (nn.AvgPool3d((1, 2, 3)), (1, 2, 3)), (nn.AdaptiveAvgPool3d(1), (4, 6, 6))],
)
def test_pooling_of_a_volume(module: nn.Module, kernel: tuple[int, int, int]) -> None:
    layer = only(module, (1, 2, 4, 6, 6))
    assert tuple(layer.dims[dim] for dim in "TRS") == kernel
    assert elements(layer)["input"] == 2 * 4 * 6 * 6


@pytest.mark.parametrize(("mode", "ops"), [("nearest", 0), ("bilinear", 2 * 4 - 1), ("bicubic", 2 * 16 - 1)])
def test_interpolation_weighs_its_neighbours(mode: str, ops: int) -> None:
    layer = only(Does(lambda self, x: functional.interpolate(x, scale_factor=2, mode=mode)), (1, 3, 4, 5))
    assert elements(layer) == {"input": 60, "output": 240}
    assert (layer.op, layer.ops) == ("interpolate", ops * 240)


@pytest.mark.parametrize(
    ("before", "after", "read"),
    [(4, 12, 4), (12, 4, 4), (6, 4, 4), (4, 6, 5)],  # 4 to 6: 2 read for 3 written, one of them twice: 2*(2-1) + 3
)
def test_interpolation_reads_what_it_samples(before: int, after: int, read: int) -> None:
    layer: Layer | None = interpolation("resize", "interpolate", (1, 1, before), (1, 1, after), 1)
    assert layer is not None
    assert elements(layer) == {"input": read, "output": after}


def test_taking_by_computed_indices_moves_data_and_computes_nothing() -> None:
    module = Does(lambda self, x, at: torch.gather(x, 1, at))
    graph = from_torch(module, (torch.zeros(4, 9), torch.zeros(4, 2, dtype=torch.long)), name="taken")
    (layer,) = graph.layers
    assert (layer.op, layer.ops) == ("gather", 0)
    assert elements(layer) == {"input": 8 + 8, "output": 8}
    assert graph.warnings == ()


def test_parameters_beside_computed_numbers_are_counted_where_both_are_used() -> None:
    """The class token of a vision transformer."""

    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        return self.a(torch.cat([self.token, x], 1))

    module = Does(forward, a=nn.Linear(3, 4))
    module.register_parameter("token", nn.Parameter(torch.ones(1, 1, 3)))
    (layer,) = graph_of(module, (1, 5, 3)).layers
    assert (layer.name, layer.parameters) == ("a", 3 + 12 + 4)


def test_tied_weights_are_one() -> None:
    module = Does(
        lambda self, x: self.head(self.table(x)), table=nn.Embedding(10, 4), head=nn.Linear(4, 10, bias=False)
    )
    module.head.weight = module.table.weight
    graph = from_torch(module, (torch.zeros(1, 3, dtype=torch.long),), name="tied")
    assert [layer.name for layer in graph.layers] == ["table", "head"]
    assert (graph.parameters, graph.unreached) == (40, ())


def test_modules_never_reached_are_named() -> None:
    module = Does(lambda self, x: self.used(x), used=nn.Linear(3, 4), spare=nn.Linear(3, 4))
    graph = graph_of(module, (1, 3))
    assert graph.unreached == ("spare",)
    assert graph.parameters == 16


def test_order_and_running_sums() -> None:
    layer = only(Does(lambda self, x: torch.topk(x, 4)[0]), (6, 16))
    # 96 elements read, each compared once and log2 4 = 2 times more
    assert (layer.op, layer.ops) == ("topk", 3 * 96)
    layer = only(Does(lambda self, x: torch.cumsum(x, 1)), (6, 16))
    assert (layer.op, layer.ops) == ("cumulate", 96)
