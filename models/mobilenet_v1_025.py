"""MobileNet v1, width 0.25, of MLPerf Tiny (visual wake words, 96 x 96): Banbury et al., arXiv:2106.07597."""

import torch
from torch import nn

# channels and stride of each depthwise-separable pair
PAIRS = ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1))


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution with bias, as in the benchmark's Keras model, BatchNorm and ReLU."""
    layers = nn.Sequential()
    layers.add_module("conv", nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups))
    layers.add_module("bn", nn.BatchNorm2d(outputs))
    layers.add_module("relu", nn.ReLU())
    return layers


def build() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The network and an example input."""
    network = nn.Sequential()
    network.add_module("conv0", convolution(3, 8, 3, 2))
    channels = 8
    for number, (width, stride) in enumerate(PAIRS, 1):
        network.add_module(f"depthwise{number}", convolution(channels, channels, 3, stride, channels))
        network.add_module(f"pointwise{number}", convolution(channels, width, 1))
        channels = width
    network.add_module("avgpool", nn.AvgPool2d(3))
    network.add_module("flatten", nn.Flatten())
    network.add_module("fc", nn.Linear(256, 2))
    network.add_module("prob", nn.Softmax(1))
    return network, (torch.zeros(1, 3, 96, 96),)
