"""Many families on few GPUs: one mixed load, by this server's policy and first come, first served.

Both are the same server; the second lets nothing overtake (`max_overtake_s` 0) and batches nothing. Each
begins with the same records of every model's runs, so that the times until a job ends can be foretold. While
the load runs, what the server foretells is noted and held against what came.
"""

from __future__ import annotations

import random
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median

from tests.benchmarks.figures import Figure, seconds
from tests.benchmarks.server import PROMPT, Connection, Server, View, serving

JOBS = 60
#: How many jobs of each model people ask for at once: pictures more often, and more of them, than clips.
GROUPS = {
    "demo-flux": (4, 4, 4, 4),
    "demo-flux-outline": (4,),
    "demo-sd35": (4, 4, 4, 4),
    "demo-wan-t2v": (2, 2, 2, 2),
    "demo-ltx-t2v": (2, 2, 2, 2),
    "demo-wan-i2v": (2, 2),
    "demo-ltx-i2v": (2, 2),
}
PAINTERS = ("demo-flux", "demo-flux-outline", "demo-sd35")
#: Two sizes a model, so that an estimate has to tell them apart.
PICTURES = ({"width": 64, "height": 64}, {"width": 128, "height": 128})
CLIPS = ({"num_frames": 9}, {"num_frames": 17, "num_inference_steps": 8})
#: Mean seconds between two groups: the queue grows, and new work keeps coming while it is long.
MEAN_GAP_S = 2.0
SEED = 4
#: Seconds between two readings of what is foretold.
LOOK_S = 3.0
#: Errors relative to less than this are those of the reading.
SHORTEST_S = 1.0

