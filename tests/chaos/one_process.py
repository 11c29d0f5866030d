"""A server without Ray, all in one process, whose families draw circles: quick to start and to kill.

python -m tests.chaos.one_process FOLDER PORT
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import httpx
import uvicorn

from configs.registry import load_registry
from configs.settings import Settings
from serve_app.api import create_app
from storage import open_stores
from tests import processes
from tests.unit.serve_app.in_process import Workshop, open_workshop

#: Seconds for a step: a job takes from 0.1 s to 1 s.
STEP_S = 0.02
FORGET_S = 5.0


class OneProcess:
    """Starts and ends such a server, as `tests.servers.Server` does with the real one."""

    def __init__(self, folder: Path, port: int) -> None:
        folder.mkdir()
        self.data_dir = folder / "data"
        self._port = port
        self._log = folder / "up.log"
        self._process: subprocess.Popen[bytes] | None = None

    def up(self) -> None:
        self.data_dir.mkdir(exist_ok=True)
        command = [sys.executable, "-m", __name__, str(self.data_dir), str(self._port)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    @property
    def log(self) -> str:
        return self._log.read_text("utf-8", "replace")

    def reap(self) -> None:
        if self._process is not None:
            self._process.wait()

    def end(self) -> None:
        processes.end(processes.tree(self.pid) if self.pid else ())
        self.reap()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self._port}/health", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False


async def serve(data_dir: Path, port: int) -> None:
    settings = Settings(_env_file=None, models="demo", data_dir=data_dir)
    with (
        open_stores(settings.resolved_database_url) as stores,
        open_workshop(stores, data_dir, registry=load_registry(settings), gate=_step) as workshop,
    ):
        dispatcher = workshop.dispatcher(owner=str(uuid.uuid4()))
        app = create_app(workshop.services(dispatcher, settings))
        server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
        loop = asyncio.create_task(dispatcher.run())
        forgetting = asyncio.create_task(_forget_calls(workshop))
        await server.serve()
        loop.cancel()
        forgetting.cancel()


async def _forget_calls(workshop: Workshop) -> None:
    """The families remember what they were asked, for tests: a server would grow by that."""
    while True:
        await asyncio.sleep(FORGET_S)
        for family in workshop.families.values():
            family.calls.clear()


async def _step(done: int) -> None:
    """Stands where tests have their gate."""
    await asyncio.sleep(STEP_S)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
