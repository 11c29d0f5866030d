"""Waiting for a job's end, for APIs that answer with what was made."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from serve_app.api.callers import Caller
from serve_app.api.job_access import find_job
from serve_app.api.services import Services
from storage.jobs import Job

#: While waiting for a change, the row is read this often even without news of it.
RECHECK_S = 1.0


async def ended(services: Services, caller: Caller, job_id: str, *, within_s: float | None = None) -> Job:
    """The job once it has ended, or as it is after `within_s` seconds.

    Raises NotFound: the caller may see no such job, or it was deleted meanwhile.
    """
    async with aclosing(states(services, caller, job_id, within_s=within_s)) as seen:
        async for job in seen:
            latest = job
    return latest


async def states(
    services: Services, caller: Caller, job_id: str, *, within_s: float | None = None
) -> AsyncGenerator[Job, None]:
    """The job as it is, and again whenever it has changed, until it has ended or the time is over.

    Raises as `ended` does.
    """
    deadline = None if within_s is None else time.monotonic() + within_s
    with services.news.subscribe({job_id}) as subscription:
        job = await find_job(services, caller, job_id)
        yield job
        while not job.status.ended:
            left = RECHECK_S if deadline is None else min(RECHECK_S, deadline - time.monotonic())
            if left <= 0:
                return
            await subscription.next(left)
            latest = await find_job(services, caller, job_id)
            if latest != job:
                yield (job := latest)
