"""Watching a job until it ends."""

from __future__ import annotations

from collections.abc import Callable

from serve_app.cli.client import Client
from serve_app.cli.errors import CommandError, Interrupted, JobEnded, Unreachable
from serve_app.cli.job_view import JobView
from serve_app.cli.surroundings import Surroundings

LONG_POLL_S = 20
#: A server that restarts takes its jobs up again, so a lost connection is no reason to give up at once.
PATIENCE_S = 90.0
PAUSE_S = 0.5


def follow(client: Client, job_id: str, *, watch: Callable[[JobView], None], around: Surroundings) -> JobView:
    """The job once it has ended. `watch` sees every state on the way.

    Raises:
        Unreachable: the server has not answered for PATIENCE_S.
    """
    seen: JobView | None = None
    heard = around.clock()
    while seen is None or not seen.ended:
        try:
            job = client.job(job_id, wait=LONG_POLL_S if seen else 0)
        except Unreachable:
            if around.clock() - heard > PATIENCE_S:
                raise
            around.sleep(PAUSE_S)
            continue
        heard = around.clock()
        if job == seen:
            around.sleep(PAUSE_S)
        watch(job)
        seen = job
    return seen


def completed(job: JobView) -> JobView:
    """The same job. Raises JobEnded, with the server's reason and hint, if it ended otherwise."""
    match job.status:
        case "completed":
            return job
        case "cancelled":
            raise JobEnded(f"job {job.id} was cancelled")
        case _:
            raise JobEnded(job.error or job.message or f"job {job.id} failed", hint=job.hint)


def cancel_after_interrupt(client: Client, job_id: str) -> Interrupted:
    """Ask the server to cancel; what to tell the person."""
    try:
        client.cancel(job_id)
    except CommandError as error:
        return Interrupted(
            f"interrupted, and job {job_id} could not be cancelled: {error}",
            hint=f"try `cyberimage cancel {job_id}`",
        )
    return Interrupted(f"interrupted: the server was asked to cancel job {job_id}")
