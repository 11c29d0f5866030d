"""Train a demo model on one CPU core.

    python -m deployments.demo.train demo-flux --out FOLDER
    python -m deployments.demo.train demo-flux-outline --out FOLDER
    python -m deployments.demo.train demo-sd35 --out FOLDER
    python -m deployments.demo.train demo-wan-t2v --out FOLDER
    python -m deployments.demo.train demo-ltx-t2v --out FOLDER

One FOLDER for the image models, one at a time (a second one is refused): the first one that is trained
there also trains the autoencoder and the text encoders, which the others share. FOLDER keeps the whole state:
the same command goes on after an interruption, and a larger `--minutes` lengthens what was trained. The
finished model is FOLDER/NAME/pipeline. What is trained as text to video also makes image to video, written
beside it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from deployments.demo.training.flux import train_flux, tune_flux
from deployments.demo.training.ltx import train_ltx
from deployments.demo.training.sd35 import train_sd35
from deployments.demo.training.wan import train_wan


@dataclass(frozen=True, slots=True)
class Trainer:
    """What trains a model (folder, minutes, seed -> pipeline folder), and its minutes unless told.

    Those with the same `state` write the same files of a folder.
    """

    train: Callable[[Path, float, int], Path]
    minutes: float
    state: str


TRAINERS = {
    "demo-flux": Trainer(train_flux, 20, "pictures"),
    "demo-flux-outline": Trainer(tune_flux, 60, "pictures"),
    "demo-sd35": Trainer(train_sd35, 27, "pictures"),
    "demo-wan-t2v": Trainer(train_wan, 80, "wan"),
    "demo-ltx-t2v": Trainer(train_ltx, 80, "ltx"),
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
    arguments.out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(arguments.out / f"{trainer.state}.lock", timeout=0):
            print(trainer.train(arguments.out, arguments.minutes or trainer.minutes, arguments.seed))
    except Timeout:
        parser.error(f"another training works in {arguments.out}: wait for its end, or take another folder")


if __name__ == "__main__":
    main()
