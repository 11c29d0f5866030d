"""The folders in which Ray keeps a session's logs and sockets. Each start makes one, and Ray removes none."""

from __future__ import annotations

import shutil
from pathlib import Path

#: Sessions of one data directory whose logs are kept: this one and the one before, which may have died.
KEPT = 2


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
