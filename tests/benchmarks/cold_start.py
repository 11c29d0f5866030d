"""From no replica to the first step, and back to none.

What a client sees tells the parts: the job's row says when it was claimed, and its phase turns to
`loading_model` when a replica has it and to `generating` when the model is loaded. Phases reach a client
some 10 ms after the fact, steps up to 0.2 s: the moment of the first step is known only so well.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import psutil

from tests.benchmarks.figures import Figure, seconds
from tests.benchmarks.server import Connection, Server, View
from tests.processes import is_alive, replicas

TO_FIRST_STEP = "From zero replicas to the first step"
TO_ZERO = "To zero replicas"
FLUX = "demo-flux"
#: Seconds within which an idle replica must be gone.
GONE_WITHIN_S = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """Moments (seconds of one clock) in the life of a job that found no replica of its family."""

    submitted: float
    claimed: float
    loading: float
    generating: float
    stepped: float
    ended: float


def from_zero(server: Server, count: int) -> Iterator[Figure]:
    """For a server that keeps no replica warm."""
    starts: list[Start] = []
    ends: list[float] = []
    with server.connect() as connection:
        for _ in range(count):
            starts.append(_start(connection, FLUX))
            ends.append(_until_gone(server, "Flux") - starts[-1].ended)
    yield from _figures(TO_FIRST_STEP, starts)
    note = "from `completed` at the client until no process of the family is left; keep_warm_s 0"
    yield seconds(TO_ZERO, "last job's end to zero", ends, note)


def _figures(heading: str, starts: list[Start]) -> Iterator[Figure]:
    yield seconds(heading, "in all", [s.stepped - s.submitted for s in starts], "POST to the first step")
    yield seconds(heading, "  to the claim", [s.claimed - s.submitted for s in starts])
    yield seconds(
        heading, "  replica up", [s.loading - s.claimed for s in starts], "scaling, replica, model process"
    )
    yield seconds(heading, "  model loaded", [s.generating - s.loading for s in starts])
    yield seconds(heading, "  first step", [s.stepped - s.generating for s in starts], "within 0.2 s")


def _start(connection: Connection, model: str) -> Start:
    """Run one job and note when its phases were first seen."""
    submitted = time.time()
    job_id = connection.paint(model, seed=1)
    seen: dict[str, float] = {}
    for job in connection.watch(job_id):
        for phase in _phases(job):
            seen.setdefault(phase, time.time())
    claimed = datetime.fromisoformat(job["started_at"]).timestamp()
    return Start(submitted=submitted, claimed=claimed, **{name: seen[name] for name in _NAMES})


_NAMES = ("loading", "generating", "stepped", "ended")


def _phases(job: View) -> Iterator[str]:
    """Those that the job has reached, the ones between that nobody saw included."""
    progress = job["progress"]
    step = progress["step"] or 0
    reached = [progress["loading_model"], progress["generating"], step > 0, job["status"] == "completed"]
    for index, name in enumerate(_NAMES):
        if any(reached[index:]):
            yield name


def _until_gone(server: Server, deployment: str) -> float:
    """When the last process of the deployment has ended."""
    processes: list[psutil.Process] = replicas(server.pid, deployment)
    deadline = time.time() + GONE_WITHIN_S
    while any(is_alive(process) for process in processes):
        if time.time() > deadline:
            raise RuntimeError(f"{deployment} still has a replica after {GONE_WITHIN_S:.0f} s")
        time.sleep(0.01)
    return time.time()
