"""The gate that every request passes before its body is read: name, origin, key and rate."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from configs.settings import Settings
from serve_app.api.callers import Caller, Keys
from serve_app.api.errors import Forbidden, TooManyRequests, Unauthorized, reply_to
from serve_app.api.hosts import is_answered
from serve_app.api.origins import is_foreign
from serve_app.api.rates import Rates, whole_seconds

#: Open to a load balancer, by whatever name and without a key.
OPEN_PATHS = frozenset({"/health"})
#: In the data directory.
RATES_FILE = "request_rates"


class Gate:
    """ASGI middleware: turns away, or puts the Caller into the request's state."""

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._keys = Keys(settings)
        per_minute = settings.requests_per_minute
        self._rates = Rates(per_minute, settings.data_dir / RATES_FILE) if per_minute else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            scope.setdefault("state", {})["caller"] = self._admit(scope)
        except (Forbidden, Unauthorized, TooManyRequests) as refusal:
            await reply_to(refusal, scope)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _admit(self, scope: Scope) -> Caller:
        address = scope["client"][0] if scope.get("client") else None
        if scope["path"].removeprefix(scope.get("root_path", "")) in OPEN_PATHS:
            return Caller(client=address, admin=False)
        headers = Headers(scope=scope)
        self._check_host(headers.get("host", ""))
        self._check_origin(scope["method"], headers)
        caller = self._identify(headers, address)
        if not (self._keys and caller.admin):
            self._check_rate(caller.client or "")
        return caller

    def _check_host(self, host: str) -> None:
        allowed = self._settings.allowed_hosts
        # Where keys are wanted, a page under a borrowed name has none: browsers keep passwords by name.
        checked = bool(allowed) or not self._keys
        if checked and not is_answered(host, allowed):
            raise Forbidden(
                f"This server does not answer to the name {host!r}; CYBERIMAGE_ALLOWED_HOSTS can list it",
                code="host_not_allowed",
            )

    def _check_origin(self, method: str, headers: Headers) -> None:
        if is_foreign(method, headers, self._settings.cors_origins):
            raise Forbidden(
                "A web page of another origin may change nothing here; CYBERIMAGE_CORS_ORIGINS can allow it",
                code="origin_not_allowed",
            )

    def _identify(self, headers: Headers, address: str | None) -> Caller:
        if not self._keys:
            return Caller(client=address, admin=True)
        caller = self._keys.caller(headers.get("authorization", ""))
        if caller is None:
            self._check_rate(address or "")
            raise Unauthorized("A valid API key is needed: send 'Authorization: Bearer KEY'")
        return caller

    def _check_rate(self, client: str) -> None:
        wait_s = self._rates.spend(client) if self._rates is not None else 0.0
        if wait_s:
            most = self._settings.requests_per_minute
            raise TooManyRequests(
                f"A client may send {most} requests a minute; the next in {wait_s:.1f} s",
                code="rate_limited",
                retry_after_s=whole_seconds(wait_s),
            )
