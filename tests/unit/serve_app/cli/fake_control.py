"""Stands in for the module serve_app.server: records what it was asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from configs.settings import Settings
from serve_app.server import ServerInfo

INFO = ServerInfo(
    url="http://127.0.0.1:7860",
    docs_url="http://127.0.0.1:7860/docs",
    dashboard_url="http://127.0.0.1:8265",
    dashboard_token_file="/home/me/.ray/auth_token",
    data_dir="/srv/data",
    pid=1,
)


@dataclass
class FakeControl:
    running: ServerInfo | None = None
    problem: Exception | None = None
    info: ServerInfo = INFO
    calls: list[tuple[str, Settings]] = field(default_factory=list)

    def run(self, settings: Settings, *, on_ready: Callable[[ServerInfo], None]) -> None:
        self._record("run", settings)
        on_ready(self.info)

    def start_detached(self, settings: Settings) -> ServerInfo:
        self._record("start_detached", settings)
        return self.info

    def stop(self, settings: Settings) -> bool:
        self._record("stop", settings)
        return self.running is not None

    def find(self, settings: Settings) -> ServerInfo | None:
        return self.running

    def _record(self, name: str, settings: Settings) -> None:
        if self.problem is not None:
            raise self.problem
        self.calls.append((name, settings))
