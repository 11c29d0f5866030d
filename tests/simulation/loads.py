"""Jobs that arrive at random."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from serve_app.arbiter import Waiting
from serve_app.simulation import Work
from tests.simulation.models import MODELS

#: Part of the GPUs' time that the runs alone would take.
USE = 0.8
#: A run takes its estimate, give or take this part of it.
SPREAD = 0.2
#: Mean number of jobs that come at once, where they come in bursts: pictures and quick clips, long clips.
BURST, LONG_BURST = 8.0, 2.0
#: A run of more seconds makes a long clip.
LONG_S = 60.0

#: Each model's part of all GPU time.
MIXES = {
    "all families": {
        "FLUX.1-dev": 0.20,
        "FLUX fine-tune": 0.05,
        "SD 3.5 Large": 0.15,
        "Wan 2.1 T2V": 0.25,
        "Wan 2.1 I2V": 0.20,
        "LTX T2V": 0.10,
        "LTX I2V": 0.05,
    },
    "mostly pictures": {"FLUX.1-dev": 0.50, "SD 3.5 Large": 0.30, "Wan 2.1 T2V": 0.20},
    "mostly clips": {
        "FLUX.1-dev": 0.10,
        "SD 3.5 Large": 0.05,
        "Wan 2.1 T2V": 0.50,
        "Wan 2.1 I2V": 0.25,
        "LTX T2V": 0.10,
    },
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """A kind of load: which models, whether jobs come singly (Poisson) or in bursts, on how many GPUs."""

    mix: str
    bursty: bool
    gpus: int
    jobs: int

    @property
    def name(self) -> str:
        return f"{self.mix}, {'bursts' if self.bursty else 'one by one'}, {self.gpus} GPU"


def draw(load: Load, seed: int) -> list[Work]:
    """Jobs in order of arrival, whose runs take `USE` of the GPUs until the last has come."""
    dice = random.Random(f"{load.name} {seed}")
    parts = MIXES[load.mix]
    sizes = {name: _burst(name) if load.bursty else 1.0 for name in parts}
    rates = {name: part / MODELS[name].run_s / sizes[name] for name, part in parts.items()}
    works: list[Work] = []
    clock = 0.0
    while len(works) < load.jobs:
        clock += dice.expovariate(sum(rates.values()))
        name = dice.choices(list(rates), list(rates.values()))[0]
        for _ in range(_geometric(dice, sizes[name])):
            run_s = MODELS[name].run_s * dice.uniform(1 - SPREAD, 1 + SPREAD)
            works.append(replace(work_of(name, len(works), clock), run_s=run_s))
    return _stretched(works[: load.jobs], load.gpus)


def _burst(name: str) -> float:
    return LONG_BURST if MODELS[name].run_s > LONG_S else BURST


def _geometric(dice: random.Random, mean: float) -> int:
    number = 1
    while dice.random() > 1 / mean:
        number += 1
    return number


def work_of(name: str, number: int, arrives_s: float) -> Work:
    """A job of a model that is the `number`th in line and runs as estimated."""
    model = MODELS[name]
    job = Waiting(
        id=str(number),
        model=name,
        deployment=model.deployment,
        position=float(number),
        run_s=model.run_s,
        load_s=model.load_s,
        switch_s=model.switch_s,
    )
    return Work(job=job, arrives_s=arrives_s)


def _stretched(works: list[Work], gpus: int) -> list[Work]:
    """In time, so that the use is exact."""
    wanted = sum(run_seconds(work) for work in works) / (gpus * USE)
    return [replace(work, arrives_s=work.arrives_s * wanted / works[-1].arrives_s) for work in works]


def run_seconds(work: Work) -> float:
    return work.job.run_s if work.run_s is None else work.run_s
