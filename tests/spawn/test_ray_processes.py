"""Ray's processes as the server sees them, played by others of the same names."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from serve_app.ray_processes import RayProcesses, end_leftovers, is_running


@pytest.fixture
def core(tmp_path: Path) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """A store and a raylet, started here."""
    started = {}
    for name in ("gcs_server", "raylet"):
        shutil.copy(shutil.which("sleep") or "", tmp_path / name)
        started[name] = subprocess.Popen([tmp_path / name, "600"])
    yield started
    for process in started.values():
        process.kill()
        process.wait()


def stray(raylet: int, **variables: str) -> psutil.Process:
    """A worker of that raylet, whose parent has gone."""
    command = ["/bin/sh", "-c", "sleep 600 >/dev/null & echo $!"]
    environment = os.environ | {"RAY_RAYLET_PID": str(raylet)} | variables
    told = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, timeout=10)
    return psutil.Process(int(told.stdout))


@pytest.mark.parametrize("name", ["gcs_server", "raylet"])
def test_ray_is_dead_when_one_of_its_core_processes_is(core: dict[str, subprocess.Popen[bytes]], name: str):
    ray = RayProcesses()
    assert ray.alive
    core[name].kill()
    core[name].wait()
    assert not ray.alive


def test_ending_ends_workers_that_a_dead_raylet_has_left(core: dict[str, subprocess.Popen[bytes]]):
    ray = RayProcesses()
    worker, store = stray(core["raylet"].pid), psutil.Process(core["gcs_server"].pid)
    core["raylet"].kill()
    core["raylet"].wait()
    ray.end()
    assert not is_running([worker, store])


def test_ending_spares_the_workers_of_another_raylet(core: dict[str, subprocess.Popen[bytes]]):
    other = stray(raylet=1)
    RayProcesses().end()
    assert is_running([other])
    other.kill()


def test_what_is_left_of_a_dead_server_is_ended_and_no_other(tmp_path: Path):
    ours = stray(raylet=1, CYBERIMAGE_DATA_DIR=str(tmp_path / "ours"))
    others = stray(raylet=1, CYBERIMAGE_DATA_DIR=str(tmp_path / "others"))
    end_leftovers(str(tmp_path / "ours"))
    assert not is_running([ours])
    assert is_running([others])
    others.kill()
