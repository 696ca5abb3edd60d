"""BERT-tiny (2 layers of width 128) on 128 tokens: Turc et al., arXiv:1908.08962."""

from typing import Any

from transformers import BertConfig


def build() -> tuple[BertConfig, dict[str, Any]]:
    """The configuration, and what is read."""
    return BertConfig(
        vocab_size=30522, hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=512
    ), {"sequence": 128}
