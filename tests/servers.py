"""`cyberimage up` in processes of its own, on a data directory of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from tests import processes
from tests.serving import View

COMMAND = Path(sys.executable).with_name("cyberimage")
#: Of the machine that runs the tests; the server under test must not see them.
FOREIGN = ("CYBERIMAGE_", "RAY_", "MODEL_", "DOWNLOAD_MODEL_")


class Server:
    """One data directory, the commands that are run on it, and the server that runs there now and then."""

    def __init__(self, folder: Path, *, environment: Mapping[str, str] = {}, **settings: Any) -> None:
        folder.mkdir()
        self.folder = folder
        self.data_dir = folder / "data"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN)} | environment
        self._environment = inherited | {f"CYBERIMAGE_{k.upper()}": str(v) for k, v in settings.items()}
        self._environment |= {"CYBERIMAGE_DATA_DIR": str(self.data_dir), "CYBERIMAGE_MODELS": "demo"}
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """One command, to its end, which must come with that exit code."""
        done = subprocess.run(
            [COMMAND, *arguments],
            env=self._environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
        return done

    def up(self) -> None:
        """In the foreground of a process group of its own, until it answers."""
        self.begin()
        assert self._process is not None
        deadline = time.monotonic() + 180
        while not (self.data_dir / "server.json").exists():
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.1)

    def begin(self) -> subprocess.Popen[bytes]:
        """Like `up`, and does not wait."""
        with (self.folder / "up.log").open("wb") as log:
            self._process = subprocess.Popen(
                [COMMAND, "up"],
                env=self._environment,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self._process

    @property
    def log(self) -> str:
        return (self.folder / "up.log").read_text("utf-8", "replace")

    @property
    def info(self) -> View:
        """server.json; without a server, empty."""
        file = self.data_dir / "server.json"
        return json.loads(file.read_text("utf-8")) if file.exists() else {}

    @property
    def url(self) -> str:
        return self.info["url"]

    @property
    def processes(self) -> list[psutil.Process]:
        """The server and all that it started: its descendants, and strays that have its environment."""
        variable = ("CYBERIMAGE_DATA_DIR", str(self.data_dir))
        return [*processes.tree(self.info.get("pid", 0)), *processes.with_variable(*variable)]

    def kill(self) -> None:
        """SIGKILL for the server's process group. Asserts that nothing survives it."""
        started = self.processes
        processes.kill_group(self.info["pid"])
        (self.data_dir / "server.json").unlink()
        assert not processes.survivors(started, within=30)
        if self._process is not None:
            self._process.wait()

    def end(self) -> None:
        """Leave nothing behind, whatever the tests did."""
        processes.end(self.processes)
        if self._process is not None:
            self._process.wait()

    def unfinished_files(self, *, within: float) -> set[str]:
        """Temporary files still there after `within` seconds: thumbnails come after a job's end."""
        deadline = time.monotonic() + within
        while (left := {name for name in self.files() if ".tmp" in name}) and time.monotonic() < deadline:
            time.sleep(0.1)
        return left

    def files(self) -> set[str]:
        """What lies in the media folder."""
        media = self.data_dir / "media"
        return {str(file.relative_to(media)) for file in media.rglob("*") if file.is_file()}
