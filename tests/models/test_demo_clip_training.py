from pathlib import Path
from random import Random

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from deployments.demo.clips import FRAMES, SIZE, sample_clip  # noqa: E402
from deployments.demo.training.clip_autoencoder import small_videos  # noqa: E402
from deployments.demo.training.clip_flow import noise_levels  # noqa: E402
from deployments.demo.training.clip_latents import ClipPool, videos  # noqa: E402

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


def test_a_small_video_has_the_mean_colours_of_its_blocks() -> None:
    clip = videos([sample_clip(Random(1))])
    small = small_videos(clip, 16)
    assert small.shape == (1, 48, 1 + (FRAMES - 1) // 2, SIZE // 16, SIZE // 16)
    block = clip[0, 1, 3:5, 20:24, 36:40].mean()  # green of rows 5, columns 9 of blocks; frames 3 and 4
    inside = 1 * 16 + (5 % 4) * 4 + 9 % 4
    assert small[0, inside, 2, 5 // 4, 9 // 4] == pytest.approx(float(block), abs=1e-5)
