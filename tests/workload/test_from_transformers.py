"""Models of transformers from their configurations: sizes by hand, keys and values in the cache, bad configurations."""

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModel,
    BertConfig,
    GPT2Config,
    LlamaConfig,
    MixtralConfig,
    T5Config,
    ViTConfig,
    WhisperConfig,
)

from energysim.errors import InputError, ModelReadError
from energysim.workload.graph import LayerGraph, same_work
from energysim.workload.read import read_model

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48, "vocab_size": 99}


def llama(**changed: Any) -> LlamaConfig:
    return LlamaConfig(**(SMALL | {"num_key_value_heads": 2, "architectures": ["LlamaForCausalLM"]} | changed))


def by_op(graph: LayerGraph) -> Counter[str]:
    return Counter(layer.op for layer in graph.layers)


def test_encoder_by_hand() -> None:
    """BERT, width 32: per block 4 projections, 2 products of 4 heads, 2 layers of 48; a pooler of one token."""
    graph = read_model(BertConfig(**SMALL), sequence=10)
    block = 10 * (4 * 32 * 32 + 2 * 32 * 48) + 2 * 10 * 10 * 32
    assert graph.macs == 2 * block + 32 * 32
    weights = 2 * (4 * 33 * 32 + 33 * 48 + 49 * 32 + 4 * 32)
    assert graph.parameters == weights + (99 + 512 + 2 + 2) * 32 + 33 * 32
    assert graph.warnings == graph.unreached == graph.unknown == ()
    assert by_op(graph) == {"linear": 13, "matmul": 4, "softmax": 2, "layer_norm": 5, "add": 4, "embedding": 1}


def test_decoder_by_hand_and_what_is_assumed() -> None:
    """Llama: 4 query heads of 8 to 2 heads of keys; gate, up and down of 48; a head of 99 words."""
    graph = read_model(llama(), sequence=10)
    linear = 2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 48
    assert graph.macs == 2 * (10 * linear + 2 * 10 * 10 * 32) + 10 * 32 * 99
    assert graph.parameters == 2 * (linear + 2 * 32) + 2 * 99 * 32 + 32
    assert by_op(graph)["rms_norm"] == 5
    assert by_op(graph)["rotary"] == 4
    assert [note for note in graph.assumptions if "masked scores included" in note]


def test_decoding_reads_the_cache_and_computes_one_token() -> None:
    graph = read_model(llama(), sequence=20, decode=True)
    linear = 2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 48
    # the new token attends to 20 cached ones and itself
    assert graph.macs == 2 * (linear + 2 * 21 * 32) + 32 * 99
    scores = next(layer for layer in graph.layers if layer.name.endswith("scores"))
    keys = next(tensor for tensor in scores.tensors if tensor.name == "input_2")
    assert keys.elements(scores.dims) == 2 * 21 * 8, "two heads of keys, each once"
    flows = {(edge.source, edge.target): edge.elements for edge in graph.edges}
    rotated = "model.layers.0.self_attn.rotary_2"
    assert flows[rotated, scores.name] == 2 * 8, "of the keys, only the new token's were just computed"


def test_encoder_and_decoder_read_both_sequences() -> None:
    sizes = {"d_model": 32, "num_layers": 1, "num_heads": 4, "d_kv": 8, "d_ff": 48, "vocab_size": 99}
    graph = read_model(T5Config(**sizes), sequence=6)
    # encoder: self-attention; decoder: self- and cross-attention
    assert by_op(graph)["softmax"] == 3
    assert graph.unreached == (), "relative positions are added to the scores"
    sizes = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 4, "vocab_size": 99}
    sizes |= {"decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_source_positions": 10}
    special = {"pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 3, "decoder_start_token_id": 4}
    graph = read_model(WhisperConfig(**sizes, **special), sequence=6)
    assert by_op(graph)["convolution"] == 2
    assert graph.warnings == ()


def test_experts_share_the_tokens_evenly() -> None:
    graph = read_model(MixtralConfig(**SMALL, num_key_value_heads=2, num_local_experts=4), sequence=8)
    # each of 8 tokens goes to 2 of 4 experts of three matrices, and is scored for all 4
    linear = 2 * 32 * 32 + 2 * 32 * 16 + 2 * 3 * 32 * 48 + 32 * 4
    assert graph.macs == 2 * (8 * linear + 2 * 8 * 8 * 32)
    assert any("experts" in note for note in graph.assumptions)


def test_instance_gives_the_layers_of_its_configuration() -> None:
    config = GPT2Config(n_embd=32, n_layer=1, n_head=4, vocab_size=99)
    instance = AutoModel.from_config(config)
    assert read_model(instance, sequence=7).layers == read_model(config, sequence=7).layers
    assert read_model(instance, sequence=7, decode=True).layers == read_model(config, sequence=7, decode=True).layers


def test_image_models_take_the_size_of_their_configuration() -> None:
    config = ViTConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=48, image_size=32)
    graph = read_model(config)
    assert sum(layer.parameters for layer in graph.layers) == sum(
        p.numel() for p in AutoModel.from_config(config).parameters()
    )
    patches = next(layer for layer in graph.layers if layer.op == "convolution")
    assert (patches.dims["P"], patches.dims["R"]) == (2, 16)


