"""/mcp: the protocol's streamable HTTP. No request depends on an earlier one, so any process may answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from serve_app.api.mcp.server import create_server


class _Endpoint:
    """The ASGI application at the path: the one manager that runs. The gate has seen the request before."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        manager: StreamableHTTPSessionManager = scope["app"].state.mcp
        await manager.handle_request(scope, receive, send)


#: Without GET: there are no messages but the answers to requests.
route = Route("/mcp", endpoint=_Endpoint(), methods=["POST"], include_in_schema=False)


@asynccontextmanager
async def answering(app: FastAPI) -> AsyncIterator[None]:
    """Answer requests at /mcp."""
    app.state.mcp = StreamableHTTPSessionManager(create_server(), stateless=True)
    running = asyncio.Event()
    # A task of its own: the manager must be left by the task that entered it.
    keeping = asyncio.create_task(_keep(app.state.mcp, running))
    await running.wait()
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])


async def _keep(manager: StreamableHTTPSessionManager, running: asyncio.Event) -> None:
    async with manager.run():
        running.set()
        await asyncio.get_running_loop().create_future()
