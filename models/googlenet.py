"""GoogLeNet v1 for ImageNet, 224 x 224: Szegedy et al., arXiv:1409.4842, as in Caffe, without auxiliary heads."""

import torch
from torch import nn

# inputs; 1x1; reduction before 3x3, 3x3; reduction before 5x5, 5x5; projection after pooling
INCEPTIONS = {
    "3a": (192, 64, 96, 128, 16, 32, 32),
    "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """A convolution with bias that keeps the size, and a ReLU."""
    layers = nn.Sequential()
    layers.add_module("conv", nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2))
    layers.add_module("relu", nn.ReLU())
    return layers


class Inception(nn.Module):
    """Four branches on one input, their channels joined."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        inputs, one, reduce3, three, reduce5, five, project = widths
        self.one = convolution(inputs, one, 1)
        self.three_reduce = convolution(inputs, reduce3, 1)
        self.three = convolution(reduce3, three, 3)
        self.five_reduce = convolution(inputs, reduce5, 1)
        self.five = convolution(reduce5, five, 5)
        self.pool = nn.MaxPool2d(3, stride=1, padding=1)
        self.project = convolution(inputs, project, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, inputs, H, W) to (N, one + three + five + project, H, W)."""
        three = self.three(self.three_reduce(x))
        five = self.five(self.five_reduce(x))
        return torch.cat([self.one(x), three, five, self.project(self.pool(x))], 1)


def build() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The network and an example input."""
    network = nn.Sequential()
    network.add_module("conv1", convolution(3, 64, 7, 2))
    network.add_module("pool1", nn.MaxPool2d(3, 2, ceil_mode=True))
    network.add_module("norm1", nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75))
    network.add_module("conv2_reduce", convolution(64, 64, 1))
    network.add_module("conv2", convolution(64, 192, 3))
    network.add_module("norm2", nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75))
    network.add_module("pool2", nn.MaxPool2d(3, 2, ceil_mode=True))
    for name, widths in INCEPTIONS.items():
        network.add_module(f"inception_{name}", Inception(widths))
        if name in ("3b", "4e"):
            network.add_module(f"pool{name[0]}", nn.MaxPool2d(3, 2, ceil_mode=True))
    network.add_module("pool5", nn.AvgPool2d(7))
    network.add_module("drop", nn.Dropout(0.4))
    network.add_module("flatten", nn.Flatten())
    network.add_module("classifier", nn.Linear(1024, 1000))
    network.add_module("prob", nn.Softmax(1))
    return network, (torch.zeros(1, 3, 224, 224),)
