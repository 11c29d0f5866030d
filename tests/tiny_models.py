"""Folders of random weights for each pipeline class: real classes and geometry, a few kilobytes wide."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLLTXVideo,
    AutoencoderKLWan,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    LTXImageToVideoPipeline,
    LTXPipeline,
    LTXVideoTransformer3DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    UniPCMultistepScheduler,
    WanImageToVideoPipeline,
    WanPipeline,
    WanTransformer3DModel,
)
from transformers import (
    CLIPImageProcessorPil,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModel,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
    UMT5Config,
    UMT5EncoderModel,
)

LETTERS = [chr(code) for code in range(33, 127)]
CLIP_WIDTH = 16
T5_WIDTH = 32
HEADS = {"num_attention_heads": 2, "attention_head_dim": 16}


def clip_tokenizer() -> CLIPTokenizer:
    pieces = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)


def t5_tokenizer(length: int = 512) -> T5TokenizerFast:
    pieces = ["<pad>", "</s>", "<unk>", "\u2581", *LETTERS]
    return T5TokenizerFast(vocab=[(p, -1.0) for p in pieces], extra_ids=0, model_max_length=length)


def clip_encoder(kind: Any, tokenizer: CLIPTokenizer) -> Any:
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=CLIP_WIDTH,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        projection_dim=CLIP_WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return kind(config).eval()


def t5_encoder(kind: Any, config: Any, tokenizer: T5TokenizerFast) -> Any:
    sizes = {"d_model": T5_WIDTH, "d_kv": 16, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    return kind(config(vocab_size=len(tokenizer), feed_forward_proj="gated-gelu", **sizes)).eval()


def image_vae() -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4,) * 4,
        latent_channels=16,
        norm_num_groups=2,
        use_quant_conv=False,
        use_post_quant_conv=False,
        shift_factor=0.1159,
        scaling_factor=0.3611,
    )


def flux() -> FluxPipeline:
    clip, t5 = clip_tokenizer(), t5_tokenizer()
    transformer = FluxTransformer2DModel(
        in_channels=64,
        num_layers=1,
        num_single_layers=1,
        joint_attention_dim=T5_WIDTH,
        pooled_projection_dim=CLIP_WIDTH,
        guidance_embeds=True,
        axes_dims_rope=(4, 6, 6),
        **HEADS,
    )
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=image_vae(),
        text_encoder=clip_encoder(CLIPTextModel, clip),
        tokenizer=clip,
        text_encoder_2=t5_encoder(T5EncoderModel, T5Config, t5),
        tokenizer_2=t5,
        transformer=transformer,
    )


def sd35(*, with_t5: bool = True) -> StableDiffusion3Pipeline:
    clip, t5 = clip_tokenizer(), t5_tokenizer()
    transformer = SD3Transformer2DModel(
        sample_size=16,
        num_layers=2,
        joint_attention_dim=T5_WIDTH,
        caption_projection_dim=32,
        pooled_projection_dim=2 * CLIP_WIDTH,
        pos_embed_max_size=16,
        qk_norm="rms_norm",
        **HEADS,
    )
    return StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=image_vae(),
        text_encoder=clip_encoder(CLIPTextModelWithProjection, clip),
        tokenizer=clip,
        text_encoder_2=clip_encoder(CLIPTextModelWithProjection, clip),
        tokenizer_2=clip_tokenizer(),
        text_encoder_3=t5_encoder(T5EncoderModel, T5Config, t5) if with_t5 else None,
        tokenizer_3=t5 if with_t5 else None,
    )


def wan_parts(**transformer: Any) -> dict[str, Any]:
    tokenizer = t5_tokenizer()
    vae = AutoencoderKLWan(
        base_dim=4,
        z_dim=16,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
    )
    parts = {
        "tokenizer": tokenizer,
        "text_encoder": t5_encoder(UMT5EncoderModel, UMT5Config, tokenizer),
        "vae": vae,
        "scheduler": UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
    }
    sizes = {"out_channels": 16, "text_dim": T5_WIDTH, "freq_dim": 32, "ffn_dim": 32, "num_layers": 2}
    parts["transformer"] = WanTransformer3DModel(**HEADS, **sizes, **transformer)
    return parts


def wan_t2v() -> WanPipeline:
    return WanPipeline(**wan_parts(in_channels=16))


def wan_i2v() -> WanImageToVideoPipeline:
    vision = CLIPVisionConfig(
        hidden_size=CLIP_WIDTH,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        patch_size=16,
    )
    return WanImageToVideoPipeline(
        image_encoder=CLIPVisionModel(vision).eval(),
        image_processor=CLIPImageProcessorPil(
            size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
        ),
        **wan_parts(in_channels=36, image_dim=CLIP_WIDTH, added_kv_proj_dim=32),
    )


def ltx(kind: Any, *, denoising_decoder: bool = False) -> Any:
    tokenizer = t5_tokenizer(128)
    scaling = (True, True, True, False)
    vae = AutoencoderKLLTXVideo(
        latent_channels=128,
        block_out_channels=(4,) * 4,
        decoder_block_out_channels=(4,) * 4,
        layers_per_block=(1,) * 5,
        decoder_layers_per_block=(1,) * 5,
        spatio_temporal_scaling=scaling,
        decoder_spatio_temporal_scaling=scaling,
        decoder_inject_noise=(False,) * 5,
        upsample_residual=(False,) * 4,
        upsample_factor=(1,) * 4,
        timestep_conditioning=denoising_decoder,
    )
    transformer = LTXVideoTransformer3DModel(
        cross_attention_dim=32, num_layers=2, caption_channels=T5_WIDTH, **HEADS
    )
    scheduler = FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True,
        base_shift=0.95,
        max_shift=2.05,
        base_image_seq_len=1024,
        shift_terminal=0.1,
    )
    return kind(
        scheduler=scheduler,
        vae=vae,
        text_encoder=t5_encoder(T5EncoderModel, T5Config, tokenizer),
        tokenizer=tokenizer,
        transformer=transformer,
    )


PIPELINES: dict[str, Callable[[], Any]] = {
    "flux": flux,
    "sd35": sd35,
    "wan_t2v": wan_t2v,
    "wan_i2v": wan_i2v,
    "ltx_t2v": lambda: ltx(LTXPipeline),
    "ltx_i2v": lambda: ltx(LTXImageToVideoPipeline),
}


def build(pipeline: Callable[[], Any], folder: Path, *, seed: int = 0) -> Path:
    """Write the pipeline's folder; equal seeds give equal weights."""
    torch.manual_seed(seed)
    pipeline().save_pretrained(folder)
    return folder


def write_gguf(model: Path, file: Path) -> None:
    """The LTX transformer of `model` as a Q8_0 GGUF, under the names of the original checkpoints."""
    import gguf
    from safetensors.torch import load_file

    renamed = {
        "norm_q": "q_norm",
        "norm_k": "k_norm",
        "time_embed": "adaln_single",
        "proj_in": "patchify_proj",
    }
    q8 = gguf.GGMLQuantizationType.Q8_0
    writer = gguf.GGUFWriter(str(file), "ltxv")
    for name, tensor in load_file(model / "transformer" / "diffusion_pytorch_model.safetensors").items():
        for ours, original in renamed.items():
            name = name.replace(ours, original)
        values = tensor.float().numpy()
        if values.ndim == 2 and name.startswith("transformer_blocks") and name.endswith("weight"):
            writer.add_tensor(name, gguf.quants.quantize(values, q8), raw_dtype=q8)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
