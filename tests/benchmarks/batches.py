"""Many small pictures, several to a call and one by one: through the server, and by the pipeline alone."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import mean

from tests.benchmarks.added_time import MODEL, Pipeline, bare_pipeline
from tests.benchmarks.figures import Figure
from tests.benchmarks.server import Server, View, serving

JOBS = 64
ROUNDS = 3
#: Pictures a round of the pipeline alone, which are enough for its rate.
ALONE = 16
#: Of the model registry, for pictures of this size.
BATCH = 8
HEADING = f"Batches, {JOBS} jobs of a picture of 64x64, {MODEL}"


def measure(folder: Path) -> Iterator[Figure]:
    """Two servers that differ in `batching` alone, and the pipeline, in turn."""
    with ExitStack() as stack:
        together = stack.enter_context(serving(folder / "together", keep_warm_s=3600))
        in_turn = stack.enter_context(serving(folder / "in-turn", keep_warm_s=3600, batching=False))
        pipeline = stack.enter_context(bare_pipeline(niceness=0))
        settings = _run(together, 2 * BATCH)[0]["settings"]
        _run(in_turn, 2)
        _alone(pipeline, settings, BATCH)
        jobs = [(_timed(together), _timed(in_turn)) for _ in range(ROUNDS)]
        calls = [(_alone(pipeline, settings, BATCH), _alone(pipeline, settings, 1)) for _ in range(ROUNDS)]
    batched, single = zip(*jobs, strict=True)
    sizes = [mean(job["batch_size"] for job in done) for _, done in batched]
    yield _figure(
        "through the server, batched", "/s", [JOBS / s for s, _ in batched], "first POST to last end"
    )
    yield _figure("through the server, one by one", "/s", [JOBS / s for s, _ in single], "batching: false")
    yield _figure("  ratio", "x", [one / many for (many, _), (one, _) in jobs], "pairs")
    yield _figure("  jobs to a call", "", sizes, "as a job sees it; those that came first ran at once")
    yield _figure("pipeline alone, batched", "/s", [ALONE / many for many, _ in calls], f"{BATCH} to a call")
    yield _figure("pipeline alone, one by one", "/s", [ALONE / one for _, one in calls])
    yield _figure("  ratio", "x", [one / many for many, one in calls], "pairs")


def _figure(name: str, unit: str, samples: Sequence[float], note: str = "") -> Figure:
    return Figure(heading=HEADING, name=name, unit=unit, samples=tuple(samples), note=note)


def _timed(server: Server) -> tuple[float, list[View]]:
    """Seconds from the first submit until all have ended, and the jobs."""
    started = time.perf_counter()
    jobs = _run(server, JOBS)
    return time.perf_counter() - started, jobs


def _run(server: Server, count: int) -> list[View]:
    with server.connect() as connection:
        submitted = [connection.paint(MODEL, seed=seed) for seed in range(count)]
        return [connection.completed(job_id) for job_id in submitted]


def _alone(pipeline: Pipeline, settings: View, batch: int) -> float:
    """Seconds for ALONE pictures, `batch` to a call."""
    seeds = range(ALONE)
    calls = [pipeline.call(settings, *seeds[first : first + batch]) for first in seeds[::batch]]
    return sum(float(call["seconds"]) for call in calls)
