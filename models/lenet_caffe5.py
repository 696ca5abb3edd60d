"""LeNet-Caffe-5 for MNIST, 28 x 28: the LeNet of LeCun et al. 1998 as Caffe's example redraws it (20-50-500-10)."""

import torch
from torch import nn


def build() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The network and an example input."""
    network = nn.Sequential()
    network.add_module("conv1", nn.Conv2d(1, 20, 5))
    network.add_module("pool1", nn.MaxPool2d(2))
    network.add_module("conv2", nn.Conv2d(20, 50, 5))
    network.add_module("pool2", nn.MaxPool2d(2))
    network.add_module("flatten", nn.Flatten())
    network.add_module("ip1", nn.Linear(50 * 4 * 4, 500))
    network.add_module("relu1", nn.ReLU())
    network.add_module("ip2", nn.Linear(500, 10))
    network.add_module("prob", nn.Softmax(1))
    return network, (torch.zeros(1, 1, 28, 28),)
