"""AlexNet for ImageNet, 227 x 227, two groups: Krizhevsky et al. 2012 as in Caffe (norm before pool)."""

import torch
from torch import nn


def build() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The network and an example input."""
    network = nn.Sequential()
    network.add_module("conv1", nn.Conv2d(3, 96, 11, stride=4))
    network.add_module("relu1", nn.ReLU())
    network.add_module("norm1", nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75))
    network.add_module("pool1", nn.MaxPool2d(3, stride=2))
    network.add_module("conv2", nn.Conv2d(96, 256, 5, padding=2, groups=2))
    network.add_module("relu2", nn.ReLU())
    network.add_module("norm2", nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75))
    network.add_module("pool2", nn.MaxPool2d(3, stride=2))
    network.add_module("conv3", nn.Conv2d(256, 384, 3, padding=1))
    network.add_module("relu3", nn.ReLU())
    network.add_module("conv4", nn.Conv2d(384, 384, 3, padding=1, groups=2))
    network.add_module("relu4", nn.ReLU())
    network.add_module("conv5", nn.Conv2d(384, 256, 3, padding=1, groups=2))
    network.add_module("relu5", nn.ReLU())
    network.add_module("pool5", nn.MaxPool2d(3, stride=2))
    network.add_module("flatten", nn.Flatten())
    network.add_module("fc6", nn.Linear(256 * 6 * 6, 4096))
    network.add_module("relu6", nn.ReLU())
    network.add_module("drop6", nn.Dropout())
    network.add_module("fc7", nn.Linear(4096, 4096))
    network.add_module("relu7", nn.ReLU())
    network.add_module("drop7", nn.Dropout())
    network.add_module("fc8", nn.Linear(4096, 1000))
    network.add_module("prob", nn.Softmax(1))
    return network, (torch.zeros(1, 3, 227, 227),)
