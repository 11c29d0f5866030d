"""Policies to compare the arbiter's with. Each starts jobs until the one that it wants next does not fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from serve_app.arbiter import Deployment, Plan, Room, Start, Waiting
from serve_app.simulation import Policy, ours

#: Picks the next job of those in line.
Choice = Callable[[list[Waiting], Room], Waiting]


def one_after_another(choose: Choice) -> Policy:
    def decide(
        waiting: Sequence[Waiting],
        deployments: Sequence[Deployment],
        gpus: float,
        overtaken_s: Mapping[str, float],
    ) -> Plan:
        room = Room(deployments, gpus)
        line = sorted(waiting, key=lambda job: job.place)
        starts: list[Start] = []
        while line and room.admits(job := choose(line, room)):
            room.start(job)
            line.remove(job)
            starts.append(Start(jobs=(job.id,)))
        return Plan(starts=tuple(starts))

    return decide


def fifo() -> Policy:
    """In order of arrival. A model that happens to be loaded is used."""
    return one_after_another(lambda line, room: line[0])


def fifo_warm() -> Policy:
    """In order of arrival, but whatever is loaded and idle goes first, without any bound."""

    def choose(line: list[Waiting], room: Room) -> Waiting:
        return next((job for job in line if room.admits(job) and room.load_seconds(job) == 0), line[0])

    return one_after_another(choose)


def longest_queue() -> Policy:
    """The model that most jobs wait for."""

    def choose(line: list[Waiting], room: Room) -> Waiting:
        numbers = Counter(job.model for job in line)
        return max(line, key=lambda job: numbers[job.model])

    return one_after_another(choose)


def round_robin() -> Policy:
    """A job of each model in turn."""
    last = ""

    def choose(line: list[Waiting], room: Room) -> Waiting:
        nonlocal last
        models = sorted({job.model for job in line})
        last = next((model for model in models if model > last), models[0])
        return next(job for job in line if job.model == last)

    return one_after_another(choose)


#: Seconds of the default setting `max_overtake_s`.
MAX_OVERTAKE_S = 60.0
OURS = "ours"
FIFO = "FIFO"

#: Made anew for every run: some remember.
POLICIES: dict[str, Callable[[], Policy]] = {
    OURS: lambda: ours(MAX_OVERTAKE_S),
    FIFO: fifo,
    "FIFO, warm first": fifo_warm,
    "longest queue": longest_queue,
    "round robin": round_robin,
}
