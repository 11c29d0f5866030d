"""Which requests are of this API."""

from __future__ import annotations

from starlette.types import Scope

PREFIX = "/v1"


def path_of(scope: Scope) -> str:
    """The path without what the server is mounted under."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def is_ours(scope: Scope) -> bool:
    if scope["type"] != "http":
        return False
    path = path_of(scope)
    return path == PREFIX or path.startswith(f"{PREFIX}/")
