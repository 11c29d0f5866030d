"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import psutil

from configs.hardware import visible_gpus

PACKAGES = ("ray", "torch", "diffusers", "transformers", "fastapi", "uvicorn", "sqlalchemy", "pydantic")


def surroundings(folder: Path) -> dict[str, str]:
    """Machine, load and versions, by name; `folder` is where the benchmarks' files go."""
    return {
        "commit": _commit(),
        "machine": ", ".join(_machine()),
        "system": f"{platform.system()} {platform.release()}, {_file_system(folder)}",
        "load": "1, 5 and 15 minutes before: " + ", ".join(f"{load:.2f}" for load in os.getloadavg()),
        "versions": ", ".join(_versions()),
    }


def _machine() -> Iterator[str]:
    yield _processor()
    yield f"{len(os.sched_getaffinity(0))} logical CPUs"
    yield f"{psutil.virtual_memory().total / 2**30:.0f} GiB"
    yield from (gpu.name for gpu in visible_gpus())


def _versions() -> Iterator[str]:
    yield f"Python {platform.python_version()}"
    yield f"SQLite {sqlite3.sqlite_version}"
    yield from (f"{name} {version(name)}" for name in PACKAGES)


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _file_system(folder: Path) -> str:
    """Of the longest mount point above the folder."""
    above = [p for p in psutil.disk_partitions(all=True) if folder.resolve().is_relative_to(p.mountpoint)]
    return max(above, key=lambda partition: len(partition.mountpoint)).fstype if above else "unknown disk"


def _commit() -> str:
    git = shutil.which("git")
    if git is None:
        return "unknown"
    command = [git, "describe", "--always", "--dirty"]
    reply = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent, check=False)
    return reply.stdout.strip() or "unknown"
