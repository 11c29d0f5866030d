"""Training the demo Wan: one transformer for text to video and image to video, as Wan 2.2 TI2V has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import WanImageToVideoPipeline, WanPipeline, WanTransformer3DModel
from torch import Tensor

from deployments.demo.clip_captions import CLIP_WORDS
from deployments.demo.clips import FRAMES, SIZE
from deployments.demo.folders import write_pipeline
from deployments.demo.texts import T5_WIDTH, umt5_encoder
from deployments.demo.tokenizers import t5_tokenizer
from deployments.demo.training.clip_autoencoder import train_decoder
from deployments.demo.training.clip_flow import (
    Prediction,
    compiled,
    look_near,
    scheduler,
    start_as_identity,
    train_clip_flow,
)
from deployments.demo.training.clip_latents import ClipPool
from deployments.demo.training.clip_texts import trained_text_encoder
from deployments.demo.training.places import Places
from deployments.demo.training.wan_autoencoder import as_the_class_has_it, new_autoencoder

DECODER_MINUTES = 26.0
WIDTH, HEADS, LAYERS = 128, 4, 5
PATCH = 2
SHIFT = 3.0
NAME = "demo-wan-t2v"


def train_wan(folder: Path, minutes: float, seed: int = 0) -> Path:
    """Train, or go on training, in `folder`/`NAME`; the text-to-video pipeline's folder comes back.

    The image-to-video pipeline, of the same files, is written to `folder`/demo-wan-i2v.
    """
    home = folder / NAME
    home.mkdir(parents=True, exist_ok=True)
    vae, latents = new_autoencoder(seed)
    torch.manual_seed(seed)
    tokenizer = t5_tokenizer(words=CLIP_WORDS)
    encoder = trained_text_encoder(umt5_encoder(tokenizer), tokenizer, home / "texts.pt", seed)
    transformer = new_transformer(vae.config.z_dim)
    pool = ClipPool(latents.normalised, home / "clips.f16", seed, latent_shape(vae))
    predict = new_prediction(transformer, encoder)
    places = Places(transformer.blocks, WIDTH, latent_shape(vae)[1:], PATCH)
    train_clip_flow(
        transformer,
        predict,
        pool,
        tokenizer,
        home / "flow.pt",
        minutes=minutes,
        seed=seed,
        shift=SHIFT,
        places=places,
    )
    train_decoder(vae, latents, home / "decoder.pt", minutes=DECODER_MINUTES, seed=seed)
    components = {
        "tokenizer": tokenizer,
        "text_encoder": encoder,
        "transformer": transformer,
        "vae": as_the_class_has_it(vae),
        "scheduler": scheduler(SHIFT),
        "expand_timesteps": True,
    }
    write_pipeline(WanImageToVideoPipeline(**components), folder / "demo-wan-i2v" / "pipeline")
    write_pipeline(WanPipeline(**components), home / "pipeline")
    return home / "pipeline"


def new_prediction(transformer: Any, encoder: Any) -> Prediction:
    """What the flow learns, by a compiled copy that shares the transformer's weights."""
    fast = compiled(transformer)

    def predict(mixed: Tensor, levels: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        with torch.no_grad():
            texts = encoder(ids, mask).last_hidden_state * mask[..., None]
        tokens = mixed.shape[-2] * mixed.shape[-1] // PATCH**2
        return fast(
            hidden_states=mixed,
            timestep=1000 * levels.repeat_interleave(tokens, 1),
            encoder_hidden_states=texts,
        )

    return predict


def new_transformer(channels: int) -> Any:
    transformer = WanTransformer3DModel(
        patch_size=(1, PATCH, PATCH),
        num_attention_heads=HEADS,
        attention_head_dim=WIDTH // HEADS,
        in_channels=channels,
        out_channels=channels,
        text_dim=T5_WIDTH,
        freq_dim=64,
        ffn_dim=3 * WIDTH,
        num_layers=LAYERS,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        rope_max_seq_len=256,
    )
    start_as_identity(transformer, transformer.blocks, ("proj_out", "condition_embedder.time_proj"))
    for block in transformer.blocks:
        look_near(block.attn1, _near_channels())
    return transformer


def _near_channels() -> list[int]:
    """For the first head in place, for the second in time, for the third in both.

    Each axis turns fastest in its first pair of channels.
    """
    head = WIDTH // HEADS
    side = head // 6 * 2
    time, row, column = 0, head - 2 * side, head - side
    heads = ((row, column), (time, time + 2), (time, time + 2, row, column))
    return [index * head + channel for index, channels in enumerate(heads) for channel in channels]


def latent_shape(vae: Any) -> tuple[int, ...]:
    """Of one clip's latents: channels, frames, rows, columns."""
    side = SIZE // vae.config.scale_factor_spatial
    return vae.config.z_dim, 1 + (FRAMES - 1) // vae.config.scale_factor_temporal, side, side
