"""What a person sees while a job runs: a live bar on a terminal, else a line at each change of phase."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import assert_never

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from serve_app.cli.job_view import JobView
from serve_app.cli.render import seconds

Watch = Callable[[JobView], None]


def describe(job: JobView) -> str:
    """The job's state in a few words."""
    if job.status == "pending":
        return _waiting(job)
    if job.ended:
        return job.status
    match job.phase:
        case "loading_model":
            return job.message or "loading the model"
        case "generating":
            return "generating"
        case "saving":
            return "saving"
        case "preparing" | None:
            return "preparing"
        case _:
            assert_never(job.phase)


@contextmanager
def watching(console: Console, *, quiet: bool = False) -> Iterator[Watch]:
    """Gives the function to call with each state of the job."""
    if quiet:
        yield lambda job: None
    elif console.is_terminal:
        with _bar(console) as progress:
            yield _Bar(progress)
    else:
        yield _Lines(console)


def _waiting(job: JobView) -> str:
    if job.queue_position is None:
        return "waiting"
    eta = f", about {seconds(job.eta_seconds)} to go" if job.eta_seconds else ""
    return f"waiting, number {job.queue_position} in the queue{eta}"


def _bar(console: Console) -> Progress:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[count]}", markup=False),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console, transient=True)


class _Bar:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID = progress.add_task("submitted", total=None, count="")

    def __call__(self, job: JobView) -> None:
        steps = job.phase in ("generating", "saving") and job.total_steps
        self._progress.update(
            self._task,
            description=describe(job),
            total=job.total_steps if steps else None,
            completed=job.step or 0,
            count=f"{job.step or 0}/{job.total_steps}" if steps else "",
            refresh=True,
        )


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = ""

    def __call__(self, job: JobView) -> None:
        text = describe(job)
        if job.phase == "generating" and job.total_steps:
            text += f", {job.total_steps} steps"
        # A download's percentage would be a line a second: only the words count as a change.
        words = "".join(letter for letter in text if not letter.isdigit())
        if words != self._last and not job.ended:
            self._console.print(text)
        self._last = words
