"""Text encoders of the demo models, and the T5 rows that make them blind to case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    T5Config,
    T5EncoderModel,
    UMT5Config,
    UMT5EncoderModel,
)

from deployments.demo.tokenizers import SPACE, WORDS, spellings

T5_WIDTH = 96
CLIP_WIDTH = 48
"""SD 3.5 sets two CLIPs side by side and fills them up to the T5's width: two of these are just as wide."""


def clip_config(tokenizer: Any) -> Any:
    """The end token is the tokenizer's own, because CLIP pools where it stands."""
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=CLIP_WIDTH,
        intermediate_size=2 * CLIP_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=tokenizer.model_max_length,
        projection_dim=CLIP_WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        hidden_act="quick_gelu",
    )


def clip_encoder(tokenizer: Any) -> Any:
    return CLIPTextModel(clip_config(tokenizer))


def clip_encoder_with_projection(encoder: Any) -> Any:
    """The same CLIP as the class that projects what it pooled; the projection changes nothing."""
    projecting = CLIPTextModelWithProjection(encoder.config)
    projecting.text_model.load_state_dict(encoder.state_dict())
    nn.init.eye_(projecting.text_projection.weight)
    return projecting


def t5_encoder(tokenizer: Any, *, width: int = T5_WIDTH, layers: int = 2) -> Any:
    return T5EncoderModel(T5Config(**_t5_arguments(tokenizer, width, layers)))


def umt5_encoder(tokenizer: Any, *, width: int = T5_WIDTH, layers: int = 2) -> Any:
    return UMT5EncoderModel(UMT5Config(**_t5_arguments(tokenizer, width, layers)))


def _t5_arguments(tokenizer: Any, width: int, layers: int) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "d_model": width,
        "d_kv": width // 4,
        "num_heads": 4,
        "d_ff": 2 * width,
        "num_layers": layers,
        "dropout_rate": 0.0,
        "feed_forward_proj": "gated-gelu",
        "is_encoder_decoder": False,
        "use_cache": False,
        "tie_word_embeddings": True,
    }


@torch.no_grad()
def share_rows_between_spellings(encoder: Any, tokenizer: Any, words: Sequence[str] = WORDS) -> None:
    """Give `Red` and `RED` the embedding of `red`.

    The T5 tokenizer class rebuilds itself on loading and would drop a lowercasing step.
    """
    table = encoder.get_input_embeddings().weight
    vocabulary = tokenizer.get_vocab()
    for word in words:
        for text in spellings(word)[1:]:
            table[vocabulary[SPACE + text]] = table[vocabulary[SPACE + word]]
