"""Why a replica died, as Ray tells it."""

from __future__ import annotations

import asyncio
import time

from ray._private import state
from ray.exceptions import OutOfMemoryError, RayActorError

#: Seconds within which Ray notes the end of a process, and between two looks at what it has noted.
NOTED_WITHIN_S = 1.0
LOOK_S = 0.05
#: Seconds after which Ray, which may be ending itself, is asked no longer.
ANSWER_S = 2.0

SHORT_OF_MEMORY = "Ray ended its replica because the machine was short of memory"
GONE = "its replica is gone"


async def how_it_died(error: Exception) -> str:
    """Of the replica whose call broke off with this error."""
    if isinstance(error, OutOfMemoryError):
        return SHORT_OF_MEMORY
    actor_id = error.actor_id if isinstance(error, RayActorError) else None
    if actor_id is None:
        return GONE
    try:
        async with asyncio.timeout(ANSWER_S):
            ended_by_ray = await asyncio.to_thread(_was_short_of_memory, actor_id)
    except TimeoutError:
        return GONE
    return SHORT_OF_MEMORY if ended_by_ray else GONE


def _was_short_of_memory(actor_id: str) -> bool:
    """What Ray's table of actors has as the cause of death.

    Serve's calls between replicas go over gRPC, where a death is but a broken connection. `ray.util.state`
    would read the same table by way of the dashboard, which may be away (Ray 2.60).
    """
    deadline = time.monotonic() + NOTED_WITHIN_S
    while (actor := state.actors(actor_id=actor_id)).get("State") != "DEAD":
        if not actor or time.monotonic() > deadline:
            return False
        time.sleep(LOOK_S)
    return bool(actor["DeathCause"].HasField("oom_context"))
