"""The commands, put together."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from importlib import metadata
from typing import Annotated, Any

import typer

from configs.errors import ConfigError
from serve_app.cli.adopt import adopt
from serve_app.cli.cancel import cancel
from serve_app.cli.doctor import doctor
from serve_app.cli.errors import CommandError
from serve_app.cli.listing import jobs, models, status
from serve_app.cli.prune import prune
from serve_app.cli.pull import pull
from serve_app.cli.render import print_error
from serve_app.cli.server_commands import down, up
from serve_app.cli.submit import generate, i2v, t2v
from serve_app.cli.surroundings import surroundings


def reporting(command: Callable[..., None]) -> Callable[..., None]:
    """The command, with what goes wrong in it turned into a message and an exit code."""

    @wraps(command)
    def run(context: typer.Context, **arguments: Any) -> None:
        try:
            command(context, **arguments)
        except (CommandError, ConfigError) as error:
            raise typer.Exit(print_error(error, surroundings(context).err)) from error

    return run


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(metadata.version("cyberimage"))
        raise typer.Exit


app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def cyberimage(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Make pictures and clips from prompts: a server for one GPU or many, and its client."""


for command in (up, down, generate, t2v, i2v, jobs, cancel, models, pull, prune, adopt, status, doctor):
    app.command()(reporting(command))


def main() -> None:
    """The `cyberimage` command."""
    app(prog_name="cyberimage")
