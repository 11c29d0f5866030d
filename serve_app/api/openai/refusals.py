"""Which sendings of a request were refused: the next one of those is the first that counts.

An SDK that is told 429 sends its request again and says so (`x-stainless-retry-count`). That must not be
taken for an equal request which was answered before, nor for one whose answer got lost. The ingress
processes share what is known here, and it lasts as long as an SDK waits at most.
"""

from __future__ import annotations

import hashlib
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.api.dialects import path_of
from serve_app.api.openai.paths import is_ours
from serve_app.api.services import Services

RETRY_COUNT = "x-stainless-retry-count"


class Refusals:
    """ASGI middleware around the gate: `first` in a request's state says that no earlier sending counts."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not is_ours(scope) or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        services: Services = scope["app"].state.services
        kind, count = _kind(scope), retry_count(Headers(scope=scope))
        first = count == 0 or await services.blocking(services.refused.take, (kind, count - 1))
        scope.setdefault("state", {})["first"] = first

        async def noting(message: Message) -> None:
            if first and message.get("status") == HTTPStatus.TOO_MANY_REQUESTS:
                await services.blocking(services.refused.note, (kind, count))
            await send(message)

        await self._app(scope, receive, noting)


def retry_count(headers: Headers) -> int:
    """How often the SDK says that it has sent this request before."""
    text = headers.get(RETRY_COUNT, "")
    return int(text) if text.isdecimal() and len(text) < 4 else 0


def _kind(scope: Scope) -> bytes:
    headers = Headers(scope=scope)
    address = scope["client"][0] if scope.get("client") else ""
    parts = (address, headers.get("authorization", ""), path_of(scope), headers.get("content-length", ""))
    return hashlib.sha256("\n".join(parts).encode("latin-1", "replace")).digest()
