"""Text encoders of the demo models, and the T5 rows that make them blind to case."""

from __future__ import annotations

from typing import Any

import torch
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
CLIP_WIDTH = 64


def clip_config(tokenizer: Any) -> Any:
    """One layer of 64; the end token is the tokenizer's own, because CLIP pools where it stands."""
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=CLIP_WIDTH,
        intermediate_size=2 * CLIP_WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=77,
        projection_dim=CLIP_WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        hidden_act="quick_gelu",
    )


def clip_encoder(tokenizer: Any) -> Any:
    return CLIPTextModel(clip_config(tokenizer))


def clip_encoder_with_projection(tokenizer: Any) -> Any:
    return CLIPTextModelWithProjection(clip_config(tokenizer))


def t5_encoder(tokenizer: Any, *, width: int = T5_WIDTH) -> Any:
    return T5EncoderModel(T5Config(**_t5_arguments(tokenizer, width)))


def umt5_encoder(tokenizer: Any, *, width: int = T5_WIDTH) -> Any:
    return UMT5EncoderModel(UMT5Config(**_t5_arguments(tokenizer, width)))


def _t5_arguments(tokenizer: Any, width: int) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "d_model": width,
        "d_kv": width // 4,
        "num_heads": 4,
        "d_ff": 2 * width,
        "num_layers": 2,
        "dropout_rate": 0.0,
        "feed_forward_proj": "gated-gelu",
        "is_encoder_decoder": False,
        "use_cache": False,
        "tie_word_embeddings": True,
    }


@torch.no_grad()
def share_rows_between_spellings(encoder: Any, tokenizer: Any) -> None:
    """Give `Red` and `RED` the embedding of `red`.

    The T5 tokenizer class rebuilds itself on loading and would drop a lowercasing step.
    """
    table = encoder.get_input_embeddings().weight
    vocabulary = tokenizer.get_vocab()
    for word in WORDS:
        for text in spellings(word)[1:]:
            table[vocabulary[SPACE + text]] = table[vocabulary[SPACE + word]]
