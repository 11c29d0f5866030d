"""`adopt`: back into the gallery what the database does not know, whether the server runs or not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from serve_app.cli.errors import CommandError
from serve_app.cli.options import DataDir
from serve_app.cli.render import counted, local_time, one_line
from serve_app.cli.surroundings import Surroundings, surroundings

if TYPE_CHECKING:
    from storage.adoption import Adoption


def adopt(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be taken in.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Take pictures and clips into the gallery that the database has lost, by the settings in the files."""
    from storage import StorageError, open_stores
    from storage.adoption import Adoption
    from storage.files import LocalMediaFiles

    around = surroundings(context)
    settings = around.load_settings(data_dir=data_dir)
    if not settings.media_dir.is_dir():
        raise CommandError(f"there is no folder {settings.media_dir}", hint="give the server's --data-dir")
    try:
        with open_stores(settings.resolved_database_url) as stores:
            adoption = Adoption(stores.jobs, stores.media, LocalMediaFiles(settings.media_dir))
            _adopt(adoption, around, dry_run=dry_run)
    except (StorageError, OSError) as error:
        raise CommandError(str(error)) from error


def _adopt(adoption: Adoption, around: Surroundings, *, dry_run: bool) -> None:
    taken = left = 0
    for found in adoption.find(now=datetime.now(UTC)):
        media = found.media
        if media is None:
            around.out.print(f"{found.file_path}  says nothing of its making")
            left += 1
        elif dry_run or adoption.adopt(media):
            prompt = one_line(media.metadata["prompt"])
            around.out.print(f"{local_time(media.created_at.isoformat())}  {media.file_path}  {prompt}")
            taken += 1
    verb = "would take in" if dry_run else "took in"
    rest = f"; left {left}, such as uploads" if left else ""
    around.out.print(f"{verb} {counted(taken, 'file')}{rest}")
