"""What this machine has: the facts that decide what it can serve."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from configs.hardware import Gpu, total_ram, visible_gpus
from configs.settings import Settings
from serve_app.cli.fitting import Memory


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """Facts, without judgement. Memory in GiB, disk in GB (10^9 bytes), as the model registry counts them."""

    python: str
    cpu_cores: int
    ram_gb: float
    gpus: tuple[Gpu, ...]
    data_dir: Path
    data_dir_writable: bool
    data_disk_free_gb: float
    weights_dir: Path
    weights_disk_free_gb: float
    has_token: bool
    hub_offline: bool
    host: str
    port: int
    port_free: bool
    #: Why Ray cannot be imported; None if it can.
    ray_problem: str | None

    @property
    def memory(self) -> Memory:
        return _memory(self.ram_gb, self.gpus)


def probe(settings: Settings) -> Machine:
    """The facts of this machine, now. Changes nothing; takes about as long as importing Ray."""
    weights = weights_folder(settings)
    return Machine(
        python=platform.python_version(),
        cpu_cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        ram_gb=total_ram() / 2**30,
        gpus=visible_gpus(),
        data_dir=settings.data_dir,
        data_dir_writable=os.access(existing_parent(settings.data_dir), os.W_OK | os.X_OK),
        data_disk_free_gb=free_gb(settings.data_dir),
        weights_dir=weights,
        weights_disk_free_gb=free_gb(weights),
        has_token=settings.hf_token is not None or _logged_in(),
        hub_offline=settings.hub_offline,
        host=settings.host,
        port=settings.port,
        port_free=port_is_free(settings.host, settings.port),
        ray_problem=_ray_problem(),
    )


def read_memory() -> Memory:
    """The part of the facts that says which models fit."""
    return _memory(total_ram() / 2**30, visible_gpus())


def weights_folder(settings: Settings) -> Path:
    """Where downloaded weights are kept: CYBERIMAGE_WEIGHTS_DIR, else the Hugging Face cache."""
    if settings.weights_dir is not None:
        return settings.weights_dir
    if cache := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(cache).expanduser()
    return _hf_home() / "hub"


def existing_parent(path: Path) -> Path:
    """The path itself, or the nearest folder above it that exists."""
    return next((place for place in (path, *path.parents) if place.exists()), Path("/"))


def free_gb(path: Path) -> float:
    """Free space where `path` is or would be, in GB."""
    return shutil.disk_usage(existing_parent(path)).free / 1e9


def port_is_free(host: str, port: int) -> bool:
    """Whether a server could listen there. Port 0 means any, so it is always free."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError:
            return False
    return True


def _memory(ram_gb: float, gpus: tuple[Gpu, ...]) -> Memory:
    return Memory(ram_gb=ram_gb, gpus_gb=tuple(gpu.memory / 2**30 for gpu in gpus))


def _hf_home() -> Path:
    home = os.environ.get("HF_HOME")
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache"))
    return Path(home).expanduser() if home else cache.expanduser() / "huggingface"


def _logged_in() -> bool:
    """Whether `hf auth login` has left a token."""
    return Path(os.environ.get("HF_TOKEN_PATH") or _hf_home() / "token").expanduser().is_file()


def _ray_problem() -> str | None:
    """Tried in a process of its own, to keep Ray out of this one."""
    try:
        result = subprocess.run(
            [sys.executable, "-c", "import ray"], capture_output=True, text=True, timeout=120
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if result.returncode == 0:
        return None
    lines = result.stderr.strip().splitlines()
    return lines[-1] if lines else f"importing it ends with exit code {result.returncode}"
