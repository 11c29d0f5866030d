from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from deployments.demo.clips import FRAMES, SIZE, sample_clip  # noqa: E402
from deployments.demo.training import clip_autoencoder, linear_latents, ltx_autoencoder, wan_autoencoder  # noqa: E402
from deployments.demo.training.autoencoder import psnr  # noqa: E402
from deployments.demo.training.clip_autoencoder import train_decoder  # noqa: E402
from deployments.demo.training.clip_flow import noise_levels  # noqa: E402
from deployments.demo.training.clip_latents import ClipPool, videos  # noqa: E402
from deployments.demo.training.linear_latents import LinearLatents  # noqa: E402

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
    clips, latents = pool.draw(Random(0), [True, False] * 3)
    for clip, latent in zip(clips, latents, strict=True):
        expected = mean_colors(videos([clip]))[0]
        assert torch.allclose(latent, expected, atol=1e-3)


def test_a_clip_that_is_shown_its_first_frame_may_be_anywhere_others_are_on_the_grid(tmp_path: Path) -> None:
    pool = new_pool(tmp_path)
    pool.grow(8)
    hidden, shown = pool.draw(Random(0), [False] * 20)[0], pool.draw(Random(0), [True] * 40)[0]
    assert {clip.key for clip in hidden} == {clip.key for clip in pool.clips[::2]}
    assert {clip.key for clip in shown} == {clip.key for clip in pool.clips[1::2]}


def test_noise_levels_are_in_range_and_many_are_near_one() -> None:
    torch.manual_seed(0)
    levels = noise_levels(4000, 3.0)
    assert levels.min() > 0
    assert levels.max() <= 1
    assert 0.4 < (levels > 0.75).float().mean() < 0.8


@pytest.fixture(scope="module")
def few_clips() -> Iterator[None]:
    """Tell the components of latents, and what normalises those."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linear_latents, "CLIPS", 40)
        yield


@pytest.fixture(scope="module")
def wan_coding(few_clips: None) -> tuple[Any, LinearLatents]:
    return wan_autoencoder.new_autoencoder(3)


@pytest.fixture(scope="module")
def ltx_coding(few_clips: None) -> tuple[Any, LinearLatents]:
    return ltx_autoencoder.new_autoencoder(3)


@pytest.fixture
def wan_vae(wan_coding: tuple[Any, LinearLatents]) -> Any:
    return wan_coding[0]


@pytest.fixture
def ltx_vae(ltx_coding: tuple[Any, LinearLatents]) -> Any:
    return ltx_coding[0]


@pytest.mark.parametrize("family", ["wan", "ltx"])
@torch.no_grad()
def test_latents_computed_at_once_are_the_encoders(family: str, request: pytest.FixtureRequest) -> None:
    vae, latents = request.getfixturevalue(f"{family}_coding")
    clips = videos([sample_clip(Random(k)) for k in range(3)])
    assert torch.allclose(latents.encode(clips), vae.encode(clips).latent_dist.mode(), atol=2e-3)
    given = latents.normalised(clips[:, :, :1])
    assert torch.equal(given, latents.normalised(clips)[:, :, :1])


@torch.no_grad()
def test_whole_clips_are_coded_as_the_class_codes_them_chunk_by_chunk(wan_vae: Any) -> None:
    stock = wan_autoencoder.as_the_class_has_it(wan_vae)
    clips = videos([sample_clip(Random(k)) for k in range(2)])
    latents = wan_vae.encode(clips).latent_dist.mode()
    assert torch.allclose(latents, stock.encode(clips).latent_dist.mode(), atol=1e-4)
    frames = wan_vae.decode(latents).sample
    assert frames.shape == clips.shape
    assert torch.allclose(frames.clamp(-1, 1), stock.decode(latents).sample, atol=1e-4)


@torch.no_grad()
def test_wan_latents_are_linear_in_the_means_of_pairs_of_frames(wan_vae: Any) -> None:
    clips = videos([sample_clip(Random(k)) for k in range(2)])
    latents = wan_vae.encode(clips).latent_dist.mode()
    assert latents.shape == (2, wan_autoencoder.CHANNELS, 1 + (FRAMES - 1) // 2, SIZE // 8, SIZE // 8)
    for channel, (color, row, column) in {0: (0, 0, 0), 3: (0, 1, 1), 5: (1, 0, 1), 10: (2, 1, 0)}.items():
        blocks = clips[:, color].unflatten(3, (-1, 2, 4)).unflatten(2, (-1, 2, 4))[:, :, :, row, :, :, column]
        frames = blocks.mean((3, 5))
        pairs = torch.cat([frames[:, :1], (frames[:, 1::2] + frames[:, 2::2]) / 2], 1)
        assert torch.allclose(latents[:, channel], pairs, atol=2e-3)


@torch.no_grad()
def test_normalised_latents_have_deviation_one_and_details_half_of_it(
    wan_coding: tuple[Any, LinearLatents],
) -> None:
    latents = wan_coding[1].normalised(videos([sample_clip(Random(k)) for k in range(12)]))
    assert latents.mean().abs() < 0.3
    assert 0.7 < latents[:, : -wan_autoencoder.DETAILS].std() < 1.3
    assert 0.3 < latents[:, -wan_autoencoder.DETAILS :].std() < 0.7


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


def test_a_decoder_learns_alone(
    ltx_coding: tuple[Any, LinearLatents], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clip_autoencoder, "BATCH", 1)
    ltx_vae, latents = ltx_coding
    vae = deepcopy(ltx_vae)
    torch.nn.init.zeros_(vae.decoder.conv_out.conv.weight)
    clips = videos([sample_clip(Random(f"{k} learnt"), "test") for k in range(4)])
    before = psnr(vae, clips)
    train_decoder(vae, latents, tmp_path / "decoder.pt", minutes=0.15)
    assert psnr(vae, clips) > before
    assert all(map(torch.equal, vae.encoder.parameters(), ltx_vae.encoder.parameters()))
