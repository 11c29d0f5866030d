"""Training the demo FLUX: autoencoder, then both text encoders and the transformer together."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from deployments.demo.captions import bare_pair, caption, wording
from deployments.demo.folders import write_pipeline
from deployments.demo.scenes import Scene
from deployments.demo.texts import (
    CLIP_WIDTH,
    T5_WIDTH,
    clip_encoder,
    share_rows_between_spellings,
    t5_encoder,
)
from deployments.demo.tokenizers import clip_tokenizer, t5_tokenizer
from deployments.demo.training.autoencoder import SIZE, train_autoencoder
from deployments.demo.training.latents import LatentPool
from deployments.demo.training.run import Run

AUTOENCODER_SHARE = 0.2
BATCH = 32
FIRST_SCENES, MORE_SCENES, ALL_SCENES = 3000, 3, 30000
NO_CAPTION = 0.08
"""Share of empty captions, so that true classifier-free guidance has something to guide away from."""
NO_RELATION = 0.04
TOKENS, TOKEN_SHARES = (24, 32, 48, 77), (60, 25, 10, 5)
"""Lengths of the T5 text; half of the captions have 14 tokens or fewer."""
SHIFT = 1.6
"""Noise levels are shifted as FLUX's scheduler shifts them at 64 tokens: exp(0.4675)."""
WIDTH, HEADS = 128, 4


def train_flux(folder: Path, minutes: float, seed: int = 0) -> Path:
    """Train, or go on training, in `folder`; the pipeline's folder comes back."""
    folder.mkdir(parents=True, exist_ok=True)
    vae = train_autoencoder(folder, minutes * AUTOENCODER_SHARE, seed)
    torch.manual_seed(seed)
    pool = LatentPool(vae, folder / "latents.f16", seed)
    while len(pool.scenes) < FIRST_SCENES:
        pool.grow(50)
    tokenizers = clip_tokenizer(), t5_tokenizer()
    run = Run(
        new_modules(vae.config.latent_channels, *tokenizers),
        folder / "flow.pt",
        minutes=minutes * (1 - AUTOENCODER_SHARE),
        learning_rate=2e-3,
        seed=seed,
        hold=0.4,
        decay=0.999,
    )
    with sdpa_kernel(SDPBackend.MATH):  # the fused kernel's backward took five times as long at these sizes
        run.train(lambda: _loss(run, pool, *tokenizers), lambda: f"{len(pool.scenes)} scenes")
    return write_flux(folder / "pipeline", vae, run, *tokenizers)


def write_flux(folder: Path, vae: Any, run: Run, clip: Any, t5: Any) -> Path:
    """The averaged weights as a `FluxPipeline` folder."""
    modules = run.modules
    run.settle()
    share_rows_between_spellings(modules["text_encoder_2"], t5)
    pipeline = FluxPipeline(
        scheduler=scheduler(),
        vae=vae,
        text_encoder=modules["text_encoder"],
        tokenizer=clip,
        text_encoder_2=modules["text_encoder_2"],
        tokenizer_2=t5,
        transformer=modules["transformer"],
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


def new_modules(channels: int, clip: Any, t5: Any) -> nn.ModuleDict:
    head = WIDTH // HEADS
    axis = head * 3 // 16 * 2
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=4 * channels,
        num_layers=3,
        num_single_layers=4,
        attention_head_dim=head,
        num_attention_heads=HEADS,
        joint_attention_dim=T5_WIDTH,
        pooled_projection_dim=CLIP_WIDTH,
        guidance_embeds=True,
        axes_dims_rope=(head - 2 * axis, axis, axis),
    )
    _initialise(transformer)
    encoders = {"text_encoder": clip_encoder(clip), "text_encoder_2": t5_encoder(t5)}
    return nn.ModuleDict({"transformer": transformer, **encoders})


def _initialise(transformer: Any) -> None:
    """As diffusion transformers begin: blocks are identities (modulation zero), the output is zero."""
    for name, module in transformer.named_modules():
        if not isinstance(module, nn.Linear):
            continue
        if name == "proj_out" or ("norm" in name and name.endswith("linear")):
            nn.init.zeros_(module.weight)
        else:
            nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _loss(run: Run, pool: LatentPool, clip: Any, t5: Any) -> Tensor:
    """Squared error of the velocity, noise minus latents, at random noise levels."""
    if len(pool.scenes) < ALL_SCENES and run.progress < 0.9:
        pool.grow(MORE_SCENES)
    scenes, latents = pool.draw(run.rng, BATCH)
    texts = [_text(scene, run.rng) for scene in scenes]
    noise, level = torch.randn_like(latents), _levels(len(latents))
    mixed = torch.lerp(latents, noise, level[:, None, None])
    with torch.autocast("cpu", torch.bfloat16):
        velocity = _velocity(run, mixed, level, texts, clip, t5)
    return nn.functional.mse_loss(velocity, noise - latents)


def _velocity(run: Run, mixed: Tensor, level: Tensor, texts: list[str], clip: Any, t5: Any) -> Tensor:
    (tokens,) = run.rng.choices(TOKENS, TOKEN_SHARES)
    ids = clip(texts, padding="longest", truncation=True, return_tensors="pt").input_ids
    ids_2 = t5(texts, padding="max_length", max_length=tokens, truncation=True, return_tensors="pt").input_ids
    velocity: Tensor = run.modules["transformer"](
        hidden_states=mixed,
        timestep=level,
        guidance=1 + 6 * torch.rand(len(level)),
        pooled_projections=run.modules["text_encoder"](ids).pooler_output.float(),
        encoder_hidden_states=run.modules["text_encoder_2"](ids_2)[0].float(),
        txt_ids=torch.zeros(tokens, 3),
        img_ids=_positions(SIZE // 16),
        return_dict=False,
    )[0]
    return velocity.float()


def _positions(side: int) -> Tensor:
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    return torch.stack([torch.zeros_like(rows), rows, columns], -1).view(-1, 3).float()


def _text(scene: Scene, rng: Random) -> str:
    if rng.random() < NO_CAPTION:
        return ""
    if scene.relation is not None and rng.random() < NO_RELATION:
        return bare_pair(scene, rng)
    return wording(scene, rng) if rng.random() < 0.7 else caption(scene)


def _levels(count: int) -> Tensor:
    """Noise levels in 0..1: seven of ten logit-normal, the others uniform."""
    level = torch.where(torch.rand(count) < 0.7, torch.sigmoid(torch.randn(count)), torch.rand(count))
    return SHIFT * level / (1 + (SHIFT - 1) * level)
