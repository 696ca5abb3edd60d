"""MobileBERT on 128 tokens: Sun et al., arXiv:2004.02984, Table 1."""

from typing import Any

from transformers import MobileBertConfig


def build() -> tuple[MobileBertConfig, dict[str, Any]]:
    """The configuration, and what is read."""
    return MobileBertConfig(vocab_size=30522), {"sequence": 128}
