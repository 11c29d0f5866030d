"""Write the demo models whose transformers are not trained: real classes and geometry, random weights.

    python -m deployments.demo.build [NAME ...] [--out FOLDER]

The autoencoder is trained; it is read from the shipped weights, so that clips have sane colours. Every
model is seeded by its name: the same versions write the same weights.
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
    FlowMatchEulerDiscreteScheduler,
    LTXImageToVideoPipeline,
    LTXPipeline,
    LTXVideoTransformer3DModel,
)

from deployments.demo import WEIGHTS
from deployments.demo.folders import bytes_in, share, write_pipeline
from deployments.demo.ship import SHARED
from deployments.demo.texts import T5_WIDTH, share_rows_between_spellings, t5_encoder
from deployments.demo.tokenizers import t5_tokenizer

HEADS = 4
HEAD_WIDTH = 24


def demo_ltx_t2v() -> Any:
    return LTXPipeline(**_ltx_components())


def demo_ltx_i2v() -> Any:
    return LTXImageToVideoPipeline(**_ltx_components())


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
    text_encoder = t5_encoder(tokenizer, width=T5_WIDTH)
    share_rows_between_spellings(text_encoder, tokenizer)
    return {
        "scheduler": scheduler,
        "vae": vae,
        "text_encoder": text_encoder,
        "tokenizer": tokenizer,
        "transformer": transformer,
    }


MODELS: dict[str, Callable[[], Any]] = {
    "demo-ltx-t2v": demo_ltx_t2v,
    "demo-ltx-i2v": demo_ltx_i2v,
}


def build(name: str, out: Path = WEIGHTS) -> Path:
    """Write one model's folder under `out` and return it."""
    torch.manual_seed(zlib.crc32(name.encode()))
    pipeline = MODELS[name]()
    folder = out / name
    write_pipeline(pipeline, folder)
    for component, (owner, _) in SHARED.get(name, {}).items():
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
