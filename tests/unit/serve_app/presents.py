"""Queues and GPUs to look ahead from."""

from __future__ import annotations

from typing import Any

from serve_app.arbiter import Deployment, Waiting
from serve_app.forecast import Present, RunningCall
from serve_app.simulation import Replica

MODELS = {"paint": "Flux", "sketch": "SD35", "wan": "I2V", "ltx": "I2V"}


def waiting(job_id: str, model: str = "paint", **changes: Any) -> Waiting:
    values: dict[str, Any] = {
        "id": job_id,
        "model": model,
        "deployment": MODELS[model],
        "position": float(int("".join(filter(str.isdigit, job_id)) or 0)),
        "run_s": 10.0,
        "load_s": 30.0,
        "switch_s": 5.0,
    }
    return Waiting(**(values | changes))


def running(model: str, left_s: float | None = 12.0, job_id: str = "running") -> RunningCall:
    return RunningCall(jobs=(job_id,), deployment=MODELS[model], model=model, left_s=left_s)


def idle(model: str, idle_s: float = 1.0) -> Replica:
    return Replica(deployment=MODELS[model], model=model, idle_s=idle_s)


def present(
    *line: Waiting,
    running: tuple[RunningCall, ...] = (),
    idle: tuple[Replica, ...] = (),
    shares: dict[str, float] | None = None,
    most: int = 4,
    **changes: Any,
) -> Present:
    """One GPU; each deployment may have `most` replicas."""
    values: dict[str, Any] = {
        "line": line,
        "clients": {job.id: None for job in line},
        "unknown": frozenset(),
        "deployments": tuple(
            _deployment(name, running, idle, (shares or {}).get(name, 1.0), most)
            for name in ("Flux", "SD35", "I2V")
        ),
        "running": running,
        "idle": idle,
        "gpus": 1.0,
        "overtaken_s": {},
        "max_overtake_s": 0.0,
        "resting": frozenset(),
        "paused": False,
    }
    return Present(**(values | changes))


def _deployment(
    name: str, running: tuple[RunningCall, ...], idle: tuple[Replica, ...], share: float, most: int
) -> Deployment:
    busy = sum(call.deployment == name for call in running)
    free = [each for each in idle if each.deployment == name]
    return Deployment(
        name=name,
        share=share,
        replicas=busy + len(free),
        running=busy,
        max_replicas=most,
        loaded=tuple(each.model for each in free if each.model is not None),
    )
