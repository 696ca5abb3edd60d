"""ResNet50 for ImageNet, 224 x 224: He et al., arXiv:1512.03385, Table 1, with the stride in the 3x3 convolution."""

import torch
from torch import nn


class Bottleneck(nn.Module):
    """A narrow 3x3 convolution between two 1x1 ones, around which the input is led and added."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * width
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu3 = nn.ReLU()
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut.add_module("conv", nn.Conv2d(inputs, outputs, 1, stride, bias=False))
            self.shortcut.add_module("bn", nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, inputs, H, W) to (N, 4 * width, H / stride, W / stride)."""
        y = self.relu1(self.bn1(self.conv1(x)))
        y = self.relu2(self.bn2(self.conv2(y)))
        return self.relu3(self.bn3(self.conv3(y)) + self.shortcut(x))


def build() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The network and an example input."""
    network = nn.Sequential()
    network.add_module("conv1", nn.Conv2d(3, 64, 7, 2, padding=3, bias=False))
    network.add_module("bn1", nn.BatchNorm2d(64))
    network.add_module("relu", nn.ReLU())
    network.add_module("maxpool", nn.MaxPool2d(3, 2, padding=1))
    channels = 64
    for stage, (width, repeats) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), 1):
        blocks = []
        for place in range(repeats):
            blocks.append(Bottleneck(channels, width, 2 if stage > 1 and place == 0 else 1))
            channels = 4 * width
        network.add_module(f"layer{stage}", nn.Sequential(*blocks))
    network.add_module("avgpool", nn.AdaptiveAvgPool2d(1))
    network.add_module("flatten", nn.Flatten())
    network.add_module("fc", nn.Linear(2048, 1000))
    return network, (torch.zeros(1, 3, 224, 224),)