POLICIES: Mapping[str, Mapping[str, object]] = {
    "ours": {},
    "FIFO": {"max_overtake_s": 0, "batching": "false"},
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """One job of the load: asked for `after` seconds."""

    after: float
    model: str
    settings: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Foretold:
    """What the server said at a moment of when a job would end, and the job's state then. Epoch seconds."""

    job_id: str
    at: float
    ends_at: float
    submitted_now: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """What became of the load."""

    gpus: int
    policy: str
    jobs: Sequence[View]
    foretold: Sequence[Foretold]

    @property
    def makespan(self) -> float:
        return max(_moment(job, "completed_at") for job in self.jobs) - self.begun

    @property
    def begun(self) -> float:
        return min(_moment(job, "created_at") for job in self.jobs)

    @property
    def waits(self) -> list[float]:
        """From submit to the first step."""
        return [
            _moment(job, "started_at") - _moment(job, "created_at") + job["load_seconds"] for job in self.jobs
        ]

    def calls(self, *warmths: str) -> int:
        """How many calls found the GPU so; jobs that shared a call were one."""
        return round(sum(1 / job["batch_size"] for job in self.jobs if job["warmth"] in warmths))

    @property
    def busy(self) -> float:
        """GPU seconds in which a model ran; jobs that shared a call share its time."""
        return sum(job["run_seconds"] / job["batch_size"] for job in self.jobs)


def load(count: int = JOBS) -> list[Order]:
    """The same orders every time: groups in random order at random intervals."""
    chance = random.Random(SEED)
    groups = [(model, size) for model, sizes in GROUPS.items() for size in sizes]
    chance.shuffle(groups)
    orders, after = [], 0.0
    for model, size in groups:
        for _ in range(size):
            orders.append(Order(after=after, model=model, settings=chance.choice(_sizes(model))))
        after += chance.expovariate(1 / MEAN_GAP_S)
    return orders[:count]


def _sizes(model: str) -> Sequence[Mapping[str, int]]:
    return PICTURES if model in PAINTERS else CLIPS


def measure(folder: Path, count: int, gpus: Sequence[int]) -> Iterator[Figure]:
    source = _record(folder / "recorded")
    for number in gpus:
        runs = []
        for policy, settings in POLICIES.items():
            print(f"  {count} jobs on {number} GPU, {policy} ...", file=sys.stderr)
            data = shutil.copytree(folder / "recorded", folder / f"{policy}-{number}")
            with serving(data, gpus=number, **settings) as server:
                runs.append(_run(server, policy, number, load(count), source))
        yield from _figures(runs)
        yield from foretelling(runs[0])


def foretold_only(folder: Path, count: int) -> Iterator[Figure]:
    """How well the ends of jobs are foretold, on one GPU."""
    source = _record(folder / "eta")
    with serving(folder / "eta", gpus=1) as server:
        yield from foretelling(_run(server, "ours", 1, load(count), source))


# -- running the load


def _record(data: Path) -> str:
    """Run every model in both sizes, on one GPU; the id of a source picture for the clips."""
    print("  every model once in each size ...", file=sys.stderr)
    with serving(data, gpus=1) as server, server.connect() as connection:
        first = connection.completed(connection.paint(PAINTERS[0], **PICTURES[0]))
        source = str(first["image_ids"][0])
        orders = [Order(after=0, model=model, settings=size) for model in GROUPS for size in _sizes(model)]
        for job_id in [_submit(connection, order, source) for order in orders]:
            connection.completed(job_id)
    return source


def _run(server: Server, policy: str, gpus: int, orders: Sequence[Order], source: str) -> Run:
    with server.connect() as connection:
        jobs, foretold = _submit_all(connection, orders, source)
        foretold += _watch(connection, jobs)
        views = [connection.completed(job_id) for job_id in jobs]
    return Run(gpus=gpus, policy=policy, jobs=views, foretold=foretold)


def _submit_all(
    connection: Connection, orders: Sequence[Order], source: str
) -> tuple[list[str], list[Foretold]]:
    begun = time.time()
    jobs: list[str] = []
    foretold: list[Foretold] = []
    for order in orders:
        time.sleep(max(0.0, begun + order.after - time.time()))
        jobs.append(_submit(connection, order, source))
        foretold += _heard(connection.get(f"/api/status/{jobs[-1]}"), submitted_now=True)
    return jobs, foretold


def _submit(connection: Connection, order: Order, source: str) -> str:
    settings = dict(order.settings)
    if order.model in PAINTERS:
        return connection.paint(order.model, **settings)
    if order.model.endswith("t2v"):
        body = {"model_id": order.model, "prompt": PROMPT, "settings": settings}
        return str(connection.post("/api/generate_t2v", body)["job_id"])
    body = {"video_model_id": order.model, "video_prompt": PROMPT, "source_image_id": source}
    return str(connection.post("/api/generate_video", body | {"settings": settings})["job_id"])


def _watch(connection: Connection, jobs: Sequence[str]) -> list[Foretold]:
    """Read what is foretold every few seconds until nothing waits."""
    foretold: list[Foretold] = []
    while waiting := connection.get("/api/jobs?status=pending&limit=200")["jobs"]:
        for job in waiting:
            foretold += _heard(job, submitted_now=False)
        time.sleep(LOOK_S)
    return foretold


def _heard(job: View, *, submitted_now: bool) -> list[Foretold]:
    if job["eta_seconds"] is None:
        return []
    at = time.time()
    ends_at = at + job["eta_seconds"]
    return [Foretold(job_id=job["id"], at=at, ends_at=ends_at, submitted_now=submitted_now)]


# -- telling


def _figures(runs: Sequence[Run]) -> Iterator[Figure]:
    heading = f"{len(runs[0].jobs)} jobs of {len(GROUPS)} models, {_gpus(runs[0])}"
    for run in runs:
        yield seconds(heading, f"makespan, {run.policy}", [run.makespan], "first submit to last end")
    for run in runs:
        yield seconds(heading, f"waits, {run.policy}", run.waits, "submit to first step")
    for run in runs:
        yield seconds(heading, f"  p95, {run.policy}", [_quantile(run.waits, 0.95)])
    for run in runs:
        loads = run.calls("cold", "swap", "switch")
        yield Figure(heading=heading, name=f"loads of a model, {run.policy}", unit="", samples=(loads,))
    for run in runs:
        swaps = run.calls("swap")
        note = "loads for which another model had to leave"
        yield Figure(heading=heading, name=f"  swaps, {run.policy}", unit="", samples=(swaps,), note=note)
    for run in runs:
        idle = 100 * (1 - run.busy / (run.gpus * run.makespan))
        note = "of makespan x GPUs: nothing runs (loading counts as idle)"
        yield Figure(heading=heading, name=f"GPU idle, {run.policy}", unit="%", samples=(idle,), note=note)


def foretelling(run: Run) -> Iterator[Figure]:
    """How far what was foretold lay from what came."""
    heading = f"Error of eta_seconds, {_gpus(run)}"
    ends = {job["id"]: _moment(job, "completed_at") for job in run.jobs}
    for name, now in (("at submit", True), (f"every {LOOK_S:g} s while waiting", False)):
        heard = [each for each in run.foretold if each.submitted_now is now and each.job_id in ends]
        if not heard:
            continue
        errors = [abs(each.ends_at - ends[each.job_id]) for each in heard]
        lefts = [max(SHORTEST_S, ends[each.job_id] - each.at) for each in heard]
        shares = [100 * error / left for error, left in zip(errors, lefts, strict=True)]
        yield seconds(heading, f"{name}, seconds", errors, f"of {median(lefts):.1f} s to go (median)")
        yield Figure(heading=heading, name=f"{name}, relative", unit="%", samples=tuple(shares))


def _gpus(run: Run) -> str:
    return f"{run.gpus} logical GPU{'s' if run.gpus > 1 else ''}"


def _quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def _moment(job: View, name: str) -> float:
    return datetime.fromisoformat(job[name]).timestamp()
