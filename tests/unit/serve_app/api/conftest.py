from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from in_process import Workshop


@pytest.fixture
async def client(workshop: Workshop) -> AsyncIterator[httpx.AsyncClient]:
    """The API, with a dispatcher that runs."""
    async with workshop.serving() as client:
        yield client


@pytest.fixture
async def idle(workshop: Workshop) -> AsyncIterator[httpx.AsyncClient]:
    """The API, with a dispatcher that starts nothing."""
    async with workshop.serving(dispatching=False) as client:
        yield client
