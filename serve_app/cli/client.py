"""The server's HTTP interface, as the commands use it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import quote

import httpx

from serve_app.cli.errors import BadReply, NoAnswer, NoServer, Refused
from serve_app.cli.job_view import JobView, MediaView

JobKind = Literal["image", "t2v", "i2v"]
SUBMIT_ROUTES: dict[JobKind, str] = {
    "image": "/api/generate",
    "t2v": "/api/generate_t2v",
    "i2v": "/api/generate_video",
}
LOOPBACK = ("127.0.0.1", "localhost", "::1")

#: What Ray Serve names in its reply where it has no application (yet).
ROUTES_OF_RAY = "/-/routes"


class Client:
    """Speaks to one server.

    Every method raises Unreachable when no reply comes, Refused on a 4xx or 5xx, BadReply when what
    answers is not CyberImage.
    """

    def __init__(
        self, url: str, *, api_key: str | None = None, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        # The read limit is well over the 20 s for which the server may hold a status reply.
        limits = httpx.Timeout(60, connect=5)
        self._http = httpx.Client(
            base_url=self.url,
            headers=headers,
            timeout=limits,
            transport=transport,
            # A proxy that the environment names is for other machines.
            trust_env=not self.is_local,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine."""
        return httpx.URL(self.url).host in LOOPBACK

    def submit(self, kind: JobKind, body: Mapping[str, Any], *, idempotency_key: str) -> dict[str, Any]:
        """The acknowledgement, with `job_id`. A second call with the same key makes no second job."""
        headers = {"Idempotency-Key": idempotency_key}
        return self._json("POST", SUBMIT_ROUTES[kind], json=dict(body), headers=headers)

    def upload(self, file: Path) -> str:
        """The id of the stored source picture."""
        with file.open("rb") as stream:
            return str(self._json("POST", "/api/upload", files={"file": (file.name, stream)})["id"])

    def job(self, job_id: str, *, wait: int = 0) -> JobView:
        """The job now, or as soon as it changes within `wait` seconds."""
        query = {"wait": wait} if wait else {}
        reply = self._json("GET", f"/api/status/{quote(job_id, safe='')}", params=query)
        try:
            return JobView.from_json(reply)
        except (KeyError, TypeError, ValueError) as error:
            raise self._not_ours() from error

    def cancel(self, job_id: str) -> str:
        """What the server says: a waiting job is cancelled at once, a running one at its next step."""
        reply = self._json("POST", f"/api/jobs/{quote(job_id, safe='')}/cancel")
        return str(reply.get("message") or "Cancelled")

    def clear_queue(self) -> dict[str, Any]:
        """Cancel all waiting jobs."""
        return self._json("POST", "/api/queue/clear")

    def jobs(
        self, *, limit: int, status: str | None = None, model: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """Up to `limit` jobs, newest first."""
        query: dict[str, str | int] = {"limit": min(limit, 50)}
        query |= {name: value for name, value in {"status": status, "model": model}.items() if value}
        while limit > 0:
            page = self._json("GET", "/api/jobs", params=query)
            yield from page["jobs"][:limit]
            limit -= len(page["jobs"])
            if not page["jobs"] or not page.get("next_cursor"):
                return
            query["cursor"] = str(page["next_cursor"])

    def models(self) -> dict[str, Any]:
        return self._json("GET", "/api/models")

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Whether the server can take jobs, and what it says of itself."""
        with self._reporting():
            reply = self._http.get("/health")
        if reply.status_code not in (200, 503):
            raise self._refusal(reply)
        return reply.status_code == 200, self._object(reply)

    def queue(self) -> dict[str, Any]:
        return self._json("GET", "/api/queue", params={"detailed": "true"})

    @contextmanager
    def media(self, media: MediaView) -> Iterator[httpx.Response]:
        """A streamed reply with the bytes of one output."""
        with self._reporting(), self._http.stream("GET", media.url) as reply:
            if reply.is_error:
                reply.read()
                raise self._refusal(reply)
            yield reply

    def _json(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        with self._reporting():
            reply = self._http.request(method, path, **arguments)
        if reply.is_error:
            raise self._refusal(reply)
        return self._object(reply)

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise BadReply(
                f"{self.url} is not an address: {error}", hint="give --url http://HOST:PORT"
            ) from error
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise NoServer(self.url) from error
        except httpx.TransportError as error:
            raise NoAnswer(self.url) from error

    def _object(self, reply: httpx.Response) -> dict[str, Any]:
        try:
            value = reply.json()
        except ValueError as error:
            raise self._not_ours() from error
        if not isinstance(value, dict):
            raise self._not_ours()
        return value

    def _refusal(self, reply: httpx.Response) -> Refused | NoAnswer:
        if _is_of_the_front_door(reply):
            return NoAnswer(self.url)
        try:
            body = reply.json()
        except ValueError:
            body = {}
        body = body if isinstance(body, dict) else {}
        message = str(body.get("message") or f"{self.url} answered {reply.status_code} {reply.reason_phrase}")
        hint = "give --api-key or set CYBERIMAGE_API_KEY" if reply.status_code == 401 else None
        return Refused(message, status=reply.status_code, code=str(body.get("code") or ""), hint=hint)

    def _not_ours(self) -> BadReply:
        return BadReply(f"what answers at {self.url} is not a CyberImage server", hint="check --url")


def _is_of_the_front_door(reply: httpx.Response) -> bool:
    """Ray Serve answers in plain text for a process that dies over a request, or is not there yet."""
    plain = reply.headers.get("content-type", "").startswith("text/plain")
    return plain and (reply.status_code >= 500 or ROUTES_OF_RAY in reply.text)
