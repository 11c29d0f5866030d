"""Every error under /v1 in OpenAI's form, wherever it comes from: gate, limits, unknown paths, routes."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.api.errors import unexpected
from serve_app.api.openai.errors import error_body
from serve_app.api.openai.paths import is_ours, path_of

#: Of the reply in the other form, and no longer true.
DROPPED = ("content-length", "content-type")


class Dialect:
    """ASGI middleware: translates the native error bodies of this API's paths; all else passes as it is.

    What `details` says of an error becomes `param`, and `x-should-retry` for the SDKs.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not is_ours(scope):
            await self._app(scope, receive, send)
            return
        translation = _Translation(scope, receive, send)
        try:
            await self._app(scope, receive, translation.send)
        except Exception as error:
            if translation.begun:
                raise
            response = await unexpected(Request(scope), error)
            await response(scope, receive, translation.send)


class _Translation:
    """The reply to one request: held back while it is an error, until its body is there."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._held: Message | None = None
        self._body = b""
        #: Something has been sent.
        self.begun = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_error(message):
            self._held = message
            return
        self.begun = True
        if self._held is None:
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if not message.get("more_body"):
            await self._answer(self._held)

    async def _answer(self, start: Message) -> None:
        native = json.loads(self._body)
        headers = Headers(raw=start["headers"])
        kept = {name: value for name, value in headers.items() if name not in DROPPED}
        response = translated(native, start["status"], kept, self._scope)
        await response(self._scope, self._receive, self._send)


def translated(native: dict[str, Any], status: int, headers: dict[str, str], scope: Scope) -> JSONResponse:
    """A native error body in this API's form."""
    details = native.get("details") or {}
    message = native["message"]
    if message == HTTPStatus.NOT_FOUND.phrase:
        message = f"There is no {scope['method']} {path_of(scope)} here; /docs lists what there is"
    # The SDKs send a request again after every 409 and 5xx, unless they are told not to.
    if details.get("final", status == HTTPStatus.CONFLICT):
        headers = headers | {"x-should-retry": "false"}
    body = error_body(message, status, native["code"], details.get("param"))
    return JSONResponse(body, status, headers)


def _is_error(start: Message) -> bool:
    kind = Headers(raw=start["headers"]).get("content-type", "")
    return bool(start["status"] >= HTTPStatus.BAD_REQUEST and kind.startswith("application/json"))
