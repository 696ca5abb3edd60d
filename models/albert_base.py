"""ALBERT, base, on 128 tokens: Lan et al., arXiv:1909.11942, Table 1; twelve passes through one layer."""

from typing import Any

from transformers import AlbertConfig


def build() -> tuple[AlbertConfig, dict[str, Any]]:
    """The configuration, and what is read."""
    return AlbertConfig(
        vocab_size=30000,
        embedding_size=128,
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3072,
    ), {"sequence": 128}
