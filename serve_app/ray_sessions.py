"""The folders in which Ray keeps a session's logs and sockets. Each start makes one, and Ray removes none."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import psutil

#: Sessions of one data directory whose logs are kept: this one and the one before, which may have died.
KEPT = 2
#: Logs of a session's ended processes that are kept, the newest. Ray leaves six for each replica, which each
#: swap of models starts, and removes none.
KEPT_LOGS = 300


def remember(session: Path, data_dir: Path) -> None:
    """Note the session as the latest of the data directory, and remove its older ones."""
    file = data_dir / "ray_sessions"
    noted = file.read_text("utf-8").splitlines() if file.exists() else []
    sessions = [*(Path(line) for line in noted if Path(line) != session), session]
    for old in sessions[:-KEPT]:
        # Whatever the file says, nothing is removed that is no session of this Ray.
        if old.parent == session.parent and old.name.startswith("session_"):
            shutil.rmtree(old, ignore_errors=True)
    file.write_text("".join(f"{path}\n" for path in sessions[-KEPT:]), "utf-8")


def tidy(session: Path, processes: Iterable[psutil.Process]) -> int:
    """Remove the oldest logs that none of the processes writes (any more), but the newest `KEPT_LOGS`.

    `processes` are all of that Ray's. How many were removed; none where it cannot be seen who writes what.
    """
    try:
        written = _written(processes)
    except psutil.AccessDenied:
        return 0
    ended = [file for file in _files(session / "logs") if file not in written]
    removed = sorted(ended, key=_last_written, reverse=True)[KEPT_LOGS:]
    for file in removed:
        file.unlink(missing_ok=True)
    return len(removed)


def _written(processes: Iterable[psutil.Process]) -> set[Path]:
    """Ray's log monitor reads the logs of others, so being open is not enough."""
    written = set()
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            written |= {Path(file.path) for file in process.open_files() if file.mode != "r"}
    return written


def _files(folder: Path) -> Iterable[Path]:
    return (Path(at, name) for at, _, names in os.walk(folder.resolve()) for name in names)


def _last_written(file: Path) -> float:
    """0 if it is gone meanwhile."""
    try:
        return file.lstat().st_mtime
    except FileNotFoundError:
        return 0.0
