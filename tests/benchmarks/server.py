"""A server of the benchmark's own: started, asked, and ended with all that it started."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from tests.processes import end, survivors, tree

START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 60.0
#: Seconds for which the server may hold a status reply; a change of the job ends the wait.
WAIT_S = 20
PROMPT = "a large red circle on a blue background"

View = dict[str, Any]


class Connection:
    """One connection that is kept open, with as little client as possible."""

    def __init__(self, url: str) -> None:
        self._http = http.client.HTTPConnection(urlsplit(url).netloc, timeout=90)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._http.close()

    def get(self, path: str) -> View:
        view: View = json.loads(self.fetch("GET", path))
        return view

    def post(self, path: str, body: object = None) -> View:
        view: View = json.loads(self.fetch("POST", path, body))
        return view

    def fetch(self, method: str, path: str, body: object = None) -> bytes:
        """The reply's content. Raises RuntimeError unless the server said yes."""
        content = None if body is None else json.dumps(body)
        self._http.request(method, path, content, {"Content-Type": "application/json"})
        reply = self._http.getresponse()
        content_of_reply = reply.read()
        if reply.status >= 300:
            raise RuntimeError(f"{method} {path}: {reply.status} {content_of_reply.decode()}")
        return content_of_reply

    def paint(self, model: str, **settings: Any) -> str:
        """Submit a picture; the job's id."""
        body = {"model_id": model, "prompt": PROMPT, "settings": settings}
        return str(self.post("/api/generate", body)["job_id"])

    def watch(self, job_id: str) -> Iterator[View]:
        """What the server says of the job as it changes, its end last. Raises RuntimeError if it failed."""
        while (job := self.get(f"/api/status/{job_id}?wait={WAIT_S}"))["status"] != "completed":
            if job["status"] not in ("pending", "processing"):
                raise RuntimeError(f"job {job_id} ended as {job['status']}: {job['message']}")
            yield job
        yield job

    def completed(self, job_id: str) -> View:
        *_, last = self.watch(job_id)
        return last


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    url: str
    pid: int

    def connect(self) -> Connection:
        return Connection(self.url)


@contextmanager
def serving(data_dir: Path, **settings: object) -> Iterator[Server]:
    """The real server with the demo models, on a Ray of its own; `settings` are fields of Settings."""
    variables = {"data_dir": data_dir, "port": 0, "models": "demo", **settings}
    environment = {f"CYBERIMAGE_{name.upper()}": str(value) for name, value in variables.items()}
    inherited = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "serve_app.server"],
            env=inherited | environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield Server(url=str(_announcement(data_dir, process)["url"]), pid=process.pid)
    finally:
        _stop(process)


def _announcement(data_dir: Path, process: subprocess.Popen[bytes]) -> Mapping[str, Any]:
    """DATA_DIR/server.json, once the server has written it."""
    deadline = time.monotonic() + START_TIMEOUT_S
    file = data_dir / "server.json"
    while not file.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            log = (data_dir / "server.log").read_text(errors="replace")
            raise RuntimeError(f"the server did not start:\n{log}")
        time.sleep(0.05)
    announcement: Mapping[str, Any] = json.loads(file.read_text("utf-8"))
    return announcement


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask, wait, and kill what is left."""
    started = tree(process.pid)
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        started = tree(process.pid)
    end(survivors(started, within=10))
    process.wait()
