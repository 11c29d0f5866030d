"""Training the demo SD 3.5 on the demo FLUX's autoencoder and text encoders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline
from torch import Tensor

from deployments.demo.folders import write_pipeline
from deployments.demo.texts import CLIP_WIDTH, T5_WIDTH, clip_encoder_with_projection
from deployments.demo.training.flow import Parts, initialise, shared_parts, train_flow
from deployments.demo.training.text_encoders import Texts

SHIFT = 1.6
"""Less than SD 3.5's own 3.0, which is for 1024 pixels: smaller pictures drown in less noise."""
LAYERS, HEADS, HEAD_WIDTH = 5, 4, 24


def train_sd35(folder: Path, minutes: float, seed: int = 0) -> Path:
    """Train, or go on training, in `folder`; the pipeline's folder comes back."""
    parts = shared_parts(folder, seed)
    torch.manual_seed(seed)
    transformer = new_transformer(parts.vae.config.latent_channels)
    train_flow(
        transformer, velocity, parts, folder, name="demo-sd35", minutes=minutes, seed=seed, shift=SHIFT
    )
    return write_sd35(folder / "demo-sd35" / "pipeline", parts, transformer)


def write_sd35(folder: Path, parts: Parts, transformer: Any) -> Path:
    """The folder of a `StableDiffusion3Pipeline`; both its CLIPs are the one of the demo FLUX."""
    texts = parts.texts
    pipeline = StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=SHIFT),
        vae=parts.vae,
        text_encoder=clip_encoder_with_projection(texts.clip),
        tokenizer=texts.clip_tokenizer,
        text_encoder_2=clip_encoder_with_projection(texts.clip),
        tokenizer_2=texts.clip_tokenizer,
        text_encoder_3=texts.t5,
        tokenizer_3=texts.t5_tokenizer,
    )
    write_pipeline(pipeline, folder)
    return folder


def new_transformer(channels: int) -> Any:
    transformer = SD3Transformer2DModel(
        sample_size=16,
        patch_size=2,
        in_channels=channels,
        out_channels=channels,
        num_layers=LAYERS,
        num_attention_heads=HEADS,
        attention_head_dim=HEAD_WIDTH,
        joint_attention_dim=T5_WIDTH,
        caption_projection_dim=HEADS * HEAD_WIDTH,
        pooled_projection_dim=2 * CLIP_WIDTH,
        pos_embed_max_size=16,
        qk_norm="rms_norm",
    )
    initialise(transformer)
    return transformer


def velocity(
    transformer: Any, mixed: Tensor, level: Tensor, prompts: list[str], length: int, texts: Texts
) -> Tensor:
    """Tokens of both CLIPs side by side, then the T5's: the pipeline's order."""
    clip, pooled = texts.clip_tokens(prompts)
    predicted: Tensor = transformer(
        hidden_states=mixed,
        timestep=1000 * level,
        encoder_hidden_states=torch.cat([clip.repeat(1, 1, 2), texts.tokens(prompts, length)], dim=1),
        pooled_projections=pooled.repeat(1, 2),
        return_dict=False,
    )[0]
    return predicted
