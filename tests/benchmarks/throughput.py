"""Submits and status reads a second, over HTTP and from the store alone."""

from __future__ import annotations

import itertools
import json
import random
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from configs.settings import load_settings
from storage import JobStore, open_stores
from storage.jobs import Job, JobId
from tests.benchmarks.figures import Figure
from tests.benchmarks.load import Requests, rate_of_calls, rate_over_http
from tests.benchmarks.server import PROMPT, Server, serving

CLIENTS = (1, 8, 32)
#: Waiting jobs in the table while status is read.
JOBS = 10_000
#: Each rate is measured so often.
ROUNDS = 3
MAX_PENDING = 1_000_000

OVER_HTTP = "Rates over HTTP"
STORE_ALONE = "Rates of the store alone"
SUBMITS = "on the disk before each reply; nothing runs; clients on the same machine"
READS = f"{JOBS:,} jobs wait; a random one, with its position"


def measure(folder: Path, seconds: float) -> Iterator[Figure]:
    """Over HTTP and from the store alone, on tables that are filled in the same way."""
    ids = _fill(folder / "served")
    with serving(folder / "served", max_pending=MAX_PENDING) as server:
        yield from _over_http(server, ids, seconds)
    ids = _fill(folder / "alone")
    with open_stores(_url(folder / "alone")) as stores:
        yield from _alone(stores.jobs, ids, seconds)


def _over_http(server: Server, ids: Sequence[JobId], seconds: float) -> Iterator[Figure]:
    for name, requests, note in (("reads", _reads(ids), READS), ("submits", _submits(), SUBMITS)):
        for clients in CLIENTS:
            rates = [
                rate_over_http(server.url, requests, clients=clients, seconds=seconds) for _ in range(ROUNDS)
            ]
            yield _figure(OVER_HTTP, name, clients, rates, note)


def _alone(jobs: JobStore, ids: Sequence[JobId], seconds: float) -> Iterator[Figure]:
    def read() -> None:
        job = jobs.get(random.choice(ids))
        assert job is not None
        jobs.queue_position(job)

    def submit() -> None:
        jobs.add(_job(), max_pending=MAX_PENDING)

    for name, call, note in (("reads", read, READS), ("submits", submit, "threads of one process")):
        for clients in CLIENTS:
            rates = [rate_of_calls(call, clients=clients, seconds=seconds) for _ in range(ROUNDS)]
            yield _figure(STORE_ALONE, name, clients, rates, note)


def _figure(heading: str, name: str, clients: int, rates: Sequence[float], note: str) -> Figure:
    label = f"{name}, {clients} client{'s' if clients > 1 else ''}"
    return Figure(heading=heading, name=label, unit="/s", samples=tuple(rates), note=note)


def _reads(ids: Sequence[JobId]) -> Requests:
    while True:
        yield f"GET /api/status/{random.choice(ids)} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()


def _submits() -> Requests:
    body = json.dumps({"model_id": "demo-flux", "prompt": PROMPT, "settings": {}})
    head = f"Host: bench\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return itertools.repeat(f"POST /api/generate HTTP/1.1\r\n{head}\r\n\r\n{body}".encode())


def _fill(data_dir: Path) -> list[JobId]:
    """A data directory with JOBS waiting jobs and a paused queue; the jobs' ids."""
    with open_stores(_url(data_dir)) as stores, ThreadPoolExecutor(32) as threads:
        stores.jobs.set_paused(True)
        added = threads.map(lambda _: stores.jobs.add(_job(), max_pending=MAX_PENDING), range(JOBS))
        return [job.id for job in added]


def _url(data_dir: Path) -> str:
    return load_settings(data_dir=data_dir).resolved_database_url


def _job() -> Job:
    settings = {"type": "image", "width": 64, "height": 64, "num_inference_steps": 12, "guidance_scale": 3.5}
    return Job(
        id=JobId(str(uuid.uuid4())),
        type="image",
        model="demo-flux",
        prompt=PROMPT,
        settings=settings | {"num_images": 1, "seed": 1},
        seed=1,
        created_at=datetime.now(UTC),
        client="bench",
    )
