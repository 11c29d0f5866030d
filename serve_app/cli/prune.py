"""`prune`: remove old media and jobs, whether the server runs or not."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from configs.settings import MOST_DAYS, MOST_GIGABYTES
from serve_app.cli.errors import CommandError, NothingToDo
from serve_app.cli.options import DataDir
from serve_app.cli.render import counted, local_time, megabytes, one_line
from serve_app.cli.surroundings import Surroundings, surroundings

if TYPE_CHECKING:
    from storage.retention import Limits, Removal, Retention


def prune(
    context: typer.Context,
    older_than: Annotated[
        float | None,
        typer.Option(
            "--older-than",
            metavar="DAYS",
            min=0,
            max=MOST_DAYS,
            help="Remove what is older.",
            show_default="CYBERIMAGE_KEEP_DAYS",
        ),
    ] = None,
    max_gb: Annotated[
        float | None,
        typer.Option(
            "--max-gb",
            metavar="N",
            min=0,
            max=MOST_GIGABYTES,
            help="Remove the oldest until the rest takes no more.",
            show_default="CYBERIMAGE_MAX_MEDIA_GB",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and keep it.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Remove old pictures, clips and ended jobs. Favourites stay, and what waiting jobs are to animate."""
    from serve_app.upkeep import limits
    from storage import StorageError, open_stores
    from storage.database import file_of
    from storage.files import LocalMediaFiles
    from storage.retention import Retention

    around = surroundings(context)
    settings = around.load_settings(data_dir=data_dir)
    chosen = limits(
        days=settings.keep_days if older_than is None else older_than,
        gigabytes=settings.max_media_gb if max_gb is None else max_gb,
    )
    if not chosen.any:
        raise NothingToDo("say what may stay", hint="give --older-than DAYS or --max-gb N")
    try:
        file = file_of(settings.resolved_database_url)
        if file is not None and not file.exists():
            raise NothingToDo(f"there is no database at {file}", hint="give the server's --data-dir")
        with open_stores(settings.resolved_database_url) as stores:
            retention = Retention(stores.jobs, stores.media, LocalMediaFiles(settings.media_dir))
            _prune(retention, chosen, around, dry_run=dry_run)
    except (StorageError, OSError) as error:
        raise CommandError(str(error)) from error


def _prune(retention: Retention, limits: Limits, around: Surroundings, *, dry_run: bool) -> None:
    now = datetime.now(UTC)
    going = retention.excess(limits, now=now) if dry_run else retention.remove(limits, now=now)
    number, size = _tell(going, around)
    if dry_run:
        around.out.print(f"would remove {counted(number, 'file')} and free {megabytes(size)}")
        return
    jobs = retention.forget_jobs(limits, now=now)
    ended = f" and {counted(jobs, 'ended job')}" if jobs else ""
    around.out.print(f"removed {counted(number, 'file')}{ended}; {megabytes(size)} are free again")


def _tell(going: Iterable[Removal], around: Surroundings) -> tuple[int, int]:
    """Print a line for each; how many there are, and their bytes."""
    number = size = 0
    for removal in going:
        media = removal.media
        made = local_time(media.created_at.isoformat())
        prompt = one_line(str(media.metadata.get("prompt", "an upload")))
        around.out.print(f"{made}  {megabytes(removal.size):>9}  {media.file_path}  {prompt}")
        number, size = number + 1, size + removal.size
    return number, size
