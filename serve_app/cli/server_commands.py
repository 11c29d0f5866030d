"""`up` and `down`: start and stop the server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from configs.settings import Settings
from configs.variables import given, misspelt
from serve_app.cli.errors import CommandError
from serve_app.cli.options import DataDir, Models
from serve_app.cli.render import print_error
from serve_app.cli.submit import first_picture
from serve_app.cli.surroundings import Surroundings, surroundings

if TYPE_CHECKING:
    from serve_app.server import ServerInfo

DEMO_NOTE = (
    "these are demo models, tiny weights of the real pipelines; for the full-size ones run "
    "`cyberimage up --models full` on a machine with a GPU (`cyberimage doctor` says which fit)"
)
OPEN_NOTE = "no API key is set: whoever can reach this machine can use the server (CYBERIMAGE_API_KEYS)"
DASHBOARD_NOTE = (
    "the Ray dashboard can be reached from other machines (CYBERIMAGE_DASHBOARD_HOST): whoever has its token "
    "can run any code here"
)
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def up(
    context: typer.Context,
    host: Annotated[
        str | None,
        typer.Option("--host", help="Address to listen on.", show_default="CYBERIMAGE_HOST, else 127.0.0.1"),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            min=0,
            max=65535,
            help="0 takes any free one.",
            show_default="CYBERIMAGE_PORT, else 7860 or the next free one",
        ),
    ] = None,
    data_dir: DataDir = None,
    models: Models = None,
    gpus: Annotated[
        int | None,
        typer.Option(
            "--gpus",
            min=1,
            help="How many GPUs to share.",
            show_default="CYBERIMAGE_GPUS, else those present",
        ),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Go on serving in the background.")] = False,
    example: Annotated[
        bool, typer.Option("--example", help="Make a first picture when the server is ready.")
    ] = False,
) -> None:
    """Start the server, on a Ray of its own or on the cluster that RAY_ADDRESS names."""
    around = surroundings(context)
    settings = around.load_settings(host=host, port=port, data_dir=data_dir, models=models, gpus=gpus)
    demo = all(spec.demo for spec in around.load_registry(settings).values())
    server = around.server()
    _refuse_a_second(server.find(settings))

    def ready(info: ServerInfo) -> None:
        _announce(info, settings, around, demo=demo)
        if example:
            _make_example(info, settings, around)

    with _told_plainly():
        if detach:
            ready(server.start_detached(settings))
        else:
            server.run(settings, on_ready=ready)


def down(context: typer.Context, data_dir: DataDir = None) -> None:
    """Stop the server that runs on the data directory. Waiting jobs go on when it is started again."""
    around = surroundings(context)
    settings = around.load_settings(data_dir=data_dir)
    with _told_plainly():
        stopped = around.server().stop(settings)
    around.out.print("stopped" if stopped else f"no server runs on {settings.data_dir}")


@contextmanager
def _told_plainly() -> Iterator[None]:
    from serve_app.server import ServerError

    try:
        yield
    except ServerError as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise CommandError(f"cannot use {error.filename}: {error.strerror}") from error


def _refuse_a_second(running: ServerInfo | None) -> None:
    if running is not None:
        raise CommandError(
            f"a server runs on {running.data_dir} already, at {running.url}",
            hint="stop it with `cyberimage down`, or give another --data-dir",
        )


def _make_example(info: ServerInfo, settings: Settings, around: Surroundings) -> None:
    """The server goes on without its first picture."""
    around.err.print("making a first picture ...")
    try:
        first_picture(around, info.url, settings.own_key, Path(info.data_dir))
    except CommandError as error:
        print_error(error, around.err)


def _announce(info: ServerInfo, settings: Settings, around: Surroundings, *, demo: bool) -> None:
    around.out.print("\n".join(_lines(info)))
    if demo:
        around.out.print(f"note       {DEMO_NOTE}")
    for warning in (*([info.notice] if info.notice else []), *_warnings(settings)):
        around.out.print(f"warning    {warning}", style="yellow")


def _warnings(settings: Settings) -> Iterator[str]:
    if settings.host not in LOOPBACK and settings.own_key is None:
        yield OPEN_NOTE
    if settings.dashboard_host not in LOOPBACK:
        yield DASHBOARD_NOTE
    yield from misspelt(given())


def _lines(info: ServerInfo) -> Iterator[str]:
    yield f"server     {info.url}"
    yield f"docs       {info.docs_url}"
    if info.dashboard_url:
        token = info.dashboard_token_file
        how = f" (asks for a token: paste the content of {token})" if token else ""
        yield f"dashboard  {info.dashboard_url}{how}"
    yield f"data       {info.data_dir}"
