"""Under which address a client reaches this server, as far as proxies tell."""

from __future__ import annotations

import re

from starlette.requests import Request

_HOST = re.compile(r"[\w.-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?", re.ASCII)
_PREFIX = re.compile(r"(/[\w.~%-]+)+", re.ASCII)


def own_address(request: Request) -> str:
    """Scheme, host and path, without a slash at the end.

    Proxies tell by X-Forwarded-Proto, -Host and -Prefix what they were asked for. These headers are believed,
    for the addresses go to nobody but who sent them.
    """
    scheme = _forwarded(request, "proto")
    host = _forwarded(request, "host")
    prefix = _forwarded(request, "prefix").rstrip("/")
    if scheme not in ("http", "https"):
        scheme = request.url.scheme
    if not _HOST.fullmatch(host):
        host = request.url.netloc
    if not _PREFIX.fullmatch(prefix):
        prefix = request.scope.get("root_path", "")
    return f"{scheme}://{host}{prefix}"


def _forwarded(request: Request, name: str) -> str:
    """What the first proxy was asked for."""
    return request.headers.get(f"x-forwarded-{name}", "").partition(",")[0].strip()
