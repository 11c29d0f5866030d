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
    from configs.settings import Settings
    from storage.adoption import Adoption

UNSEEN_NOTE = (
    "with several API keys each sees its own alone, and what is taken in is nobody's: set a key in "
    "CYBERIMAGE_ADMIN_KEYS to see it"
)


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
            served = around.server().find(settings) is not None
            taken = _adopt(adoption, around, dry_run=dry_run, served=served)
            running_since = stores.jobs.processing_since()
            if running_since is not None:
                since = local_time(running_since.isoformat())
                note = f"note: files written since {since} are left: processing jobs may have made them"
                around.err.print(note, style="yellow")
            elif not (dry_run or served):
                stores.media.set_life(None)  # What is left is not for the next start to sweep.
    except (StorageError, OSError) as error:
        raise CommandError(str(error)) from error
    if taken and _nobody_sees_all(settings):
        around.err.print(f"warning: {UNSEEN_NOTE}", style="yellow")


def _nobody_sees_all(settings: Settings) -> bool:
    """A sole API key is the admin's, too."""
    return len(settings.api_keys) > 1 and not settings.admin_keys


def _adopt(adoption: Adoption, around: Surroundings, *, dry_run: bool, served: bool) -> int:
    """Print a line for each file; how many are taken in."""
    taken = left = 0
    for found in adoption.find(now=datetime.now(UTC), served=served):
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
    return taken
