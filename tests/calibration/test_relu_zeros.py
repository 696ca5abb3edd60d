"""Zeros that ReLU leaves: half where a model says none, through pooling and normalisation, never elsewhere."""

from energysim.calibration.relu_zeros import assume_zeros
from energysim.workload.precision import with_density
from energysim.workload.read import read_model


def test_inputs_that_come_from_relu_are_half_zeros() -> None:
    graph = read_model("alexnet")
    assumed = assume_zeros(graph)
    density = {layer.name: layer.tensor("input").density for layer in assumed.graph.layers if layer.macs}  # type: ignore[union-attr]
    # conv2 reads conv1 through ReLU, normalisation and pooling; an image has no zeros
    assert density == {"conv1": 1.0} | dict.fromkeys(["conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"], 0.5)
    outputs = {layer.name: layer.output.density for layer in assumed.graph.layers}
    assert (outputs["conv1"], outputs["pool5"], outputs["fc8"]) == (0.5, 0.5, 1.0)
    assert all(t.density == 1.0 for layer in assumed.graph.layers for t in layer.tensors if t.role == "weight")


def test_a_linear_bottleneck_leaves_none() -> None:
    # MobileNet v2 projects without ReLU: what expands it again, and sums of such, are dense
    graph = read_model("mobilenet_v2")
    layers = {layer.name: layer for layer in assume_zeros(graph).graph.layers}
    assert layers["stage1.0.project"].tensor("input").density == 0.5  # type: ignore[union-attr]
    assert layers["stage2.0.expand.conv"].tensor("input").density == 1.0  # type: ignore[union-attr]


def test_what_a_model_says_stands() -> None:
    graph = with_density(read_model("vgg16"), {"conv1_2": {"input": 0.7}})
    assumed = assume_zeros(graph)
    assert assumed.graph is graph
    assert assumed.layers == ()
