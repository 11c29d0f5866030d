"""A server that dies and is started again, always on the same data and the same port."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import psutil

from tests import processes
from tests.chaos.one_process import OneProcess
from tests.servers import Server

#: Starts that may fail: Ray gives up after 30 s on a machine that is too busy.
STARTS = 5


class Startable(Protocol):
    data_dir: Path

    @property
    def pid(self) -> int: ...

    @property
    def log(self) -> str: ...

    def up(self) -> None: ...

    def reap(self) -> None:
        """Wait for the process that was started last; it is dead."""
        ...

    def end(self) -> None: ...


class RealServer(Server):
    """Implements Startable: `cyberimage up`, with all that it starts."""

    @property
    def pid(self) -> int:
        return int(self.info["pid"])

    def reap(self) -> None:
        if self._process is not None:
            self._process.wait()


class Machine:
    """A server's processes, its data, and the power switch."""

    def __init__(self, server: Startable, port: int) -> None:
        self._server = server
        self.url = f"http://127.0.0.1:{port}"
        self.pid = 0

    @classmethod
    def real(cls, folder: Path, **settings: Any) -> Machine:
        port = processes.free_port()
        return cls(RealServer(folder, port=port, **settings), port)

    @classmethod
    def of_one_process(cls, folder: Path) -> Machine:
        port = processes.free_port()
        return cls(OneProcess(folder, port), port)

    @property
    def data_dir(self) -> Path:
        return self._server.data_dir

    @property
    def log(self) -> str:
        return self._server.log

    def up(self) -> None:
        for attempt in range(STARTS):
            try:
                self._server.up()
                break
            except AssertionError:
                self.end()
                if attempt == STARTS - 1:
                    raise
        self.pid = self._server.pid

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.pid).children()

    def processes(self) -> set[psutil.Process]:
        variable = ("CYBERIMAGE_DATA_DIR", str(self.data_dir))
        return {*processes.tree(self.pid), *processes.with_variable(*variable)}

    def kill(self) -> int:
        """Everything at once, as when the power goes. How many processes that were."""
        started = self.processes()
        processes.end(started)
        self._forget()
        return len(started)

    def kill_server(self) -> None:
        """Only the process that a person has started. What may outlive it is the next start's business."""
        serving = processes.titled(self.pid, "ray::ServeReplica")
        psutil.Process(self.pid).kill()
        left = processes.survivors(serving, within=30)
        assert not left, f"outlived the server: {left}"
        self._forget()

    def leave_unfinished_file(self) -> Path:
        """What a process leaves that dies while it writes a file."""
        file = self.data_dir / "media" / f".left.png.{uuid4().hex}.tmp"
        file.write_bytes(b"half a pict")
        return file

    def age(self, by: timedelta) -> None:
        """As if the database and the media had lain there for so long."""
        with closing(sqlite3.connect(self.data_dir / "cyberimage.sqlite3")) as connection, connection:
            ((life,),) = connection.execute("SELECT value FROM state WHERE key = 'life'")
            then = [(datetime.fromisoformat(moment) - by).isoformat() for moment in json.loads(life)]
            connection.execute("UPDATE state SET value = ? WHERE key = 'life'", (json.dumps(then),))
        for file in (self.data_dir / "media").rglob("*"):
            if file.is_file():
                seconds = file.stat().st_mtime - by.total_seconds()
                os.utime(file, (seconds, seconds))

    def end(self) -> None:
        self._server.end()
        self._forget()

    def _forget(self) -> None:
        self._server.reap()
        (self.data_dir / "server.json").unlink(missing_ok=True)
