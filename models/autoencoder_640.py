"""Autoencoder of MLPerf Tiny (anomaly detection, ToyADMOS): Banbury et al., arXiv:2106.07597; 640-128x4-8-128x4-640."""

from itertools import pairwise

import torch
from torch import nn

WIDTHS = (640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640)


def build() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The network, BatchNorm and ReLU behind all but its last layer; input: five frames of 128 mel bands."""
    network = nn.Sequential()
    for number, (inputs, outputs) in enumerate(pairwise(WIDTHS), 1):
        network.add_module(f"dense{number}", nn.Linear(inputs, outputs))
        if number < len(WIDTHS) - 1:
            network.add_module(f"bn{number}", nn.BatchNorm1d(outputs))
            network.add_module(f"relu{number}", nn.ReLU())
    return network, (torch.zeros(1, 640),)
