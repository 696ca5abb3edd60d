"""MobileNet v2 for ImageNet, 224 x 224, width 1: Sandler et al., arXiv:1801.04381, Table 2."""

import torch
from torch import nn

# expansion, channels, repeats, stride of the first
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution, BatchNorm and ReLU6."""
    layers = nn.Sequential()
    layers.add_module("conv", nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False))
    layers.add_module("bn", nn.BatchNorm2d(outputs))
    layers.add_module("relu", nn.ReLU6())
    return layers


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project without activation; add the input where shapes allow."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = convolution(inputs, wide, 1) if expansion > 1 else nn.Sequential()
        self.depthwise = convolution(wide, wide, 3, stride, wide)
        self.project = nn.Conv2d(wide, outputs, 1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        y = self.bn(self.project(self.depthwise(self.expand(x))))
        return x + y if self.adds else y


def build() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The network and an example input."""
    network = nn.Sequential()
    network.add_module("stem", convolution(3, 32, 3, 2))
    channels = 32
    for stage, (expansion, width, repeats, stride) in enumerate(STAGES, 1):
        blocks = []
        for place in range(repeats):
            blocks.append(InvertedResidual(channels, width, expansion, stride if place == 0 else 1))
            channels = width
        network.add_module(f"stage{stage}", nn.Sequential(*blocks))
    network.add_module("head", convolution(320, 1280, 1))
    network.add_module("avgpool", nn.AdaptiveAvgPool2d(1))
    network.add_module("flatten", nn.Flatten())
    network.add_module("drop", nn.Dropout(0.2))
    network.add_module("fc", nn.Linear(1280, 1000))
    return network, (torch.zeros(1, 3, 224, 224),)
