"""Train a demo model on one CPU core.

    python -m deployments.demo.train flux --out FOLDER --minutes 90

FOLDER keeps the whole state: the same command goes on after an interruption, and a larger `--minutes`
lengthens what was trained. The finished model is FOLDER/pipeline; look at it with

    python -m deployments.demo.evaluate flux --model FOLDER/pipeline --sheet sheet.png

and if it is better than weights/demo-flux, copy it there and run `python -m deployments.demo.build`:
the demo SD 3.5 uses the same autoencoder.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch

from deployments.demo.training.flux import train_flux

TRAINERS: dict[str, Callable[[Path, float, int], Path]] = {"flux": train_flux}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", choices=TRAINERS)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=90.0, help="of processor time, over all runs")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(TRAINERS[arguments.model](arguments.out, arguments.minutes, arguments.seed))


if __name__ == "__main__":
    main()
