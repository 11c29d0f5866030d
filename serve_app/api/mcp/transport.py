"""/mcp: the protocol's streamable HTTP. No request depends on an earlier one, so any process may answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager


class _Manager:
    """The library's manager, from the first request on: its imports would make each start a second longer."""

    def __init__(self) -> None:
        self._keeping: asyncio.Task[None] | None = None
        self._running: asyncio.Future[StreamableHTTPSessionManager] = asyncio.Future()

    async def running(self) -> StreamableHTTPSessionManager:
        if self._keeping is None:
            # A task of its own: the manager must be left by the task that entered it.
            self._keeping = asyncio.create_task(self._keep())
        return await asyncio.shield(self._running)

    async def end(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])

    async def _keep(self) -> None:
        try:
            manager = await asyncio.to_thread(_new_manager)
        except Exception as error:
            self._running.set_exception(error)
            return
        async with manager.run():
            self._running.set_result(manager)
            await asyncio.Future()


def _new_manager() -> StreamableHTTPSessionManager:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    from serve_app.api.mcp.server import create_server

    return StreamableHTTPSessionManager(create_server(), stateless=True)


class _Endpoint:
    """The ASGI application at the path. The gate has seen the request before."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        manager = await scope["app"].state.mcp.running()
        await manager.handle_request(scope, receive, send)


#: Without GET: there are no messages but the answers to requests.
route = Route("/mcp", endpoint=_Endpoint(), methods=["POST"], include_in_schema=False)


@asynccontextmanager
async def answering(app: FastAPI) -> AsyncIterator[None]:
    """Answer requests at /mcp."""
    app.state.mcp = manager = _Manager()
    try:
        yield
    finally:
        await manager.end()
