"""Wide ResNet 16-4 for CIFAR-10, 32 x 32: Zagoruyko and Komodakis, arXiv:1605.07146; all convolutions with bias.

The order of the 16 convolutions is conv1, then per block conv1, conv2, shortcut (where there is one), as Deep k-Means
(Wu et al., arXiv:1806.09228) counts them: 2,747,530 parameters in convolutions and classifier, BatchNorm apart.
"""

import torch
from torch import nn
from torch.nn.functional import relu


class Block(nn.Module):
    """BatchNorm and ReLU before each of two 3x3 convolutions; the input, projected where it must be, is added."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride) if inputs != outputs else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        active = relu(self.bn1(x))
        y = self.conv2(relu(self.bn2(self.conv1(active))))
        return y + (x if self.shortcut is None else self.shortcut(active))


def build() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The network and an example input."""
    network = nn.Sequential()
    network.add_module("conv1", nn.Conv2d(3, 16, 3, padding=1))
    channels = 16
    for group, width in enumerate((64, 128, 256), 1):
        blocks = [Block(channels, width, 1 if group == 1 else 2), Block(width, width, 1)]
        network.add_module(f"group{group}", nn.Sequential(*blocks))
        channels = width
    network.add_module("bn", nn.BatchNorm2d(256))
    network.add_module("relu", nn.ReLU())
    network.add_module("avgpool", nn.AvgPool2d(8))
    network.add_module("flatten", nn.Flatten())
    network.add_module("fc", nn.Linear(256, 10))
    return network, (torch.zeros(1, 3, 32, 32),)
