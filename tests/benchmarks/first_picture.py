"""From `git clone` to the first picture, as a stranger meets it: clone, `make run`, wait.

Alone: `python -m tests.benchmarks.first_picture REPOSITORY`.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.figures import Figure, seconds, table
from tests.benchmarks.machine import surroundings
from tests.processes import end, free_port, survivors, tree

HEADING = "From git clone to the first picture"
STOP_TIMEOUT_S = 60.0
PICTURE = re.compile(r"\S+\.png\b")
SERVER = re.compile(r"^server +http", re.MULTILINE)


def measure(repository: str, folder: Path) -> Iterator[Figure]:
    """Clone into `folder`, `make run` there on a free port until a picture's path is printed, and stop.

    Packages come from pip's cache or from the network, as this machine has it. Raises RuntimeError if
    `make run` ends before.
    """
    clone = folder / "clone"
    begun = time.monotonic()
    subprocess.run(["git", "clone", "--quiet", repository, str(clone)], check=True)
    cloned = time.monotonic()
    process = _make_run(clone)
    try:
        moments = _watch(process)
    finally:
        _stop(process)
    yield seconds(HEADING, "in all", [moments["picture"] - begun], f"pip's cache: {_pip_cache()}")
    yield seconds(HEADING, "  git clone", [cloned - begun])
    yield seconds(HEADING, "  install and start", [moments["server"] - cloned])
    yield seconds(HEADING, "  first picture", [moments["picture"] - moments["server"]])


def _make_run(clone: Path) -> subprocess.Popen[str]:
    """`make run` on the Python that runs this, with nothing inherited that would help or hinder it."""
    hidden = ("VIRTUAL_ENV", "PYTHONPATH", "RAY_ADDRESS", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    python = Path(sys.base_prefix, "bin", "python3")
    return subprocess.Popen(
        ["make", "run", f"PYTHON={python}"],
        cwd=clone,
        env=environment | {"CYBERIMAGE_PORT": str(free_port()), "CYBERIMAGE_DATA_DIR": str(clone / "data")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _watch(process: subprocess.Popen[str]) -> dict[str, float]:
    """When the server's address and when a picture's path were printed."""
    moments: dict[str, float] = {}
    printed = ""
    assert process.stdout is not None
    for line in process.stdout:
        printed += line
        if SERVER.match(line):
            moments.setdefault("server", time.monotonic())
        if "server" in moments and PICTURE.search(line):
            return moments | {"picture": time.monotonic()}
    raise RuntimeError(f"`make run` ended without a picture:\n{printed}")


def _stop(process: subprocess.Popen[str]) -> None:
    """Interrupt as a person does, then kill what is left."""
    started = tree(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    end(survivors(started, within=STOP_TIMEOUT_S))
    process.communicate()


def _pip_cache() -> str:
    reply = subprocess.run(
        [sys.executable, "-m", "pip", "cache", "info"], capture_output=True, text=True, check=False
    )
    size = re.search(r"index cache size[^:]*: *(.+)", reply.stdout)
    return size[1] if size else "none"


def main() -> None:
    if len(sys.argv) != 2 or shutil.which("git") is None or shutil.which("make") is None:
        sys.exit("usage: python -m tests.benchmarks.first_picture REPOSITORY (needs git and make)")
    with tempfile.TemporaryDirectory(prefix="cyberimage-clone-") as folder:
        around = surroundings(Path(folder))
        print(table(around, list(measure(sys.argv[1], Path(folder)))))


if __name__ == "__main__":
    main()
