"""Measure how often a demo clip model shows what its prompt says, on combinations that training never saw.

python -m deployments.demo.evaluate_clips wan-t2v --prompts 200 --sheet sheet.png
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from diffusers import LTXImageToVideoPipeline, LTXPipeline, WanImageToVideoPipeline, WanPipeline
from PIL import Image

from deployments.demo import WEIGHTS, hit_rates
from deployments.demo.clip_captions import clip_caption, clip_wording, motion_wording
from deployments.demo.clip_judge import ClipVerdict, judge_clip, psnr
from deployments.demo.clips import FRAMES, MOTIONS, SIZE, Clip, sample_clip
from deployments.demo.drawing import render
from deployments.demo.sheets import strips

ON_SHEET = 8
NEAR = 25.0
"""dB between a clip's first frame and its source."""
PIPELINES: dict[str, Any] = {
    "wan-t2v": WanPipeline,
    "wan-i2v": WanImageToVideoPipeline,
    "ltx-t2v": LTXPipeline,
    "ltx-i2v": LTXImageToVideoPipeline,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipSample:
    """One generated clip, what was asked for, and what is right about it."""

    clip: Clip
    prompt: str
    frames: list[Image.Image]
    verdict: ClipVerdict
    seconds: float
    psnr: float | None
    """Of the first frame against the source, where there is one."""


def samples(arguments: argparse.Namespace) -> Iterator[ClipSample]:
    """Generate and judge, one prompt at a time, with the unmodified pipeline."""
    pipeline = load(arguments.model or WEIGHTS / f"demo-{arguments.family}", arguments.family)
    rng = Random(arguments.seed)
    for index in range(arguments.prompts):
        shown = arguments.family.endswith("i2v")
        clip = sample_clip(rng, "test", motions=MOTIONS[:-1], anywhere=shown)
        prompt, source = _prompt(clip, rng, arguments), None
        if shown:
            source = render(clip.scene(0), SIZE)
        begun = time.perf_counter()
        frames = _generate(pipeline, prompt, source, index, arguments)
        yield ClipSample(
            clip=clip,
            prompt=prompt,
            frames=frames,
            verdict=judge_clip(frames, clip),
            seconds=time.perf_counter() - begun,
            psnr=psnr(frames[0], source) if source else None,
        )


def load(folder: Path, family: str) -> Any:
    """The pipeline as the server loads it; Wan 2.2's image to video has no image encoder."""
    kind = PIPELINES[family]
    absent = {"image_encoder": None, "image_processor": None} if family == "wan-i2v" else {}
    pipeline = kind.from_pretrained(folder, dtype=torch.float32, **absent)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _prompt(clip: Clip, rng: Random, arguments: argparse.Namespace) -> str:
    if arguments.family.endswith("i2v") and rng.random() < 0.5:
        return motion_wording(clip, rng)
    return clip_wording(clip, rng) if arguments.wordings else clip_caption(clip)


def _generate(
    pipeline: Any, prompt: str, source: Image.Image | None, seed: int, arguments: argparse.Namespace
) -> list[Image.Image]:
    pictures = {"image": source} if source else {}
    frames: list[Image.Image] = pipeline(
        prompt=prompt,
        negative_prompt=arguments.negative,
        height=SIZE,
        width=SIZE,
        num_frames=FRAMES,
        num_inference_steps=arguments.steps,
        guidance_scale=arguments.guidance,
        max_sequence_length=arguments.tokens,
        generator=torch.Generator().manual_seed(seed),
        output_type="pil",
        **pictures,
    ).frames[0]
    return frames


def table(results: list[ClipSample]) -> str:
    """Hit rates in Markdown, by motion and in all."""
    groups: dict[str, list[ClipVerdict]] = {
        motion: [sample.verdict for sample in results if sample.clip.motion == motion]
        for motion in MOTIONS[:-1]
    }
    return hit_rates.table({**groups, "all": [sample.verdict for sample in results]})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("family", choices=PIPELINES)
    parser.add_argument("--model", type=Path, help="a pipeline folder; the shipped one if none")
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--wordings", action="store_true", help="ask in many wordings, not in the plain one")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--guidance", type=float, default=2.0)
    parser.add_argument("--negative", default="", help="negative prompt")
    parser.add_argument("--tokens", type=int, default=32, help="max_sequence_length")
    parser.add_argument("--seed", type=int, default=999, help="of the prompts; clip k has seed k")
    parser.add_argument("--sheet", type=Path, help=f"write a labelled sheet of the first {ON_SHEET} clips")
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(1)
    results = list(samples(arguments))
    print(table(results))
    seconds = sorted(sample.seconds for sample in results)
    print(f"{seconds[len(seconds) // 2]:.2f} s a clip (median)")
    distances = [sample.psnr for sample in results if sample.psnr is not None]
    if distances:
        near = sum(distance >= NEAR for distance in distances)
        print(
            f"first frame {min(distances):.1f} dB at least, {NEAR:.0f} dB or more in {near}/{len(distances)}"
        )
    if arguments.sheet:
        shown = results[:ON_SHEET]
        sheet = strips(
            [s.frames for s in shown], [s.prompt for s in shown], [not s.verdict.all for s in shown]
        )
        sheet.save(arguments.sheet, optimize=True)


if __name__ == "__main__":
    main()
