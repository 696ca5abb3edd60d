"""SqueezeNet 1.0 for ImageNet, 227 x 227: Iandola et al., arXiv:1602.07360, as in Caffe (conv10 is padded)."""

import torch
from torch import nn

# squeeze channels; each of the two expand branches has four times as many
SQUEEZES = (16, 16, 32, 32, 48, 48, 64, 64)


class Fire(nn.Module):
    """A 1x1 squeeze, then 1x1 and 3x3 expansions whose channels are joined."""

    def __init__(self, inputs: int, squeeze: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeeze, 1)
        self.squeeze_relu = nn.ReLU()
        self.expand1 = nn.Conv2d(squeeze, 4 * squeeze, 1)
        self.expand1_relu = nn.ReLU()
        self.expand3 = nn.Conv2d(squeeze, 4 * squeeze, 3, padding=1)
        self.expand3_relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, inputs, H, W) to (N, 8 * squeeze, H, W)."""
        x = self.squeeze_relu(self.squeeze(x))
        return torch.cat([self.expand1_relu(self.expand1(x)), self.expand3_relu(self.expand3(x))], 1)


def build() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The network and an example input."""
    network = nn.Sequential()
    network.add_module("conv1", nn.Conv2d(3, 96, 7, 2))
    network.add_module("relu1", nn.ReLU())
    network.add_module("pool1", nn.MaxPool2d(3, 2, ceil_mode=True))
    channels = 96
    for number, squeeze in enumerate(SQUEEZES, 2):
        network.add_module(f"fire{number}", Fire(channels, squeeze))
        channels = 8 * squeeze
        if number in (4, 8):
            network.add_module(f"pool{number}", nn.MaxPool2d(3, 2, ceil_mode=True))
    network.add_module("drop9", nn.Dropout())
    network.add_module("conv10", nn.Conv2d(512, 1000, 1, padding=1))
    network.add_module("relu10", nn.ReLU())
    network.add_module("pool10", nn.AdaptiveAvgPool2d(1))
    network.add_module("flatten", nn.Flatten())
    network.add_module("prob", nn.Softmax(1))
    return network, (torch.zeros(1, 3, 227, 227),)
