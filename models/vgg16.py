"""VGG16 for ImageNet, 224 x 224: configuration D of Simonyan and Zisserman, arXiv:1409.1556."""

import torch
from torch import nn

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def build() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The network and an example input."""
    network = nn.Sequential()
    channels = 3
    for stage, widths in enumerate(STAGES, 1):
        for place, width in enumerate(widths, 1):
            network.add_module(f"conv{stage}_{place}", nn.Conv2d(channels, width, 3, padding=1))
            network.add_module(f"relu{stage}_{place}", nn.ReLU())
            channels = width
        network.add_module(f"pool{stage}", nn.MaxPool2d(2))
    network.add_module("flatten", nn.Flatten())
    for number, (inputs, outputs) in enumerate(((512 * 7 * 7, 4096), (4096, 4096)), 6):
        network.add_module(f"fc{number}", nn.Linear(inputs, outputs))
        network.add_module(f"relu{number}", nn.ReLU())
        network.add_module(f"drop{number}", nn.Dropout())
    network.add_module("fc8", nn.Linear(4096, 1000))
    network.add_module("prob", nn.Softmax(1))
    return network, (torch.zeros(1, 3, 224, 224),)
