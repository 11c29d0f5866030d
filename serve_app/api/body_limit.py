"""Bodies that are too large, refused before they fill the memory."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.api.errors import error_reply


class BodyLimit:
    """ASGI middleware: 413 in the API's own form. Starlette's own limit answers in plain text."""

    def __init__(self, app: ASGIApp, *, most_bytes: int, exceptions: Mapping[str, int]) -> None:
        """`exceptions` are other limits by path."""
        self._app = app
        self._most_bytes = most_bytes
        self._exceptions = exceptions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        most = self._exceptions.get(path, self._most_bytes)
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced) > most:
            response = error_reply(scope, 413, _message(most), "content_too_large")
            await response(scope, receive, send)
        else:
            await self._app(scope, _counted(receive, most), send)


def _counted(receive: Receive, most: int) -> Receive:
    """`receive` for a body of unknown length, which ends with an HTTPException when it grows too large."""
    total = 0

    async def receive_some() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > most:
            raise HTTPException(413, _message(most))
        return message

    return receive_some


def _message(most: int) -> str:
    return f"The body is too large: at most {most} bytes are accepted"
