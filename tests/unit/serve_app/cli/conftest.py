from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from fake_server import FakeServer
from typer.main import get_command

from configs.hardware import Gpu
from configs.registry import Registry, load_registry
from configs.settings import Settings
from serve_app.cli.app import app
from serve_app.cli.fitting import Memory
from serve_app.cli.machine import Machine
from serve_app.cli.surroundings import Surroundings
from serve_app.cli.weights import WeightState

#: Built once: that takes longer than most commands, and typer's CliRunner does it for each.
COMMAND = get_command(app)


@dataclass(frozen=True, kw_only=True)
class Result:
    exit_code: int | str | None
    stdout: str
    stderr: str


Run = Callable[..., Result]


class Clock:
    """Time passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, duration: float) -> None:
        self.now += duration


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("CYBERIMAGE_URL", "CYBERIMAGE_API_KEY", "CYBERIMAGE_DATA_DIR", "CYBERIMAGE_MODELS"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HF_TOKEN", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(
        python="3.11.9",
        cpu_cores=2,
        ram_gb=23.0,
        gpus=(),
        data_dir=tmp_path / "data",
        data_dir_writable=True,
        data_disk_free_gb=100.0,
        weights_dir=tmp_path / "hub",
        weights_disk_free_gb=50.0,
        has_token=False,
        hub_offline=False,
        host="127.0.0.1",
        port=7860,
        port_free=True,
        ray_problem=None,
    )


@pytest.fixture
def rtx4090() -> Gpu:
    return Gpu(name="RTX 4090", memory=24 << 30, free_memory=23 << 30)


@pytest.fixture
def run(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command against the fake server; keyword arguments replace parts of its surroundings."""

    def invoke(*args: str, **parts: Any) -> Result:
        clock = Clock()
        parts = {
            "transport": server.transport,
            "clock": clock,
            "sleep": clock.sleep,
            "load_registry": demo_unless_full,
            "memory": lambda: Memory(ram_gb=23),
            "weight_state": lambda spec, settings: WeightState(
                present=spec.demo, missing_gb=spec.download_gb
            ),
        } | parts
        with pytest.raises(SystemExit) as end:
            COMMAND.main(args=args, prog_name="cyberimage", obj=Surroundings(**parts))
        printed = capsys.readouterr()
        return Result(exit_code=end.value.code, stdout=printed.out, stderr=printed.err)

    return invoke


def demo_unless_full(settings: Settings) -> Registry:
    """The registry of a machine without a GPU, whatever the machine of the test has."""
    return registry("demo" if settings.models == "auto" else settings.models)


@cache
def registry(models: str) -> Registry:
    return load_registry(Settings(models=models, _env_file=None), environ={})


@pytest.fixture
def unused_url() -> str:
    """An address of this machine where nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def listening_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]
