"""Training the demo LTX-Video: autoencoder, text encoder, and one transformer for both of its pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    LTXImageToVideoPipeline,
    LTXPipeline,
    LTXVideoTransformer3DModel,
)
from torch import Tensor

from deployments.demo.clip_captions import CLIP_WORDS
from deployments.demo.clips import FRAMES, SIZE
from deployments.demo.folders import write_pipeline
from deployments.demo.texts import T5_WIDTH, t5_encoder
from deployments.demo.tokenizers import t5_tokenizer
from deployments.demo.training.clip_autoencoder import train_decoder
from deployments.demo.training.clip_flow import (
    Prediction,
    compiled,
    scheduler,
    start_as_identity,
    train_clip_flow,
)
from deployments.demo.training.clip_latents import ClipPool
from deployments.demo.training.clip_texts import trained_text_encoder
from deployments.demo.training.ltx_autoencoder import new_autoencoder
from deployments.demo.training.places import Places

DECODER_MINUTES = 120.0
FIRST_FRAME_SQUARES = 20.0
"""Large things of strong contrast were less than 25 dB near otherwise: 16 pixels a latent are many."""
WIDTH, HEADS, LAYERS = 128, 4, 5
SHIFT = 2.0
FRAME_RATES, RATE_SHARES = (8, 12, 16, 24, 25, 30), (1, 1, 5, 1, 1, 1)
"""The frame rate stretches the positions in time; clips look the same at each."""
NAME = "demo-ltx-t2v"


def train_ltx(folder: Path, minutes: float, seed: int = 0) -> Path:
    """Train, or go on training, in `folder`/`NAME`; the text-to-video pipeline's folder comes back.

    The image-to-video pipeline, of the same files, is written to `folder`/demo-ltx-i2v.
    """
    home = folder / NAME
    home.mkdir(parents=True, exist_ok=True)
    vae, latents = new_autoencoder(seed)
    torch.manual_seed(seed)
    tokenizer = t5_tokenizer(128, CLIP_WORDS)
    encoder = trained_text_encoder(t5_encoder(tokenizer), tokenizer, home / "texts.pt", seed)
    transformer = new_transformer(vae.config.latent_channels)
    pool = ClipPool(latents.normalised, home / "clips.f16", seed, latent_shape(vae))
    predict = new_prediction(transformer, encoder, vae)
    places = Places(transformer.transformer_blocks, WIDTH, latent_shape(vae)[1:])
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
    train_decoder(
        vae,
        latents,
        home / "decoder.pt",
        minutes=DECODER_MINUTES,
        seed=seed,
        squares=FIRST_FRAME_SQUARES,
    )
    components = {
        "scheduler": scheduler(SHIFT),
        "vae": vae,
        "text_encoder": encoder,
        "tokenizer": tokenizer,
        "transformer": transformer,
    }
    write_pipeline(LTXImageToVideoPipeline(**components), folder / "demo-ltx-i2v" / "pipeline")
    write_pipeline(LTXPipeline(**components), home / "pipeline")
    return home / "pipeline"


def new_prediction(transformer: Any, encoder: Any, vae: Any) -> Prediction:
    """What the flow learns, by a compiled copy that shares the transformer's weights."""
    fast = compiled(transformer)

    def predict(mixed: Tensor, levels: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        _, _, frames, rows, columns = mixed.shape
        with torch.no_grad():
            texts = encoder(ids).last_hidden_state
        scale = vae.temporal_compression_ratio / _frame_rate()
        pixels = vae.spatial_compression_ratio
        predicted = fast(
            hidden_states=mixed.flatten(2).transpose(1, 2),
            timestep=1000 * levels.repeat_interleave(rows * columns, 1),
            encoder_hidden_states=texts,
            encoder_attention_mask=mask,
            num_frames=frames,
            height=rows,
            width=columns,
            rope_interpolation_scale=(scale, pixels, pixels),
        )
        return predicted.transpose(1, 2).view_as(mixed)

    return predict


def _frame_rate() -> Tensor:
    """A tensor, because each number would be compiled anew."""
    return torch.tensor(FRAME_RATES)[torch.multinomial(torch.tensor(RATE_SHARES, dtype=torch.float), 1)]


def new_transformer(channels: int) -> Any:
    transformer = LTXVideoTransformer3DModel(
        in_channels=channels,
        out_channels=channels,
        num_attention_heads=HEADS,
        attention_head_dim=WIDTH // HEADS,
        cross_attention_dim=WIDTH,
        num_layers=LAYERS,
        caption_channels=T5_WIDTH,
    )
    start_as_identity(transformer, transformer.transformer_blocks, ("proj_out", "time_embed.linear"))
    return transformer


def latent_shape(vae: Any) -> tuple[int, ...]:
    """Of one clip's latents: channels, frames, rows, columns."""
    side = SIZE // vae.spatial_compression_ratio
    return vae.config.latent_channels, 1 + (FRAMES - 1) // vae.temporal_compression_ratio, side, side
