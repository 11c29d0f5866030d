"""How much longer a picture takes through the server than from the pipeline alone, with everything warm."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psutil
from PIL import Image

from configs.models import LocalSource, ModelSpec
from configs.registry import load_registry
from configs.settings import load_settings
from tests.benchmarks.figures import Figure, milliseconds
from tests.benchmarks.server import PROMPT, Connection, Server, View
from tests.processes import replicas

HEADING = "Added time, demo-flux"
MODEL = "demo-flux"
#: What Ray gives a replica that asks for one CPU.
THREADS = 1
WARM_UP = 5
#: Seconds of rest before each call, so that neither pays for what the other left to do.
REST_S = 0.3


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One picture through the server, and the same picture from the pipeline alone. Seconds."""

    submitted: float
    replied: float
    seen: float
    bare: float
    job: View

    @property
    def service(self) -> float:
        return self.seen - self.submitted

    @property
    def pipeline(self) -> float:
        """Of the call in the server's replica, without the text encoders."""
        return float(self.job["images"][0]["metadata"]["generation_time"])

    def moment(self, name: str) -> float:
        return datetime.fromisoformat(self.job[name]).timestamp()


def measure(server: Server, count: int) -> list[Figure]:
    """Pictures through the server and from the pipeline, in turn. Raises RuntimeError if pixels differ."""
    with server.connect() as connection:
        connection.completed(connection.paint(MODEL, seed=0))
    (replica,) = replicas(server.pid, "Flux")
    with server.connect() as connection, bare_pipeline(int(replica.nice())) as pipeline:
        samples = [_sample(connection, pipeline, seed) for seed in range(WARM_UP + count)]
    return list(_figures(samples[WARM_UP:]))


def _figures(samples: list[Sample]) -> Iterator[Figure]:
    yield milliseconds(
        HEADING, "through the server", (s.service for s in samples), "POST until the client has `completed`"
    )
    yield milliseconds(
        HEADING,
        "pipeline alone",
        (s.bare for s in samples),
        f"pipe(...): prompt to PIL picture, own process, {THREADS} thread",
    )
    yield milliseconds(
        HEADING, "added", (s.service - s.bare for s in samples), "pairs; the aim is 30; same pixels"
    )
    ratios = tuple(s.service / s.bare for s in samples)
    yield Figure(heading=HEADING, name="ratio", unit="x", samples=ratios)
    yield from _parts(samples)


def _parts(samples: list[Sample]) -> Iterator[Figure]:
    """Where the time through the server goes, by the times in the job's row."""
    created = [s.moment("created_at") for s in samples]
    started = [s.moment("started_at") for s in samples]
    done = [s.moment("completed_at") for s in samples]
    pairs = list(zip(samples, created, started, done, strict=True))
    yield milliseconds(
        HEADING, "  to the ingress", (c - s.submitted for s, c, _, _ in pairs), "proxy, checks"
    )
    yield milliseconds(HEADING, "  to the claim", (b - c for _, c, b, _ in pairs), "commit, wake, plan")
    yield milliseconds(HEADING, "  pipe(...) there", (s.pipeline for s in samples), "without text encoders")
    yield milliseconds(
        HEADING,
        "  around pipe(...)",
        (d - b - s.pipeline for s, _, b, d in pairs),
        "claim, call, text encoders, PNG, return, file",
    )
    yield milliseconds(
        HEADING, "  to the client", (s.seen - d for s, _, _, d in pairs), "commit, news, reply"
    )
    yield milliseconds(HEADING, "  POST alone", (s.replied - s.submitted for s in samples), "in the above")


def _sample(connection: Connection, pipeline: Pipeline, seed: int) -> Sample:
    time.sleep(REST_S)
    submitted = time.time()
    job_id = connection.paint(MODEL, seed=seed)
    replied = time.time()
    job = connection.completed(job_id)
    seen = time.time()
    time.sleep(REST_S)
    bare = pipeline.call(job["settings"], seed)
    if bare["pixels"] != [_pixels(connection, job)]:
        raise RuntimeError(f"seed {seed}: the server and the pipeline painted different pixels")
    return Sample(submitted=submitted, replied=replied, seen=seen, bare=bare["seconds"], job=job)


def _pixels(connection: Connection, job: View) -> str:
    with Image.open(io.BytesIO(connection.fetch("GET", job["images"][0]["url"]))) as picture:
        return hashlib.sha256(picture.tobytes()).hexdigest()


class Pipeline:
    """The process of bare_call.py."""

    def __init__(self, process: subprocess.Popen[str], spec: ModelSpec) -> None:
        self._process = process
        self._spec = spec

    def call(self, settings: View, *seeds: int) -> dict[str, Any]:
        """Seconds, and a hash of the pixels for each seed, of one call with a job's settings."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {"arguments": self._arguments(settings), "seeds": seeds}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def _arguments(self, settings: View) -> dict[str, Any]:
        names = ("width", "height", "num_inference_steps", "guidance_scale", "max_sequence_length")
        prompts = {"prompt": PROMPT, "negative_prompt": ""}
        return {**self._spec.pipeline_arguments, **prompts, **{name: settings[name] for name in names}}


@contextmanager
def bare_pipeline(niceness: int) -> Iterator[Pipeline]:
    """At the replica's niceness (Ray sets one), so that a busy machine slows both alike."""
    spec = load_registry(load_settings(models="demo"))[MODEL]
    assert isinstance(spec.source, LocalSource)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.bare_call", spec.source.path, str(THREADS)],
        env=os.environ | {"OMP_NUM_THREADS": str(THREADS)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # As the server has one: Linux shares the processors between sessions first.
        start_new_session=True,
    )
    psutil.Process(process.pid).nice(niceness)
    try:
        yield Pipeline(process, spec)
    finally:
        process.kill()
        process.communicate()
