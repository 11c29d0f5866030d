"""The sheets of samples in the docs: `python -m deployments.demo.samples demo-flux`."""

from __future__ import annotations

import argparse
from pathlib import Path

from deployments.demo import WEIGHTS
from deployments.demo.painting import load, paint
from deployments.demo.sheets import sheet

FOLDER = Path(__file__).with_name("samples")
SEED = 1

PROMPTS = (
    "a large red circle on a blue background",
    "a small yellow star on a green background",
    "photo of a big purple triangle",
    "green square, large, top left, pink background",
    "a red star left of a blue square on a yellow background",
    "a white circle above a black triangle on a cyan background",
    "an orange triangle right of a green circle",
    "a pink square below a yellow star on a purple background",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="name of a folder under weights/")
    model = parser.parse_args().model
    pipeline = load(WEIGHTS / model)
    pictures = [paint(pipeline, prompt, SEED) for prompt in PROMPTS]
    FOLDER.mkdir(exist_ok=True)
    file = FOLDER / f"{model}.png"
    sheet(pictures, PROMPTS, [False] * len(PROMPTS)).save(file)
    print(file)


if __name__ == "__main__":
    main()
