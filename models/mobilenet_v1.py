"""MobileNet v1 for ImageNet, 224 x 224, width 1: Howard et al., arXiv:1704.04861, Table 1."""

import torch
from torch import nn

# channels and stride of each depthwise-separable pair
PAIRS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution, BatchNorm and ReLU."""
    layers = nn.Sequential()
    layers.add_module("conv", nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False))
    layers.add_module("bn", nn.BatchNorm2d(outputs))
    layers.add_module("relu", nn.ReLU())
    return layers


def build() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The network and an example input."""
    network = nn.Sequential()
    network.add_module("conv0", convolution(3, 32, 3, 2))
    channels = 32
    for number, (width, stride) in enumerate(PAIRS, 1):
        network.add_module(f"depthwise{number}", convolution(channels, channels, 3, stride, channels))
        network.add_module(f"pointwise{number}", convolution(channels, width, 1))
        channels = width
    network.add_module("avgpool", nn.AvgPool2d(7))
    network.add_module("flatten", nn.Flatten())
    network.add_module("fc", nn.Linear(1024, 1000))
    network.add_module("prob", nn.Softmax(1))
    return network, (torch.zeros(1, 3, 224, 224),)
