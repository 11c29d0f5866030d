"""How soon a cancelled job has ended, and how soon its model's process is at rest or gone, phase by phase."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from statistics import median

import psutil

from tests.benchmarks.figures import Figure, milliseconds
from tests.benchmarks.server import PROMPT, Connection, Server, View
from tests.processes import is_alive, titled

#: Seconds (`stop_within_s`) after which a process that loads or decodes is ended.
BOUND_S = 0.5
#: Two pictures to a step, and steps enough that a cancel at any of the first half comes in time.
TOGETHER, STEPS = 2, 50
PICTURES = {"width": 256, "height": 256, "num_inference_steps": STEPS, "num_images": TOGETHER}
#: The clip that takes longest to decode.
CLIP = {"width": 128, "height": 128, "num_frames": 33, "num_inference_steps": 2}
#: Tries for each cancel that is wanted: some jobs end before it comes.
TRIES = 3
#: Seconds without work after which a process is at rest, and what a process at rest may use of them.
REST_S, REST_CPU_S = 0.4, 0.015
LOOK_S = 0.005

Reached = Callable[[View], bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class Cancel:
    """Seconds from sending the cancel to each moment, those of one step, and the replica's MB afterwards.

    `at_rest` is known to some 20 ms. `step` is 0 where the job was cancelled before two of them were seen.
    """

    replied: float
    ended: float
    at_rest: float
    step: float
    killed: bool
    held_mb: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """What is cancelled when: a job of `model` once `reached` holds for its view."""

    name: str
    deployment: str
    model: str
    settings: dict[str, int]
    reached: Callable[[], Reached]
    path: str = "/api/generate"
    from_zero: bool = False


def measure(server: Server, count: int) -> Iterator[Figure]:
    """For a server whose `stop_within_s` is BOUND_S. Raises RuntimeError if too few cancels come in time."""
    rng = random.Random(0)
    running = Phase(
        name="while it runs",
        deployment="Flux",
        model="demo-flux",
        settings=PICTURES,
        reached=lambda: _at_step(rng.randint(2, STEPS)),
    )
    cancels = list(_cancels(server, running, count))
    yield from _figures(running, cancels)
    steps = [each.step for each in cancels if each.step]
    yield milliseconds(_heading(running), "  one step", steps, "of the same runs")
    late = (each.at_rest - median(steps) for each in cancels)
    yield milliseconds(_heading(running), "  at rest, less one step", late, "the aim is 250")
    yield _memory(running, cancels)
    for phase in (LOADING, DECODING):
        yield from _figures(phase, list(_cancels(server, phase, count)))


def _phase(name: str) -> Callable[[], Reached]:
    return lambda: lambda job: bool(job["progress"][name])


def _at_step(step: int) -> Reached:
    return lambda job: (job["progress"]["step"] or 0) >= step


LOADING = Phase(
    name="while its model is loaded",
    deployment="Flux",
    model="demo-flux",
    settings=PICTURES,
    reached=_phase("loading_model"),
    from_zero=True,
)
DECODING = Phase(
    name="while its clip is decoded",
    deployment="LTXT2V",
    model="demo-ltx-t2v",
    settings=CLIP,
    reached=_phase("saving"),
    path="/api/generate_t2v",
)


def _heading(phase: Phase) -> str:
    return f"Cancelling a job {phase.name}, {phase.model}"


def _figures(phase: Phase, cancels: list[Cancel]) -> Iterator[Figure]:
    heading, ended_by_force = _heading(phase), sum(each.killed for each in cancels)
    yield milliseconds(heading, "reply", (each.replied for each in cancels), "all from sending the cancel")
    yield milliseconds(heading, "status is cancelled", (each.ended for each in cancels))
    note = f"{ended_by_force} of {len(cancels)} had to be killed, {1000 * BOUND_S:g} ms after they were told"
    yield milliseconds(heading, "process at rest or gone", (each.at_rest for each in cancels), note)


def _memory(phase: Phase, cancels: list[Cancel]) -> Figure:
    held = tuple(each.held_mb for each in cancels)
    note = f"first {held[0]:.0f}, last {held[-1]:.0f}; replica and model process, resident"
    return Figure(heading=_heading(phase), name="  memory afterwards", unit="MB", samples=held, note=note)


def _cancels(server: Server, phase: Phase, count: int) -> Iterator[Cancel]:
    """`count` of them, after a first job that is let alone."""
    with server.connect() as connection:
        connection.completed(_submit(connection, phase, seed=0))
        found = 0
        for seed in range(TRIES * count):
            if phase.from_zero:
                connection.post(f"/api/models/{phase.model}/unload")
            if (cancel := _cancel(server, connection, phase, seed)) is not None:
                yield cancel
                found += 1
            if found == count:
                return
    raise RuntimeError(f"only {found} of {count} cancels came {phase.name}")


def _cancel(server: Server, connection: Connection, phase: Phase, seed: int) -> Cancel | None:
    """None if the job ended before it could be cancelled."""
    job_id = _submit(connection, phase, seed)
    reached, steps = phase.reached(), list[tuple[float, int]]()
    for job in connection.watch(job_id):
        if step := job["progress"]["step"]:
            steps.append((time.perf_counter(), step))
        if job["status"] == "completed":
            return None
        if reached(job):
            break
    processes = titled(server.pid, f"cyberimage: {phase.deployment}")
    with ThreadPoolExecutor() as pool:
        sent = time.perf_counter()
        at_rest = [pool.submit(_at_rest, process, sent) for process in processes]
        with suppress(RuntimeError):  # 409: it has ended.
            connection.post(f"/api/jobs/{job_id}/cancel")
        replied = time.perf_counter()
        while (status := connection.get(f"/api/status/{job_id}?wait=20")["status"]) == "processing":
            pass
        ended = time.perf_counter()
    if status != "cancelled":
        return None
    return Cancel(
        replied=replied - sent,
        ended=ended - sent,
        at_rest=max((each.result() for each in at_rest), default=ended) - sent,
        step=_step_s(steps),
        killed=not any(map(is_alive, processes)),
        held_mb=_held_mb(server, phase),
    )


def _submit(connection: Connection, phase: Phase, seed: int) -> str:
    body = {"model_id": phase.model, "prompt": PROMPT, "settings": phase.settings | {"seed": seed}}
    return str(connection.post(phase.path, body)["job_id"])


def _step_s(seen: list[tuple[float, int]]) -> float:
    """Seconds for a step of the pipeline, in which each picture advances by one."""
    if len(seen) < 2 or seen[-1][1] == seen[0][1]:
        return 0.0
    (first, before), (last, after) = seen[0], seen[-1]
    return (last - first) / (after - before) * TOGETHER


def _at_rest(process: psutil.Process, since: float) -> float:
    """When the process did its last work, or was gone."""
    last = since
    with suppress(psutil.Error):
        used = _cpu_s(process)
        while time.perf_counter() - last < REST_S:
            time.sleep(LOOK_S)
            if not is_alive(process):
                return time.perf_counter()
            if (now := _cpu_s(process)) > used + REST_CPU_S:
                used, last = now, time.perf_counter()
        return last
    return time.perf_counter()


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _held_mb(server: Server, phase: Phase) -> float:
    titles = (f"cyberimage: {phase.deployment}", f"ray::ServeReplica:cyberimage:{phase.deployment}")
    held = 0.0
    for process in (each for title in titles for each in titled(server.pid, title)):
        with suppress(psutil.Error):
            held += process.memory_info().rss / 2**20
    return held
