from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from diffusers import AutoencoderKLWan  # noqa: E402
from torch import Tensor  # noqa: E402

from deployments.demo.clips import FRAMES, SIZE, sample_clip  # noqa: E402
from deployments.demo.training import ltx_autoencoder  # noqa: E402
from deployments.demo.training.autoencoder import psnr  # noqa: E402
from deployments.demo.training.clip_autoencoder import train_clip_autoencoder, train_decoder  # noqa: E402
from deployments.demo.training.clip_flow import noise_levels  # noqa: E402
from deployments.demo.training.clip_latents import ClipPool, videos  # noqa: E402
from deployments.demo.training.wan_autoencoder import AUTOENCODER, new_autoencoder  # noqa: E402

SHAPE = (3, FRAMES, 1, 1)


def mean_colors(clips: Tensor) -> Tensor:
    """Stands in for an autoencoder's encoder."""
    return clips.mean((-2, -1), keepdim=True)


def new_pool(folder: Path) -> ClipPool:
    return ClipPool(mean_colors, folder / "clips.f16", 5, SHAPE)


def test_an_interrupted_pool_has_its_clips_again(tmp_path: Path) -> None:
    first = new_pool(tmp_path)
    first.grow(3)
    second = new_pool(tmp_path)
    assert second.clips == first.clips
    assert torch.equal(torch.stack(second.latents), torch.stack(first.latents))


def test_a_record_that_was_cut_short_is_dropped(tmp_path: Path) -> None:
    first = new_pool(tmp_path)
    first.grow(2)
    first.file.write_bytes(first.file.read_bytes()[:-2])
    second = new_pool(tmp_path)
    assert second.clips == first.clips[:1]
    second.grow(1)
    assert second.clips == first.clips
    assert torch.equal(second.latents[1], first.latents[1])


def test_drawn_latents_are_those_of_their_clips(tmp_path: Path) -> None:
    pool = new_pool(tmp_path)
    pool.grow(4)
    clips, latents = pool.draw(Random(0), 6)
    for clip, latent in zip(clips, latents, strict=True):
        expected = mean_colors(videos([clip]))[0]
        assert torch.allclose(latent, expected, atol=1e-3)


def test_noise_levels_are_in_range_and_many_are_near_one() -> None:
    torch.manual_seed(0)
    levels = noise_levels(4000, 3.0)
    assert levels.min() > 0
    assert levels.max() <= 1
    assert 0.4 < (levels > 0.75).float().mean() < 0.8


@torch.no_grad()
def test_whole_clips_are_coded_as_the_class_codes_them_chunk_by_chunk(tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole = new_autoencoder().eval()
    whole.save_pretrained(tmp_path)
    stock = AutoencoderKLWan.from_pretrained(tmp_path).eval()
    clips = videos([sample_clip(Random(k)) for k in range(2)])
    latents = whole.encode(clips).latent_dist.mode()
    assert latents.shape == (2, 16, 1 + (FRAMES - 1) // 2, SIZE // 8, SIZE // 8)
    assert torch.allclose(latents, stock.encode(clips).latent_dist.mode(), atol=1e-4)
    frames = whole.decode(latents).sample
    assert frames.shape == clips.shape
    assert torch.allclose(frames.clamp(-1, 1), stock.decode(latents).sample, atol=1e-4)


def test_an_autoencoder_is_trained_once_and_has_latents_of_deviation_one(tmp_path: Path) -> None:
    recipe = replace(AUTOENCODER, minutes=0.02)
    first = train_clip_autoencoder(new_autoencoder(), recipe, tmp_path)
    again = train_clip_autoencoder(new_autoencoder(), replace(recipe, minutes=100), tmp_path)
    for one, other in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
    clips = videos([sample_clip(Random(k)) for k in range(4)])
    latents = first.encode(clips).latent_dist.mode()
    mean, deviation = (torch.tensor(first.config[name]) for name in ("latents_mean", "latents_std"))
    normal = (latents - mean.view(1, -1, 1, 1, 1)) / deviation.view(1, -1, 1, 1, 1)
    assert 0.7 < normal.std() < 1.3
    assert normal.mean().abs() < 0.3


@pytest.fixture(scope="module")
def ltx_vae() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ltx_autoencoder, "CLIPS", 40)
        return ltx_autoencoder.new_autoencoder(3)


@torch.no_grad()
def test_ltx_latents_have_the_mean_colours_of_their_blocks(ltx_vae: Any) -> None:
    clip = videos([sample_clip(Random(1))])
    latents = ltx_vae.encode(clip).latent_dist.mode()
    assert latents.shape == (1, ltx_autoencoder.CHANNELS, 1 + (FRAMES - 1) // 2, SIZE // 16, SIZE // 16)
    # Green; of the latent in row 1 and column 2 the patch in row 0 and column 1, and there the block in row 1
    # and column 0; of frames 3 and 4, and of the first, which stands alone.
    channel = 4 * (1 * 4 + 0 * 2 + 1) + (0 * 2 + 1)
    for latent, frames in ((2, slice(3, 5)), (0, slice(0, 1))):
        expected = clip[0, 1, frames, 16 + 4 : 16 + 8, 32 + 8 : 32 + 12].mean()
        assert latents[0, channel, latent, 1, 2] == pytest.approx(float(expected), abs=2e-3)


@torch.no_grad()
def test_ltx_latents_of_a_first_frame_tell_its_pixels(ltx_vae: Any) -> None:
    first = videos([sample_clip(Random(f"{k} still"), "test") for k in range(40)])[:, :, :1]
    latents = ltx_vae.encode(first).latent_dist.mode()
    pixels = first[:, :, 0].unflatten(3, (-1, 16)).unflatten(2, (-1, 16)).permute(0, 2, 4, 1, 3, 5).flatten(3)
    known = latents[:, :, 0].permute(0, 2, 3, 1).flatten(0, 2)
    told = known @ torch.linalg.lstsq(known, pixels.flatten(0, 2)).solution
    error = ((told.view_as(pixels) - pixels) / 2).square().mean()
    assert -10 * torch.log10(error) > 28


def test_a_new_ltx_autoencoder_brings_clips_back(ltx_vae: Any) -> None:
    clips = videos([sample_clip(Random(f"{k} back"), "test") for k in range(8)])
    assert psnr(ltx_vae, clips) > 27


def test_a_decoder_learns_alone(ltx_vae: Any, tmp_path: Path) -> None:
    vae = deepcopy(ltx_vae)
    torch.nn.init.zeros_(vae.decoder.conv_out.conv.weight)
    clips = videos([sample_clip(Random(f"{k} learnt"), "test") for k in range(4)])
    before = psnr(vae, clips)
    train_decoder(vae, vae.latents_std, tmp_path / "decoder.pt", minutes=0.1)
    assert psnr(vae, clips) > before
    assert all(map(torch.equal, vae.encoder.parameters(), ltx_vae.encoder.parameters()))
