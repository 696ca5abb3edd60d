"""Quantised modules: the same layers as the plain ones, with the bits that the model says."""

import warnings
from typing import Any

import pytest
import torch
from torch import nn

from energysim.workload.from_torch import from_torch
from energysim.workload.graph import LayerGraph
from energysim.workload.torch_quantised import bits_of
from tests.workload.test_from_torch import Does, graph_of

IMAGE = (torch.zeros(2, 3, 6, 6),)


def convolutional() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 4))


def bits(graph: LayerGraph) -> list[dict[str, int]]:
    return [{tensor.name: tensor.bits for tensor in layer.tensors} for layer in graph.layers]


def work(graph: LayerGraph) -> list[Any]:
    return [(layer.name, layer.op, layer.dims, layer.macs) for layer in graph.layers]


def quantised(module: nn.Module, kind: str) -> nn.Module:
    """As torch.ao quantises after training ("static", "dynamic") or in training ("aware"); it warns of its own end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ao = torch.ao.quantization
        if kind == "dynamic":
            return ao.quantize_dynamic(module.eval(), {nn.Linear}, dtype=torch.qint8)
        if kind == "aware":
            module.train().qconfig = ao.get_default_qat_qconfig("x86")
            return ao.prepare_qat(module).eval()
        wrapped = nn.Sequential(ao.QuantStub(), *module, ao.DeQuantStub()).eval()
        wrapped.qconfig = ao.get_default_qconfig("x86")
        prepared = ao.prepare(ao.fuse_modules(wrapped, [["1", "2"]]))
        prepared(torch.randn(2, 3, 6, 6))
        return ao.convert(prepared)


def test_static_quantisation_sets_every_width() -> None:
    graph = from_torch(quantised(convolutional(), "static"), IMAGE, name="small")
    plain = from_torch(convolutional(), IMAGE, name="small")
    assert [layer.macs for layer in graph.layers] == [layer.macs for layer in plain.layers]
    assert bits(graph) == [{"weight": 8, "input": 8, "output": 8}] * 2
    assert [layer.output.partial_bits for layer in graph.layers] == [32, 32]
    assert graph.parameters == plain.parameters
    assert graph.warnings == graph.unknown == ()


def test_dynamic_quantisation_sets_weights_and_inputs_of_linear_layers() -> None:
    graph = from_torch(quantised(convolutional(), "dynamic"), IMAGE, name="small")
    assert work(graph) == work(from_torch(convolutional(), IMAGE, name="small"))
    assert bits(graph)[0]["weight"] == 16
    assert bits(graph)[1] == {"weight": 8, "input": 8, "output": 16}
    assert graph.warnings == ()


def test_quantisation_aware_training_says_its_levels() -> None:
    graph = from_torch(quantised(convolutional(), "aware"), IMAGE, name="small")
    assert [layer.op for layer in graph.layers] == ["convolution", "linear"]
    # 8-bit weights; activations of 0 to 127 are 7 bits
    assert bits(graph) == [{"weight": 8, "input": 16, "output": 7}, {"weight": 8, "input": 7, "output": 7}]
    assert graph.warnings == ()


@pytest.mark.parametrize(("least", "most", "width"), [(-8, 7, 4), (0, 255, 8), (0, 1, 1), (-1, 1, 2)])
def test_levels_make_bits(least: int, most: int, width: int) -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        weight = torch.fake_quantize_per_tensor_affine(self.a.weight, 1.0, 0, least, most)
        return nn.functional.linear(x, weight)

    assert bits(graph_of(Does(forward, a=nn.Linear(3, 4, bias=False)), (2, 3)))[0]["weight"] == width


class Halves(torch.Tensor):
    """Two numbers of 4 bits in a byte, as torchao keeps them: a tensor subclass that says what it holds."""

    @staticmethod
    def __new__(cls, packed: torch.Tensor) -> "Halves":
        shape = (packed.shape[0], 2 * packed.shape[1])
        return torch.Tensor._make_wrapper_subclass(cls, shape, dtype=torch.float32)

    def __init__(self, packed: torch.Tensor) -> None:
        self.packed, self.scale = packed, torch.ones(packed.shape[0])

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["packed", "scale"], None

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is torch.ops.aten.detach.default:
            return args[0]
        raise NotImplementedError(function)


def test_packed_numbers_of_a_subclass_are_counted() -> None:
    module = nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 2))
    packed = Halves(torch.zeros(4, 4, dtype=torch.uint8))
    module[0].weight = nn.Parameter(packed, requires_grad=False)
    assert bits_of(module[0].weight) == 4
    graph = graph_of(module, (3, 8))
    assert [each["weight"] for each in bits(graph)] == [4, 16]
    assert type(module[0].weight) is not nn.Parameter, "the module is left as it was"
    assert graph.parameters == 8 * 4 + 4 + 4 * 2 + 2


def test_plain_tensors_say_nothing() -> None:
    assert bits_of(nn.Parameter(torch.zeros(3))) == 0
    with warnings.catch_warnings():
        # That such tensors are on their way out is said once in a process: to whichever test comes first.
        warnings.simplefilter("ignore")
        stored = torch.quantize_per_tensor(torch.zeros(3), 1.0, 0, torch.qint8)
    assert bits_of(stored) == 8


def test_types_and_inputs_of_torchao_are_said() -> None:
    class Named(Halves):
        target_dtype = torch.int2
        act_quant_kwargs = "symmetric, by token"

    module = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
    module[0].weight = nn.Parameter(Named(torch.zeros(4, 4, dtype=torch.uint8)), requires_grad=False)
    assert bits(graph_of(module, (3, 8)))[0] == {"weight": 2, "input": 8, "output": 16}


def test_rounding_written_out_by_an_export_says_its_levels() -> None:
    """As PT2E writes it: stored integers taken as floats, activations rounded and taken as floats again."""
    import torch.ao.quantization.fx._decomposed

    ops = torch.ops.quantized_decomposed

    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        x = ops.dequantize_per_tensor(
            ops.quantize_per_tensor(x, 0.1, 0, 0, 255, torch.uint8), 0.1, 0, 0, 255, torch.uint8
        )
        weight = ops.dequantize_per_tensor(self.stored, 0.1, 0, -8, 7, torch.int8)
        y = torch.relu(nn.functional.linear(x, weight))
        return ops.dequantize_per_tensor(
            ops.quantize_per_tensor(y, 0.1, 0, 0, 15, torch.uint8), 0.1, 0, 0, 15, torch.uint8
        )

    module = Does(forward)
    module.register_buffer("stored", torch.zeros(4, 3, dtype=torch.int8))
    graph = graph_of(module, (2, 3))
    assert bits(graph) == [{"weight": 4, "input": 8, "output": 4}]
    assert graph.warnings == ()
