"""ResNet8 of MLPerf Tiny (image classification, CIFAR-10, 32 x 32): Banbury et al., arXiv:2106.07597."""

import torch
from torch import nn


class Block(nn.Module):
    """Two 3x3 convolutions around which the input is led and added, through a 1x1 convolution without BatchNorm."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu2 = nn.ReLU()
        self.shortcut = nn.Sequential()
        if stride != 1:
            self.shortcut.add_module("conv", nn.Conv2d(inputs, outputs, 1, stride))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        y = self.relu1(self.bn1(self.conv1(x)))
        return self.relu2(self.bn2(self.conv2(y)) + self.shortcut(x))


def build() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The network and an example input; convolutions have biases, as in the benchmark's Keras model."""
    network = nn.Sequential()
    network.add_module("conv1", nn.Conv2d(3, 16, 3, padding=1))
    network.add_module("bn1", nn.BatchNorm2d(16))
    network.add_module("relu", nn.ReLU())
    network.add_module("stack1", Block(16, 16, 1))
    network.add_module("stack2", Block(16, 32, 2))
    network.add_module("stack3", Block(32, 64, 2))
    network.add_module("avgpool", nn.AvgPool2d(8))
    network.add_module("flatten", nn.Flatten())
    network.add_module("fc", nn.Linear(64, 10))
    network.add_module("prob", nn.Softmax(1))
    return network, (torch.zeros(1, 3, 32, 32),)
