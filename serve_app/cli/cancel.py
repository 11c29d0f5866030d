"""`cancel`: end jobs that wait or run."""

from __future__ import annotations

from typing import Annotated

import typer

from serve_app.cli.client import Client
from serve_app.cli.errors import CommandError, NothingToDo, Refused
from serve_app.cli.options import ApiKey, Url
from serve_app.cli.surroundings import Surroundings, surroundings


def cancel(
    context: typer.Context,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID...", help="Jobs to cancel.", show_default=False)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All jobs that wait or run.")] = False,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Cancel jobs that wait or run."""
    around = surroundings(context)
    if bool(ids) == everything:
        raise NothingToDo("say which jobs to cancel", hint="give their ids, or --all")
    with around.connect(url, api_key) as client:
        refused = [job_id for job_id in ids or _all(client, around) if not _cancelled(client, job_id, around)]
    if refused and not everything:
        raise CommandError(f"{len(refused)} of {len(ids or ())} could not be cancelled")


def _all(client: Client, around: Surroundings) -> list[str]:
    """Empty the queue, then name what runs: in the other order a waiting job could slip into its place."""
    reply = client.clear_queue()
    around.out.print(str(reply.get("message") or "the queue is empty"))
    return [str(job["id"]) for job in client.jobs(limit=1000, status="processing")]


def _cancelled(client: Client, job_id: str, around: Surroundings) -> bool:
    try:
        around.out.print(f"{job_id}: {client.cancel(job_id)}")
    except Refused as error:
        around.err.print(f"{job_id}: {error}")
        return False
    return True
