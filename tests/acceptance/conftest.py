"""The real `cyberimage up` in a process of its own, and what a stranger would make with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from tests import processes
from tests.serving import Api, View

COMMAND = Path(sys.executable).with_name("cyberimage")
#: Of the machine that runs the tests; the server under test must not see them.
FOREIGN = ("CYBERIMAGE_", "RAY_", "MODEL_", "DOWNLOAD_MODEL_")


class Server:
    """One data directory, the commands that are run on it, and the server that runs there now and then."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        folder.mkdir()
        self.folder = folder
        self.data_dir = folder / "data"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN)}
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
        with (self.folder / "up.log").open("wb") as log:
            self._process = subprocess.Popen(
                [COMMAND, "up"],
                env=self._environment,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 180
        while not (self.data_dir / "server.json").exists():
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.1)

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

    def end(self) -> None:
        """Leave nothing behind, whatever the tests did."""
        processes.end(self.processes)
        if self._process is not None:
            self._process.wait()

    def files(self) -> set[str]:
        """What lies in the media folder."""
        media = self.data_dir / "media"
        return {str(file.relative_to(media)) for file in media.rglob("*") if file.is_file()}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the settings of a fresh machine."""
    server = Server(tmp_path_factory.mktemp("server") / "home")
    try:
        server.up()
        yield server
    finally:
        server.end()


@pytest.fixture(scope="session")
def api(server: Server) -> Iterator[Api]:
    with closing(Api(server.url)) as api:
        yield api


@pytest.fixture(scope="session")
def upload(api: Api) -> View:
    """A picture of a person's own, twice as wide as high, left half red and right half blue."""
    picture = Image.new("RGB", (640, 320), (220, 40, 40))
    picture.paste((40, 80, 220), (320, 0, 640, 320))
    file = BytesIO()
    picture.save(file, "JPEG", quality=95)
    return api.upload(file.getvalue())


CLIP = {"num_frames": 9, "fps": 8, "num_inference_steps": 4, "seed": 11}


@pytest.fixture(scope="session")
def made(api: Api, upload: View) -> dict[str, View]:
    """One job of every kind, ended. Submitted together, so that each model is loaded once."""
    jobs = {
        "flux": api.paint(seed=3, num_images=2),
        "sd35": api.paint(model="demo-sd35", seed=4, width=96, height=64, num_inference_steps=6),
        "wan-t2v": api.film(model="demo-wan-t2v", width=96, height=64, **CLIP),
        "ltx-t2v": api.film(model="demo-ltx-t2v", width=64, height=96, **CLIP),
    }
    (painted,) = api.completed(jobs["flux"])
    for family in ("wan", "ltx"):
        model = f"demo-{family}-i2v"
        jobs[f"{family}-i2v"] = api.animate(painted["image_ids"][0], model, **CLIP)
        jobs[f"{family}-i2v of an upload"] = api.animate(upload["id"], model, width=128, height=64, **CLIP)
    return {name: api.end(job_id) for name, job_id in jobs.items()}
