"""Train a demo model on one CPU core.

    python -m deployments.demo.train demo-flux --out FOLDER
    python -m deployments.demo.train demo-flux-outline --out FOLDER
    python -m deployments.demo.train demo-sd35 --out FOLDER
    python -m deployments.demo.train demo-wan-t2v --out FOLDER
    python -m deployments.demo.train demo-ltx-t2v --out FOLDER

One FOLDER for the image models, one at a time: the first one that is trained there also trains the
autoencoder and the text encoders, which the others share. FOLDER keeps the whole state: the same command goes
on after an interruption, and a larger `--minutes` lengthens what was trained. The finished model is
FOLDER/NAME/pipeline. What is trained as text to video also makes image to video, written beside it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from deployments.demo.training.flux import train_flux, tune_flux
from deployments.demo.training.ltx import train_ltx
from deployments.demo.training.sd35 import train_sd35
from deployments.demo.training.wan import train_wan


@dataclass(frozen=True, slots=True)
class Trainer:
    """What trains a model (folder, minutes, seed -> pipeline folder), and its minutes unless told."""

    train: Callable[[Path, float, int], Path]
    minutes: float


TRAINERS = {
    "demo-flux": Trainer(train_flux, 20),
    "demo-flux-outline": Trainer(tune_flux, 60),
    "demo-sd35": Trainer(train_sd35, 27),
    "demo-wan-t2v": Trainer(train_wan, 80),
    "demo-ltx-t2v": Trainer(train_ltx, 80),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", choices=TRAINERS)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, help="of processor time for the transformer, over all runs")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    trainer = TRAINERS[arguments.model]
    print(trainer.train(arguments.out, arguments.minutes or trainer.minutes, arguments.seed))


if __name__ == "__main__":
    main()
