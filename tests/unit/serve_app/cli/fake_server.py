"""A server that plays the HTTP contract from memory, one scripted state of a job at a time."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import httpx

PNG = b"\x89PNG picture"
MP4 = b"....ftyp clip"

MODELS: dict[str, dict[str, Any]] = {
    "demo-flux": {"type": "image", "available": True, "loaded": True, "reason": None},
    "demo-sd35": {"type": "image", "available": True, "loaded": False, "reason": None},
    "demo-wan-t2v": {"type": "t2v", "available": True, "loaded": False, "reason": None},
    "demo-ltx-i2v": {"type": "i2v", "available": False, "loaded": False, "reason": "its folder is missing"},
    "demo-wan-i2v": {"type": "i2v", "available": True, "loaded": False, "reason": None},
}


def job(status: str, **changes: Any) -> dict[str, Any]:
    """A reply of GET /api/status for job `j1`."""
    return {
        "id": "j1",
        "status": status,
        "type": "image",
        "model_id": "demo-flux",
        "prompt": "a red circle",
        "created_at": "2026-01-15T23:30:00Z",
        "message": "",
        "error": None,
        "queue_position": None,
        "eta_seconds": None,
        "attempts": 1,
        "progress": {"step": None, "total_steps": None, "percent": 0.0},
        "image_ids": [],
        "images": [],
    } | changes


def generating(step: int, total: int) -> dict[str, Any]:
    progress = {"preparing": False, "generating": True, "step": step, "total_steps": total, "percent": 50.0}
    return job("processing", progress=progress)


def image(media_id: str, *, seed: int, media_type: str = "image") -> dict[str, Any]:
    return {
        "id": media_id,
        "media_type": media_type,
        "url": f"/api/{media_type}/{media_id}",
        "created_at": "2026-01-15T23:31:00Z",
        "metadata": {"seed": seed},
    }


def done(*images: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return job("completed", images=list(images), image_ids=[entry["id"] for entry in images], **changes)


State = dict[str, Any] | BaseException | httpx.Response


@dataclass
class FakeServer:
    """`script` holds the job's states, one a status request; the last one stays.

    A reply in the script is given as it is. An exception is raised in its place: httpx's for a broken
    connection, KeyboardInterrupt for a person who presses Ctrl-C while the reply is awaited.
    """

    script: list[State] = field(default_factory=lambda: [done(image("m1", seed=7))])
    submit_errors: list[BaseException] = field(default_factory=list)
    overrides: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    listed: list[dict[str, Any]] = field(default_factory=list)
    api_key: str | None = None
    healthy: bool = True
    requests: list[httpx.Request] = field(default_factory=list)

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._answer)

    def sent(self, method: str, path: str) -> list[Any]:
        """The JSON bodies that came to a route."""
        found = [r for r in self.requests if (r.method, r.url.path) == (method, path)]
        return [json.loads(r.content) if r.content else None for r in found]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        if self.api_key and request.headers.get("authorization") != f"Bearer {self.api_key}":
            return httpx.Response(401, json={"status": "error", "message": "no key", "code": "unauthorized"})
        if request.url.path in self.overrides:
            status, body = self.overrides[request.url.path]
            return httpx.Response(status, json=body)
        return self._route(request)

    def _route(self, request: httpx.Request) -> httpx.Response:
        match request.method, request.url.path.strip("/").split("/"):
            case "POST", ["api", "generate" | "generate_t2v" | "generate_video"]:
                return self._accept()
            case "GET", ["api", "status", _]:
                return self._next_state()
            case "GET", ["api", "image", _]:
                return httpx.Response(200, content=PNG, headers={"content-type": "image/png"})
            case "GET", ["api", "video", _]:
                return httpx.Response(200, content=MP4, headers={"content-type": "video/mp4"})
            case "POST", ["api", "upload"]:
                return httpx.Response(
                    201, json={"id": "up1", "width": 8, "height": 8, "url": "/api/image/up1"}
                )
            case _:
                return self._other(request)

    def _other(self, request: httpx.Request) -> httpx.Response:
        match request.method, request.url.path.strip("/").split("/"):
            case "GET", ["api", "models"]:
                return httpx.Response(200, json={"default": "demo-flux", "models": MODELS})
            case "GET", ["api", "jobs"]:
                return self._page(request)
            case "POST", ["api", "jobs", _, "cancel"]:
                return httpx.Response(200, json={"status": "success", "message": "Cancelled"})
            case "POST", ["api", "queue", "clear"]:
                return httpx.Response(
                    200, json={"status": "success", "message": "Cancelled 2 waiting job(s)"}
                )
            case "GET", ["health"]:
                body = {"status": "ok" if self.healthy else "starting", "version": "0.1.0", "device": "cpu"}
                return httpx.Response(200 if self.healthy else 503, json=body)
            case "GET", ["api", "queue"]:
                return httpx.Response(200, json=QUEUE)
            case _:
                return httpx.Response(
                    404, json={"status": "error", "message": "Not found", "code": "not_found"}
                )

    def _accept(self) -> httpx.Response:
        if self.submit_errors:
            raise self.submit_errors.pop(0)
        return httpx.Response(200, json={"job_id": "j1", "status": "pending", "message": "queued"})

    def _next_state(self) -> httpx.Response:
        state = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(state, BaseException):
            raise state
        if isinstance(state, httpx.Response):
            return state
        return httpx.Response(200, json=state)

    def _page(self, request: httpx.Request) -> httpx.Response:
        wanted = request.url.params.get("status")
        matching = [entry for entry in self.listed if wanted in (None, entry["status"])]
        start, limit = int(request.url.params.get("cursor", 0)), int(request.url.params["limit"])
        end = start + limit
        cursor = str(end) if end < len(matching) else None
        return httpx.Response(200, json={"jobs": matching[start:end], "next_cursor": cursor})


QUEUE: dict[str, Any] = {
    "pending": 2,
    "processing": 1,
    "completed": 5,
    "failed": 0,
    "cancelled": 0,
    "deployments": {
        "Flux": {"replicas": 1, "state": "HEALTHY", "loaded_model": "demo-flux", "idle_seconds": 75},
        "SD35": {"replicas": 0, "state": "HEALTHY", "loaded_model": None, "idle_seconds": None},
    },
    "gpus": {"total": 1.0, "used": 1.0},
}
