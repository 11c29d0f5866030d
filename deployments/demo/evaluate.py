"""Measure how often a demo image model paints what its prompt says, on combinations never trained on.

python -m deployments.demo.evaluate demo-flux --prompts 200 --sheet sheet.png
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from PIL import Image

from deployments.demo import WEIGHTS, hit_rates
from deployments.demo.captions import caption, wording
from deployments.demo.drawing import Style
from deployments.demo.judge import Verdict, judge
from deployments.demo.painting import STEPS, load, paint
from deployments.demo.scenes import Scene, sample_scene
from deployments.demo.sheets import sheet

STYLES: dict[str, Style] = {
    "demo-flux": "filled",
    "demo-flux-outline": "outlined",
    "demo-sd35": "filled",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One generated picture, what was asked for, and what is right about it."""

    scene: Scene
    prompt: str
    picture: Image.Image
    verdict: Verdict
    seconds: float


def samples(arguments: argparse.Namespace) -> Iterator[Sample]:
    """Generate and judge, one prompt at a time: plain wordings and free ones in turn."""
    pipeline = load(arguments.folder or WEIGHTS / arguments.model)
    rng = Random(arguments.seed)
    for index in range(arguments.prompts):
        scene = sample_scene(rng, "test")
        prompt = wording(scene, rng) if index % 2 else caption(scene)
        begun = time.process_time()
        picture = paint(pipeline, prompt, seed=index, num_inference_steps=arguments.steps)
        seconds = time.process_time() - begun
        verdict = judge(picture, scene, STYLES[arguments.model])
        yield Sample(scene=scene, prompt=prompt, picture=picture, verdict=verdict, seconds=seconds)


def table(results: list[Sample]) -> str:
    """Hit rates in Markdown, for one thing, two things and all."""
    singles = [sample.verdict for sample in results if sample.scene.relation is None]
    pairs = [sample.verdict for sample in results if sample.scene.relation is not None]
    everything = [sample.verdict for sample in results]
    return hit_rates.table({"one thing": singles, "two things": pairs, "all": everything})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", choices=STYLES)
    parser.add_argument("--folder", type=Path, help="a pipeline folder other than the shipped one")
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=999, help="of the prompts; picture k has seed k")
    parser.add_argument("--sheet", type=Path, help="write a labelled sheet of the first 64 samples")
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    results = list(samples(arguments))
    seconds = sorted(sample.seconds for sample in results)
    print(table(results))
    print(f"{seconds[len(seconds) // 2]:.2f} s of processor time a picture (median)")
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
