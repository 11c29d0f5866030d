"""The whole API in one process, with jobs that run: families without weights over a real database."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI
from schemathesis.python.asgi import shutdown_lifespans

from configs.settings import Settings
from serve_app.api import create_app
from storage import open_stores
from tests.unit.serve_app.in_process import open_workshop

MakeApp = Callable[..., FastAPI]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the applications keep everything."""
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module")
def make_app(folder: Path) -> Iterator[MakeApp]:
    """Applications with these settings, whose dispatcher runs as they do."""
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setattr(os, "fsync", lambda descriptor: None)

        def make(**settings: str) -> FastAPI:
            stores = stack.enter_context(open_stores(f"sqlite:///{folder / f'jobs.sqlite3-{len(settings)}'}"))
            workshop = stack.enter_context(open_workshop(stores, folder))
            dispatcher = workshop.dispatcher()
            services = workshop.services(dispatcher, Settings(_env_file=None, models="demo", **settings))
            app = create_app(services)
            lifespan_of_the_api = app.router.lifespan_context

            @asynccontextmanager
            async def lifespan(app: FastAPI) -> AsyncIterator[None]:
                async with lifespan_of_the_api(app), workshop.dispatching(dispatcher):
                    yield

            app.router.lifespan_context = lifespan
            stack.callback(shutdown_lifespans)
            return app

        yield make
