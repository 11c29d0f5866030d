"""Which sendings of a request were refused: the next one of those is the first that counts.

An SDK that is told 429 sends its request again and says so (`x-stainless-retry-count`). That must not be
taken for an equal request which was answered before, nor for one whose answer got lost. What is known here
is in the memory of this process and lasts as long as an SDK waits at most.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.api.dialects import path_of
from serve_app.api.openai.paths import is_ours

RETRY_COUNT = "x-stainless-retry-count"
#: Sendings that are remembered; the oldest are forgotten first.
MOST = 10_000
#: Seconds: an SDK waits for two minutes at most before it sends again.
LIFETIME_S = 150.0

#: Who asks what, as far as that is known before the body is read, and how often it was sent before.
Sending = tuple[bytes, int]


class Refusals:
    """ASGI middleware around the gate: `first` in a request's state says that no earlier sending counts."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        #: How many of a kind were refused, and when the last one was.
        self._refused: OrderedDict[Sending, tuple[int, float]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not is_ours(scope) or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        kind, count = _kind(scope), retry_count(Headers(scope=scope))
        first = count == 0 or self._take((kind, count - 1))
        scope.setdefault("state", {})["first"] = first

        async def noting(message: Message) -> None:
            if first and message.get("status") == HTTPStatus.TOO_MANY_REQUESTS:
                self._note((kind, count))
            await send(message)

        await self._app(scope, receive, noting)

    def _note(self, sending: Sending) -> None:
        number, _ = self._refused.pop(sending, (0, 0.0))
        self._refused[sending] = (number + 1, time.monotonic())
        if len(self._refused) > MOST:
            self._refused.popitem(last=False)

    def _take(self, sending: Sending) -> bool:
        """Whether such a sending was refused; each is taken once."""
        number, at = self._refused.pop(sending, (0, 0.0))
        if number > 1:
            self._refused[sending] = (number - 1, at)
        return number > 0 and time.monotonic() - at < LIFETIME_S


def retry_count(headers: Headers) -> int:
    """How often the SDK says that it has sent this request before."""
    text = headers.get(RETRY_COUNT, "")
    return int(text) if text.isdecimal() and len(text) < 4 else 0


def _kind(scope: Scope) -> bytes:
    headers = Headers(scope=scope)
    address = scope["client"][0] if scope.get("client") else ""
    parts = (address, headers.get("authorization", ""), path_of(scope), headers.get("content-length", ""))
    return hashlib.sha256("\n".join(parts).encode("latin-1", "replace")).digest()
