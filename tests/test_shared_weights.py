"""Compressed networks on accelerators, from file to answer, and what a user is told when they do not go together."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import energysim
from energysim.cli import main
from energysim.compressed.file import write_compressed
from energysim.compressed.model import Clustered, CompressedModel
from energysim.errors import InputError, NothingFitsError
from energysim.estimate import estimate
from energysim.granularity import Granularity
from energysim.hardware.accelerator import EnergyTable, Price
from energysim.hardware.read import DescribedAccelerator, parse_accelerator, read_accelerator, to_yaml
from energysim.workload.read import read_model
from energysim.yaml_nodes import parse


def lenet(clusters: int, kind: str = "row", seed: int = 0) -> CompressedModel:
    """LeNet with random samples on so many centroids, none zero."""
    tensors: dict[str, Clustered] = {}
    random = np.random.default_rng(seed)
    for name, shape in {
        "conv1": (20, 1, 5, 5),
        "conv2": (50, 20, 5, 5),
        "ip1": (500, 800),
        "ip2": (10, 500),
    }.items():
        granularity = Granularity(kind)
        count, length = granularity.sample_shape(shape)
        codebook = random.normal(1.0, 0.1, (1, clusters, length)).astype(np.float32)
        indices = random.integers(0, 1 << 30, count).astype(np.uint32) % clusters
        tensors[f"{name}.weight"] = Clustered(codebook, indices, shape, "F32", granularity, "convolution")
    return CompressedModel(tensors, name="lenet")


@pytest.fixture
def compressed(tmp_path: Path) -> str:
    path = tmp_path / "small.safetensors"
    write_compressed(path, lenet(16))
    return str(path)


def layers_of_lenet() -> list[str]:
    return [layer.name for layer in read_model("lenet_caffe5").layers if layer.parameters]


def test_the_names_are_those_of_the_packaged_network() -> None:
    assert layers_of_lenet() == ["conv1", "conv2", "ip1", "ip2"]


def test_an_accelerator_without_a_codebook_pays_for_dense_weights_and_says_so(compressed: str) -> None:
    plain = estimate(read_model("lenet_caffe5", bits=8), read_accelerator("eyeriss"))
    found = estimate(read_model("lenet_caffe5", bits=8, compressed=compressed), read_accelerator("eyeriss"))
    assert found.totals.energy_pj == plain.totals.energy_pj
    said = "'conv1' and 3 more layers: shared weights come expanded, eyeriss has no codebook"
    assert said in found.warnings


def test_fewer_clusters_never_cost_more_weight_traffic() -> None:
    accelerator = read_accelerator("eyeriss_storage")
    moved = []
    for clusters in (2, 4, 16, 256):
        found = estimate(read_model("lenet_caffe5", bits=8, compressed=lenet(clusters)), accelerator)
        moved.append(sum(row.energy_by_component_pj["dram"]["weight"] for row in found.layers if row.macs))
    assert moved == sorted(moved)
    # a bit for each of 430,500 weights' samples: rows of five in the convolutions, scalars in the rest
    assert moved[0] == pytest.approx((25_500 / 5 + 405_000) * 312 / 16)


def free_look_ups(accelerator: DescribedAccelerator) -> DescribedAccelerator:
    free = {("codebook", action, "*"): Price(0.0, "free", "table", 16) for action in ("read", "write")}
    prices = dict(accelerator.table.prices) | free
    return replace(accelerator, table=EnergyTable(prices))


def test_as_many_clusters_as_weights_and_free_look_ups_price_like_dense() -> None:
    # 256 scalar centroids have indices as wide as 8-bit weights; the codebook's own way is all that is left.
    accelerator = free_look_ups(read_accelerator("eyeriss_storage"))
    shared = estimate(read_model("lenet_caffe5", bits=8, compressed=lenet(256, "scalar")), accelerator)
    dense = estimate(read_model("lenet_caffe5", bits=8), accelerator)
    for one, other in zip(shared.layers, dense.layers, strict=True):
        way = one.energy_by_component_pj["dram"].get("codebook", 0.0)
        assert one.energy_pj - way == pytest.approx(other.energy_pj, rel=1e-12)
        assert way == (256 * 8 * 312 / 16 if one.macs else 0.0)


def test_shared_products_multiply_and_adds_fewer_full_adders() -> None:
    accelerator = read_accelerator("eyeriss_products")
    found = estimate(read_model("lenet_caffe5", bits=8, compressed=lenet(2, "scalar")), accelerator)
    dense = estimate(read_model("lenet_caffe5", bits=8), accelerator)
    for one, other in zip(found.layers, dense.layers, strict=True):
        if one.macs:
            assert one.counts["mac"]["multiply"]["compute"] < one.macs
            assert one.full_adders < other.full_adders
            assert one.energy_by_component_pj["products"]["product"] > 0


def test_a_codebook_that_does_not_fit_names_the_layer_and_the_bits() -> None:
    graph = read_model("lenet_caffe5", bits=16, compressed=lenet(300, "scalar"))
    with pytest.raises(NothingFitsError) as error:
        estimate(graph, read_accelerator("eyeriss_products"))
    assert str(error.value) == (
        "layer 'conv1': a codebook of 300 x 1 elements of 16 bits takes 4,800 bits, "
        "the table of eyeriss_products holds 4,096"
    )


def test_vectors_across_rows_are_looked_up_and_that_is_said() -> None:
    model = lenet(8)
    vector = Granularity("vector", 2)
    count, length = vector.sample_shape((50, 20, 5, 5))
    tensor = replace(
        model.tensors["conv2.weight"],
        granularity=vector,
        codebooks=np.ones((1, 8, length), np.float32),
        indices=np.arange(count, dtype=np.uint32) % 8,
    )
    changed = replace(model, tensors=dict(model.tensors) | {"conv2.weight": tensor})
    found = estimate(read_model("lenet_caffe5", bits=8, compressed=changed), read_accelerator("eyeriss_products"))
    said = "samples of vector:2 lie across its input channels and kernels"
    assert f"'conv2': weights are looked up, products are not shared: {said}" in found.warnings
    row = next(row for row in found.layers if row.name == "conv2")
    assert "multiply" not in row.counts["mac"]


def test_the_commands(compressed: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    common = ["--on", "eyeriss_products", "--bits", "8", "--compressed", compressed, "--no-cache"]
    assert main(["estimate", "lenet_caffe5", *common]) == 0
    assert "lenet_caffe5+small" in capsys.readouterr().out
    assert main(["explain", "lenet_caffe5", "conv2", *common]) == 0
    out = capsys.readouterr().out
    assert (
        "row: 5,000 samples of 5 on 16 centroids; codebook 640 bits; 0.0% of samples are zero, 4 of 4 index bits" in out
    )
    assert "multiplications left; a product is used" in out
    output = tmp_path / "answer.json"
    assert main(["estimate", "lenet_caffe5", *common, "-o", str(output)]) == 0
    capsys.readouterr()
    again = energysim.Estimate.from_json(output.read_text())
    options = (tmp_path / "answer.options.json").read_text()
    assert '"--compressed"' in options
    assert main(["estimate", str(tmp_path / "answer.model.yaml"), *common, "--format", "json"]) == 0
    repeated = energysim.Estimate.from_json(capsys.readouterr().out)
    assert repeated.totals.energy_pj == again.totals.energy_pj
    assert repeated.model_sha256 == again.model_sha256


def test_a_file_of_another_model_is_refused(compressed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", "resnet18", "--on", "eyeriss_storage", "--compressed", compressed]) == 2
    assert "'small' does not fit model 'resnet18'; weights without a layer: conv2, ip1, ip2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("    memory: spad", "    memory: spat", "unknown memory 'spat'; did you mean 'spad'?"),
        ("    memory: spad", "    memory: dram", "style product needs the codebook in spad, the innermost level"),
        ("    memory: spad", "    memory: global_buffer", "global_buffer does not always keep weights"),
        ("  products:\n    words: 32", "  productz:\n    words: 32", "unknown sharing field 'productz'"),
        ("style: product", "style: storage", "products belong to style product"),
        ("    words: 32", "    words: 0", "words must be"),
        ("    multiply: {pj", "    multiplied: {pj", "unknown compute energy field 'multiplied'"),
        ("  style: product", "  style: products", "unknown style 'products'"),
        ("compute:", "coded_to: drum\ncompute:", "unknown memory 'drum'; did you mean 'dram'?"),
    ],
)
def test_accelerator_files_that_cannot_be(old: str, new: str, says: str) -> None:
    from energysim.packaged import packaged

    text = packaged("hw_configs")["eyeriss_products"].read_text()
    assert old in text
    with pytest.raises(InputError) as error:
        parse_accelerator(parse(text.replace(old, new, 1), "a.yaml"), "a")
    assert says in str(error.value)


@pytest.mark.parametrize("name", ["eyeriss_storage", "eyeriss_products"])
def test_sharing_goes_through_yaml(name: str) -> None:
    described = read_accelerator(name)
    again = parse_accelerator(parse(to_yaml(described), "a.yaml"), name)
    assert again.accelerator == described.accelerator
    assert dict(again.table.prices) == dict(described.table.prices)
