"""API keys. None configured: everyone is let in."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

from fastapi import Request

from serve_app.api.errors import Unauthorized
from serve_app.api.services import Injected

#: Open to a load balancer without a key.
OPEN_PATHS = frozenset({"/health"})


async def authenticate(request: Request, services: Injected) -> None:
    """Let the request pass if it bears a key, as a bearer token or as the password of HTTP Basic."""
    keys = [key.get_secret_value() for key in services.settings.api_keys]
    path = request.url.path.removeprefix(request.scope.get("root_path", ""))
    if not keys or path in OPEN_PATHS:
        return
    given = _presented(request.headers.get("authorization", ""))
    if given is None or not _matches(given, keys):
        raise Unauthorized("A valid API key is needed: send 'Authorization: Bearer KEY'")
    request.state.client = "key:" + hashlib.sha256(given.encode()).hexdigest()[:12]


def client_of(request: Request) -> str | None:
    """Who asks: the id of the API key, else the address."""
    by_key: str | None = getattr(request.state, "client", None)
    return by_key or (request.client.host if request.client else None)


def _presented(header: str) -> str | None:
    scheme, _, value = header.partition(" ")
    match scheme.lower():
        case "bearer":
            return value.strip()
        case "basic":
            try:
                return base64.b64decode(value, validate=True).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                return None
    return None


def _matches(given: str, keys: Sequence[str]) -> bool:
    """Compares with every key in constant time, so that the time tells nothing."""
    found = False
    for key in keys:
        found |= hmac.compare_digest(given.encode(), key.encode())
    return found
