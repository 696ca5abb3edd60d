"""From a configuration of Hugging Face's transformers to a layer graph: nothing is downloaded, no weight is made."""

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from energysim.errors import InputError, ModelReadError, unknown
from energysim.workload.from_torch import from_torch, quietly, reason
from energysim.workload.graph import LayerGraph, clean_name

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

TOKENS = 128
"""Tokens read where nobody says how many: the length of the GLUE benchmarks (Devlin et al., arXiv:1810.04805)."""
IMAGE = 224
"""Pixels of an image's side where neither the configuration nor the user says it."""
SAMPLES = 16_000
"""Samples of a sound where nobody says how many: a second."""
CACHES = ("past_key_values", "cache")
"""What the keys and values of tokens read before are called."""
LARGEST_CONFIG = 16 << 20


def from_transformers(
    model: "PretrainedConfig | PreTrainedModel",
    *,
    name: str | None = None,
    sequence: int | None = None,
    decode: bool = False,
    fold_batchnorm: bool = True,
    fuse_activations: bool = True,
) -> LayerGraph:
    """The layer graph of a model of transformers, by its configuration (on the meta device) or an instance, batch 1.

    `sequence` tokens (default 128, or as many as the model has positions for) are read at once; with `decode` one token
    is read, after so many whose keys and values are in the cache. A configuration that names its architecture is read
    as that, else as its base model without a head. Raises InputError, ModelReadError.
    """
    import torch

    given = model if isinstance(model, torch.nn.Module) else None
    config: Any = given.config if given is not None else model
    label = clean_name(name or str(config.model_type))
    tokens = _tokens(config, sequence, label)
    try:
        with quietly(), torch.device("meta"):
            twin = _made(config)
            inputs = _inputs(twin, tokens)
            if decode:
                inputs = _decoding(twin, inputs, tokens)
            elif "use_cache" in inspect.signature(twin.forward).parameters:
                inputs["use_cache"] = False
    except InputError:
        raise
    except Exception as error:
        raise ModelReadError(f"model '{label}': {reason(error)}") from error
    made = twin
    if given is not None:
        made = given
        inputs = torch.utils._pytree.tree_map(lambda each: _on(each, given), inputs)
    options = {"fold_batchnorm": fold_batchnorm, "fuse_activations": fuse_activations}
    return from_torch(made, inputs, name=label, **options)


def read_config(path: Path) -> "PretrainedConfig":
    """The configuration in a config.json of transformers: plain data; code it refers to is neither fetched nor run."""
    where = clean_name(str(path))
    try:
        if path.stat().st_size > LARGEST_CONFIG:
            raise ModelReadError(f"{where}: larger than {LARGEST_CONFIG >> 20} MiB, so not a configuration")
        fields = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ModelReadError(f"{where}: not a JSON file: {clean_name(str(error))}") from None
    if not isinstance(fields, dict) or not isinstance(fields.get("model_type"), str):
        raise ModelReadError(f"{where}: not a configuration of transformers, which has a 'model_type'")
    kinds = _transformers().models.auto.configuration_auto.CONFIG_MAPPING
    kind = fields["model_type"]
    if kind not in kinds:
        raise ModelReadError(f"{where}: {unknown('model_type of transformers', clean_name(kind), kinds)}")
    try:
        with quietly():
            config: PretrainedConfig = kinds[kind].from_dict(fields)
    except Exception as error:
        raise ModelReadError(f"{where}: {reason(error)}") from error
    return config


def _transformers() -> Any:
    try:
        with quietly():
            import transformers
    except ImportError:
        raise ModelReadError("reading configurations of transformers needs it: pip install transformers") from None
    return transformers


def _made(config: Any) -> Any:
    """The model that a configuration describes; its architecture where it names one that transformers has."""
    transformers = _transformers()
    for architecture in config.architectures or ():
        named: Any = getattr(transformers, str(architecture), None)
        if isinstance(named, type) and issubclass(named, transformers.PreTrainedModel):
            make: Any = named._from_config  # type: ignore[attr-defined]
            return make(config).eval()
    return transformers.AutoModel.from_config(config, trust_remote_code=False).eval()


