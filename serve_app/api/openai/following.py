"""Waiting for jobs without keeping anyone else from anything."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from starlette.requests import Request

from serve_app.api.endings import RECHECK_S
from serve_app.api.openai.errors import gone
from serve_app.api.services import Services
from storage.jobs import Job, JobId


async def follow(services: Services, job_ids: Sequence[JobId]) -> AsyncGenerator[tuple[Job, ...], None]:
    """The jobs as they are now, and again with every change or second, until all have ended.

    Raises NotFound when one is deleted.
    """
    with services.news.subscribe(set(job_ids)) as subscription:
        jobs = await _read(services, job_ids)
        yield jobs
        while not all(job.status.ended for job in jobs):
            await subscription.next(RECHECK_S)
            jobs = await _read(services, job_ids)
            yield jobs


async def wait(services: Services, request: Request, job_ids: Sequence[JobId]) -> tuple[Job, ...] | None:
    """The jobs when they have ended; None if the client has gone before. The jobs go on, then."""
    async with aclosing(follow(services, job_ids)) as states:
        async for jobs in states:
            if all(job.status.ended for job in jobs):
                return jobs
            if await request.is_disconnected():
                return None
    return None


async def _read(services: Services, job_ids: Sequence[JobId]) -> tuple[Job, ...]:
    jobs = []
    for job_id in job_ids:
        job = await services.blocking(services.jobs.get, job_id)
        if job is None:
            raise gone(job_id)
        jobs.append(job)
    return tuple(jobs)
