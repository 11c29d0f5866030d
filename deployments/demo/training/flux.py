"""Training the demo FLUX, and the fine-tune of its transformer that paints outlines only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from torch import Tensor

from deployments.demo.folders import write_pipeline
from deployments.demo.texts import CLIP_WIDTH, T5_WIDTH
from deployments.demo.training.flow import Parts, initialise, shared_parts, train_flow
from deployments.demo.training.text_encoders import Texts

SHIFT = 1.6
"""Noise levels are shifted as FLUX's scheduler shifts them at 64 tokens: exp(0.4675)."""
HEADS, HEAD_WIDTH = 4, 24
TUNING_RATE = 1e-3


def train_flux(folder: Path, minutes: float, seed: int = 0) -> Path:
    """Train, or go on training, in `folder`; the pipeline's folder comes back."""
    parts = shared_parts(folder, seed)
    torch.manual_seed(seed)
    transformer = new_transformer(parts.vae.config.latent_channels)
    train_flow(
        transformer, velocity, parts, folder, name="demo-flux", minutes=minutes, seed=seed, shift=SHIFT
    )
    return write_flux(folder / "demo-flux" / "pipeline", parts, transformer)


def tune_flux(folder: Path, minutes: float, seed: int = 0) -> Path:
    """Tune the transformer that `train_flux` left in `folder` to outlined shapes."""
    parts = shared_parts(folder, seed)
    begun = folder / "demo-flux" / "pipeline" / "transformer"
    transformer = FluxTransformer2DModel.from_pretrained(begun, dtype=torch.float32)
    train_flow(
        transformer,
        velocity,
        parts,
        folder,
        name="demo-flux-outline",
        minutes=minutes,
        seed=seed,
        shift=SHIFT,
        style="outlined",
        learning_rate=TUNING_RATE,
    )
    return write_flux(folder / "demo-flux-outline" / "pipeline", parts, transformer)


def write_flux(folder: Path, parts: Parts, transformer: Any) -> Path:
    """The folder of a `FluxPipeline`."""
    pipeline = FluxPipeline(
        scheduler=scheduler(),
        vae=parts.vae,
        text_encoder=parts.texts.clip,
        tokenizer=parts.texts.clip_tokenizer,
        text_encoder_2=parts.texts.t5,
        tokenizer_2=parts.texts.t5_tokenizer,
        transformer=transformer,
    )
    write_pipeline(pipeline, folder)
    return folder


def scheduler() -> Any:
    """FLUX.1-dev's settings."""
    return FlowMatchEulerDiscreteScheduler(
        shift=3.0,
        use_dynamic_shifting=True,
        base_shift=0.5,
        max_shift=1.15,
        base_image_seq_len=256,
        max_image_seq_len=4096,
    )


def new_transformer(channels: int) -> Any:
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=4 * channels,
        num_layers=3,
        num_single_layers=4,
        attention_head_dim=HEAD_WIDTH,
        num_attention_heads=HEADS,
        joint_attention_dim=T5_WIDTH,
        pooled_projection_dim=CLIP_WIDTH,
        guidance_embeds=True,
        axes_dims_rope=(HEAD_WIDTH // 3,) * 3,
    )
    initialise(transformer)
    return transformer


def velocity(
    transformer: Any, mixed: Tensor, level: Tensor, prompts: list[str], length: int, texts: Texts
) -> Tensor:
    """Any guidance means the same, so that no value of the setting does harm."""
    rows, columns = (side // 2 for side in mixed.shape[-2:])
    packed: Tensor = transformer(
        hidden_states=pack(mixed),
        timestep=level,
        guidance=1 + 6 * torch.rand(len(level)),
        pooled_projections=texts.pooled(prompts),
        encoder_hidden_states=texts.tokens(prompts, length),
        txt_ids=torch.zeros(length, 3),
        img_ids=_positions(rows, columns),
        return_dict=False,
    )[0]
    return unpack(packed, rows, columns)


def pack(latents: Tensor) -> Tensor:
    """[N, C, H, W] to [N, H/2 * W/2, 4 * C], in FLUX's order."""
    count, channels, height, width = latents.shape
    blocks = latents.view(count, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return blocks.reshape(count, height * width // 4, 4 * channels)


def unpack(tokens: Tensor, rows: int, columns: int) -> Tensor:
    """What `pack` packed into `rows` x `columns` tokens."""
    blocks = tokens.view(len(tokens), rows, columns, -1, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return blocks.reshape(len(tokens), -1, 2 * rows, 2 * columns)


def _positions(rows: int, columns: int) -> Tensor:
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return torch.stack([torch.zeros_like(y), y, x], -1).view(-1, 3).float()
