"""Everything the commands touch outside themselves, in one place; tests hand in their own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import typer
from rich.console import Console

from serve_app.cli.errors import CommandError

if TYPE_CHECKING:
    import httpx

    from configs.models import ModelSpec
    from configs.registry import Registry
    from configs.settings import Settings
    from serve_app.cli.client import Client
    from serve_app.cli.fitting import Memory
    from serve_app.cli.machine import Machine
    from serve_app.cli.weights import WeightState
    from serve_app.server import ServerInfo

DEFAULT_URL = "http://127.0.0.1:7860"

Report = Callable[[str, float | None], None]
"""A download's progress: a message, and a fraction of 1 where it is known."""


class ServerControl(Protocol):
    """Starting and stopping: the module serve_app.server."""

    def run(self, settings: Settings, *, on_ready: Callable[[ServerInfo], None]) -> None: ...
    def start_detached(self, settings: Settings) -> ServerInfo: ...
    def stop(self, settings: Settings) -> bool: ...
    def find(self, settings: Settings) -> ServerInfo | None: ...


def _load_settings(**overrides: Any) -> Settings:
    from configs.settings import load_settings

    return load_settings(**overrides)


def _load_registry(settings: Settings) -> Registry:
    from configs.registry import load_registry

    return load_registry(settings)


def _server() -> ServerControl:
    from serve_app import server

    return server


def _probe(settings: Settings) -> Machine:
    from serve_app.cli.machine import probe

    return probe(settings)


def _memory() -> Memory:
    from serve_app.cli.machine import read_memory

    return read_memory()


def _weight_state(spec: ModelSpec, settings: Settings) -> WeightState:
    from serve_app.cli.weights import weight_state

    return weight_state(spec, settings)


def _fetch(spec: ModelSpec, settings: Settings, report: Report) -> None:
    from serve_app.cli.weights import fetch

    fetch(spec, settings, report)


def plain_console(*, stderr: bool) -> Console:
    """Prints text as it is: a prompt may hold brackets and colons that mean something to Rich."""
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True)


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """The composition root of the commands.

    `out` carries results (paths, ids, tables, JSON), `err` everything said on the way.
    """

    load_settings: Callable[..., Settings] = _load_settings
    load_registry: Callable[[Settings], Registry] = _load_registry
    server: Callable[[], ServerControl] = _server
    probe: Callable[[Settings], Machine] = _probe
    memory: Callable[[], Memory] = _memory
    weight_state: Callable[[ModelSpec, Settings], WeightState] = _weight_state
    fetch: Callable[[ModelSpec, Settings, Report], None] = _fetch
    transport: httpx.BaseTransport | None = None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    out: Console = field(default_factory=lambda: plain_console(stderr=False))
    err: Console = field(default_factory=lambda: plain_console(stderr=True))

    def connect(self, url: str | None, api_key: str | None) -> Client:
        """A client of the server at `url`, else of the one on the data directory, else of DEFAULT_URL.

        The keys in this machine's own settings are for its own server: no other gets to see them.
        """
        import httpx

        from serve_app.cli.client import Client

        address = url
        if address is None:
            settings = self.load_settings()
            running = self.server().find(settings)
            address = running.url if running else DEFAULT_URL
            api_key = api_key or settings.own_key
        try:
            return Client(address, api_key=api_key, transport=self.transport)
        except httpx.InvalidURL as error:
            raise CommandError(
                f"{address} is not an address: {error}", hint="give --url http://HOST:PORT"
            ) from error

    def known_models(self, settings: Settings) -> dict[str, ModelSpec]:
        """The chosen models first, then the built-in ones that are not among them."""
        known = dict(self.load_registry(settings))
        for choice in ("full", "demo"):
            others = self.load_registry(settings.model_copy(update={"models": choice}))
            known |= {name: spec for name, spec in others.items() if name not in known}
        return known


def surroundings(context: typer.Context) -> Surroundings:
    """What the caller of the app handed in, or the real ones."""
    return context.ensure_object(Surroundings)
