"""When waiting jobs will start and end: the simulation, begun at the present. Pure and blocking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from serve_app.arbiter import Deployment, Waiting
from serve_app.simulation import Outcome, Replica, Run, Work, ours, simulate

#: Waiting jobs that are simulated, the first in line; 0.5 ms each. The rest is reckoned from their pace.
HORIZON = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningCall:
    """Jobs that run together. `left_s`: seconds until they end, None where nothing is known of such a run."""

    jobs: tuple[str, ...]
    deployment: str
    model: str
    left_s: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Present:
    """The queue and the GPUs as the arbiter sees them. `line` has the first waiting jobs, in order.

    `overtaken_s` has for how many seconds jobs have been overtaken, by id. `resting` deployments could not
    start a replica and get no jobs for a moment.

    `clients` has their clients by job id, and `unknown` those of them whose seconds are assumptions.
    """

    line: tuple[Waiting, ...]
    clients: Mapping[str, str | None]
    unknown: frozenset[str]
    deployments: tuple[Deployment, ...]
    running: tuple[RunningCall, ...]
    idle: tuple[Replica, ...]
    gpus: float
    overtaken_s: Mapping[str, float]
    max_overtake_s: float
    resting: frozenset[str]
    paused: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """Seconds from now until a job's start (its claim; then its model may have to load) and its end."""

    start_s: float
    end_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """What is expected of the first jobs in line, by id, and how fast the line moves after them."""

    jobs: Mapping[str, Expected] = field(default_factory=dict)
    #: Jobs simulated, and seconds until the last of them ends; None while it cannot be known.
    counted: int = 0
    horizon_s: float | None = None

    def of(self, job_id: str, position: int) -> Expected | None:
        """What is expected of a waiting job at this position (1 is next). None: it cannot be known."""
        if (known := self.jobs.get(job_id)) is not None:
            return known
        if self.horizon_s is None:
            return None
        pace_s = self.horizon_s / self.counted
        return Expected(start_s=pace_s * (position - 1), end_s=pace_s * position)


def forecast(present: Present) -> Forecast:
    """Nothing of a paused queue; nothing of a job that may start after one of which nothing is known."""
    line = present.line[:HORIZON]
    if present.paused or not line:
        return Forecast()
    outcome = _simulate(present, line)
    until_s = _known_until(present, outcome)
    runs = [r for r in outcome.runs.values() if r.start_s <= until_s and r.id not in present.unknown]
    return Forecast(
        jobs={run.id: Expected(start_s=run.start_s, end_s=run.end_s) for run in runs},
        counted=len(line),
        horizon_s=outcome.makespan_s if len(runs) == len(line) else None,
    )


def _simulate(present: Present, line: tuple[Waiting, ...]) -> Outcome:
    busy = [
        Replica(deployment=call.deployment, model=call.model, busy_s=max(call.left_s or 0.0, 1e-3))
        for call in present.running
    ]
    return simulate(
        [Work(job=job) for job in line],
        present.deployments,
        gpus=present.gpus,
        policy=ours(present.max_overtake_s),
        replicas=[*busy, *present.idle],
        overtaken_s=present.overtaken_s,
    )


def _known_until(present: Present, outcome: Outcome) -> float:
    """Seconds until which nothing ends of which it is not known when."""
    if any(call.left_s is None for call in present.running):
        return 0.0
    guessed: list[Run] = [run for run in outcome.runs.values() if run.id in present.unknown]
    return min((run.start_s for run in guessed), default=float("inf"))
