"""Measure how often a demo model paints what its prompt says, on combinations that training never saw.

python -m deployments.demo.evaluate flux --prompts 100 --sheet sheet.png
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from random import Random
from typing import Any

import torch
from diffusers import FluxPipeline
from PIL import Image

from deployments.demo import WEIGHTS
from deployments.demo.captions import caption, wording
from deployments.demo.judge import Verdict, judge
from deployments.demo.scenes import Scene, sample_scene
from deployments.demo.sheets import sheet

COLUMNS = tuple(field.name for field in fields(Verdict))


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One generated picture, what was asked for, and what is right about it."""

    scene: Scene
    prompt: str
    picture: Image.Image
    verdict: Verdict
    seconds: float


def samples(arguments: argparse.Namespace) -> Iterator[Sample]:
    """Generate and judge, one prompt at a time, with the unmodified pipeline."""
    pipeline = FluxPipeline.from_pretrained(arguments.model, dtype=torch.bfloat16)
    pipeline.set_progress_bar_config(disable=True)
    rng = Random(arguments.seed)
    for index in range(arguments.prompts):
        scene = sample_scene(rng, "test")
        prompt = wording(scene, rng) if arguments.wordings else caption(scene)
        begun = time.perf_counter()
        picture = _generate(pipeline, prompt, index, arguments)
        seconds = time.perf_counter() - begun
        verdict = judge(picture, scene)
        yield Sample(scene=scene, prompt=prompt, picture=picture, verdict=verdict, seconds=seconds)


def _generate(pipeline: Any, prompt: str, seed: int, arguments: argparse.Namespace) -> Image.Image:
    picture: Image.Image = pipeline(
        prompt,
        negative_prompt="",
        true_cfg_scale=arguments.true_cfg,
        height=arguments.size,
        width=arguments.size,
        num_inference_steps=arguments.steps,
        max_sequence_length=arguments.tokens,
        generator=torch.Generator().manual_seed(seed),
    ).images[0]
    return picture


def table(results: list[Sample]) -> str:
    """Hit rates in Markdown: what is right in how many, for one thing, two things and all."""
    singles = [sample for sample in results if sample.scene.relation is None]
    pairs = [sample for sample in results if sample.scene.relation is not None]
    head = f"| | prompts | {' | '.join(COLUMNS)} | everything |"
    rows = [_row(*row) for row in (("one thing", singles), ("two things", pairs), ("all", results))]
    return "\n".join([head, "|-" * (len(COLUMNS) + 3) + "|", *rows])


def _row(name: str, group: list[Sample]) -> str:
    counts = [sum(getattr(sample.verdict, column) for sample in group) for column in COLUMNS]
    counts.append(sum(sample.verdict.all for sample in group))
    rates = " | ".join(f"{100 * count / max(1, len(group)):.0f} %" for count in counts)
    return f"| {name} | {len(group)} | {rates} |"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("family", choices=["flux"])
    parser.add_argument("--model", type=Path, default=WEIGHTS / "demo-flux", help="a pipeline folder")
    parser.add_argument("--prompts", type=int, default=100)
    parser.add_argument("--wordings", action="store_true", help="ask in many wordings, not in the plain one")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--true-cfg", type=float, default=2.5)
    parser.add_argument("--tokens", type=int, default=32, help="max_sequence_length")
    parser.add_argument("--seed", type=int, default=999, help="of the prompts; picture k has seed k")
    parser.add_argument("--sheet", type=Path, help="write a labelled sheet of the first 64 samples")
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(1)
    results = list(samples(arguments))
    seconds = sorted(sample.seconds for sample in results)
    print(table(results))
    print(f"{seconds[len(seconds) // 2]:.2f} s a picture (median)")
    if arguments.sheet:
        shown = results[:64]
        page = sheet(
            [sample.picture for sample in shown],
            [sample.prompt for sample in shown],
            [not sample.verdict.all for sample in shown],
        )
        page.save(arguments.sheet)


if __name__ == "__main__":
    main()
