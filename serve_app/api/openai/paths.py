"""Which requests are of this API."""

from __future__ import annotations

from starlette.types import Scope

from serve_app.api.dialects import path_of

PREFIX = "/v1"


def is_ours(scope: Scope) -> bool:
    if scope["type"] != "http":
        return False
    path = path_of(scope)
    return path == PREFIX or path.startswith(f"{PREFIX}/")
