"""DistilBERT, base, on 128 tokens: Sanh et al., arXiv:1910.01108."""

from typing import Any

from transformers import DistilBertConfig


def build() -> tuple[DistilBertConfig, dict[str, Any]]:
    """The configuration, and what is read."""
    return DistilBertConfig(vocab_size=30522, dim=768, n_layers=6, n_heads=12, hidden_dim=3072), {"sequence": 128}
