"""transformers' own classes from small configurations, where the library is installed; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from .architecture import FOR_SCANS, Architecture, Example, tokens

LENGTH, VOCABULARY = 32, 512
COMMON = {"vocab_size": VOCABULARY, "use_cache": False}
T5 = {"d_model": 128, "d_kv": 32, "d_ff": 512, "num_layers": 4, "num_heads": 4}
BERT = {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 6, "num_attention_heads": 4}
LLAMA = {
    **COMMON,
    "hidden_size": 128,
    "intermediate_size": 344,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


def _made(config: str, model: str, **keywords: Any) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        import transformers

        built: nn.Module = getattr(transformers, model)(getattr(transformers, config)(**keywords))
        return built

    return make


def _keywords(generator: torch.Generator) -> Example:
    ids, targets = tokens(4, LENGTH, VOCABULARY, inputs=2)(generator)
    return ({"input_ids": ids, "decoder_input_ids": targets},)


def _entry(
    name: str,
    make: Callable[[], nn.Module],
    example: Callable[[torch.Generator], Example],
    dtype: torch.dtype = torch.float64,
    **options: Any,
) -> Architecture:
    return Architecture(f"hf-{name}", "transformers", make, example, dtype=dtype, **options)


_ids = tokens(4, LENGTH, VOCABULARY)

ENTRIES = (
    _entry("gpt2", _made("GPT2Config", "GPT2LMHeadModel", **COMMON, n_embd=128, n_layer=6, n_head=4), _ids),
    _entry("llama", _made("LlamaConfig", "LlamaForCausalLM", **LLAMA), _ids),
    _entry("bert", _made("BertConfig", "BertForMaskedLM", vocab_size=VOCABULARY, **BERT), _ids),
    _entry(
        "t5",
        _made("T5Config", "T5ForConditionalGeneration", **COMMON, **T5),
        _keywords,
    ),
    _entry(
        "mamba",
        _made("MambaConfig", "MambaForCausalLM", **COMMON, hidden_size=128, num_hidden_layers=2, state_size=16),
        tokens(4, 16, VOCABULARY),
        most_seeds=FOR_SCANS,
    ),
    _entry(
        "mixtral",
        _made("MixtralConfig", "MixtralForCausalLM", **{**LLAMA, "num_hidden_layers": 4, "num_local_experts": 4}),
        _ids,
        torch.float32,  # grouped products have no double precision
    ),
)
MISSING = "" if find_spec("transformers") else "transformers is not installed"