def _tokens(config: Any, sequence: int | None, label: str) -> int:
    text = getattr(config, "text_config", None) or config
    most = getattr(text, "max_position_embeddings", None) or getattr(text, "n_positions", None)
    if sequence is None:
        return min(TOKENS, most) if isinstance(most, int) and most > 0 else TOKENS
    if isinstance(sequence, bool) or not isinstance(sequence, int) or sequence < 1:
        raise InputError(f"sequence is {sequence}; it must be an integer of at least 1")
    if isinstance(most, int) and sequence > most > 0:
        raise InputError(f"model '{label}': sequence is {sequence}; the model has positions for {most}")
    return sequence


def _inputs(model: "PreTrainedModel", tokens: int) -> dict[str, Any]:
    """What the model reads, by the names of its forward(): tokens, an image, a sound, or several of them."""
    import torch

    config: Any = model.config
    taken = inspect.signature(model.forward).parameters
    main = model.main_input_name
    inputs: dict[str, Any] = {}
    words = torch.zeros(1, tokens, dtype=torch.long)
    if main == "input_ids" or (hasattr(config, "text_config") and "input_ids" in taken):
        inputs["input_ids"] = words
    if main == "pixel_values" or (hasattr(config, "vision_config") and "pixel_values" in taken):
        inputs["pixel_values"] = torch.zeros(1, *_image(config))
    if main == "input_features":
        frames = 2 * config.max_source_positions if hasattr(config, "max_source_positions") else tokens
        inputs[main] = torch.zeros(1, config.num_mel_bins, frames)
        if not hasattr(config, "max_source_positions"):
            inputs[main] = inputs[main].transpose(1, 2)
    if main == "input_values":
        inputs[main] = torch.zeros(1, SAMPLES)
    if not inputs:
        raise ModelReadError(
            f"model '{clean_name(config.model_type)}': how to make its input '{clean_name(main)}' is not known; "
            "give an instance of it and example_inputs"
        )
    if getattr(config, "is_encoder_decoder", False) and "decoder_input_ids" in taken:
        inputs["decoder_input_ids"] = words
    return inputs


def _image(config: Any) -> tuple[int, ...]:
    vision = getattr(config, "vision_config", None) or config
    size = getattr(vision, "image_size", None) or IMAGE
    sides = (size, size) if isinstance(size, int) else tuple(size.values() if isinstance(size, Mapping) else size)[:2]
    return (getattr(vision, "num_channels", 3), *sides)


def _decoding(model: "PreTrainedModel", inputs: dict[str, Any], tokens: int) -> dict[str, Any]:
    """One token as input, beside the keys and values that reading `tokens` tokens leaves in the cache."""
    import torch

    kind = clean_name(str(model.config.model_type))
    taken = inspect.signature(model.forward).parameters
    name = next((each for each in CACHES if each in taken), None)
    if list(inputs) != ["input_ids"] or name is None:
        raise InputError(f"model '{kind}': does not decode token by token from a cache, or has an encoder beside it")
    read = model(**inputs, use_cache=True)
    cache = next((read[each] for each in CACHES if each in read), None)
    from transformers.integrations import executorch

    register: Any = executorch.register_dynamic_cache_export_support
    register()
    if cache is None or not any(
        each.numel() for each in torch.utils._pytree.tree_leaves(cache) if hasattr(each, "numel")
    ):
        raise InputError(f"model '{kind}': keeps no keys and values; it does not decode token by token")
    one = torch.zeros(1, 1, dtype=torch.long)
    return {"input_ids": one, name: cache, "use_cache": True}


def _on(value: Any, model: "PreTrainedModel") -> Any:
    """A tensor of the same shape beside the model's weights."""
    import torch

    return torch.zeros(value.shape, dtype=value.dtype, device=model.device) if hasattr(value, "shape") else value
