"""DS-CNN of MLPerf Tiny (keyword spotting, 49 x 10 MFCC): Banbury et al., arXiv:2106.07597, after arXiv:1711.07128."""

import torch
from torch import nn


def convolution(inputs: int, outputs: int, kernel: int, groups: int = 1) -> nn.Sequential:
    """A convolution with bias, BatchNorm and ReLU."""
    layers = nn.Sequential()
    layers.add_module("conv", nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups))
    layers.add_module("bn", nn.BatchNorm2d(outputs))
    layers.add_module("relu", nn.ReLU())
    return layers


def build() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The network and an example input; "same" padding of the 10 x 4 kernel is one row larger below than above."""
    network = nn.Sequential()
    network.add_module("pad", nn.ZeroPad2d((1, 1, 4, 5)))
    network.add_module("conv0", nn.Conv2d(1, 64, (10, 4), 2))
    network.add_module("bn0", nn.BatchNorm2d(64))
    network.add_module("relu0", nn.ReLU())
    network.add_module("dropout0", nn.Dropout(0.2))
    for number in range(1, 5):
        network.add_module(f"depthwise{number}", convolution(64, 64, 3, 64))
        network.add_module(f"pointwise{number}", convolution(64, 64, 1))
    network.add_module("dropout", nn.Dropout(0.4))
    network.add_module("avgpool", nn.AvgPool2d((25, 5)))
    network.add_module("flatten", nn.Flatten())
    network.add_module("fc", nn.Linear(64, 12))
    network.add_module("prob", nn.Softmax(1))
    return network, (torch.zeros(1, 1, 49, 10),)
