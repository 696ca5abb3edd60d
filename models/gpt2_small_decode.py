"""GPT-2, small, one token after 1023 whose keys and values are in the cache: Radford et al., 2019."""

from typing import Any

from transformers import GPT2Config


def build() -> tuple[GPT2Config, dict[str, Any]]:
    """The configuration, and what is read."""
    return GPT2Config(vocab_size=50257, n_embd=768, n_layer=12, n_head=12, architectures=["GPT2LMHeadModel"]), {
        "sequence": 1023,
        "decode": True,
    }
