"""The autoscaling policy of serve_config.yaml: replicas for the demand, and warm ones while there is room.

Runs in Ray's controller about ten times a second, so it is quick and needs little of ours.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from serve_app.gpus import Gpus
from serve_app.logs import join_serve_log

log = logging.getLogger("cyberimage.policy")

#: How long a reading of the cluster's GPUs holds, in seconds.
CAPACITY_TTL_S = 5.0
#: Seconds within which a replica comes up that has room. Ray's GPUs can have holes that `Gpus` has not: after
#: this, where there are fractions, idle replicas go that may be in its way.
UP_WITHIN_S = 20.0
#: Name of the custom metric by which a replica asks to be unloaded at once.
UNLOAD_METRIC = "cyberimage_unload"


class Context(Protocol):
    """The part of ray.serve's AutoscalingContext that is read here."""

    deployment_name: str
    current_num_replicas: int
    target_num_replicas: int
    capacity_adjusted_max_replicas: int

    @property
    def total_num_requests(self) -> float: ...

    @property
    def aggregated_metrics(self) -> Mapping[str, Mapping[Any, float]] | None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """One deployment as the policy sees it. `idle_s` counts from its last request."""

    name: str
    share: float
    demand: int
    target: int
    idle_s: float
    unload: bool = False

    @property
    def is_short(self) -> bool:
        """Whether replicas that are wanted are not up."""
        return self.target < self.demand


def allot(loads: list[Load], *, gpus: float, keep_warm_s: float) -> dict[str, int]:
    """Replicas for each deployment.

    Demand comes first. What it leaves free is kept by idle replicas, the latest used first, for
    `keep_warm_s` seconds. Demand is never cut here: the dispatcher admits no more than fits.
    """
    replicas = {load.name: load.demand for load in loads}
    free = Gpus(gpus)
    free.pack((load.share, load.demand) for load in loads)
    for load in sorted(loads, key=lambda load: (load.idle_s, load.name)):
        if load.unload or load.idle_s >= keep_warm_s:
            continue
        for _ in range(load.demand, load.target):
            if free.fits(load.share):
                free.take(load.share)
                replicas[load.name] += 1
    return replicas


class SharedGpuPolicy:
    """Every family from zero, and back to zero when idle or when another family needs its GPU."""

    def __init__(
        self,
        *,
        keep_warm_s: float = 300.0,
        shares: Mapping[str, float] | None = None,
        gpus: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`shares` are GPUs per replica by deployment, 1 if not given; `gpus` defaults to the cluster's."""
        self._keep_warm_s = keep_warm_s
        self._shares = dict(shares or {})
        self._gpus = gpus
        self._clock = clock
        self._last_used: dict[str, float] = {}
        self._short_since: float | None = None
        self._capacity = (0.0, -math.inf)
        self._told: dict[str, int] = {}
        join_serve_log()

    def __call__(self, contexts: Mapping[Any, Context]) -> tuple[dict[Any, int], dict[Any, dict[str, Any]]]:
        now = self._clock()
        loads = [self._load(context, now) for context in contexts.values()]
        keep_warm_s = 0.0 if self._may_be_blocked(loads, now) else self._keep_warm_s
        replicas = allot(loads, gpus=self._cluster_gpus(now), keep_warm_s=keep_warm_s)
        if replicas != self._told:
            log.info("replicas: %s", ", ".join(f"{name} {count}" for name, count in replicas.items()))
            self._told = replicas
        return {key: replicas[context.deployment_name] for key, context in contexts.items()}, {}

    def _load(self, context: Context, now: float) -> Load:
        name = context.deployment_name
        demand = min(math.ceil(context.total_num_requests), context.capacity_adjusted_max_replicas)
        if demand > 0 or name not in self._last_used:
            self._last_used[name] = now
        asked = (context.aggregated_metrics or {}).get(UNLOAD_METRIC, {})
        return Load(
            name=name,
            share=self._shares.get(name, 1.0),
            demand=demand,
            # One that does not come up is not kept: only then does Ray Serve try again from the beginning.
            target=min(context.target_num_replicas, context.current_num_replicas),
            idle_s=now - self._last_used[name],
            unload=demand == 0 and any(value > 0 for value in asked.values()),
        )

    def _may_be_blocked(self, loads: list[Load], now: float) -> bool:
        """Whether idle fractions of GPUs may keep a replica from coming up."""
        if not any(load.is_short for load in loads):
            self._short_since = None
        elif self._short_since is None:
            self._short_since = now
        fractions = any(0 < load.share < 1 for load in loads)
        return fractions and self._short_since is not None and now - self._short_since >= UP_WITHIN_S

    def _cluster_gpus(self, now: float) -> float:
        if self._gpus is not None:
            return self._gpus
        gpus, read_at = self._capacity
        if now - read_at > CAPACITY_TTL_S:
            import ray

            gpus = float(ray.cluster_resources().get("GPU", 0))
            self._capacity = (gpus, now)
        return gpus
