"""A job as the server reports it, read leniently: an older or newer server may say less or more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

Phase = Literal["preparing", "loading_model", "generating", "saving"]
PHASES: tuple[Phase, ...] = ("preparing", "loading_model", "generating", "saving")
ENDED = frozenset({"completed", "failed", "cancelled"})


@dataclass(frozen=True, kw_only=True, slots=True)
class MediaView:
    """One output. `url` may be relative to the server."""

    id: str
    media_type: str
    url: str
    seed: int | None
    created_at: str

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        media_type = str(value.get("media_type") or "image")
        return cls(
            id=str(value["id"]),
            media_type=media_type,
            url=str(value.get("url") or f"/api/{media_type}/{value['id']}"),
            seed=(value.get("metadata") or {}).get("seed"),
            created_at=str(value.get("created_at") or ""),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class JobView:
    """One reply of GET /api/status. `phase` is None unless the job is processing."""

    id: str
    status: str
    model: str
    prompt: str = ""
    message: str = ""
    created_at: str = ""
    phase: Phase | None = None
    step: int | None = None
    total_steps: int | None = None
    percent: float = 0.0
    queue_position: int | None = None
    eta_seconds: float | None = None
    error: str | None = None
    hint: str | None = None
    media: tuple[MediaView, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        progress: Mapping[str, Any] = value.get("progress") or {}
        error: Mapping[str, Any] = value.get("error") or {}
        return cls(
            id=str(value["id"]),
            status=str(value["status"]),
            model=str(value.get("model_id") or ""),
            prompt=str(value.get("prompt") or ""),
            message=str(value.get("message") or ""),
            created_at=str(value.get("created_at") or ""),
            phase=_phase(progress) if value["status"] == "processing" else None,
            step=progress.get("step"),
            total_steps=progress.get("total_steps"),
            percent=float(progress.get("percent") or 0),
            queue_position=value.get("queue_position"),
            eta_seconds=value.get("eta_seconds"),
            error=error.get("message"),
            hint=error.get("hint"),
            media=tuple(MediaView.from_json(item) for item in value.get("images") or ()),
            raw=value,
        )


def _phase(progress: Mapping[str, Any]) -> Phase:
    """The last phase that is marked, whether the server marks only the current one or all up to it."""
    return next((phase for phase in reversed(PHASES) if progress.get(phase)), "preparing")
