"""What a plan takes while 100,000 jobs wait: reading the store, and deciding."""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from statistics import median

from sqlalchemy import insert

from serve_app.arbiter import Deployment, Waiting, plan
from serve_app.dispatcher import LOOKAHEAD
from storage.jobs import Job, JobId, WaitingJob
from storage.rows import job_values
from storage.schema import jobs
from storage.stores import Stores, open_stores

JOBS, CLIENTS, MODELS, FAMILIES = 100_000, 2000, 8, 4
TIMES = 25
SETTINGS = {"type": "image", "width": 1024, "height": 1024, "steps": 28, "guidance": 3.5, "num_images": 1}


def report() -> None:
    print(f"\nA plan while {JOBS} jobs of {CLIENTS} clients and {MODELS} models wait, {TIMES} times:")
    with tempfile.TemporaryDirectory() as folder, open_stores(f"sqlite:///{folder}/jobs.db") as stores:
        _fill(stores)
        for gpus in (1, 8, 64):
            found = stores.jobs.waiting(per_model=LOOKAHEAD + gpus)
            reading = _measured(lambda number=LOOKAHEAD + gpus: stores.jobs.waiting(per_model=number))
            planning = _measured(lambda line=found, number=gpus: _plan(line, number))
            print(
                f"{gpus:3} GPUs, all free: reads {len(found)} jobs in {reading}, plans {gpus} in {planning}"
            )


def _fill(stores: Stores) -> None:
    dice = random.Random(1)
    turns: Counter[str] = Counter()
    rows = []
    for number in range(JOBS):
        client = f"client{int(dice.paretovariate(0.5)) % CLIENTS}"
        turns[client] += 1
        job = Job(
            id=JobId(f"{number:08}"),
            type="image",
            model=f"model{number % MODELS}",
            prompt="a cat",
            settings=SETTINGS,
            seed=number,
            created_at=datetime.now(UTC),
            turn=turns[client],
            position=float(number),
            client=client,
        )
        rows.append(job_values(job))
    assert stores.database is not None
    with stores.database.write() as connection:
        for begin in range(0, JOBS, 5000):
            connection.execute(insert(jobs), rows[begin : begin + 5000])


def _plan(line: tuple[WaitingJob, ...], gpus: int) -> None:
    waiting = [
        Waiting(
            id=job.id,
            model=job.model,
            deployment=f"family{int(job.model[-1]) % FAMILIES}",
            priority=job.priority,
            turn=job.turn,
            position=job.position,
        )
        for job in line
    ]
    deployments = [Deployment(name=f"family{number}", max_replicas=gpus) for number in range(FAMILIES)]
    plan(waiting, deployments, gpus=gpus, max_overtake_s=60)


def _measured(do: Callable[[], object]) -> str:
    """The median by the clock, and of this thread's processor time, which other processes do not stretch."""
    by_clock, on_processor = [], []
    for _ in range(TIMES):
        begin, begin_on = time.perf_counter(), time.thread_time()
        do()
        by_clock.append(time.perf_counter() - begin)
        on_processor.append(time.thread_time() - begin_on)
    return f"{1e3 * median(by_clock):.1f} ms ({1e3 * median(on_processor):.1f} on a processor)"
