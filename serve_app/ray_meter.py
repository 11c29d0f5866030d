"""Figures about jobs among Ray's own metrics, by model and family."""

from __future__ import annotations

from collections.abc import Mapping

from ray.util.metrics import Counter, Gauge, Histogram

from configs.models import ModelSpec
from serve_app.meter import RunEnd
from storage.jobs import Warmth

TAGS = ("model", "family")
#: Upper bounds in seconds: from a demo picture to a long clip, and to a night's queue.
BOUNDS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 3600, 4 * 3600, 24 * 3600]


class RayMeter:
    """Implements Meter. Ray's agent on each node serves the figures to Prometheus, prefixed with `ray_`."""

    def __init__(self) -> None:
        self._jobs = Counter(
            "cyberimage_jobs_ended",
            description="Jobs that have begun to run, by the state in which they ended.",
            tag_keys=(*TAGS, "status"),
        )
        self._swaps = Counter(
            "cyberimage_swaps",
            description="Completed jobs for which another family had to leave.",
            tag_keys=TAGS,
        )
        self._waiting = Gauge("cyberimage_waiting_jobs", description="Jobs that wait.", tag_keys=TAGS)
        self._wait_s = _seconds("wait", "From submit to start.", TAGS)
        load = "From start to the first step of a completed job, less a download."
        self._load_s = _seconds("load", load, (*TAGS, "warmth"))
        self._run_s = _seconds("run", "From the first step to the end of a completed job.", TAGS)

    def ended(self, end: RunEnd) -> None:
        tags = _tags(end.model)
        self._jobs.inc(tags=tags | {"status": end.status.value})
        self._wait_s.observe(end.wait_s, tags=tags)
        if end.run_s is not None:
            self._run_s.observe(end.run_s, tags=tags)
        if end.load_s is not None and end.warmth is not None:
            self._load_s.observe(end.load_s, tags=tags | {"warmth": end.warmth.value})
        if end.warmth is Warmth.SWAP:
            self._swaps.inc(tags=tags)

    def waiting(self, numbers: Mapping[str, int], registry: Mapping[str, ModelSpec]) -> None:
        for name, spec in registry.items():
            self._waiting.set(numbers.get(name, 0), tags=_tags(spec))


def _seconds(name: str, description: str, tags: tuple[str, ...]) -> Histogram:
    return Histogram(f"cyberimage_{name}_seconds", description=description, boundaries=BOUNDS, tag_keys=tags)


def _tags(model: ModelSpec) -> dict[str, str]:
    return {"model": model.name, "family": model.family}
