"""`pull`: download weights ahead of the first job."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from configs.models import ModelSpec
from configs.settings import Settings
from serve_app.cli.errors import Interrupted, NothingToDo
from serve_app.cli.options import Models
from serve_app.cli.surroundings import Report, Surroundings, surroundings


def pull(
    context: typer.Context,
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="See `cyberimage doctor`.", show_default=False)
    ],
    models: Models = None,
) -> None:
    """Download the weights of models ahead; goes on where an earlier download stopped."""
    around = surroundings(context)
    settings = around.load_settings(models=models)
    known = around.known_models(settings)
    if unknown := [name for name in names if name not in known]:
        raise NothingToDo(f"unknown model {', '.join(unknown)}", hint=f"known models: {', '.join(known)}")
    for spec in (known[name] for name in dict.fromkeys(names)):
        _pull(spec, settings, around)


def _pull(spec: ModelSpec, settings: Settings, around: Surroundings) -> None:
    state = around.weight_state(spec, settings)
    if state.present and state.certain:
        around.out.print(f"{spec.name} is here already")
        return
    try:
        with _reporting(around.err, spec.name) as report:
            around.fetch(spec, settings, report)
    except KeyboardInterrupt:
        raise Interrupted("interrupted", hint=f"`cyberimage pull {spec.name}` goes on from here") from None
    around.out.print(f"{spec.name} is ready")


@contextmanager
def _reporting(console: Console, name: str) -> Iterator[Report]:
    """A live bar on a terminal, else a line at each new message."""
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[percent]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(f"{name}: asking the Hub", total=None, percent="")

        def report(message: str, fraction: float | None) -> None:
            percent = "" if fraction is None else f"{fraction:.0%}"
            total = None if fraction is None else 1.0
            progress.update(task, description=message, total=total, completed=fraction or 0, percent=percent)

        yield report


class _Lines:
    """One line for each tenth, so that a log stays short."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: int | None = None

    def __call__(self, message: str, fraction: float | None) -> None:
        tenth = -1 if fraction is None else int(fraction * 10)
        if tenth != self._last:
            self._console.print(message)
        self._last = tenth
