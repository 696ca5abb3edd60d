"""ViT-tiny, DeiT-Ti without distillation, for ImageNet: Touvron et al., arXiv:2012.12877, Table 1."""

from typing import Any

from transformers import ViTConfig


def build() -> tuple[ViTConfig, dict[str, Any]]:
    """The configuration, and what is read."""
    return ViTConfig(
        hidden_size=192,
        num_hidden_layers=12,
        num_attention_heads=3,
        intermediate_size=768,
        num_labels=1000,
        architectures=["ViTForImageClassification"],
    ), {}