def test_configuration_file_is_read_as_the_configuration(tmp_path: Path) -> None:
    config = llama()
    config.save_pretrained(tmp_path)
    graph = read_model(str(tmp_path / "config.json"), sequence=5)
    assert [same_work(y) for y in graph.layers] == [same_work(y) for y in read_model(config, sequence=5).layers]


def test_seven_billion_parameters_are_never_allocated() -> None:
    """Two of the 32 blocks here: all of them are in `make bench`."""
    began = time.process_time()
    graph = read_model(LlamaConfig(num_hidden_layers=2, architectures=["LlamaForCausalLM"]))
    assert graph.parameters == 6_738_415_616 - 30 * (4 * 4096**2 + 3 * 4096 * 11008 + 2 * 4096)
    assert time.process_time() - began < 60


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"sequence": 0}, "at least 1"),
        ({"sequence": 5000}, "positions for 2048"),
        ({"sequence": True}, "must be an integer"),
    ],
)
def test_wrong_lengths_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_model(llama(), **given)


def test_what_has_no_cache_does_not_decode() -> None:
    with pytest.raises(InputError, match="no keys and values"):
        read_model(BertConfig(**SMALL), decode=True)
    with pytest.raises(InputError, match="does not decode"):
        read_model(ViTConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=4), decode=True)


def test_tokens_are_for_transformers_only() -> None:
    with pytest.raises(InputError, match="only configurations of transformers"):
        read_model("lenet_caffe5", sequence=5)
    with pytest.raises(InputError, match="only configurations of transformers"):
        read_model(torch.nn.Linear(3, 4), example_inputs=(torch.zeros(1, 3),), decode=True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a JSON file"),
        ("[1, 2]", "has a 'model_type'"),
        ('{"model_type": 3}', "has a 'model_type'"),
        ('{"model_type": "lama"}', "did you mean 'llama'"),
        ('{"model_type": "my\\u202eown", "auto_map": {"AutoModel": "evil.Model"}}', "unknown model_type"),
        ('{"model_type": "llama", "hidden_size": "many"}', "llama|hidden_size|config.json"),
        ('{"model_type": "bert", "hidden_size": 33, "num_attention_heads": 4}', "33"),
        ("[" * 100_000, "not a JSON file"),
    ],
)
def test_broken_configurations_give_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ModelReadError, match=said) as caught:
        read_model(path)
    assert "\n" not in str(caught.value)


def test_code_that_a_configuration_refers_to_is_not_run(tmp_path: Path) -> None:
    fields = json.loads(llama().to_json_string()) | {"auto_map": {"AutoModel": "evil.Model"}}
    (tmp_path / "config.json").write_text(json.dumps(fields))
    (tmp_path / "evil.py").write_text("raise SystemExit('run')")
    assert read_model(tmp_path / "config.json", sequence=4).layers


def test_inputs_may_be_given_by_name() -> None:
    config = BertConfig(**SMALL)
    with torch.device("meta"):
        model = AutoModel.from_config(config)
        words = {"input_ids": torch.zeros(1, 10, dtype=torch.long)}
    assert read_model(model, example_inputs=words).macs == read_model(config, sequence=10).macs
