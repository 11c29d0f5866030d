"""Write the demo models whose transformers are not trained: real classes and geometry, random weights.

    python -m deployments.demo.build [NAME ...] [--out FOLDER]

The autoencoders are trained; they are read from the shipped weights, so that pictures and clips have
sane colours. Every model is seeded by its name: the same versions write the same weights.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLLTXVideo,
    AutoencoderKLWan,
    FlowMatchEulerDiscreteScheduler,
    LTXImageToVideoPipeline,
    LTXPipeline,
    LTXVideoTransformer3DModel,
    UniPCMultistepScheduler,
    WanImageToVideoPipeline,
    WanPipeline,
    WanTransformer3DModel,
)
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel

from deployments.demo import WEIGHTS
from deployments.demo.folders import bytes_in, share, write_pipeline
from deployments.demo.texts import (
    T5_WIDTH,
    share_rows_between_spellings,
    t5_encoder,
    umt5_encoder,
)
from deployments.demo.tokenizers import t5_tokenizer

HEADS = 4
HEAD_WIDTH = 24
VISION_WIDTH = 32
OWNER = {
    "demo-wan-i2v": ("demo-wan-t2v", ("vae",)),
    "demo-ltx-i2v": ("demo-ltx-t2v", ("vae", "transformer", "text_encoder", "tokenizer", "scheduler")),
}
"""Which model keeps the files of the components that a model shares."""


def demo_wan_t2v() -> Any:
    vae, tokenizer = _wan_vae(), t5_tokenizer()
    return WanPipeline(
        tokenizer=tokenizer,
        text_encoder=_t5(umt5_encoder, tokenizer),
        transformer=_wan_transformer(vae.config.z_dim, vae.config.z_dim),
        vae=vae,
        scheduler=_wan_scheduler(),
    )


def demo_wan_i2v() -> Any:
    """Wan 2.1's way: latents, frame mask and encoded source side by side, and CLIP's view of the source."""
    vae, tokenizer = _wan_vae(), t5_tokenizer()
    channels = vae.config.z_dim
    vision = CLIPVisionConfig(
        hidden_size=VISION_WIDTH,
        intermediate_size=2 * VISION_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        image_size=32,
        patch_size=8,
    )
    return WanImageToVideoPipeline(
        tokenizer=tokenizer,
        text_encoder=_t5(umt5_encoder, tokenizer),
        image_encoder=CLIPVisionModel(vision),
        image_processor=CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        transformer=_wan_transformer(
            2 * channels + vae.config.scale_factor_temporal,
            channels,
            image_dim=VISION_WIDTH,
            added_kv_proj_dim=HEADS * HEAD_WIDTH,
        ),
        vae=vae,
        scheduler=_wan_scheduler(),
    )


def demo_ltx_t2v() -> Any:
    return LTXPipeline(**_ltx_components())


def demo_ltx_i2v() -> Any:
    return LTXImageToVideoPipeline(**_ltx_components())


def _wan_vae() -> Any:
    return AutoencoderKLWan.from_pretrained(WEIGHTS / "demo-wan-t2v" / "vae")


def _wan_transformer(in_channels: int, out_channels: int, **image: int) -> Any:
    return WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=HEADS,
        attention_head_dim=HEAD_WIDTH,
        in_channels=in_channels,
        out_channels=out_channels,
        text_dim=T5_WIDTH,
        freq_dim=64,
        ffn_dim=4 * HEADS * HEAD_WIDTH,
        num_layers=3,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        rope_max_seq_len=256,
        **image,
    )


def _wan_scheduler() -> Any:
    return UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)


def _ltx_components() -> dict[str, Any]:
    vae = AutoencoderKLLTXVideo.from_pretrained(WEIGHTS / "demo-ltx-t2v" / "vae")
    tokenizer = t5_tokenizer(128)
    transformer = LTXVideoTransformer3DModel(
        in_channels=vae.config.latent_channels,
        out_channels=vae.config.latent_channels,
        num_attention_heads=HEADS,
        attention_head_dim=HEAD_WIDTH,
        cross_attention_dim=HEADS * HEAD_WIDTH,
        num_layers=3,
        caption_channels=T5_WIDTH,
    )
    scheduler = FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True,
        base_shift=0.95,
        max_shift=2.05,
        base_image_seq_len=1024,
        max_image_seq_len=4096,
        shift_terminal=0.1,
    )
    return {
        "scheduler": scheduler,
        "vae": vae,
        "text_encoder": _t5(t5_encoder, tokenizer),
        "tokenizer": tokenizer,
        "transformer": transformer,
    }


def _t5(encoder: Callable[..., Any], tokenizer: Any, width: int = T5_WIDTH) -> Any:
    built = encoder(tokenizer, width=width)
    share_rows_between_spellings(built, tokenizer)
    return built


MODELS: dict[str, Callable[[], Any]] = {
    "demo-wan-t2v": demo_wan_t2v,
    "demo-wan-i2v": demo_wan_i2v,
    "demo-ltx-t2v": demo_ltx_t2v,
    "demo-ltx-i2v": demo_ltx_i2v,
}


def build(name: str, out: Path = WEIGHTS) -> Path:
    """Write one model's folder under `out` and return it."""
    torch.manual_seed(zlib.crc32(name.encode()))
    pipeline = MODELS[name]()
    folder = out / name
    write_pipeline(pipeline, folder)
    owner, components = OWNER.get(name, (name, ()))
    for component in components:
        if (out / owner / component).is_dir():
            share(folder, component, out / owner)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MODELS)}; all if none")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    arguments = parser.parse_args()
    for name in arguments.names or MODELS:
        folder = build(name, arguments.out)
        print(f"{folder}: {bytes_in(folder) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
